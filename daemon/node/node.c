/* The node: what happens to raft, the session clock and the state, in the only order that is right.
 *
 * N1  entries are applied in order of index, each once, only when raft says committed
 * N2  an expiry is proposed only for a session that is due after its shard was asked, or that no shard has */
#include "daemon/node/node.h"

#include "daemon/base/proposals.h"
#include "daemon/node/node_clock.h"
#include "schema/disk_gen.h"
#include "schema/errors_gen.h"
#include "schema/runtime/rt_mem.h"

#define TIME_AT 4u /* of time_ms in an encoded disk_entry_header */
_Static_assert(DISK_ENTRY_HEADER_BYTES == TIME_AT + 8, "the time is patched into encoded entries");

struct node {
	struct node_config config;
	struct state *state;
	struct raft *raft; /* NULL before START */
	struct node_clock clock;
	uint64_t applied;
	uint64_t last_term; /* of the last entry read back, or applied */
	int64_t wall_ms;    /* newest stamp: never goes back */
	int64_t wake_at_ms; /* when a TICK was asked for at the latest; INT64_MAX for never */
	struct node_ask *asks;
	size_t ask_count;
	size_t ask_cap;
	uint64_t expired_sessions;
};

struct node *node_new(const struct node_config *config, struct state *state)
{
	struct node *n = rt_alloc(sizeof *n);
	*n = (struct node){
		.config = *config,
		.state = state,
		.applied = (uint64_t)state_zxid(state),
		.wall_ms = config->wall_ms,
		.wake_at_ms = INT64_MAX,
	};
	clock_init(&n->clock, config->hash_seed);
	return n;
}

void node_free(struct node *n)
{
	if (n == NULL)
		return;
	raft_free(n->raft);
	clock_done(&n->clock);
	state_free(n->state);
	rt_free(n->asks);
	rt_free(n);
}

static int apply_one(struct node *n, uint64_t index, struct rt_slice payload,
	struct feed_origin origin, struct feed_batch *fb, struct rt_err *ret_err)
{
	struct state_entry e = { .index = (int64_t)index, .payload = payload, .origin = origin };
	int rc = state_apply(n->state, &e, fb);
	if (rc == PANDO_EFORMAT)
		return rt_err_set(ret_err, rc,
			"entry %llu needs a newer pandod than this one (kind %u, level %u): install the "
			"version that wrote it, or a later one",
			(unsigned long long)index, payload.len > 0 ? payload.p[0] : 0,
			payload.len > 1 ? payload.p[1] : 0);
	if (rc != 0)
		return rt_err_set(ret_err, PANDO_ECORRUPT,
			"entry %llu cannot be decoded although its checksum is right: keep the data folder "
			"and report this",
			(unsigned long long)index);
	n->applied = index;
	return 0;
}

int node_recover(struct node *n, uint64_t index, uint64_t term, struct rt_slice payload,
	struct feed_batch *fb, struct rt_err *ret_err)
{
	ASSERT(n->raft == NULL);
	bool first = n->last_term == 0;
	n->last_term = term;
	if (index <= n->applied)
		return 0; /* the state file has it */
	if (index != n->applied + 1 && (!first || n->applied != 0))
		return rt_err_set(ret_err, PANDO_ECORRUPT,
			"entry %llu of the log follows entry %llu: what is between them is missing; restore the "
			"whole data folder from one backup",
			(unsigned long long)index, (unsigned long long)n->applied);
	int rc = apply_one(
		n, index, payload, (struct feed_origin){ .shard = FEED_NO_SHARD }, fb, ret_err);
	if (fb->last_time_ms > n->wall_ms)
		n->wall_ms = fb->last_time_ms;
	return rc;
}

void node_seal(struct node *n, struct feed_batch *fb)
{
	state_seal(n->state, fb);
	fb->mark.term = n->last_term;
	fb->mark.time_ms = n->wall_ms;
}

uint64_t node_applied_index(const struct node *n) { return n->applied; }

static int64_t stamp(struct node *n, int64_t wall_ms)
{
	if (wall_ms > n->wall_ms)
		n->wall_ms = wall_ms;
	return n->wall_ms;
}

