/* Raft (Ongaro's dissertation), the pure core: no clock, disk, network or thread. What happens is told to it,
 * what must be done is asked from it.
 *
 * This version knows a group of one: the server elects itself, its own durable log is the quorum. The order
 * of things is already that of any group: an entry is proposed, persisted, committed when a majority has it
 * durable, and only then handed out to be applied.
 *
 *     raft_start(r)                      once, after the log was read back: term + 1, vote, leader, NOOP
 *     raft_propose(r, ...)               a leader's next entry
 *     raft_unpersisted(r, ...)           what the log must write next, in this order; then raft_persisting
 *     raft_durable(r, index)             the log has synced everything up to index
 *     raft_committed(r)                  may be applied up to here; raft_entry_at hands entries out
 *     raft_applied(r, index)             applied; memory of entries that nobody needs is let go
 *
 * Entries live in chunks of memory that come from outside (a whole turn's proposals in one); a chunk is
 * released through its own function when the last entry in it is let go. One thread. */
#ifndef PANDO_RAFT_H
#define PANDO_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/feed.h"
#include "schema/runtime/rt_codec.h"

struct raft;

struct raft_chunk {
	uint32_t refs; /* the creator's own one included */
	void (*release)(struct raft_chunk *chunk);
};

void raft_chunk_unref(struct raft_chunk *chunk);

struct raft_entry {
	uint64_t term;
	uint64_t index;
	struct rt_slice payload;
	struct raft_chunk *chunk;
	struct feed_origin origin; /* who waits for it on this server */
};

struct raft_hard_state {
	uint64_t term;
	uint32_t vote; /* server voted for, plus 1; 0 for none */
};

/* What was read back from the log: everything in it is durable here. In a group of one that makes it
 * committed too: no other log can ever contradict it (dissertation, 3.6.2 concerns other members' logs). */
struct raft *raft_new(
	uint32_t server_id, struct raft_hard_state hs, uint64_t last_index, uint64_t last_term);
void raft_free(struct raft *r);

void raft_start(struct raft *r);

/* Appends an entry; takes a reference on the chunk. Only a leader may. Its index. */
uint64_t raft_propose(struct raft *r, struct rt_slice payload, struct raft_chunk *chunk,
	struct feed_origin origin);

/* True when the hard state changed since the last raft_persisting: it is to be written before the entries. */
bool raft_hard_state_dirty(const struct raft *r, struct raft_hard_state *ret);
/* Entries that were not given to the log yet: first index and count. */
uint64_t raft_unpersisted(const struct raft *r, uint64_t *ret_first);
/* All of that is on its way to the log. */
void raft_persisting(struct raft *r);
/* The log synced everything up to index (and the hard state that went before it). */
void raft_durable(struct raft *r, uint64_t index);

uint64_t raft_committed(const struct raft *r);
uint64_t raft_last_index(const struct raft *r);
uint64_t raft_term(const struct raft *r);
bool raft_is_leader(const struct raft *r);
const struct raft_entry *raft_entry_at(const struct raft *r, uint64_t index);
void raft_applied(struct raft *r, uint64_t index);
/* Bytes of payload held in memory. */
uint64_t raft_bytes(const struct raft *r);

#endif
