/* The node: entries from the log to the tree in the one right order, and the clock of the sessions. Never early:
 * a session ends only when it was silent for its whole timeout, by the word of the shard that has it, with the
 * time in which this server stood still taken out. */
#include "tests/unit/unit.h"

#include "daemon/base/proposals.h"
#include "daemon/node/node.h"
#include "schema/runtime/rt_mem.h"
#include "tests/lib/make.h"

#define TICK 100
#define TIMEOUT 4000
#define TIME_AT 4 /* of the stamp in an entry */

static struct node *n;
static struct node_effects fx;
static struct feed_batch fb;
static struct rt_err err;
static int64_t now_ms;
static int64_t wall_ms;
static uint64_t last_index; /* given to the log */
static struct raft_hard_state hs;

static void step(struct node_event ev)
{
	ev.now_ms = now_ms;
	ev.wall_ms = wall_ms;
	node_step(n, &ev, &fx);
	if (fx.persist_count > 0)
		last_index = fx.persist_first + fx.persist_count - 1;
	if (fx.hard_state_dirty)
		hs = fx.hard_state;
}

static void fresh(void)
{
	n = node_new(&(struct node_config){ .server_id = 2, .tick_ms = TICK, .hash_seed = 3 },
		state_new(5));
}

static void start(uint64_t index)
{
	step((struct node_event){ .kind = NODE_START, .hs = hs, .index = index });
}

static void begin(void)
{
	now_ms = 50000;
	wall_ms = 1600000000000;
	last_index = 0;
	hs = (struct raft_hard_state){ 0 };
	feed_init(&fb);
	fresh();
}

static void end(void)
{
	feed_done(&fb);
	node_free(n);
}

/* Durable, applied, and the batch left in fb. */
static void commit(void)
{
	step((struct node_event){ .kind = NODE_DURABLE, .index = last_index });
	feed_clear(&fb);
	while (node_ready(n))
		ck_assert_int_eq(node_apply(n, &fb, 1000, &err), 0);
	node_applied(n, &fb, now_ms);
}

struct chunk {
	struct raft_chunk chunk;
	struct rt_buf buf;
};

static void release(struct raft_chunk *chunk)
{
	struct chunk *c = (struct chunk *)(void *)chunk;
	rt_buf_done(&c->buf);
	rt_free(c);
}

/* Proposes an entry for a shard's connection 9. */
static void propose(uint32_t shard, const struct rt_buf *payload)
{
	struct chunk *c = rt_calloc(1, sizeof *c);
	c->chunk = (struct raft_chunk){ .refs = 1, .release = release };
	rt_buf_init(&c->buf, 1 << 20);
	memcpy(proposals_add(&c->buf, (uint32_t)payload->len, 9), payload->p, payload->len);
	step((struct node_event){ .kind = NODE_PROPOSALS,
		.shard = shard,
		.proposals = c->buf.p,
		.proposals_len = c->buf.len,
		.chunk = &c->chunk });
	raft_chunk_unref(&c->chunk);
}

/* A session of a shard, applied: its id. */
static int64_t open_session(uint32_t shard)
{
	struct rt_buf b;
	rt_buf_init(&b, 1 << 20);
	make_open(
		&b, 0, &(struct disk_entry_session_open){ .server_id = 2, .timeout_ms = TIMEOUT });
	propose(shard, &b);
	rt_buf_done(&b);
	commit();
	ck_assert_uint_eq(fb.results[shard].count, 1);
	return fb.results[shard].v[0].session.id;
}

static void attach_session(uint32_t shard, int64_t id)
{
	static const uint8_t passwd[16];
	struct rt_buf b;
	rt_buf_init(&b, 1 << 20);
	make_attach(&b, 0,
		&(struct disk_entry_session_attach){
			.session_id = id, .passwd = { passwd, 16 }, .timeout_ms = TIMEOUT });
	propose(shard, &b);
	rt_buf_done(&b);
	commit();
	ck_assert_int_eq(fb.results[shard].v[0].err, 0);
}

/* Time goes by, with a tick whenever it is due; stops as soon as somebody is asked or something is proposed. */
static bool live(int64_t ms)
{
	for (int64_t until = now_ms + ms; now_ms < until;) {
		int64_t wake = node_wake_at_ms(n);
		int64_t to = wake < until ? wake : until;
		now_ms = to > now_ms ? to : now_ms + 1;
		if (now_ms >= wake)
			step((struct node_event){ .kind = NODE_TICK });
		if (now_ms >= wake && (fx.ask_count > 0 || fx.persist_count > 0))
			return true;
	}
	return false;
}

