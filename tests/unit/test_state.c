/* The replicated state at random against a simple model of it (tests/lib/state_model.h): every answer, and the
 * whole tree after it; state_check walks the real structure each time. The same entries under another hash seed
 * give the same state. And what only size shows: the table of paths while it grows. Single rules stand in
 * tests/golden/state. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>

#include "daemon/state/state.h"
#include "schema/runtime/rt_rand.h"
#include "tests/lib/state_model.h"

#define STEPS 3000

/* As ck_assert, which tells the runner of each time that it holds: too slow for millions of them. */
#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond))                                                                       \
			ck_abort_msg("%s", #cond);                                                 \
	} while (0)

#define OPS_MAX 6
#define BUF_MAX (64u << 20)

static struct rt_rand rnd;
static struct model m;
static struct state *s, *twin;
static struct feed_batch fb, other; /* of s, of its twin */
static uint32_t told; /* changes of the last entry, but for those of the batch's end */
static int64_t zxid;

static void begin(void)
{
	model_init(&m);
	s = state_new(11);
	twin = state_new(12);
	feed_init(&fb);
	feed_init(&other);
	zxid = 0;
}

static void end(void)
{
	feed_done(&fb);
	feed_done(&other);
	state_free(s);
	state_free(twin);
}

static uint64_t below(uint64_t n) { return rt_rand_below(&rnd, n); }

/* Applies to both; what the first one answered, or NULL. */
static const struct result *apply(const struct rt_buf *payload)
{
	struct state_entry e = {
		.index = ++zxid, .payload = make_slice(payload), .origin = { .shard = 0, .conn = 5 }
	};
	feed_clear(&fb);
	ck_assert_int_eq(state_apply(s, &e, &fb), 0);
	state_check(s);
	feed_clear(&other);
	e.origin.shard = FEED_NO_SHARD; /* on another server nobody waits for it */
	ck_assert_int_eq(state_apply(twin, &e, &other), 0);
	ck_assert_uint_eq(other.change_count, fb.change_count);
	ck_assert_uint_eq(other.results[0].count, 0);
	told = fb.change_count;
	state_seal(s, &fb);
	state_seal(twin, &other);
	ck_assert_uint_eq(other.change_count, fb.change_count);
	ck_assert_int_eq(fb.mark.zxid, zxid);
	ck_assert_int_eq(other.mark.next_node_id, fb.mark.next_node_id);
	ck_assert_uint_eq(other.mark.digest, fb.mark.digest);
	ck_assert_uint_le(fb.results[0].count, 1);
	return fb.results[0].count == 1 ? &fb.results[0].v[0] : NULL;
}

static void same_stat(const struct base_stat *a, const struct base_stat *b)
{
	REQUIRE(a->czxid == b->czxid);
	REQUIRE(a->mzxid == b->mzxid);
	REQUIRE(a->pzxid == b->pzxid);
	REQUIRE(a->ctime_ms == b->ctime_ms);
	REQUIRE(a->mtime_ms == b->mtime_ms);
	REQUIRE(a->owner == b->owner);
	REQUIRE(a->version == b->version);
	REQUIRE(a->cversion == b->cversion);
	REQUIRE(a->aversion == b->aversion);
	REQUIRE(a->data_bytes == b->data_bytes);
	REQUIRE(a->children == b->children);
}

/* Every node of the model is there, as it should be, with its children; and there are no others. */
static void same_tree(void)
{
	struct state_counts counts;
	uint64_t nodes = 0;
	for (size_t i = 0; i < MODEL_NODES; i++) {
		struct model_node *want = &m.nodes[i];
		struct base_stat st;
		uint32_t children = 0;
		if (want->path[0] == '\0')
			continue;
		nodes++;
		const struct znode *n = state_find(s, rt_slice_str(want->path));
		if (n == NULL)
			ck_abort_msg("%s is missing", want->path);
		state_node_stat(s, n, &st);
		same_stat(&st, &want->st);
		struct rt_slice data = want->null ? (struct rt_slice){ 0 }
						  : rt_slice_str(want->data);
		REQUIRE(rt_slice_eq(state_node_data(n), data));
		REQUIRE(rt_slice_is(state_node_name(n), strrchr(want->path, '/') + 1));
		for (const struct znode *c = state_first_child(s, n); c != NULL;
			c = state_next_sibling(s, c))
			children++;
		REQUIRE(children == st.children);
	}
	state_counts(s, &counts);
	REQUIRE(counts.nodes == nodes);
}

