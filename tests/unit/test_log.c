/* The log on a simulated disk: what was acknowledged is read back after every crash, tear, failure and change of life;
 * what has rotted is named; nothing that was not written is ever read.
 *
 * Method: a list of all records appended, in order (struct history). Whatever happens, what a recovery visits must be
 * a beginning of that list, byte for byte, and at least as long as what was acknowledged. */
#include "daemon/store/store_log.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/store/store_log_int.h"
#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_mem.h"
#include "tests/lib/sim_disk.h"
#include "tests/unit/unit.h"

#define SEGMENT 8192u
#define PATH "log"
#define RECORDS_MAX 20000u
#define PAYLOAD_MAX (600u << 10)

struct item {
	uint8_t kind;
	uint64_t term;
	uint64_t index;
	uint32_t len;
	uint64_t content; /* seed of the payload's bytes */
};

struct history {
	struct item v[RECORDS_MAX];
	size_t count;    /* appended */
	size_t acked;    /* of them, flushed */
	uint64_t content; /* for the next */
	struct disk_hard_state hs;
};

struct walk {
	const struct history *h;
	size_t seen;
	bool wrong;
};

static struct history history;
static uint8_t payload[PAYLOAD_MAX];
static uint8_t expected[PAYLOAD_MAX];

/* ---- the history ---- */

static struct rt_slice make_payload(uint8_t *buf, const struct item *it)
{
	if (it->kind == DISK_RECORD_KIND_HARD_STATE) {
		struct disk_hard_state hs = { .term = it->term, .vote = (uint32_t)it->content };
		disk_hard_state_store(buf, &hs);
		return rt_slice_of(buf, DISK_HARD_STATE_BYTES);
	}
	struct rt_rand rnd;
	rt_rand_seed(&rnd, it->content);
	for (uint32_t i = 0; i < it->len; i += 8) {
		uint64_t v = rt_rand_u64(&rnd);
		memcpy(buf + i, &v, it->len - i < 8 ? it->len - i : 8);
	}
	return rt_slice_of(buf, it->len);
}

static int visit(void *arg, const struct store_log_record *r)
{
	struct walk *w = arg;
	if (w->seen >= w->h->count) {
		w->wrong = true;
		return 0;
	}
	const struct item *it = &w->h->v[w->seen++];
	struct rt_slice p = make_payload(expected, it);
	if (r->kind != it->kind || r->term != it->term || r->index != it->index || !rt_slice_eq(r->payload, p))
		w->wrong = true;
	return 0;
}

static struct item *history_next(void)
{
	ck_assert(history.count < RECORDS_MAX);
	return &history.v[history.count];
}

static uint64_t last_entry(uint64_t *ret_term)
{
	for (size_t i = history.count; i-- > 0;) {
		if (history.v[i].kind == DISK_RECORD_KIND_ENTRY) {
			*ret_term = history.v[i].term;
			return history.v[i].index;
		}
	}
	*ret_term = 0;
	return 0;
}

/* In the list before the call: an append that fails half-way may have left it on disk. */
static int add_at(struct store_log *log, uint32_t len, uint64_t term, uint64_t index)
{
	struct item *it = history_next();
	*it = (struct item){ DISK_RECORD_KIND_ENTRY, term, index, len, ++history.content };
	struct store_log_record r = { it->kind, term, index, make_payload(payload, it) };
	history.count++;
	return store_log_append(log, &r, 1);
}

static int add(struct store_log *log, uint32_t len)
{
	uint64_t term;
	uint64_t index = last_entry(&term);
	return add_at(log, len, term == 0 ? 1 : term, index + 1);
}

static int add_hard_state(struct store_log *log, uint64_t term, uint32_t vote)
{
	*history_next() = (struct item){ DISK_RECORD_KIND_HARD_STATE, term, 0, DISK_HARD_STATE_BYTES, vote };
	uint64_t last_term;
	history.v[history.count].index = last_entry(&last_term);
	history.count++;
	struct disk_hard_state hs = { .term = term, .vote = vote };
	return store_log_hard_state(log, &hs);
}

static int flush(struct store_log *log)
{
	int rc = store_log_flush(log);
	if (rc == 0)
		history.acked = history.count;
	return rc;
}

static int add_flush(struct store_log *log, uint32_t len)
{
	int rc = add(log, len);
	return rc != 0 ? rc : flush(log);
}

/* ---- opening ---- */

static struct store_log_options options_of(struct walk *w)
{
	struct store_log_options o = {
		.segment_bytes = SEGMENT, .create = true, .seed = 12345, .visit = visit, .arg = w,
		.ids = { .server_id = 3 },
	};
	memset(o.ids.ensemble_id, 0xe1, STORE_LOG_ID_BYTES);
	memset(o.ids.folder_id, 0xf1, STORE_LOG_ID_BYTES);
	return o;
}

static struct store_log_tail tail;
static struct rt_err err;

/* Opens and compares; does not touch the history. */
static int open_check(struct sim_disk *d, struct store_log **ret_log, size_t *ret_seen, size_t least)
{
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	struct store_fs fs = sim_disk_fs(d);
	err.code = 0;
	int rc = store_log_open(&fs, PATH, &o, ret_log, &tail, &err);
	if (rc != 0) {
		ck_assert_int_eq(err.code, rc);
		return rc;
	}
	ck_assert(!w.wrong);
	ck_assert_uint_ge(w.seen, least);
	ck_assert_uint_eq(tail.records, w.seen);
	*ret_seen = w.seen;
	return 0;
}

