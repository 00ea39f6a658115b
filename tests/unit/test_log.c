/* The log on a simulated disk: it reads back what was written, through changes of segment and of
 * life, names what has rotted, and refuses what is not its own. test_log_crash has the crashes. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "daemon/store/store_log_int.h"
#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_mem.h"
#include "tests/lib/log_history.h"
#include "tests/unit/unit.h"

/* ---- writing and reading back ---- */

START_TEST(test_round_trip)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	ck_assert(history_tail.created);
	ck_assert_uint_eq(history_tail.first_index, 1);
	static const uint32_t sizes[] = { 0, 1, 6, 7, 8, 9, 100, 1000 };
	for (size_t i = 0; i < 8; i++)
		OK(add(log, sizes[i]));
	OK(add_hard_state(log, 5, 4));
	OK(flush(log));
	OK(add_flush(log, 10));
	store_log_close(log);

	log = must_open(&d);
	ck_assert(!history_tail.created);
	ck_assert_uint_eq(history.count, 10);
	ck_assert_uint_eq(history_tail.last_index, 9);
	ck_assert_uint_eq(history_tail.last_term, 1);
	ck_assert_uint_eq(history_tail.hard_state.term, 5);
	ck_assert_uint_eq(history_tail.hard_state.vote, 4);
	ck_assert_uint_eq(history_tail.torn_bytes, 0);
	ck_assert_int_eq(history_tail.ids.folder_id[0], 0xf1);
	ck_assert_uint_eq(history_tail.ids.server_id, 3);
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
	ck_assert_uint_eq(history_tail.segments, st.segments);
	ck_assert_uint_eq(history.count, 301);
	ck_assert_uint_eq(history_tail.hard_state.vote, 1);
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
	struct store_log_record two[2] = { { 1, 1, 11, rt_slice_of(payload, 1) },
		{ 1, 1, 12, rt_slice_of(payload, max + 1) } };
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
	ck_assert_uint_eq(history_tail.last_term, 39);
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
	OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
	ck_assert_uint_eq(history_tail.first_index, 1000001);
	OK(add_at(log, 5, 1, 1000001));
	OK(flush(log));
	store_log_close(log);
	log = must_open(&d); /* without being told again */
	ck_assert_uint_eq(history_tail.first_index, 1000001);
	ck_assert_uint_eq(history_tail.last_index, 1000001);
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
	OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
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

/* ---- rot ---- */

static const char *const three_names[] = {
	"log-0000000000000001",
	"log-0000000000000002",
	"log-0000000000000003",
};

/* ---- verification ---- */

#define REPORTS_MAX 32u

struct reports {
	struct store_log_report v[REPORTS_MAX]; /* file and text are not kept */
	char names[REPORTS_MAX][STORE_LOG_NAME_BYTES];
	size_t count;
	size_t kinds[4];
	size_t visited;
	struct store_log_tail tail;
	struct rt_err err;
	char text[sizeof((struct rt_err *)0)->text]; /* of the last DAMAGE */
};

static void take_report(void *arg, const struct store_log_report *x)
{
	struct reports *r = arg;
	ck_assert(r->count < REPORTS_MAX);
	strcpy(r->names[r->count], x->file);
	r->kinds[x->kind]++;
	ck_assert((x->text != NULL) == (x->kind >= STORE_LOG_REPORT_TORN));
	if (x->kind == STORE_LOG_REPORT_DAMAGE) {
		ck_assert_int_ne(x->code, 0);
		strcpy(r->text, x->text);
	}
	r->v[r->count++] = *x;
}

static int count_visited(void *arg, const struct store_log_record *record)
{
	struct reports *r = arg;
	r->visited++;
	return 0;
}

static int verify(struct sim_disk *d, struct reports *r)
{
	*r = (struct reports){ .count = 0 };
	struct store_log_options o = options_of(NULL);
	o.visit = count_visited;
	o.arg = r;
	struct store_fs fs = sim_disk_fs(d);
	return store_log_verify(&fs, PATH, &o, take_report, r, &r->tail, &r->err);
}

