/* Segments: their names and headers, and beginning one.
 *
 * The life of a segment file:
 *
 *     (none) --prepare_spare--> spare.tmp --> spare.log --segment_begin--> log-N
 *     (none) --segment_begin--> next.tmp ---------------segment_begin--> log-N
 *     log-N  --recycle-------------------> spare-N -----segment_begin--> log-M    M > N
 *     log-N  --recycle--> (none)
 *
 * A file gets the name log-N after its header is synced, and batches after the name is synced.
 * So a crash leaves either a segment with a valid header or a file that is none, and a segment
 * whose header does not stand up has been damaged. What else the file holds does not matter:
 * batch headers of another life, or with another salt, are not read. A segment that is no longer
 * needed therefore becomes a spare as it is. */
#include "daemon/store/store_log_int.h"

#include <errno.h>

#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_mem.h"

static const char segment_prefix[] = "log-";
static const char spare_prefix[] = "spare-";

static void name_put(const char *prefix, uint64_t life, char *ret)
{
	size_t n = strlen(prefix);
	memcpy(ret, prefix, n);
	for (unsigned i = 0; i < 16; i++)
		ret[n + i] = "0123456789abcdef"[life >> (60 - 4 * i) & 15];
	ret[n + 16] = '\0';
}

static bool name_parse(const char *prefix, const char *name, uint64_t *ret_life)
{
	size_t n = strlen(prefix);
	if (strlen(name) != n + 16 || memcmp(name, prefix, n) != 0)
		return false;
	uint64_t life = 0;
	for (const char *p = name + n; *p != '\0'; p++) {
		if (*p >= '0' && *p <= '9')
			life = life << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			life = life << 4 | (uint64_t)(*p - 'a' + 10);
		else
			return false;
	}
	*ret_life = life;
	return life != 0;
}

void store_log_name(uint64_t life, char *ret) { name_put(segment_prefix, life, ret); }

bool store_log_name_parse(const char *name, uint64_t *ret_life)
{
	return name_parse(segment_prefix, name, ret_life);
}

void store_log_spare_name(uint64_t life, char *ret) { name_put(spare_prefix, life, ret); }

bool store_log_spare_name_parse(const char *name, uint64_t *ret_life)
{
	return name_parse(spare_prefix, name, ret_life);
}

bool store_log_id_zero(const uint8_t *id)
{
	static const uint8_t zero[STORE_LOG_ID_BYTES];
	return memcmp(id, zero, sizeof zero) == 0;
}

static uint32_t header_crc(const uint8_t *block)
{
	return rt_crc32c(0, block + 12, DISK_SEGMENT_HEADER_BYTES - 12);
}

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
		.hard_state = log->at.hard_state,
	};
	memcpy(h.ensemble_id, log->ids.ensemble_id, STORE_LOG_ID_BYTES);
	memcpy(h.folder_id, log->ids.folder_id, STORE_LOG_ID_BYTES);
	memset(block, 0, DISK_SEGMENT_HEADER_BYTES);
	disk_segment_header_store(block, &h);
	rt_store32(block + 8, header_crc(block));
}

/* A new file under its temporary name; why not: as store_log_fail_or_full. */
static int create_next(struct store_log *log)
{
	int file = log->fs.ops->create(log->fs.ctx, log->dir, STORE_LOG_NEXT_TMP);
	if (file == -EEXIST) { /* of an attempt that failed */
		(void)log->fs.ops->remove(log->fs.ctx, log->dir, STORE_LOG_NEXT_TMP);
		file = log->fs.ops->create(log->fs.ctx, log->dir, STORE_LOG_NEXT_TMP);
	}
	if (file < 0) {
		store_log_fail_or_full(log, file, "create this file", STORE_LOG_NEXT_TMP);
		return file;
	}
	int rc = log->fs.ops->allocate(log->fs.ctx, file, log->segment_bytes);
	if (rc == 0)
		return file;
	store_log_fail_or_full(log, rc, "make room for a log segment", STORE_LOG_NEXT_TMP);
	log->fs.ops->close(log->fs.ctx, file);
	return rc;
}

/* Header, sync, name, sync of the directory: in this order, see above. Until the file has its name
 * it is one that means nothing, so a disk too full for a step before may be waited for; but not
 * after a sync that failed, since what then is on the disk only another file can tell. */
static int give_life(
	struct store_log *log, int file, const char *from, uint64_t life, uint32_t salt)
{
	uint8_t *block = rt_alloc(DISK_SEGMENT_HEADER_BYTES);
	header_encode(log, life, salt, block);
	int rc = log->fs.ops->pwrite(log->fs.ctx, file, block, DISK_SEGMENT_HEADER_BYTES, 0);
	rt_free(block);
	if (rc != 0)
		return store_log_fail_or_full(log, rc, "write", from);
	rc = log->fs.ops->sync(log->fs.ctx, file);
	if (rc != 0)
		return store_log_fail(log, rc, "sync", from);
	char name[STORE_LOG_NAME_BYTES];
	store_log_name(life, name);
	rc = log->fs.ops->rename(log->fs.ctx, log->dir, from, name);
	if (rc != 0)
		return store_log_fail_or_full(
			log, rc, "rename this file to a segment's name", from);
	rc = log->fs.ops->dir_sync(log->fs.ctx, log->dir);
	if (rc != 0)
		return store_log_fail(log, rc, "sync the folder of", name);
	return 0;
}

/* The spare, or a new file, as the segment `life`; its handle, or a PANDO_ code. */
static int begin_file(struct store_log *log, uint64_t life, uint32_t salt, int *ret_file)
{
	char from[STORE_LOG_NAME_BYTES];
	int file = store_log_spare_open(log, from);
	bool spare = file != -ENOENT;
	if (file < 0 && spare)
		return store_log_fail(log, file, "open", from);
	int rc = 0;
	if (!spare) {
		memcpy(from, STORE_LOG_NEXT_TMP, sizeof STORE_LOG_NEXT_TMP);
		file = create_next(log);
		if (file < 0)
			rc = store_log_error(log)->code;
	}
	if (rc == 0) {
		rc = give_life(log, file, from, life, salt);
		if (rc != 0)
			log->fs.ops->close(log->fs.ctx, file);
	}
	if (rc != 0 && !spare) /* frees the room; the next open does too */
		(void)log->fs.ops->remove(log->fs.ctx, log->dir, STORE_LOG_NEXT_TMP);
	if (rc != 0)
		return rc;
	if (spare) {
		store_log_spare_used(log, from);
		log->spares_taken++;
	}
	*ret_file = file;
	return 0;
}

int store_log_segment_begin(struct store_log *log, uint64_t life)
{
	ASSERT(log->batch_count == 0); /* I4 */
	ASSERT(log->no_sync || log->data_end <= log->durable_offset);
	uint8_t life_bytes[8];
	rt_store64(life_bytes, life);
	uint32_t salt = rt_crc32c(log->seed, life_bytes, sizeof life_bytes);
	int file = -1;
	int rc = begin_file(log, life, salt, &file);
	if (rc != 0)
		return rc;
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
	log->full.code = 0;
	store_log_add_file(log, life, log->at.last_index, log->segment_bytes);
	return 0;
}
