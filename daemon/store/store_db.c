/* Opening the state file, its connection and its errors. See store_db.h; the tables' codec is
 * store_db_rows.c.
 *
 * Life of the file: nothing -> an empty database in WAL mode (store_db_connect with create) -> the
 * first transaction, which makes the tables too. A crash before its commit leaves a database
 * without tables: not found, made anew. */
#include "daemon/store/store_db_int.h"

#include <errno.h>

#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_mem.h"

/* Of an encoded row: SQLite's own limit of a row. */
#define SCRATCH_BYTES (1u << 30)

/* Of SQLite's format, for pages of our size; with another, not of our making, only estimates. */
#define WAL_HEADER_BYTES 32u
#define WAL_FRAME_BYTES (24u + STORE_DB_PAGE_BYTES)

const char store_db_remedy[] =
	"; do not write to this folder: keep a copy, see what --check-data says of it, and "
	"restore a backup";

static int code_of(struct store_db *db, int rc)
{
	int sys = db->vfs->failed_what != NULL ? db->vfs->failed_errno : 0;
	bool full = (sys == ENOSPC || sys == EDQUOT) && !db->vfs->failed_sync;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return PANDO_ENOSPC;
	case SQLITE_IOERR:
		if (rc == SQLITE_IOERR_NOMEM)
			break;
		return full ? PANDO_ENOSPC : PANDO_EIO;
	case SQLITE_CANTOPEN:
		return full                            ? PANDO_ENOSPC
		       : sys == EACCES || sys == EROFS ? PANDO_EACCES
						       : PANDO_EIO;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return PANDO_EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return PANDO_EBUSY;
	case SQLITE_INTERRUPT:
		return PANDO_EAGAIN;
	case SQLITE_NOMEM:
		break;
	default: /* NOTADB, CORRUPT; and whatever a damaged schema may lead to */
		return PANDO_ECORRUPT;
	}
	rt_panic(__FILE__, __LINE__, "out of memory");
}

static const char *hint_of(int code)
{
	switch (code) {
	case PANDO_ENOSPC:
		return "; make room on its file system";
	case PANDO_EBUSY:
		return "; another process has it open: stop that one first";
	case PANDO_EACCES:
		return "; see to its owner and permissions";
	case PANDO_ECORRUPT:
		return store_db_remedy;
	default:
		return "";
	}
}

static void keep_error(struct store_db *db, const struct rt_err *err)
{
	if (err->code != PANDO_ENOSPC && err->code != PANDO_EAGAIN && db->err.code == 0)
		db->err = *err;
}

int store_db_fail(struct store_db *db, int rc, const char *what, struct rt_err *ret_err)
{
	struct rt_err err = { 0 };
	const struct store_db_vfs *v = db->vfs;
	int code = code_of(db, rc);
	const char *text = db->sql != NULL ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc);
	if (code == PANDO_EAGAIN) {
		(void)rt_err_set(&err, code, "%s: %s: stopped", db->path, what);
	} else if (v->failed_what != NULL && (code == PANDO_EIO || code == PANDO_ENOSPC)) {
		int sys = v->failed_errno;
		(void)rt_err_set(&err, code, "%s%s: cannot %s at byte %lld: %s (%s; %s)%s",
			db->path, v->failed_file, v->failed_what, (long long)v->failed_offset,
			sys != 0 ? store_file_text(-sys) : sqlite3_errstr(rc), what, text,
			hint_of(code));
	} else {
		(void)rt_err_set(&err, code, "%s: %s: %s%s", db->path, what, text, hint_of(code));
	}
	keep_error(db, &err);
	if (ret_err != NULL)
		*ret_err = err;
	return code;
}

int store_db_damaged(struct store_db *db, const char *table, int64_t id, const char *what,
	struct rt_err *ret_err)
{
	struct rt_err err = { 0 };
	if (id != 0)
		(void)rt_err_set(&err, PANDO_ECORRUPT, "%s: table %s, row %lld: %s%s", db->path,
			table, (long long)id, what, store_db_remedy);
	else
		(void)rt_err_set(&err, PANDO_ECORRUPT, "%s: table %s: %s%s", db->path, table, what,
			store_db_remedy);
	keep_error(db, &err);
	if (ret_err != NULL)
		*ret_err = err;
	return PANDO_ECORRUPT;
}