/* It says what a start would say, and changes nothing. */
static void verify_as_open(struct sim_disk *d, bool compare)
{
	struct reports r;
	struct sim_disk *c = NULL;
	if (compare) {
		c = rt_alloc(sizeof *c);
		sim_disk_copy(c, d);
	}
	int rc = verify(d, &r);
	if (compare) {
		ck_assert(sim_disk_same(c, d));
		sim_disk_done(c);
		rt_free(c);
	}
	ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_DAMAGE] != 0, rc != 0);
	struct store_log *log;
	size_t seen;
	ck_assert_int_eq(open_check(d, &log, &seen, 0), rc);
	if (rc == 0) {
		ck_assert_uint_eq(r.visited, history_tail.records);
		ck_assert_uint_eq(r.tail.last_index, history_tail.last_index);
		ck_assert_uint_eq(r.tail.first_index, history_tail.first_index);
		ck_assert_uint_eq(r.tail.torn_bytes, history_tail.torn_bytes);
		ck_assert_uint_eq(
			r.kinds[STORE_LOG_REPORT_TORN], history_tail.torn_bytes != 0 ? 1 : 0);
		ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_SEGMENT], history_tail.segments);
		store_log_close(log);
	} else {
		ck_assert_str_eq(r.err.text, history_err.text);
	}
}

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
		verify_as_open(c, bit % 997 == 0);
		struct store_log *log;
		size_t seen;
		int rc = open_check(c, &log, &seen, least);
		if (rc == 0) {
			store_log_close(log);
		} else {
			ck_assert_msg(
				rc == PANDO_ECORRUPT, "byte %zu: %s", bit / 8, history_err.text);
			ck_assert_msg(strstr(history_err.text, name) != NULL, "byte %zu: %s",
				bit / 8, history_err.text);
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
	ck_assert_uint_gt(refused, (DISK_SEGMENT_HEADER_BYTES + 100) *
					   8); /* all of the first block, and what was written */
	sim_disk_done(&d);
}
END_TEST

/* Likewise in segments that had other lives. */
START_TEST(test_every_bit_of_recycled_segments)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(recycling_history(&d, log));
	store_log_close(log);
	char name[STORE_LOG_NAME_BYTES];
	store_log_name(11 + (uint64_t)_i, name);
	uint64_t refused;
	flip_all(&d, name, history.count, &refused);
	ck_assert_uint_gt(refused, (DISK_SEGMENT_HEADER_BYTES + 50) * 8);
	sim_disk_done(&d);
}
END_TEST

/* What a spare holds does not matter. */
START_TEST(test_rotten_spares)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(recycling_history(&d, log));
	struct store_log_status st;
	store_log_status(log, &st);
	store_log_close(log);
	struct rt_rand rnd;
	rt_rand_seed(&rnd, 5);
	for (size_t i = 0; i < d.now.count; i++) {
		const char *name = d.now.v[i].name;
		size_t len;
		(void)sim_disk_bytes(&d, name, &len);
		for (int k = 0; memcmp(name, "spare", 5) == 0 && k < 1000; k++)
			sim_disk_flip(&d, name, rt_rand_below(&rnd, len),
				(unsigned)rt_rand_below(&rnd, 8));
	}
	verify_as_open(&d, true);
	log = must_open(&d);
	for (int i = 0; i < 40; i++)
		OK(add_flush(log, 1000));
	struct store_log_status now;
	store_log_status(log, &now);
	ck_assert_uint_ge(now.spares_taken, 2);
	store_log_close(log);
	store_log_close(must_open(&d));
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
	ck_assert_uint_eq(history_tail.torn_bytes, 165);
	store_log_close(log);
	sim_disk_flip(&d, three_names[0], second + 50, 1);
	must_refuse(&d, PANDO_ECORRUPT,
		"log-0000000000000001: damaged at byte 4264, where entry 2 stood");
	sim_disk_done(&c);
	sim_disk_done(&d);
}
END_TEST

/* The header that confirms stands across a seam of the pieces in which the tail is looked through. */
START_TEST(test_mark_at_a_seam)
{
	for (uint32_t before = 0; before <= DISK_BATCH_HEADER_BYTES; before += DISK_BATCH_ALIGN) {
		struct sim_disk d;
		reset(&d);
		struct walk w = { .h = &history };
		struct store_log_options o = options_of(&w);
		o.segment_bytes = 1u << 20;
		struct store_fs fs = sim_disk_fs(&d);
		struct store_log *log;
		OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
		uint32_t batch = (512u << 10) - before;
		OK(add_flush(log, batch - DISK_BATCH_HEADER_BYTES - DISK_RECORD_HEADER_BYTES));
		OK(store_log_stop(log));
		store_log_close(log);
		sim_disk_flip(&d, three_names[0], DISK_SEGMENT_HEADER_BYTES + 5000, 0);
		must_refuse(&d, PANDO_ECORRUPT, "log-0000000000000001: damaged at byte 4096");
		sim_disk_done(&d);
	}
}
END_TEST

