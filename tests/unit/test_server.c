/* A shard of the server with a node behind it, driven in one thread (tests/lib/inproc.h): the order of replies,
 * reads and events, sessions and their moves, bounds. Clients keep what they are told as text. One rule a test. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "schema/runtime/rt_mem.h"
#include "tests/lib/zk_client.h"

static struct inproc *p;
static struct inproc_config config;

static void begin(void)
{
	config = (struct inproc_config){ .seed = 1, .shards = 2 };
	p = inproc_new(&config);
}

static void end(void) { inproc_free(p); }

/* With other limits. */
static void begin_again(void)
{
	inproc_free(p);
	p = inproc_new(&config);
}

/* A client that has been told exactly this. */
#define ck_told(client, text) ck_assert_str_eq(zk_told(client), text)

static void send_text(struct zk_client *c, const char *bytes, size_t n)
{
	inproc_send(c->link, rt_slice_of(bytes, n));
}

static const char *big(size_t n)
{
	static char text[1 << 20];
	ck_assert_uint_lt(n, sizeof text);
	memset(text, 'x', n);
	text[n] = '\0';
	return text;
}

/* --- handshake */

START_TEST(test_handshake_answers_the_byte_only_when_it_came)
{
	struct zk_client *c = zk_new(p, 0);
	c->read_only_byte = _i == 1;
	zk_open(c);
	inproc_settle(p);
	ck_assert_uint_eq(c->link->received.len, _i == 1 ? 4 + 37 : 4 + 36);
	ck_told(c, "OPEN\n");
	ck_assert_int_ne(c->session_id, 0);
	zk_free(c);
}
END_TEST

START_TEST(test_handshake_clamps_the_timeout)
{
	static const int32_t asked[] = { 0, -1, 3999, 4000, 40000, 40001, INT32_MAX };
	static const int32_t given[] = { 4000, 4000, 4000, 4000, 40000, 40000, 40000 };
	struct zk_client *c = zk_new(p, 0);
	c->timeout_ms = asked[_i];
	zk_open(c);
	inproc_settle(p);
	ck_told(c, "OPEN\n");
	ck_assert_int_eq(c->timeout_ms, given[_i]);
	zk_free(c);
}
END_TEST

START_TEST(test_handshake_of_a_new_session_waits_for_the_log)
{
	struct zk_client *c = zk_new(p, 0);
	zk_open(c);
	inproc_io(p, 0);
	inproc_core(p);
	inproc_io(p, 0);
	ck_told(c, "");
	inproc_sync(p);
	inproc_io(p, 0);
	ck_told(c, "OPEN\n");
	zk_free(c);
}
END_TEST

START_TEST(test_handshake_with_a_wrong_password_says_expired_and_leaves_the_session_alone)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, 0), thief = *a;
	thief.passwd[3] ^= 1;
	zk_attach(b, &thief);
	inproc_settle(p);
	ck_told(b, "EXPIRED\nCLOSED\n");
	zk_create(a, "/a", "", 0);
	inproc_settle(p);
	ck_told(a, "1 OK \"/a\"\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_handshake_of_an_unknown_session_says_expired)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, 1);
	a->session_id += 77;
	zk_attach(b, a);
	inproc_settle(p);
	ck_told(b, "EXPIRED\nCLOSED\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_handshake_that_has_seen_more_is_closed_without_an_answer)
{
	struct zk_client *c = zk_new(p, 0);
	struct wire_connect_request q = {
		.timeout_ms = 4000, .last_zxid_seen = 1000, .passwd = rt_slice_str("")
	};
	struct rt_buf b;
	rt_buf_init(&b, 100);
	make_connect(&b, &q, true);
	inproc_send(c->link, make_slice(&b));
	inproc_settle(p);
	ck_told(c, "CLOSED\n");
	struct state_counts n;
	state_counts(node_state(p->node), &n);
	ck_assert_uint_eq(n.sessions, 0); /* what was opened for it is closed again */
	rt_buf_done(&b);
	zk_free(c);
}
END_TEST

START_TEST(test_first_frame_that_is_no_handshake_is_closed_without_an_answer)
{
	static const struct {
		const char *bytes;
		size_t n;
	} frames[] = {
		{ "\0\0\0\x08\xff\xff\xff\xfe\0\0\0\x0b", 12 }, /* a ping */
		{ "\0\0\0\0", 4 },
		{ "\0\0\0\x01x", 5 },
		{ "\0\x0f\xff\xff\xff", 5 }, /* a long one, not all here yet: stays open */
		{ "\0\x10\0\0", 4 },
		{ "\xff\xff\xff\xff", 4 },
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
	};
	struct zk_client *c = zk_new(p, 0);
	send_text(c, frames[_i].bytes, frames[_i].n);
	inproc_settle(p);
	ck_told(c, _i == 3 ? "" : "CLOSED\n");
	zk_free(c);
}
END_TEST

START_TEST(test_requests_may_follow_the_handshake_at_once)
{
	struct zk_client *c = zk_new(p, 0);
	zk_open(c);
	zk_auth(c, "digest", "al:x");
	zk_create(c, "/a", "data", 0);
	zk_get(c, "/a", false);
	inproc_settle(p);
	ck_told(c, "OPEN\n-4 OK\n1 OK \"/a\"\n2 OK \"data\"\n");
	zk_free(c);
}
END_TEST

/* --- order */

START_TEST(test_read_between_two_writes_sees_exactly_the_first)
{
	struct zk_client *c = zk_session(p, 0);
	zk_create(c, "/a", "0", 0);
	zk_get(c, "/a", false);
	zk_set(c, "/a", "1");
	zk_get(c, "/a", false);
	zk_get(c, "/a", false);
	zk_set(c, "/a", "2");
	zk_set(c, "/a", "3");
	zk_get(c, "/a", false);
	zk_delete(c, "/a");
	zk_get(c, "/a", false);
	inproc_settle(p);
	ck_told(c,
		"1 OK \"/a\"\n2 OK \"0\"\n3 OK\n4 OK \"1\"\n5 OK \"1\"\n6 OK\n7 OK\n8 OK \"3\"\n9 OK\n10 NO_NODE\n");
	zk_free(c);
}
END_TEST

START_TEST(test_everything_behind_a_write_waits_for_the_log)
{
	struct zk_client *c = zk_session(p, 0);
	zk_create(c, "/a", "0", 0);
	zk_ping(c);
	zk_get(c, "/a", false);
	for (int i = 0; i < 3; i++) {
		inproc_io(p, 0);
		inproc_core(p);
	}
	ck_told(c, "");
	inproc_sync(p);
	inproc_io(p, 0);
	ck_told(c, "1 OK \"/a\"\n-2 OK\n2 OK \"0\"\n");
	zk_free(c);
}
END_TEST

START_TEST(test_another_connections_write_is_no_reason_to_wait)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 0);
	zk_create(a, "/a", "0", 0);
	zk_get(b, "/a", false);
	inproc_io(p, 0);
	inproc_core(p);
	inproc_io(p, 0);
	ck_told(b, "1 NO_NODE\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_undecodable_and_unknown_requests_have_their_place_in_the_order)
{
	struct zk_client *c = zk_session(p, 0);
	zk_create(c, "/a", "0", 0);
	zk_send(c, WIRE_OP_CREATE, rt_slice_str("short"));
	zk_send(c, WIRE_OP_GET_DATA, rt_slice_str("\xff\xff\xff\xff"));
	zk_send(c, 9999, rt_slice_str(""));
	zk_create(c, "/b", "0", 0);
	inproc_settle(p);
	ck_told(c,
		"1 OK \"/a\"\n2 MARSHALLING_ERROR\n3 MARSHALLING_ERROR\n4 UNIMPLEMENTED\n5 OK \"/b\"\n");
	zk_free(c);
}
END_TEST

START_TEST(test_bytes_may_come_one_at_a_time)
{
	struct zk_client *c = zk_new(p, 0);
	zk_open(c);
	zk_create(c, "/a", "data", 0);
	zk_get(c, "/a", false);
	struct rt_buf all = c->link->to_server;
	rt_buf_init(&c->link->to_server, 1 << 20);
	for (size_t i = 0; i < all.len; i++) {
		inproc_send(c->link, rt_slice_of(all.p + i, 1));
		inproc_settle(p);
	}
	ck_told(c, "OPEN\n1 OK \"/a\"\n2 OK \"data\"\n");
	rt_buf_done(&all);
	zk_free(c);
}
END_TEST

START_TEST(test_zxid_of_a_reply_is_its_own_or_the_last_drained)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 1);
	struct zk_reply m;
	zk_create(a, "/a", "0", 0);
	inproc_io(p, 0);
	inproc_core(p);
	inproc_sync(p);
	int64_t applied = state_zxid(node_state(p->node));
	inproc_io(p, 0);
	ck_assert(zk_next(a, &m));
	ck_assert_int_eq(m.zxid, applied);
	zk_ping(b);
	inproc_io(p, 1);
	ck_assert(zk_next(b, &m));
	ck_assert_int_eq(m.zxid, applied); /* drained before it is answered */
	zk_free(a);
	zk_free(b);
}
END_TEST