static void same_dump(void)
{
	struct rt_buf a, b;
	rt_buf_init(&a, BUF_MAX);
	rt_buf_init(&b, BUF_MAX);
	state_dump(s, &a);
	state_dump(twin, &b);
	ck_assert(rt_slice_eq(make_slice(&a), make_slice(&b)));
	rt_buf_done(&a);
	rt_buf_done(&b);
}

/* --- random operations */

static void random_path(char path[MODEL_PATH])
{
	static const char *const parts[] = { "a", "b", "c", "a-name-longer-than-sixteen-bytes",
		"exactly-16-bytes" };
	size_t n = 0;
	for (uint64_t depth = 1 + below(3); depth > 0; depth--) {
		const char *part = parts[below(5)];
		path[n++] = '/';
		memcpy(path + n, part, strlen(part) + 1);
		n += strlen(part);
	}
}

static struct model_op random_op(bool in_multi)
{
	static const int32_t kinds[] = { WIRE_OP_CREATE, WIRE_OP_CREATE, WIRE_OP_CREATE2,
		WIRE_OP_DELETE, WIRE_OP_DELETE, WIRE_OP_SET_DATA, WIRE_OP_CHECK };
	struct model_op q = { .op = kinds[below(in_multi ? 7 : 6)], .null = below(8) == 0 };
	random_path(q.path);
	for (uint64_t n = below(sizeof q.data); n > 0; n--)
		q.data[n - 1] = (char)('a' + below(26));
	q.flags = below(20) == 0  ? (int32_t)below(8)
		  : below(6) == 0 ? 2 + (int32_t)below(2)
				  : (int32_t)(below(4) == 0);
	q.version = below(3) == 0 ? (int32_t)below(3) : -1;
	/* some of what was made under a number, so that such nodes go too */
	if (q.op == WIRE_OP_DELETE && below(2) == 0)
		for (size_t i = below(MODEL_NODES), k = 0; k < MODEL_NODES;
			k++, i = (i + 1) % MODEL_NODES)
			if (m.nodes[i].path[0] != '\0' &&
				strncmp(m.nodes[i].path, "/zoo", 4) != 0) {
				memcpy(q.path, m.nodes[i].path, MODEL_PATH);
				break;
			}
	return q;
}

static struct model_session *random_session(void)
{
	struct model_session *x = &m.sessions[below(MODEL_SESSIONS)];
	return x->id != 0 ? x : NULL;
}

static void request(
	struct model_session *x, int32_t op, struct rt_slice body, struct rt_buf *payload)
{
	struct disk_entry_request q = {
		.session_id = x->id, .generation = x->generation, .number = ++x->number, .op = op
	};
	rt_buf_clear(payload);
	make_request(payload, zxid + 1000, &q, body);
}

static void step_op(struct model_session *x, struct rt_buf *payload)
{
	struct model_op q = random_op(false);
	char path[MODEL_PATH] = "";
	struct rt_buf body;
	rt_buf_init(&body, BUF_MAX);
	model_body(&q, false, &body);
	request(x, q.op, make_slice(&body), payload);
	int err = model_apply(&m, &q, zxid + 1, zxid + 1000, x->id, path);
	const struct result *r = apply(payload);
	ck_assert_ptr_nonnull(r);
	ck_assert_int_eq(r->err, err);
	ck_assert_uint_eq(told, err == ZK_OK);
	if (err == ZK_OK && (q.op == WIRE_OP_CREATE || q.op == WIRE_OP_CREATE2))
		ck_assert(rt_slice_is(r->body, path));
	if (r->has_stat)
		same_stat(&r->stat, &model_find(&m, q.op == WIRE_OP_CREATE2 ? path : q.path)->st);
	rt_buf_done(&body);
}

