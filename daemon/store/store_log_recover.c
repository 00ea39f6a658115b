/* Reading the log back: segments in the order of their lives, batches until the first that does
 * not stand up, and then the question whether that is a torn tail or rot.
 *
 * A batch at offset X of a segment does not stand up when its header or one of its records does
 * not. Then:
 *
 *   a later segment exists
 *          Its header was begun after everything here was synced, and repeats index, term and
 *          chain of the last record here. The same: this was the end. Else: rot.
 *   a later header of this life in this segment says durable_offset > X
 *          What stands at X was synced before that header was written: rot.
 *   the caller has (the state file) what stood there
 *          It is made of what was synced: rot.
 *   none of these
 *          Nothing says that X was ever synced, so it was not acknowledged: torn, cut off.
 *
 * After a cut, new batches are written from X on, over the torn ones. What remains of those must
 * never be read as new: a whole batch header of theirs behind the next batch's end would.
 * (Several batches may go out before one sync, so there may be whole ones behind a torn one.)
 * Therefore all headers of this life found at or behind X are overwritten with zeros, and that
 * is synced, before anything is appended. Nothing else can be read: batches are reached through
 * headers only; a header's CRC begins from the segment's secret salt, so data that a client
 * wrote cannot look like one; and part of a header is not one.
 *
 * What stands before X but is not confirmed by any header may be in the page cache only (the
 * process was killed before its sync, or the sync failed and the cache was marked clean all the
 * same). It is written once more and synced, the same bytes to the same place, before anybody is
 * told of it. So is a mark at the end: later headers will state that everything before them is
 * durable, and a mark that then vanished would look like rot.
 *
 * An inspection is the same reading and the same decisions, but nothing is written, each damage
 * is told of, and the reading goes on with the next segment, whose header has all that is needed
 * for it. */
#include <errno.h>
#include <stdlib.h>

#include "daemon/store/store_log_int.h"
#include "schema/runtime/rt_mem.h"

/* Read at a time; less than a batch only when that is larger. */
#define WINDOW_BYTES (1u << 20)

static const char rot_advice[] =
	"This was on disk and has changed since, so entries would be lost: refusing to start. Keep "
	"the folder as it is, check the disk, and restore the whole folder from one backup; see "
	"TORN AND ROTTEN in pando-disk(7).";

struct segment {
	int file;
	uint64_t life;
	uint64_t bytes;
	char name[STORE_LOG_NAME_BYTES];
	struct disk_segment_header header;
	uint64_t end;         /* of the batches that stand up */
	uint64_t data_end;    /* of the last one with records */
	uint64_t confirmed;   /* greatest durable_offset stated */
	uint64_t first_index; /* lowest of its entries; 0 for none */
	uint64_t records;
};

/* Where the last error is. */
struct place {
	char name[STORE_LOG_NAME_BYTES];
	uint64_t offset;
	uint64_t index;
};

struct recovery {
	struct store_log *log;
	const struct store_log_options *options;
	struct store_log_tail *tail;
	struct rt_err *err;

	const struct store_log_inspector *inspector; /* NULL: recover */
	struct place place;
	struct rt_err first; /* damage that an inspection found */
	bool visit_ended;

	uint64_t *lives;
	size_t life_count;
	size_t life_cap;
	uint64_t *spares;
	size_t spare_count;
	size_t spare_cap;
	bool has_spare; /* STORE_LOG_SPARE */
	bool has_temporary[2];

	struct segment seg;
	bool linked; /* `at` is where seg must go on */
	bool ids_known;
	struct store_log_position at;
	uint64_t term_had; /* of the entry have_index, as the log has it; 0: not seen */

	uint8_t *window;
	size_t window_cap;
	size_t window_len;
	uint64_t window_at;

	uint64_t *stale; /* offsets of headers behind the cut */
	size_t stale_count;
	size_t stale_cap;
};

static void push(uint64_t **v, size_t *count, size_t *cap, uint64_t x)
{
	if (*count == *cap) {
		*cap = *cap == 0 ? 64 : *cap * 2;
		*v = rt_realloc(*v, *cap * sizeof **v);
	}
	(*v)[(*count)++] = x;
}

/* ---- what is found ---- */

/* Before an error is set. */
static void point(struct recovery *r, const char *name, uint64_t offset, uint64_t index)
{
	ASSERT(strlen(name) < sizeof r->place.name);
	memcpy(r->place.name, name, strlen(name) + 1);
	r->place.offset = offset;
	r->place.index = index;
}