/* Sectors that were never written, though the disk said so, in the middle and at the end of a
 * segment. */
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

/* Bytes of a recycled file that look as new as can be, right where the next batch is looked for:
 * an old life's with this life's salt; this life's (the number given twice, from a copy of the
 * folder) with another salt. */
START_TEST(test_old_bytes_are_not_read)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(recycling_history(&d, log));
	uint8_t batch[DISK_BATCH_HEADER_BYTES + DISK_RECORD_HEADER_BYTES] = { 0 };
	uint64_t term;
	struct disk_record_header rec = {
		.term = 9, .index = last_entry(&term) + 1, .kind = DISK_RECORD_KIND_ENTRY
	};
	disk_record_header_store(batch + DISK_BATCH_HEADER_BYTES, &rec);
	rt_store32(batch + DISK_BATCH_HEADER_BYTES,
		store_log_record_crc(log->at.chain, batch + DISK_BATCH_HEADER_BYTES, 0));
	struct disk_batch_header h = {
		.magic = DISK_BATCH_MAGIC,
		.life = _i == 1 ? log->life : log->life - 3,
		.durable_index = rec.index - 1,
		.durable_offset = log->written,
		.count = 1,
		.bytes = DISK_RECORD_HEADER_BYTES,
	};
	uint32_t salt = _i == 1 ? log->salt + 1 : log->salt;
	if (_i == 2)
		h.life = log->life; /* both: it is read, so the test does what it should */
	store_log_batch_store(salt, &h, batch);
	char name[STORE_LOG_NAME_BYTES];
	store_log_name(log->life, name);
	sim_disk_poke(&d, name, log->written, batch, sizeof batch);
	/* once more, farther behind, where it would say that more was synced than stands up */
	h.durable_offset = log->written + 100;
	store_log_batch_store(salt, &h, batch);
	if (_i != 2)
		sim_disk_poke(&d, name, log->written + 512, batch, sizeof batch);
	uint64_t last = log->at.last_index;
	store_log_close(log);

	struct reports r;
	OK(verify(&d, &r));
	ck_assert_uint_eq(r.tail.last_index, _i == 2 ? last + 1 : last);
	if (_i != 2) {
		log = must_open(&d);
		ck_assert_uint_eq(history_tail.last_index, last);
		OK(add_flush(log, 0)); /* the next batch ends where the first of them did */
		store_log_close(log);
		store_log_close(must_open(&d));
	}
	sim_disk_done(&d);
}
END_TEST

/* A segment that was used before, with batches of the same sizes: each new batch ends where an
 * old one begins. */
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
	sim_disk_rename(&d, three_names[0], STORE_LOG_SPARE);

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
		int rc = store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err);
		ck_assert_msg(rc == 0, "%s", history_err.text);
		ck_assert(gone == 0 || !skip.wrong);
		ck_assert_uint_eq(history_tail.last_index, history.acked);
		ck_assert_uint_eq(history_tail.torn_bytes, 0);
		gone = (size_t)(history_tail.first_index - 1);
		o.visit = visit;
		OK(add_flush(log, 100));
		store_log_status(log, &st);
		store_log_close(log);
		if (st.life == 4 && st.spares_taken == 1) {
			size_t len;
			const uint8_t *p = sim_disk_bytes(&d, "log-0000000000000004", &len);
			ck_assert_uint_eq(rt_load32(p + DISK_SEGMENT_HEADER_BYTES + 168),
				DISK_BATCH_MAGIC); /* old */
		}
	}
	ck_assert_uint_ge(st.life, 4);
	ck_assert(sim_disk_has(&d, "log-0000000000000004"));
	o.have_index = 0;
	ck_assert_int_eq(
		store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err), PANDO_ECORRUPT);
	ck_assert_ptr_nonnull(
		strstr(history_err.text, "log-0000000000000001: this log file is missing"));
	sim_disk_done(&d);
}
END_TEST

