#include "schema/runtime/rt_crc32c.h"

#include <string.h>

/* Eight bits at a time through one table of 16 entries for half bytes: small, and only used where the
 * processor has no instruction for it. */
static const uint32_t half_byte[16] = {
	0x00000000,
	0x105ec76f,
	0x20bd8ede,
	0x30e349b1,
	0x417b1dbc,
	0x5125dad3,
	0x61c69362,
	0x7198540d,
	0x82f63b78,
	0x92a8fc17,
	0xa24bb5a6,
	0xb21572c9,
	0xc38d26c4,
	0xd3d3e1ab,
	0xe330a81a,
	0xf36e6f75,
};

uint32_t rt_crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	crc = ~crc;
	for (; len > 0; len--) {
		crc ^= *p++;
		crc = crc >> 4 ^ half_byte[crc & 15];
		crc = crc >> 4 ^ half_byte[crc & 15];
	}
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(
	uint32_t crc, const uint8_t *p, size_t len)
{
	uint64_t c = (uint32_t)~crc;
	for (; len >= 8; len -= 8, p += 8) {
		uint64_t v;
		memcpy(&v, p, 8);
		c = __builtin_ia32_crc32di(c, v);
	}
	uint32_t r = (uint32_t)c;
	for (; len > 0; len--)
		r = __builtin_ia32_crc32qi(r, *p++);
	return ~r;
}

uint32_t rt_crc32c(uint32_t crc, const void *bytes, size_t len)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc_sse42(crc, bytes, len);
	return rt_crc32c_portable(crc, bytes, len);
}
#else
uint32_t rt_crc32c(uint32_t crc, const void *bytes, size_t len)
{
	return rt_crc32c_portable(crc, bytes, len);
}
#endif