static void report(struct recovery *r, const struct store_log_report *x)
{
	r->inspector->report(r->inspector->arg, x);
}

/* An error (not 0) ends a recovery. An inspection tells of it, and 0: goes on. */
static int found(struct recovery *r, int rc)
{
	if (r->inspector == NULL || r->visit_ended)
		return rc;
	if (r->first.code == 0)
		r->first = *r->err;
	report(r, &(struct store_log_report){
			  .kind = STORE_LOG_REPORT_DAMAGE,
			  .file = r->place.name,
			  .code = rc,
			  .offset = r->place.offset,
			  .index = r->place.index,
			  .text = r->err->text,
		  });
	return 0;
}

/* The entry that the log must go on with, as far as that is known. */
static uint64_t next_index(const struct recovery *r)
{
	return r->linked ? r->at.last_index + 1 : 0;
}

/* ---- files ---- */

static const char *const temporary[] = { STORE_LOG_NEXT_TMP, STORE_LOG_SPARE_TMP };

static void list_name(void *arg, const char *name)
{
	struct recovery *r = arg;
	uint64_t life;
	if (store_log_name_parse(name, &life))
		push(&r->lives, &r->life_count, &r->life_cap, life);
	else if (store_log_spare_name_parse(name, &life))
		push(&r->spares, &r->spare_count, &r->spare_cap, life);
	else if (strcmp(name, STORE_LOG_SPARE) == 0)
		r->has_spare = true;
	else if (strcmp(name, temporary[0]) == 0)
		r->has_temporary[0] = true;
	else if (strcmp(name, temporary[1]) == 0)
		r->has_temporary[1] = true;
}