static void touch_of(uint32_t shard, struct node_touch t)
{
	step((struct node_event){
		.kind = NODE_TOUCHES, .shard = shard, .touches = &t, .touch_count = 1 });
}

/* What shards say of the first attach of a session. */
static void here(uint32_t shard, int64_t id, int64_t heard_ms)
{
	touch_of(shard, (struct node_touch){ id, 1, .here = true, .heard_ms = heard_ms });
}

static void silent(uint32_t shard, int64_t id, int64_t heard_ms)
{
	touch_of(shard,
		(struct node_touch){ id, 1, .here = true, .silent = true, .heard_ms = heard_ms });
}

static void gone(uint32_t shard, int64_t id, int64_t heard_ms)
{
	touch_of(shard, (struct node_touch){ id, 1, .heard_ms = heard_ms });
}

static bool any_session(void)
{
	struct state_counts counts;
	state_counts(node_state(n), &counts);
	return counts.sessions > 0;
}

/* --- order */

START_TEST(test_start_persists_a_term_and_a_noop_and_applies_it_when_durable)
{
	start(0);
	ck_assert(fx.hard_state_dirty);
	ck_assert_uint_eq(fx.hard_state.term, 1);
	ck_assert_uint_eq(fx.persist_first, 1);
	ck_assert_uint_eq(fx.persist_count, 1);
	ck_assert(!node_ready(n));
	const struct raft_entry *e = node_entry(n, 1);
	ck_assert_uint_eq(rt_load64(e->payload.p + TIME_AT), (uint64_t)wall_ms);
	commit();
	ck_assert_int_eq(state_zxid(node_state(n)), 1);
	ck_assert_int_eq(node_wake_at_ms(n), INT64_MAX); /* no session, no tick */
}
END_TEST

START_TEST(test_empty_log_may_begin_anywhere)
{
	start(1000000);
	ck_assert_uint_eq(fx.persist_first, 1000001);
	commit();
	ck_assert_int_eq(state_zxid(node_state(n)), 1000001);
}
END_TEST

START_TEST(test_nothing_is_applied_before_it_is_durable_and_then_in_order)
{
	struct rt_buf b;
	struct node_status st;
	rt_buf_init(&b, 1000);
	make_open(
		&b, 0, &(struct disk_entry_session_open){ .server_id = 2, .timeout_ms = TIMEOUT });
	start(0);
	commit();
	for (int i = 0; i < 10; i++)
		propose(0, &b);
	ck_assert(!node_ready(n));
	step((struct node_event){ .kind = NODE_DURABLE, .index = 5 });
	feed_clear(&fb);
	ck_assert_int_eq(node_apply(n, &fb, 2, &err), 0);
	ck_assert_int_eq(fb.last_zxid, 3);
	ck_assert(node_ready(n));
	ck_assert_int_eq(node_apply(n, &fb, 100, &err), 0);
	ck_assert_int_eq(fb.last_zxid, 5);
	ck_assert(!node_ready(n));
	ck_assert_uint_eq(fb.results[0].count, 4);
	node_applied(n, &fb, now_ms);
	node_status(n, &st);
	ck_assert_uint_eq(st.last_index, 11);
	ck_assert_uint_eq(st.applied, 5);
	ck_assert_uint_eq(st.bytes_in_flight, 6 * b.len);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_entries_are_stamped_with_a_time_that_never_goes_back)
{
	start(0);
	commit();
	open_session(0);
	ck_assert_int_eq(fb.last_time_ms, wall_ms);
	wall_ms -= 100000;
	open_session(0);
	ck_assert_int_eq(fb.last_time_ms, wall_ms + 100000);
	wall_ms += 200000;
	open_session(0);
	ck_assert_int_eq(fb.last_time_ms, wall_ms);
}
END_TEST

/* --- recovery */

static int try_recover(uint64_t index, const struct rt_buf *payload)
{
	return node_recover(n, index, 4, make_slice(payload), &fb, &err);
}

static void recover(uint64_t index, const struct rt_buf *payload)
{
	ck_assert_int_eq(try_recover(index, payload), 0);
	ck_assert_uint_eq(node_applied_index(n), index);
}

