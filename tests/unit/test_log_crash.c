/* The log through crashes, tears and failing operations: each one possible for a small history,
 * and large ones at random. */
#include <errno.h>

#include "daemon/store/store_log_int.h"
#include "schema/runtime/rt_mem.h"
#include "tests/lib/log_history.h"
#include "tests/unit/unit.h"

/* ---- crashes ---- */

struct crash_points {
	struct sim_disk *disk;
	uint64_t points;
	uint64_t crashes;
	struct rt_rand rand;
	bool deep; /* crash again, at every operation of the recovery */
};

static void crash_and_look(struct crash_points *cp, const struct sim_disk *from,
	const struct sim_crash *how, bool deep);

static void before_recovery_op(void *arg)
{
	struct crash_points *cp = arg;
	struct sim_crash how = { .keep = SIM_KEEP_RANDOM, .rand = &cp->rand };
	crash_and_look(cp, cp->disk, &how, false);
}

/* On a copy: crash, read back, write one more, lose what is not synced, read back. */
static void crash_and_look(struct crash_points *cp, const struct sim_disk *from,
	const struct sim_crash *how, bool deep)
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
	ck_assert_msg(rc == 0, "%s", history_err.text);
	d->before_op = NULL;
	cp->rand = deep ? inner.rand : cp->rand;
	cp->crashes += inner.crashes;

	kept.count = history.count;
	kept.acked = history.acked;
	kept.content = history.content;
	kept.have = history.have;
	kept.have_term = history.have_term;
	memcpy(kept.v + seen, history.v + seen, (history.count - seen) * sizeof *kept.v);
	history.count = seen;
	history.content = 1u << 30; /* other bytes than what was cut off */
	OK(add_flush(log, 77));
	uint64_t term;
	OK(recycle(log, last_entry(&term), 0, 0));
	store_log_close(log);
	sim_disk_crash(d, &(struct sim_crash){ .keep = SIM_KEEP_NONE });
	size_t again = 0;
	rc = open_check(d, &log, &again, history.acked);
	ck_assert_msg(rc == 0, "%s", history_err.text);
	ck_assert_uint_eq(again, seen + 1);
	store_log_close(log);
	history.count = kept.count;
	history.acked = kept.acked;
	history.content = kept.content;
	history.have = kept.have;
	history.have_term = kept.have_term;
	memcpy(history.v + seen, kept.v + seen, (kept.count - seen) * sizeof *kept.v);
	memcpy(payload, in_flight, sizeof in_flight);
	sim_disk_done(d);
	rt_free(d);
}

/* At each operation of the history: lose all, keep all, cut at every byte, every subset of
 * sectors, and some at random. */
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
			crash_and_look(cp, d,
				&(struct sim_crash){ .keep = SIM_KEEP_BYTES, .bytes = n }, false);
	}
	size_t pieces = sim_disk_pieces(d);
	if (pieces > 1 && pieces <= 8) {
		for (uint64_t mask = 0; mask < 1u << pieces; mask++)
			crash_and_look(cp, d,
				&(struct sim_crash){ .keep = SIM_KEEP_SECTORS, .mask = mask },
				cp->deep);
	}
	for (int i = 0; bytes != 0 && i < 8; i++)
		crash_and_look(cp, d,
			&(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &cp->rand },
			cp->deep);
}

typedef int history_fn(struct sim_disk *d, struct store_log *log);

static void every_crash_point(history_fn *fn, bool deep, struct store_log_status *ret_status)
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
	OK(fn(&d, log));
	store_log_status(log, ret_status);
	store_log_close(log);
	d.before_op = NULL;
	store_log_close(must_open(&d));
	ck_assert_uint_gt(cp.crashes, 1000);
	sim_disk_done(&d);
}

START_TEST(test_every_crash_point)
{
	struct store_log_status st;
	every_crash_point(small_history, _i != 0, &st);
	ck_assert_uint_eq(st.segments, 3);
	ck_assert_uint_eq(st.spares_taken, 1);
}
END_TEST

