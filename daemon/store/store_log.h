/* The log: a directory of preallocated segments that hold batches of records; pando-disk(7)
 * gives every byte.
 *
 * One thread uses a log (the log thread):
 *
 *     store_log_open(fs, path, &options, &log, &tail, &err)  all is read back through visit
 *     store_log_append(log, records, n)                      into the batch buffer, no sync
 *     store_log_hard_state(log, &hs)                         likewise; term and vote
 *     store_log_flush(log)                                   synced: now it may be acknowledged
 *     store_log_mark(log)                                    after some 10 ms without new records
 *     store_log_recycle(log, upto, retain, pin, &more)       after a checkpoint of the state file
 *     store_log_stop(log); store_log_close(log)              the orderly end
 *
 * Another thread may call store_log_prepare_spare at any time; it shares nothing with the log
 * but the directory. Nobody else may use the directory: the caller holds a lock on the data
 * folder.
 *
 * A failed write or sync is final: the log keeps the error, every later call returns it and
 * writes nothing (after a failed sync nobody knows what the disk has). The process should end; a
 * new open reads what is there. One failure is not: PANDO_ENOSPC with store_log_failed false, see
 * store_log_append.
 *
 * The folder's size: after a store_log_recycle that told of no more to do, the segments are less
 * than two beyond retain_bytes, or beyond what is not yet checkpointed or is pinned when that is
 * more; beside them are at most STORE_LOG_SPARES_MAX + 1 spares of a segment's size, the one in
 * the making included. The state file comes on top.
 *
 * Indexes: entries come with last index + 1, or with an index that the log has already, in a
 * newer term: that takes back everything from that index on (raft's truncation). Nothing is
 * erased for it. */
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
/* Key logRetainBytes. */
#define STORE_LOG_RETAIN_BYTES (1u << 30)
/* Recycling keeps so many files for the changes of segment to come; the rest is removed. */
#define STORE_LOG_SPARES_MAX 4u

struct store_log;

struct store_log_record {
	uint8_t kind; /* enum disk_record_kind */
	uint64_t term;
	uint64_t index;
	struct rt_slice payload;
};

/* Called by store_log_open for every record, in the order of writing, hard states included. An
 * ENTRY whose index is not above that of the last ENTRY takes that one back, and all from its
 * index on. This may go below the first index that was visited, to have_index + 1 or less (the
 * segments that held the entries taken back were recycled); so an entry up to have_index may come
 * late, and also then takes back all behind it. The payload is valid during the call.
 * Nothing that it does may count before
 * store_log_open has returned 0: damage may be found later. Anything but 0 ends the recovery
 * with that code. */
typedef int store_log_visit_fn(void *arg, const struct store_log_record *record);

struct store_log_ids {
	uint8_t ensemble_id[STORE_LOG_ID_BYTES];
	uint8_t folder_id[STORE_LOG_ID_BYTES];
	uint32_t server_id;
};

struct store_log_options {
	/* Of segments made from now on, rounded down to 4096; 0: STORE_LOG_SEGMENT_BYTES. */
	uint64_t segment_bytes;
	bool create; /* begin a new log when there is none; otherwise that is PANDO_ENOENT */
	bool unsafe_no_sync; /* tests only: a crash of the machine loses what was acknowledged */
	uint32_t seed;       /* random, from the system; see salt in disk.def */

	/* Of a log that is begun, and what an existing one must have, field by field unless all
	 * zero. */
	struct store_log_ids ids;
	/* Of a log that is begun: its first entry has begin_index + 1 (initialZxid). */
	uint64_t begin_index;
	/* What the caller has without the log (the state file), and that entry's term (0: not
	 * compared). The log must begin at or before the entry behind it and may not end before
	 * it: so the state file may only have what store_log_flush has made durable. An entry up
	 * to have_index that does not stand up is rot, whatever the log itself confirms. 0: the
	 * log must reach back to its beginning, and may be begun. */
	uint64_t have_index;
	uint64_t have_term;

	store_log_visit_fn *visit; /* may be NULL */
	void *arg;
};