static void poke_header(
	struct sim_disk *d, const char *name, size_t offset, const void *bytes, size_t len)
{
	size_t n;
	sim_disk_poke(d, name, offset, bytes, len);
	const uint8_t *p = sim_disk_bytes(d, name, &n);
	uint8_t crc[4];
	rt_store32(crc, rt_crc32c(0, p + 12, DISK_SEGMENT_HEADER_BYTES - 12));
	sim_disk_poke(d, name, 8, crc, 4);
}

enum { DAMAGE_COUNT = 9 };

START_TEST(test_refusals)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	store_log_close(log);
	static const uint8_t other[STORE_LOG_ID_BYTES] = { 7 };
	static const uint8_t four[4] = { 0, 0, 0, 2 };
	const char *a = three_names[0], *b = three_names[1], *c = three_names[2];
	switch (_i) {
	case 0:
		poke_header(&d, b, 36, other, sizeof other);
		must_refuse(&d, PANDO_EINVAL,
			"log-0000000000000002: this file belongs to another ensemble");
		break;
	case 1:
		poke_header(&d, a, 52, other, sizeof other);
		must_refuse(&d, PANDO_EINVAL,
			"log-0000000000000001: this file belongs to another folder");
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
	}
	verify_as_open(&d, true);
	sim_disk_done(&d);
}
END_TEST

/* Each of these told of by a verification, which goes on behind it. */
START_TEST(test_verification_goes_on)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	store_log_close(log);
	struct reports r, whole;
	OK(verify(&d, &whole));
	ck_assert_uint_eq(whole.kinds[STORE_LOG_REPORT_SEGMENT], 3);
	ck_assert_uint_eq(whole.count, 3);
	ck_assert_uint_eq(whole.visited, history.count);
	ck_assert_uint_eq(whole.v[0].first_index, 1);
	ck_assert_uint_eq(whole.v[1].first_index, whole.v[0].last_index + 1);
	ck_assert_uint_eq(whole.v[2].first_index, 8);
	ck_assert_uint_eq(
		whole.v[0].records + whole.v[1].records + whole.v[2].records, history.count);
	ck_assert_uint_eq(whole.v[0].file_bytes, SEGMENT);
	const char *const bad = three_names[_i % 3];
	size_t left = whole.visited;
	uint64_t offset = 0;
	uint64_t index = 0; /* of damage in the header, what the segment before says */
	switch (_i / 3) {
	case 0: /* the header */
		sim_disk_flip(&d, bad, 40, 1);
		left -= whole.v[_i % 3].records;
		index = _i == 0 ? 0 : whole.v[_i % 3 - 1].last_index + 1;
		break;
	case 1: /* the first record */
		sim_disk_flip(&d, bad, DISK_SEGMENT_HEADER_BYTES + 50, 1);
		left -= whole.v[_i % 3].records;
		offset = DISK_SEGMENT_HEADER_BYTES;
		index = _i == 3 ? 1 : whole.v[_i % 3 - 1].last_index + 1;
		break;
	case 2: /* the file */
		sim_disk_cut(&d, bad, 5000);
		left -= whole.v[_i % 3].records;
		index = _i == 6 ? 0 : whole.v[_i % 3 - 1].last_index + 1;
		break;
	}
	ck_assert_int_eq(verify(&d, &r), PANDO_ECORRUPT);
	ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_DAMAGE], 1);
	ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_SEGMENT], _i / 3 == 1 ? 3 : 2);
	ck_assert_uint_eq(r.visited, left);
	ck_assert_str_eq(r.text, r.err.text);
	for (size_t i = 0; i < r.count; i++) {
		if (r.v[i].kind != STORE_LOG_REPORT_DAMAGE)
			continue;
		ck_assert_str_eq(r.names[i], bad);
		ck_assert_uint_eq(r.v[i].offset, offset);
		ck_assert_uint_eq(r.v[i].index, index);
	}
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_verification_of_several)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(recycling_history(&d, log));
	for (int i = 0; i < 8; i++)
		OK(add_flush(log, 1200));
	OK(add(log, 100));
	OK(store_log_flush(log)); /* not confirmed */
	struct store_log_status st;
	store_log_status(log, &st);
	uint64_t end = log->written;
	store_log_close(log);
	ck_assert_uint_eq(st.segments, 5);
	struct store_fs fs = sim_disk_fs(&d);
	OK(store_log_prepare_spare(&fs, PATH, SEGMENT, NULL));
	ck_assert_int_ge(fs.ops->create(fs.ctx, 0, STORE_LOG_NEXT_TMP), 0);
	ck_assert_int_ge(fs.ops->create(fs.ctx, 0, "notes"), 0);
	sim_disk_flip(&d, "log-000000000000000b", DISK_SEGMENT_HEADER_BYTES + 90, 1);
	sim_disk_remove(&d, "log-000000000000000d");
	sim_disk_flip(&d, "log-000000000000000f", end - 10, 1);
	struct sim_disk c;
	sim_disk_copy(&c, &d);
	struct reports r;
	ck_assert_int_eq(verify(&d, &r), PANDO_ECORRUPT);
	ck_assert(sim_disk_same(&c, &d));
	ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_DAMAGE], 2);
	ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_SEGMENT], 4);
	ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_TORN], 1);
	ck_assert_uint_eq(r.kinds[STORE_LOG_REPORT_SPARE], 2);
	ck_assert_ptr_nonnull(strstr(r.err.text, "log-000000000000000d: this log file is missing"));
	ck_assert_ptr_nonnull(strstr(r.text, "log-000000000000000b: damaged at byte 4096"));
	ck_assert_uint_eq(r.tail.last_index, st.last_index - 1);
	sim_disk_done(&c);
	sim_disk_done(&d);
}
END_TEST