START_TEST(test_recovered_entries_are_applied_and_the_log_goes_on_behind_them)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	make_open(&b, wall_ms + 500,
		&(struct disk_entry_session_open){ .server_id = 2, .timeout_ms = TIMEOUT });
	for (uint64_t i = 41; i <= 50; i++)
		recover(i, &b);
	hs = (struct raft_hard_state){ .term = 4, .vote = 3 };
	start(50);
	ck_assert_uint_eq(fx.hard_state.term, 5);
	ck_assert_uint_eq(fx.persist_first, 51);
	/* the newest stamp of the log counts, although this server's clock is behind it */
	ck_assert_uint_eq(
		rt_load64(node_entry(n, 51)->payload.p + TIME_AT), (uint64_t)wall_ms + 500);
	commit();
	struct state_counts counts;
	state_counts(node_state(n), &counts);
	ck_assert_uint_eq(counts.sessions, 10);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_recovered_batches_are_sealed_with_term_and_time)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	make_open(&b, 700,
		&(struct disk_entry_session_open){ .server_id = 2, .timeout_ms = TIMEOUT });
	recover(1, &b);
	recover(2, &b);
	node_seal(n, &fb);
	ck_assert_int_eq(fb.mark.zxid, 2);
	ck_assert_uint_eq(fb.mark.term, 4);
	ck_assert_int_eq(fb.mark.time_ms, 700);
	ck_assert_int_eq(fb.mark.next_node_id, 5);
	uint64_t digest = fb.mark.digest;
	feed_clear(&fb);
	ck_assert_int_eq(node_recover(n, 3, 5, make_slice(&b), &fb, &err), 0);
	node_seal(n, &fb);
	ck_assert_uint_eq(fb.change_count, 1);
	ck_assert_uint_eq(fb.mark.term, 5);
	ck_assert_uint_ne(fb.mark.digest, digest);
	for (uint32_t i = 0; i < LIMIT_IO_THREADS; i++)
		ck_assert_uint_eq(fb.results[i].count, 0);
	feed_clear(&fb);
	hs = (struct raft_hard_state){ .term = 5, .vote = 3 };
	start(3);
	commit();
	ck_assert_uint_eq(fb.mark.term, 6);
	ck_assert_int_eq(fb.mark.zxid, 4);
	ck_assert_int_eq(fb.mark.time_ms, wall_ms);
	rt_buf_done(&b);
}
END_TEST

/* A state that was built from the first entries, as one that is loaded from a file. */
static struct state *state_with(uint64_t index, const struct rt_buf *payload)
{
	struct state *s = state_new(9);
	for (uint64_t i = 1; i <= index; i++) {
		struct state_entry e = { .index = (int64_t)i,
			.payload = make_slice(payload),
			.origin = { .shard = FEED_NO_SHARD } };
		ck_assert_int_eq(state_apply(s, &e, &fb), 0);
	}
	state_seal(s, &fb);
	feed_clear(&fb);
	return s;
}

