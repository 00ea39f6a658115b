/* The state file: the whole replicated state at one entry of the log, in a SQLite database
 * (state.db, and while it is open state.db-wal). Tables and columns are those of schema/disk.def;
 * pando-disk(7) tells of them.
 *
 *     store_db_open(path, &options, &db, &meta, &err)     reads the meta row, no other row
 *     store_db_load(db, &visitor, arg, &counts, &err)     every row: lists, sessions, nodes, by id
 *     store_db_write(db, cut, &err)                       one synced transaction, to the cut's mark
 *     store_db_checkpoint(db, truncate, &err)             from the WAL to the file proper, synced
 *     store_db_close(db)
 *
 * One thread at a time uses a db. Nobody else can open the file meanwhile: it stays locked.
 *
 * What is on the disk: a write that returned 0 is there after any crash, and what is there is
 * always the state at one write's mark, never a mixture. What the log may forget is less: the
 * checkpointed index (store_db_status), which does not hang on the WAL, whose damage SQLite takes
 * for its end. After an open it is 0 until the first store_db_checkpoint, which also makes durable
 * whatever a killed process had left in the WAL: do that soon.
 *
 * Every row carries the CRC-32C of its table's name and of its encoding (schema/disk_gen.h), key
 * included, so that no row can stand in for another. Rows that are missing altogether the digest in
 * the meta row shows.
 *
 * After an error: PANDO_ENOSPC took nothing; the same call may be made again later (a checkpoint
 * with truncate makes room). PANDO_EAGAIN likewise: pace had asked to stop. Anything else is final:
 * every later call returns it again, and the process should end, for after a failed write or sync
 * nobody knows what the disk has. A sync that fails for want of room is PANDO_EIO: it is the write
 * that may be refused, once it was taken in it must not be lost. */
#ifndef PANDO_STORE_DB_H
#define PANDO_STORE_DB_H

#include "daemon/store/store_fold.h"
#include "daemon/store/store_log.h"

#define STORE_DB_NAME "state.db"

/* Bytes written to a file before they are synced and pace is called. */
#define STORE_DB_SLICE_BYTES (256u << 10)
/* SQLite's cache. Writes go through a table in the order of its keys, so that only the inner pages
 * are used twice. */
#define STORE_DB_CACHE_KIB 8192
/* The WAL keeps this much of its room from one checkpoint to the next. */
#define STORE_DB_WAL_KEEP_BYTES 16777216

struct store_db;

/* Called between two slices of writing, by the thread that is in store_db_write or
 * store_db_checkpoint; it may sleep. bytes were written (and synced) since the last call. False:
 * give up, with PANDO_EAGAIN. */
typedef bool store_db_pace_fn(void *arg, uint64_t bytes);

struct store_db_options {
	/* A file that does not exist is made by the first write; otherwise that is PANDO_ENOENT. */
	bool create;
	/* Nothing in the folder is changed, locks included; a running server's is PANDO_EBUSY. */
	bool read_only;
	/* read_only; a damaged, foreign or newer meta row is no error: store_db_verify says so. */
	bool inspect;
	bool unsafe_no_sync; /* tests only */

	/* Of a file that is made, and what an existing one must have, field by field unless all
	 * zero. */
	struct store_log_ids ids;

	const char *vfs;        /* name of the SQLite VFS below; NULL: the operating system's */
	uint32_t slice_bytes;   /* 0: STORE_DB_SLICE_BYTES */
	uint32_t cache_kib;     /* 0: STORE_DB_CACHE_KIB */
	store_db_pace_fn *pace; /* may be NULL */
	void *pace_arg;
};

struct store_db_meta {
	bool found;            /* false: no file, or one whose first transaction never came to be */
	struct disk_meta meta; /* when found */
};

/* Opens path (the file, not its folder). *ret_db is the caller's for store_db_close.
 *   PANDO_ECORRUPT no database, another program's, or damaged: file, table and row in the text
 *   PANDO_EFORMAT  written by a newer program
 *   PANDO_EINVAL   another ensemble's, server's or folder's
 *   PANDO_EBUSY    in use by another process
 *   PANDO_EIO, PANDO_ENOSPC, PANDO_EACCES  of the system */
__attribute__((warn_unused_result)) int store_db_open(const char *path,
	const struct store_db_options *options, struct store_db **ret_db,
	struct store_db_meta *ret_meta, struct rt_err *ret_err);

