/* The core thread: runs the node. Letters in; entries to the log, batches to the feed, questions to shards. */
#include "daemon/run/run_int.h"

#include "schema/runtime/rt_mem.h"

struct core {
	struct run *run;
	bool stopping;
	struct say_limiter slow_apply, slow_lock, hold;
};

static void release_proposals(struct raft_chunk *chunk)
{
	struct run_proposals *p = (struct run_proposals *)(void *)((char *)chunk - offsetof(struct run_proposals, chunk));
	struct run *r = p->run;
	/* one that grew for a burst is not kept */
	bool keep = p->buf.cap <= (4u << 20);
	pthread_mutex_lock(&r->pool_mutex);
	keep = keep && r->pool_count < 16;
	if (keep) {
		p->letter.next = (struct run_letter *)r->pool;
		r->pool = p;
		r->pool_count++;
	}
	pthread_mutex_unlock(&r->pool_mutex);
	if (!keep) {
		rt_buf_done(&p->buf);
		rt_free(p);
	}
}

struct run_proposals *proposals_get(struct run *r)
{
	pthread_mutex_lock(&r->pool_mutex);
	struct run_proposals *p = r->pool;
	if (p != NULL) {
		r->pool = (struct run_proposals *)p->letter.next;
		r->pool_count--;
	}
	pthread_mutex_unlock(&r->pool_mutex);
	if (p == NULL) {
		p = rt_calloc(1, sizeof *p);
		rt_buf_init(&p->buf, UINT32_MAX / 2);
	}
	rt_buf_clear(&p->buf);
	p->run = r;
	p->chunk = (struct raft_chunk){ .refs = 1, .release = release_proposals };
	return p;
}

void core_persist(struct run *r, const struct node_effects *fx)
{
	if (fx->persist_count == 0 && !fx->hard_state_dirty)
		return;
	struct log_persist *job = rt_alloc(sizeof *job + fx->persist_count * sizeof job->records[0]);
	*job = (struct log_persist){
		.letter.kind = LOG_PERSIST,
		.hard_state_dirty = fx->hard_state_dirty,
		.hard_state = fx->hard_state,
		.last_index = fx->persist_first + fx->persist_count - 1,
		.count = fx->persist_count,
	};
	for (uint64_t i = 0; i < fx->persist_count; i++) {
		const struct raft_entry *e = node_entry(r->node, fx->persist_first + i);
		job->records[i] = (struct store_log_record){
			.kind = DISK_RECORD_KIND_ENTRY, .term = e->term, .index = e->index, .payload = e->payload
		};
	}
	mail_put(&r->log_mail, &job->letter);
}

static void step(struct core *c, struct node_event *ev)
{
	struct run *r = c->run;
	struct node_effects fx;
	ev->now_ms = run_now_ms();
	ev->wall_ms = run_wall_ms();
	node_step(r->node, ev, &fx);
	core_persist(r, &fx);
	for (size_t i = 0; i < fx.ask_count; i++) {
		struct io_ask *ask = rt_calloc(1, sizeof *ask);
		ask->letter.kind = IO_ASK;
		ask->session_id = fx.asks[i].session_id;
		mail_put(&r->ios[fx.asks[i].shard].mail, &ask->letter);
	}
}

static void read_letter(struct core *c, struct run_letter *letter)
{
	struct node_event ev = { 0 };
	switch ((enum core_letter_kind)letter->kind) {
	case CORE_PROPOSALS: {
		struct run_proposals *p = (struct run_proposals *)letter;
		ev.kind = NODE_PROPOSALS;
		ev.shard = p->shard;
		ev.proposals = p->buf.p;
		ev.proposals_len = p->buf.len;
		ev.chunk = &p->chunk;
		step(c, &ev);
		raft_chunk_unref(&p->chunk);
		return;
	}
	case CORE_DURABLE:
		ev.kind = NODE_DURABLE;
		ev.index = ((struct core_durable *)letter)->index;
		step(c, &ev);
		break;
	case CORE_TOUCHES: {
		struct core_touches *t = (struct core_touches *)letter;
		ev.kind = NODE_TOUCHES;
		ev.shard = t->shard;
		ev.touches = t->touches;
		ev.touch_count = t->count;
		step(c, &ev);
		break;
	}
	case CORE_STOP:
		c->stopping = true;
		break;
	}
	rt_free(letter);
}

/* The shard that has seen least of the feed. */
static uint64_t feed_behind(const struct run *r)
{
	uint64_t least = UINT64_MAX;
	for (uint32_t i = 0; i < r->io_count; i++) {
		uint64_t fed = atomic_load(&r->ios[i].fed);
		least = fed < least ? fed : least;
	}
	return least;
}

static bool feed_has_room(struct run *r, uint64_t tail)
{
	uint64_t behind = feed_behind(r);
	return behind == UINT64_MAX || tail - behind < LIMIT_FEED_BATCHES;
}

