/* Several clients of two shards and a node, in one thread and from one seed: pipelined reads, writes, watches and
 * nonsense, cut into pieces at random, turns in random order. Whatever happens, for each connection:
 *
 *   - replies come in the order of the requests, and none is missing
 *   - a read of a node that only this client writes shows exactly the write before it in its pipeline
 *   - zxids of replies never go back, and no reply shows a node that is newer than the reply
 *   - a reply with zxid z comes behind every event up to z that a watch of this connection is owed
 *
 * The last is judged at the end, when the history of every node is known. */
#include "tests/unit/unit.h"

#include "schema/runtime/rt_mem.h"
#include "tests/lib/zk_client.h"

#define CLIENTS 6
#define KEYS 4 /* shared nodes */
#define ROUNDS 250
#define HISTORY 20000
#define LOG 40000
#define PENDING 4096

enum what {
	SET_OWN,
	GET_OWN,
	SET_SHARED,
	WATCH_SHARED,
	GET_SHARED,
	PING,
	FAIL,
	NONSENSE,
	UNKNOWN,
	SYNC,
	WHATS
};

struct pending {
	enum what what;
	int32_t xid;
	int key;
	uint64_t own; /* what the own node holds then */
};

/* What a connection was told, in order. */
struct told {
	enum { TOLD_REPLY, TOLD_EVENT, TOLD_ARMED } kind;
	int key;
	int64_t zxid; /* of a reply; of the node when it was armed */
};

struct one {
	struct zk_client *c;
	char own_path[16];
	uint64_t own;
	struct pending queue[PENDING];
	size_t first, last;
	struct told log[LOG];
	size_t log_count;
	int64_t zxid;
};

static struct inproc *p;
static struct rt_rand rnd;
static struct one ones[CLIENTS];
static struct {
	int64_t zxids[HISTORY];
	size_t count;
} history[KEYS];

static const char *const shared[KEYS] = { "/s0", "/s1", "/s2", "/s3" };

static void note(struct one *o, int kind, int key, int64_t zxid)
{
	ck_assert_uint_lt(o->log_count, LOG);
	o->log[o->log_count++] = (struct told){ kind, key, zxid };
}

static void send_one(struct one *o, enum what what)
{
	struct pending *q = &o->queue[o->last++ % PENDING];
	char text[24];
	ck_assert_uint_lt(o->last - o->first, PENDING);
	*q = (struct pending){ .what = what, .key = (int)rt_rand_below(&rnd, KEYS) };
	if (what == SET_OWN)
		o->own++;
	q->own = o->own;
	struct rt_buf b;
	rt_buf_init(&b, sizeof text);
	rt_buf_u64(&b, o->own);
	rt_buf_char(&b, '\0');
	memcpy(text, b.p, b.len);
	rt_buf_done(&b);
	switch (what) {
	case SET_OWN:
		q->xid = zk_set(o->c, o->own_path, text);
		break;
	case GET_OWN:
		q->xid = zk_get(o->c, o->own_path, false);
		break;
	case SET_SHARED:
		q->xid = zk_set(o->c, shared[q->key], text);
		break;
	case WATCH_SHARED:
	case GET_SHARED:
		q->xid = zk_get(o->c, shared[q->key], what == WATCH_SHARED);
		break;
	case PING:
		zk_ping(o->c);
		q->xid = WIRE_XID_PING;
		break;
	case FAIL:
		q->xid = zk_create(o->c, shared[q->key], text, 0);
		break;
	case NONSENSE:
		q->xid = zk_send(o->c, rt_rand_below(&rnd, 2) ? WIRE_OP_CREATE : WIRE_OP_EXISTS,
			rt_slice_str("?"));
		break;
	case UNKNOWN:
		q->xid = zk_send(o->c, 9999, rt_slice_str(""));
		break;
	case SYNC:
		q->xid = zk_sync(o->c, "/x");
		break;
	case WHATS:
		ck_abort();
	}
}

/* What a reply to that must carry. */
static void judge(struct one *o, const struct pending *q, const struct zk_reply *m)
{
	struct rt_reader r = rt_reader_of(m->body.p, m->body.len);
	struct wire_get_data_response data;
	struct rt_buf own;
	int expected = q->what == FAIL       ? ZK_NODE_EXISTS
		       : q->what == NONSENSE ? ZK_MARSHALLING_ERROR
		       : q->what == UNKNOWN  ? ZK_UNIMPLEMENTED
					     : ZK_OK;
	ck_assert_int_eq(m->xid, q->xid);
	ck_assert_int_eq(m->err, expected);
	ck_assert_int_ge(m->zxid, o->zxid);
	o->zxid = m->zxid;
	note(o, TOLD_REPLY, -1, m->zxid);
	if (q->what == SET_SHARED) {
		ck_assert_uint_lt(history[q->key].count, HISTORY);
		history[q->key].zxids[history[q->key].count++] = m->zxid;
	}
	if (q->what != GET_OWN && q->what != GET_SHARED && q->what != WATCH_SHARED)
		return;
	ck_assert_int_eq(wire_get_data_response_decode(&r, &data), 0);
	ck_assert_int_le(data.stat.mzxid, m->zxid);
	if (q->what == GET_OWN) {
		rt_buf_init(&own, 100);
		rt_buf_u64(&own, q->own);
		ck_assert(rt_slice_eq(data.data, rt_slice_of(own.p, own.len)));
		rt_buf_done(&own);
	}
	if (q->what == WATCH_SHARED)
		note(o, TOLD_ARMED, q->key, data.stat.mzxid);
}