/* What cannot be read is told of like damage, and ends nothing. */
START_TEST(test_verification_of_a_failing_disk)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(recycling_history(&d, log));
	store_log_close(log);
	for (uint64_t n = 1;; n++) {
		struct sim_disk c;
		sim_disk_copy(&c, &d);
		c.ops = 0;
		c.fail_at = n;
		c.fail_rc = -EIO;
		struct reports r;
		int rc = verify(&c, &r);
		bool fired = c.ops >= n;
		c.fail_at = 0;
		ck_assert(sim_disk_same(&c, &d));
		sim_disk_done(&c);
		ck_assert(rc == 0 || rc == PANDO_EIO);
		if (rc != 0) {
			ck_assert_uint_le(r.kinds[STORE_LOG_REPORT_DAMAGE], 1);
			ck_assert_ptr_nonnull(strstr(r.err.text, "cannot"));
			ck_assert(n < 3 || r.kinds[STORE_LOG_REPORT_SEGMENT] >= 2);
		}
		if (!fired)
			break;
		ck_assert(n < 100);
	}
	sim_disk_done(&d);
}
END_TEST

/* ---- beside the state file ---- */

START_TEST(test_gap_to_the_state_file)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(recycling_history(&d, log));
	uint64_t first = history_tail.first_index;
	struct store_log_status st;
	store_log_status(log, &st);
	store_log_close(log);
	store_log_close(must_open(&d));
	first = history_tail.first_index;
	ck_assert_uint_gt(first, 20);
	ck_assert_uint_eq(st.first_index, first);
	history.have_term = 0;
	history.have = first - 1; /* just enough */
	store_log_close(must_open(&d));
	history.have = st.last_index;
	store_log_close(must_open(&d));
	verify_as_open(&d, true);
	switch (_i) {
	case 0:
		history.have = first - 2;
		must_refuse(&d, PANDO_ECORRUPT, "log-000000000000000a: this log file is missing");
		break;
	case 1:
		history.have = 0;
		must_refuse(&d, PANDO_ECORRUPT, "all from entry 1 on is needed");
		break;
	case 2:
		history.have++;
		must_refuse(&d, PANDO_ECORRUPT, "the log ends with entry");
		break;
	case 3: /* an unconfirmed tail is confirmed by the state file */
		log = must_open(&d);
		OK(add(log, 10));
		OK(store_log_flush(log));
		sim_disk_flip(&d, "log-000000000000000d", log->written - 10, 0);
		store_log_close(log);
		verify_as_open(&d, true); /* and this cuts it off */
		log = must_open(&d);
		OK(add(log, 10));
		OK(store_log_flush(log));
		history.have++;
		sim_disk_flip(&d, "log-000000000000000d", log->written - 10, 0);
		store_log_close(log);
		must_refuse(&d, PANDO_ECORRUPT, "log-000000000000000d: the log ends with entry");
		break;
	case 4:
		history.have_term = 7;
		must_refuse(&d, PANDO_ECORRUPT, "of term 2 in it, but of term 7 in the state file");
		break;
	case 5: /* all of them */
		for (uint64_t life = 1; life < 20; life++) {
			char name[STORE_LOG_NAME_BYTES];
			store_log_name(life, name);
			sim_disk_remove(&d, name);
		}
		must_refuse(&d, PANDO_ECORRUPT, "there is no log file, but the state file has");
		break;
	case 6: /* the newest */
		sim_disk_remove(&d, "log-000000000000000d");
		must_refuse(&d, PANDO_ECORRUPT, "log-000000000000000c: the log ends with entry");
		break;
	case 7: /* what took entries back is lost, and what was taken back is still there */
		log = must_open(&d);
		OK(add_flush(log, 10));
		OK(add_at(log, 10, 4, st.last_index + 1));
		OK(store_log_flush(log));
		history.have++;
		history.have_term = 4;
		sim_disk_flip(&d, "log-000000000000000d", log->written - 10, 0);
		store_log_close(log);
		must_refuse(&d, PANDO_ECORRUPT, "of term 2 in it, but of term 4 in the state file");
		break;
	}
	verify_as_open(&d, true);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_pins_and_retention)
{
	struct sim_disk d;
	reset(&d);
	struct store_fs fs = sim_disk_fs(&d);
	struct store_log *log = must_open(&d);
	struct store_log_status st = { 0 };
	while (st.life < 5) {
		OK(add_flush(log, 700));
		store_log_status(log, &st);
	}
	uint64_t second = log->files[1].prev_index + 1; /* first entry of the second segment */
	bool more;
	OK(store_log_recycle(log, second - 2, 0, 0, &more));
	ck_assert_uint_eq(log->file_count, 5);
	OK(store_log_recycle(log, 1000, 0, second - 1, &more));
	ck_assert_uint_eq(log->file_count, 5);
	OK(store_log_recycle(log, 1000, 3 * SEGMENT + log->written + 1, 0, &more));
	ck_assert_uint_eq(log->file_count, 5);
	ck_assert(!more);
	OK(store_log_recycle(log, second - 1, 3 * SEGMENT + log->written, second, &more));
	ck_assert_uint_eq(log->file_count, 4);
	ck_assert(!more);
	OK(store_log_recycle(log, 1000, 0, 0, &more));
	ck_assert(more);
	OK(recycle(log, st.last_index, 0, 0));
	ck_assert_uint_eq(log->file_count, 1);
	ck_assert_uint_eq(log->spare_count, 4);
	store_log_status(log, &st);
	ck_assert_uint_eq(st.bytes, 5 * SEGMENT);
	ck_assert_uint_eq(sim_disk_size(&d), st.bytes);
	store_log_close(log);

	/* a spare that was made counts, so one is recycled less */
	log = must_open(&d);
	OK(store_log_prepare_spare(&fs, PATH, SEGMENT, NULL)); /* nothing: there are some */
	ck_assert(!sim_disk_has(&d, STORE_LOG_SPARE));
	while (log->spare_count != 0)
		OK(add_flush(log, 700));
	OK(store_log_prepare_spare(&fs, PATH, SEGMENT, NULL));
	ck_assert(sim_disk_has(&d, STORE_LOG_SPARE));
	OK(recycle(log, last_entry(&(uint64_t){ 0 }), 0, 0));
	ck_assert_uint_eq(log->spare_count, 3);
	ck_assert_uint_eq(sim_disk_size(&d), 5 * SEGMENT);
	store_log_close(log);
	sim_disk_remove(&d, STORE_LOG_SPARE);

	/* with another logSegmentBytes the spares are not kept, nor is what is recycled then */
	struct walk w = walk_of(&d);
	struct store_log_options o = options_of(&w);
	o.segment_bytes = 2 * SEGMENT;
	OK(store_log_prepare_spare(&fs, PATH, SEGMENT, NULL));
	ck_assert(!sim_disk_has(&d, STORE_LOG_SPARE));
	OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
	ck_assert_uint_eq(sim_disk_size(&d), SEGMENT);
	for (int i = 0; i < 10; i++)
		OK(add_flush(log, 700));
	OK(recycle(log, last_entry(&(uint64_t){ 0 }), 0, 0));
	ck_assert_uint_eq(sim_disk_size(&d), 2 * SEGMENT);
	store_log_close(log);
	store_log_close(must_open(&d));
	sim_disk_done(&d);
}
END_TEST

