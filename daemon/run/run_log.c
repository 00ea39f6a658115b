/* The log thread: everything that has arrived since the last sync is one write and one sync. It decides
 * nothing. Beside it the store thread, which nobody waits for, keeps a spare segment ready. */
#include "daemon/run/run_int.h"

#include "schema/runtime/rt_mem.h"

#define MARK_AFTER_MS 10 /* of idleness: then the last batch is confirmed (architecture, 4) */

struct log_thread {
	struct run *run;
	uint64_t life; /* of the segment written to */
	bool stopping;
	bool marked;
	struct say_limiter slow_fsync;
};

static void must(struct log_thread *t, int rc)
{
	if (rc != 0)
		run_fatal("the log cannot be written, and what was not acknowledged may be lost: %s",
			  store_log_error(t->run->log)->text);
}

static uint64_t append_all(struct log_thread *t, struct run_letter *letter)
{
	struct store_log *log = t->run->log;
	uint64_t last_index = 0;
	while (letter != NULL) {
		struct run_letter *next = letter->next;
		if (letter->kind == LOG_STOP) {
			t->stopping = true;
		} else {
			struct log_persist *job = (struct log_persist *)letter;
			if (job->hard_state_dirty)
				must(t, store_log_hard_state(log, &(struct disk_hard_state){ job->hard_state.term,
											     job->hard_state.vote }));
			must(t, store_log_append(log, job->records, job->count));
			last_index = job->last_index;
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
	struct store_log_status st;
	store_log_status(r->log, &st);
	atomic_store(&r->log_bytes, st.segments * (uint64_t)r->conf->log_segment_bytes);
	if (st.life != t->life) {
		t->life = st.life;
		store_want_spare(r);
	}
}

void *log_main(void *arg)
{
	struct log_thread t = { .run = arg, .marked = true };
	struct run *r = t.run;
	while (!t.stopping) {
		struct run_letter *letter = mail_wait(&r->log_mail, t.marked ? INT64_MAX : run_now_ms() + MARK_AFTER_MS);
		if (letter == NULL) {
			must(&t, store_log_mark(r->log));
			t.marked = true;
			continue;
		}
		uint64_t last_index = append_all(&t, letter);
		if (last_index == 0)
			continue;
		int64_t from_us = run_now_us();
		must(&t, store_log_flush(r->log));
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

void store_want_spare(struct run *r)
{
	pthread_mutex_lock(&r->store_mutex);
	r->spare_wanted = true;
	pthread_cond_signal(&r->store_wanted);
	pthread_mutex_unlock(&r->store_mutex);
}

void *store_main(void *arg)
{
	struct run *r = arg;
	struct rt_err err;
	pthread_mutex_lock(&r->store_mutex);
	while (!r->store_stop) {
		if (!r->spare_wanted) {
			pthread_cond_wait(&r->store_wanted, &r->store_mutex);
			continue;
		}
		r->spare_wanted = false;
		pthread_mutex_unlock(&r->store_mutex);
		if (store_log_prepare_spare(r->fs, r->log_dir, (uint64_t)r->conf->log_segment_bytes, &err) != 0)
			say(RUN_CONF_WARN, "no spare log segment could be made, writes will be slower: %s", err.text);
		pthread_mutex_lock(&r->store_mutex);
	}
	pthread_mutex_unlock(&r->store_mutex);
	return NULL;
}
