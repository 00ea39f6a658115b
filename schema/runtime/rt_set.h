/* A hash set of pointers with their 32-bit hashes: open addressing, linear probing, removal without
 * tombstones. The caller hashes and compares:
 *
 *     uint32_t at;
 *     for (struct x *x = rt_set_first(&s, hash, &at); x != NULL; x = rt_set_next(&s, hash, &at))
 *             if (x->key == key)
 *                     return x;
 *
 * The set must not change during such a walk. Pointers are not NULL and belong to the caller. The order
 * of rt_set_each is the hash's: nothing that a client or another server can see may depend on it. */
#ifndef PANDO_RT_SET_H
#define PANDO_RT_SET_H

#include <stdint.h>

struct rt_set_slot {
	void *p;
	uint32_t hash;
};

struct rt_set {
	struct rt_set_slot *slots;
	uint32_t mask; /* slots - 1; slots is a power of two, or none yet */
	uint32_t count;
};

void rt_set_init(struct rt_set *s);
/* The pointers themselves stay. */
void rt_set_done(struct rt_set *s);
void rt_set_add(struct rt_set *s, uint32_t hash, void *p);
/* Asserts that p is there under that hash. */
void rt_set_remove(struct rt_set *s, uint32_t hash, const void *p);
void *rt_set_first(const struct rt_set *s, uint32_t hash, uint32_t *ret_at);
void *rt_set_next(const struct rt_set *s, uint32_t hash, uint32_t *at);
/* Walks everything: start with *at = 0; NULL at the end. */
void *rt_set_each(const struct rt_set *s, uint32_t *at);

#endif