/* --- watches */

START_TEST(test_event_leaves_before_the_reply_of_its_write)
{
	struct zk_client *c = zk_session(p, 0);
	zk_create(c, "/a", "0", 0);
	zk_get(c, "/a", true);
	zk_children(c, "/", true);
	zk_set(c, "/a", "1");
	zk_get(c, "/a", true);
	zk_delete(c, "/a");
	inproc_settle(p);
	ck_told(c,
		"1 OK \"/a\"\n2 OK \"0\"\n3 OK 2 names\nEVENT DATA_CHANGED \"/a\"\n4 OK\n5 OK \"1\"\n"
		"EVENT DELETED \"/a\"\nEVENT CHILDREN_CHANGED \"/\"\n6 OK\n");
	zk_free(c);
}
END_TEST

START_TEST(test_event_leaves_before_a_reply_that_shows_the_new_state)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, (uint32_t)_i);
	zk_create(a, "/a", "0", 0);
	inproc_settle(p);
	zk_get(b, "/a", true);
	inproc_settle(p);
	zk_set(a, "/a", "1");
	inproc_io(p, 0);
	inproc_core(p);
	inproc_sync(p); /* applied, but b's shard has not looked yet */
	zk_get(b, "/a", false);
	zk_ping(b);
	inproc_settle(p);
	ck_told(b, "1 OK \"0\"\nEVENT DATA_CHANGED \"/a\"\n2 OK \"1\"\n-2 OK\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_watches_are_one_shot_and_kinds_do_not_mix)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 1);
	zk_exists(b, "/a", true);
	zk_get(b, "/a", true); /* refused: leaves no watch of its own */
	zk_children(b, "/a", true);
	inproc_settle(p);
	ck_told(b, "1 NO_NODE\n2 NO_NODE\n3 NO_NODE\n");
	zk_create(a, "/a", "", 0);
	zk_set(a, "/a", "x");
	inproc_settle(p);
	ck_told(b, "EVENT CREATED \"/a\"\n");
	zk_children(b, "/a", true);
	zk_get(b, "/a", true);
	inproc_settle(p);
	ck_told(b, "4 OK 0 names\n5 OK \"x\"\n");
	zk_create(a, "/a/b", "", 0);
	zk_set(a, "/a/b", "x");
	zk_create(a, "/a/c", "", 0);
	inproc_settle(p);
	ck_told(b, "EVENT CHILDREN_CHANGED \"/a\"\n");
	zk_set(a, "/a", "y");
	zk_set(a, "/a", "z");
	inproc_settle(p);
	ck_told(b, "EVENT DATA_CHANGED \"/a\"\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_deletion_is_told_once_to_who_watches_data_and_children)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 0), *c = zk_session(p, 0);
	zk_create(a, "/a", "", 0);
	inproc_settle(p);
	zk_get(b, "/a", true);
	zk_children(b, "/a", true);
	zk_children(b, "/", true);
	zk_children(c, "/a", true);
	inproc_settle(p);
	zk_told(b);
	zk_told(c);
	zk_delete(a, "/a");
	inproc_settle(p);
	ck_told(b, "EVENT DELETED \"/a\"\nEVENT CHILDREN_CHANGED \"/\"\n");
	ck_told(c, "EVENT DELETED \"/a\"\n");
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.watches, 0);
	ck_assert_uint_eq(st.watch_paths, 0);
	zk_free(a);
	zk_free(b);
	zk_free(c);
}
END_TEST

START_TEST(test_sessions_end_fires_its_nodes_and_their_parent_once)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 1);
	zk_create(a, "/p", "", 0);
	zk_create(a, "/p/1", "", 1);
	zk_create(a, "/p/2", "", 1);
	inproc_settle(p);
	zk_exists(b, "/p/1", true);
	zk_exists(b, "/p/2", true);
	zk_children(b, "/p", true);
	inproc_settle(p);
	ck_told(b, "1 OK\n2 OK\n3 OK 2 names\n");
	zk_close(a);
	zk_get(a, "/p", false); /* behind it: not served */
	inproc_settle(p);
	ck_told(a, "1 OK \"/p\"\n2 OK \"/p/1\"\n3 OK \"/p/2\"\n4 OK\nCLOSED\n");
	ck_told(b,
		"EVENT DELETED \"/p/1\"\nEVENT CHILDREN_CHANGED \"/p\"\nEVENT DELETED \"/p/2\"\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

static void put_paths(struct rt_buf *out, const char *path)
{
	struct rt_writer w = rt_writer_of(rt_buf_grow(out, 8 + strlen(path)), 8 + strlen(path));
	rt_put_i32(&w, 1);
	rt_put_slice(&w, rt_slice_str(path));
}

static void set_watches(
	struct zk_client *c, int64_t since, const char *data, const char *exist, const char *child)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	struct rt_writer w = rt_writer_of(rt_buf_grow(&b, 8), 8);
	rt_put_i64(&w, since);
	put_paths(&b, data);
	put_paths(&b, exist);
	put_paths(&b, child);
	zk_send(c, WIRE_OP_SET_WATCHES, make_slice(&b));
	rt_buf_done(&b);
}

