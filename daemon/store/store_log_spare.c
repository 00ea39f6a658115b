/* Spares: segments to be, made ready by another thread or recycled from the log's beginning.
 *
 * Recycling takes one file at a time, the oldest segment, and syncs the directory behind it before
 * anything else is done: whatever a crash keeps, the segments follow one another without a gap,
 * and a file is not written to as a spare while the disk may still call it a segment. */
#include "daemon/store/store_log_int.h"

#include <errno.h>

#include "schema/runtime/rt_mem.h"

/* The file's handle when it has this size; -ENOENT when it has another. */
static int open_sized(const struct store_fs *fs, int dir, const char *name, uint64_t bytes, bool w)
{
	int file = fs->ops->open(fs->ctx, dir, name, w);
	if (file < 0)
		return file;
	int64_t size = fs->ops->size(fs->ctx, file);
	if (size == (int64_t)bytes)
		return file;
	fs->ops->close(fs->ctx, file);
	return size < 0 ? (int)size : -ENOENT;
}

static bool has_sized(const struct store_fs *fs, int dir, const char *name, uint64_t bytes)
{
	int file = open_sized(fs, dir, name, bytes, false);
	if (file >= 0)
		fs->ops->close(fs->ctx, file);
	return file >= 0;
}

/* ---- those of the log ---- */

static void drop_oldest_spare(struct store_log *log)
{
	log->spare_count--;
	memmove(log->spares, log->spares + 1, log->spare_count * sizeof log->spares[0]);
}

int store_log_spare_open(struct store_log *log, char *ret_name)
{
	while (log->spare_count != 0) {
		store_log_spare_name(log->spares[0], ret_name);
		int file = open_sized(&log->fs, log->dir, ret_name, log->segment_bytes, true);
		if (file != -ENOENT)
			return file;
		drop_oldest_spare(log); /* somebody removed it */
	}
	memcpy(ret_name, STORE_LOG_SPARE, sizeof STORE_LOG_SPARE);
	return open_sized(&log->fs, log->dir, ret_name, log->segment_bytes, true);
}

void store_log_spare_used(struct store_log *log, const char *name)
{
	if (strcmp(name, STORE_LOG_SPARE) == 0)
		log->spare_seen = false;
	else
		drop_oldest_spare(log);
}

uint32_t store_log_spares(struct store_log *log)
{
	/* the other thread only adds it: once there, it stays until it is taken */
	if (!log->spare_seen)
		log->spare_seen =
			has_sized(&log->fs, log->dir, STORE_LOG_SPARE, log->segment_bytes);
	return log->spare_count + (log->spare_seen ? 1 : 0);
}

void store_log_spares_found(struct store_log *log, const uint64_t *lives, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char name[STORE_LOG_NAME_BYTES];
		store_log_spare_name(lives[i], name);
		if (log->spare_count < STORE_LOG_SPARES_MAX &&
			has_sized(&log->fs, log->dir, name, log->segment_bytes))
			log->spares[log->spare_count++] = lives[i];
		else
			(void)log->fs.ops->remove(log->fs.ctx, log->dir, name);
	}
	int file = log->fs.ops->open(log->fs.ctx, log->dir, STORE_LOG_SPARE, false);
	if (file < 0)
		return;
	log->spare_seen = log->fs.ops->size(log->fs.ctx, file) == (int64_t)log->segment_bytes;
	log->fs.ops->close(log->fs.ctx, file);
	if (!log->spare_seen)
		(void)log->fs.ops->remove(log->fs.ctx, log->dir, STORE_LOG_SPARE);
}

uint64_t store_log_room(struct store_log *log, uint32_t *ret_spares)
{
	uint32_t spares = store_log_spares(log);
	if (ret_spares != NULL)
		*ret_spares = spares;
	/* each segment needs a batch header, a mark (I3) and a gap beside the records */
	uint64_t used = log->written + store_log_align(log->batch_len) + DISK_BATCH_HEADER_BYTES;
	uint64_t rest = used < log->file_bytes ? log->file_bytes - used : 0;
	return rest + spares * (log->segment_bytes - DISK_SEGMENT_HEADER_BYTES -
				       2 * DISK_BATCH_HEADER_BYTES);
}

/* ---- recycling ---- */

static bool oldest_is_done(
	const struct store_log *log, uint64_t upto_index, uint64_t retain_bytes, uint64_t pin_index)
{
	if (log->file_count < 2)
		return false;
	/* entries that were taken back count: they are not above those that came for them */
	uint64_t last = log->files[1].prev_index;
	if (last > upto_index || (pin_index != 0 && last >= pin_index))
		return false;
	uint64_t newer = log->written;
	for (size_t i = 1; i + 1 < log->file_count; i++)
		newer += log->files[i].bytes;
	return newer >= retain_bytes;
}