/* ---- a full disk ---- */

START_TEST(test_full_disk)
{
	struct sim_disk d;
	reset(&d);
	struct store_fs fs = sim_disk_fs(&d);
	struct store_log *log = must_open(&d);
	uint32_t spares;
	(void)store_log_room(log, &spares);
	ck_assert_uint_eq(spares, 0);
	OK(store_log_prepare_spare(&fs, PATH, SEGMENT, NULL));
	uint64_t room = store_log_room(log, &spares);
	ck_assert_uint_eq(spares, 1);
	d.full = true;
	uint64_t used = 0;
	int rc = 0;
	while ((rc = add(log, 25)) == 0) /* no bytes are left over at a segment's end */
		used += DISK_RECORD_HEADER_BYTES + 25;
	ck_assert_int_eq(rc, PANDO_ENOSPC);
	ck_assert(!store_log_failed(log));
	struct store_log_status st;
	store_log_status(log, &st);
	ck_assert_uint_eq(st.entries, history.count);
	ck_assert_ptr_nonnull(strstr(store_log_error(log)->text, "next.tmp: cannot create"));
	ck_assert_uint_ge(used, room - 2 * 50);
	ck_assert_uint_le(used, room);
	ck_assert_uint_lt(store_log_room(log, &spares), 50);
	ck_assert_uint_eq(spares, 0);
	ck_assert_uint_eq(sim_disk_pending_bytes(&d), 0); /* what was taken is synced */
	ck_assert_int_eq(store_log_prepare_spare(&fs, PATH, SEGMENT, &history_err), PANDO_ENOSPC);
	ck_assert_ptr_nonnull(strstr(history_err.text, "spare.log: cannot prepare a log segment"));
	ck_assert_int_eq(add(log, 25), PANDO_ENOSPC);
	ck_assert_int_eq(add_hard_state(log, 1, 1), PANDO_ENOSPC);
	/* nor an entry that would take others back, though its index is there already */
	ck_assert_int_eq(add_at(log, 25, 2, st.last_index - 1), PANDO_ENOSPC);
	store_log_status(log, &st);
	ck_assert_uint_eq(st.entries, history.count);
	OK(store_log_stop(log));
	store_log_close(log);

	/* a start needs no room, nor does what follows when something can be recycled */
	log = must_open(&d);
	ck_assert_int_eq(add(log, 25), PANDO_ENOSPC);
	OK(recycle(log, last_entry(&(uint64_t){ 0 }), 0, 0));
	ck_assert_int_eq(store_log_error(log)->code, 0);
	for (int i = 0; i < 500; i++) {
		OK(add_flush(log, 25));
		OK(recycle(log, last_entry(&(uint64_t){ 0 }), 0, 0));
	}
	store_log_close(log);

	/* it passes by itself */
	log = must_open(&d);
	while ((rc = add(log, 1000)) == 0)
		;
	ck_assert_int_eq(rc, PANDO_ENOSPC);
	d.full = false;
	OK(add_flush(log, 1000));
	ck_assert_int_eq(store_log_error(log)->code, 0);
	store_log_close(log);
	store_log_close(must_open(&d));
	sim_disk_done(&d);

	/* but for the beginning */
	reset(&d);
	d.full = true;
	must_refuse(&d, PANDO_ENOSPC, "next.tmp: cannot create");
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_empty_folders)
{
	struct sim_disk d;
	reset(&d);
	store_log_close(must_open(&d));
	sim_disk_remove(&d, three_names[0]);
	struct store_fs fs = sim_disk_fs(&d);
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	o.create = false;
	struct store_log *log;
	ck_assert_int_eq(
		store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err), PANDO_ENOENT);
	/* a spare shows that there was a log */
	struct reports r;
	ck_assert_int_eq(verify(&d, &r), PANDO_ENOENT);
	OK(store_log_prepare_spare(&fs, PATH, SEGMENT, &history_err));
	must_refuse(&d, PANDO_ECORRUPT, "no log file");
	verify_as_open(&d, true);
	sim_disk_done(&d);
}
END_TEST