START_TEST(test_every_crash_point_of_recycling)
{
	struct store_log_status st;
	every_crash_point(recycling_history, _i != 0, &st);
	ck_assert_uint_eq(st.life, 13);
	ck_assert_uint_eq(st.segments, 3);
	ck_assert_uint_eq(st.recycled, 10);
	ck_assert_uint_eq(st.spares_taken, 4);
}
END_TEST

/* Batches written before one sync: the first torn, those behind it whole, and the gap then
 * filled to the byte. */
START_TEST(test_whole_batches_behind_a_torn_one)
{
	struct sim_disk d;
	reset(&d);
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	o.segment_bytes = 4u << 20;
	struct store_fs fs = sim_disk_fs(&d);
	struct store_log *log;
	OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
	OK(add_flush(log, 10));
	for (int i = 0; i < 5; i++)
		OK(add(log, 200u << 10));
	ck_assert_uint_gt(sim_disk_pending_bytes(&d), 3 * (200u << 10));
	store_log_close(log);
	uint8_t *p;
	size_t len;
	sim_disk_crash(&d, &(struct sim_crash){ .keep = SIM_KEEP_ALL });
	p = sim_disk_bytes(&d, "log-0000000000000001", &len);
	uint64_t second = DISK_SEGMENT_HEADER_BYTES +
			  store_log_align(DISK_BATCH_HEADER_BYTES + DISK_RECORD_HEADER_BYTES + 10);
	ck_assert_uint_eq(rt_load32(p + second), DISK_BATCH_MAGIC);
	sim_disk_flip(&d, "log-0000000000000001", second + 1000, 3);

	OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
	ck_assert_uint_eq(w.seen, 1);
	history.count = history.acked = 1;
	ck_assert_uint_gt(history_tail.torn_bytes, 3 * (200u << 10));
	ck_assert_uint_eq(history_tail.torn_offset, second);
	OK(add_flush(log, 200u << 10)); /* ends where the next torn batch began */
	store_log_close(log);
	w.seen = 0;
	OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
	ck_assert_uint_eq(w.seen, 2);
	ck_assert(!w.wrong);
	ck_assert_uint_eq(history_tail.torn_bytes, 0);
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
		.magic = DISK_BATCH_MAGIC,
		.life = 1,
		.durable_index = 2,
		.durable_offset = DISK_SEGMENT_HEADER_BYTES + 160,
	};
	static uint8_t forged[1024];
	for (size_t i = 0; i < sizeof forged - DISK_BATCH_HEADER_BYTES; i += 1) {
		if ((i + DISK_BATCH_HEADER_BYTES + DISK_RECORD_HEADER_BYTES) % 8 == 0 && i > 160)
			store_log_batch_store(0, &h, forged + i), i += DISK_BATCH_HEADER_BYTES - 1;
	}
	struct store_log_record r = { DISK_RECORD_KIND_ENTRY, 1, 2,
		rt_slice_of(forged, sizeof forged) };
	OK(store_log_append(log, &r, 1));
	OK(store_log_flush(log));
	store_log_close(log);
	sim_disk_flip(&d, "log-0000000000000001", DISK_SEGMENT_HEADER_BYTES + 80 + 6,
		0); /* its batch header */
	log = must_open(&d);
	ck_assert_uint_eq(history.count, 1);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

/* ---- failing operations ---- */

/* The log has failed for good. */
static void must_stay_failed(struct sim_disk *d, struct store_log *log)
{
	int rc = store_log_error(log)->code;
	ck_assert_uint_gt(strlen(store_log_error(log)->text), 10);
	uint64_t ops = d->ops;
	struct store_log_record r = { DISK_RECORD_KIND_ENTRY, 9, 1, rt_slice_str("x") };
	struct disk_hard_state hs = { .term = 9 };
	ck_assert_int_eq(store_log_append(log, &r, 1), rc);
	ck_assert_int_eq(store_log_hard_state(log, &hs), rc);
	ck_assert_int_eq(store_log_flush(log), rc);
	ck_assert_int_eq(store_log_mark(log), rc);
	ck_assert_int_eq(store_log_recycle(log, 1000000, 0, 0, NULL), rc);
	ck_assert_int_eq(store_log_stop(log), rc);
	ck_assert_uint_eq(d->ops, ops);
}