START_TEST(test_set_watches_tells_what_happened_and_arms_the_rest)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 1);
	zk_create(a, "/old", "", 0);
	zk_create(a, "/new", "", 0);
	inproc_settle(p);
	int64_t since = state_zxid(node_state(p->node));
	zk_set(a, "/new", "x");
	zk_create(a, "/new/child", "", 0);
	inproc_settle(p);
	set_watches(b, since, "/new", "/old", "/new");
	set_watches(b, since, "/gone", "/none", "/gone");
	set_watches(b, since, "/old", "/none", "/old");
	inproc_settle(p);
	ck_told(b,
		"EVENT DATA_CHANGED \"/new\"\nEVENT CREATED \"/old\"\nEVENT CHILDREN_CHANGED \"/new\"\n1 OK\n"
		"EVENT DELETED \"/gone\"\nEVENT DELETED \"/gone\"\n2 OK\n3 OK\n");
	zk_set(a, "/new", "y");
	zk_create(a, "/none", "", 0);
	zk_set(a, "/old", "y");
	zk_create(a, "/old/child", "", 0);
	inproc_settle(p);
	ck_told(b,
		"EVENT CREATED \"/none\"\nEVENT DATA_CHANGED \"/old\"\nEVENT CHILDREN_CHANGED \"/old\"\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_watches_go_with_the_connection)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 1);
	zk_exists(b, "/a", true);
	inproc_settle(p);
	zk_told(b);
	inproc_hang_up(b->link);
	zk_reconnect(b, p, 1);
	zk_attach(b, b);
	inproc_settle(p);
	zk_create(a, "/a", "", 0);
	inproc_settle(p);
	ck_told(b, "OPEN\n");
	struct srv_stats st;
	srv_stats(p->shards[1], &st);
	ck_assert_uint_eq(st.watches, 0);
	zk_free(a);
	zk_free(b);
}
END_TEST

/* --- sessions */

START_TEST(test_session_moves_and_its_former_connection_is_closed)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, (uint32_t)_i);
	zk_create(a, "/e", "", 1);
	inproc_settle(p);
	ck_told(a, "1 OK \"/e\"\n");
	zk_attach(b, a);
	inproc_settle(p);
	ck_told(a, "CLOSED\n");
	zk_get(b, "/e", false);
	inproc_settle(p);
	ck_told(b, "OPEN\n1 OK \"\"\n");
	ck_assert_int_eq(a->session_id, b->session_id);
	inproc_live(p, 3 * b->timeout_ms / 4); /* the clock heard of the move */
	zk_ping(b);
	inproc_live(p, 3 * b->timeout_ms / 4);
	ck_told(b, "-2 OK\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_write_in_flight_when_the_session_moves_is_not_applied)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, 1);
	zk_attach(b, a);
	inproc_io(p, 1);
	inproc_core(p); /* the attach is on its way ... */
	zk_create(a, "/late", "", 0);
	inproc_io(p, 0); /* ... and the old connection writes behind it */
	inproc_settle(p);
	ck_told(a, "CLOSED\n");
	zk_exists(b, "/late", false);
	inproc_settle(p);
	ck_told(b, "OPEN\n1 NO_NODE\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_session_lives_while_its_client_pings_and_expires_when_not)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 1);
	zk_create(a, "/e", "", 1);
	inproc_settle(p);
	ck_told(a, "1 OK \"/e\"\n");
	for (int i = 0; i < 20; i++) {
		inproc_live(p, a->timeout_ms / 2);
		zk_ping(a);
		zk_ping(b);
		inproc_settle(p);
		ck_told(a, "-2 OK\n");
	}
	zk_told(b);
	int64_t since_ms = p->now_ms;
	while (a->link->conn != NULL) {
		inproc_live(p, 100);
		zk_ping(b);
		inproc_settle(p);
	}
	ck_assert_int_gt(p->now_ms - since_ms, a->timeout_ms);
	ck_assert_int_le(p->now_ms - since_ms, a->timeout_ms + 1000);
	zk_told(b);
	zk_exists(b, "/e", false);
	inproc_settle(p);
	ck_told(a, "CLOSED\n");
	ck_told(b, "1 NO_NODE\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

/* The clock's question about a session, as the driver hands it on. */
static struct srv_touch ask(uint32_t shard, int64_t session_id, uint32_t generation)
{
	srv_turn(p->shards[shard], p->now_ms);
	return srv_asked(p->shards[shard], session_id, generation);
}

static void begin_without_asks(void)
{
	config.keep_asks = true;
	begin_again();
}

START_TEST(test_client_that_was_silent_for_more_than_its_timeout_is_cut_when_asked_about)
{
	begin_without_asks();
	struct zk_client *a = zk_session(p, 0);
	zk_exists(a, "/x", true);
	inproc_settle(p);
	zk_told(a);
	inproc_advance(p, a->timeout_ms + 1);
	struct srv_touch t = ask(0, a->session_id, 1);
	ck_assert(t.here && t.silent);
	ck_assert_int_eq(t.session_id, a->session_id);
	ck_assert_uint_eq(t.generation, 1);
	ck_assert_int_eq(p->now_ms - t.heard_ms, a->timeout_ms + 1);
	zk_ping(a); /* too late: no answer, or it would believe in its session */
	zk_create(a, "/late", "", 0);
	inproc_settle(p);
	ck_told(a, "CLOSED\n");
	size_t count;
	srv_take_touches(p->shards[0], &count);
	ck_assert_uint_eq(count, 0); /* that end was told already */
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.watches, 0);
	zk_free(a);
}
END_TEST

START_TEST(test_silent_client_that_was_cut_may_come_back_before_its_session_ends)
{
	begin_without_asks();
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, 0);
	inproc_advance(p, a->timeout_ms + 1);
	ck_assert(ask(0, a->session_id, 1).silent);
	zk_attach(b, a); /* while the verdict is on its way */
	inproc_settle(p);
	ck_told(a, "CLOSED\n");
	ck_told(b, "OPEN\n");
	ck_assert_int_eq(b->session_id, a->session_id);
	ck_assert(ask(0, a->session_id, 2).here);
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_client_that_was_silent_for_its_timeout_only_just_is_kept)
{
	begin_without_asks();
	struct zk_client *a = zk_session(p, 0);
	inproc_advance(p, a->timeout_ms);
	struct srv_touch t = ask(0, a->session_id, 1);
	ck_assert(t.here && !t.silent);
	ck_assert_int_eq(p->now_ms - t.heard_ms, a->timeout_ms);
	zk_ping(a);
	inproc_settle(p);
	ck_told(a, "-2 OK\n");
	zk_free(a);
}
END_TEST

START_TEST(test_question_about_another_attach_or_session_is_answered_with_not_here)
{
	begin_without_asks();
	struct zk_client *a = zk_session(p, 0);
	inproc_advance(p, 10 * a->timeout_ms);
	struct srv_touch t = ask(0, a->session_id, 2);
	ck_assert(!t.here && !t.silent);
	ck_assert_uint_eq(t.generation, 2);
	ck_assert_int_eq(t.heard_ms, 0);
	t = ask(0, a->session_id + 1, 1);
	ck_assert(!t.here && !t.silent);
	t = ask(1, a->session_id, 1);
	ck_assert(!t.here && !t.silent);
	zk_ping(a); /* nobody was cut for that */
	inproc_settle(p);
	ck_told(a, "-2 OK\n");
	zk_free(a);
}
END_TEST

START_TEST(test_whole_frame_that_was_not_served_counts_as_heard)
{
	begin_without_asks();
	struct zk_client *a = zk_session(p, 0);
	srv_hold_writes(p->shards[0], true);
	zk_create(a, "/a", "", 0);
	inproc_settle(p);
	inproc_advance(p, 5 * a->timeout_ms);
	struct srv_touch t = ask(0, a->session_id, 1);
	ck_assert(t.here && !t.silent);
	ck_assert_int_eq(t.heard_ms, p->now_ms);
	srv_hold_writes(p->shards[0], false);
	inproc_settle(p);
	ck_told(a, "1 OK \"/a\"\n");
	/* a part of one does not: its client may be long gone */
	send_text(a, "\0\0\0\x08\xff", 5);
	inproc_settle(p);
	int64_t heard_ms = p->now_ms;
	inproc_advance(p, a->timeout_ms + 1);
	t = ask(0, a->session_id, 1);
	ck_assert(t.here && t.silent);
	ck_assert_int_eq(t.heard_ms, heard_ms);
	zk_free(a);
}
END_TEST

START_TEST(test_input_that_was_not_read_yet_counts_as_heard)
{
	begin_without_asks();
	struct zk_client *a = zk_session(p, 0);
	inproc_advance(p, 5 * a->timeout_ms);
	srv_turn(p->shards[0], p->now_ms);
	ck_assert_ptr_eq(srv_session_conn(p->shards[0], a->session_id), a->link->conn);
	srv_heard(p->shards[0], a->link->conn);
	struct srv_touch t = ask(0, a->session_id, 1);
	ck_assert(t.here && !t.silent);
	ck_assert_int_eq(t.heard_ms, p->now_ms);
	ck_assert_ptr_null(srv_session_conn(p->shards[0], a->session_id + 1));
	ck_assert_ptr_null(srv_session_conn(p->shards[1], a->session_id));
	zk_free(a);
}
END_TEST

START_TEST(test_client_that_does_not_read_its_replies_is_not_heard)
{
	begin_without_asks();
	struct zk_client *a = zk_session(p, 0);
	zk_create(a, "/big", big(1000000), 0);
	inproc_settle(p);
	a->link->reads = false;
	for (int i = 0; i < 5; i++)
		zk_get(a, "/big", false);
	inproc_settle(p);
	ck_assert_uint_gt(srv_output(a->link->conn).len, LIMIT_OUT_PAUSE_BYTES);
	inproc_advance(p, a->timeout_ms + 1);
	srv_turn(p->shards[0], p->now_ms);
	srv_heard(p->shards[0], a->link->conn); /* the socket is full of what it said before */
	struct srv_touch t = ask(0, a->session_id, 1); /* and a whole frame waits */
	ck_assert(t.here && t.silent);
	inproc_settle(p);
	ck_assert_ptr_null(a->link->conn);
	zk_free(a);
}
END_TEST

/* The old connection ends after the session has moved: its shard's word must not end the session. */
START_TEST(test_end_of_the_former_connection_does_not_end_a_session_that_moved)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, (uint32_t)_i);
	inproc_live(p, 100);
	zk_attach(b, a);
	inproc_io(p, (uint32_t)_i);
	inproc_core(p);
	inproc_sync(p); /* applied; neither shard has seen it */
	inproc_hang_up(a->link);
	inproc_settle(p);
	ck_told(b, "OPEN\n");
	for (int i = 0; i < 10; i++) {
		inproc_live(p, b->timeout_ms / 2);
		zk_ping(b);
		inproc_settle(p);
		ck_told(b, "-2 OK\n");
	}
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_connections_end_tells_when_it_was_heard_last)
{
	struct zk_client *a = zk_session(p, 0);
	int64_t heard_ms = p->now_ms;
	inproc_advance(p, 700);
	inproc_hang_up(a->link);
	size_t count;
	const struct srv_touch *t = srv_take_touches(p->shards[0], &count);
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(t->session_id, a->session_id);
	ck_assert_uint_eq(t->generation, 1);
	ck_assert(!t->here && !t->silent);
	ck_assert_int_eq(t->heard_ms, heard_ms);
	zk_free(a);
}
END_TEST