/* Writes nothing: what is in the WAL stays there. NULL is fine. */
void store_db_close(struct store_db *db);

/* What store_db_load calls for each row; slices live during the call. Anything but 0 ends the load
 * with that code (and *ret_err is the callee's to fill). Any may be NULL. */
struct store_db_visitor {
	int (*list)(void *arg, const struct disk_acls *row);
	int (*session)(void *arg, const struct disk_sessions *row);
	int (*node)(void *arg, const struct disk_nodes *row);
};

struct store_db_counts {
	uint64_t lists;
	uint64_t sessions;
	uint64_t nodes;
	uint64_t bytes; /* of names, data and lists */
};

/* PANDO_ECORRUPT at the first row that is damaged or out of order: nothing that was visited may
 * then count. A db whose file was not found has no rows. */
__attribute__((warn_unused_result)) int store_db_load(struct store_db *db,
	const struct store_db_visitor *visitor, void *arg, struct store_db_counts *ret_counts,
	struct rt_err *ret_err);

/* Puts and deletes the cut's rows and moves the meta row to its mark, in one transaction that is
 * durable on return. Marks never go back (asserted). */
__attribute__((warn_unused_result)) int store_db_write(
	struct store_db *db, const struct store_cut *cut, struct rt_err *ret_err);

/* Copies what the WAL has to the file and syncs it: checkpointed_index is then written_index.
 * truncate: also gives all of the WAL's room back, for a full disk; otherwise it keeps
 * STORE_DB_WAL_KEEP_BYTES. No work when there is nothing to copy (or to give back). */
__attribute__((warn_unused_result)) int store_db_checkpoint(
	struct store_db *db, bool truncate, struct rt_err *ret_err);

struct store_db_status {
	uint64_t written_index; /* of the meta row, as committed; 0: no file yet */
	/* Of the file proper, synced: the log may forget up to this; 0: not known yet. */
	uint64_t checkpointed_index;
	uint64_t file_bytes;        /* of state.db, what waits in the WAL included */
	uint64_t free_bytes;        /* of these, in pages that are free for new rows */
	uint64_t wal_bytes;         /* size of state.db-wal */
	uint64_t wal_pending_bytes; /* of it, not checkpointed */

	/* Since the open. */
	uint64_t transactions;
	uint64_t rows_put;
	uint64_t rows_deleted;
	uint64_t checkpoints;
	uint64_t wal_written_bytes;
	uint64_t file_written_bytes;
	uint64_t syncs;
};
void store_db_status(const struct store_db *db, struct store_db_status *ret);

/* What made the db fail for good; code 0 while it has not. Lives as long as the db. */
const struct rt_err *store_db_error(const struct store_db *db);

/* A damaged thing that store_db_verify found. text names file, table, row and what is wrong. */
struct store_db_damage {
	const char *table; /* NULL: of the file as a whole */
	int64_t id;        /* of the row; 0: not of one row */
	const char *text;
};
typedef void store_db_report_fn(void *arg, const struct store_db_damage *damage);

/* Reads everything: SQLite's own integrity check, then every row's CRC, going on behind damage. For
 * a db that was opened with inspect (any will do). 0: all is well (the digest is the caller's to
 * compare); PANDO_ECORRUPT: damage was reported; else it could not be read. */
__attribute__((warn_unused_result)) int store_db_verify(struct store_db *db,
	store_db_report_fn *report, void *arg, struct store_db_counts *ret_counts,
	struct rt_err *ret_err);

/* Every row as a line of JSON without its end, tables in the order meta, acls, sessions, nodes:
 *     {"table":"nodes","id":2,"parent":1,"name":"app","data":"hello","acl":1, ... ,"crc":123}
 * Integers as SQL shows them (64 bits, signed). Names and data that are valid UTF-8 are strings;
 * other bytes are base64 under the column's name with _base64 behind it. Passwords, ids of ensemble
 * and folder: hexadecimal. The list of an acls row is base64 of its encoding. A row whose CRC is
 * wrong has "damaged":true at its end. */
typedef int store_db_line_fn(void *arg, struct rt_slice line);

/* Anything but 0 from line ends it with that code. Ends at the first thing that SQLite cannot
 * read. */
__attribute__((warn_unused_result)) int store_db_dump_rows(
	struct store_db *db, store_db_line_fn *line, void *arg, struct rt_err *ret_err);

#endif
