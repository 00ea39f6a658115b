/* The log: a directory of preallocated segments that hold batches of records; pando-disk(7) gives every byte.
 *
 * One thread uses a log (the log thread):
 *
 *     store_log_open(fs, path, &options, &log, &tail, &err)     reads everything back through options.visit
 *     store_log_append(log, records, n)                          into the batch buffer, no sync
 *     store_log_hard_state(log, &hs)                             likewise; term and vote
 *     store_log_flush(log)                                       written and synced: now it may be acknowledged
 *     store_log_mark(log)                                        after some 10 ms without new records
 *     store_log_stop(log); store_log_close(log)                  the orderly end
 *
 * Another thread may call store_log_prepare_spare at any time; it shares nothing with the log but the
 * directory. Nobody else may use the directory: the caller holds a lock on the data folder.
 *
 * A failed write or sync is final: the log keeps the error, every later call returns it and writes nothing
 * (after a failed sync nobody knows what the disk has). The process should end; a new open reads what is there.
 *
 * Indexes: entries come with last index + 1, or with an index that the log has already, in a newer term: that
 * takes back everything from that index on (raft's truncation). Nothing is erased for it. */
#ifndef PANDO_STORE_LOG_H
#define PANDO_STORE_LOG_H

#include "daemon/store/store_file.h"
#include "schema/disk_gen.h"
#include "schema/runtime/rt_err.h"

#define STORE_LOG_ID_BYTES 16u

/* Key logSegmentBytes. */
#define STORE_LOG_SEGMENT_BYTES (64u << 20)
/* The smallest segment that holds one record of a kilobyte; for tests. */
#define STORE_LOG_SEGMENT_BYTES_MIN 8192u
#define STORE_LOG_SEGMENT_BYTES_MAX (1u << 30)

struct store_log;

struct store_log_record {
	uint8_t kind; /* enum disk_record_kind */
	uint64_t term;
	uint64_t index;
	struct rt_slice payload;
};

/* Called by store_log_open for every record, in the order of writing, hard states included. An ENTRY whose
 * index is not above that of the last ENTRY takes that one back, and all from its index on. The payload is valid during the
 * call. Nothing that it does may count before store_log_open has returned 0: damage may be found later.
 * Anything but 0 ends the recovery with that code. */
typedef int store_log_visit_fn(void *arg, const struct store_log_record *record);

struct store_log_ids {
	uint8_t ensemble_id[STORE_LOG_ID_BYTES];
	uint8_t folder_id[STORE_LOG_ID_BYTES];
	uint32_t server_id;
};

struct store_log_options {
	uint64_t segment_bytes; /* of segments made from now on, rounded down to 4096; 0: STORE_LOG_SEGMENT_BYTES */
	bool create;            /* begin a new log when there is none; otherwise that is PANDO_ENOENT */
	bool unsafe_no_sync;    /* tests only: a crash of the machine loses what was acknowledged */
	uint32_t seed;          /* random, from the system; see salt in disk.def */

	/* Of a log that is begun, and what an existing one must have, field by field unless all zero. */
	struct store_log_ids ids;
	/* Of a log that is begun: its first entry has begin_index + 1 (initialZxid). */
	uint64_t begin_index;
	/* What the caller has without the log (the state file): the log must reach back to this. 0: to its beginning. */
	uint64_t have_index;

	store_log_visit_fn *visit; /* may be NULL */
	void *arg;
};

/* How the log stands after store_log_open. */
struct store_log_tail {
	struct store_log_ids ids;   /* as on disk */
	bool created;               /* there was none */
	uint64_t first_index;       /* of the oldest entry that is kept, or would be */
	uint64_t last_index;        /* begin_index when there are no entries */
	uint64_t last_term;         /* of that entry; 0 when there are none */
	struct disk_hard_state hard_state; /* term 0 when there is none */
	uint32_t segments;
	uint64_t records;
	uint64_t bytes;             /* of batches read */
	uint64_t torn_bytes;        /* written but not synced when the server last ended, now cut off */
	uint64_t torn_offset;       /* in the last segment */
};