int store_log_recycle(struct store_log *log, uint64_t upto_index, uint64_t retain_bytes,
	uint64_t pin_index, bool *ret_more)
{
	if (ret_more != NULL)
		*ret_more = false;
	if (log->err.code != 0)
		return log->err.code;
	if (!oldest_is_done(log, upto_index, retain_bytes, pin_index))
		return 0;
	const struct store_log_file old = log->files[0];
	bool keep = old.bytes == log->segment_bytes && log->spare_count < STORE_LOG_SPARES_MAX &&
		    store_log_spares(log) < STORE_LOG_SPARES_MAX;
	char name[STORE_LOG_NAME_BYTES];
	char spare[STORE_LOG_NAME_BYTES];
	store_log_name(old.life, name);
	store_log_spare_name(old.life, spare);
	int rc = keep ? log->fs.ops->rename(log->fs.ctx, log->dir, name, spare)
		      : log->fs.ops->remove(log->fs.ctx, log->dir, name);
	if (rc != 0)
		return store_log_fail_or_full(log, rc, keep ? "make a spare of" : "remove", name);
	rc = log->fs.ops->dir_sync(log->fs.ctx, log->dir);
	if (rc != 0)
		return store_log_fail(log, rc, "sync the folder of", keep ? spare : name);
	log->file_count--;
	memmove(log->files, log->files + 1, log->file_count * sizeof *log->files);
	if (keep)
		log->spares[log->spare_count++] = old.life;
	log->recycled++;
	log->full.code = 0;
	if (ret_more != NULL)
		*ret_more = oldest_is_done(log, upto_index, retain_bytes, pin_index);
	return 0;
}

/* ---- making one ---- */

/* Zeros are written, not only allocated: a sync after writing to blocks that were written before
 * changes no metadata and takes half the time. Slices with a sync each, so that the log's own
 * syncs never queue behind all of it. */
#define SPARE_WRITE_BYTES (256u << 10)
#define SPARE_SLICE_BYTES (2u << 20)

static int spare_fill(const struct store_fs *fs, int file, uint64_t bytes)
{
	int rc = fs->ops->allocate(fs->ctx, file, bytes);
	uint8_t *zeros = rt_calloc(1, SPARE_WRITE_BYTES);
	for (uint64_t at = 0; rc == 0 && at < bytes;) {
		size_t n = bytes - at < SPARE_WRITE_BYTES ? (size_t)(bytes - at)
							  : SPARE_WRITE_BYTES;
		rc = fs->ops->pwrite(fs->ctx, file, zeros, n, at);
		at += n;
		if (rc == 0 && (at % SPARE_SLICE_BYTES == 0 || at == bytes))
			rc = fs->ops->sync(fs->ctx, file);
	}
	rt_free(zeros);
	return rc;
}

struct spare_search {
	uint64_t lives[STORE_LOG_SPARES_MAX + 1];
	size_t count;
};

static void search_name(void *arg, const char *name)
{
	struct spare_search *s = arg;
	uint64_t life;
	if (s->count < STORE_LOG_SPARES_MAX + 1 && store_log_spare_name_parse(name, &life))
		s->lives[s->count++] = life;
}

/* 1 when there is a spare of the size, of either kind; 0, or a negative errno. */
static int spare_is_ready(const struct store_fs *fs, int dir, uint64_t bytes)
{
	if (has_sized(fs, dir, STORE_LOG_SPARE, bytes))
		return 1;
	struct spare_search s = { .count = 0 };
	int rc = fs->ops->dir_list(fs->ctx, dir, search_name, &s);
	for (size_t i = 0; i < s.count && rc == 0; i++) {
		char name[STORE_LOG_NAME_BYTES];
		store_log_spare_name(s.lives[i], name);
		rc = has_sized(fs, dir, name, bytes) ? 1 : 0;
	}
	return rc;
}

static int spare_make(const struct store_fs *fs, int dir, uint64_t bytes)
{
	int rc = fs->ops->remove(fs->ctx, dir, STORE_LOG_SPARE_TMP); /* of an attempt that failed */
	if (rc != 0 && rc != -ENOENT)
		return rc;
	int file = fs->ops->create(fs->ctx, dir, STORE_LOG_SPARE_TMP);
	if (file < 0)
		return file;
	rc = spare_fill(fs, file, bytes);
	fs->ops->close(fs->ctx, file);
	if (rc == 0)
		rc = fs->ops->rename(fs->ctx, dir, STORE_LOG_SPARE_TMP, STORE_LOG_SPARE);
	if (rc != 0) {
		(void)fs->ops->remove(
			fs->ctx, dir, STORE_LOG_SPARE_TMP); /* frees the room; best effort */
		return rc;
	}
	return fs->ops->dir_sync(fs->ctx, dir);
}

int store_log_prepare_spare(
	const struct store_fs *fs, const char *path, uint64_t segment_bytes, struct rt_err *ret_err)
{
	uint64_t bytes = store_log_segment_size(segment_bytes);
	int rc = fs->ops->dir_open(fs->ctx, path, false);
	if (rc >= 0) {
		int dir = rc;
		rc = spare_is_ready(fs, dir, bytes);
		if (rc == 0)
			rc = spare_make(fs, dir, bytes);
		fs->ops->close(fs->ctx, dir);
	}
	if (rc >= 0)
		return 0;
	return rt_err_set(ret_err, store_file_code(rc), "%s/%s: cannot prepare a log segment: %s",
		path, STORE_LOG_SPARE, store_file_text(rc));
}
