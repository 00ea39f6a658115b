/* Transactions and checkpoints of the state file. */
#include "daemon/store/store_db_int.h"

#include <stdlib.h>

#include "schema/runtime/rt_mem.h"

static int by_id(const void *a, const void *b)
{
	int64_t x = ((const struct store_db_ref *)a)->id, y = ((const struct store_db_ref *)b)->id;
	return x < y ? -1 : x > y;
}

/* The cut's rows, table after table, each in the order of the keys: pages are then written once,
 * and in order. */
static void gather(struct store_db *db, const struct store_cut *cut, size_t *ret_ends)
{
	size_t rows = store_cut_rows(cut), counts[STORE_TABLES] = { 0 };
	if (rows > db->refs_cap) {
		rt_free(db->refs);
		db->refs = rt_calloc(rows, sizeof *db->refs);
		db->refs_cap = rows;
	}
	const struct store_row *r;
	for (struct store_cut_walk w = { 0 }; (r = store_cut_each(cut, &w)) != NULL;)
		counts[r->table]++;
	size_t at[STORE_TABLES], end = 0;
	for (size_t t = 0; t < STORE_TABLES; t++) {
		at[t] = end;
		end += counts[t];
		ret_ends[t] = end;
	}
	ASSERT(end == rows);
	for (struct store_cut_walk w = { 0 }; (r = store_cut_each(cut, &w)) != NULL;)
		db->refs[at[r->table]++] = (struct store_db_ref){ r->id, r };
	for (size_t t = 0, begin = 0; t < STORE_TABLES; begin = ret_ends[t++]) {
		bool sorted = true;
		for (size_t i = begin + 1; i < ret_ends[t] && sorted; i++)
			sorted = db->refs[i - 1].id < db->refs[i].id;
		if (!sorted)
			qsort(db->refs + begin, ret_ends[t] - begin, sizeof *db->refs, by_id);
	}
}

static int step_once(sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);
	int again = sqlite3_reset(s);
	return rc == SQLITE_DONE ? SQLITE_OK : again != SQLITE_OK ? again : rc;
}

/* Bound bytes are not copied: the row must live until it is in the file. */
static int put_row(struct store_db *db, sqlite3_stmt *s, const struct store_row *r)
{
	if (r->table == STORE_TABLE_LISTS) {
		struct disk_acls row = { .id = r->id,
			.entries = rt_slice_of(r->list.entries, r->list.entries_len) };
		store_db_bind_list(db, s, &row);
		return step_once(s);
	}
	if (r->table == STORE_TABLE_SESSIONS) {
		struct disk_sessions row = {
			.id = r->id,
			.timeout_ms = r->session.timeout_ms,
			.generation = r->session.generation,
			.number = r->session.number,
			.nonce = r->session.nonce,
		};
		memcpy(row.passwd, r->session.passwd, sizeof row.passwd);
		store_db_bind_session(db, s, &row);
		return step_once(s);
	}
	const struct base_stat *st = &r->node.stat;
	struct disk_nodes row = {
		.id = r->id,
		.parent = r->node.parent,
		.name = store_row_name(r),
		.data = rt_blob_slice(r->node.data),
		.acl = r->node.acl,
		.czxid = st->czxid,
		.mzxid = st->mzxid,
		.pzxid = st->pzxid,
		.ctime = st->ctime_ms,
		.mtime = st->mtime_ms,
		.version = st->version,
		.cversion = st->cversion,
		.aversion = st->aversion,
		.owner = st->owner,
		.created = r->node.created,
	};
	store_db_bind_node(db, s, &row);
	return step_once(s);
}

static int put_rows(struct store_db *db, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct store_row *r = db->refs[i].row;
		int rc;
		if (r->deleted) {
			(void)sqlite3_bind_int64(db->drop[r->table], 1, r->id);
			rc = step_once(db->drop[r->table]);
		} else {
			rc = put_row(db, db->put[r->table], r);
		}
		if (rc != SQLITE_OK)
			return rc;
		if (r->deleted)
			db->status.rows_deleted++;
		else
			db->status.rows_put++;
	}
	return SQLITE_OK;
}

static int put_meta(struct store_db *db, const struct disk_meta *m)
{
	sqlite3_stmt *s = db->put[STORE_DB_META];
	store_db_bind_meta(db, s, m);
	return step_once(s);
}