START_TEST(test_entries_that_the_state_has_are_passed_over)
{
	struct rt_buf b;
	struct state_counts counts;
	rt_buf_init(&b, 1000);
	make_open(&b, 700,
		&(struct disk_entry_session_open){ .server_id = 2, .timeout_ms = TIMEOUT });
	node_free(n);
	n = node_new(&(struct node_config){ .server_id = 2, .tick_ms = TICK, .wall_ms = 900 },
		state_with(6, &b));
	ck_assert_uint_eq(node_applied_index(n), 6);
	for (uint64_t i = 3; i <= 6; i++)
		ck_assert_int_eq(try_recover(i, &b), 0);
	ck_assert_uint_eq(fb.change_count, 0);
	ck_assert_uint_eq(node_applied_index(n), 6);
	recover(7, &b);
	ck_assert_uint_eq(fb.change_count, 1);
	node_seal(n, &fb);
	ck_assert_int_eq(fb.mark.time_ms, 900); /* the newest stamp that the state has */
	hs = (struct raft_hard_state){ .term = 4, .vote = 3 };
	start(7);
	ck_assert_uint_eq(fx.persist_first, 8);
	commit();
	state_counts(node_state(n), &counts);
	ck_assert_uint_eq(counts.sessions, 7);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_log_that_begins_behind_the_state_is_refused)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	make_noop(&b, 1);
	node_free(n);
	n = node_new(&(struct node_config){ .server_id = 2, .tick_ms = TICK }, state_with(6, &b));
	ck_assert_int_eq(try_recover(8, &b), PANDO_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.text, "8"));
	ck_assert_uint_eq(node_applied_index(n), 6);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_recovered_sessions_get_their_full_timeout)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	make_open(
		&b, 1, &(struct disk_entry_session_open){ .server_id = 2, .timeout_ms = TIMEOUT });
	recover(1, &b);
	hs = (struct raft_hard_state){ .term = 4, .vote = 3 };
	start(1);
	commit();
	int64_t since_ms = now_ms;
	ck_assert(live(3 * TIMEOUT));
	ck_assert_int_gt(now_ms - since_ms, TIMEOUT);
	ck_assert_int_le(now_ms - since_ms, TIMEOUT + 2 * TICK);
	ck_assert_uint_eq(fx.ask_count, 0); /* no shard has it: nobody to ask */
	commit();
	ck_assert(!any_session());
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_recovery_refuses_a_gap_and_what_it_does_not_know)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	make_noop(&b, 1);
	recover(7, &b);
	ck_assert_int_eq(try_recover(9, &b), PANDO_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.text, "9"));
	recover(8, &b);
	b.p[1] = DISK_LEVEL + 1;
	ck_assert_int_eq(try_recover(9, &b), PANDO_EFORMAT);
	ck_assert_ptr_nonnull(strstr(err.text, "newer"));
	b.p[1] = DISK_LEVEL;
	b.p[3] = 1; /* a flag */
	ck_assert_int_eq(try_recover(9, &b), PANDO_EFORMAT);
	b.p[3] = 0;
	b.p[0] = 99;
	ck_assert_int_eq(try_recover(9, &b), PANDO_EFORMAT);
	b.len = 3;
	ck_assert_int_eq(try_recover(9, &b), PANDO_ECORRUPT);
	rt_buf_done(&b);
}
END_TEST

/* --- the clock */

START_TEST(test_silent_session_is_asked_about_and_then_ended)
{
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	ck_assert(live(3 * TIMEOUT));
	ck_assert_int_gt(now_ms - since_ms, TIMEOUT);
	ck_assert_int_le(now_ms - since_ms, TIMEOUT + TICK);
	ck_assert_uint_eq(fx.ask_count, 1);
	ck_assert_uint_eq(fx.asks[0].shard, 1);
	ck_assert_int_eq(fx.asks[0].session_id, id);
	ck_assert_uint_eq(fx.persist_count, 0);
	silent(1, id, since_ms);
	ck_assert_uint_eq(fx.persist_count, 1);
	commit();
	ck_assert_uint_eq(fb.change_count, 1);
	ck_assert_int_eq(fb.changes[0].kind, CHANGE_SESSION_CLOSED);
	ck_assert(!any_session());
}
END_TEST

START_TEST(test_session_that_was_heard_lives_a_timeout_from_then)
{
	start(0);
	commit();
	int64_t id = open_session(1);
	for (int i = 0; i < 5; i++) {
		ck_assert(live(3 * TIMEOUT));
		ck_assert_uint_eq(fx.ask_count, 1);
		int64_t heard_ms = now_ms - 1000;
		here(1, id, heard_ms);
		ck_assert_uint_eq(fx.persist_count, 0);
		ck_assert(live(3 * TIMEOUT));
		ck_assert_int_gt(now_ms - heard_ms, TIMEOUT);
		ck_assert_int_le(now_ms - heard_ms, TIMEOUT + TICK);
		here(1, id, now_ms);
	}
	ck_assert(any_session());
}
END_TEST

START_TEST(test_question_is_asked_once)
{
	start(0);
	commit();
	open_session(1);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_uint_eq(fx.ask_count, 1);
	ck_assert(!live(
		10 *
		TIMEOUT)); /* the shard will answer: a lost letter is not among the faults here */
}
END_TEST

START_TEST(test_session_without_a_connection_keeps_the_time_of_its_last_byte)
{
	start(0);
	commit();
	int64_t id = open_session(1);
	live(1000);
	int64_t heard_ms = now_ms;
	live(500);
	gone(1, id, heard_ms);
	ck_assert_uint_eq(fx.persist_count, 0);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_uint_eq(fx.ask_count, 0);
	ck_assert_uint_eq(fx.persist_count, 1);
	ck_assert_int_gt(now_ms - heard_ms, TIMEOUT);
	ck_assert_int_le(now_ms - heard_ms, TIMEOUT + TICK);
}
END_TEST

