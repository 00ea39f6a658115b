/* A binary heap of deadlines beside a table by id.
 *
 * C1  a session with heap_at other than CLOCK_NOT_QUEUED stands at heap[heap_at]
 * C2  deadlines are on a clock that is behind the monotonic one by stalled_ms, so that a stall moves them all
 *     without touching one */
#include "daemon/node/node_clock.h"

#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

void clock_init(struct node_clock *c, uint64_t hash_seed)
{
	*c = (struct node_clock){ .hash_seed = hash_seed };
	rt_set_init(&c->sessions);
}

void clock_done(struct node_clock *c)
{
	uint32_t at = 0;
	for (void *s = rt_set_each(&c->sessions, &at); s != NULL;
		s = rt_set_each(&c->sessions, &at))
		rt_free(s);
	rt_set_done(&c->sessions);
	rt_free(c->heap);
}

static uint32_t hash_of(const struct node_clock *c, int64_t id)
{
	return (uint32_t)rt_hash_u64((uint64_t)id, c->hash_seed);
}

static void heap_put(struct node_clock *c, uint32_t i, struct clock_session *s)
{
	c->heap[i] = s;
	s->heap_at = i;
}

static void heap_up(struct node_clock *c, uint32_t i, struct clock_session *s)
{
	while (i > 0 && c->heap[(i - 1) / 2]->due_ms > s->due_ms) {
		heap_put(c, i, c->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(c, i, s);
}

static void heap_down(struct node_clock *c, uint32_t i, struct clock_session *s)
{
	for (uint32_t child = 2 * i + 1; child < c->heap_count; child = 2 * i + 1) {
		if (child + 1 < c->heap_count &&
			c->heap[child + 1]->due_ms < c->heap[child]->due_ms)
			child++;
		if (c->heap[child]->due_ms >= s->due_ms)
			break;
		heap_put(c, i, c->heap[child]);
		i = child;
	}
	heap_put(c, i, s);
}

static void heap_remove(struct node_clock *c, struct clock_session *s)
{
	if (s->heap_at == CLOCK_NOT_QUEUED)
		return;
	uint32_t i = s->heap_at;
	ASSERT(i < c->heap_count);
	ASSERT(c->heap[i] == s); /* C1 */
	struct clock_session *last = c->heap[--c->heap_count];
	s->heap_at = CLOCK_NOT_QUEUED;
	if (last == s)
		return;
	if (last->due_ms < s->due_ms)
		heap_up(c, i, last);
	else
		heap_down(c, i, last);
}

static void heap_add(struct node_clock *c, struct clock_session *s)
{
	ASSERT(s->heap_at == CLOCK_NOT_QUEUED);
	if (c->heap_count == c->heap_cap) {
		c->heap_cap = c->heap_cap ? c->heap_cap * 2 : 64;
		c->heap = rt_realloc(c->heap, c->heap_cap * sizeof(struct clock_session *));
	}
	heap_up(c, c->heap_count++, s);
}

struct clock_session *clock_find(const struct node_clock *c, int64_t id)
{
	uint32_t hash = hash_of(c, id), at;
	struct clock_session *s = rt_set_first(&c->sessions, hash, &at);
	while (s != NULL && s->id != id)
		s = rt_set_next(&c->sessions, hash, &at);
	return s;
}

void clock_set(struct node_clock *c, int64_t id, uint32_t generation, int32_t timeout_ms,
	uint32_t shard, int64_t now_ms)
{
	struct clock_session *s = clock_find(c, id);
	if (s == NULL) {
		s = rt_alloc(sizeof *s);
		s->heap_at = CLOCK_NOT_QUEUED;
		s->id = id;
		rt_set_add(&c->sessions, hash_of(c, id), s);
	}
	heap_remove(c, s);
	s->generation = generation;
	s->timeout_ms = timeout_ms;
	s->shard = shard;
	s->due_ms = now_ms - c->stalled_ms + timeout_ms; /* C2 */
	heap_add(c, s);
}

void clock_remove(struct node_clock *c, int64_t id)
{
	struct clock_session *s = clock_find(c, id);
	if (s == NULL)
		return;
	heap_remove(c, s);
	rt_set_remove(&c->sessions, hash_of(c, id), s);
	rt_free(s);
}

void clock_stalled(struct node_clock *c, int64_t end_ms, int64_t length_ms)
{
	ASSERT(length_ms > 0);
	c->stalled_ms += length_ms;
	/* The oldest makes room, and its length goes to the one after it: what is forgotten errs late, never early. */
	struct clock_stall *slot = &c->stalls[c->stall_next++ % CLOCK_STALLS];
	c->stalls[c->stall_next % CLOCK_STALLS].length_ms += slot->length_ms;
	*slot = (struct clock_stall){ end_ms, length_ms };
}

bool clock_due(const struct node_clock *c, const struct clock_session *s, int64_t now_ms)
{
	return s->due_ms < now_ms - c->stalled_ms;
}

struct clock_session *clock_pop_due(struct node_clock *c, int64_t now_ms)
{
	if (c->heap_count == 0 || !clock_due(c, c->heap[0], now_ms))
		return NULL;
	struct clock_session *s = c->heap[0];
	heap_remove(c, s);
	return s;
}

bool clock_heard(struct node_clock *c, struct clock_session *s, int64_t heard_ms, int64_t now_ms)
{
	/* What the server slept through after that moment does not count against the session. */
	int64_t slept_ms = 0;
	for (uint32_t i = 0; i < CLOCK_STALLS; i++)
		if (c->stalls[i].end_ms > heard_ms)
			slept_ms += c->stalls[i].length_ms;
	int64_t due_ms = heard_ms + slept_ms - c->stalled_ms + s->timeout_ms;
	if (due_ms > s->due_ms) {
		heap_remove(c, s);
		s->due_ms = due_ms;
	}
	if (s->heap_at == CLOCK_NOT_QUEUED)
		heap_add(c, s);
	return clock_due(c, s, now_ms);
}

void clock_ask_later(struct node_clock *c, struct clock_session *s, int64_t at_ms)
{
	heap_remove(c, s);
	s->due_ms = at_ms - c->stalled_ms;
	heap_add(c, s);
}

int64_t clock_next_ms(const struct node_clock *c)
{
	return c->heap_count > 0 ? c->heap[0]->due_ms + c->stalled_ms + 1 : INT64_MAX;
}
