/* Appending to the log: records into the batch buffer, batches into the segment, syncs.
 *
 * Invariants:
 *  I1  written, data_end, durable_offset and confirmed_offset are multiples of 8, and
 *      SEGMENT_HEADER_BYTES <= confirmed_offset <= durable_offset <= written <= file_bytes.
 *  I2  A batch header states only what was synced before the batch was written: it takes
 *      durable_offset and durable_index as they stand, and these move in log_sync alone (and back,
 *      when entries are taken back).
 *  I3  Behind the last batch with records there is always room for one mark.
 *  I4  A segment is left only when all of it is synced; the next one's header repeats where
 *      it ended.
 *  I5  Once err.code is set nothing is written any more. full.code forbids nothing: when it is set
 *      everything taken is synced, and the segment is as it was. */
#include "daemon/store/store_log.h"

#include <errno.h>

#include "daemon/store/store_log_int.h"
#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_mem.h"

uint32_t store_log_batch_crc(uint32_t salt, const uint8_t *header)
{
	return rt_crc32c(
		salt, header + 8, DISK_BATCH_HEADER_BYTES - 8); /* magic and crc stand in front */
}

uint32_t store_log_record_crc(uint32_t chain, const uint8_t *record, size_t payload_bytes)
{
	return rt_crc32c(chain, record + 4, DISK_RECORD_HEADER_BYTES - 4 + payload_bytes);
}

void store_log_batch_store(uint32_t salt, struct disk_batch_header *h, uint8_t *header)
{
	disk_batch_header_store(header, h);
	h->crc = store_log_batch_crc(salt, header);
	rt_store32(header + 4, h->crc);
}

int store_log_fail(struct store_log *log, int rc, const char *what, const char *name)
{
	ASSERT(log->err.code == 0);
	return rt_err_set(&log->err, store_file_code(rc), "%s/%s: cannot %s: %s", log->path, name,
		what, store_file_text(rc));
}

int store_log_fail_or_full(struct store_log *log, int rc, const char *what, const char *name)
{
	if (store_file_code(rc) != PANDO_ENOSPC)
		return store_log_fail(log, rc, what, name);
	return rt_err_set(&log->full, PANDO_ENOSPC, "%s/%s: cannot %s: %s", log->path, name, what,
		store_file_text(rc));
}

void store_log_add_file(struct store_log *log, uint64_t life, uint64_t prev_index, uint64_t bytes)
{
	if (log->file_count == log->file_cap) {
		log->file_cap = log->file_cap == 0 ? 32 : log->file_cap * 2;
		log->files = rt_realloc(log->files, log->file_cap * sizeof *log->files);
	}
	log->files[log->file_count++] = (struct store_log_file){ life, prev_index, bytes };
}

static int log_fail_here(struct store_log *log, int rc, const char *what)
{
	char name[STORE_LOG_NAME_BYTES];
	store_log_name(log->life, name);
	return store_log_fail(log, rc, what, name);
}

static void log_check(const struct store_log *log)
{
	ASSERT(log->confirmed_offset >= DISK_SEGMENT_HEADER_BYTES); /* I1 */
	ASSERT(log->confirmed_offset <= log->durable_offset);
	ASSERT(log->durable_offset <= log->written);
	ASSERT(log->data_end <= log->written);
	ASSERT(log->written <= log->file_bytes);
	ASSERT(log->written % DISK_BATCH_ALIGN == 0);
	ASSERT(log->durable_index <= log->at.last_index);
}

/* Writes `len` bytes that begin with room for a batch header, which it fills in. */
static int log_write(struct store_log *log, uint8_t *p, size_t len, uint32_t count)
{
	struct disk_batch_header h = {
		.magic = DISK_BATCH_MAGIC,
		.life = log->life,
		.durable_index = log->durable_index,
		.durable_offset = log->durable_offset, /* I2 */
		.count = count,
		.bytes = (uint32_t)(len - DISK_BATCH_HEADER_BYTES),
	};
	store_log_batch_store(log->salt, &h, p);
	size_t padded = store_log_align(len);
	ASSERT(padded <= log->file_bytes - log->written);
	memset(p + len, 0, padded - len);
	int rc = log->fs.ops->pwrite(log->fs.ctx, log->file, p, padded, log->written);
	if (rc != 0)
		return log_fail_here(log, rc, "write");
	log->written += padded;
	log->written_bytes += padded;
	log->confirmed_offset = log->durable_offset;
	return 0;
}