static void step_multi(struct model_session *x, struct rt_buf *payload)
{
	struct model_op q[OPS_MAX];
	size_t count = below(OPS_MAX + 1);
	struct rt_buf body;
	rt_buf_init(&body, BUF_MAX);
	for (size_t i = 0; i < count; i++) {
		q[i] = random_op(true);
		model_body(&q[i], true, &body);
	}
	MAKE(&body, wire_multi_header, { .type = -1, .done = true, .err = -1 });
	request(x, WIRE_OP_MULTI, make_slice(&body), payload);
	int err = ZK_OK;
	size_t refused = model_multi(&m, q, count, zxid + 1, zxid + 1000, x->id, &err);
	const struct result *r = apply(payload);
	ck_assert_int_eq(r->err, ZK_OK);
	struct rt_reader in = rt_reader_of(r->body.p, r->body.len);
	struct wire_multi_header h;
	struct wire_error_response e;
	for (size_t i = 0; refused < count && i < count; i++) {
		ck_assert_int_eq(wire_multi_header_decode(&in, &h), 0);
		ck_assert_int_eq(wire_error_response_decode(&in, &e), 0);
		ck_assert_int_eq(h.type, -1);
		ck_assert_int_eq(e.err, i < refused    ? 0
					: i == refused ? err
						       : ZK_RUNTIME_INCONSISTENCY);
	}
	uint32_t done = 0;
	for (size_t i = 0; i < count; i++)
		done += q[i].op != WIRE_OP_CHECK;
	ck_assert_uint_eq(told, refused < count ? 0 : done);
	rt_buf_done(&body);
}

static void step_open(struct rt_buf *payload)
{
	struct model_session *x = model_session(&m, 0);
	if (x == NULL)
		return;
	rt_buf_clear(payload);
	make_open(payload, zxid + 1000,
		&(struct disk_entry_session_open){ .server_id = 1, .timeout_ms = 4000 });
	const struct result *r = apply(payload);
	ck_assert_int_eq(r->err, ZK_OK);
	*x = (struct model_session){ .id = r->session.id, .generation = 1 };
}

static void step_attach(struct model_session *x, struct rt_buf *payload)
{
	static const uint8_t passwd[16];
	rt_buf_clear(payload);
	make_attach(payload, zxid + 1000,
		&(struct disk_entry_session_attach){
			.session_id = x->id, .passwd = { passwd, 16 }, .timeout_ms = 5000 });
	const struct result *r = apply(payload);
	ck_assert_int_eq(r->err, ZK_OK);
	ck_assert_uint_eq(r->session.generation, ++x->generation);
	x->number = 0;
	if (below(3) > 0)
		return;
	/* the same bytes again, as a shard sends them that has lost sight of the first */
	r = apply(payload);
	ck_assert_int_eq(r->err, ZK_OK);
	ck_assert_uint_eq(r->session.generation, x->generation);
	ck_assert_uint_eq(fb.change_count, 0);
}

static void step_end(struct model_session *x, struct rt_buf *payload)
{
	int64_t id = x->id;
	if (below(2) == 0) {
		request(x, WIRE_OP_CLOSE_SESSION, rt_slice_str(""), payload);
		model_end_session(&m, id, zxid + 1);
	} else {
		rt_buf_clear(payload);
		bool late = below(2) == 0; /* an attach came between: nothing happens */
		make_expire(payload, zxid + 1000, id, x->generation - late);
		if (!late)
			model_end_session(&m, id, zxid + 1);
	}
	apply(payload);
}

static void one_step(struct rt_buf *payload)
{
	struct model_session *x = random_session();
	uint64_t what = below(20);
	if (x == NULL || what == 0)
		step_open(payload);
	else if (what == 1)
		step_attach(x, payload);
	else if (what == 2 && below(3) == 0)
		step_end(x, payload);
	else if (what < 8)
		step_multi(x, payload);
	else
		step_op(x, payload);
}

START_TEST(test_random_operations_agree_with_the_model)
{
	struct rt_buf payload;
	rt_buf_init(&payload, BUF_MAX);
	rt_rand_seed(&rnd, (uint64_t)_i + 1);
	for (int i = 0; i < STEPS; i++) {
		one_step(&payload);
		same_tree();
		if (i % 100 == 0)
			same_dump();
	}
	same_dump();
	rt_buf_done(&payload);
}
END_TEST

/* --- what only size shows */

static void path_of(uint32_t i, char path[64]) { snprintf(path, 64, "/p%u/n%u", i % 50, i); }

static void write_op(const struct model_op *q, struct rt_buf *payload, uint64_t number)
{
	struct rt_buf body;
	rt_buf_init(&body, BUF_MAX);
	model_body(q, false, &body);
	struct disk_entry_request e = {
		.session_id = (int64_t)1 << 56 | 1, .generation = 1, .number = number, .op = q->op
	};
	rt_buf_clear(payload);
	make_request(payload, 1, &e, make_slice(&body));
	struct state_entry entry = {
		.index = ++zxid, .payload = make_slice(payload), .origin = { .shard = 0 }
	};
	feed_clear(&fb);
	REQUIRE(state_apply(s, &entry, &fb) == 0);
	REQUIRE(fb.results[0].v[0].err == ZK_OK);
	rt_buf_done(&body);
}