int store_db_prepare(struct store_db *db, const char *sql, sqlite3_stmt **ret)
{
	*ret = NULL;
	return sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL);
}

int store_db_exec(struct store_db *db, const char *sql, const char *what, struct rt_err *ret_err)
{
	int rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : store_db_fail(db, rc, what, ret_err);
}

int store_db_number(struct store_db *db, const char *sql, int64_t *ret)
{
	sqlite3_stmt *s;
	int rc = store_db_prepare(db, sql, &s);
	if (rc == SQLITE_OK) {
		rc = sqlite3_step(s);
		if (rc == SQLITE_ROW) {
			*ret = sqlite3_column_int64(s, 0);
			rc = SQLITE_OK;
		} else if (rc == SQLITE_DONE) {
			rc = SQLITE_ERROR;
		}
	}
	(void)sqlite3_finalize(s);
	return rc;
}

static int committed(void *arg, sqlite3 *sql, const char *name, int frames)
{
	struct store_db *db = arg;
	db->wal_frames = (uint64_t)frames;
	db->wal_end = WAL_HEADER_BYTES + db->wal_frames * WAL_FRAME_BYTES;
	return SQLITE_OK;
}

void store_db_drop_statements(struct store_db *db)
{
	for (size_t i = 0; i < STORE_DB_TABLES; i++) {
		(void)sqlite3_finalize(db->put[i]);
		(void)sqlite3_finalize(db->drop[i]);
		db->put[i] = db->drop[i] = NULL;
	}
}

void store_db_disconnect(struct store_db *db)
{
	store_db_drop_statements(db);
	(void)sqlite3_close(db->sql);
	db->sql = NULL;
}

#define TEXT_OF(x) #x
#define STRING_OF(x) TEXT_OF(x)

