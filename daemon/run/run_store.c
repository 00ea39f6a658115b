/* The store thread: writes cuts of the fold into the state file, a transaction each, checkpoints it in paced
 * slices, keeps a spare segment of the log ready, and watches the disk's room. No client waits for it. */
#include "daemon/run/run_int.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "schema/runtime/rt_mem.h"

#define CHECKPOINT_WAL_BYTES (8u << 20) /* that wait in the WAL */
#define ROOM_EVERY_MS 500
#define SAY_FULL_EVERY_MS 10000
#define RETRY_MS 500

struct store {
	struct run *run;
	bool stopping;
	bool behind; /* a cut could not be written before the end: no later one may be, it would not fit */
	int64_t room_due_ms;
	int64_t say_due_ms;
	int64_t spare_due_ms; /* a spare is wanted and could not be made; INT64_MAX for none */
	uint64_t free_bytes;
};

static uint64_t reserve_of(const struct run_conf *conf)
{
	if (conf->disk_reserve_bytes > 0)
		return (uint64_t)conf->disk_reserve_bytes;
	return (uint64_t)conf->log_segment_bytes * 2 + (uint64_t)conf->log_segment_bytes / 4;
}

static uint64_t free_of(const char *dir)
{
	struct statvfs v;
	if (statvfs(dir, &v) != 0)
		return UINT64_MAX; /* nothing known: do not refuse service for that */
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* What must stay free: the reserve, and what was accepted already and still has to get into the WAL, and from there
 * into the file. */
static uint64_t least_free(const struct run *r)
{
	return reserve_of(r->conf) +
	       2 * (atomic_load(&r->fold_bytes) + atomic_load(&r->cut_bytes)) +
	       atomic_load(&r->wal_pending);
}

/* Deletes leave pages in the state file, not room on the disk: half of what must be free may be such. */
static bool room_short(uint64_t free_bytes, uint64_t free_pages, uint64_t least)
{
	return free_bytes < least / 2 || (free_bytes < least && free_bytes + free_pages < least);
}

bool store_room_short(struct run *r)
{
	return room_short(free_of(r->conf->data_dir), atomic_load(&r->free_pages), least_free(r));
}

/* Below the reserve the tree may not grow; above it, and some more so that it does not flap, it may again. */
static void watch_room(struct store *t)
{
	struct run *r = t->run;
	int64_t now_ms = run_now_ms();
	if (now_ms < t->room_due_ms)
		return;
	t->room_due_ms = now_ms + ROOM_EVERY_MS;
	uint64_t log_free = free_of(r->log_dir), data_free = free_of(r->conf->data_dir);
	struct store_db_status st = { 0 };
	store_db_status(r->db, &st);
	t->free_bytes = log_free < data_free ? log_free : data_free;
	atomic_store(&r->state_bytes, st.file_bytes);
	atomic_store(&r->wal_bytes, st.wal_bytes);
	atomic_store(&r->wal_pending, st.wal_pending_bytes);
	atomic_store(&r->free_pages, st.free_bytes);
	uint64_t reserve = least_free(r);
	bool was = atomic_load(&r->disk_full);
	bool full = room_short(t->free_bytes, st.free_bytes, was ? reserve + reserve / 8 : reserve);
	/* without a spare segment deletes and sessions would have nowhere to go */
	full = full || (t->spare_due_ms != INT64_MAX && atomic_load(&r->log_spares) == 0);
	atomic_store(&r->disk_full, full);
	if (full && now_ms >= t->say_due_ms) {
		t->say_due_ms = now_ms + SAY_FULL_EVERY_MS;
		say(RUN_CONF_ERROR,
			"the disk is nearly full: %llu bytes are free where %llu are kept in reserve (key "
			"diskReserveBytes); "
			"requests that make the tree grow are refused, deletes are not; make room in %s",
			(unsigned long long)t->free_bytes, (unsigned long long)reserve,
			r->conf->data_dir);
	}
	if (was && !full) {
		t->say_due_ms = 0;
		say(RUN_CONF_INFO,
			"there is room on the disk again (%llu bytes): the tree may grow",
			(unsigned long long)t->free_bytes);
	}
}

static void make_spare(struct store *t)
{
	struct run *r = t->run;
	struct rt_err err;
	t->spare_due_ms = INT64_MAX;
	int rc = store_log_prepare_spare(
		r->fs, r->log_dir, (uint64_t)r->conf->log_segment_bytes, &err);
	if (rc == 0)
		return;
	say(RUN_CONF_WARN, "no spare log segment could be made, writes will be slower: %s",
		err.text);
	if (rc == PANDO_ENOSPC)
		t->spare_due_ms = run_now_ms() + SAY_FULL_EVERY_MS;
}

/* Whether to try again: the disk is full, which passes. Everything else ends the server. */
static bool try_again(struct store *t, int rc, const char *what, const struct rt_err *err)
{
	if (rc == 0 || rc == PANDO_EAGAIN)
		return false;
	if (rc != PANDO_ENOSPC)
		run_fatal("%s: %s", what, err->text);
	t->room_due_ms = 0;
	watch_room(t);
	return true;
}

static void write_cut(struct store *t, struct store_write *w)
{
	struct run *r = t->run;
	struct rt_err err;
	while (!t->behind && try_again(t, store_db_write(r->db, w->cut, &err),
				     "the state file cannot be written", &err)) {
		/* what can be given back is given back */
		(void)try_again(t, store_db_checkpoint(r->db, true, &err),
			"the state file cannot be checkpointed", &err);
		t->behind = atomic_load(&r->stopping); /* the log has it all */
		if (!t->behind)
			usleep(RETRY_MS * 1000);
	}
	struct store_db_status st;
	store_db_status(r->db, &st);
	/* little at a time, so that a checkpoint is never long */
	if (w->checkpoint || st.wal_pending_bytes > CHECKPOINT_WAL_BYTES ||
		st.checkpointed_index == 0 || atomic_load(&r->disk_full))
		(void)try_again(t, store_db_checkpoint(r->db, atomic_load(&r->disk_full), &err),
			"the state file cannot be checkpointed", &err);
	store_db_status(r->db, &st);
	w->checkpointed_index = st.checkpointed_index;
	w->letter.kind = CORE_STORED;
	mail_put(&r->core_mail, &w->letter);
}

/* On a full disk the log has to forget what it can before the next entry, and with it the next cut, can come. */
static void free_log(struct store *t)
{
	struct run *r = t->run;
	struct store_db_status st;
	struct rt_err err;
	if (!atomic_load(&r->disk_full))
		return;
	store_db_status(r->db, &st);
	if (st.checkpointed_index != st.written_index)
		(void)try_again(t, store_db_checkpoint(r->db, true, &err),
			"the state file cannot be checkpointed", &err);
	store_db_status(r->db, &st);
	atomic_store(&r->state_index, st.checkpointed_index);
	struct run_letter *letter = rt_calloc(1, sizeof *letter);
	letter->kind = LOG_RECYCLE;
	mail_put(&r->log_mail, letter);
}

void store_want_spare(struct run *r)
{
	struct run_letter *letter = rt_calloc(1, sizeof *letter);
	letter->kind = STORE_SPARE;
	mail_put(&r->store_mail, letter);
}

bool store_pace(void *arg, uint64_t bytes)
{
	struct run *r = arg;
	/* the log's syncs go first: leave the disk to them, unless this thread is the one that is behind */
	if (atomic_load(&r->fold_rows) < LIMIT_FOLD_ROWS * 10u && !atomic_load(&r->stopping))
		usleep(2000);
	return true;
}

void *store_main(void *arg)
{
	struct store t = { .run = arg, .spare_due_ms = INT64_MAX };
	struct run *r = t.run;
	while (!t.stopping) {
		watch_room(&t);
		free_log(&t);
		if (run_now_ms() >= t.spare_due_ms)
			make_spare(&t);
		struct run_letter *letter = mail_wait(&r->store_mail, t.room_due_ms);
		while (letter != NULL) {
			struct run_letter *next = letter->next;
			if (letter->kind == STORE_WRITE) {
				write_cut(&t, (struct store_write *)letter);
			} else {
				if (letter->kind == STORE_SPARE)
					make_spare(&t);
				else
					t.stopping = true;
				rt_free(letter);
			}
			letter = next;
		}
	}
	return NULL;
}