START_TEST(test_attach_while_the_question_is_open_saves_the_session)
{
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	ck_assert(live(3 * TIMEOUT));
	attach_session(0, id);
	int64_t attached_ms = now_ms;
	gone(1, id, since_ms); /* the former shard's answer comes late */
	ck_assert_uint_eq(fx.persist_count, 0);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_int_gt(now_ms - attached_ms, TIMEOUT);
	ck_assert_uint_eq(fx.ask_count, 1);
	ck_assert_uint_eq(fx.asks[0].shard, 0);
}
END_TEST

START_TEST(test_attach_in_the_log_before_the_expiry_saves_the_session)
{
	static const uint8_t passwd[16];
	struct rt_buf b;
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	ck_assert(live(3 * TIMEOUT));
	rt_buf_init(&b, 1000);
	make_attach(&b, 0,
		&(struct disk_entry_session_attach){
			.session_id = id, .passwd = { passwd, 16 }, .timeout_ms = TIMEOUT });
	propose(0, &b);          /* on its way ... */
	silent(1, id, since_ms); /* ... when the expiry is proposed behind it */
	ck_assert_uint_eq(fx.persist_count, 1);
	commit();
	ck_assert(any_session());
	ck_assert(live(3 * TIMEOUT)); /* and its clock runs on */
	ck_assert_uint_eq(fx.ask_count, 1);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_shards_word_is_asked_for_by_its_attach)
{
	start(0);
	commit();
	int64_t id = open_session(1);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_uint_eq(fx.asks[0].generation, 1);
	attach_session(0, id);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_uint_eq(fx.asks[0].generation, 2);
	ck_assert_uint_eq(fx.asks[0].shard, 0);
}
END_TEST

/* The session has moved; whatever is said of the connection that it had before, by either shard, is past. */
START_TEST(test_word_of_another_attach_is_ignored)
{
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	live(1000);
	attach_session(_i < 4 ? 0 : 1, id);
	int64_t attached_ms = now_ms;
	uint32_t generation = _i % 4 < 2 ? 1
					 : 3; /* an end that comes late; and one that cannot be */
	struct node_touch t = { id, generation, .heard_ms = since_ms };
	if (_i % 2 == 1)
		t.here = t.silent = true;
	touch_of(1, t);
	ck_assert_uint_eq(fx.persist_count, 0);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_int_gt(now_ms - attached_ms, TIMEOUT);
	ck_assert_uint_eq(fx.ask_count, 1); /* not expired: there is somebody to ask */
	touch_of(1, t);                     /* and while the question is open */
	ck_assert_uint_eq(fx.persist_count, 0);
	ck_assert(!live(3 * TIMEOUT)); /* that was no answer to it */
	t.generation = 2;
	t.heard_ms = attached_ms;
	touch_of(fx.ask_count > 0 ? fx.asks[0].shard : 0, t);
	ck_assert_uint_eq(fx.persist_count, 1);
	commit();
	ck_assert(!any_session());
}
END_TEST

START_TEST(test_future_word_of_another_attach_does_not_prolong_either)
{
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	live(3000);
	touch_of(1, (struct node_touch){ id, 7, .here = true, .heard_ms = now_ms });
	ck_assert(live(3 * TIMEOUT));
	ck_assert_int_le(now_ms - since_ms, TIMEOUT + TICK);
	ck_assert_uint_eq(fx.ask_count, 1);
}
END_TEST

START_TEST(test_due_session_that_its_shard_does_not_call_silent_is_asked_about_again_a_tick_later)
{
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	ck_assert(live(3 * TIMEOUT));
	for (int i = 0; i < 20; i++) {
		int64_t asked_ms = now_ms;
		ck_assert_uint_eq(fx.ask_count, 1);
		here(1, id, since_ms);
		ck_assert_uint_eq(fx.persist_count, 0);
		ck_assert_uint_eq(fx.ask_count, 0);
		ck_assert(live(3 * TIMEOUT));
		ck_assert_int_ge(now_ms - asked_ms, TICK);
		ck_assert_int_le(now_ms - asked_ms, 2 * TICK + 1);
		ck_assert_uint_eq(fx.persist_count, 0);
	}
	silent(1, id, since_ms);
	ck_assert_uint_eq(fx.persist_count, 1);
	commit();
	ck_assert(!any_session());
}
END_TEST