/* The log, its history cut to what is there. */
static struct store_log *must_open(struct sim_disk *d)
{
	struct store_log *log = NULL;
	size_t seen = 0;
	int rc = open_check(d, &log, &seen, history.acked);
	ck_assert_msg(rc == 0, "%s", err.text);
	history.count = history.acked = seen;
	return log;
}

static void must_refuse(struct sim_disk *d, int code, const char *word)
{
	struct store_log *log = NULL;
	size_t seen;
	int rc = open_check(d, &log, &seen, 0);
	ck_assert_msg(rc == code, "%d, not %d: %s", rc, code, err.text);
	ck_assert_msg(strstr(err.text, word) != NULL, "no %s in: %s", word, err.text);
	if (getenv("SHOW_ERRORS") != NULL)
		fprintf(stderr, "%s: %s\n", pando_err_name(rc), err.text);
}

static void reset(struct sim_disk *d)
{
	memset(&history, 0, sizeof history);
	sim_disk_init(d);
}

#define OK(call) ck_assert_int_eq((call), 0)

/* ---- writing and reading back ---- */

START_TEST(test_round_trip)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	ck_assert(tail.created);
	ck_assert_uint_eq(tail.first_index, 1);
	static const uint32_t sizes[] = { 0, 1, 6, 7, 8, 9, 100, 1000 };
	for (size_t i = 0; i < 8; i++)
		OK(add(log, sizes[i]));
	OK(add_hard_state(log, 5, 4));
	OK(flush(log));
	OK(add_flush(log, 10));
	store_log_close(log);

	log = must_open(&d);
	ck_assert(!tail.created);
	ck_assert_uint_eq(history.count, 10);
	ck_assert_uint_eq(tail.last_index, 9);
	ck_assert_uint_eq(tail.last_term, 1);
	ck_assert_uint_eq(tail.hard_state.term, 5);
	ck_assert_uint_eq(tail.hard_state.vote, 4);
	ck_assert_uint_eq(tail.torn_bytes, 0);
	ck_assert_int_eq(tail.ids.folder_id[0], 0xf1);
	ck_assert_uint_eq(tail.ids.server_id, 3);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_segments_change)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	struct store_fs fs = sim_disk_fs(&d);
	OK(add_hard_state(log, 2, 1));
	for (uint32_t i = 0; i < 300; i++) {
		if (i % 100 == 50)
			OK(store_log_prepare_spare(&fs, PATH, SEGMENT, NULL));
		OK(add(log, i % 251));
		if (i % 3 == 0)
			OK(flush(log));
	}
	OK(flush(log));
	struct store_log_status st;
	store_log_status(log, &st);
	ck_assert_uint_gt(st.segments, 5);
	ck_assert_uint_eq(st.segments, st.life);
	ck_assert_uint_eq(st.spares_taken, 3);
	ck_assert_uint_eq(st.durable_index, 300);
	store_log_close(log);
	log = must_open(&d);
	ck_assert_uint_eq(tail.segments, st.segments);
	ck_assert_uint_eq(history.count, 301);
	ck_assert_uint_eq(tail.hard_state.vote, 1);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_largest_record)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	uint32_t max = (uint32_t)store_log_payload_max(log);
	ck_assert_uint_eq(max, store_log_payload_max_of(SEGMENT));
	for (uint32_t i = 0; i < 10; i++)
		OK(add_flush(log, max - i));
	OK(store_log_stop(log));
	struct store_log_record two[2] = { { 1, 1, 11, rt_slice_of(payload, 1) }, { 1, 1, 12, rt_slice_of(payload, max + 1) } };
	ck_assert_int_eq(store_log_append(log, two, 2), PANDO_ELIMIT);
	ck_assert_int_eq(store_log_error(log)->code, 0);
	OK(add_flush(log, 3)); /* nothing of the two was taken */
	store_log_close(log);
	store_log_close(must_open(&d));
	ck_assert_uint_eq(history.count, 11);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_entries_taken_back)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	for (uint64_t term = 1; term < 40; term++) {
		uint64_t last_term;
		uint64_t last = last_entry(&last_term);
		uint64_t first = last > 7 ? last - term % 7 : last + 1;
		OK(add_hard_state(log, term, 0));
		for (uint64_t i = 0; i < 10; i++)
			OK(add_at(log, 60, term, first + i));
		struct store_log_status st;
		store_log_status(log, &st);
		ck_assert_uint_lt(st.durable_index, first + 9);
		OK(flush(log));
		store_log_status(log, &st);
		ck_assert_uint_eq(st.durable_index, first + 9);
	}
	store_log_close(log);
	log = must_open(&d);
	ck_assert_uint_eq(history.count, 39 * 11);
	ck_assert_uint_eq(tail.last_term, 39);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_begins_at_any_index)
{
	struct sim_disk d;
	reset(&d);
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	o.begin_index = 1000000;
	struct store_fs fs = sim_disk_fs(&d);
	struct store_log *log;
	OK(store_log_open(&fs, PATH, &o, &log, &tail, &err));
	ck_assert_uint_eq(tail.first_index, 1000001);
	OK(add_at(log, 5, 1, 1000001));
	OK(flush(log));
	store_log_close(log);
	log = must_open(&d); /* without being told again */
	ck_assert_uint_eq(tail.first_index, 1000001);
	ck_assert_uint_eq(tail.last_index, 1000001);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

static struct sim_disk *counted;
static uint64_t batch_writes(struct store_log *log)
{
	struct store_log_status st;
	store_log_status(log, &st);
	return st.written_bytes + counted->ops * 1000003;
}

START_TEST(test_mark_once)
{
	struct sim_disk d;
	reset(&d);
	counted = &d;
	struct store_log *log = must_open(&d);
	uint64_t before = batch_writes(log);
	OK(store_log_mark(log)); /* nothing to confirm */
	ck_assert_uint_eq(batch_writes(log), before);
	OK(add(log, 5));
	OK(store_log_mark(log)); /* not durable yet */
	ck_assert_uint_eq(batch_writes(log), before);
	OK(flush(log));
	before = batch_writes(log);
	OK(store_log_mark(log));
	ck_assert_uint_gt(batch_writes(log), before);
	before = batch_writes(log);
	OK(store_log_mark(log));
	OK(store_log_flush(log));
	ck_assert_uint_eq(batch_writes(log), before);
	ck_assert_uint_gt(sim_disk_pending_bytes(&d), 0); /* a mark alone is not synced */
	OK(store_log_stop(log));
	ck_assert_uint_eq(sim_disk_pending_bytes(&d), 0);
	store_log_close(log);
	for (int i = 0; i < 3; i++) { /* nothing more at each start and stop */
		log = must_open(&d);
		OK(store_log_mark(log));
		OK(store_log_stop(log));
		struct store_log_status st;
		store_log_status(log, &st);
		ck_assert_uint_eq(st.written_bytes, 0);
		store_log_close(log);
	}
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_unsafe_mode_does_not_sync)
{
	struct sim_disk d;
	reset(&d);
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	o.unsafe_no_sync = true;
	struct store_fs fs = sim_disk_fs(&d);
	struct store_log *log;
	OK(store_log_open(&fs, PATH, &o, &log, &tail, &err));
	uint64_t syncs = d.syncs;
	for (int i = 0; i < 10; i++)
		OK(add_flush(log, 100));
	ck_assert_uint_eq(d.syncs, syncs);
	OK(store_log_mark(log));
	store_log_close(log);
	store_log_close(must_open(&d)); /* the process died, not the machine */
	ck_assert_uint_eq(history.count, 10);
	sim_disk_done(&d);
}
END_TEST

/* ---- crashes ---- */

struct crash_points {
	struct sim_disk *disk;
	uint64_t points;
	uint64_t crashes;
	struct rt_rand rand;
	bool deep; /* crash again, at every operation of the recovery */
};

static void crash_and_look(struct crash_points *cp, const struct sim_disk *from, const struct sim_crash *how, bool deep);

static void before_recovery_op(void *arg)
{
	struct crash_points *cp = arg;
	struct sim_crash how = { .keep = SIM_KEEP_RANDOM, .rand = &cp->rand };
	crash_and_look(cp, cp->disk, &how, false);
}

/* On a copy: crash, read back, write one more, lose what is not synced, read back. */
static void crash_and_look(struct crash_points *cp, const struct sim_disk *from, const struct sim_crash *how, bool deep)
{
	static struct history kept;
	uint8_t in_flight[SEGMENT]; /* of an append that this crash point is in the middle of */
	memcpy(in_flight, payload, sizeof in_flight);
	struct sim_disk *d = rt_alloc(sizeof *d);
	sim_disk_copy(d, from);
	sim_disk_crash(d, how);
	cp->crashes++;
	struct crash_points inner = { .disk = d, .rand = cp->rand };
	if (deep) {
		d->before_op = before_recovery_op;
		d->before_arg = &inner;
	}
	struct store_log *log = NULL;
	size_t seen = 0;
	int rc = open_check(d, &log, &seen, history.acked);
	ck_assert_msg(rc == 0, "%s", err.text);
	d->before_op = NULL;
	cp->rand = deep ? inner.rand : cp->rand;
	cp->crashes += inner.crashes;

	kept.count = history.count;
	kept.acked = history.acked;
	kept.content = history.content;
	memcpy(kept.v + seen, history.v + seen, (history.count - seen) * sizeof *kept.v);
	history.count = seen;
	history.content = 1u << 30; /* other bytes than what was cut off */
	OK(add_flush(log, 77));
	store_log_close(log);
	sim_disk_crash(d, &(struct sim_crash){ .keep = SIM_KEEP_NONE });
	size_t again = 0;
	rc = open_check(d, &log, &again, history.acked);
	ck_assert_msg(rc == 0, "%s", err.text);
	ck_assert_uint_eq(again, seen + 1);
	store_log_close(log);
	history.count = kept.count;
	history.acked = kept.acked;
	history.content = kept.content;
	memcpy(history.v + seen, kept.v + seen, (kept.count - seen) * sizeof *kept.v);
	memcpy(payload, in_flight, sizeof in_flight);
	sim_disk_done(d);
	rt_free(d);
}

/* At each operation of the history: lose all, keep all, cut at every byte, every subset of sectors, and some at random. */
static void before_op(void *arg)
{
	struct crash_points *cp = arg;
	struct sim_disk *d = cp->disk;
	cp->points++;
	crash_and_look(cp, d, &(struct sim_crash){ .keep = SIM_KEEP_NONE }, cp->deep);
	crash_and_look(cp, d, &(struct sim_crash){ .keep = SIM_KEEP_ALL }, cp->deep);
	uint64_t bytes = sim_disk_pending_bytes(d);
	if (bytes <= 2500) {
		for (uint64_t n = 1; n < bytes; n++)
			crash_and_look(cp, d, &(struct sim_crash){ .keep = SIM_KEEP_BYTES, .bytes = n }, false);
	}
	size_t pieces = sim_disk_pieces(d);
	if (pieces > 1 && pieces <= 8) {
		for (uint64_t mask = 0; mask < 1u << pieces; mask++)
			crash_and_look(cp, d, &(struct sim_crash){ .keep = SIM_KEEP_SECTORS, .mask = mask }, cp->deep);
	}
	for (int i = 0; bytes != 0 && i < 8; i++)
		crash_and_look(cp, d, &(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &cp->rand }, cp->deep);
}

/* A small history with everything in it. */
static int small_history(struct sim_disk *d, struct store_log *log)
{
	struct store_fs fs = sim_disk_fs(d);
	int rc = add_hard_state(log, 1, 1);
	for (uint32_t i = 0; i < 4 && rc == 0; i++)
		rc = add(log, 300 * i);
	if (rc == 0)
		rc = flush(log);
	if (rc == 0)
		rc = store_log_mark(log);
	if (rc == 0)
		rc = add_flush(log, 700);
	if (rc == 0)
		(void)!store_log_prepare_spare(&fs, PATH, SEGMENT, NULL);
	for (uint32_t i = 0; i < 6 && rc == 0; i++) { /* to the next segment, from the spare */
		rc = add(log, 500);
		if (rc == 0 && i % 2 != 0)
			rc = flush(log);
	}
	if (rc == 0)
		rc = add_hard_state(log, 2, 0);
	if (rc == 0)
		rc = flush(log);
	if (rc == 0)
		rc = add_flush(log, 3500); /* and the next, made anew */
	if (rc == 0)
		rc = add_at(log, 10, 2, 8); /* takes entries back */
	if (rc == 0)
		rc = flush(log);
	if (rc == 0)
		rc = store_log_mark(log);
	if (rc == 0)
		rc = add_flush(log, 20);
	if (rc == 0)
		rc = store_log_stop(log);
	return rc;
}

static void every_crash_point(bool deep)
{
	struct sim_disk d;
	reset(&d);
	struct crash_points cp = { .disk = &d, .deep = deep };
	rt_rand_seed(&cp.rand, 99);
	d.before_op = before_op;
	d.before_arg = &cp;
	struct store_log *log;
	size_t seen;
	OK(open_check(&d, &log, &seen, 0));
	OK(small_history(&d, log));
	struct store_log_status st;
	store_log_status(log, &st);
	ck_assert_uint_eq(st.segments, 3);
	ck_assert_uint_eq(st.spares_taken, 1);
	store_log_close(log);
	d.before_op = NULL;
	store_log_close(must_open(&d));
	ck_assert_uint_gt(cp.crashes, 1000);
	sim_disk_done(&d);
}

START_TEST(test_every_crash_point) { every_crash_point(false); }
END_TEST

START_TEST(test_every_crash_point_of_recovery) { every_crash_point(true); }
END_TEST

/* Batches written before one sync: the first torn, those behind it whole, and the gap then filled to the byte. */
START_TEST(test_whole_batches_behind_a_torn_one)
{
	struct sim_disk d;
	reset(&d);
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	o.segment_bytes = 4u << 20;
	struct store_fs fs = sim_disk_fs(&d);
	struct store_log *log;
	OK(store_log_open(&fs, PATH, &o, &log, &tail, &err));
	OK(add_flush(log, 10));
	for (int i = 0; i < 5; i++)
		OK(add(log, 200u << 10));
	ck_assert_uint_gt(sim_disk_pending_bytes(&d), 3 * (200u << 10));
	store_log_close(log);
	uint8_t *p;
	size_t len;
	sim_disk_crash(&d, &(struct sim_crash){ .keep = SIM_KEEP_ALL });
	p = sim_disk_bytes(&d, "log-0000000000000001", &len);
	uint64_t second = DISK_SEGMENT_HEADER_BYTES + store_log_align(DISK_BATCH_HEADER_BYTES + DISK_RECORD_HEADER_BYTES + 10);
	ck_assert_uint_eq(rt_load32(p + second), DISK_BATCH_MAGIC);
	sim_disk_flip(&d, "log-0000000000000001", second + 1000, 3);

	OK(store_log_open(&fs, PATH, &o, &log, &tail, &err));
	ck_assert_uint_eq(w.seen, 1);
	history.count = history.acked = 1;
	ck_assert_uint_gt(tail.torn_bytes, 3 * (200u << 10));
	ck_assert_uint_eq(tail.torn_offset, second);
	OK(add_flush(log, 200u << 10)); /* ends where the next torn batch began */
	store_log_close(log);
	w.seen = 0;
	OK(store_log_open(&fs, PATH, &o, &log, &tail, &err));
	ck_assert_uint_eq(w.seen, 2);
	ck_assert(!w.wrong);
	ck_assert_uint_eq(tail.torn_bytes, 0);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

/* A client's data that looks like a later batch header: but it cannot know the salt. */
START_TEST(test_forged_header_in_a_torn_batch)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(add_flush(log, 10));
	struct disk_batch_header h = {
		.magic = DISK_BATCH_MAGIC, .life = 1, .durable_index = 2, .durable_offset = DISK_SEGMENT_HEADER_BYTES + 160,
	};
	static uint8_t forged[1024];
	for (size_t i = 0; i < sizeof forged - DISK_BATCH_HEADER_BYTES; i += 1) {
		if ((i + DISK_BATCH_HEADER_BYTES + DISK_RECORD_HEADER_BYTES) % 8 == 0 && i > 160)
			store_log_batch_store(0, &h, forged + i), i += DISK_BATCH_HEADER_BYTES - 1;
	}
	struct store_log_record r = { DISK_RECORD_KIND_ENTRY, 1, 2, rt_slice_of(forged, sizeof forged) };
	OK(store_log_append(log, &r, 1));
	OK(store_log_flush(log));
	store_log_close(log);
	sim_disk_flip(&d, "log-0000000000000001", DISK_SEGMENT_HEADER_BYTES + 80 + 6, 0); /* its batch header */
	log = must_open(&d);
	ck_assert_uint_eq(history.count, 1);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

/* ---- failing operations ---- */

static void fail_nth(uint64_t n, int rc_wanted, bool all, bool *ret_fired)
{
	struct sim_disk d;
	reset(&d);
	d.fail_at = n;
	d.fail_rc = rc_wanted;
	d.fail_all = all;
	struct store_log *log = NULL;
	size_t seen = 0;
	int rc = open_check(&d, &log, &seen, 0);
	if (rc == 0) {
		rc = small_history(&d, log);
		ck_assert(rc == 0 || rc == store_file_code(rc_wanted));
		if (rc != 0) { /* and so it stays */
			ck_assert_int_eq(store_log_error(log)->code, rc);
			ck_assert_uint_gt(strlen(store_log_error(log)->text), 10);
			uint64_t ops = d.ops;
			struct store_log_record r = { DISK_RECORD_KIND_ENTRY, 9, 1, rt_slice_str("x") };
			struct disk_hard_state hs = { .term = 9 };
			ck_assert_int_eq(store_log_append(log, &r, 1), rc);
			ck_assert_int_eq(store_log_hard_state(log, &hs), rc);
			ck_assert_int_eq(store_log_flush(log), rc);
			ck_assert_int_eq(store_log_mark(log), rc);
			ck_assert_int_eq(store_log_stop(log), rc);
			ck_assert_uint_eq(d.ops, ops);
		}
		store_log_close(log);
	} else {
		ck_assert_int_eq(rc, store_file_code(rc_wanted));
	}
	*ret_fired = d.ops >= n;
	d.fail_at = 0;

	/* The machine goes down with it: nothing that was acknowledged is lost. */
	struct crash_points cp = { .disk = &d };
	rt_rand_seed(&cp.rand, n);
	for (int i = 0; i < 4; i++)
		crash_and_look(&cp, &d, &(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &cp.rand }, false);
	crash_and_look(&cp, &d, &(struct sim_crash){ .keep = SIM_KEEP_NONE }, false);
	/* Only the process: it reads the cache, which may show what is not on disk; what it was told is durable must be. */
	log = must_open(&d);
	OK(add_flush(log, 33));
	store_log_close(log);
	sim_disk_crash(&d, &(struct sim_crash){ .keep = SIM_KEEP_NONE });
	store_log_close(must_open(&d));
	sim_disk_done(&d);
}

START_TEST(test_every_operation_fails)
{
	uint64_t n = 0;
	for (bool fired = true; fired;) {
		n++;
		fail_nth(n, -EIO, false, &fired);
		fail_nth(n, -EIO, true, &fired);
		fail_nth(n, -ENOSPC, false, &fired);
	}
	ck_assert_uint_gt(n, 50);
}
END_TEST

/* Likewise while reading back a folder with a torn tail. */
START_TEST(test_every_operation_of_recovery_fails)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	OK(add(log, 100));
	OK(store_log_flush(log));
	store_log_close(log);
	for (uint64_t n = 1;; n++) {
		struct sim_disk *c = rt_alloc(sizeof *c);
		sim_disk_copy(c, &d);
		c->ops = 0;
		c->fail_at = n;
		c->fail_rc = -EIO;
		size_t seen;
		int rc = open_check(c, &log, &seen, history.acked);
		bool fired = c->ops >= n;
		if (rc == 0)
			store_log_close(log);
		else
			ck_assert_int_eq(rc, PANDO_EIO);
		c->fail_at = 0;
		OK(open_check(c, &log, &seen, history.acked));
		store_log_close(log);
		sim_disk_done(c);
		rt_free(c);
		if (!fired)
			break;
		ck_assert(n < 1000);
	}
	sim_disk_done(&d);
}
END_TEST

/* ---- rot ---- */

static const char *const three_names[] = {
	"log-0000000000000001", "log-0000000000000002", "log-0000000000000003",
};

/* Every bit of one of the files, one at a time. */
static void flip_all(struct sim_disk *d, const char *name, size_t least, uint64_t *ret_refused)
{
	size_t len;
	ck_assert_ptr_nonnull(sim_disk_bytes(d, name, &len));
	*ret_refused = 0;
	for (size_t bit = 0; bit < len * 8; bit++) {
		struct sim_disk *c = rt_alloc(sizeof *c);
		sim_disk_copy(c, d);
		sim_disk_flip(c, name, bit / 8, bit % 8);
		struct store_log *log;
		size_t seen;
		int rc = open_check(c, &log, &seen, least);
		if (rc == 0) {
			store_log_close(log);
		} else {
			ck_assert_msg(rc == PANDO_ECORRUPT, "byte %zu: %s", bit / 8, err.text);
			ck_assert_msg(strstr(err.text, name) != NULL, "byte %zu: %s", bit / 8, err.text);
			++*ret_refused;
		}
		sim_disk_done(c);
		rt_free(c);
	}
}

/* After an orderly end everything is confirmed: no flip may lose anything. */
START_TEST(test_every_bit_after_an_orderly_end)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	store_log_close(log);
	sim_disk_crash(&d, &(struct sim_crash){ .keep = SIM_KEEP_NONE });
	uint64_t refused;
	flip_all(&d, three_names[_i], history.count, &refused);
	ck_assert_uint_gt(refused, (DISK_SEGMENT_HEADER_BYTES + 100) * 8); /* all of the first block, and what was written */
	sim_disk_done(&d);
}
END_TEST

