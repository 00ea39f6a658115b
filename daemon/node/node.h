/* The node: raft, the clock of the sessions, and apply. Pure: one event in, a list of effects out; the time
 * stands in the event; there is no other time.
 *
 *     node_new with a new state or a loaded one; node_recover for each entry of the log in order, node_seal now
 *     and then and at the end; node_step(START)
 *     then: node_step for whatever happens, do its effects;
 *           while node_ready(n): node_apply under the tree's lock, hand the batch to the feed's consumers
 *
 * Ownership: an event's memory is borrowed for the call, but for the proposals' chunk (below). Effects are
 * valid until the next call. One thread (core). */
#ifndef PANDO_NODE_H
#define PANDO_NODE_H

#include "daemon/base/feed.h"
#include "daemon/raft/raft.h"
#include "daemon/state/state.h"
#include "schema/runtime/rt_err.h"

struct node;

struct node_config {
	uint32_t server_id;
	uint32_t
		tick_ms; /* how often TICK comes while there are sessions; longer gaps are the server's own stall */
	uint64_t hash_seed;
	int64_t wall_ms; /* newest stamp that the state has */
};

/* Takes the state over. */
struct node *node_new(const struct node_config *config, struct state *state);
void node_free(struct node *n);

/* An entry read back from the log, in order, before START. The same apply as for live ones, into fb; what the
 * state has already is passed over. PANDO_ECORRUPT (also for a gap) or PANDO_EFORMAT with text. */
int node_recover(struct node *n, uint64_t index, uint64_t term, struct rt_slice payload,
	struct feed_batch *fb, struct rt_err *ret_err);
/* Completes a batch that was filled by node_recover: see state_seal. */
void node_seal(struct node *n, struct feed_batch *fb);
/* The newest entry applied. */
uint64_t node_applied_index(const struct node *n);

/* What a shard last heard of a session. */
struct node_touch {
	int64_t session_id;
	uint32_t
		generation; /* of the attach that it is about: of the connection, or of the question */
	bool here;          /* false: no connection of that session at this shard */
	bool silent; /* here, asked, and not heard for its timeout: the shard has let it go */
	int64_t heard_ms; /* monotonic time of its last byte, when here or at the connection's end; else 0 */
};

enum node_event_kind {
	NODE_START =
		1, /* the log is read back: hs is what it said of term and vote, index where it stands */
	NODE_TICK,
	NODE_PROPOSALS, /* a turn's entries of one shard, see base/proposals.h */
	NODE_DURABLE,   /* the log has synced up to index */
	NODE_TOUCHES,   /* answers to `ask`, or a connection's end */
};

struct node_event {
	enum node_event_kind kind;
	int64_t now_ms;  /* monotonic */
	int64_t wall_ms; /* since 1970; stamped into entries */
	struct raft_hard_state hs;
	uint64_t index;
	uint32_t shard;
	/* The entries and the chunk that they lie in; the node writes the time into them and keeps a reference
	 * of its own on the chunk as long as it needs them. */
	uint8_t *proposals;
	size_t proposals_len;
	struct raft_chunk *chunk;
	const struct node_touch *touches;
	size_t touch_count;
};

struct node_ask {
	uint32_t shard;
	uint32_t generation;
	int64_t session_id;
};

struct node_effects {
	/* To the log, in this order, and then a sync; NODE_DURABLE with the last index is the answer. */
	bool hard_state_dirty;
	struct raft_hard_state hard_state;
	uint64_t persist_first;
	uint64_t persist_count; /* raft_entry_at through node_entry */
	/* Ask these shards for their newest touch of these sessions; NODE_TOUCHES is the answer. */
	const struct node_ask *asks;
	size_t ask_count;
};

void node_step(struct node *n, const struct node_event *ev, struct node_effects *ret);

/* When the next TICK is needed (monotonic); INT64_MAX for never. Coming much later than that counts as this
 * server's own stall. */
int64_t node_wake_at_ms(const struct node *n);

/* An entry that an effect names; valid until it is applied. */
const struct raft_entry *node_entry(const struct node *n, uint64_t index);

/* True when committed entries wait for apply. */
bool node_ready(const struct node *n);
/* Applies up to max entries and fills fb (cleared by the caller). The caller holds the tree's lock on the
 * write side. PANDO_EFORMAT or PANDO_ECORRUPT: this server must stop; what was applied before stands in fb. */
int node_apply(struct node *n, struct feed_batch *fb, uint32_t max, struct rt_err *ret_err);
/* After the lock is let go: sessions opened and closed reach the clock, entries their end. */
void node_applied(struct node *n, const struct feed_batch *fb, int64_t now_ms);

/* For shards, under the tree's lock. */
const struct state *node_state(const struct node *n);

struct node_status {
	uint64_t term;
	uint64_t last_index;
	uint64_t committed;
	uint64_t applied;
	uint64_t bytes_in_flight;
	uint64_t expired_sessions; /* since the start */
	int64_t stalled_ms;        /* of this server, since the start */
};
void node_status(const struct node *n, struct node_status *ret);

#endif