/* The shard counts no stalls: its verdict ends the connection, the session lives on for a client that comes back. */
START_TEST(test_silent_session_keeps_what_the_server_slept_through)
{
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	live(1000);
	now_ms += 10000;
	step((struct node_event){ .kind = NODE_TICK });
	live(100);
	silent(1, id, since_ms + 900);
	ck_assert_uint_eq(fx.persist_count, 0);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_uint_eq(fx.ask_count, 0);
	ck_assert_uint_eq(fx.persist_count, 1); /* there is no connection to ask about */
	ck_assert_int_gt(now_ms - since_ms - 900, TIMEOUT + 10000 - 2 * TICK);
}
END_TEST

START_TEST(test_session_without_a_connection_that_is_asked_about_ends)
{
	start(0);
	commit();
	int64_t id = open_session(1);
	ck_assert(live(3 * TIMEOUT));
	gone(1, id, 0); /* its client was away before the handshake's answer */
	ck_assert_uint_eq(fx.persist_count, 1);
	commit();
	ck_assert(!any_session());
}
END_TEST

START_TEST(test_repeated_copy_of_an_attach_changes_nothing_for_the_clock)
{
	static const uint8_t passwd[16];
	struct rt_buf b;
	start(0);
	commit();
	int64_t id = open_session(1);
	rt_buf_init(&b, 1000);
	make_attach(&b, 0,
		&(struct disk_entry_session_attach){ .session_id = id,
			.passwd = { passwd, 16 },
			.timeout_ms = TIMEOUT,
			.nonce = 77 });
	propose(0, &b);
	commit();
	ck_assert_uint_eq(fb.results[0].v[0].session.generation, 2);
	int64_t attached_ms = now_ms;
	live(2000);
	propose(1, &b);
	commit();
	ck_assert_int_eq(fb.results[1].v[0].err, 0);
	ck_assert_uint_eq(fb.results[1].v[0].session.generation, 2);
	ck_assert_uint_eq(fb.change_count, 0);
	ck_assert(live(3 * TIMEOUT));
	ck_assert_int_le(now_ms - attached_ms, TIMEOUT + TICK);
	ck_assert_uint_eq(fx.asks[0].shard, 0);
	ck_assert_uint_eq(fx.asks[0].generation, 2);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_closed_session_is_never_due)
{
	struct rt_buf b;
	start(0);
	commit();
	int64_t id = open_session(1);
	rt_buf_init(&b, 1000);
	make_request(&b, 0,
		&(struct disk_entry_request){ .session_id = id,
			.generation = 1,
			.number = 1,
			.op = WIRE_OP_CLOSE_SESSION },
		rt_slice_str(""));
	propose(1, &b);
	commit();
	ck_assert(!any_session());
	gone(1, id, now_ms); /* its connection's end */
	ck_assert(!live(10 * TIMEOUT));
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_servers_own_stall_does_not_count)
{
	start(0);
	commit();
	int64_t id = open_session(1), since_ms = now_ms;
	live(1000);
	int64_t stall_ms = _i == 0 ? 60000 : 5000;
	now_ms += stall_ms; /* the process is paused */
	step((struct node_event){ .kind = NODE_TICK });
	ck_assert_uint_eq(fx.ask_count, 0);
	ck_assert(live(10 * TIMEOUT));
	ck_assert_int_gt(now_ms - since_ms, TIMEOUT + stall_ms - 2 * TICK);
	/* nothing was heard since before the pause: what was slept through is taken out of that as well */
	here(1, id, since_ms + 900);
	ck_assert_uint_eq(fx.persist_count, 0);
	ck_assert(live(10 * TIMEOUT));
	ck_assert_int_gt(now_ms - since_ms - 900, TIMEOUT + stall_ms - 2 * TICK);
	struct node_status st;
	node_status(n, &st);
	ck_assert_int_le(st.stalled_ms, stall_ms);
	ck_assert_int_ge(st.stalled_ms, stall_ms - 2 * TICK);
}
END_TEST