static void propose(struct node *n, uint8_t *payload, uint32_t bytes, struct raft_chunk *chunk,
	struct feed_origin origin)
{
	ASSERT(bytes >= DISK_ENTRY_HEADER_BYTES);
	rt_store64(payload + TIME_AT, (uint64_t)n->wall_ms);
	raft_propose(n->raft, rt_slice_of(payload, bytes), chunk, origin);
}

static void step_proposals(struct node *n, const struct node_event *ev)
{
	size_t at = 0;
	struct proposal p;
	uint8_t *payload;
	while ((payload = proposals_next(ev->proposals, ev->proposals_len, &at, &p)) != NULL)
		propose(n, payload, p.bytes, ev->chunk,
			(struct feed_origin){ .shard = ev->shard, .conn = p.conn });
}

struct expire_chunk {
	struct raft_chunk chunk;
	uint8_t payload[DISK_ENTRY_HEADER_BYTES + DISK_ENTRY_SESSION_EXPIRE_BYTES];
};

static void expire_release(struct raft_chunk *chunk) { rt_free(chunk); }

static void propose_expiry(struct node *n, const struct clock_session *s)
{
	struct expire_chunk *x = rt_alloc(sizeof *x);
	x->chunk = (struct raft_chunk){ .refs = 1, .release = expire_release };
	struct rt_writer w = rt_writer_of(x->payload, sizeof x->payload);
	disk_entry_header_encode(
		&w, &(struct disk_entry_header){
			    .kind = DISK_ENTRY_KIND_SESSION_EXPIRE, .level = DISK_LEVEL });
	disk_entry_session_expire_encode(
		&w, &(struct disk_entry_session_expire){ s->id, s->generation });
	ASSERT(!w.full);
	propose(n, x->payload, sizeof x->payload, &x->chunk,
		(struct feed_origin){ .shard = FEED_NO_SHARD });
	raft_chunk_unref(&x->chunk);
	n->expired_sessions++;
}

static void ask(struct node *n, const struct clock_session *s)
{
	if (n->ask_count == n->ask_cap) {
		n->ask_cap = n->ask_cap ? n->ask_cap * 2 : 16;
		n->asks = rt_realloc(n->asks, n->ask_cap * sizeof *n->asks);
	}
	n->asks[n->ask_count++] = (struct node_ask){
		.shard = s->shard, .generation = s->generation, .session_id = s->id
	};
}

/* Woken later than it asked for by more than a tick: this server stood still, and heard nobody meanwhile. */
static void note_stall(struct node *n, int64_t now_ms)
{
	if (n->wake_at_ms != INT64_MAX && now_ms - n->wake_at_ms > (int64_t)n->config.tick_ms)
		clock_stalled(&n->clock, now_ms, now_ms - n->wake_at_ms);
}

static void plan_wake(struct node *n, int64_t now_ms)
{
	n->wake_at_ms = n->clock.sessions.count > 0 ? now_ms + n->config.tick_ms : INT64_MAX;
}

static void step_tick(struct node *n, const struct node_event *ev)
{
	if (n->raft == NULL)
		return;
	struct clock_session *s;
	while ((s = clock_pop_due(&n->clock, ev->now_ms)) != NULL) {
		if (s->shard == FEED_NO_SHARD)
			propose_expiry(n, s); /* N2 */
		else
			ask(n, s);
	}
}

/* What a shard says of a session counts only for the attach that it speaks of: a later one knows better. */
static void step_touches(struct node *n, const struct node_event *ev)
{
	for (size_t i = 0; i < ev->touch_count; i++) {
		const struct node_touch *t = &ev->touches[i];
		struct clock_session *s = clock_find(&n->clock, t->session_id);
		if (s == NULL || s->generation != t->generation)
			continue;
		bool due = clock_heard(&n->clock, s, t->heard_ms, ev->now_ms);
		/* Nobody is left to ask: the tick proposes the end when it is due. */
		if (!t->here || t->silent)
			s->shard = FEED_NO_SHARD;
		else if (due)
			clock_ask_later(&n->clock, s, ev->now_ms + n->config.tick_ms);
	}
	step_tick(n, ev);
}

struct adoption {
	struct node *n;
	int64_t now_ms;
};

static void adopt_session(void *arg, int64_t id, uint32_t generation, int32_t timeout_ms)
{
	struct adoption *a = arg;
	clock_set(&a->n->clock, id, generation, timeout_ms, FEED_NO_SHARD, a->now_ms);
}