/* A segment of another log of this folder: whole, but it does not go on from the one before. */
START_TEST(test_segment_out_of_place)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	store_log_close(log);
	uint8_t chain[4] = { 1, 2, 3, 4 };
	poke_header(&d, three_names[1], 88, chain, sizeof chain);
	must_refuse(&d, PANDO_ECORRUPT, "log-0000000000000001: damaged at byte");
	sim_disk_done(&d);
}
END_TEST

/* What the caller does not know is not compared, and other names are ignored. */
START_TEST(test_ids_from_the_folder)
{
	struct sim_disk d;
	reset(&d);
	struct store_log *log = must_open(&d);
	OK(small_history(&d, log));
	store_log_close(log);
	struct store_fs fs = sim_disk_fs(&d);
	ck_assert_int_ge(fs.ops->create(fs.ctx, 0, "log-3.bak"), 0);
	struct walk w = { .h = &history };
	struct store_log_options o = options_of(&w);
	memset(&o.ids, 0, sizeof o.ids);
	o.create = false;
	OK(store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err));
	ck_assert(!w.wrong);
	ck_assert_int_eq(history_tail.ids.ensemble_id[3], 0xe1);
	ck_assert_uint_eq(history_tail.ids.server_id, 3);
	store_log_close(log);
	sim_disk_done(&d);
}
END_TEST

