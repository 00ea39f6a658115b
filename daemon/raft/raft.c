/* The group of one. Entries from `first` to `last` are in memory, in a ring.
 *
 * R1  first - 1 <= applied <= committed <= durable <= persisting <= last
 * R2  an entry is handed out only when committed; committed only when durable here (the majority of one) and
 *     of the leader's own term or before one of it (dissertation, 3.6.2) */
#include "daemon/raft/raft.h"

#include "schema/disk_gen.h"
#include "schema/runtime/rt_mem.h"

struct raft {
	uint32_t server_id;
	struct raft_hard_state hs;
	bool hs_dirty;
	bool leader;
	uint64_t first;
	uint64_t last;
	uint64_t persisting;
	uint64_t durable;
	uint64_t committed;
	uint64_t applied;
	uint64_t term_first; /* index of this leader's first entry */
	uint64_t bytes;
	struct raft_entry *ring;
	uint64_t ring_mask;
};

void raft_chunk_unref(struct raft_chunk *chunk)
{
	ASSERT(chunk->refs > 0);
	if (--chunk->refs == 0)
		chunk->release(chunk);
}

static void check(const struct raft *r)
{
	ASSERT(r->first <= r->applied + 1); /* R1 */
	ASSERT(r->applied <= r->committed);
	ASSERT(r->committed <= r->durable);
	ASSERT(r->durable <= r->persisting);
	ASSERT(r->persisting <= r->last);
}

struct raft *raft_new(
	uint32_t server_id, struct raft_hard_state hs, uint64_t last_index, uint64_t last_term)
{
	ASSERT(last_term <= hs.term);
	struct raft *r = rt_alloc(sizeof *r);
	*r = (struct raft){
		.server_id = server_id,
		.hs = hs,
		.first = last_index + 1,
		.last = last_index,
		.persisting = last_index,
		.durable = last_index,
		.committed = last_index,
		.applied = last_index,
		.ring_mask = 1023,
	};
	r->ring = rt_calloc(r->ring_mask + 1, sizeof *r->ring);
	return r;
}

void raft_free(struct raft *r)
{
	if (r == NULL)
		return;
	for (uint64_t i = r->first; i <= r->last; i++)
		raft_chunk_unref(r->ring[i & r->ring_mask].chunk);
	rt_free(r->ring);
	rt_free(r);
}

struct noop_chunk {
	struct raft_chunk chunk;
	uint8_t payload[DISK_ENTRY_HEADER_BYTES];
};

static void noop_release(struct raft_chunk *chunk) { rt_free(chunk); }

/* Dissertation, 3.4: a new term, a vote for itself, and in a group of one that is the majority. 6.4: a leader
 * begins with an entry that does nothing, so that what came before it can be committed. */
void raft_start(struct raft *r)
{
	ASSERT(!r->leader);
	r->hs = (struct raft_hard_state){ .term = r->hs.term + 1, .vote = r->server_id + 1 };
	r->hs_dirty = true;
	r->leader = true;
	r->term_first = r->last + 1;
	struct noop_chunk *n = rt_alloc(sizeof *n);
	n->chunk = (struct raft_chunk){ .refs = 1, .release = noop_release };
	struct rt_writer w = rt_writer_of(n->payload, sizeof n->payload);
	disk_entry_header_encode(&w,
		&(struct disk_entry_header){ .kind = DISK_ENTRY_KIND_NOOP, .level = DISK_LEVEL });
	raft_propose(r, rt_slice_of(n->payload, sizeof n->payload), &n->chunk,
		(struct feed_origin){ .shard = FEED_NO_SHARD });
	raft_chunk_unref(&n->chunk);
}

static void ring_grow(struct raft *r)
{
	uint64_t mask = r->ring_mask * 2 + 1;
	struct raft_entry *ring = rt_calloc(mask + 1, sizeof *ring);
	for (uint64_t i = r->first; i <= r->last; i++)
		ring[i & mask] = r->ring[i & r->ring_mask];
	rt_free(r->ring);
	r->ring = ring;
	r->ring_mask = mask;
}

uint64_t raft_propose(struct raft *r, struct rt_slice payload, struct raft_chunk *chunk,
	struct feed_origin origin)
{
	ASSERT(r->leader);
	if (r->last + 1 - r->first > r->ring_mask)
		ring_grow(r);
	chunk->refs++;
	r->last++;
	r->bytes += payload.len;
	r->ring[r->last & r->ring_mask] = (struct raft_entry){ .term = r->hs.term,
		.index = r->last,
		.payload = payload,
		.chunk = chunk,
		.origin = origin };
	return r->last;
}

bool raft_hard_state_dirty(const struct raft *r, struct raft_hard_state *ret)
{
	*ret = r->hs;
	return r->hs_dirty;
}

uint64_t raft_unpersisted(const struct raft *r, uint64_t *ret_first)
{
	*ret_first = r->persisting + 1;
	return r->last - r->persisting;
}

void raft_persisting(struct raft *r)
{
	r->hs_dirty = false;
	r->persisting = r->last;
}

void raft_durable(struct raft *r, uint64_t index)
{
	ASSERT(index >= r->durable);
	ASSERT(index <= r->persisting);
	r->durable = index;
	if (r->leader && index >= r->term_first) /* R2 */
		r->committed = index;
	check(r);
}

uint64_t raft_committed(const struct raft *r) { return r->committed; }
uint64_t raft_last_index(const struct raft *r) { return r->last; }
uint64_t raft_term(const struct raft *r) { return r->hs.term; }
bool raft_is_leader(const struct raft *r) { return r->leader; }
uint64_t raft_bytes(const struct raft *r) { return r->bytes; }

const struct raft_entry *raft_entry_at(const struct raft *r, uint64_t index)
{
	ASSERT(index >= r->first);
	ASSERT(index <= r->last);
	return &r->ring[index & r->ring_mask];
}

void raft_applied(struct raft *r, uint64_t index)
{
	ASSERT(index >= r->applied);
	ASSERT(index <= r->committed);
	r->applied = index;
	for (; r->first <= index; r->first++) {
		struct raft_entry *e = &r->ring[r->first & r->ring_mask];
		r->bytes -= e->payload.len;
		raft_chunk_unref(e->chunk);
		e->chunk = NULL;
	}
	check(r);
}
