/* The core thread: runs the node. Letters in; entries to the log, batches to the feed, questions to shards. */
#include "daemon/run/run_int.h"

#include "schema/runtime/rt_mem.h"

#define ROOM_CHECK_BYTES (1u << 20)
#define RELEASE_ROWS 2000u /* of a cut that is done with, freed in one turn */

struct core {
	struct run *run;
	bool stopping;
	bool writing;                /* a cut is with the store thread */
	uint64_t room_bytes;         /* of log since the room on the disk was last looked at */
	uint64_t cut_bytes;          /* of log since the last cut */
	uint64_t checkpoint_bytes;   /* of log since the last checkpoint that was asked for */
	struct store_cut *releasing; /* one that is back, dropped a piece a turn */
	int64_t cut_due_ms;          /* when what has been folded must go; INT64_MAX for nothing */
	struct say_limiter slow_apply, slow_lock, hold;
};

static void release_proposals(struct raft_chunk *chunk)
{
	struct run_proposals *p =
		(struct run_proposals *)(void *)((char *)chunk -
						 offsetof(struct run_proposals, chunk));
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

uint64_t core_persist(struct run *r, const struct node_effects *fx)
{
	uint64_t bytes = 0;
	if (fx->persist_count == 0 && !fx->hard_state_dirty)
		return 0;
	struct log_persist *job =
		rt_alloc(sizeof *job + fx->persist_count * sizeof job->records[0]);
	*job = (struct log_persist){
		.letter.kind = LOG_PERSIST,
		.hard_state_dirty = fx->hard_state_dirty,
		.hard_state = fx->hard_state,
		.last_index = fx->persist_first + fx->persist_count - 1,
		.count = fx->persist_count,
	};
	for (uint64_t i = 0; i < fx->persist_count; i++) {
		const struct raft_entry *e = node_entry(r->node, fx->persist_first + i);
		job->records[i] = (struct store_log_record){ .kind = DISK_RECORD_KIND_ENTRY,
			.term = e->term,
			.index = e->index,
			.payload = e->payload };
		bytes += DISK_RECORD_HEADER_BYTES + e->payload.len;
	}
	mail_put(&r->log_mail, &job->letter);
	return bytes;
}

static void step(struct core *c, struct node_event *ev)
{
	struct run *r = c->run;
	struct node_effects fx;
	ev->now_ms = run_now_ms();
	ev->wall_ms = run_wall_ms();
	node_step(r->node, ev, &fx);
	uint64_t bytes = core_persist(r, &fx);
	c->cut_bytes += bytes;
	c->checkpoint_bytes += bytes;
	c->room_bytes += bytes;
	for (size_t i = 0; i < fx.ask_count; i++) {
		struct io_ask *ask = rt_calloc(1, sizeof *ask);
		ask->letter.kind = IO_ASK;
		ask->session_id = fx.asks[i].session_id;
		ask->generation = fx.asks[i].generation;
		mail_put(&r->ios[fx.asks[i].shard].mail, &ask->letter);
	}
}

/* A cut is in the state file: the log may forget what that has, and the cut's memory goes. */
static void stored(struct core *c, const struct store_write *w)
{
	struct run *r = c->run;
	c->writing = false;
	ASSERT(c->releasing == NULL);
	c->releasing = w->cut;
	atomic_store(&r->cut_bytes, 0);
	atomic_store(&r->state_index, w->checkpointed_index);
	struct run_letter *letter = rt_calloc(1, sizeof *letter);
	letter->kind = LOG_RECYCLE;
	mail_put(&r->log_mail, letter);
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
	case CORE_STORED:
		stored(c, (struct store_write *)letter);
		break;
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

/* What every shard has seen holds nothing any more, above all no data of nodes that have changed since. */
static void feed_let_go(struct run *r)
{
	uint64_t behind = feed_behind(r), tail = atomic_load(&r->feed_tail);
	behind = behind < tail ? behind : tail;
	/* the slots of older ones have newer batches in them, which not every shard has seen */
	if (tail - r->feed_cleared > LIMIT_FEED_BATCHES)
		r->feed_cleared = tail - LIMIT_FEED_BATCHES;
	for (; r->feed_cleared < behind; r->feed_cleared++)
		feed_clear(&r->feed[r->feed_cleared % LIMIT_FEED_BATCHES]);
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
		sessions = b->changes[i].kind == CHANGE_SESSION_ATTACHED ||
			   b->changes[i].kind == CHANGE_SESSION_CLOSED;
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
		say_limited(&c->slow_lock, run_now_ms(), RUN_CONF_WARN,
			"apply waited %lld ms for the tree's lock", (long long)ms);
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
			"applying entries up to %lld took %lld ms (%u changes)",
			(long long)b->last_zxid, (long long)ms, b->change_count);
	}
	node_applied(r->node, b, run_now_ms());
	store_fold_add(r->fold, b);
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
	size_t rows = store_fold_rows(r->fold);
	atomic_store(&r->fold_rows, rows);
	atomic_store(&r->fold_bytes, store_fold_bytes(r->fold));
	/* the store thread looks now and then; a fast disk is full before that */
	if (c->room_bytes > ROOM_CHECK_BYTES) {
		c->room_bytes = 0;
		if (store_room_short(r))
			atomic_store(&r->disk_full, true);
	}
	bool hold = st.bytes_in_flight > LIMIT_PROPOSAL_BYTES || rows > LIMIT_FOLD_ROWS_MAX;
	if (hold && !atomic_load(&r->hold_writes))
		say_limited(&c->hold, run_now_ms(), RUN_CONF_WARN,
			"the disk is behind: %llu bytes of entries and %llu rows wait for it, new writes wait with "
			"them",
			(unsigned long long)st.bytes_in_flight, (unsigned long long)rows);
	if (atomic_exchange(&r->hold_writes, hold) && !hold)
		for (uint32_t i = 0; i < r->io_count; i++)
			mail_poke(&r->ios[i].mail);
	atomic_store(&r->expired_sessions, st.expired_sessions);
	atomic_store(&r->term, st.term);
	atomic_store(&r->stalled_ms, (uint64_t)st.stalled_ms);
}

