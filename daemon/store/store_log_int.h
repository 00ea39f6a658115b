/* What the files of the log share; for this folder only. */
#ifndef PANDO_STORE_LOG_INT_H
#define PANDO_STORE_LOG_INT_H

#include "daemon/store/store_log.h"

#define STORE_LOG_NAME_BYTES 21u /* "log-", 16 digits, the end */
#define STORE_LOG_SPARE "spare.log"
#define STORE_LOG_SPARE_TMP "spare.tmp"
#define STORE_LOG_NEXT_TMP "next.tmp"

/* A batch is written when it has reached this, flush or not, so that the buffer stays in the processor's cache. One
 * record may be larger: then it is a batch of its own. */
#define STORE_LOG_BATCH_BYTES (256u << 10)

/* Where the log stands between two records: what the next segment's header repeats. */
struct store_log_position {
	uint64_t last_index;
	uint64_t last_term;
	uint32_t chain; /* CRC of the last record */
	struct disk_hard_state hard_state;
};

struct store_log {
	struct store_fs fs;
	int dir;
	char *path; /* for messages */
	uint64_t segment_bytes; /* of new segments */
	bool no_sync;
	uint32_t seed;
	struct store_log_ids ids;
	struct rt_err err;

	/* The segment that is written to. */
	int file;
	uint64_t life;
	uint32_t salt;
	uint64_t file_bytes;
	uint64_t written;          /* end of the last batch or mark written; multiple of 8 */
	uint64_t data_end;         /* end of the last batch with records */
	uint64_t durable_offset;   /* everything before it is synced */
	uint64_t confirmed_offset; /* the greatest durable_offset that a header in the segment states */
	uint64_t durable_index;

	struct store_log_position at; /* records in the batch buffer included */

	/* The batch that is being filled; room for its header at the front. len 0: none. */
	uint8_t *batch;
	size_t batch_len;
	size_t batch_cap;
	uint32_t batch_count;

	uint64_t segments;
	uint64_t batches;
	uint64_t syncs;
	uint64_t written_bytes;
	uint64_t spares_taken;
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

bool store_log_id_zero(const uint8_t *id);

/* The batch header's CRC, over its encoded bytes; salted so that it cannot be forged from outside. */
uint32_t store_log_batch_crc(uint32_t salt, const uint8_t *header);
/* The record's, over its encoded header and payload, which stand one behind the other. */
uint32_t store_log_record_crc(uint32_t chain, const uint8_t *record, size_t payload_bytes);

/* Encodes a header with its CRC to header[DISK_BATCH_HEADER_BYTES]. */
void store_log_batch_store(uint32_t salt, struct disk_batch_header *h, uint8_t *header);

/* "log-%016x" to ret[STORE_LOG_NAME_BYTES]. */
void store_log_name(uint64_t life, char *ret);
/* False when name is not exactly such a name. */
bool store_log_name_parse(const char *name, uint64_t *ret_life);

/* A segment's first block: PANDO_ECORRUPT, PANDO_EFORMAT, or 0 with the header in *ret. */
int store_log_header_decode(const uint8_t *block, struct disk_segment_header *ret);

/* Begins the segment `life` at log->at: from the spare when there is one, else a new file. Its header and its name are
 * durable when it returns, so a file named like a segment always has a header. Closes the file before, of
 * which everything must be synced. On failure log->err says why; the log has failed. */
__attribute__((warn_unused_result)) int store_log_segment_begin(struct store_log *log, uint64_t life);

/* Fails the log for good; returns the code. rc is a negative errno. */
int store_log_fail(struct store_log *log, int rc, const char *what, const char *name);

/* Reads all segments and opens the last one at its end. log has fs, dir, path, ids (as expected), segment_bytes and
 * seed; fills the rest. life stays 0 when there are no segments at all. */
__attribute__((warn_unused_result)) int store_log_recover(struct store_log *log,
	const struct store_log_options *options, struct store_log_tail *tail, struct rt_err *ret_err);

#endif