/* Writes the batch buffer's records, if there are any. */
static int log_write_batch(struct store_log *log)
{
	if (log->batch_count == 0)
		return 0;
	int rc = log_write(log, log->batch, log->batch_len, log->batch_count);
	if (rc != 0)
		return rc;
	log->data_end = log->written;
	log->batch_len = DISK_BATCH_HEADER_BYTES;
	log->batch_count = 0;
	log->batches++;
	log_check(log);
	return 0;
}

static int log_sync(struct store_log *log)
{
	if (!log->no_sync) {
		int rc = log->fs.ops->sync(log->fs.ctx, log->file);
		if (rc != 0)
			return log_fail_here(log, rc, "sync");
		log->syncs++;
		log->durable_offset = log->written;
	}
	ASSERT(log->batch_count == 0);
	log->durable_index = log->at.last_index;
	return 0;
}

int store_log_flush(struct store_log *log)
{
	if (log->err.code != 0)
		return log->err.code; /* I5 */
	if (log->batch_count == 0 && log->data_end <= log->durable_offset)
		return 0;
	int rc = log_write_batch(log);
	return rc != 0 ? rc : log_sync(log);
}

/* Room that a record of this payload needs in a segment beside what stands there and in the
 * batch: itself, the gap behind it, and a mark (I3). */
static uint64_t log_room(uint64_t batch_len, uint64_t payload_bytes)
{
	return store_log_align(batch_len + DISK_RECORD_HEADER_BYTES + payload_bytes) +
	       DISK_BATCH_HEADER_BYTES;
}

uint64_t store_log_payload_max_of(uint64_t segment_bytes)
{
	return store_log_segment_size(segment_bytes) - DISK_SEGMENT_HEADER_BYTES -
	       log_room(DISK_BATCH_HEADER_BYTES, 0) - DISK_BATCH_ALIGN;
}

uint64_t store_log_payload_max(const struct store_log *log)
{
	return store_log_payload_max_of(log->segment_bytes);
}

/* Makes the batch buffer ready for one more record: its batch written when it is large enough,
 * the segment changed when it is full. */
static int log_make_room(struct store_log *log, uint64_t payload_bytes)
{
	uint64_t bytes = DISK_RECORD_HEADER_BYTES + payload_bytes;
	if (log->batch_count != 0 && log->batch_len + bytes > STORE_LOG_BATCH_BYTES) {
		int rc = log_write_batch(log);
		if (rc != 0)
			return rc;
	}
	if (log->written + log_room(log->batch_len, payload_bytes) > log->file_bytes) {
		int rc = store_log_flush(log); /* I4 */
		if (rc == 0)
			rc = store_log_segment_begin(log, log->life + 1);
		if (rc != 0)
			return rc;
		log_check(log);
	}
	uint64_t need = log->batch_len + bytes + DISK_BATCH_ALIGN;
	if (need > log->batch_cap) {
		log->batch = rt_realloc(log->batch, need);
		log->batch_cap = need;
	}
	return 0;
}

static void log_put(struct store_log *log, const struct store_log_record *r)
{
	uint8_t *p = log->batch + log->batch_len;
	struct disk_record_header h = {
		.bytes = r->payload.len,
		.term = r->term,
		.index = r->index,
		.kind = r->kind,
	};
	disk_record_header_store(p, &h);
	if (r->payload.len != 0)
		memcpy(p + DISK_RECORD_HEADER_BYTES, r->payload.p, r->payload.len);
	log->at.chain = store_log_record_crc(log->at.chain, p, r->payload.len);
	rt_store32(p, log->at.chain);
	log->batch_len += DISK_RECORD_HEADER_BYTES + r->payload.len;
	log->batch_count++;
}