/* How the log stands after store_log_open. */
struct store_log_tail {
	struct store_log_ids ids;          /* as on disk */
	bool created;                      /* there was none */
	uint64_t first_index;              /* of the oldest entry that is kept, or would be */
	uint64_t last_index;               /* begin_index when there are no entries */
	uint64_t last_term;                /* of that entry; 0 when there are none */
	struct disk_hard_state hard_state; /* term 0 when there is none */
	uint32_t segments;
	uint64_t records;
	uint64_t bytes;       /* of batches read */
	uint64_t torn_bytes;  /* written but not synced when the server last ended, now cut off */
	uint64_t torn_offset; /* in the last segment */
};

/* Opens the directory (made when options->create is set and have_index is 0), reads the log back
 * and leaves it ready to append. What it found is durable when it returns: the part that nothing
 * in the log confirms was written again and synced, in place. Only the beginning of a new log
 * needs room on the disk.
 *   PANDO_ENOENT   no log here, and options->create is not set; never with a have_index
 *   PANDO_ECORRUPT damaged, missing or contradictory files, or a gap to the state file: file,
 *                  offset and index in the text
 *   PANDO_EFORMAT  a newer format
 *   PANDO_EINVAL   another ensemble's, server's or folder's log
 *   PANDO_EIO, PANDO_ENOSPC, PANDO_EACCES  of the system
 *   else           what visit returned; *ret_err is then untouched
 * *ret_log is the caller's, for store_log_close. fs must outlive it. Nothing on disk is changed
 * on failure, but for left-over temporary files and, when repairing the tail failed, that. Spares
 * of another size than options->segment_bytes are removed. */
__attribute__((warn_unused_result)) int store_log_open(const struct store_fs *fs, const char *path,
	const struct store_log_options *options, struct store_log **ret_log,
	struct store_log_tail *ret_tail, struct rt_err *ret_err);

/* Frees it; writes nothing. NULL is fine. */
void store_log_close(struct store_log *log);

/* Takes n records in order: payloads are copied, nothing is durable before store_log_flush
 * (though some may be written, and at a change of segment also synced). Asserts the order of
 * indexes and terms.
 *   PANDO_ELIMIT   a payload above store_log_payload_max: none of the n was taken
 *   PANDO_ENOSPC   and store_log_failed is false: the segment is full, there is no spare, and no
 *                  room for a new segment. What was taken until now, some of the n perhaps
 *                  (store_log_status: entries), is whole and synced; the record that did not
 *                  fit, and those behind it, were not taken. The log goes on working: recycle
 *                  with a smaller retain_bytes, or make room, and append the rest again. Growth
 *                  should have been refused before, see store_log_room.
 *   else           the log has failed */
__attribute__((warn_unused_result)) int store_log_append(
	struct store_log *log, const struct store_log_record *records, size_t n);

/* Raft's term and vote, as a record; not durable before store_log_flush. The term may not go
 * back. PANDO_ENOSPC as with store_log_append. */
__attribute__((warn_unused_result)) int store_log_hard_state(
	struct store_log *log, const struct disk_hard_state *hs);

/* Writes what was appended and syncs it. No work when there is nothing new. */
__attribute__((warn_unused_result)) int store_log_flush(struct store_log *log);

/* Writes a bare batch header that says that the last batch is durable, so that later damage to
 * it is known to be rot. Not synced: a mark that is lost only leaves that batch unconfirmed, as
 * it was. Nothing to do, and nothing done, when the last batch is confirmed already or newer
 * records wait for their flush. */
__attribute__((warn_unused_result)) int store_log_mark(struct store_log *log);

/* Flush, mark, and a sync of the mark: for the orderly end. */
__attribute__((warn_unused_result)) int store_log_stop(struct store_log *log);

/* Lets go of the oldest segment: it becomes a spare, or is removed when there are enough. Only
 * when each of its entries is up to upto_index (what the state file has for certain: checkpointed
 * and synced), below pin_index (what a transfer still needs; 0: nothing), and there are
 * retain_bytes of newer log; and never the segment that is written to. One file and one sync of
 * the directory at a time, so that it can be done between two flushes; *ret_more (may be NULL):
 * call again. After a crash at any point the log begins at that segment or at the next.
 *   PANDO_ENOSPC   and store_log_failed is false: the filesystem is too full even for this;
 *                  nothing was done
 *   else           the log has failed */
__attribute__((warn_unused_result)) int store_log_recycle(struct store_log *log,
	uint64_t upto_index, uint64_t retain_bytes, uint64_t pin_index, bool *ret_more);

