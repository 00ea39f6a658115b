/* A small deterministic random source (xoshiro256++): one seed, one sequence. For tests, the random-value
 * makers and the simulator; never for secrets. */
#ifndef PANDO_RT_RAND_H
#define PANDO_RT_RAND_H

#include <stdint.h>

struct rt_rand {
	uint64_t s[4];
};

void rt_rand_seed(struct rt_rand *r, uint64_t seed);
uint64_t rt_rand_u64(struct rt_rand *r);
/* Uniform in [0, n); n > 0. */
uint64_t rt_rand_below(struct rt_rand *r, uint64_t n);

#endif
