/* Segments: their names and headers, beginning one, preparing a spare.
 *
 * The life of a segment file:
 *
 *     (none) --prepare_spare--> spare.tmp --> spare.log --segment_begin--> log-N
 *     (none) --segment_begin--> next.tmp ---------------segment_begin--> log-N
 *
 * A file gets the name log-N after its header is synced, and batches after the name is synced. So a crash leaves
 * either a segment with a valid header or a file that is none, and a segment whose header does not stand up
 * has been damaged. What else the file holds does not matter: batch headers of another life, or with
 * another salt, are not read. A segment that is no longer needed may therefore become spare.log as it is. */
#include "daemon/store/store_log_int.h"

#include <errno.h>

#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_mem.h"

static const char name_prefix[] = "log-";

void store_log_name(uint64_t life, char *ret)
{
	memcpy(ret, name_prefix, 4);
	for (unsigned i = 0; i < 16; i++)
		ret[4 + i] = "0123456789abcdef"[life >> (60 - 4 * i) & 15];
	ret[20] = '\0';
}

bool store_log_name_parse(const char *name, uint64_t *ret_life)
{
	if (strlen(name) != STORE_LOG_NAME_BYTES - 1 || memcmp(name, name_prefix, 4) != 0)
		return false;
	uint64_t life = 0;
	for (unsigned i = 4; i < 20; i++) {
		char c = name[i];
		if (c >= '0' && c <= '9')
			life = life << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			life = life << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*ret_life = life;
	return life != 0;
}

bool store_log_id_zero(const uint8_t *id)
{
	static const uint8_t zero[STORE_LOG_ID_BYTES];
	return memcmp(id, zero, sizeof zero) == 0;
}

static uint32_t header_crc(const uint8_t *block) { return rt_crc32c(0, block + 12, DISK_SEGMENT_HEADER_BYTES - 12); }

int store_log_header_decode(const uint8_t *block, struct disk_segment_header *ret)
{
	disk_segment_header_load(block, ret);
	if (ret->magic != DISK_LOG_MAGIC || ret->crc != header_crc(block))
		return PANDO_ECORRUPT;
	return ret->format == DISK_LOG_FORMAT ? 0 : PANDO_EFORMAT;
}

static void header_encode(const struct store_log *log, uint64_t life, uint32_t salt, uint8_t *block)
{
	struct disk_segment_header h = {
		.magic = DISK_LOG_MAGIC,
		.format = DISK_LOG_FORMAT,
		.life = life,
		.segment_bytes = log->segment_bytes,
		.salt = salt,
		.server_id = log->ids.server_id,
		.prev_index = log->at.last_index,
		.prev_term = log->at.last_term,
		.chain = log->at.chain,
		.term = log->at.hard_state.term,
		.vote = log->at.hard_state.vote,
	};
	memcpy(h.ensemble_id, log->ids.ensemble_id, STORE_LOG_ID_BYTES);
	memcpy(h.folder_id, log->ids.folder_id, STORE_LOG_ID_BYTES);
	memset(block, 0, DISK_SEGMENT_HEADER_BYTES);
	disk_segment_header_store(block, &h);
	rt_store32(block + 8, header_crc(block));
}

/* The spare's handle, -ENOENT when there is none of the right size, or another negative errno. */
static int open_spare(struct store_log *log)
{
	int file = log->fs.ops->open(log->fs.ctx, log->dir, STORE_LOG_SPARE, true);
	if (file < 0)
		return file;
	if (log->fs.ops->size(log->fs.ctx, file) == (int64_t)log->segment_bytes)
		return file;
	log->fs.ops->close(log->fs.ctx, file); /* made for another logSegmentBytes; prepare_spare replaces it */
	return -ENOENT;
}

/* A new file under its temporary name; log->err says why not. */
static int create_next(struct store_log *log)
{
	int file = log->fs.ops->create(log->fs.ctx, log->dir, STORE_LOG_NEXT_TMP);
	if (file < 0) {
		store_log_fail(log, file, "create this file", STORE_LOG_NEXT_TMP);
		return file;
	}
	int rc = log->fs.ops->allocate(log->fs.ctx, file, log->segment_bytes);
	if (rc == 0)
		return file;
	store_log_fail(log, rc, "make room for a log segment", STORE_LOG_NEXT_TMP);
	log->fs.ops->close(log->fs.ctx, file);
	(void)log->fs.ops->remove(log->fs.ctx, log->dir, STORE_LOG_NEXT_TMP); /* to free the room; the next open does too */
	return rc;
}

/* Header, sync, name, sync of the directory: in this order, see above. */
static int give_life(struct store_log *log, int file, const char *from, uint64_t life, uint32_t salt)
{
	uint8_t *block = rt_alloc(DISK_SEGMENT_HEADER_BYTES);
	header_encode(log, life, salt, block);
	int rc = log->fs.ops->pwrite(log->fs.ctx, file, block, DISK_SEGMENT_HEADER_BYTES, 0);
	rt_free(block);
	if (rc != 0)
		return store_log_fail(log, rc, "write", from);
	rc = log->fs.ops->sync(log->fs.ctx, file);
	if (rc != 0)
		return store_log_fail(log, rc, "sync", from);
	char name[STORE_LOG_NAME_BYTES];
	store_log_name(life, name);
	rc = log->fs.ops->rename(log->fs.ctx, log->dir, from, name);
	if (rc != 0)
		return store_log_fail(log, rc, "rename this file to a segment's name", from);
	rc = log->fs.ops->dir_sync(log->fs.ctx, log->dir);
	if (rc != 0)
		return store_log_fail(log, rc, "sync the folder of", name);
	return 0;
}

int store_log_segment_begin(struct store_log *log, uint64_t life)
{
	ASSERT(log->batch_count == 0); /* I4 */
	ASSERT(log->no_sync || log->data_end <= log->durable_offset);
	const char *from = STORE_LOG_SPARE;
	int file = open_spare(log);
	if (file == -ENOENT) {
		from = STORE_LOG_NEXT_TMP;
		file = create_next(log);
		if (file < 0)
			return log->err.code;
	} else if (file < 0) {
		return store_log_fail(log, file, "open", STORE_LOG_SPARE);
	} else {
		log->spares_taken++;
	}

	uint8_t life_bytes[8];
	rt_store64(life_bytes, life);
	uint32_t salt = rt_crc32c(log->seed, life_bytes, sizeof life_bytes);
	int rc = give_life(log, file, from, life, salt);
	if (rc != 0) {
		log->fs.ops->close(log->fs.ctx, file);
		return rc;
	}
	if (log->file >= 0)
		log->fs.ops->close(log->fs.ctx, log->file);
	log->file = file;
	log->life = life;
	log->salt = salt;
	log->file_bytes = log->segment_bytes;
	log->written = DISK_SEGMENT_HEADER_BYTES;
	log->data_end = DISK_SEGMENT_HEADER_BYTES;
	log->durable_offset = DISK_SEGMENT_HEADER_BYTES;
	log->confirmed_offset = DISK_SEGMENT_HEADER_BYTES;
	log->segments++;
	return 0;
}

/* Zeros are written, not only allocated: a sync after writing to blocks that were written before changes no
 * metadata and takes half the time. Slices with a sync each, so that the log's own syncs never queue behind all
 * of it. */
#define SPARE_WRITE_BYTES (256u << 10)
#define SPARE_SLICE_BYTES (2u << 20)

static int spare_fill(const struct store_fs *fs, int file, uint64_t bytes)
{
	int rc = fs->ops->allocate(fs->ctx, file, bytes);
	uint8_t *zeros = rt_calloc(1, SPARE_WRITE_BYTES);
	for (uint64_t at = 0; rc == 0 && at < bytes;) {
		size_t n = bytes - at < SPARE_WRITE_BYTES ? (size_t)(bytes - at) : SPARE_WRITE_BYTES;
		rc = fs->ops->pwrite(fs->ctx, file, zeros, n, at);
		at += n;
		if (rc == 0 && (at % SPARE_SLICE_BYTES == 0 || at == bytes))
			rc = fs->ops->sync(fs->ctx, file);
	}
	rt_free(zeros);
	return rc;
}

static bool spare_is_ready(const struct store_fs *fs, int dir, uint64_t bytes)
{
	int file = fs->ops->open(fs->ctx, dir, STORE_LOG_SPARE, false);
	if (file < 0)
		return false;
	bool ready = fs->ops->size(fs->ctx, file) == (int64_t)bytes;
	fs->ops->close(fs->ctx, file);
	return ready;
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
		(void)fs->ops->remove(fs->ctx, dir, STORE_LOG_SPARE_TMP); /* frees the room; best effort */
		return rc;
	}
	return fs->ops->dir_sync(fs->ctx, dir);
}

int store_log_prepare_spare(const struct store_fs *fs, const char *path, uint64_t segment_bytes,
	struct rt_err *ret_err)
{
	uint64_t bytes = store_log_segment_size(segment_bytes);
	int rc = fs->ops->dir_open(fs->ctx, path, false);
	if (rc >= 0) {
		int dir = rc;
		rc = spare_is_ready(fs, dir, bytes) ? 0 : spare_make(fs, dir, bytes);
		fs->ops->close(fs->ctx, dir);
	}
	if (rc >= 0)
		return 0;
	return rt_err_set(ret_err, store_file_code(rc), "%s/%s: cannot prepare a log segment: %s", path,
		STORE_LOG_SPARE, store_file_text(rc));
}