/* Bytes, records' headers included, that can be appended without new room on the disk: the rest
 * of the segment and the spares, of which *ret_spares (may be NULL) tells the number. A record
 * that does not fit into a segment's rest leaves that unused. Below one spare the caller should
 * have store_log_prepare_spare make one, and while that is refused for want of room
 * (PANDO_ENOSPC) let nothing grow: that spare is the reserve in which deletes and sessions go
 * on. */
uint64_t store_log_room(struct store_log *log, uint32_t *ret_spares);

/* What the last call that failed had to say; code 0 when none has. Once the log has failed, that
 * which made it. Lives as long as the log. */
const struct rt_err *store_log_error(const struct store_log *log);
/* True: only store_log_close is left. */
bool store_log_failed(const struct store_log *log);

/* The largest payload of a record in segments of this size, and in this log's. */
uint64_t store_log_payload_max_of(uint64_t segment_bytes);
uint64_t store_log_payload_max(const struct store_log *log);

struct store_log_status {
	uint64_t last_index;    /* appended */
	uint64_t durable_index; /* synced (with unsafe_no_sync: written) */
	uint64_t life; /* of the segment that is written to; when it grows, a spare was used up */
	uint64_t entries;     /* appended since the open */
	uint64_t segments;    /* in the directory, spares not counted */
	uint64_t first_index; /* the log has all entries from this one on, those taken back too */
	uint64_t bytes;       /* of the segments' files and of the recycled spares */
	uint64_t recycled;    /* segments let go of since the open */
	uint64_t batches;     /* written since the open, marks not counted */
	uint64_t syncs;
	uint64_t written_bytes;
	uint64_t spares_taken; /* changes of segment that found one ready */
};
void store_log_status(const struct store_log *log, struct store_log_status *ret);

/* Makes a zero-filled, synced segment ready for the next change of segment, unless there is one
 * of that size, made here or recycled: 64 MiB of writing, in slices with a sync each. For a
 * thread that nobody waits for, one at a time, in a directory that store_log_open has opened
 * already. segment_bytes as in the options. A failure harms nothing, and leaves nothing on the
 * disk: segments are then made when needed. After PANDO_ENOSPC try again later. */
__attribute__((warn_unused_result)) int store_log_prepare_spare(const struct store_fs *fs,
	const char *path, uint64_t segment_bytes, struct rt_err *ret_err);

/* ---- verification ---- */

enum store_log_report_kind {
	STORE_LOG_REPORT_SEGMENT, /* a segment was read; damage found in it is told on its own */
	STORE_LOG_REPORT_SPARE,   /* a spare, or a file in the making: its contents mean nothing */
	STORE_LOG_REPORT_TORN,    /* a torn tail, which a start cuts off: harmless */
	STORE_LOG_REPORT_DAMAGE   /* a start is refused */
};

struct store_log_report {
	enum store_log_report_kind kind;
	const char *file;    /* name in the folder */
	uint64_t file_bytes; /* SEGMENT, SPARE: its size */

	/* SEGMENT: what stands up in it */
	uint64_t life;
	uint64_t first_index; /* lowest index of its entries; 0 for none */
	uint64_t last_index;  /* of the last entry in it, or before it */
	uint64_t records;
	uint64_t bytes; /* of batches */

	/* TORN, DAMAGE */
	int code;        /* what store_log_open returns for it; 0 for TORN */
	uint64_t offset; /* in the file */
	uint64_t index;  /* of the first entry that it concerns; 0 when that is not known */
	uint64_t torn_bytes;
	const char *text; /* as in store_log_open's error */
};

/* Called in the order of lives; the text is valid during the call. */
typedef void store_log_report_fn(void *arg, const struct store_log_report *report);

/* Reads a log as store_log_open does, by the same code, but changes nothing, opens no file for
 * writing, and goes on behind damage with the next segment: visit may see gaps. Of options it
 * takes ids, have_index, have_term, visit and arg. report must not be NULL.
 *   0              store_log_open would take it
 *   PANDO_...      what store_log_open would return, with the same text: for the first of the
 *                  damages. What visit returned, when that ended it.
 * ret_tail is as far as it was found. No server may be writing to the folder. */
__attribute__((warn_unused_result)) int store_log_verify(const struct store_fs *fs,
	const char *path, const struct store_log_options *options, store_log_report_fn *report,
	void *report_arg, struct store_log_tail *ret_tail, struct rt_err *ret_err);

#endif
