/* A fast keyed 64-bit hash of bytes for tables in memory: keyed by a random seed, so that a client cannot
 * choose names that collide. Its values never reach disk, wire or any order that a client can see. */
#ifndef PANDO_RT_HASH_H
#define PANDO_RT_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t rt_hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;
	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t rt_hash_u64(uint64_t v, uint64_t seed)
{
	return rt_hash_mix(v ^ 0x9e3779b97f4a7c15u, seed ^ 0xd6e8feb86659fd93u);
}

static inline uint64_t rt_hash(const void *bytes, size_t len, uint64_t seed)
{
	const uint8_t *p = bytes;
	uint64_t h = seed ^ rt_hash_mix(len ^ 0xa0761d6478bd642fu, seed ^ 0xe7037ed1a0b428dbu);
	uint64_t a, b;
	while (len >= 16) {
		memcpy(&a, p, 8);
		memcpy(&b, p + 8, 8);
		h = rt_hash_mix(a ^ 0x8ebc6af09c88c6e3u ^ h, b ^ seed ^ 0x589965cc75374cc3u);
		p += 16;
		len -= 16;
	}
	a = b = 0;
	if (len >= 8) {
		memcpy(&a, p, 8);
		memcpy(&b, p + len - 8, 8);
	} else if (len >= 4) {
		uint32_t x, y;
		memcpy(&x, p, 4);
		memcpy(&y, p + len - 4, 4);
		a = x;
		b = y;
	} else if (len > 0) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[len >> 1] << 8 | p[len - 1];
	}
	return rt_hash_mix(a ^ 0x1d8e4e27c47d124fu ^ h, b ^ h >> 32 ^ seed ^ 0xeb44accab455d165u);
}

#endif