/* Killed before the mark: only the last batch may be taken for torn. */
START_TEST(test_every_bit_after_a_kill)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(add_hard_state(log, 1, 1));
	for (uint32_t i = 0; i < 4; i++)
		OK(add_flush(log, 50 * i));
	size_t before = history.acked;
	OK(add(log, 30));
	OK(add_flush(log, 40));
	store_log_close(log);
	uint64_t refused;
	flip_all(&d, three_names[0], before, &refused);
	ck_assert_uint_gt(refused, (4096 + 4 * 65) * 8);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_mark_confirms_the_last_batch)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(add_flush(log, 100));
	OK(add_flush(log, 100));
	struct sim_disk c;
	sim_disk_copy(&c, &d);
	OK(store_log_mark(log));
	store_log_close(log);
	size_t second = DISK_SEGMENT_HEADER_BYTES + 168;
	sim_disk_flip(&c, three_names[0], second + 50, 1);
	size_t seen;
	OK(open_check(&c, &log, &seen, 1)); /* nothing says that it was synced */
	ck_assert_uint_eq(seen, 1);
	ck_assert_uint_eq(tail.torn_bytes, 165);
	store_log_close(log);
	sim_disk_flip(&d, three_names[0], second + 50, 1);
	must_refuse(&d, PANDO_ECORRUPT, "log-0000000000000001: damaged at byte 4264, where entry 2 stood");
	sim_disk_done(&c);
	sim_disk_done(&d);
}
END_TEST