START_TEST(test_sessions_and_acknowledged_writes_survive_a_restart)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, 1);
	zk_create(a, "/a", "kept", 0);
	zk_create(a, "/e", "kept", 1);
	inproc_settle(p);
	ck_told(a, "1 OK \"/a\"\n2 OK \"/e\"\n");
	zk_set(a, "/a", "lost");
	inproc_io(p, 0);
	inproc_core(p); /* not synced */
	inproc_restart(p);
	ck_told(a, "CLOSED\n");
	zk_reconnect(b, p, 1);
	zk_attach(b, a);
	zk_get(b, "/a", false);
	zk_get(b, "/e", false);
	zk_set(b, "/a", "new");
	inproc_settle(p);
	ck_told(b, "OPEN\n1 OK \"kept\"\n2 OK \"kept\"\n3 OK\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_client_that_nobody_has_after_a_restart_gets_its_full_timeout)
{
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, 1);
	zk_create(a, "/e", "", 1);
	inproc_settle(p);
	inproc_advance(p, a->timeout_ms - 1);
	inproc_restart(p);
	inproc_live(p, a->timeout_ms - 100);
	zk_reconnect(b, p, 1);
	zk_attach(b, a);
	inproc_settle(p);
	ck_told(b, "OPEN\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

/* --- words and auth */

START_TEST(test_word_is_answered_and_the_connection_closed)
{
	struct zk_client *c = zk_new(p, 0);
	send_text(c, "ru", 2);
	inproc_settle(p);
	ck_assert_ptr_nonnull(c->link->conn);
	send_text(c, "ok\r\n", 4);
	inproc_settle(p);
	ck_assert_ptr_null(c->link->conn);
	ck_assert_uint_eq(c->link->received.len, 4);
	ck_assert_mem_eq(c->link->received.p, "ruok", 4);
	zk_free(c);
}
END_TEST

START_TEST(test_word_behind_a_handshake_is_a_frame_like_any_other)
{
	struct zk_client *c = zk_session(p, 0);
	send_text(c, "ruok", 4);
	inproc_settle(p);
	ck_told(c, "CLOSED\n");
	zk_free(c);
}
END_TEST

START_TEST(test_what_is_behind_auth_waits_for_it)
{
	config.keep_asks = true;
	begin_again();
	struct zk_client *c = zk_session(p, 0);
	zk_auth(c, "digest", "al:x");
	zk_get(c, "/", false);
	inproc_settle(p);
	ck_told(c, "");
	struct srv_auth ask;
	ck_assert(srv_next_auth(p->shards[0], &ask));
	ck_assert(rt_slice_is(ask.scheme, "digest") && rt_slice_is(ask.credential, "al:x"));
	srv_auth_add(p->shards[0], ask.conn, rt_slice_str("digest"), rt_slice_str("al:hash"));
	srv_auth_answer(p->shards[0], ask.conn, true);
	ck_assert(!srv_next_auth(p->shards[0], &ask));
	inproc_settle(p);
	ck_told(c, "-4 OK\n1 OK \"\"\n");
	zk_free(c);
}
END_TEST

START_TEST(test_word_that_waits_for_its_answer_is_not_read_any_more)
{
	begin_without_asks();
	struct zk_client *c = zk_new(p, 0);
	struct srv_word word;
	send_text(c, "ruok", 4);
	inproc_settle(p);
	ck_assert(!srv_reading(c->link->conn));
	ck_assert(!srv_idle(p->shards[0]));
	for (int i = 0; i < 100; i++)
		send_text(c, big(10000), 10000);
	inproc_settle(p);
	ck_assert_uint_eq(c->link->to_server_at, 4);
	ck_assert(srv_next_word(p->shards[0], &word));
	ck_assert_str_eq(word.word, "ruok");
	ck_assert(!srv_next_word(p->shards[0], &word));
	srv_word_answer(p->shards[0], word.conn, rt_slice_str("imok"));
	inproc_settle(p);
	ck_assert_ptr_null(c->link->conn);
	ck_assert_uint_eq(c->link->received.len, 4);
	zk_free(c);
}
END_TEST

START_TEST(test_identities_of_a_connection_are_bounded)
{
	struct zk_client *c = zk_session(p, 0);
	char id[1020];
	int told = 0;
	memset(id, 'x', sizeof id);
	id[sizeof id - 1] = '\0';
	for (int i = 0; i < 20; i++) {
		snprintf(id, 10, "user%03d", i / 2); /* each twice: counted once */
		id[7] = ':';
		id[8] = 'h';
		id[9] = 'x';
		zk_auth(c, "digest", id);
	}
	zk_create(c, "/never", "", 0);
	inproc_settle(p);
	const char *text = zk_told(c);
	for (; strncmp(text, "-4 OK\n", 6) == 0; text += 6)
		told++;
	ck_assert_str_eq(text, "-4 AUTH_FAILED\nCLOSED\n");
	ck_assert_int_le((told / 2 + 1) * 1020, (int)LIMIT_IDENTITY_BYTES);
	ck_assert_int_gt((told / 2 + 2) * 1020, (int)LIMIT_IDENTITY_BYTES);
	zk_free(c);
}
END_TEST

START_TEST(test_writes_with_all_identities_and_the_largest_frame_fit_an_entry)
{
	struct zk_client *c = zk_session(p, 0);
	zk_auth(c, "digest", big(LIMIT_IDENTITY_BYTES - 100));
	zk_create(c, "/a", "", 0);
	zk_set(c, "/a", big(LIMIT_FRAME_BYTES - 22));
	inproc_settle(p);
	ck_told(c, "-4 OK\n1 OK \"/a\"\n2 OK\n");
	zk_free(c);
}
END_TEST

START_TEST(test_refused_auth_is_answered_and_closes_the_connection_not_the_session)
{
	struct zk_client *c = zk_session(p, 0), *d = zk_new(p, 0);
	zk_auth(c, "nonsense", "x");
	zk_get(c, "/", false);
	inproc_settle(p);
	ck_told(c, "-4 AUTH_FAILED\nCLOSED\n");
	zk_attach(d, c);
	inproc_settle(p);
	ck_told(d, "OPEN\n");
	zk_free(c);
	zk_free(d);
}
END_TEST

START_TEST(test_auth_of_several_connections_at_once)
{
	struct zk_client *c[8];
	for (int i = 0; i < 8; i++) {
		c[i] = zk_session(p, 0);
		zk_auth(c[i], i % 2 ? "digest" : "nonsense",
			i % 4 == 1 ? "short:x" : big(1000 + 500 * (size_t)i));
	}
	inproc_settle(p);
	for (int i = 0; i < 8; i++) {
		ck_told(c[i], i % 2 ? "-4 OK\n" : "-4 AUTH_FAILED\nCLOSED\n");
		zk_free(c[i]);
	}
}
END_TEST

/* --- bounds */

START_TEST(test_frames_above_the_limit_end_the_connection)
{
	static const uint32_t lengths[] = { LIMIT_FRAME_BYTES, LIMIT_FRAME_BYTES + 1, 0x80000000u,
		0xffffffffu };
	struct zk_client *c = zk_session(p, 0);
	uint8_t head[4];
	rt_store32(head, lengths[_i]);
	inproc_send(c->link, rt_slice_of(head, 4));
	inproc_settle(p);
	ck_told(c, _i == 0 ? "" : "CLOSED\n");
	zk_free(c);
}
END_TEST

START_TEST(test_frame_of_exactly_the_limit_is_taken)
{
	struct zk_client *c = zk_session(p, 0);
	/* header 8, path 4 + 2, data 4, version 4 */
	zk_create(c, "/a", "", 0);
	zk_set(c, "/a", big(LIMIT_FRAME_BYTES - 22));
	zk_get(c, "/a", false);
	inproc_settle(p);
	ck_assert_str_eq(
		zk_told(c) + strlen("1 OK \"/a\"\n2 OK\n3 OK \"") + LIMIT_FRAME_BYTES - 22, "\"\n");
	zk_free(c);
}
END_TEST

START_TEST(test_frame_too_short_for_a_header_ends_the_connection)
{
	struct zk_client *c = zk_session(p, 0);
	uint8_t frame[12] = { 0, 0, 0, (uint8_t)_i };
	inproc_send(c->link, rt_slice_of(frame, 4 + (size_t)_i));
	inproc_settle(p);
	ck_told(c, _i == 8 ? "0 UNIMPLEMENTED\n" : "CLOSED\n");
	zk_free(c);
}
END_TEST

START_TEST(test_client_that_does_not_read_is_not_read_either)
{
	struct zk_client *c = zk_session(p, 0), *d = zk_session(p, 0);
	size_t one = 100000;
	zk_create(c, "/big", big(one), 0);
	inproc_settle(p);
	zk_told(c);
	c->link->reads = false;
	c->link->window_bytes = 1000;
	for (int i = 0; i < 1000; i++)
		zk_get(c, "/big", false);
	for (int i = 0; i < 10000; i++)
		zk_ping(c);
	inproc_settle(p);
	size_t waiting = srv_output(c->link->conn).len;
	ck_assert_uint_gt(waiting, LIMIT_OUT_PAUSE_BYTES);
	ck_assert_uint_le(waiting, LIMIT_OUT_PAUSE_BYTES + one + 1000);
	ck_assert(!srv_reading(c->link->conn));
	ck_assert_uint_lt(c->link->to_server_at, c->link->to_server.len);
	zk_get(d, "/", false); /* it slows down only itself */
	inproc_settle(p);
	ck_told(d, "1 OK \"\"\n");
	c->link->reads = true;
	inproc_settle(p);
	struct zk_reply m;
	int32_t gets = 0, pings = 0;
	while (zk_next(c, &m)) {
		if (m.xid == WIRE_XID_PING)
			pings++;
		else
			ck_assert_int_eq(m.xid, 2 + gets++);
	}
	ck_assert_int_eq(gets, 1000);
	ck_assert_int_eq(pings, 10000);
	zk_free(c);
	zk_free(d);
}
END_TEST

START_TEST(test_events_for_a_client_that_never_reads_end_its_connection_at_a_bound)
{
	config.reply_bytes = 1 << 20;
	begin_again();
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 0);
	char path[2000];
	memset(path, 'p', sizeof path);
	path[0] = '/';
	for (int i = 0; i < 3000; i++) {
		snprintf(path + sizeof path - 16, 16, "%08d", i);
		zk_exists(b, path, true);
	}
	inproc_settle(p);
	b->link->reads = false;
	for (int i = 0; i < 3000; i++) {
		snprintf(path + sizeof path - 16, 16, "%08d", i);
		zk_create(a, path, "", 0);
	}
	inproc_settle(p);
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_ptr_null(b->link->conn);
	ck_assert_uint_gt(st.events, LIMIT_OUT_PAUSE_BYTES / sizeof path);
	ck_assert_uint_lt(st.events, 3000);
	ck_assert_uint_eq(st.watches, 0);
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_listing_above_the_reply_limit_is_refused_not_cut)
{
	config.reply_bytes = 1000;
	begin_again();
	struct zk_client *c = zk_session(p, 0);
	char path[64];
	for (int i = 0; i < 50; i++) {
		snprintf(path, sizeof path, "/a-name-of-some-length-%03d", i);
		zk_create(c, path, "", 0);
	}
	inproc_settle(p);
	zk_told(c);
	zk_children(c, "/", true);
	zk_get(c, "/", false);
	inproc_settle(p);
	ck_told(c, "51 SYSTEM_ERROR\n52 OK \"\"\n");
	zk_free(c);
}
END_TEST

START_TEST(test_writes_in_flight_of_a_connection_are_bounded)
{
	config.writes_in_flight = 3;
	begin_again();
	struct zk_client *c = zk_session(p, 0);
	for (int i = 0; i < 10; i++)
		zk_create(c, "/s-", "", 2);
	inproc_io(p, 0);
	inproc_io(p, 0);
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.outstanding, 3);
	inproc_settle(p);
	ck_assert_str_eq(
		zk_told(c) + 9 * strlen("1 OK \"/s-0000000000\"\n"), "10 OK \"/s-0000000009\"\n");
	zk_free(c);
}
END_TEST