static int visit_stops(void *arg, const struct store_log_record *r)
{
	return r->index == 3 ? PANDO_EAGAIN : 0;
}

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
	ck_assert_int_eq(
		store_log_open(&fs, PATH, &o, &log, &history_tail, &history_err), PANDO_EAGAIN);
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
	ck_assert_int_eq(
		store_log_open(&store_fs_posix, path, &o, &log, &history_tail, &history_err),
		PANDO_ENOENT);
	o.create = true;
	OK(store_log_open(&store_fs_posix, path, &o, &log, &history_tail, &history_err));
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
	OK(store_log_open(&store_fs_posix, path, &o, &log, &history_tail, &history_err));
	ck_assert(!w.wrong);
	ck_assert_uint_eq(w.seen, history.count);

	/* the same with recycling, and whoever comes first makes the spare */
	s.stop = false;
	OK(pthread_create(&thread, NULL, spare_thread, &s));
	for (uint32_t i = 0; i < 300; i++) {
		for (uint32_t k = 0; k < 10; k++)
			OK(add(log, (i * 7 + k * 31) % 600));
		OK(flush(log));
		OK(recycle(log, last_entry(&(uint64_t){ 0 }), i % 5 * (64u << 10), 0));
		(void)store_log_room(log, NULL);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELEASE);
	OK(pthread_join(thread, NULL));
	store_log_status(log, &st);
	ck_assert_uint_gt(st.recycled, 10);
	ck_assert_uint_gt(st.spares_taken, 5);
	uint64_t oldest = log->files[0].life;
	store_log_close(log);
	w.seen = history.start[oldest];
	o.have_index = history.have;
	o.have_term = history.have_term;
	OK(store_log_open(&store_fs_posix, path, &o, &log, &history_tail, &history_err));
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
	tcase_add_loop_test(tc, test_every_bit_after_an_orderly_end, 0, 3);
	tcase_add_loop_test(tc, test_every_bit_of_recycled_segments, 0, 3);
	tcase_add_test(tc, test_rotten_spares);
	tcase_add_test(tc, test_every_bit_after_a_kill);
	tcase_add_test(tc, test_mark_confirms_the_last_batch);
	tcase_add_test(tc, test_mark_at_a_seam);
	tcase_add_test(tc, test_lost_writes);
	tcase_add_loop_test(tc, test_old_bytes_are_not_read, 0, 3);
	tcase_add_test(tc, test_older_life_is_not_read);
	tcase_add_loop_test(tc, test_refusals, 0, DAMAGE_COUNT);
	tcase_add_loop_test(tc, test_verification_goes_on, 0, 9);
	tcase_add_test(tc, test_verification_of_several);
	tcase_add_test(tc, test_verification_of_a_failing_disk);
	tcase_add_loop_test(tc, test_gap_to_the_state_file, 0, 8);
	tcase_add_test(tc, test_pins_and_retention);
	tcase_add_test(tc, test_full_disk);
	tcase_add_test(tc, test_empty_folders);
	tcase_add_test(tc, test_segment_out_of_place);
	tcase_add_test(tc, test_ids_from_the_folder);
	tcase_add_test(tc, test_visit_ends_it);
	tcase_add_test_raise_signal(tc, test_order_is_asserted, SIGABRT);
	tcase_add_test(tc, test_real_files_and_spares_of_another_thread);
	suite_add_tcase(suite, tc);
	return unit_run(suite);
}