/* Sectors that were never written, though the disk said so, in the middle and at the end of a segment. */
START_TEST(test_lost_writes)
{
	for (size_t at = DISK_SEGMENT_HEADER_BYTES; at < SEGMENT; at += 512) {
		struct sim_disk d;
		reset(&d);
		struct store_log *log = must_open(&d);
		OK(small_history(&d, log));
		store_log_close(log);
		static const uint8_t zeros[512];
		sim_disk_poke(&d, three_names[0], at, zeros, sizeof zeros);
		size_t seen;
		int rc = open_check(&d, &log, &seen, history.count);
		if (rc == 0)
			store_log_close(log); /* behind the end */
		else
			ck_assert_int_eq(rc, PANDO_ECORRUPT);
		ck_assert(rc != 0 || at >= 7000);
		sim_disk_done(&d);
	}
}
END_TEST

/* ---- other lives, other folders ---- */

/* A segment that was used before, with batches of the same sizes: each new batch ends where an old one begins. */
START_TEST(test_older_life_is_not_read)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	struct store_log_status st = { 0 };
	while (st.life < 3) {
		OK(add_flush(log, 100));
		store_log_status(log, &st);
	}
	uint64_t have = st.last_index - 1;
	store_log_close(log);
	sim_disk_rename(&d, three_names[0], STORE_LOG_SPARE); /* what recycling will do */

	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	o.have_index = have;
	struct store_fs fs = sim_disk_fs(&d);
	struct walk skip;
	size_t gone = 0; /* records of the file that is gone */
	for (size_t n = 0; n < 60; n++) {
		/* visit compares with the whole history: begin it where the log now begins */
		skip = (struct walk){ .h = &history, .seen = gone };
		o.arg = &skip;
		if (gone == 0) {
			struct walk none = { .h = &history };
			o.arg = &none;
			o.visit = NULL;
		}
		int rc = store_log_open(&fs, PATH, &o, &log, &tail, &err);
		ck_assert_msg(rc == 0, "%s", err.text);
		ck_assert(gone == 0 || !skip.wrong);
		ck_assert_uint_eq(tail.last_index, history.acked);
		ck_assert_uint_eq(tail.torn_bytes, 0);
		gone = (size_t)(tail.first_index - 1);
		o.visit = visit;
		OK(add_flush(log, 100));
		store_log_status(log, &st);
		store_log_close(log);
		if (st.life == 4 && st.spares_taken == 1) {
			size_t len;
			const uint8_t *p = sim_disk_bytes(&d, "log-0000000000000004", &len);
			ck_assert_uint_eq(rt_load32(p + DISK_SEGMENT_HEADER_BYTES + 168), DISK_BATCH_MAGIC); /* old */
		}
	}
	ck_assert_uint_ge(st.life, 4);
	ck_assert(sim_disk_has(&d, "log-0000000000000004"));
	o.have_index = 0;
	ck_assert_int_eq(store_log_open(&fs, PATH, &o, &log, &tail, &err), PANDO_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.text, "log-0000000000000001: this log file is missing"));
	sim_disk_done(&d);
}
END_TEST