START_TEST(test_writes_in_flight_of_all_are_bounded_and_everybody_gets_on)
{
	config.writes_in_flight_all = 4;
	begin_again();
	struct zk_client *c[5];
	for (int i = 0; i < 5; i++)
		c[i] = zk_session(p, 0);
	for (int n = 0; n < 20; n++)
		for (int i = 0; i < 5; i++)
			zk_set(c[i], "/", "x");
	inproc_io(p, 0);
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.outstanding, 4);
	inproc_settle(p);
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.outstanding, 0);
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(
			strlen(zk_told(c[i])), 9 * strlen("1 OK\n") + 11 * strlen("10 OK\n"));
		zk_free(c[i]);
	}
}
END_TEST

/* c sends an operation with a record of the schema as its body. */
#define SEND(c, op, record, ...)                                                                   \
	do {                                                                                       \
		struct rt_buf body_;                                                               \
		rt_buf_init(&body_, 1000);                                                         \
		MAKE(&body_, record, __VA_ARGS__);                                                 \
		zk_send(c, op, make_slice(&body_));                                                \
		rt_buf_done(&body_);                                                               \
	} while (0)

/* A multi that deletes /none, does what op says to /kept, and checks it. */
static void send_multi(struct zk_client *c, int32_t op)
{
	struct rt_slice path = rt_slice_str("/kept");
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	MAKE(&b, wire_multi_header, { .type = WIRE_OP_CHECK, .err = -1 });
	MAKE(&b, wire_check_version_request, { path, -1 });
	MAKE(&b, wire_multi_header, { .type = op, .err = -1 });
	if (op == WIRE_OP_SET_DATA)
		MAKE(&b, wire_set_data_request, { path, rt_slice_str("x"), -1 });
	else if (op == WIRE_OP_DELETE)
		MAKE(&b, wire_delete_request, { rt_slice_str("/kept/child"), -1 });
	else
		MAKE(&b, wire_create_request,
			{ .path = rt_slice_str("/new"), .acl = make_open_acl() });
	MAKE(&b, wire_multi_header, { .type = -1, .done = true, .err = -1 });
	zk_send(c, WIRE_OP_MULTI, make_slice(&b));
	rt_buf_done(&b);
}

