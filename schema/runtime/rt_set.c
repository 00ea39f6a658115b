#include "schema/runtime/rt_set.h"

#include <stddef.h>

#include "schema/runtime/rt_assert.h"
#include "schema/runtime/rt_mem.h"

void rt_set_init(struct rt_set *s) { *s = (struct rt_set){ 0 }; }

void rt_set_done(struct rt_set *s)
{
	rt_free(s->slots);
	rt_set_init(s);
}

static void place(struct rt_set *s, uint32_t hash, void *p)
{
	uint32_t i = hash & s->mask;
	while (s->slots[i].p != NULL)
		i = (i + 1) & s->mask;
	s->slots[i] = (struct rt_set_slot){ p, hash };
}

static void grow(struct rt_set *s)
{
	struct rt_set_slot *old = s->slots;
	uint32_t n = old != NULL ? s->mask + 1 : 0;
	ASSERT(n < UINT32_C(1) << 31);
	uint32_t size = n != 0 ? n * 2 : 16;
	s->slots = rt_calloc(size, sizeof *s->slots);
	s->mask = size - 1;
	for (uint32_t i = 0; i < n; i++)
		if (old[i].p != NULL)
			place(s, old[i].hash, old[i].p);
	rt_free(old);
}

void rt_set_add(struct rt_set *s, uint32_t hash, void *p)
{
	ASSERT(p != NULL);
	if (s->slots == NULL || (uint64_t)(s->count + 1) * 4 > (uint64_t)(s->mask + 1) * 3)
		grow(s);
	place(s, hash, p);
	s->count++;
}

void rt_set_remove(struct rt_set *s, uint32_t hash, const void *p)
{
	ASSERT(s->count > 0);
	uint32_t i = hash & s->mask;
	while (s->slots[i].p != p) {
		ASSERT(s->slots[i].p != NULL);
		i = (i + 1) & s->mask;
	}
	/* Close the gap: pull back every later one whose home is at or before it. */
	for (uint32_t j = (i + 1) & s->mask; s->slots[j].p != NULL; j = (j + 1) & s->mask) {
		uint32_t home = s->slots[j].hash & s->mask;
		if (((j - home) & s->mask) >= ((j - i) & s->mask)) {
			s->slots[i] = s->slots[j];
			i = j;
		}
	}
	s->slots[i] = (struct rt_set_slot){ NULL, 0 };
	s->count--;
}

static void *scan(const struct rt_set *s, uint32_t hash, uint32_t i, uint32_t *ret_at)
{
	for (; s->slots[i].p != NULL; i = (i + 1) & s->mask) {
		if (s->slots[i].hash == hash) {
			*ret_at = i;
			return s->slots[i].p;
		}
	}
	return NULL;
}

void *rt_set_first(const struct rt_set *s, uint32_t hash, uint32_t *ret_at)
{
	if (s->count == 0)
		return NULL;
	return scan(s, hash, hash & s->mask, ret_at);
}

void *rt_set_next(const struct rt_set *s, uint32_t hash, uint32_t *at)
{
	return scan(s, hash, (*at + 1) & s->mask, at);
}

void *rt_set_each(const struct rt_set *s, uint32_t *at)
{
	if (s->slots == NULL)
		return NULL;
	for (; *at <= s->mask; ++*at)
		if (s->slots[*at].p != NULL)
			return s->slots[(*at)++].p;
	return NULL;
}