static void poke_header(struct sim_disk *d, const char *name, size_t offset, const void *bytes, size_t len)
{
	size_t n;
	sim_disk_poke(d, name, offset, bytes, len);
	const uint8_t *p = sim_disk_bytes(d, name, &n);
	uint8_t crc[4];
	rt_store32(crc, rt_crc32c(0, p + 12, DISK_SEGMENT_HEADER_BYTES - 12));
	sim_disk_poke(d, name, 8, crc, 4);
}

enum { DAMAGE_COUNT = 13 };

START_TEST(test_refusals)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	store_log_close(log);
	struct store_fs fs = sim_disk_fs(&d);
	static const uint8_t other[STORE_LOG_ID_BYTES] = { 7 };
	static const uint8_t four[4] = { 0, 0, 0, 2 };
	const char *a = three_names[0], *b = three_names[1], *c = three_names[2];
	size_t len;
	switch (_i) {
	case 0:
		poke_header(&d, b, 36, other, sizeof other);
		must_refuse(&d, PANDO_EINVAL, "log-0000000000000002: this file belongs to another ensemble");
		break;
	case 1:
		poke_header(&d, a, 52, other, sizeof other);
		must_refuse(&d, PANDO_EINVAL, "log-0000000000000001: this file belongs to another folder");
		break;
	case 2:
		poke_header(&d, a, 68, four, 4);
		must_refuse(&d, PANDO_EINVAL, "belongs to server 2, and this is server 3");
		break;
	case 3:
		poke_header(&d, c, 12, four, 4);
		must_refuse(&d, PANDO_EFORMAT, "log-0000000000000003: format 2");
		break;
	case 4:
		sim_disk_remove(&d, b);
		must_refuse(&d, PANDO_ECORRUPT, "log-0000000000000002: this log file is missing");
		break;
	case 5:
		sim_disk_remove(&d, a);
		must_refuse(&d, PANDO_ECORRUPT, "log-0000000000000001: this log file is missing");
		break;
	case 6:
		sim_disk_rename(&d, c, "log-0000000000000004");
		sim_disk_rename(&d, b, c);
		sim_disk_rename(&d, "log-0000000000000004", b);
		must_refuse(&d, PANDO_ECORRUPT, "by its header its name is log-0000000000000003");
		break;
	case 7:
		sim_disk_cut(&d, c, SEGMENT - 1);
		must_refuse(&d, PANDO_ECORRUPT, "has 8191 bytes, and by its header 8192");
		break;
	case 8:
		sim_disk_cut(&d, a, 100);
		must_refuse(&d, PANDO_ECORRUPT, "cut short");
		break;
	case 9:
		OK(store_log_prepare_spare(&fs, PATH, SEGMENT, &err));
		for (size_t i = 0; i < 3; i++)
			sim_disk_remove(&d, three_names[i]);
		must_refuse(&d, PANDO_ECORRUPT, "no log file");
		break;
	case 10: {
		for (size_t i = 0; i < 3; i++)
			sim_disk_remove(&d, three_names[i]);
		struct walk w = { .h = &history };
		struct store_log_options o = options_of(&w);
		o.create = false;
		ck_assert_int_eq(store_log_open(&fs, PATH, &o, &log, &tail, &err), PANDO_ENOENT);
		break;
	}
	case 11: { /* a file of another log of this folder: whole, but it does not go on from here */
		struct sim_disk e;
		sim_disk_init(&e);
		struct history *kept = rt_alloc(sizeof *kept);
		*kept = history;
		memset(&history, 0, sizeof history);
		log = must_open(&e);
		OK(small_history(&e, log));
		OK(add_flush(log, 20));
		store_log_close(log);
		uint8_t chain[4] = { 1, 2, 3, 4 };
		poke_header(&e, b, 88, chain, sizeof chain);
		uint8_t *p = sim_disk_bytes(&e, b, &len);
		sim_disk_poke(&d, b, 0, p, len);
		history = *kept;
		rt_free(kept);
		must_refuse(&d, PANDO_ECORRUPT, "log-0000000000000001: damaged at byte");
		sim_disk_done(&e);
		break;
	}
	case 12: { /* fields that the caller does not know are not compared; other names are nobody's business */
		sim_disk_rename(&d, three_names[2], "log-0000000000000003");
		int f = fs.ops->create(fs.ctx, 0, "log-3.bak");
		ck_assert_int_ge(f, 0);
		struct walk w = { .h = &history };
		struct store_log_options o = options_of(&w);
		memset(&o.ids, 0, sizeof o.ids);
		o.create = false;
		OK(store_log_open(&fs, PATH, &o, &log, &tail, &err));
		ck_assert(!w.wrong);
		ck_assert_int_eq(tail.ids.ensemble_id[3], 0xe1);
		ck_assert_uint_eq(tail.ids.server_id, 3);
		store_log_close(log);
		break;
	}
	}
	sim_disk_done(&d);
}
END_TEST