START_TEST(test_growth_is_refused_in_its_order_and_the_rest_goes_on)
{
	struct zk_client *c = zk_session(p, 0), *d = zk_session(p, 0);
	struct wire_create_request create = { .path = rt_slice_str("/new"),
		.acl = make_open_acl() };
	zk_create(c, "/kept", "data", 0);
	zk_create(c, "/kept/child", "", 0);
	zk_create(c, "/gone", "", 0);
	inproc_settle(p);
	zk_told(c);
	int64_t before = state_zxid(node_state(p->node));
	srv_refuse_growth(p->shards[0], true);
	zk_delete(c, "/gone");       /* 4 */
	zk_create(c, "/new", "", 0); /* 5 */
	SEND(c, WIRE_OP_CREATE2, wire_create_request, create);
	zk_set(c, "/kept", "");
	SEND(c, WIRE_OP_SET_ACL, wire_set_acl_request,
		{ rt_slice_str("/kept"), make_open_acl(), -1 });
	send_multi(c, WIRE_OP_CREATE); /* 9 */
	send_multi(c, WIRE_OP_CREATE2);
	send_multi(c, WIRE_OP_SET_DATA);
	zk_send(c, WIRE_OP_CREATE, rt_slice_str("?")); /* 12 */
	send_multi(c, WIRE_OP_DELETE);
	zk_get(c, "/kept", true);
	zk_delete(c, "/none"); /* 15 */
	zk_sync(c, "/");
	zk_ping(c);
	zk_close(c); /* 17 */
	inproc_settle(p);
	ck_told(c, "4 OK\n5 SYSTEM_ERROR\n6 SYSTEM_ERROR\n7 SYSTEM_ERROR\n8 SYSTEM_ERROR\n"
		   "9 SYSTEM_ERROR\n10 SYSTEM_ERROR\n11 SYSTEM_ERROR\n12 MARSHALLING_ERROR\n13 OK\n"
		   "14 OK \"data\"\n15 NO_NODE\n16 OK \"/\"\n-2 OK\n17 OK\nCLOSED\n");
	/* two deletes, a multi and the end: nothing of what was refused is in the log */
	ck_assert_int_eq(state_zxid(node_state(p->node)), before + 4);
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.growth_refused, 7);
	srv_refuse_growth(p->shards[0], false);
	zk_create(d, "/new", "", 0);
	inproc_settle(p);
	ck_told(d, "1 OK \"/new\"\n");
	zk_free(c);
	zk_free(d);
}
END_TEST

