/* The leader's clock of the sessions: who is due, and how long this server stood still itself.
 *
 * A deadline that passes is a question, not an expiry: the shard that has the client is asked what it heard
 * last. Time in which this server stood still (a paused process, a long turn) is taken out of the count for
 * every session, since nobody could be heard in it. Pure; one thread. */
#ifndef PANDO_NODE_CLOCK_H
#define PANDO_NODE_CLOCK_H

#include "daemon/base/feed.h"
#include "schema/runtime/rt_set.h"

#define CLOCK_STALLS 16u

struct clock_session {
	int64_t id;
	int64_t due_ms; /* on the clock that stops while the server stands still */
	uint32_t generation;
	int32_t timeout_ms;
	uint32_t shard;   /* that has its connection, or FEED_NO_SHARD */
	uint32_t heap_at; /* CLOCK_NOT_QUEUED while it is asked about or its expiry is on its way */
};
#define CLOCK_NOT_QUEUED UINT32_MAX

struct clock_stall {
	int64_t end_ms;
	int64_t length_ms;
};

struct node_clock {
	struct rt_set sessions;
	struct clock_session **heap;
	uint32_t heap_count;
	uint32_t heap_cap;
	uint64_t hash_seed;
	int64_t stalled_ms; /* in all */
	struct clock_stall stalls[CLOCK_STALLS];
	uint32_t stall_next;
};

void clock_init(struct node_clock *c, uint64_t hash_seed);
void clock_done(struct node_clock *c);

/* A session opened or attached: its full timeout from now. */
void clock_set(struct node_clock *c, int64_t id, uint32_t generation, int32_t timeout_ms,
	uint32_t shard, int64_t now_ms);
void clock_remove(struct node_clock *c, int64_t id);
struct clock_session *clock_find(const struct node_clock *c, int64_t id);

/* The server stood still for length_ms until end_ms. */
void clock_stalled(struct node_clock *c, int64_t end_ms, int64_t length_ms);

/* Whether its deadline has passed. Milliseconds are cut, not rounded: only one beyond the deadline is certain. */
bool clock_due(const struct node_clock *c, const struct clock_session *s, int64_t now_ms);
/* Takes out of the queue, and returns, a session whose deadline has passed; NULL when there is none. */
struct clock_session *clock_pop_due(struct node_clock *c, int64_t now_ms);
/* Back into the queue: heard of at heard_ms. True when that leaves it due still. */
bool clock_heard(struct node_clock *c, struct clock_session *s, int64_t heard_ms, int64_t now_ms);
/* It was heard of, though long ago, and is not to be expired: the question is asked again at that time. */
void clock_ask_later(struct node_clock *c, struct clock_session *s, int64_t at_ms);
/* When the next deadline is; INT64_MAX for never. */
int64_t clock_next_ms(const struct node_clock *c);

#endif