static int visit_stops(void *arg, const struct store_log_record *r) { return r->index == 3 ? PANDO_EAGAIN : 0; }

START_TEST(test_visit_ends_it)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	store_log_close(log);
	struct store_log_options o = options_of(NULL);
	o.visit = visit_stops;
	struct store_fs fs = sim_disk_fs(&d);
	ck_assert_int_eq(store_log_open(&fs, PATH, &o, &log, &tail, &err), PANDO_EAGAIN);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_order_is_asserted)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(add_flush(log, 1));
	struct store_log_record r = { DISK_RECORD_KIND_ENTRY, 1, 3, rt_slice_of(payload, 1) };
	(void)!store_log_append(log, &r, 1);
}
END_TEST

/* ---- at random ---- */

/* One step; an error means that a fault fired. */
static int random_step(struct sim_disk *d, struct store_log *log, struct rt_rand *rnd)
{
	struct store_fs fs = sim_disk_fs(d);
	uint64_t term;
	uint64_t last = last_entry(&term);
	switch (rt_rand_below(rnd, 12)) {
	case 0:
		return store_log_mark(log);
	case 1:
		return add_hard_state(log, history.hs.term + rt_rand_below(rnd, 2), (uint32_t)rt_rand_below(rnd, 4));
	case 2:
		(void)!store_log_prepare_spare(&fs, PATH, rt_rand_below(rnd, 8) == 0 ? 2 * SEGMENT : SEGMENT, NULL);
		return 0;
	case 3:
		return last > 3 ? add_at(log, 40, term + 1, last - rt_rand_below(rnd, 3)) : 0;
	case 4:
	case 5:
	case 6:
		return flush(log);
	case 7:
		return store_log_stop(log);
	default:
		break;
	}
	int rc = 0;
	for (uint64_t n = rt_rand_below(rnd, 6); n > 0 && rc == 0; n--)
		rc = add(log, (uint32_t)rt_rand_below(rnd, rt_rand_below(rnd, 20) == 0 ? 3900 : 300));
	return rc;
}

