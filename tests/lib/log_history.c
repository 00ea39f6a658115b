/* See log_history.h. */
#include "tests/lib/log_history.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/store/store_log_int.h"

struct history history;
uint8_t payload[PAYLOAD_MAX];
static uint8_t expected[PAYLOAD_MAX];

/* ---- the history ---- */

struct disk_hard_state hard_state_of(uint64_t term, uint32_t vote)
{
	return (struct disk_hard_state){
		.term = term,
		.vote = vote,
		.mend_index = vote * term,
		.mend_term = vote / 2,
	};
}

static struct rt_slice make_payload(uint8_t *buf, const struct item *it)
{
	if (it->kind == DISK_RECORD_KIND_HARD_STATE) {
		struct disk_hard_state hs = hard_state_of(it->term, (uint32_t)it->content);
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

int visit(void *arg, const struct store_log_record *r)
{
	struct walk *w = arg;
	if (w->seen >= w->h->count) {
		w->wrong = true;
		return 0;
	}
	const struct item *it = &w->h->v[w->seen++];
	struct rt_slice p = make_payload(expected, it);
	if (r->kind != it->kind || r->term != it->term || r->index != it->index ||
		!rt_slice_eq(r->payload, p))
		w->wrong = true;
	return 0;
}

static struct item *history_next(void)
{
	ck_assert(history.count < RECORDS_MAX);
	return &history.v[history.count];
}

uint64_t last_entry(uint64_t *ret_term)
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

static uint64_t life_of(struct store_log *log)
{
	struct store_log_status st;
	store_log_status(log, &st);
	return st.life;
}

/* After an append of the last item of the history. */
static int added(struct store_log *log, uint64_t life_before, int rc)
{
	uint64_t life = life_of(log);
	ck_assert(life < LIVES_MAX);
	if (life != life_before) /* for this item: it is the first in it */
		history.start[life] = history.count - 1;
	if (rc == PANDO_ENOSPC && !store_log_failed(log)) {
		ck_assert_uint_eq(life, life_before);
		ck_assert_int_eq(store_log_error(log)->code, rc);
		history.count--;
		history.acked = history.count;
	}
	return rc;
}

/* In the list before the call: an append that fails half-way may have left it on disk. */
int add_at(struct store_log *log, uint32_t len, uint64_t term, uint64_t index)
{
	struct item *it = history_next();
	*it = (struct item){ DISK_RECORD_KIND_ENTRY, term, index, len, ++history.content };
	struct store_log_record r = { it->kind, term, index, make_payload(payload, it) };
	history.count++;
	uint64_t life = life_of(log);
	return added(log, life, store_log_append(log, &r, 1));
}

int add(struct store_log *log, uint32_t len)
{
	uint64_t term;
	uint64_t index = last_entry(&term);
	return add_at(log, len, term == 0 ? 1 : term, index + 1);
}

int add_hard_state(struct store_log *log, uint64_t term, uint32_t vote)
{
	*history_next() =
		(struct item){ DISK_RECORD_KIND_HARD_STATE, term, 0, DISK_HARD_STATE_BYTES, vote };
	uint64_t last_term;
	history.v[history.count].index = last_entry(&last_term);
	history.count++;
	struct disk_hard_state hs = hard_state_of(term, vote);
	uint64_t life = life_of(log);
	return added(log, life, store_log_hard_state(log, &hs));
}

int flush(struct store_log *log)
{
	int rc = store_log_flush(log);
	if (rc == 0)
		history.acked = history.count;
	return rc;
}

int add_flush(struct store_log *log, uint32_t len)
{
	int rc = add(log, len);
	return rc != 0 ? rc : flush(log);
}

int recycle(struct store_log *log, uint64_t upto, uint64_t retain, uint64_t pin)
{
	for (size_t i = history.count; upto > history.have && i-- > 0;) {
		const struct item *it = &history.v[i];
		if (it->kind != DISK_RECORD_KIND_ENTRY || it->index != upto)
			continue;
		history.have = upto;
		history.have_term = it->term;
	}
	int rc = 0;
	for (bool more = true; rc == 0 && more;)
		rc = store_log_recycle(log, upto, retain, pin, &more);
	return rc;
}

/* ---- opening ---- */

struct walk walk_of(const struct sim_disk *d)
{
	unsigned long oldest = LIVES_MAX;
	for (size_t i = 0; i < d->now.count; i++) {
		const char *name = d->now.v[i].name;
		if (strncmp(name, "log-", 4) != 0 || strlen(name) != 20)
			continue;
		unsigned long life = strtoul(name + 4, NULL, 16);
		if (life < oldest)
			oldest = life;
	}
	return (struct walk){ .h = &history,
		.seen = oldest < LIVES_MAX ? history.start[oldest] : 0 };
}

struct store_log_options options_of(struct walk *w)
{
	struct store_log_options o = {
		.segment_bytes = SEGMENT,
		.create = true,
		.seed = 12345,
		.visit = visit,
		.arg = w,
		.ids = { .server_id = 3 },
		.have_index = history.have,
		.have_term = history.have_term,
	};
	memset(o.ids.ensemble_id, 0xe1, STORE_LOG_ID_BYTES);
	memset(o.ids.folder_id, 0xf1, STORE_LOG_ID_BYTES);
	return o;
}

struct store_log_tail history_tail;
struct rt_err history_err;

/* Opens and compares; does not touch the history. */
int open_check(struct sim_disk *d, struct store_log **ret_log, size_t *ret_seen, size_t least)
{
	struct walk w = walk_of(d);
	size_t from = w.seen;
	struct store_log_options o = options_of(&w);
	struct store_fs fs = sim_disk_fs(d);
	history_err.code = 0;
	int rc = store_log_open(&fs, PATH, &o, ret_log, &history_tail, &history_err);
	if (rc != 0) {
		ck_assert_int_eq(history_err.code, rc);
		return rc;
	}
	ck_assert(!w.wrong);
	ck_assert_uint_ge(w.seen, least);
	ck_assert_uint_eq(history_tail.records, w.seen - from);
	if ((*ret_log)->written == DISK_SEGMENT_HEADER_BYTES) /* begun when a crash came */
		history.start[(*ret_log)->life] = w.seen;
	*ret_seen = w.seen;
	return 0;
}

/* The log, its history cut to what is there. */
struct store_log *must_open(struct sim_disk *d)
{
	struct store_log *log = NULL;
	size_t seen = 0;
	int rc = open_check(d, &log, &seen, history.acked);
	ck_assert_msg(rc == 0, "%s", history_err.text);
	history.count = history.acked = seen;
	return log;
}

void must_refuse(struct sim_disk *d, int code, const char *word)
{
	struct store_log *log = NULL;
	size_t seen;
	int rc = open_check(d, &log, &seen, 0);
	ck_assert_msg(rc == code, "%d, not %d: %s", rc, code, history_err.text);
	ck_assert_msg(
		strstr(history_err.text, word) != NULL, "no %s in: %s", word, history_err.text);
	if (getenv("SHOW_ERRORS") != NULL)
		fprintf(stderr, "%s: %s\n", pando_err_name(rc), history_err.text);
}

void reset(struct sim_disk *d)
{
	memset(&history, 0, sizeof history);
	sim_disk_init(d);
}

/* A small history with everything in it. */
int small_history(struct sim_disk *d, struct store_log *log)
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

/* Records until the segment with this life is written to. */
static int fill_to(struct store_log *log, uint64_t life)
{
	int rc = 0;
	while (rc == 0 && life_of(log) < life)
		rc = add_flush(log, 1200);
	return rc;
}

int recycling_history(struct sim_disk *d, struct store_log *log)
{
	struct store_fs fs = sim_disk_fs(d);
	uint64_t term;
	int rc = add_hard_state(log, 1, 1);
	if (rc == 0)
		rc = fill_to(log, 3);
	if (rc == 0) /* most of the second segment, and the first of the third */
		rc = add_at(log, 100, 2, last_entry(&term) - 2);
	if (rc == 0)
		rc = flush(log);
	if (rc == 0)
		rc = recycle(log, last_entry(&term), 2 * SEGMENT, 0); /* nothing: it is retained */
	if (rc == 0)
		rc = recycle(log, last_entry(&term), 0, 1); /* nothing: pinned */
	if (rc == 0)
		rc = fill_to(log, 5);
	if (rc == 0) /* what was taken back is gone, and what took it back is not */
		rc = recycle(log, last_entry(&term), 2 * SEGMENT, 0);
	if (rc == 0)
		(void)!store_log_prepare_spare(&fs, PATH, SEGMENT, NULL); /* nothing */
	if (rc == 0)
		rc = add_hard_state(log, 3, 2);
	if (rc == 0)
		rc = fill_to(log, 7); /* in what was recycled */
	if (rc == 0)
		rc = fill_to(log, 11); /* in that and in new ones */
	if (rc == 0)
		rc = recycle(log, last_entry(&term), 0, 0); /* more than spares are kept */
	if (rc == 0)
		rc = fill_to(log, 13);
	if (rc == 0)
		rc = add_flush(log, 20);
	if (rc == 0)
		rc = store_log_stop(log);
	return rc;
}