/* There was no room: the log is as it was, and goes on when there is. */
static void must_go_on(const struct sim_disk *d, struct store_log *log, bool all)
{
	ck_assert_int_eq(store_log_error(log)->code, PANDO_ENOSPC);
	ck_assert_uint_gt(strlen(store_log_error(log)->text), 10);
	if (all)
		return;
	ck_assert(!sim_disk_has(d, STORE_LOG_NEXT_TMP)); /* its room is given back */
	for (uint32_t i = 0; i < 8; i++)
		OK(add_flush(log, 1000));
	uint64_t term;
	OK(recycle(log, last_entry(&term), SEGMENT, 0));
	OK(store_log_stop(log));
}

static void fail_nth(history_fn *fn, uint64_t n, int rc_wanted, bool all, bool *ret_fired)
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
		rc = fn(&d, log);
		ck_assert(rc == 0 || rc == store_file_code(rc_wanted));
		if (store_log_failed(log))
			must_stay_failed(&d, log);
		else if (rc != 0)
			must_go_on(&d, log, all);
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
		crash_and_look(&cp, &d,
			&(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &cp.rand }, false);
	crash_and_look(&cp, &d, &(struct sim_crash){ .keep = SIM_KEEP_NONE }, false);
	/* Only the process: it reads the cache, which may show what is not on disk; what it was
	 * told is durable must be. */
	log = must_open(&d);
	OK(add_flush(log, 33));
	store_log_close(log);
	sim_disk_crash(&d, &(struct sim_crash){ .keep = SIM_KEEP_NONE });
	store_log_close(must_open(&d));
	sim_disk_done(&d);
}

START_TEST(test_every_operation_fails)
{
	history_fn *fn = _i == 0 ? small_history : recycling_history;
	uint64_t n = 0;
	for (bool fired = true; fired;) {
		n++;
		fail_nth(fn, n, -EIO, false, &fired);
		fail_nth(fn, n, -EIO, true, &fired);
		fail_nth(fn, n, -ENOSPC, false, &fired);
		fail_nth(fn, n, -ENOSPC, true, &fired);
	}
	ck_assert_uint_gt(n, 50);
}
END_TEST

/* Likewise while reading back a folder with a torn history_tail. */
START_TEST(test_every_operation_of_recovery_fails)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(_i == 0 ? small_history(&d, log) : recycling_history(&d, log));
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

/* ---- at random ---- */

static int random_recycle(struct store_log *log, struct rt_rand *rnd)
{
	struct store_log_status st;
	store_log_status(log, &st);
	uint64_t upto = st.durable_index;
	if (upto > history.have && rt_rand_below(rnd, 2) == 0)
		upto -= rt_rand_below(rnd, upto - history.have);
	return recycle(log, upto, rt_rand_below(rnd, 4) * SEGMENT,
		rt_rand_below(rnd, 4) == 0 ? history.have / 2 : 0);
}