START_TEST(test_sessions_open_and_move_while_growth_is_refused)
{
	srv_refuse_growth(p->shards[0], true);
	struct zk_client *a = zk_session(p, 0), *b = zk_new(p, 0);
	zk_attach(b, a);
	inproc_settle(p);
	ck_told(b, "OPEN\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_bytes_of_a_connections_writes_in_flight_are_bounded)
{
	enum { ONE = 100000, COUNT = 100 };
	struct zk_client *c = zk_session(p, 0);
	for (int i = 0; i < COUNT; i++)
		zk_set(c, "/", big(ONE));
	for (int i = 0; i < 1000; i++)
		inproc_io(p, 0);
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_gt(st.outstanding * (ONE + 100), LIMIT_WRITE_BYTES_IN_FLIGHT);
	ck_assert_uint_le((st.outstanding - 1) * ONE, LIMIT_WRITE_BYTES_IN_FLIGHT);
	inproc_settle(p);
	struct zk_reply m;
	for (int i = 0; i < COUNT; i++) {
		ck_assert(zk_next(c, &m));
		ck_assert_int_eq(m.xid, i + 1);
		ck_assert_int_eq(m.err, 0);
	}
	ck_told(c, "");
	zk_free(c);
}
END_TEST

START_TEST(test_bytes_of_a_turns_proposals_are_bounded_and_the_next_goes_on)
{
	enum { CLIENTS = 20, ONE = 1000000 };
	struct zk_client *c[CLIENTS];
	struct srv *s = p->shards[0];
	struct srv_stats st;
	for (int i = 0; i < CLIENTS; i++)
		c[i] = zk_session(p, 0);
	/* each with a whole frame that waits */
	srv_hold_writes(s, true);
	for (int i = 0; i < CLIENTS; i++)
		zk_set(c[i], "/", big(ONE));
	inproc_settle(p);
	srv_hold_writes(s, false);
	for (uint64_t taken = 0; taken < CLIENTS;) {
		struct rt_buf none;
		rt_buf_init(&none, UINT32_MAX / 2);
		inproc_io(p, 0);
		ck_assert(!srv_has_proposals(s)); /* taken, all of them */
		ck_assert(!srv_take_proposals(s, &none));
		srv_stats(s, &st);
		uint64_t turn = st.outstanding - taken;
		ck_assert_uint_gt(turn, 0);
		ck_assert_uint_le((turn - 1) * ONE, LIMIT_TURN_PROPOSAL_BYTES);
		taken = st.outstanding;
		if (taken == CLIENTS)
			break;
		ck_assert_uint_ge(turn * (ONE + 200), LIMIT_TURN_PROPOSAL_BYTES);
		ck_assert(srv_has_work(s)); /* to take is to make room: who waited is ready */
	}
	inproc_settle(p);
	for (int i = 0; i < CLIENTS; i++) {
		ck_told(c[i], "1 OK\n");
		zk_free(c[i]);
	}
}
END_TEST

/* A path of a million bytes. */
static const char *watched(int number)
{
	static char path[1000001];
	memset(path, 'w', sizeof path - 1);
	path[0] = '/';
	snprintf(path + sizeof path - 5, 5, "%04d", number);
	return path;
}

START_TEST(test_bytes_of_a_connections_watches_are_bounded)
{
	enum { FIT = LIMIT_WATCH_BYTES / 1000000 };
	struct zk_client *a = zk_session(p, 0), *b = zk_session(p, 0);
	struct zk_reply m;
	struct srv_stats st;
	for (int i = 0; i < FIT; i++)
		zk_exists(b, watched(i), true);
	inproc_settle(p);
	for (int i = 0; i < FIT; i++) {
		ck_assert(zk_next(b, &m));
		ck_assert_int_eq(m.err, ZK_NO_NODE);
	}
	zk_create(a, watched(FIT), "data", 0);
	zk_create(a, "/small", "", 0);
	inproc_settle(p);
	zk_told(a);
	zk_exists(b, watched(FIT), true);
	zk_get(b, watched(FIT), true);
	zk_children(b, watched(FIT), true);
	zk_get(b, watched(FIT), false);
	zk_exists(b, "/small", true); /* for that there is room */
	inproc_settle(p);
	ck_told(b, "34 SYSTEM_ERROR\n35 SYSTEM_ERROR\n36 SYSTEM_ERROR\n37 OK \"data\"\n38 OK\n");
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.watches, FIT + 1);
	ck_assert_uint_eq(st.watch_paths, FIT + 1);
	zk_exists(a, watched(FIT), true); /* others have their own */
	inproc_settle(p);
	ck_told(a, "3 OK\n");
	zk_create(a, watched(3), "", 0); /* one is gone: room again */
	inproc_settle(p);
	ck_assert(zk_next(b, &m));
	ck_assert(m.event);
	zk_get(b, watched(FIT), true);
	inproc_settle(p);
	ck_told(b, "39 OK \"data\"\n");
	zk_free(a);
	zk_free(b);
}
END_TEST

START_TEST(test_set_watches_beyond_the_bound_ends_the_connection)
{
	struct zk_client *b = zk_session(p, 0);
	for (int i = 0; i < (int)(LIMIT_WATCH_BYTES / 1000000); i++)
		zk_exists(b, watched(i), true);
	inproc_settle(p);
	zk_told(b);
	struct rt_buf body;
	rt_buf_init(&body, 2 << 20);
	rt_buf_put(&body, "\0\0\0\0\0\0\0\0\0\0\0\0", 12); /* no data watches */
	put_paths(&body, watched(1000));
	rt_buf_put(&body, "\0\0\0\0", 4);
	zk_send(b, WIRE_OP_SET_WATCHES, make_slice(&body));
	zk_get(b, "/", false);
	inproc_settle(p);
	ck_told(b, "CLOSED\n");
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.watches, 0);
	ck_assert_uint_eq(st.watch_paths, 0);
	rt_buf_done(&body);
	zk_free(b);
}
END_TEST

/* How many frames have come that were not taken yet, and they are taken. */
static size_t take_frames(struct zk_client *c)
{
	struct rt_slice frame;
	size_t n = 0;
	while (inproc_frame(c->link, &frame))
		n++;
	return n;
}

START_TEST(test_pipeline_of_reads_lets_the_tree_go_after_a_turns_worth)
{
	struct zk_client *d = zk_session(p, 0), *c = zk_session(p, 0);
	/* all of them wait in its buffer behind a write */
	srv_hold_writes(p->shards[0], true);
	zk_create(c, "/a", "", 0);
	for (int i = 0; i < 3000; i++)
		zk_exists(c, "/", false);
	inproc_settle(p);
	srv_hold_writes(p->shards[0], false);
	inproc_io(p, 0);
	inproc_core(p);
	inproc_sync(p);
	ck_assert_uint_eq(take_frames(c), 0);
	inproc_io(p, 0);
	ck_assert_uint_eq(take_frames(c), 1 + LIMIT_TURN_READS);
	zk_exists(d, "/", false); /* waits for its turn, not for all of them */
	inproc_io(p, 0);
	inproc_io(p, 0);
	ck_assert_uint_eq(take_frames(d), 1);
	inproc_settle(p);
	ck_assert_uint_eq(take_frames(c), 3000 - LIMIT_TURN_READS);
	zk_free(c);
	zk_free(d);
}
END_TEST

START_TEST(test_pipeline_of_large_reads_lets_the_tree_go_after_a_turns_bytes)
{
	enum { ONE = 100000, COUNT = 50 };
	struct zk_client *c = zk_session(p, 0);
	zk_create(c, "/big", big(ONE), 0);
	inproc_settle(p);
	take_frames(c);
	for (int i = 0; i < COUNT; i++)
		zk_get(c, "/big", false);
	size_t all = 0;
	while (all < COUNT) {
		inproc_io(p, 0);
		size_t turn = take_frames(c);
		ck_assert_uint_gt(turn, 0);
		ck_assert_uint_le((turn - 1) * ONE, LIMIT_TURN_REPLY_BYTES);
		all += turn;
	}
	ck_assert_uint_eq(all, COUNT);
	zk_free(c);
}
END_TEST

START_TEST(test_held_writes_wait_and_reads_in_front_of_them_do_not)
{
	struct zk_client *c = zk_session(p, 0), *d = zk_session(p, 0);
	srv_hold_writes(p->shards[0], true);
	zk_get(c, "/", false);
	zk_create(c, "/a", "", 0);
	zk_get(c, "/a", false);
	zk_get(d, "/", false);
	inproc_settle(p);
	ck_told(c, "1 OK \"\"\n");
	ck_told(d, "1 OK \"\"\n");
	srv_hold_writes(p->shards[0], false);
	inproc_settle(p);
	ck_told(c, "2 OK \"/a\"\n3 OK \"\"\n");
	zk_free(c);
	zk_free(d);
}
END_TEST