static int make_tables(struct store_db *db)
{
	int rc = SQLITE_OK;
	for (size_t i = 0; rc == SQLITE_OK && i < STORE_DB_TABLES; i++)
		rc = sqlite3_exec(db->sql, store_db_tables[i].sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return rc;
	char text[200];
	(void)sqlite3_snprintf((int)sizeof text, text,
		"PRAGMA application_id = %d; PRAGMA user_version = %d", STORE_DB_APPLICATION_ID,
		(int)DISK_STATE_FORMAT);
	return sqlite3_exec(db->sql, text, NULL, NULL, NULL);
}

static int make_statements(struct store_db *db)
{
	int rc = SQLITE_OK;
	for (size_t i = 0; rc == SQLITE_OK && i < STORE_DB_TABLES; i++) {
		if (db->put[i] != NULL)
			continue;
		rc = store_db_prepare_put(db, (int)i, &db->put[i]);
		if (rc == SQLITE_OK)
			rc = store_db_prepare(db, store_db_tables[i].drop, &db->drop[i]);
	}
	return rc;
}

static struct disk_meta meta_of(const struct store_db *db, const struct feed_mark *mark)
{
	struct disk_meta m = db->meta;
	if (!db->found) {
		m = (struct disk_meta){ .id = 1, .format = DISK_STATE_FORMAT, .level = DISK_LEVEL };
		memcpy(m.ensemble_id, db->options.ids.ensemble_id, sizeof m.ensemble_id);
		memcpy(m.folder_id, db->options.ids.folder_id, sizeof m.folder_id);
		m.server_id = db->options.ids.server_id;
	}
	m.applied_index = (uint64_t)mark->zxid;
	m.applied_term = mark->term;
	m.time_ms = mark->time_ms;
	m.next_node_id = mark->next_node_id;
	m.digest = mark->digest;
	return m;
}

static int transact(struct store_db *db, const struct disk_meta *m, size_t rows)
{
	int rc = sqlite3_exec(db->sql, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (rc == SQLITE_OK && !db->found)
		rc = make_tables(db);
	if (rc == SQLITE_OK)
		rc = make_statements(db);
	if (rc == SQLITE_OK)
		rc = put_rows(db, rows);
	if (rc == SQLITE_OK)
		rc = put_meta(db, m);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db->sql, "COMMIT", NULL, NULL, NULL);
	return rc;
}

int store_db_write(struct store_db *db, const struct store_cut *cut, struct rt_err *ret_err)
{
	ASSERT(!db->vfs->read_only);
	if (db->err.code != 0) {
		if (ret_err != NULL)
			*ret_err = db->err;
		return db->err.code;
	}
	const struct feed_mark *mark = store_cut_mark(cut);
	ASSERT(!db->found || (uint64_t)mark->zxid >= db->meta.applied_index);
	if (db->sql == NULL) {
		if (!db->options.create)
			return rt_err_set(ret_err, PANDO_ENOENT, "%s: does not exist", db->path);
		int rc = store_db_connect(db, true, ret_err);
		if (rc != 0)
			return rc;
	}
	/* From here on the connection stays: in the WAL there may be frames, up to a commit that
	 * failed at its sync, which this one takes for not written and a new one would take for a
	 * transaction. */
	size_t ends[STORE_TABLES];
	gather(db, cut, ends);
	struct disk_meta m = meta_of(db, mark);
	db->vfs->failed_what = NULL;
	db->vfs->stopped = false;
	int rc = transact(db, &m, ends[STORE_TABLES - 1]);
	if (rc != SQLITE_OK) {
		rc = store_db_fail(db, rc, "transaction", ret_err);
		if (!sqlite3_get_autocommit(db->sql))
			(void)sqlite3_exec(db->sql, "ROLLBACK", NULL, NULL, NULL);
		/* what did not fit is in the way of the checkpoint that makes room */
		if (rc == PANDO_ENOSPC)
			store_db_vfs_cut_wal(db->vfs, db->wal_end);
		if (!db->found)
			store_db_drop_statements(db); /* their tables are gone again */
		return rc;
	}
	db->found = true;
	db->meta = m;
	db->status.transactions++;
	store_db_measure(db);
	return 0;
}

/* For the first checkpoint after an open: with an empty WAL, SQLite has nothing to sync, but the
 * file may just have been put there, out of a backup. */
static int sync_file(struct store_db *db)
{
	sqlite3_file *file = NULL;
	int rc = sqlite3_file_control(db->sql, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	return rc == SQLITE_OK ? file->pMethods->xSync(file, SQLITE_SYNC_NORMAL) : rc;
}

int store_db_checkpoint(struct store_db *db, bool truncate, struct rt_err *ret_err)
{
	ASSERT(!db->vfs->read_only);
	if (db->err.code != 0) {
		if (ret_err != NULL)
			*ret_err = db->err;
		return db->err.code;
	}
	if (db->sql == NULL)
		return 0;
	ASSERT(sqlite3_get_autocommit(db->sql));
	uint64_t wal = store_db_vfs_wal_bytes(db->vfs);
	if (db->status.checkpointed_index == db->meta.applied_index && !(truncate && wal != 0))
		return 0;
	int mode = truncate || wal > STORE_DB_WAL_KEEP_BYTES ? SQLITE_CHECKPOINT_TRUNCATE
							     : SQLITE_CHECKPOINT_PASSIVE;
	int in_wal = 0, copied = 0;
	db->vfs->failed_what = NULL;
	db->vfs->stopped = false;
	int rc = sqlite3_wal_checkpoint_v2(db->sql, "main", mode, &in_wal, &copied);
	if (rc == SQLITE_OK && in_wal != copied)
		rc = SQLITE_BUSY; /* cannot be: nobody else reads */
	if (rc == SQLITE_OK && db->status.checkpointed_index == 0)
		rc = sync_file(db);
	if (rc != SQLITE_OK)
		return store_db_fail(db, rc, "checkpoint", ret_err);
	db->status.checkpoints++;
	db->status.checkpointed_index = db->meta.applied_index;
	db->wal_frames = 0;
	if (mode == SQLITE_CHECKPOINT_TRUNCATE)
		db->wal_end = 0;
	store_db_measure(db);
	return 0;
}