static int compare_lives(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

static int dir_error(struct recovery *r, int rc, const char *what, const char *name)
{
	point(r, name, 0, next_index(r));
	return rt_err_set(r->err, store_file_code(rc), "%s/%s: cannot %s: %s", r->log->path, name,
		what, store_file_text(rc));
}

/* Removes what a crash left under a temporary name. */
static int recover_temporary(struct recovery *r)
{
	struct store_log *log = r->log;
	for (size_t i = 0; i < 2; i++) {
		int rc = log->fs.ops->remove(log->fs.ctx, log->dir, temporary[i]);
		if (rc != 0 && rc != -ENOENT)
			return dir_error(r, rc, "remove this left-over file", temporary[i]);
	}
	return 0;
}

/* No segments: is that the beginning? */
static int recover_none(struct recovery *r)
{
	point(r, ".", 0, r->options->have_index + 1);
	if (r->options->have_index != 0)
		return rt_err_set(r->err, PANDO_ECORRUPT,
			"%s: there is no log file, but the state file has entry %lu: the log's files "
			"were removed, and what was written last is in them. Restore the whole "
			"folder from one backup",
			r->log->path, (unsigned long)r->options->have_index);
	/* prepare_spare and recycling run when there is a log, so there was one */
	if (r->has_spare || r->spare_count != 0)
		return rt_err_set(r->err, PANDO_ECORRUPT,
			"%s: there is a spare but no log file: they were removed, and the tree "
			"was in them. Restore the whole folder from one backup; to begin an empty "
			"tree, give an empty folder",
			r->log->path);
	return 0;
}

/* Lists the folder, and looks for gaps. */
static int recover_list(struct recovery *r)
{
	struct store_log *log = r->log;
	int rc = log->fs.ops->dir_list(log->fs.ctx, log->dir, list_name, r);
	if (rc == 0 && r->inspector == NULL)
		rc = log->fs.ops->dir_sync(
			log->fs.ctx, log->dir); /* names that a killed process had just made */
	if (rc != 0)
		return dir_error(r, rc, "read this folder", ".");
	if (r->spare_count != 0)
		qsort(r->spares, r->spare_count, sizeof *r->spares, compare_lives);
	if (r->life_count == 0)
		return recover_none(r);
	qsort(r->lives, r->life_count, sizeof *r->lives, compare_lives);
	for (size_t i = 1; i < r->life_count && rc == 0; i++) {
		if (r->lives[i] == r->lives[i - 1] + 1)
			continue;
		char name[STORE_LOG_NAME_BYTES];
		store_log_name(r->lives[i - 1] + 1, name);
		point(r, name, 0, 0);
		rc = found(r, rt_err_set(r->err, PANDO_ECORRUPT,
				      "%s/%s: this log file is missing, and later ones exist. "
				      "Bring it back, or restore the whole folder from one backup",
				      log->path, name));
	}
	return rc;
}

static void report_spare(struct recovery *r, const char *name)
{
	struct store_log *log = r->log;
	int64_t size = 0;
	int file = log->fs.ops->open(log->fs.ctx, log->dir, name, false);
	if (file >= 0) {
		size = log->fs.ops->size(log->fs.ctx, file);
		log->fs.ops->close(log->fs.ctx, file);
	}
	report(r, &(struct store_log_report){
			  .kind = STORE_LOG_REPORT_SPARE,
			  .file = name,
			  .file_bytes = size > 0 ? (uint64_t)size : 0,
		  });
}

static void report_spares(struct recovery *r)
{
	char name[STORE_LOG_NAME_BYTES];
	for (size_t i = 0; i < r->spare_count; i++) {
		store_log_spare_name(r->spares[i], name);
		report_spare(r, name);
	}
	if (r->has_spare)
		report_spare(r, STORE_LOG_SPARE);
	for (size_t i = 0; i < 2; i++) {
		if (r->has_temporary[i])
			report_spare(r, temporary[i]);
	}
}

/* ---- reading ---- */

/* `len` bytes at `offset`, which the segment has; valid until the next call. */
static int fetch(struct recovery *r, uint64_t offset, size_t len, const uint8_t **ret)
{
	if (offset >= r->window_at && offset + len <= r->window_at + r->window_len) {
		*ret = r->window + (offset - r->window_at);
		return 0;
	}
	size_t cap = r->seg.bytes < WINDOW_BYTES ? (size_t)r->seg.bytes : WINDOW_BYTES;
	if (cap < len)
		cap = len;
	if (cap > r->window_cap) {
		r->window_cap = cap;
		rt_free(r->window);
		r->window = rt_alloc(r->window_cap);
	}
	r->window_len = 0;
	size_t want = r->window_cap;
	if (want > r->seg.bytes - offset)
		want = (size_t)(r->seg.bytes - offset);
	struct store_log *log = r->log;
	int64_t got = log->fs.ops->pread(log->fs.ctx, r->seg.file, r->window, want, offset);
	if (got >= 0 && got < (int64_t)want)
		got = -EIO; /* the size said that it is there */
	if (got < 0)
		point(r, r->seg.name, offset, next_index(r));
	if (got < 0)
		return rt_err_set(r->err, store_file_code((int)got),
			"%s/%s: cannot read %lu bytes at byte %lu: %s", log->path, r->seg.name,
			(unsigned long)want, (unsigned long)offset, store_file_text((int)got));
	r->window_at = offset;
	r->window_len = want;
	*ret = r->window;
	return 0;
}

static bool batch_header_valid(
	const struct segment *s, uint64_t offset, const uint8_t *p, struct disk_batch_header *ret)
{
	disk_batch_header_load(p, ret);
	if (ret->magic != DISK_BATCH_MAGIC || ret->life != s->life)
		return false;
	if (ret->crc != store_log_batch_crc(s->header.salt, p))
		return false;
	if (ret->durable_offset < DISK_SEGMENT_HEADER_BYTES || ret->durable_offset > offset)
		return false;
	if (ret->bytes > s->bytes - offset - DISK_BATCH_HEADER_BYTES)
		return false;
	return (ret->count == 0) == (ret->bytes == 0);
}

/* Walks a batch's records by length and CRC; true when they fill it exactly. */
static bool batch_records_valid(const struct disk_batch_header *h, const uint8_t *p, uint32_t chain)
{
	uint32_t left = h->bytes;
	for (uint32_t i = 0; i < h->count; i++) {
		if (left < DISK_RECORD_HEADER_BYTES)
			return false;
		struct disk_record_header rec;
		disk_record_header_load(p, &rec);
		left -= DISK_RECORD_HEADER_BYTES;
		if (rec.bytes > left || rec.crc != store_log_record_crc(chain, p, rec.bytes))
			return false;
		chain = rec.crc;
		left -= rec.bytes;
		p += DISK_RECORD_HEADER_BYTES + rec.bytes;
	}
	return left == 0;
}

static int record_error(
	struct recovery *r, uint64_t offset, const struct disk_record_header *rec, const char *what)
{
	point(r, r->seg.name, offset, rec->index);
	return rt_err_set(r->err, PANDO_ECORRUPT,
		"%s/%s: byte %lu: a record of kind %u, index %lu, term %lu, %s (after index %lu, "
		"term %lu): whole, but out of order. Files of different logs are mixed here, or a "
		"program error wrote it; restore the whole folder from one backup",
		r->log->path, r->seg.name, (unsigned long)offset, rec->kind,
		(unsigned long)rec->index, (unsigned long)rec->term, what,
		(unsigned long)r->at.last_index, (unsigned long)r->at.last_term);
}

static int take_entry(struct recovery *r, uint64_t offset, const struct disk_record_header *rec)
{
	struct store_log_tail *tail = r->tail;
	if (rec->term < r->at.last_term)
		return record_error(r, offset, rec, "in an older term");
	if (rec->index > r->at.last_index + 1 || rec->index == 0)
		return record_error(r, offset, rec, "with a gap before it");
	if (rec->index <= r->at.last_index && rec->term == r->at.last_term)
		return record_error(r, offset, rec, "again in the same term");
	if (rec->index < tail->first_index) {
		/* It takes back entries of segments that are gone: they were recycled later, when
		 * the state file had what came for them. A log that goes back to its beginning
		 * has none such. */
		if (r->lives[0] == 1)
			return record_error(r, offset, rec, "with a gap before it");
		tail->first_index = rec->index;
	}
	if (rec->index <= r->options->have_index)
		r->term_had = rec->index == r->options->have_index ? rec->term : 0;
	if (r->seg.first_index == 0 || rec->index < r->seg.first_index)
		r->seg.first_index = rec->index;
	r->at.last_index = rec->index;
	r->at.last_term = rec->term;
	return 0;
}

static int take_hard_state(struct recovery *r, uint64_t offset,
	const struct disk_record_header *rec, const uint8_t *payload)
{
	if (rec->bytes != DISK_HARD_STATE_BYTES)
		return record_error(r, offset, rec, "of a wrong size");
	struct disk_hard_state hs;
	disk_hard_state_load(payload, &hs);
	if (hs.term < r->at.hard_state.term || rec->index != r->at.last_index)
		return record_error(r, offset, rec, "of the past");
	r->at.hard_state = hs;
	return 0;
}

/* One record whose bytes stand up: is it in order, and what does it change? */
static int take_record(struct recovery *r, uint64_t offset, const struct disk_record_header *rec,
	const uint8_t *payload)
{
	int rc;
	if (rec->kind == DISK_RECORD_KIND_ENTRY) {
		rc = take_entry(r, offset, rec);
	} else if (rec->kind == DISK_RECORD_KIND_HARD_STATE) {
		rc = take_hard_state(r, offset, rec, payload);
	} else {
		point(r, r->seg.name, offset, rec->index);
		rc = rt_err_set(r->err, PANDO_EFORMAT,
			"%s/%s: byte %lu: a record of kind %u, which this program does not know: a "
			"newer one wrote it. Start that one",
			r->log->path, r->seg.name, (unsigned long)offset, rec->kind);
	}
	if (rc != 0)
		return rc;
	r->at.chain = rec->crc;
	r->tail->records++;
	r->seg.records++;
	if (r->options->visit == NULL)
		return 0;
	struct store_log_record record = {
		.kind = rec->kind,
		.term = rec->term,
		.index = rec->index,
		.payload = rt_slice_of(payload, rec->bytes),
	};
	rc = r->options->visit(r->options->arg, &record);
	r->visit_ended = rc != 0;
	return rc;
}

/* The batches of the segment, up to the first that does not stand up. */
static int segment_read(struct recovery *r)
{
	struct segment *s = &r->seg;
	s->end = s->data_end = s->confirmed = DISK_SEGMENT_HEADER_BYTES;
	while (s->end + DISK_BATCH_HEADER_BYTES <= s->bytes) {
		const uint8_t *p;
		struct disk_batch_header h;
		int rc = fetch(r, s->end, DISK_BATCH_HEADER_BYTES, &p);
		if (rc != 0)
			return rc;
		if (!batch_header_valid(s, s->end, p, &h))
			return 0;
		rc = fetch(r, s->end, DISK_BATCH_HEADER_BYTES + (size_t)h.bytes, &p);
		if (rc != 0)
			return rc;
		p += DISK_BATCH_HEADER_BYTES;
		if (!batch_records_valid(&h, p, r->at.chain))
			return 0;
		uint64_t at = s->end + DISK_BATCH_HEADER_BYTES;
		for (uint32_t i = 0; i < h.count; i++) {
			struct disk_record_header rec;
			disk_record_header_load(p, &rec);
			rc = take_record(r, at, &rec, p + DISK_RECORD_HEADER_BYTES);
			if (rc != 0)
				return rc;
			p += DISK_RECORD_HEADER_BYTES + rec.bytes;
			at += DISK_RECORD_HEADER_BYTES + rec.bytes;
		}
		if (h.durable_offset > s->confirmed)
			s->confirmed = h.durable_offset;
		r->tail->bytes += store_log_align(at) - s->end;
		s->end = store_log_align(at);
		if (h.count != 0)
			s->data_end = s->end;
	}
	return 0;
}

/* ---- segments ---- */

static int rot(struct recovery *r, const struct segment *s)
{
	point(r, s->name, s->end, r->at.last_index + 1);
	return rt_err_set(r->err, PANDO_ECORRUPT,
		"%s/%s: damaged at byte %lu, where entry %lu stood or the record before it. %s",
		r->log->path, s->name, (unsigned long)s->end, (unsigned long)(r->at.last_index + 1),
		rot_advice);
}

static int id_error(struct recovery *r, const char *what)
{
	return rt_err_set(r->err, PANDO_EINVAL,
		"%s/%s: this file belongs to another %s. Check that the right folder is given, and "
		"that files of different folders were not mixed",
		r->log->path, r->seg.name, what);
}

/* Is it ours? The first segment says whose the folder is, unless the caller knows. */
static int segment_check_ids(struct recovery *r)
{
	const struct disk_segment_header *h = &r->seg.header;
	struct store_log_ids *ids = &r->log->ids;
	if (!r->ids_known) {
		r->ids_known = true;
		if (store_log_id_zero(ids->ensemble_id))
			memcpy(ids->ensemble_id, h->ensemble_id, STORE_LOG_ID_BYTES);
		if (store_log_id_zero(ids->folder_id))
			memcpy(ids->folder_id, h->folder_id, STORE_LOG_ID_BYTES);
		if (ids->server_id == 0)
			ids->server_id = h->server_id;
	}
	if (memcmp(ids->ensemble_id, h->ensemble_id, STORE_LOG_ID_BYTES) != 0)
		return id_error(r, "ensemble");
	if (memcmp(ids->folder_id, h->folder_id, STORE_LOG_ID_BYTES) != 0)
		return id_error(r, "folder");
	if (ids->server_id != h->server_id)
		return rt_err_set(r->err, PANDO_EINVAL,
			"%s/%s: this file belongs to server %u, and this is server %u. Check the "
			"server's number and the folder",
			r->log->path, r->seg.name, h->server_id, ids->server_id);
	return 0;
}

/* Takes the segment's header; r->seg has file, name and size. */
static int segment_header(struct recovery *r)
{
	struct store_log *log = r->log;
	struct segment *s = &r->seg;
	if (s->bytes < DISK_SEGMENT_HEADER_BYTES)
		return rt_err_set(r->err, PANDO_ECORRUPT,
			"%s/%s: cut short: %lu bytes are less than its header. %s", log->path,
			s->name, (unsigned long)s->bytes, rot_advice);
	const uint8_t *block;
	int rc = fetch(r, 0, DISK_SEGMENT_HEADER_BYTES, &block);
	if (rc != 0)
		return rc;
	rc = store_log_header_decode(block, &s->header);
	if (rc == PANDO_EFORMAT)
		return rt_err_set(r->err, rc,
			"%s/%s: format %u of the log, and this program knows %u: a newer one wrote "
			"it. Start that one",
			log->path, s->name, s->header.format, DISK_LOG_FORMAT);
	if (rc != 0)
		return rt_err_set(r->err, rc, "%s/%s: its header is damaged (bytes 0 to %u). %s",
			log->path, s->name, DISK_SEGMENT_HEADER_BYTES - 1, rot_advice);
	if (s->header.life != s->life) {
		char name[STORE_LOG_NAME_BYTES];
		store_log_name(s->header.life, name);
		return rt_err_set(r->err, PANDO_ECORRUPT,
			"%s/%s: by its header its name is %s: it was renamed, or copied over this "
			"one. Restore the whole folder from one backup",
			log->path, s->name, name);
	}
	if (s->header.segment_bytes != s->bytes)
		return rt_err_set(r->err, PANDO_ECORRUPT,
			"%s/%s: has %lu bytes, and by its header %lu: an incomplete copy? %s",
			log->path, s->name, (unsigned long)s->bytes,
			(unsigned long)s->header.segment_bytes, rot_advice);
	return segment_check_ids(r);
}

/* Opens the segment and takes its header; r->seg.file is open also on failure, or -1. */
static int segment_open(struct recovery *r, uint64_t life, bool writable)
{
	struct store_log *log = r->log;
	struct segment *s = &r->seg;
	*s = (struct segment){ .file = -1, .life = life };
	store_log_name(life, s->name);
	r->window_len = 0;
	int file = log->fs.ops->open(log->fs.ctx, log->dir, s->name, writable);
	if (file < 0)
		return dir_error(r, file, "open", s->name);
	s->file = file;
	int64_t size = log->fs.ops->size(log->fs.ctx, file);
	if (size < 0)
		return dir_error(r, (int)size, "read the size of", s->name);
	s->bytes = (uint64_t)size;
	point(r, s->name, 0, next_index(r));
	int rc = segment_header(r);
	if (rc == 0)
		store_log_add_file(log, life, s->header.prev_index, s->bytes);
	return rc;
}

/* Where the segment goes on, by its own header. */
static void segment_position(struct recovery *r)
{
	const struct disk_segment_header *h = &r->seg.header;
	r->at = (struct store_log_position){
		.last_index = h->prev_index,
		.last_term = h->prev_term,
		.chain = h->chain,
		.hard_state = h->hard_state,
	};
	if (h->prev_index <= r->options->have_index)
		r->term_had = h->prev_index == r->options->have_index ? h->prev_term : 0;
	r->linked = true;
}

/* The oldest segment says where the log begins. */
static int segment_first(struct recovery *r)
{
	const struct disk_segment_header *h = &r->seg.header;
	segment_position(r);
	r->tail->first_index = h->prev_index + 1;
	if (h->life == 1 || h->prev_index <= r->options->have_index)
		return 0;
	char name[STORE_LOG_NAME_BYTES];
	store_log_name(h->life - 1, name);
	point(r, name, 0, r->options->have_index + 1);
	return rt_err_set(r->err, PANDO_ECORRUPT,
		"%s/%s: this log file is missing: the next one begins after entry %lu, and all from "
		"entry %lu on is needed, since the state file ends before it. Bring it back, or "
		"restore the whole folder from one backup",
		r->log->path, name, (unsigned long)h->prev_index,
		(unsigned long)(r->options->have_index + 1));
}

/* Does the segment just read end where the next one's header says? Otherwise something is
 * missing from it. */
static int segment_link(struct recovery *r, const struct segment *before)
{
	const struct disk_segment_header *h = &r->seg.header;
	if (h->prev_index == r->at.last_index && h->prev_term == r->at.last_term &&
		h->chain == r->at.chain &&
		store_log_hard_state_eq(&h->hard_state, &r->at.hard_state))
		return 0;
	return rot(r, before);
}

/* ---- the tail ---- */

/* What looks like a batch header behind the end: rot, or to be erased, or nothing. */
static int tail_header(struct recovery *r, uint64_t offset, const uint8_t *p, uint64_t *torn_end)
{
	struct segment *s = &r->seg;
	struct disk_batch_header h;
	if (!batch_header_valid(s, offset, p, &h)) {
		/* only for the message: the torn header itself */
		if (offset == s->end && h.life == s->life)
			*torn_end = offset + DISK_BATCH_HEADER_BYTES;
		return 0;
	}
	if (h.durable_offset > s->end)
		return rot(r, s);
	push(&r->stale, &r->stale_count, &r->stale_cap, offset);
	if (offset + DISK_BATCH_HEADER_BYTES + h.bytes > *torn_end)
		*torn_end = offset + DISK_BATCH_HEADER_BYTES + h.bytes;
	return 0;
}

/* Looks through the rest of the last segment for headers of this life: torn or rotten, and what
 * to erase. */
static int tail_scan(struct recovery *r)
{
	const struct segment *s = &r->seg;
	uint64_t torn_end = s->end;
	uint64_t at = s->end;
	while (at + DISK_BATCH_HEADER_BYTES <= s->bytes) {
		/* pieces that overlap by less than a header, so that each is seen whole in one
		 * of them */
		size_t n = s->bytes - at < WINDOW_BYTES / 2 ? (size_t)(s->bytes - at)
							    : WINDOW_BYTES / 2;
		const uint8_t *p;
		int rc = fetch(r, at, n, &p);
		if (rc != 0)
			return rc;
		size_t i = 0;
		for (; i + DISK_BATCH_HEADER_BYTES <= n; i += DISK_BATCH_ALIGN) {
			if (rt_load32(p + i) != DISK_BATCH_MAGIC)
				continue;
			rc = tail_header(r, at + i, p + i, &torn_end);
			if (rc != 0)
				return rc;
		}
		at += i;
	}
	r->tail->torn_bytes = torn_end - s->end;
	r->tail->torn_offset = s->end;
	return 0;
}

/* Erases what was cut off, writes again what nothing confirms, and syncs both; see the top. */
static int tail_repair(struct recovery *r)
{
	struct store_log *log = r->log;
	struct segment *s = &r->seg;
	if (r->stale_count == 0 && s->end == s->confirmed)
		return 0;
	static const uint8_t zeros[DISK_BATCH_HEADER_BYTES];
	int rc = 0;
	for (size_t i = 0; i < r->stale_count && rc == 0; i++)
		rc = log->fs.ops->pwrite(log->fs.ctx, s->file, zeros, sizeof zeros, r->stale[i]);
	for (uint64_t at = s->confirmed; rc == 0 && at < s->end;) {
		size_t n = s->end - at < WINDOW_BYTES ? (size_t)(s->end - at) : WINDOW_BYTES;
		const uint8_t *p;
		rc = fetch(r, at, n, &p);
		if (rc != 0)
			return rc;
		rc = log->fs.ops->pwrite(log->fs.ctx, s->file, p, n, at);
		at += n;
	}
	if (rc == 0)
		rc = log->fs.ops->sync(log->fs.ctx, s->file);
	if (rc != 0)
		return dir_error(r, rc, "write again the end of", s->name);
	return 0;
}

/* Does the log have what the state file was made of? */
static int tail_check_have(struct recovery *r)
{
	const struct store_log_options *o = r->options;
	const struct segment *s = &r->seg;
	point(r, s->name, s->end, r->at.last_index + 1);
	if (r->at.last_index < o->have_index)
		return rt_err_set(r->err, PANDO_ECORRUPT,
			"%s/%s: the log ends with entry %lu, at byte %lu, but the state file has "
			"entry %lu: what stood behind was on disk and is damaged or missing, or the "
			"log is older than the state file. Refusing to start. Keep the folder as it "
			"is, and restore the whole folder from one backup; see TORN AND ROTTEN in "
			"pando-disk(7)",
			r->log->path, s->name, (unsigned long)r->at.last_index,
			(unsigned long)s->end, (unsigned long)o->have_index);
	r->place.index = o->have_index;
	if (r->first.code != 0)
		return 0; /* the entry may be where an inspection could not read */
	if (o->have_index != 0 && o->have_term != 0 && r->term_had != o->have_term)
		return rt_err_set(r->err, PANDO_ECORRUPT,
			"%s/%s: the log ends at byte %lu, and entry %lu is of term %lu in it, but of "
			"term %lu in the state file: what stood behind is damaged or missing, or they "
			"are not of the same folder and age. Refusing to start. Restore the whole "
			"folder from one backup",
			r->log->path, s->name, (unsigned long)s->end, (unsigned long)o->have_index,
			(unsigned long)r->term_had, (unsigned long)o->have_term);
	return 0;
}

static int recover_tail(struct recovery *r)
{
	int rc = tail_scan(r);
	if (rc == 0)
		rc = tail_check_have(r);
	if (rc != 0)
		return found(r, rc);
	if (r->inspector == NULL)
		return tail_repair(r);
	if (r->tail->torn_bytes != 0)
		report(r, &(struct store_log_report){
				  .kind = STORE_LOG_REPORT_TORN,
				  .file = r->seg.name,
				  .offset = r->tail->torn_offset,
				  .index = r->at.last_index + 1,
				  .torn_bytes = r->tail->torn_bytes,
				  .text = "written but not synced when the server last ended, so "
					  "never acknowledged: the next start cuts it off",
			  });
	return 0;
}

/* ---- all of it ---- */

static void report_segment(struct recovery *r)
{
	const struct segment *s = &r->seg;
	report(r, &(struct store_log_report){
			  .kind = STORE_LOG_REPORT_SEGMENT,
			  .file = s->name,
			  .file_bytes = s->bytes,
			  .life = s->life,
			  .first_index = s->first_index,
			  .last_index = r->at.last_index,
			  .records = s->records,
			  .bytes = s->end - DISK_SEGMENT_HEADER_BYTES,
		  });
}

/* The log's i-th segment; its file stays open. `linked` tells whether the next one can be held
 * against its end. */
static int recover_segment(struct recovery *r, size_t i)
{
	struct segment before = r->seg;
	bool last = i + 1 == r->life_count;
	if (i != 0 && r->lives[i] != r->lives[i - 1] + 1)
		r->linked = false; /* missing; an inspection has told of it */
	int rc = segment_open(r, r->lives[i], last && r->inspector == NULL);
	if (rc != 0) {
		r->linked = false;
		return found(r, rc);
	}
	if (i == 0)
		rc = segment_first(r);
	else if (r->linked)
		rc = segment_link(r, &before);
	if (rc != 0)
		rc = found(r, rc);
	if (rc != 0)
		return rc;
	if (r->inspector != NULL)
		segment_position(r); /* the same, or behind damage the best that is known */
	rc = segment_read(r);
	bool whole = rc == 0;
	if (rc != 0)
		rc = found(r, rc);
	if (rc != 0)
		return rc;
	if (r->inspector != NULL)
		report_segment(r);
	r->linked = whole;
	return last && whole ? recover_tail(r) : 0;
}

static void recovery_finish(struct recovery *r)
{
	struct store_log *log = r->log;
	const struct segment *s = &r->seg;
	log->file = s->file;
	log->life = s->life;
	log->salt = s->header.salt;
	log->file_bytes = s->bytes;
	log->written = s->end;
	log->data_end = s->data_end;
	log->durable_offset = s->end;
	log->confirmed_offset = s->confirmed;
	log->at = r->at;
	log->durable_index = r->at.last_index;
	store_log_spares_found(log, r->spares, r->spare_count);
}

static int recover_segments(struct recovery *r)
{
	struct store_log *log = r->log;
	for (size_t i = 0; i < r->life_count; i++) {
		int rc = recover_segment(r, i);
		if (rc == 0 && i + 1 == r->life_count && r->inspector == NULL) {
			recovery_finish(r); /* keeps the file open */
			return 0;
		}
		if (r->seg.file >= 0)
			log->fs.ops->close(log->fs.ctx, r->seg.file);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* An inspection's outcome: that of its first damage. */
static int inspection_end(struct recovery *r, int rc, struct rt_err *ret_err)
{
	if (rc == 0 && r->first.code == 0 && r->life_count == 0)
		return rt_err_set(ret_err, PANDO_ENOENT, "%s: there is no log here", r->log->path);
	if (rc == 0)
		report_spares(r);
	if (rc != 0 || r->first.code == 0)
		return rc;
	if (ret_err != NULL)
		*ret_err = r->first;
	return r->first.code;
}

int store_log_recover(struct store_log *log, const struct store_log_options *options,
	const struct store_log_inspector *inspector, struct store_log_tail *tail,
	struct rt_err *ret_err)
{
	struct rt_err err;
	struct recovery r = {
		.log = log,
		.options = options,
		.inspector = inspector,
		.tail = tail,
		.err = inspector != NULL ? &err : ret_err,
	};
	int rc = inspector == NULL ? recover_temporary(&r) : 0;
	if (rc == 0)
		rc = recover_list(&r);
	if (rc != 0)
		rc = found(&r, rc);
	if (rc == 0)
		rc = recover_segments(&r);
	tail->ids = log->ids;
	tail->last_index = r.at.last_index;
	tail->last_term = r.at.last_term;
	tail->hard_state = r.at.hard_state;
	tail->segments = (uint32_t)r.life_count;
	if (inspector != NULL)
		rc = inspection_end(&r, rc, ret_err);
	rt_free(r.lives);
	rt_free(r.spares);
	rt_free(r.window);
	rt_free(r.stale);
	return rc;
}