START_TEST(test_every_stall_since_the_last_word_counts)
{
	/* more stalls than are remembered, a short one and a longer one right behind it the newest */
	start(0);
	commit();
	int64_t id = open_session(1), silent_ms = 0;
	for (int i = 0; i < 15 + _i; i++) {
		now_ms += 300;
		step((struct node_event){ .kind = NODE_TICK });
	}
	int64_t heard_ms = now_ms;
	now_ms += 3000;
	step((struct node_event){ .kind = NODE_TICK });
	live(100);
	now_ms += 5000;
	step((struct node_event){ .kind = NODE_TICK });
	ck_assert_uint_eq(fx.ask_count, 0);
	ck_assert(live(10 * TIMEOUT));
	silent(1, id, heard_ms);
	if (fx.persist_count == 0)
		ck_assert(live(10 * TIMEOUT));
	silent_ms = now_ms - heard_ms - (3000 - TICK) - (5000 - TICK);
	ck_assert_int_gt(silent_ms, TIMEOUT);
	ck_assert_int_le(silent_ms, TIMEOUT + 3 * TICK);
}
END_TEST

START_TEST(test_many_sessions_are_due_in_their_order)
{
	static int64_t ids[300];
	size_t asked = 0;
	start(0);
	commit();
	for (size_t i = 0; i < 300; i++) {
		ids[i] = open_session((uint32_t)i % 3);
		live(i % 7);
	}
	while (asked < 300) {
		ck_assert(live(10 * TIMEOUT));
		ck_assert_uint_gt(fx.ask_count, 0);
		for (size_t k = 0; k < fx.ask_count; k++) {
			bool found = false;
			for (size_t i = asked < 20 ? 0 : asked - 20; i < 300 && i < asked + 120;
				i++)
				found |= ids[i] == fx.asks[k].session_id;
			ck_assert(found);
		}
		asked += fx.ask_count;
	}
	ck_assert_uint_eq(asked, 300);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("node");
	TCase *t = tcase_create("node");
	tcase_add_checked_fixture(t, begin, end);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_start_persists_a_term_and_a_noop_and_applies_it_when_durable);
	tcase_add_test(t, test_empty_log_may_begin_anywhere);
	tcase_add_test(t, test_nothing_is_applied_before_it_is_durable_and_then_in_order);
	tcase_add_test(t, test_entries_are_stamped_with_a_time_that_never_goes_back);
	tcase_add_test(t, test_recovered_entries_are_applied_and_the_log_goes_on_behind_them);
	tcase_add_test(t, test_recovered_batches_are_sealed_with_term_and_time);
	tcase_add_test(t, test_entries_that_the_state_has_are_passed_over);
	tcase_add_test(t, test_log_that_begins_behind_the_state_is_refused);
	tcase_add_test(t, test_recovered_sessions_get_their_full_timeout);
	tcase_add_test(t, test_recovery_refuses_a_gap_and_what_it_does_not_know);
	tcase_add_test(t, test_silent_session_is_asked_about_and_then_ended);
	tcase_add_test(t, test_session_that_was_heard_lives_a_timeout_from_then);
	tcase_add_test(t, test_question_is_asked_once);
	tcase_add_test(t, test_session_without_a_connection_keeps_the_time_of_its_last_byte);
	tcase_add_test(t, test_attach_while_the_question_is_open_saves_the_session);
	tcase_add_test(t, test_attach_in_the_log_before_the_expiry_saves_the_session);
	tcase_add_test(t, test_shards_word_is_asked_for_by_its_attach);
	tcase_add_loop_test(t, test_word_of_another_attach_is_ignored, 0, 8);
	tcase_add_test(t, test_future_word_of_another_attach_does_not_prolong_either);
	tcase_add_test(t,
		test_due_session_that_its_shard_does_not_call_silent_is_asked_about_again_a_tick_later);
	tcase_add_test(t, test_silent_session_keeps_what_the_server_slept_through);
	tcase_add_test(t, test_session_without_a_connection_that_is_asked_about_ends);
	tcase_add_test(t, test_repeated_copy_of_an_attach_changes_nothing_for_the_clock);
	tcase_add_test(t, test_closed_session_is_never_due);
	tcase_add_loop_test(t, test_servers_own_stall_does_not_count, 0, 2);
	tcase_add_loop_test(t, test_every_stall_since_the_last_word_counts, 0, 17);
	tcase_add_test(t, test_many_sessions_are_due_in_their_order);
	suite_add_tcase(s, t);
	return unit_run(s);
}
