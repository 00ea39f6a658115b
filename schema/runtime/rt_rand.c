#include "schema/runtime/rt_rand.h"

#include "schema/runtime/rt_assert.h"

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

void rt_rand_seed(struct rt_rand *r, uint64_t seed)
{
	/* splitmix64 fills the state, as the generator's authors advise */
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15u;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
		z = (z ^ z >> 27) * 0x94d049bb133111ebu;
		r->s[i] = z ^ z >> 31;
	}
}

uint64_t rt_rand_u64(struct rt_rand *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotl(s[0] + s[3], 23) + s[0];
	uint64_t t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t rt_rand_below(struct rt_rand *r, uint64_t n)
{
	ASSERT(n > 0);
	return (uint64_t)((unsigned __int128)rt_rand_u64(r) * n >> 64);
}