START_TEST(test_hanging_up_with_writes_in_flight_gives_their_room_back)
{
	struct zk_client *c = zk_session(p, 0);
	for (int i = 0; i < 10; i++)
		zk_create(c, "/s-", "", 2);
	inproc_io(p, 0);
	inproc_hang_up(c->link);
	struct zk_client *d = zk_session(p, 0); /* in the same slot */
	zk_children(d, "/", false);
	inproc_settle(p);
	struct srv_stats st;
	srv_stats(p->shards[0], &st);
	ck_assert_uint_eq(st.outstanding, 0);
	ck_told(d, "1 OK 11 names\n");
	zk_free(c);
	zk_free(d);
}
END_TEST

START_TEST(test_idle_says_when_nothing_is_lost_by_closing)
{
	struct zk_client *c = zk_session(p, 0);
	ck_assert(srv_idle(p->shards[0]));
	zk_create(c, "/a", "", 0);
	inproc_io(p, 0);
	ck_assert(!srv_idle(p->shards[0]));
	inproc_settle(p);
	ck_assert(srv_idle(p->shards[0]));
	zk_free(c);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("server");
	TCase *t = tcase_create("server");
	tcase_add_checked_fixture(t, begin, end);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_handshake_answers_the_byte_only_when_it_came, 0, 2);
	tcase_add_loop_test(t, test_handshake_clamps_the_timeout, 0, 7);
	tcase_add_test(t, test_handshake_of_a_new_session_waits_for_the_log);
	tcase_add_test(
		t, test_handshake_with_a_wrong_password_says_expired_and_leaves_the_session_alone);
	tcase_add_test(t, test_handshake_of_an_unknown_session_says_expired);
	tcase_add_test(t, test_handshake_that_has_seen_more_is_closed_without_an_answer);
	tcase_add_loop_test(
		t, test_first_frame_that_is_no_handshake_is_closed_without_an_answer, 0, 7);
	tcase_add_test(t, test_requests_may_follow_the_handshake_at_once);
	tcase_add_test(t, test_read_between_two_writes_sees_exactly_the_first);
	tcase_add_test(t, test_everything_behind_a_write_waits_for_the_log);
	tcase_add_test(t, test_another_connections_write_is_no_reason_to_wait);
	tcase_add_test(t, test_undecodable_and_unknown_requests_have_their_place_in_the_order);
	tcase_add_test(t, test_bytes_may_come_one_at_a_time);
	tcase_add_test(t, test_zxid_of_a_reply_is_its_own_or_the_last_drained);
	tcase_add_test(t, test_event_leaves_before_the_reply_of_its_write);
	tcase_add_loop_test(t, test_event_leaves_before_a_reply_that_shows_the_new_state, 0, 2);
	tcase_add_test(t, test_watches_are_one_shot_and_kinds_do_not_mix);
	tcase_add_test(t, test_deletion_is_told_once_to_who_watches_data_and_children);
	tcase_add_test(t, test_sessions_end_fires_its_nodes_and_their_parent_once);
	tcase_add_test(t, test_set_watches_tells_what_happened_and_arms_the_rest);
	tcase_add_test(t, test_watches_go_with_the_connection);
	tcase_add_loop_test(t, test_session_moves_and_its_former_connection_is_closed, 0, 2);
	tcase_add_test(t, test_write_in_flight_when_the_session_moves_is_not_applied);
	tcase_add_test(t, test_session_lives_while_its_client_pings_and_expires_when_not);
	tcase_add_test(
		t, test_client_that_was_silent_for_more_than_its_timeout_is_cut_when_asked_about);
	tcase_add_test(t, test_silent_client_that_was_cut_may_come_back_before_its_session_ends);
	tcase_add_test(t, test_client_that_was_silent_for_its_timeout_only_just_is_kept);
	tcase_add_test(t, test_question_about_another_attach_or_session_is_answered_with_not_here);
	tcase_add_test(t, test_whole_frame_that_was_not_served_counts_as_heard);
	tcase_add_test(t, test_input_that_was_not_read_yet_counts_as_heard);
	tcase_add_test(t, test_client_that_does_not_read_its_replies_is_not_heard);
	tcase_add_loop_test(
		t, test_end_of_the_former_connection_does_not_end_a_session_that_moved, 0, 2);
	tcase_add_test(t, test_connections_end_tells_when_it_was_heard_last);
	tcase_add_test(t, test_sessions_and_acknowledged_writes_survive_a_restart);
	tcase_add_test(t, test_client_that_nobody_has_after_a_restart_gets_its_full_timeout);
	tcase_add_test(t, test_word_is_answered_and_the_connection_closed);
	tcase_add_test(t, test_word_behind_a_handshake_is_a_frame_like_any_other);
	tcase_add_test(t, test_word_that_waits_for_its_answer_is_not_read_any_more);
	tcase_add_test(t, test_what_is_behind_auth_waits_for_it);
	tcase_add_test(t, test_identities_of_a_connection_are_bounded);
	tcase_add_test(t, test_writes_with_all_identities_and_the_largest_frame_fit_an_entry);
	tcase_add_test(t, test_refused_auth_is_answered_and_closes_the_connection_not_the_session);
	tcase_add_test(t, test_auth_of_several_connections_at_once);
	tcase_add_loop_test(t, test_frames_above_the_limit_end_the_connection, 0, 4);
	tcase_add_test(t, test_frame_of_exactly_the_limit_is_taken);
	tcase_add_loop_test(t, test_frame_too_short_for_a_header_ends_the_connection, 0, 9);
	tcase_add_test(t, test_client_that_does_not_read_is_not_read_either);
	tcase_add_test(t, test_events_for_a_client_that_never_reads_end_its_connection_at_a_bound);
	tcase_add_test(t, test_listing_above_the_reply_limit_is_refused_not_cut);
	tcase_add_test(t, test_writes_in_flight_of_a_connection_are_bounded);
	tcase_add_test(t, test_writes_in_flight_of_all_are_bounded_and_everybody_gets_on);
	tcase_add_test(t, test_growth_is_refused_in_its_order_and_the_rest_goes_on);
	tcase_add_test(t, test_sessions_open_and_move_while_growth_is_refused);
	tcase_add_test(t, test_bytes_of_a_connections_writes_in_flight_are_bounded);
	tcase_add_test(t, test_bytes_of_a_turns_proposals_are_bounded_and_the_next_goes_on);
	tcase_add_test(t, test_bytes_of_a_connections_watches_are_bounded);
	tcase_add_test(t, test_set_watches_beyond_the_bound_ends_the_connection);
	tcase_add_test(t, test_pipeline_of_reads_lets_the_tree_go_after_a_turns_worth);
	tcase_add_test(t, test_pipeline_of_large_reads_lets_the_tree_go_after_a_turns_bytes);
	tcase_add_test(t, test_held_writes_wait_and_reads_in_front_of_them_do_not);
	tcase_add_test(t, test_hanging_up_with_writes_in_flight_gives_their_room_back);
	tcase_add_test(t, test_idle_says_when_nothing_is_lost_by_closing);
	suite_add_tcase(s, t);
	return s;
}

int main(void) { return unit_run(suite()); }