/* Settings of every connection; none of them reads the file. */
static int settle(struct store_db *db, struct rt_err *ret_err)
{
	(void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
	(void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
	(void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, (int *)NULL);
	(void)sqlite3_db_config(db->sql, SQLITE_DBCONFIG_ENABLE_VIEW, 0, (int *)NULL);
	/* clang-format off */
	static const char settings[] =
		"PRAGMA locking_mode = EXCLUSIVE;"
		"PRAGMA synchronous = FULL;"
		"PRAGMA wal_autocheckpoint = 0;"
		"PRAGMA cache_size = -%u;"
		"PRAGMA mmap_size = 0;" /* a read error must be an error, not a signal */
		"PRAGMA temp_store = MEMORY;"
		"PRAGMA secure_delete = OFF;"
		"PRAGMA foreign_keys = OFF;"
		"PRAGMA cell_size_check = ON;";
	/* clang-format on */
	char text[sizeof settings + 20];
	uint32_t cache = db->options.cache_kib != 0 ? db->options.cache_kib : STORE_DB_CACHE_KIB;
	(void)sqlite3_snprintf((int)sizeof text, text, settings, cache);
	return store_db_exec(db, text, "settings", ret_err);
}

/* In exclusive mode the rollback journal, which only the change to WAL mode needs, stays behind:
 * emptied, synced, and in nobody's way; but it is not one of our files. */
static int drop_journal(struct store_db *db, struct rt_err *ret_err)
{
	size_t len = strlen(db->path);
	char *name = rt_alloc(len + sizeof "-journal");
	memcpy(name, db->path, len);
	memcpy(name + len, "-journal", sizeof "-journal");
	int rc = db->vfs->vfs.xDelete(
		&db->vfs->vfs, name, 1); /* which makes the new file's name durable too */
	rt_free(name);
	if (rc == SQLITE_OK || rc == SQLITE_IOERR_DELETE_NOENT)
		return 0;
	return store_db_fail(db, rc, "cannot remove the journal of its making", ret_err);
}

static int connect_once(struct store_db *db, int flags, struct rt_err *ret_err)
{
	flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(db->path, &db->sql, flags, db->vfs->name);
	if (db->sql == NULL)
		rt_panic(__FILE__, __LINE__, "out of memory");
	if (rc == SQLITE_OK)
		rc = store_db_add_function(db);
	return rc != SQLITE_OK ? store_db_fail(db, rc, "open", ret_err) : settle(db, ret_err);
}

static int make_file(struct store_db *db, struct rt_err *ret_err)
{
	int rc = connect_once(db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, ret_err);
	if (rc == 0)
		rc = store_db_exec(db,
			"PRAGMA page_size = " STRING_OF(
				STORE_DB_PAGE_BYTES) ";"
						     "PRAGMA auto_vacuum = NONE;"
						     "PRAGMA encoding = 'UTF-8';"
						     "PRAGMA journal_mode = WAL;",
			"cannot make the file", ret_err);
	store_db_disconnect(db);
	return rc == 0 ? drop_journal(db, ret_err) : rc;
}

int store_db_connect(struct store_db *db, bool create, struct rt_err *ret_err)
{
	ASSERT(db->sql == NULL);
	db->vfs->failed_what = NULL;
	int rc = create ? make_file(db, ret_err) : 0;
	if (rc != 0)
		return rc;
	rc = connect_once(
		db, db->vfs->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, ret_err);
	if (rc == 0)
		rc = store_db_exec(db,
			"PRAGMA journal_size_limit = " STRING_OF(STORE_DB_WAL_KEEP_BYTES),
			"settings", ret_err);
	if (rc != 0)
		store_db_disconnect(db);
	else
		(void)sqlite3_wal_hook(db->sql, committed, db);
	return rc;
}

void store_db_measure(struct store_db *db)
{
	int64_t page = 0, pages = 0, free = 0;
	struct store_db_status *st = &db->status;
	if (db->sql == NULL)
		return;
	(void)store_db_number(db, "PRAGMA page_size", &page);
	(void)store_db_number(db, "PRAGMA page_count", &pages);
	(void)store_db_number(db, "PRAGMA freelist_count", &free);
	st->file_bytes = (uint64_t)(pages * page);
	st->free_bytes = (uint64_t)(free * page);
	st->wal_bytes = store_db_vfs_wal_bytes(db->vfs);
	st->wal_pending_bytes = db->wal_frames * WAL_FRAME_BYTES;
}

void store_db_status(const struct store_db *db, struct store_db_status *ret)
{
	*ret = db->status;
	ret->written_index = db->found ? db->meta.applied_index : 0;
	ret->wal_written_bytes = db->vfs->wal_written_bytes;
	ret->file_written_bytes = db->vfs->file_written_bytes;
	ret->syncs = db->vfs->syncs;
}

const struct rt_err *store_db_error(const struct store_db *db) { return &db->err; }

/* Whether it is ours at all, and has tables. */
static int look_at_header(
	struct store_db *db, bool *ret_empty, int64_t *ret_version, struct rt_err *ret_err)
{
	int64_t app = 0, objects = 0;
	int rc = store_db_number(db, "PRAGMA application_id", &app);
	if (rc == SQLITE_OK)
		rc = store_db_number(db, "PRAGMA user_version", ret_version);
	if (rc == SQLITE_OK)
		rc = store_db_number(db, "SELECT count(*) FROM sqlite_schema", &objects);
	if (rc != SQLITE_OK)
		return store_db_fail(db, rc, "cannot read the header", ret_err);
	*ret_empty = app == 0 && *ret_version == 0 && objects == 0;
	if (*ret_empty || app == STORE_DB_APPLICATION_ID)
		return 0;
	return rt_err_set(ret_err, PANDO_ECORRUPT,
		"%s: not a state file of pando (application id %lld)%s", db->path, (long long)app,
		store_db_remedy);
}

/* The text of every table's definition, letter by letter; what else there is does not matter. */
static int look_at_tables(struct store_db *db, struct rt_err *ret_err)
{
	sqlite3_stmt *s;
	bool seen[STORE_DB_TABLES] = { false };
	int rc = store_db_prepare(db, "SELECT name, sql FROM sqlite_schema", &s);
	while (rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(s, 0);
		const char *sql = (const char *)sqlite3_column_text(s, 1);
		for (size_t i = 0; name != NULL && sql != NULL && i < STORE_DB_TABLES; i++)
			if (strcmp(store_db_tables[i].name, name) == 0)
				seen[i] = strcmp(store_db_tables[i].sql, sql) == 0;
	}
	if (rc == SQLITE_OK)
		rc = sqlite3_reset(s);
	if (rc != SQLITE_OK)
		rc = store_db_fail(db, rc, "cannot read the schema", ret_err);
	for (size_t i = 0; rc == 0 && i < STORE_DB_TABLES; i++)
		if (!seen[i])
			rc = store_db_damaged(db, store_db_tables[i].name, 0,
				"missing, or not defined as it should be", ret_err);
	(void)sqlite3_finalize(s);
	return rc;
}

struct meta_row {
	struct store_db *db;
	uint64_t rows;
	const char *wrong;
};

static int take_meta(void *arg, sqlite3_value **columns, int count)
{
	struct meta_row *m = arg;
	if (++m->rows > 1)
		m->wrong = "one row too many";
	else
		m->wrong = store_db_read_meta(m->db, columns, &m->db->meta);
	if (m->wrong == NULL && m->db->meta.id != 1)
		m->wrong = "not the row that should be there";
	return m->wrong != NULL;
}

static int look_at_meta(struct store_db *db, struct rt_err *ret_err)
{
	struct meta_row m = { .db = db };
	int stop = 0;
	int rc = store_db_scan(db, STORE_DB_META, INT64_MIN, take_meta, &m, &stop);
	if (m.wrong == NULL && rc != SQLITE_OK)
		return store_db_fail(db, rc, "cannot read table meta", ret_err);
	if (m.rows == 0)
		m.wrong = "missing";
	return m.wrong != NULL ? store_db_damaged(db, "meta", 1, m.wrong, ret_err) : 0;
}

static bool id_differs(const uint8_t *is, const uint8_t *should)
{
	static const uint8_t any[STORE_LOG_ID_BYTES];
	return memcmp(should, any, sizeof any) != 0 && memcmp(is, should, sizeof any) != 0;
}

static int look_at_ids(const struct store_db *db, struct rt_err *ret_err)
{
	const struct disk_meta *m = &db->meta;
	const struct store_log_ids *ids = &db->options.ids;
	const char *whose = NULL;
	if (id_differs(m->ensemble_id, ids->ensemble_id))
		whose = "ensemble";
	else if (ids->server_id != 0 && m->server_id != ids->server_id)
		whose = "server";
	else if (id_differs(m->folder_id, ids->folder_id))
		whose = "data folder";
	if (whose == NULL)
		return 0;
	return rt_err_set(ret_err, PANDO_EINVAL,
		"%s: belongs to another %s (it is of server %u); do not mix files of different "
		"folders: put back the one that was here",
		db->path, whose, m->server_id);
}

static int newer(const struct store_db *db, const char *what, int64_t is, int64_t known,
	struct rt_err *ret_err)
{
	return rt_err_set(ret_err, PANDO_EFORMAT,
		"%s: written by a newer program (%s %lld, known up to %lld); start that one, or "
		"restore a backup",
		db->path, what, (long long)is, (long long)known);
}

static int look_at(struct store_db *db, bool *ret_empty, struct rt_err *ret_err)
{
	int64_t version = 0;
	int rc = look_at_header(db, ret_empty, &version, ret_err);
	if (rc != 0 || *ret_empty)
		return rc;
	/* a newer format may have other tables; a meta row of ours in it says that it is only the
	 * header's damage */
	rc = look_at_tables(db, ret_err);
	if (rc == 0)
		rc = look_at_meta(db, ret_err);
	bool damaged_version = rc == 0 && version != DISK_STATE_FORMAT &&
			       db->meta.format == DISK_STATE_FORMAT;
	if (damaged_version)
		return rt_err_set(ret_err, PANDO_ECORRUPT,
			"%s: header: format %lld, but the meta row has %u%s", db->path,
			(long long)version, db->meta.format, store_db_remedy);
	if (version > DISK_STATE_FORMAT) {
		db->err.code = 0;
		return newer(db, "format", version, DISK_STATE_FORMAT, ret_err);
	}
	if (rc != 0)
		return rc;
	if (db->meta.format > DISK_STATE_FORMAT)
		return newer(db, "format", db->meta.format, DISK_STATE_FORMAT, ret_err);
	if (db->meta.level > DISK_LEVEL)
		return newer(db, "level", db->meta.level, DISK_LEVEL, ret_err);
	return look_at_ids(db, ret_err);
}

static int check_mode(struct store_db *db, struct rt_err *ret_err)
{
	sqlite3_stmt *s;
	int rc = store_db_prepare(db, "PRAGMA journal_mode", &s);
	if (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		const char *mode = (const char *)sqlite3_column_text(s, 0);
		rc = mode != NULL && strcmp(mode, "wal") == 0 ? SQLITE_OK : SQLITE_NOTADB;
	}
	(void)sqlite3_finalize(s);
	if (rc == SQLITE_OK)
		return 0;
	if (rc == SQLITE_NOTADB)
		return rt_err_set(ret_err, PANDO_ECORRUPT, "%s: header: not in WAL mode%s",
			db->path, store_db_remedy);
	return store_db_fail(db, rc, "cannot read the header", ret_err);
}

/* Opens a file that is there. */
static int open_file(struct store_db *db, struct rt_err *ret_err)
{
	bool empty = false;
	int rc = store_db_connect(db, false, ret_err);
	if (rc != 0)
		return rc;
	rc = look_at(db, &empty, ret_err);
	if (rc == 0 && !empty)
		rc = check_mode(db, ret_err);
	if (rc != 0 && db->options.inspect &&
		(rc == PANDO_ECORRUPT || rc == PANDO_EINVAL || rc == PANDO_EFORMAT)) {
		db->err.code = 0;
		db->found = true;
		return 0;
	}
	if (rc != 0)
		return rc;
	if (empty) {
		store_db_disconnect(db);
		return 0;
	}
	db->found = true;
	db->wal_end = store_db_vfs_wal_bytes(db->vfs);
	db->wal_frames = db->wal_end / WAL_FRAME_BYTES;
	store_db_measure(db);
	return 0;
}

int store_db_open(const char *path, const struct store_db_options *options,
	struct store_db **ret_db, struct store_db_meta *ret_meta, struct rt_err *ret_err)
{
	struct store_db_vfs *v = store_db_vfs_new(options);
	if (v == NULL)
		return rt_err_set(ret_err, PANDO_EINVAL, "%s: no VFS of the name %s", path,
			options->vfs != NULL ? options->vfs : "(default)");
	struct store_db *db = rt_calloc(1, sizeof *db);
	size_t len = strlen(path) + 1;
	db->path = rt_alloc(len);
	memcpy(db->path, path, len);
	db->options = *options;
	db->vfs = v;
	rt_buf_init(&db->scratch, SCRATCH_BYTES);
	for (size_t i = 0; i < STORE_DB_TABLES; i++)
		db->crc_of_name[i] =
			rt_crc32c(0, store_db_tables[i].name, strlen(store_db_tables[i].name));

	int there = 0, rc = 0;
	if (v->below->xAccess(v->below, path, SQLITE_ACCESS_EXISTS, &there) != SQLITE_OK)
		there = 1; /* opening it will say what is wrong */
	if (there)
		rc = open_file(db, ret_err);
	if (rc != 0) {
		store_db_close(db);
		return rc;
	}
	*ret_meta = (struct store_db_meta){ .found = db->found, .meta = db->meta };
	*ret_db = db;
	return 0;
}

void store_db_close(struct store_db *db)
{
	if (db == NULL)
		return;
	store_db_disconnect(db);
	store_db_vfs_free(db->vfs);
	rt_buf_done(&db->scratch);
	rt_free(db->refs);
	rt_free(db->path);
	rt_free(db);
}