static int log_append_entry(struct store_log *log, const struct store_log_record *r)
{
	ASSERT(r->kind == DISK_RECORD_KIND_ENTRY);
	ASSERT(r->index >= 1);
	ASSERT(r->index <= log->at.last_index + 1);
	ASSERT(r->term >= log->at.last_term);
	ASSERT(r->index == log->at.last_index + 1 || r->term > log->at.last_term); /* taking back */
	int rc = log_make_room(log, r->payload.len);
	if (rc != 0)
		return rc;
	log_put(log, r);
	log->entries++;
	log->at.last_index = r->index;
	log->at.last_term = r->term;
	if (log->durable_index >= r->index)
		log->durable_index = r->index - 1;
	return 0;
}

int store_log_append(struct store_log *log, const struct store_log_record *records, size_t n)
{
	if (log->err.code != 0)
		return log->err.code;
	uint64_t max = store_log_payload_max(log);
	for (size_t i = 0; i < n; i++) {
		if (records[i].payload.len > max)
			return PANDO_ELIMIT;
	}
	for (size_t i = 0; i < n; i++) {
		int rc = log_append_entry(log, &records[i]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int store_log_hard_state(struct store_log *log, const struct disk_hard_state *hs)
{
	if (log->err.code != 0)
		return log->err.code;
	ASSERT(hs->term >= log->at.hard_state.term);
	uint8_t payload[DISK_HARD_STATE_BYTES];
	disk_hard_state_store(payload, hs);
	int rc = log_make_room(log, sizeof payload);
	if (rc != 0)
		return rc;
	struct store_log_record r = {
		.kind = DISK_RECORD_KIND_HARD_STATE,
		.term = hs->term,
		.index = log->at.last_index,
		.payload = rt_slice_of(payload, sizeof payload),
	};
	log_put(log, &r);
	log->at.hard_state = *hs;
	return 0;
}

int store_log_mark(struct store_log *log)
{
	if (log->err.code != 0)
		return log->err.code;
	if (log->batch_count != 0 || log->data_end > log->durable_offset ||
		log->data_end <= log->confirmed_offset)
		return 0;
	/* Not synced. When the next batch is synced, so is the mark; until then durable_offset
	 * stands before it, so that its loss can never look like rot. */
	uint8_t mark[DISK_BATCH_HEADER_BYTES];
	int rc = log_write(log, mark, sizeof mark, 0);
	if (rc == 0)
		log_check(log);
	return rc;
}

int store_log_stop(struct store_log *log)
{
	int rc = store_log_flush(log);
	if (rc == 0)
		rc = store_log_mark(log);
	if (rc == 0 && log->written > log->durable_offset)
		rc = log_sync(log);
	return rc;
}

const struct rt_err *store_log_error(const struct store_log *log)
{
	return log->err.code != 0 ? &log->err : &log->full;
}

bool store_log_failed(const struct store_log *log) { return log->err.code != 0; }

void store_log_status(const struct store_log *log, struct store_log_status *ret)
{
	uint64_t bytes = log->spare_count * log->segment_bytes;
	for (size_t i = 0; i < log->file_count; i++)
		bytes += log->files[i].bytes;
	*ret = (struct store_log_status){
		.last_index = log->at.last_index,
		.durable_index = log->durable_index,
		.life = log->life,
		.entries = log->entries,
		.segments = log->file_count,
		.first_index = log->files[0].prev_index + 1,
		.bytes = bytes,
		.recycled = log->recycled,
		.batches = log->batches,
		.syncs = log->syncs,
		.written_bytes = log->written_bytes,
		.spares_taken = log->spares_taken,
	};
}

/* The first segment of a new log. */
static int open_create(struct store_log *log, const struct store_log_options *options,
	struct store_log_tail *tail, struct rt_err *ret_err)
{
	if (!options->create)
		return rt_err_set(ret_err, PANDO_ENOENT, "%s: there is no log here", log->path);
	ASSERT(!store_log_id_zero(options->ids.folder_id));
	log->at = (struct store_log_position){ .last_index = options->begin_index };
	log->durable_index = options->begin_index;
	int rc = store_log_segment_begin(log, 1);
	if (rc != 0) {
		if (ret_err != NULL)
			*ret_err = *store_log_error(log);
		return rc;
	}
	*tail = (struct store_log_tail){
		.ids = log->ids,
		.created = true,
		.first_index = options->begin_index + 1,
		.last_index = options->begin_index,
		.segments = 1,
	};
	return 0;
}

/* Everything but what a recovery finds. */
static int log_new(const struct store_fs *fs, const char *path,
	const struct store_log_options *options, bool create, struct store_log **ret,
	struct rt_err *ret_err)
{
	int dir = fs->ops->dir_open(fs->ctx, path, create);
	if (dir < 0)
		return rt_err_set(ret_err,
			dir == -ENOENT && options->have_index != 0 ? PANDO_ECORRUPT
								   : store_file_code(dir),
			"%s: cannot open this folder: %s", path, store_file_text(dir));
	struct store_log *log = rt_calloc(1, sizeof *log);
	log->fs = *fs;
	log->dir = dir;
	log->file = -1;
	log->path = rt_alloc(strlen(path) + 1);
	memcpy(log->path, path, strlen(path) + 1);
	log->segment_bytes = store_log_segment_size(options->segment_bytes);
	log->no_sync = options->unsafe_no_sync;
	log->seed = options->seed;
	log->ids = options->ids;
	log->batch_len = DISK_BATCH_HEADER_BYTES;
	*ret = log;
	return 0;
}

int store_log_open(const struct store_fs *fs, const char *path,
	const struct store_log_options *options, struct store_log **ret_log,
	struct store_log_tail *ret_tail, struct rt_err *ret_err)
{
	uint64_t segment_bytes = store_log_segment_size(options->segment_bytes);
	ASSERT(segment_bytes >= STORE_LOG_SEGMENT_BYTES_MIN);
	ASSERT(segment_bytes <= STORE_LOG_SEGMENT_BYTES_MAX);

	struct store_log *log;
	bool create = options->create && options->have_index == 0;
	int rc = log_new(fs, path, options, create, &log, ret_err);
	if (rc != 0)
		return rc;
	log->batch_cap =
		(segment_bytes < STORE_LOG_BATCH_BYTES ? segment_bytes : STORE_LOG_BATCH_BYTES) +
		DISK_BATCH_ALIGN;
	log->batch = rt_alloc(log->batch_cap);

	struct store_log_tail tail = { 0 };
	rc = store_log_recover(log, options, NULL, &tail, ret_err);
	if (rc == 0 && log->life == 0)
		rc = open_create(log, options, &tail, ret_err);
	if (rc != 0) {
		store_log_close(log);
		return rc;
	}
	log_check(log);
	*ret_log = log;
	*ret_tail = tail;
	return 0;
}

int store_log_verify(const struct store_fs *fs, const char *path,
	const struct store_log_options *options, store_log_report_fn *report, void *report_arg,
	struct store_log_tail *ret_tail, struct rt_err *ret_err)
{
	struct store_log *log;
	int rc = log_new(fs, path, options, false, &log, ret_err);
	if (rc != 0)
		return rc;
	const struct store_log_inspector inspector = { .report = report, .arg = report_arg };
	*ret_tail = (struct store_log_tail){ 0 };
	rc = store_log_recover(log, options, &inspector, ret_tail, ret_err);
	store_log_close(log);
	return rc;
}

void store_log_close(struct store_log *log)
{
	if (log == NULL)
		return;
	if (log->file >= 0)
		log->fs.ops->close(log->fs.ctx, log->file);
	log->fs.ops->close(log->fs.ctx, log->dir);
	rt_free(log->files);
	rt_free(log->batch);
	rt_free(log->path);
	rt_free(log);
}
