/* The log thread: everything that has arrived since the last sync is one write and one sync. It decides
 * nothing. */
#include "daemon/run/run_int.h"

#include <unistd.h>

#include "schema/runtime/rt_mem.h"

#define ROOM_RETRY_MS 200
#define STOP_PATIENCE_MS 5000
#define MARK_AFTER_MS 10 /* of idleness: then the last batch is confirmed (architecture, 4) */

struct log_thread {
	struct run *run;
	uint64_t life; /* of the segment written to */
	bool stopping;
	bool marked;
	bool recycling; /* the state file has moved: there may be segments to let go of, one between two flushes */
	int64_t stop_by_ms; /* while there is no room */
	struct say_limiter slow_fsync, no_room;
};

static void must(struct log_thread *t, int rc)
{
	if (rc == PANDO_ELIMIT)
		run_fatal(
			"an entry is larger than a log segment can hold (key logSegmentBytes): please report this");
	if (rc != 0)
		run_fatal(
			"the log cannot be written, and what was not acknowledged may be lost: %s",
			store_log_error(t->run->log)->text);
}

/* Lets go of the oldest segment that nobody needs; true when there may be more. */
static bool recycle(struct log_thread *t, uint64_t retain_bytes)
{
	struct run *r = t->run;
	bool more = false;
	int rc = store_log_recycle(r->log, atomic_load(&r->state_index), retain_bytes, 0, &more);
	if (rc != PANDO_ENOSPC || store_log_failed(r->log))
		must(t, rc);
	return rc == 0 && more;
}

static void note_room(struct log_thread *t)
{
	struct run *r = t->run;
	struct store_log_status st;
	uint32_t spares;
	store_log_status(r->log, &st);
	store_log_room(r->log, &spares);
	atomic_store(&r->log_bytes, st.bytes);
	atomic_store(&r->log_spares, spares);
	atomic_store(&r->log_recycled, st.recycled);
	if (st.life != t->life) {
		t->life = st.life;
		store_want_spare(r);
	}
}

/* The disk has no room for another segment, although growth was refused in time: whatever the log may forget goes,
 * and until there is room again nothing is acknowledged. */
static void wait_for_room(struct log_thread *t)
{
	struct run *r = t->run;
	while (recycle(t, 0))
		continue;
	say_limited(&t->no_room, run_now_ms(), RUN_CONF_ERROR, "writes wait: %s",
		store_log_error(r->log)->text);
	if (!atomic_load(&r->stopping))
		t->stop_by_ms = run_now_ms() + STOP_PATIENCE_MS;
	else if (run_now_ms() > t->stop_by_ms)
		run_fatal(
			"the disk is full, and the last writes, which were not acknowledged, are given up");
	usleep(ROOM_RETRY_MS * 1000);
}

static void append(struct log_thread *t, const struct log_persist *job)
{
	struct store_log *log = t->run->log;
	struct disk_hard_state hs = { .term = job->hard_state.term, .vote = job->hard_state.vote };
	int rc = job->hard_state_dirty ? store_log_hard_state(log, &hs) : 0;
	while (rc == PANDO_ENOSPC && !store_log_failed(log)) {
		wait_for_room(t);
		rc = store_log_hard_state(log, &hs);
	}
	must(t, rc);
	struct store_log_status before, now;
	store_log_status(log, &before);
	rc = store_log_append(log, job->records, job->count);
	while (rc == PANDO_ENOSPC && !store_log_failed(log)) {
		wait_for_room(t);
		/* some of them may have been taken */
		store_log_status(log, &now);
		size_t taken = (size_t)(now.entries - before.entries);
		ASSERT(taken < job->count);
		rc = store_log_append(log, job->records + taken, job->count - taken);
	}
	must(t, rc);
}

static uint64_t append_all(struct log_thread *t, struct run_letter *letter)
{
	uint64_t last_index = 0;
	while (letter != NULL) {
		struct run_letter *next = letter->next;
		if (letter->kind == LOG_STOP) {
			t->stopping = true;
		} else if (letter->kind == LOG_RECYCLE) {
			t->recycling = true;
		} else {
			append(t, (struct log_persist *)letter);
			last_index = ((struct log_persist *)letter)->last_index;
		}
		rt_free(letter);
		letter = next;
	}
	return last_index;
}

static void note_sync(struct log_thread *t, int64_t us)
{
	struct run *r = t->run;
	atomic_fetch_add(&r->fsyncs, 1);
	atomic_fetch_add(&r->fsync_us, (uint64_t)us);
	if ((uint64_t)us > atomic_load(&r->fsync_us_max))
		atomic_store(&r->fsync_us_max, (uint64_t)us);
	if (r->conf->slow_fsync_ms > 0 && us / 1000 >= r->conf->slow_fsync_ms) {
		atomic_fetch_add(&r->slow_fsyncs, 1);
		say_limited(&t->slow_fsync, run_now_ms(), RUN_CONF_WARN,
			"writing and syncing the log took %lld ms (folder %s): every write waits for this disk",
			(long long)(us / 1000), r->log_dir);
	}
}

void *log_main(void *arg)
{
	struct log_thread t = { .run = arg, .marked = true };
	struct run *r = t.run;
	while (!t.stopping) {
		int64_t until_ms = t.recycling ? 0
				   : t.marked  ? INT64_MAX
					       : run_now_ms() + MARK_AFTER_MS;
		struct run_letter *letter = mail_wait(&r->log_mail, until_ms);
		if (t.recycling)
			t.recycling = recycle(&t, atomic_load(&r->disk_full)
							  ? 0
							  : (uint64_t)r->conf->log_retain_bytes);
		note_room(&t);
		if (letter == NULL && t.recycling)
			continue;
		if (letter == NULL) {
			must(&t, store_log_mark(r->log));
			t.marked = true;
			continue;
		}
		int64_t from_us = run_now_us();
		uint64_t last_index = append_all(&t, letter);
		must(&t, store_log_flush(r->log));
		if (last_index == 0)
			continue; /* nobody waits for it: only the order to stop came */
		note_sync(&t, run_now_us() - from_us);
		t.marked = false;
		struct core_durable *done = rt_calloc(1, sizeof *done);
		done->letter.kind = CORE_DURABLE;
		done->index = last_index;
		mail_put(&r->core_mail, &done->letter);
	}
	must(&t, store_log_stop(r->log));
	return NULL;
}
