/* What the files of the log share; for this folder only. */
#ifndef PANDO_STORE_LOG_INT_H
#define PANDO_STORE_LOG_INT_H

#include "daemon/store/store_log.h"

#define STORE_LOG_NAME_BYTES 23u /* "spare-", 16 digits, the end; "log-" likewise */
#define STORE_LOG_SPARE "spare.log"
#define STORE_LOG_SPARE_TMP "spare.tmp"
#define STORE_LOG_NEXT_TMP "next.tmp"

/* A batch is written when it has reached this, flush or not, so that the buffer stays in the
 * processor's cache. One record may be larger: then it is a batch of its own. */
#define STORE_LOG_BATCH_BYTES (256u << 10)

/* Where the log stands between two records: what the next segment's header repeats. */
struct store_log_position {
	uint64_t last_index;
	uint64_t last_term;
	uint32_t chain; /* CRC of the last record */
	struct disk_hard_state hard_state;
};

/* A segment in the directory. */
struct store_log_file {
	uint64_t life;
	uint64_t prev_index; /* as in its header */
	uint64_t bytes;
};

struct store_log {
	struct store_fs fs;
	int dir;
	char *path;             /* for messages */
	uint64_t segment_bytes; /* of new segments */
	bool no_sync;
	uint32_t seed;
	struct store_log_ids ids;
	struct rt_err err;  /* final */
	struct rt_err full; /* PANDO_ENOSPC that may pass */

	/* Oldest first; the last one is written to. */
	struct store_log_file *files;
	size_t file_count;
	size_t file_cap;

	/* Recycled spares, by the life that they had; all of segment_bytes. The oldest first. */
	uint64_t spares[STORE_LOG_SPARES_MAX];
	uint32_t spare_count;
	bool spare_seen; /* STORE_LOG_SPARE is there and has segment_bytes */

	/* The segment that is written to. */
	int file;
	uint64_t life;
	uint32_t salt;
	uint64_t file_bytes;
	uint64_t written;          /* end of the last batch or mark written; multiple of 8 */
	uint64_t data_end;         /* end of the last batch with records */
	uint64_t durable_offset;   /* everything before it is synced */
	uint64_t confirmed_offset; /* greatest durable_offset that a header here states */
	uint64_t durable_index;

	struct store_log_position at; /* records in the batch buffer included */

	/* The batch that is being filled; room for its header at the front. len 0: none. */
	uint8_t *batch;
	size_t batch_len;
	size_t batch_cap;
	uint32_t batch_count;

	uint64_t entries;
	uint64_t batches;
	uint64_t syncs;
	uint64_t written_bytes;
	uint64_t spares_taken;
	uint64_t recycled;
};

static inline uint64_t store_log_align(uint64_t n)
{
	return (n + DISK_BATCH_ALIGN - 1) & ~(uint64_t)(DISK_BATCH_ALIGN - 1);
}

/* Of options: the default for 0, and whole blocks. */
static inline uint64_t store_log_segment_size(uint64_t segment_bytes)
{
	return segment_bytes == 0 ? STORE_LOG_SEGMENT_BYTES : segment_bytes / 4096 * 4096;
}

static inline bool store_log_hard_state_eq(
	const struct disk_hard_state *a, const struct disk_hard_state *b)
{
	return a->term == b->term && a->vote == b->vote && a->mend_index == b->mend_index &&
	       a->mend_term == b->mend_term;
}

bool store_log_id_zero(const uint8_t *id);

/* The batch header's CRC, over its encoded bytes; salted so that it cannot be forged from
 * outside. */
uint32_t store_log_batch_crc(uint32_t salt, const uint8_t *header);
/* The record's, over its encoded header and payload, which stand one behind the other. */
uint32_t store_log_record_crc(uint32_t chain, const uint8_t *record, size_t payload_bytes);

/* Encodes a header with its CRC to header[DISK_BATCH_HEADER_BYTES]. */
void store_log_batch_store(uint32_t salt, struct disk_batch_header *h, uint8_t *header);

/* "log-%016x" to ret[STORE_LOG_NAME_BYTES]. */
void store_log_name(uint64_t life, char *ret);
/* False when name is not exactly such a name. */
bool store_log_name_parse(const char *name, uint64_t *ret_life);
/* Likewise "spare-%016x", a recycled spare's, with the life that the file had. */
void store_log_spare_name(uint64_t life, char *ret);
bool store_log_spare_name_parse(const char *name, uint64_t *ret_life);

/* A segment's first block: PANDO_ECORRUPT, PANDO_EFORMAT, or 0 with the header in *ret. */
int store_log_header_decode(const uint8_t *block, struct disk_segment_header *ret);

/* Begins the segment `life` at log->at: from the spare when there is one, else a new file. Its
 * header and its name are durable when it returns, so a file named like a segment always has a
 * header. Closes the file before, of which everything must be synced. On failure log->err says
 * why: the log has failed; or, PANDO_ENOSPC only, log->full: nothing has changed. */
__attribute__((warn_unused_result)) int store_log_segment_begin(
	struct store_log *log, uint64_t life);

/* Fails the log for good; returns the code. rc is a negative errno. */
int store_log_fail(struct store_log *log, int rc, const char *what, const char *name);
/* The same, but for lack of room: that is noted in log->full, and the log goes on. For operations
 * that may be tried again and have changed nothing. */
int store_log_fail_or_full(struct store_log *log, int rc, const char *what, const char *name);

/* One more segment in the list of those there are, newest last. */
void store_log_add_file(struct store_log *log, uint64_t life, uint64_t prev_index, uint64_t bytes);

/* A spare's handle, and its name in ret_name[STORE_LOG_NAME_BYTES]; -ENOENT when there is none,
 * or another negative errno. It stays a spare until store_log_spare_used, after its rename. */
int store_log_spare_open(struct store_log *log, char *ret_name);
void store_log_spare_used(struct store_log *log, const char *name);
/* Spares ready, of both kinds. */
uint32_t store_log_spares(struct store_log *log);
/* What a recovery found: recycled spares of these lives. Keeps those that can be used and removes
 * the others, and a STORE_LOG_SPARE that has another size; what cannot be removed stays. */
void store_log_spares_found(struct store_log *log, const uint64_t *lives, size_t n);

/* Whom a recovery tells what it finds, instead of ending at the first damage. */
struct store_log_inspector {
	store_log_report_fn *report;
	void *arg;
};

/* Reads all segments and opens the last one at its end. log has fs, dir, path, ids (as
 * expected), segment_bytes and seed; fills the rest. life stays 0 when there are no segments at
 * all. With an inspector (NULL: none) nothing on disk is changed, the log cannot be written to,
 * and the outcome is that of store_log_verify. */
__attribute__((warn_unused_result)) int store_log_recover(struct store_log *log,
	const struct store_log_options *options, const struct store_log_inspector *inspector,
	struct store_log_tail *tail, struct rt_err *ret_err);

#endif