/* The newest hard state among the first count records. */
static void history_hard_state(void)
{
	history.hs = (struct disk_hard_state){ 0 };
	for (size_t i = 0; i < history.count; i++) {
		if (history.v[i].kind == DISK_RECORD_KIND_HARD_STATE)
			history.hs = (struct disk_hard_state){ history.v[i].term, (uint32_t)history.v[i].content };
	}
}

static void random_history(uint64_t seed)
{
	struct sim_disk d;
	reset(&d);
	struct rt_rand rnd;
	rt_rand_seed(&rnd, seed);
	for (int life = 0; life < 12; life++) {
		struct store_log *log = must_open(&d);
		history_hard_state();
		ck_assert_uint_eq(tail.hard_state.term, history.hs.term);
		ck_assert_uint_eq(tail.hard_state.vote, history.hs.vote);
		if (rt_rand_below(&rnd, 3) == 0) {
			d.fail_at = d.ops + 1 + rt_rand_below(&rnd, 60);
			d.fail_rc = rt_rand_below(&rnd, 2) == 0 ? -EIO : -ENOSPC;
			d.fail_all = rt_rand_below(&rnd, 2) == 0;
		}
		int rc = 0;
		for (uint64_t steps = rt_rand_below(&rnd, 40); steps > 0 && rc == 0; steps--) {
			rc = random_step(&d, log, &rnd);
			history_hard_state();
		}
		store_log_close(log);
		d.fail_at = 0;
		if (rt_rand_below(&rnd, 4) != 0)
			sim_disk_crash(&d, &(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &rnd });
	}
	store_log_close(must_open(&d));
	sim_disk_done(&d);
}

