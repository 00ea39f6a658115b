/* What the files of the state file share; for this folder only. */
#ifndef PANDO_STORE_DB_INT_H
#define PANDO_STORE_DB_INT_H

#include "daemon/store/store_db.h"
#include "schema/runtime/rt_buf.h"

#include <sqlite3.h>

#define STORE_DB_APPLICATION_ID 0x70616e64 /* "pand", in SQLite's header */

#define STORE_DB_PAGE_BYTES 4096

/* Tables, for places in arrays: those of the fold and meta. */
#define STORE_DB_META STORE_TABLES
#define STORE_DB_TABLES (STORE_TABLES + 1)

struct store_db_table {
	const char *name;
	const char *sql;
	const char *columns; /* "id, ... , crc" */
	const char *scan;    /* see store_db_scan */
	const char *put;     /* up to where the values begin; see store_db_prepare_put */
	const char *drop;
};
extern const struct store_db_table store_db_tables[STORE_DB_TABLES];

/* The VFS between SQLite and the one below: counts, syncs and paces slices, keeps its hands off a
 * read-only folder, and remembers what failed. One for each db. */
struct store_db_vfs {
	sqlite3_vfs vfs;
	char name[40];
	sqlite3_vfs *below;
	sqlite3_file *wal; /* the one that is open, below; NULL for none */
	bool read_only;
	bool no_sync;
	bool stopped; /* pace said so, since this was last reset */
	uint64_t slice_bytes;
	uint64_t since; /* written since the last slice's end */
	store_db_pace_fn *pace;
	void *pace_arg;

	uint64_t wal_written_bytes;
	uint64_t file_written_bytes;
	uint64_t syncs;

	/* The first operation that failed since failed_what was reset. */
	const char *failed_what; /* NULL: none */
	const char *failed_file; /* the end of its name: "", "-wal" */
	int64_t failed_offset;
	int failed_errno;
	/* Whatever the reason: what was written before may be lost, and no retry writes all of it
	 * again (SQLite leaves a little behind a commit for the next sync). */
	bool failed_sync;
};

/* Registers it; NULL when there is no VFS of the options' name. */
struct store_db_vfs *store_db_vfs_new(const struct store_db_options *options);
/* No connection may use it any more. NULL is fine. */
void store_db_vfs_free(struct store_db_vfs *v);
/* Size of the open WAL, 0 for none. */
uint64_t store_db_vfs_wal_bytes(const struct store_db_vfs *v);
/* Makes the open WAL no longer than that. Only room is lost when that fails. */
void store_db_vfs_cut_wal(struct store_db_vfs *v, uint64_t bytes);

/* A row of a scan, its columns as the table's definition has them; valid during the call. Anything
 * but 0 ends the scan. */
typedef int store_db_row_fn(void *arg, sqlite3_value **columns, int count);

struct store_db_ref {
	int64_t id;
	const struct store_row *row;
};

struct store_db {
	char *path;
	struct store_db_options options;
	struct store_db_vfs *vfs;
	sqlite3 *sql; /* NULL: there is no file yet */
	struct rt_err err;
	bool found;
	struct disk_meta meta; /* as committed; when found */
	struct store_db_status status;
	uint64_t wal_frames; /* of the WAL, not checkpointed; after an open at most so many */
	uint64_t wal_end; /* bytes of the WAL that a commit has ended in; behind them is nothing */

	store_db_row_fn *row; /* of the scan that goes on */
	void *row_arg;
	int row_rc; /* what it ended the scan with */

	sqlite3_stmt *put[STORE_DB_TABLES];
	sqlite3_stmt *drop[STORE_DB_TABLES];
	uint32_t crc_of_name[STORE_DB_TABLES];

	struct rt_buf scratch;     /* a row's encoding, of which the CRC is made */
	struct store_db_ref *refs; /* of the cut that is written, in order */
	size_t refs_cap;
};

/* Fills *ret_err with what SQLite says and keeps it in the db when it is final; returns the
 * PANDO_E... code. */
int store_db_fail(struct store_db *db, int rc, const char *what, struct rt_err *ret_err);
/* PANDO_ECORRUPT at a row, with what to do; id 0: of the table. Final. */
int store_db_damaged(struct store_db *db, const char *table, int64_t id, const char *what,
	struct rt_err *ret_err);
/* What to do about a damaged file, as the end of a message. */
extern const char store_db_remedy[];

/* A connection with its settings; checks nothing but that it is a database. create: makes the file,
 * in WAL mode. */
int store_db_connect(struct store_db *db, bool create, struct rt_err *ret_err);
void store_db_disconnect(struct store_db *db);
void store_db_drop_statements(struct store_db *db);
/* what is being tried, for the message. */
int store_db_exec(struct store_db *db, const char *sql, const char *what, struct rt_err *ret_err);
/* The one number that a query gives; *ret untouched on failure. Returns SQLite's code. */
int store_db_number(struct store_db *db, const char *sql, int64_t *ret);
/* Prepares; returns SQLite's code. */
int store_db_prepare(struct store_db *db, const char *sql, sqlite3_stmt **ret);
/* Brings sizes up to date. */
void store_db_measure(struct store_db *db);

/* Calls fn with every row of the table from id `from` on, in the order of ids. The rows go through
 * a function of SQL's rather than out of sqlite3_step, which takes two thirds of the time for wide
 * rows. Returns SQLITE_OK at the table's end, another code of SQLite's when it could not go on, or
 * SQLITE_ABORT with what fn returned in *ret_stop. */
int store_db_scan(struct store_db *db, int table, int64_t from, store_db_row_fn *fn, void *arg,
	int *ret_stop);

/* A table's statement to put a row; returns SQLite's code. */
int store_db_prepare_put(struct store_db *db, int table, sqlite3_stmt **ret);

/* Rows: to a put statement with their CRC, and from a scan. Reading returns NULL, or what is wrong
 * with the row, whose id is then in *ret all the same. */
void store_db_bind_meta(struct store_db *db, sqlite3_stmt *s, const struct disk_meta *row);
void store_db_bind_list(struct store_db *db, sqlite3_stmt *s, const struct disk_acls *row);
void store_db_bind_session(struct store_db *db, sqlite3_stmt *s, const struct disk_sessions *row);
void store_db_bind_node(struct store_db *db, sqlite3_stmt *s, const struct disk_nodes *row);
const char *store_db_read_meta(struct store_db *db, sqlite3_value **v, struct disk_meta *ret);
const char *store_db_read_list(struct store_db *db, sqlite3_value **v, struct disk_acls *ret);
const char *store_db_read_session(
	struct store_db *db, sqlite3_value **v, struct disk_sessions *ret);
const char *store_db_read_node(struct store_db *db, sqlite3_value **v, struct disk_nodes *ret);
/* Any table's row, only to know what is wrong with it. */
const char *store_db_read_any(struct store_db *db, int table, sqlite3_value **v);
/* A column's bytes, text and binary alike. */
struct rt_slice store_db_slice(sqlite3_value *v);

/* The function of SQL's that scans use; returns SQLite's code. */
int store_db_add_function(struct store_db *db);

#endif