static void step_start(struct node *n, const struct node_event *ev)
{
	ASSERT(n->raft == NULL);
	if (n->last_term == 0)
		n->applied = ev->index; /* an empty log may begin anywhere */
	ASSERT(n->applied == ev->index);
	n->raft = raft_new(n->config.server_id, ev->hs, n->applied, n->last_term);
	raft_start(n->raft);
	/* The time goes into the leader's first entry too; it lies in memory of raft's own. */
	uint64_t first;
	uint64_t count = raft_unpersisted(n->raft, &first);
	ASSERT(count == 1);
	rt_store64((uint8_t *)(uintptr_t)raft_entry_at(n->raft, first)->payload.p + TIME_AT,
		(uint64_t)n->wall_ms);
	/* A new leader gives every session its full timeout. */
	state_each_session(n->state, adopt_session, &(struct adoption){ n, ev->now_ms });
}

void node_step(struct node *n, const struct node_event *ev, struct node_effects *ret)
{
	n->ask_count = 0;
	note_stall(n, ev->now_ms);
	stamp(n, ev->wall_ms);
	switch (ev->kind) {
	case NODE_START:
		step_start(n, ev);
		break;
	case NODE_TICK:
		step_tick(n, ev);
		break;
	case NODE_PROPOSALS:
		step_proposals(n, ev);
		break;
	case NODE_DURABLE:
		raft_durable(n->raft, ev->index);
		break;
	case NODE_TOUCHES:
		step_touches(n, ev);
		break;
	}
	*ret = (struct node_effects){ .asks = n->asks, .ask_count = n->ask_count };
	ret->hard_state_dirty = raft_hard_state_dirty(n->raft, &ret->hard_state);
	ret->persist_count = raft_unpersisted(n->raft, &ret->persist_first);
	raft_persisting(n->raft);
	plan_wake(n, ev->now_ms);
}

int64_t node_wake_at_ms(const struct node *n)
{
	int64_t due_ms = clock_next_ms(&n->clock);
	return due_ms < n->wake_at_ms ? due_ms : n->wake_at_ms;
}

const struct raft_entry *node_entry(const struct node *n, uint64_t index)
{
	return raft_entry_at(n->raft, index);
}

bool node_ready(const struct node *n) { return n->applied < raft_committed(n->raft); }

int node_apply(struct node *n, struct feed_batch *fb, uint32_t max, struct rt_err *ret_err)
{
	uint64_t committed = raft_committed(n->raft);
	uint64_t bytes = 0;
	int rc = 0;
	for (; rc == 0 && max > 0 && n->applied < committed; max--) {
		const struct raft_entry *e = raft_entry_at(n->raft, n->applied + 1);
		if (bytes > LIMIT_APPLY_BYTES || fb->change_count > LIMIT_APPLY_CHANGES)
			break;
		bytes += e->payload.len;
		rc = apply_one(n, e->index, e->payload, e->origin, fb, ret_err);
		n->last_term = rc == 0 ? e->term : n->last_term;
	}
	node_seal(n, fb);
	return rc;
}

void node_applied(struct node *n, const struct feed_batch *fb, int64_t now_ms)
{
	note_stall(n, now_ms); /* a long apply is this server's own doing */
	for (uint32_t i = 0; i < fb->change_count; i++) {
		const struct change *ch = &fb->changes[i];
		if (ch->kind == CHANGE_SESSION_OPENED || ch->kind == CHANGE_SESSION_ATTACHED)
			clock_set(&n->clock, ch->session.id, ch->session.generation,
				ch->session.timeout_ms, ch->session.origin.shard, now_ms);
		else if (ch->kind == CHANGE_SESSION_CLOSED)
			clock_remove(&n->clock, ch->session.id);
	}
	raft_applied(n->raft, n->applied);
	plan_wake(n, now_ms);
}

const struct state *node_state(const struct node *n) { return n->state; }

void node_status(const struct node *n, struct node_status *ret)
{
	*ret = (struct node_status){
		.term = raft_term(n->raft),
		.last_index = raft_last_index(n->raft),
		.committed = raft_committed(n->raft),
		.applied = n->applied,
		.bytes_in_flight = raft_bytes(n->raft),
		.expired_sessions = n->expired_sessions,
		.stalled_ms = n->clock.stalled_ms,
	};
}