/* Hands what has been folded to the store thread, when it is time or there is much of it. */
static void cut_fold(struct core *c, bool now)
{
	struct run *r = c->run;
	if (c->releasing != NULL && store_cut_release(c->releasing, RELEASE_ROWS))
		c->releasing = NULL;
	if (store_fold_zxid(r->fold) == 0) {
		c->cut_due_ms = INT64_MAX;
		return;
	}
	int64_t now_ms = run_now_ms();
	if (c->cut_due_ms == INT64_MAX)
		c->cut_due_ms = now_ms + r->conf->state_interval_ms;
	if (c->writing || c->releasing != NULL)
		return;
	/* few rows that change all the time: the log must not grow for it */
	uint64_t log_bytes_max = LIMIT_CUT_SEGMENTS * (uint64_t)r->conf->log_segment_bytes;
	if (!now && now_ms < c->cut_due_ms && store_fold_rows(r->fold) < LIMIT_FOLD_ROWS &&
		c->cut_bytes < log_bytes_max)
		return;
	struct store_write *w = rt_calloc(1, sizeof *w);
	w->letter.kind = STORE_WRITE;
	w->cut = store_fold_cut(r->fold);
	atomic_store(&r->cut_bytes, store_cut_bytes(w->cut));
	w->checkpoint = c->checkpoint_bytes >= log_bytes_max;
	c->cut_bytes = 0;
	c->checkpoint_bytes = w->checkpoint ? 0 : c->checkpoint_bytes;
	c->writing = true;
	c->cut_due_ms = INT64_MAX;
	mail_put(&r->store_mail, &w->letter);
}

/* When the core has to look again even if nothing comes. */
static int64_t wake_at_ms(const struct core *c)
{
	if (c->releasing != NULL)
		return 0;
	int64_t node_ms = node_wake_at_ms(c->run->node);
	int64_t cut_ms = c->writing ? INT64_MAX : c->cut_due_ms;
	return cut_ms < node_ms ? cut_ms : node_ms;
}

void *core_main(void *arg)
{
	struct core c = { .run = arg, .cut_due_ms = INT64_MAX };
	struct run *r = c.run;
	while (!c.stopping) {
		struct run_letter *letter = mail_wait(&r->core_mail, wake_at_ms(&c));
		while (letter != NULL) {
			struct run_letter *next = letter->next;
			read_letter(&c, letter);
			letter = next;
		}
		if (node_wake_at_ms(r->node) <= run_now_ms())
			step(&c, &(struct node_event){ .kind = NODE_TICK });
		apply_ready(&c);
		feed_let_go(r);
		cut_fold(&c, false);
		watch_memory(&c);
	}
	/* The end: all that was applied goes into the state file, so that the next start reads little back. */
	for (bool last = false; !last;) {
		cut_fold(&c, true);
		last = !c.writing && c.releasing == NULL;
		struct run_letter *letter =
			last ? NULL : mail_wait(&r->core_mail, c.writing ? INT64_MAX : 0);
		while (letter != NULL) {
			struct run_letter *next = letter->next;
			read_letter(&c, letter);
			letter = next;
		}
	}
	return NULL;
}