/* Wakes the shards that a batch concerns; the others see it when they next look at the tree, but none may
 * sleep so long that the ring fills. */
static void feed_announce(struct run *r, const struct feed_batch *b, uint64_t tail)
{
	bool sessions = false;
	for (uint32_t i = 0; i < b->change_count && !sessions; i++)
		sessions = b->changes[i].kind >= CHANGE_SESSION_ATTACHED;
	for (uint32_t i = 0; i < r->io_count; i++) {
		struct run_io *io = &r->ios[i];
		uint64_t fed = atomic_load(&io->fed);
		if (sessions || b->results[i].count > 0 || atomic_load(&io->watching) ||
		    (fed != UINT64_MAX && tail - fed > LIMIT_FEED_BATCHES / 2))
			mail_poke(&io->mail);
	}
}

static void lock_for_apply(struct core *c)
{
	struct run *r = c->run;
	if (pthread_rwlock_trywrlock(&r->tree) == 0)
		return;
	int64_t from_us = run_now_us();
	pthread_rwlock_wrlock(&r->tree);
	int64_t ms = (run_now_us() - from_us) / 1000;
	if (r->conf->slow_lock_ms > 0 && ms >= r->conf->slow_lock_ms) {
		atomic_fetch_add(&r->slow_locks, 1);
		say_limited(&c->slow_lock, run_now_ms(), RUN_CONF_WARN, "apply waited %lld ms for the tree's lock", (long long)ms);
	}
}

static void apply_some(struct core *c)
{
	struct run *r = c->run;
	uint64_t tail = atomic_load(&r->feed_tail);
	struct feed_batch *b = &r->feed[tail % LIMIT_FEED_BATCHES];
	struct rt_err err;
	feed_clear(b);
	lock_for_apply(c);
	int64_t from_us = run_now_us();
	int rc = node_apply(r->node, b, LIMIT_APPLY_ENTRIES, &err);
	atomic_store(&r->feed_tail, tail + 1);
	pthread_rwlock_unlock(&r->tree);
	int64_t ms = (run_now_us() - from_us) / 1000;
	if (rc != 0)
		run_fatal("%s", err.text);
	if (r->conf->slow_apply_ms > 0 && ms >= r->conf->slow_apply_ms) {
		atomic_fetch_add(&r->slow_applies, 1);
		say_limited(&c->slow_apply, run_now_ms(), RUN_CONF_WARN,
			    "applying entries up to %lld took %lld ms (%u changes)", (long long)b->last_zxid, (long long)ms,
			    b->change_count);
	}
	node_applied(r->node, b, run_now_ms());
	feed_announce(r, b, tail + 1);
}

static void apply_ready(struct core *c)
{
	struct run *r = c->run;
	while (node_ready(r->node)) {
		if (!feed_has_room(r, atomic_load(&r->feed_tail))) {
			atomic_store(&r->feed_full, true);
			/* a shard may have drained just before it could see that */
			if (!feed_has_room(r, atomic_load(&r->feed_tail)))
				return;
		}
		atomic_store(&r->feed_full, false);
		apply_some(c);
	}
}

/* Holds the shards' writes back while more waits in memory than there should be. */
static void watch_memory(struct core *c)
{
	struct run *r = c->run;
	struct node_status st;
	node_status(r->node, &st);
	bool hold = st.bytes_in_flight > LIMIT_PROPOSAL_BYTES;
	if (hold && !atomic_load(&r->hold_writes))
		say_limited(&c->hold, run_now_ms(), RUN_CONF_WARN,
			    "the disk is behind: %llu bytes of entries wait, new writes wait with them",
			    (unsigned long long)st.bytes_in_flight);
	if (atomic_exchange(&r->hold_writes, hold) && !hold)
		for (uint32_t i = 0; i < r->io_count; i++)
			mail_poke(&r->ios[i].mail);
	atomic_store(&r->expired_sessions, st.expired_sessions);
	atomic_store(&r->term, st.term);
	atomic_store(&r->stalled_ms, (uint64_t)st.stalled_ms);
}

void *core_main(void *arg)
{
	struct core c = { .run = arg };
	struct run *r = c.run;
	while (!c.stopping) {
		struct run_letter *letter = mail_wait(&r->core_mail, node_wake_at_ms(r->node));
		if (letter == NULL)
			step(&c, &(struct node_event){ .kind = NODE_TICK });
		while (letter != NULL) {
			struct run_letter *next = letter->next;
			read_letter(&c, letter);
			letter = next;
		}
		if (node_wake_at_ms(r->node) <= run_now_ms())
			step(&c, &(struct node_event){ .kind = NODE_TICK });
		watch_memory(&c);
		apply_ready(&c);
		watch_memory(&c);
	}
	return NULL;
}