/* Opens the directory (made when options->create is set), reads the log back and leaves it ready to append. What it
 * found is durable when it returns: the part that nothing in the log confirms was written again and synced.
 *   PANDO_ENOENT   no log here, and options->create is not set
 *   PANDO_ECORRUPT damaged, missing or contradictory files: file, offset and index in the text
 *   PANDO_EFORMAT  a newer format
 *   PANDO_EINVAL   another ensemble's, server's or folder's log
 *   PANDO_EIO, PANDO_ENOSPC, PANDO_EACCES  of the system
 *   else           what visit returned; *ret_err is then untouched
 * *ret_log is the caller's, for store_log_close. fs must outlive it. Nothing on disk is changed on failure, but for
 * left-over temporary files and, when repairing the tail failed, that. */
__attribute__((warn_unused_result)) int store_log_open(const struct store_fs *fs, const char *path,
	const struct store_log_options *options, struct store_log **ret_log, struct store_log_tail *ret_tail,
	struct rt_err *ret_err);

/* Frees it; writes nothing. NULL is fine. */
void store_log_close(struct store_log *log);

/* Takes n records in order: payloads are copied, nothing is durable before store_log_flush (though some may be
 * written, and at a change of segment also synced). Asserts the order of indexes and terms.
 *   PANDO_ELIMIT   a payload above store_log_payload_max: none of the n was taken
 *   else           the log has failed */
__attribute__((warn_unused_result)) int store_log_append(struct store_log *log,
	const struct store_log_record *records, size_t n);

/* Raft's term and vote, as a record; not durable before store_log_flush. The term may not go back. */
__attribute__((warn_unused_result)) int store_log_hard_state(struct store_log *log,
	const struct disk_hard_state *hs);

/* Writes what was appended and syncs it. No work when there is nothing new. */
__attribute__((warn_unused_result)) int store_log_flush(struct store_log *log);

/* Writes a bare batch header that says that the last batch is durable, so that later damage to it is known to be
 * rot. Not synced: a mark that is lost only leaves that batch unconfirmed, as it was. Nothing to do, and
 * nothing done, when the last batch is confirmed already or newer records wait for their flush. */
__attribute__((warn_unused_result)) int store_log_mark(struct store_log *log);

/* Flush, mark, and a sync of the mark: for the orderly end. */
__attribute__((warn_unused_result)) int store_log_stop(struct store_log *log);

/* What made the log fail; code 0 while it has not. Lives as long as the log. */
const struct rt_err *store_log_error(const struct store_log *log);

/* The largest payload of a record in segments of this size, and in this log's. */
uint64_t store_log_payload_max_of(uint64_t segment_bytes);
uint64_t store_log_payload_max(const struct store_log *log);

struct store_log_status {
	uint64_t last_index;    /* appended */
	uint64_t durable_index; /* synced (with unsafe_no_sync: written) */
	uint64_t life;          /* of the segment that is written to; when it grows, a spare was used up */
	uint64_t segments;      /* in the directory */
	uint64_t batches;       /* written since the open, marks not counted */
	uint64_t syncs;
	uint64_t written_bytes;
	uint64_t spares_taken;  /* changes of segment that found one ready */
};
void store_log_status(const struct store_log *log, struct store_log_status *ret);

/* Makes a zero-filled, synced segment ready for the next change of segment, unless there is one of that size: 64 MiB of
 * writing, in slices with a sync each. For a thread that nobody waits for, one at a time, in a directory that store_log_open
 * has opened already. segment_bytes as in the options. A failure harms nothing: segments are then made when needed. */
__attribute__((warn_unused_result)) int store_log_prepare_spare(const struct store_fs *fs, const char *path,
	uint64_t segment_bytes, struct rt_err *ret_err);

#endif