/* One step; an error means that a fault fired. */
static int random_step(struct sim_disk *d, struct store_log *log, struct rt_rand *rnd)
{
	struct store_fs fs = sim_disk_fs(d);
	uint64_t term;
	uint64_t last = last_entry(&term);
	switch (rt_rand_below(rnd, 13)) {
	case 12: /* at most what is acknowledged, and therefore committed */
		return random_recycle(log, rnd);
	case 0:
		return store_log_mark(log);
	case 1:
		return add_hard_state(log, history.hs.term + rt_rand_below(rnd, 2),
			(uint32_t)rt_rand_below(rnd, 4));
	case 2:
		(void)!store_log_prepare_spare(
			&fs, PATH, rt_rand_below(rnd, 8) == 0 ? 2 * SEGMENT : SEGMENT, NULL);
		return 0;
	case 3:
		return last > history.have + 3
			       ? add_at(log, 40, term + 1, last - rt_rand_below(rnd, 3))
			       : 0;
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
		rc = add(log,
			(uint32_t)rt_rand_below(rnd, rt_rand_below(rnd, 20) == 0 ? 3900 : 300));
	return rc;
}

/* The newest hard state among the first count records. */
static void history_hard_state(void)
{
	history.hs = (struct disk_hard_state){ 0 };
	for (size_t i = 0; i < history.count; i++) {
		if (history.v[i].kind == DISK_RECORD_KIND_HARD_STATE)
			history.hs =
				hard_state_of(history.v[i].term, (uint32_t)history.v[i].content);
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
		ck_assert(store_log_hard_state_eq(&history_tail.hard_state, &history.hs));
		if (rt_rand_below(&rnd, 3) == 0) {
			d.fail_at = d.ops + 1 + rt_rand_below(&rnd, 60);
			d.fail_rc = rt_rand_below(&rnd, 2) == 0 ? -EIO : -ENOSPC;
			d.fail_all = rt_rand_below(&rnd, 2) == 0;
		}
		int rc = 0;
		for (uint64_t steps = rt_rand_below(&rnd, 40); steps > 0 && rc == 0; steps--) {
			rc = random_step(&d, log, &rnd);
			history_hard_state();
			if (rc != 0 && !store_log_failed(log)) /* no room: it goes on */
				rc = 0;
		}
		store_log_close(log);
		d.fail_at = 0;
		if (rt_rand_below(&rnd, 4) != 0)
			sim_disk_crash(
				&d, &(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &rnd });
	}
	store_log_close(must_open(&d));
	sim_disk_done(&d);
}

/* A long one: the folder's size stays bounded, whatever is recycled when, through starts. */
static void long_history(uint64_t seed)
{
	struct sim_disk d;
	reset(&d);
	struct rt_rand rnd;
	rt_rand_seed(&rnd, seed);
	struct store_fs fs = sim_disk_fs(&d);
	uint64_t recycled = 0;
	for (int start = 0; start < 8; start++) {
		struct store_log *log = must_open(&d);
		struct store_log_status st;
		for (int i = 0; i < 60; i++) {
			for (uint64_t n = rt_rand_below(&rnd, 60); n > 0; n--)
				OK(add(log, (uint32_t)rt_rand_below(&rnd, 700)));
			OK(flush(log));
			if (rt_rand_below(&rnd, 3) == 0)
				OK(store_log_prepare_spare(&fs, PATH, SEGMENT, NULL));
			uint64_t retain = rt_rand_below(&rnd, 3) * 3 * SEGMENT;
			uint64_t term;
			OK(recycle(log, last_entry(&term), retain, 0));
			store_log_status(log, &st);
			ck_assert_uint_lt(sim_disk_size(&d),
				retain + (2 + STORE_LOG_SPARES_MAX + 1) * SEGMENT);
			ck_assert_uint_le(st.bytes, sim_disk_size(&d));
		}
		recycled += st.recycled;
		store_log_close(log);
		sim_disk_crash(&d, &(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &rnd });
	}
	ck_assert_uint_gt(recycled, 100);
	store_log_close(must_open(&d));
	sim_disk_done(&d);
}

START_TEST(test_long_histories) { long_history((uint64_t)_i); }
END_TEST

START_TEST(test_random_histories)
{
	for (uint64_t seed = 0; seed < 300; seed++)
		random_history((uint64_t)_i * 1000 + seed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log_crash");
	TCase *tc = tcase_create("log_crash");
	tcase_set_timeout(tc, 240);
	tcase_add_loop_test(tc, test_every_crash_point, 0, 2);
	tcase_add_loop_test(tc, test_every_crash_point_of_recycling, 0, 2);
	tcase_add_test(tc, test_whole_batches_behind_a_torn_one);
	tcase_add_test(tc, test_forged_header_in_a_torn_batch);
	tcase_add_loop_test(tc, test_every_operation_fails, 0, 2);
	tcase_add_loop_test(tc, test_every_operation_of_recovery_fails, 0, 2);
	tcase_add_loop_test(tc, test_long_histories, 0, 2);
	tcase_add_loop_test(tc, test_random_histories, 0, 4);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