#if PANDO_CHECKS
#define MANY 3000u /* apply walks the whole tree each time in such a build */
#else
#define MANY 100000u
#endif

/* Any node made so far is found, and none that was not, while the table moves from the old to the new. */
static void look_up(uint32_t made, uint32_t gone)
{
	char path[64];
	for (int k = 0; k < 8; k++) {
		uint32_t i = (uint32_t)below(MANY);
		path_of(i, path);
		const struct znode *n = state_find(s, rt_slice_str(path));
		REQUIRE((n != NULL) == (i >= gone && i < made));
		if (n != NULL)
			REQUIRE(rt_slice_is(state_node_name(n), strrchr(path, '/') + 1));
	}
}

START_TEST(test_table_of_paths_grows_while_it_is_read)
{
	struct rt_buf payload;
	struct model_op q = { .version = -1 };
	uint64_t number = 0;
	rt_rand_seed(&rnd, 7);
	rt_buf_init(&payload, BUF_MAX);
	make_open(&payload, 1,
		&(struct disk_entry_session_open){ .server_id = 1, .timeout_ms = 4000 });
	struct state_entry e = { .index = ++zxid,
		.payload = make_slice(&payload),
		.origin = { .shard = FEED_NO_SHARD } };
	ck_assert_int_eq(state_apply(s, &e, &fb), 0);
	q.op = WIRE_OP_CREATE;
	for (uint32_t i = 0; i < 50; i++) {
		snprintf(q.path, sizeof q.path, "/p%u", i);
		write_op(&q, &payload, ++number);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		path_of(i, q.path);
		write_op(&q, &payload, ++number);
		look_up(i + 1, 0);
		if (i % (MANY / 10) == 0)
			state_check(s);
	}
	state_check(s);
	q.op = WIRE_OP_DELETE;
	for (uint32_t i = 0; i < MANY; i++) {
		path_of(i, q.path);
		write_op(&q, &payload, ++number);
		look_up(MANY, i + 1);
	}
	state_check(s);
	struct state_counts counts;
	state_counts(s, &counts);
	ck_assert_uint_eq(counts.nodes, 4 + 50);
	rt_buf_done(&payload);
}
END_TEST

START_TEST(test_delete_while_the_table_moves)
{
	/* made and deleted at once near the moment of growth, so that both tables hold leavings */
	struct rt_buf payload;
	struct model_op q = { .version = -1 };
	uint64_t number = 0;
	rt_buf_init(&payload, BUF_MAX);
	make_open(&payload, 1,
		&(struct disk_entry_session_open){ .server_id = 1, .timeout_ms = 4000 });
	struct state_entry e = { .index = ++zxid,
		.payload = make_slice(&payload),
		.origin = { .shard = FEED_NO_SHARD } };
	ck_assert_int_eq(state_apply(s, &e, &fb), 0);
	for (uint32_t i = 0; i < 1200; i++) {
		q.op = WIRE_OP_CREATE;
		snprintf(q.path, sizeof q.path, "/n%u", i);
		write_op(&q, &payload, ++number);
		if (i > 700 && i % 3 != 0) {
			q.op = WIRE_OP_DELETE;
			snprintf(q.path, sizeof q.path, "/n%u", i - (i % 2 ? 0 : 600));
			if (state_find(s, rt_slice_str(q.path)) != NULL)
				write_op(&q, &payload, ++number);
			state_check(s);
		}
	}
	rt_buf_done(&payload);
}
END_TEST

START_TEST(test_index_below_the_last_is_a_mistake)
{
	struct rt_buf payload;
	rt_buf_init(&payload, BUF_MAX);
	make_noop(&payload, 1);
	struct state_entry e = {
		.index = 5, .payload = make_slice(&payload), .origin = { .shard = FEED_NO_SHARD }
	};
	ck_assert_int_eq(state_apply(s, &e, &fb), 0);
	state_apply(s, &e, &fb);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state");
	TCase *t = tcase_create("state");
	tcase_add_checked_fixture(t, begin, end);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_random_operations_agree_with_the_model, 0, 5);
	tcase_add_test(t, test_table_of_paths_grows_while_it_is_read);
	tcase_add_test(t, test_delete_while_the_table_moves);
	tcase_add_test_raise_signal(t, test_index_below_the_last_is_a_mistake, SIGABRT);
	suite_add_tcase(suite, t);
	return unit_run(suite);
}