START_TEST(test_random_histories)
{
	for (uint64_t seed = 0; seed < 100; seed++)
		random_history((uint64_t)_i * 1000 + seed);
}
END_TEST

/* ---- real files ---- */

struct spares {
	const char *path;
	int made;
	bool stop;
};

static void *spare_thread(void *arg)
{
	struct spares *s = arg;
	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		if (store_log_prepare_spare(&store_fs_posix, s->path, 64 << 10, NULL) == 0)
			s->made++;
	}
	return NULL;
}

static void remove_folder(const char *path)
{
	DIR *dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		(void)unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	ck_assert_int_eq(rmdir(path), 0);
}

START_TEST(test_real_files_and_spares_of_another_thread)
{
	char top[] = "/tmp/pando-test-log-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(top));
	char path[64];
	snprintf(path, sizeof path, "%s/log", top);
	memset(&history, 0, sizeof history);
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	o.segment_bytes = 64 << 10;
	o.create = false;
	struct store_log *log;
	ck_assert_int_eq(store_log_open(&store_fs_posix, path, &o, &log, &tail, &err), PANDO_ENOENT);
	o.create = true;
	OK(store_log_open(&store_fs_posix, path, &o, &log, &tail, &err));
	struct spares s = { .path = path };
	pthread_t thread;
	OK(pthread_create(&thread, NULL, spare_thread, &s));
	for (uint32_t i = 0; i < 300; i++) {
		for (uint32_t k = 0; k < 10; k++)
			OK(add(log, (i * 7 + k * 31) % 600));
		OK(flush(log));
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELEASE);
	OK(pthread_join(thread, NULL));
	OK(store_log_stop(log));
	struct store_log_status st;
	store_log_status(log, &st);
	ck_assert_uint_gt(st.spares_taken, 0);
	store_log_close(log);
	OK(store_log_open(&store_fs_posix, path, &o, &log, &tail, &err));
	ck_assert(!w.wrong);
	ck_assert_uint_eq(w.seen, history.count);
	store_log_close(log);
	remove_folder(path);
	ck_assert_int_eq(rmdir(top), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("log");
	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, test_round_trip);
	tcase_add_test(tc, test_segments_change);
	tcase_add_test(tc, test_largest_record);
	tcase_add_test(tc, test_entries_taken_back);
	tcase_add_test(tc, test_begins_at_any_index);
	tcase_add_test(tc, test_mark_once);
	tcase_add_test(tc, test_unsafe_mode_does_not_sync);
	tcase_add_test(tc, test_every_crash_point);
	tcase_add_test(tc, test_every_crash_point_of_recovery);
	tcase_add_test(tc, test_whole_batches_behind_a_torn_one);
	tcase_add_test(tc, test_forged_header_in_a_torn_batch);
	tcase_add_test(tc, test_every_operation_fails);
	tcase_add_test(tc, test_every_operation_of_recovery_fails);
	tcase_add_loop_test(tc, test_every_bit_after_an_orderly_end, 0, 3);
	tcase_add_test(tc, test_every_bit_after_a_kill);
	tcase_add_test(tc, test_mark_confirms_the_last_batch);
	tcase_add_test(tc, test_lost_writes);
	tcase_add_test(tc, test_older_life_is_not_read);
	tcase_add_loop_test(tc, test_refusals, 0, DAMAGE_COUNT);
	tcase_add_test(tc, test_visit_ends_it);
	tcase_add_test_raise_signal(tc, test_order_is_asserted, SIGABRT);
	tcase_add_loop_test(tc, test_random_histories, 0, 4);
	tcase_add_test(tc, test_real_files_and_spares_of_another_thread);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