static void listen(struct one *o)
{
	struct zk_reply m;
	while (zk_next(o->c, &m)) {
		if (!m.event) {
			ck_assert_uint_lt(o->first, o->last);
			judge(o, &o->queue[o->first++ % PENDING], &m);
			continue;
		}
		ck_assert_int_eq(m.watch.type, WIRE_EVENT_DATA_CHANGED);
		int key = m.watch.path.p[2] - '0';
		ck_assert(rt_slice_is(m.watch.path, shared[key]));
		note(o, TOLD_EVENT, key, 0);
	}
}

static int by_zxid(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* The first change of a key above a zxid, or one that never came. */
static int64_t next_change(int key, int64_t zxid)
{
	for (size_t i = 0; i < history[key].count; i++)
		if (history[key].zxids[i] > zxid)
			return history[key].zxids[i];
	return INT64_MAX;
}

static void judge_events(const struct one *o)
{
	int64_t owed[KEYS]; /* when the armed watch fires; INT64_MAX - 1 for none armed */
	const int64_t none = INT64_MAX - 1;
	size_t events = 0;
	for (int k = 0; k < KEYS; k++)
		owed[k] = none;
	for (size_t i = 0; i < o->log_count; i++) {
		const struct told *t = &o->log[i];
		if (t->kind == TOLD_ARMED && owed[t->key] == none) {
			owed[t->key] = next_change(t->key, t->zxid);
		} else if (t->kind == TOLD_EVENT) {
			ck_assert(owed[t->key] != none); /* an event that nobody asked for */
			ck_assert(owed[t->key] != INT64_MAX);
			owed[t->key] = none;
			events++;
		} else if (t->kind == TOLD_REPLY) {
			for (int k = 0; k < KEYS; k++)
				ck_assert(owed[k] == none || t->zxid < owed[k]);
		}
	}
	for (int k = 0; k < KEYS; k++)
		ck_assert(
			owed[k] == none || owed[k] == INT64_MAX); /* all that were owed have come */
	ck_assert_uint_gt(events, 20);
}

static void begin(uint64_t seed)
{
	memset(ones, 0, sizeof ones);
	memset(history, 0, sizeof history);
	rt_rand_seed(&rnd, seed + 1000);
	struct inproc_config config = { .shards = 2, .seed = seed, .random = true };
	if (seed % 3 == 1)
		config.writes_in_flight = 2;
	if (seed % 3 == 2)
		config.writes_in_flight_all = 5;
	p = inproc_new(&config);
	for (int i = 0; i < CLIENTS; i++) {
		struct one *o = &ones[i];
		o->c = zk_session(p, (uint32_t)i % 2);
		memcpy(o->own_path, "/own0", 6);
		o->own_path[4] = (char)('0' + i);
		zk_create(o->c, o->own_path, "0", 0);
		if (i < KEYS)
			zk_create(o->c, shared[i], "", 0);
	}
	inproc_settle(p);
	for (int i = 0; i < CLIENTS; i++)
		zk_told(ones[i].c);
}

START_TEST(test_many_clients_keep_every_promise)
{
	begin((uint64_t)_i);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < CLIENTS; i++)
			for (uint64_t n = rt_rand_below(&rnd, 12); n > 0; n--)
				send_one(&ones[i], (enum what)rt_rand_below(&rnd, WHATS));
		for (uint64_t n = rt_rand_below(&rnd, 30); n > 0; n--) {
			switch (rt_rand_below(&rnd, 4)) {
			case 0:
				inproc_io(p, 0);
				break;
			case 1:
				inproc_io(p, 1);
				break;
			case 2:
				inproc_core(p);
				break;
			default:
				inproc_sync(p);
				break;
			}
		}
		for (int i = 0; i < CLIENTS; i++)
			listen(&ones[i]);
	}
	inproc_settle(p);
	for (int i = 0; i < CLIENTS; i++) {
		listen(&ones[i]);
		ck_assert_uint_eq(ones[i].first, ones[i].last);
	}
	for (int k = 0; k < KEYS; k++)
		qsort(history[k].zxids, history[k].count, sizeof history[k].zxids[0], by_zxid);
	for (int i = 0; i < CLIENTS; i++) {
		judge_events(&ones[i]);
		zk_free(ones[i].c);
	}
	inproc_free(p);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("server, at random");
	TCase *t = tcase_create("random");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_many_clients_keep_every_promise, 0, 12);
	suite_add_tcase(s, t);
	return unit_run(s);
}
