/* Rows of the state file between the generated structs and SQLite's columns, with their CRCs. */
#include "daemon/store/store_db_int.h"
#include "schema/runtime/rt_crc32c.h"

#define SCAN(name, columns)                                                                        \
	"SELECT 1 FROM " name " WHERE id >= ? AND pando_row(" columns ") ORDER BY id"
/* The values' marks are put behind it, as many as there are columns. */
#define PUT(name, columns) "INSERT OR REPLACE INTO " name " (" columns ") VALUES ("
#define DROP(name) "DELETE FROM " name " WHERE id = ?"

const struct store_db_table store_db_tables[STORE_DB_TABLES] = {
	[STORE_TABLE_LISTS] = { "acls", DISK_ACLS_SQL, DISK_ACLS_COLUMNS,
		SCAN("acls", DISK_ACLS_COLUMNS), PUT("acls", DISK_ACLS_COLUMNS), DROP("acls") },
	[STORE_TABLE_SESSIONS] = { "sessions", DISK_SESSIONS_SQL, DISK_SESSIONS_COLUMNS,
		SCAN("sessions", DISK_SESSIONS_COLUMNS), PUT("sessions", DISK_SESSIONS_COLUMNS),
		DROP("sessions") },
	[STORE_TABLE_NODES] = { "nodes", DISK_NODES_SQL, DISK_NODES_COLUMNS,
		SCAN("nodes", DISK_NODES_COLUMNS), PUT("nodes", DISK_NODES_COLUMNS),
		DROP("nodes") },
	[STORE_DB_META] = { "meta", DISK_META_SQL, DISK_META_COLUMNS,
		SCAN("meta", DISK_META_COLUMNS), PUT("meta", DISK_META_COLUMNS), DROP("meta") },
};

/* A row's columns, one after the other, on their way out of SQLite or into it. */
struct columns {
	sqlite3_value **v;
	sqlite3_stmt *s;
	int at;
	const char *wrong; /* NULL: nothing yet */
};

static int64_t get_i64(struct columns *c) { return sqlite3_value_int64(c->v[c->at++]); }

static int32_t get_i32(struct columns *c)
{
	int64_t v = get_i64(c);
	if (v != (int32_t)v)
		c->wrong = "a number out of its range";
	return (int32_t)v;
}

static uint32_t get_u32(struct columns *c)
{
	int64_t v = get_i64(c);
	if (v != (int64_t)(uint32_t)v)
		c->wrong = "a number out of its range";
	return (uint32_t)v;
}

struct rt_slice store_db_slice(sqlite3_value *v)
{
	static const uint8_t empty[1];
	const void *p = sqlite3_value_blob(v);
	if (p != NULL)
		return (struct rt_slice){ p, (uint32_t)sqlite3_value_bytes(v) };
	/* SQLite says NULL for no bytes as well */
	if (sqlite3_value_type(v) == SQLITE_NULL)
		return (struct rt_slice){ NULL, 0 };
	return (struct rt_slice){ empty, 0 };
}

static struct rt_slice get_slice(struct columns *c) { return store_db_slice(c->v[c->at++]); }

static void get_bytes(struct columns *c, uint8_t *ret, size_t n)
{
	struct rt_slice v = get_slice(c);
	if (v.len != n)
		c->wrong = "a binary value of the wrong length";
	memset(ret, 0, n);
	if (v.len != 0)
		memcpy(ret, v.p, v.len < n ? v.len : n);
}

static const char *get_crc(struct columns *c, uint32_t crc)
{
	int64_t v = get_i64(c);
	if (c->wrong == NULL && v != (int64_t)crc)
		c->wrong = "wrong checksum";
	return c->wrong;
}

/* The last one: with it every column of the table has its value. */
static void put_crc(struct columns *c, uint32_t crc)
{
	(void)sqlite3_bind_int64(c->s, ++c->at, crc);
	ASSERT(c->at == sqlite3_bind_parameter_count(c->s));
}

static void put_i64(struct columns *c, int64_t v) { (void)sqlite3_bind_int64(c->s, ++c->at, v); }

/* Bytes stay where they are until the row is in the file. */
static void put_blob(struct columns *c, struct rt_slice v)
{
	if (v.p == NULL)
		(void)sqlite3_bind_null(c->s, ++c->at);
	else
		(void)sqlite3_bind_blob(c->s, ++c->at, v.p, (int)v.len, SQLITE_STATIC);
}

static void put_text(struct columns *c, struct rt_slice v)
{
	const char *p = v.len != 0 ? (const char *)v.p : "";
	(void)sqlite3_bind_text(c->s, ++c->at, p, (int)v.len, SQLITE_STATIC);
}

static uint8_t *scratch(struct store_db *db, size_t n)
{
	rt_buf_clear(&db->scratch);
	uint8_t *p = rt_buf_grow(&db->scratch, n);
	ASSERT(p != NULL);
	return p;
}

static uint32_t crc_meta(struct store_db *db, const struct disk_meta *v)
{
	uint8_t b[DISK_META_BYTES];
	disk_meta_store(b, v);
	return rt_crc32c(db->crc_of_name[STORE_DB_META], b, sizeof b);
}

static uint32_t crc_session(struct store_db *db, const struct disk_sessions *v)
{
	uint8_t b[DISK_SESSIONS_BYTES];
	disk_sessions_store(b, v);
	return rt_crc32c(db->crc_of_name[STORE_TABLE_SESSIONS], b, sizeof b);
}

static uint32_t crc_list(struct store_db *db, const struct disk_acls *v)
{
	size_t n = disk_acls_size(v);
	uint8_t *b = scratch(db, n);
	struct rt_writer w = rt_writer_of(b, n);
	disk_acls_encode(&w, v);
	ASSERT(!w.full && w.p == w.end);
	return rt_crc32c(db->crc_of_name[STORE_TABLE_LISTS], b, n);
}

static uint32_t crc_node(struct store_db *db, const struct disk_nodes *v)
{
	size_t n = disk_nodes_size(v);
	uint8_t *b = scratch(db, n);
	struct rt_writer w = rt_writer_of(b, n);
	disk_nodes_encode(&w, v);
	ASSERT(!w.full && w.p == w.end);
	return rt_crc32c(db->crc_of_name[STORE_TABLE_NODES], b, n);
}

void store_db_bind_meta(struct store_db *db, sqlite3_stmt *s, const struct disk_meta *v)
{
	struct columns c = { .s = s };
	put_i64(&c, v->id);
	put_i64(&c, v->format);
	put_blob(&c, rt_slice_of(v->ensemble_id, sizeof v->ensemble_id));
	put_blob(&c, rt_slice_of(v->folder_id, sizeof v->folder_id));
	put_i64(&c, v->server_id);
	put_i64(&c, v->level);
	put_i64(&c, (int64_t)v->applied_index);
	put_i64(&c, (int64_t)v->applied_term);
	put_i64(&c, v->time_ms);
	put_i64(&c, v->next_node_id);
	put_i64(&c, (int64_t)v->digest);
	put_crc(&c, crc_meta(db, v));
}

const char *store_db_read_meta(struct store_db *db, sqlite3_value **v, struct disk_meta *ret)
{
	struct columns c = { .v = v };
	ret->id = get_i64(&c);
	ret->format = get_u32(&c);
	get_bytes(&c, ret->ensemble_id, sizeof ret->ensemble_id);
	get_bytes(&c, ret->folder_id, sizeof ret->folder_id);
	ret->server_id = get_u32(&c);
	ret->level = get_u32(&c);
	ret->applied_index = (uint64_t)get_i64(&c);
	ret->applied_term = (uint64_t)get_i64(&c);
	ret->time_ms = get_i64(&c);
	ret->next_node_id = get_i64(&c);
	ret->digest = (uint64_t)get_i64(&c);
	return get_crc(&c, crc_meta(db, ret));
}

void store_db_bind_list(struct store_db *db, sqlite3_stmt *s, const struct disk_acls *v)
{
	struct columns c = { .s = s };
	put_i64(&c, v->id);
	put_blob(&c, v->entries);
	put_crc(&c, crc_list(db, v));
}

const char *store_db_read_list(struct store_db *db, sqlite3_value **v, struct disk_acls *ret)
{
	struct columns c = { .v = v };
	ret->id = get_i64(&c);
	ret->entries = get_slice(&c);
	return get_crc(&c, crc_list(db, ret));
}

void store_db_bind_session(struct store_db *db, sqlite3_stmt *s, const struct disk_sessions *v)
{
	struct columns c = { .s = s };
	put_i64(&c, v->id);
	put_blob(&c, rt_slice_of(v->passwd, sizeof v->passwd));
	put_i64(&c, v->timeout_ms);
	put_i64(&c, v->generation);
	put_i64(&c, (int64_t)v->number);
	put_i64(&c, (int64_t)v->nonce);
	put_crc(&c, crc_session(db, v));
}

const char *store_db_read_session(struct store_db *db, sqlite3_value **v, struct disk_sessions *ret)
{
	struct columns c = { .v = v };
	ret->id = get_i64(&c);
	get_bytes(&c, ret->passwd, sizeof ret->passwd);
	ret->timeout_ms = get_i32(&c);
	ret->generation = get_u32(&c);
	ret->number = (uint64_t)get_i64(&c);
	ret->nonce = (uint64_t)get_i64(&c);
	return get_crc(&c, crc_session(db, ret));
}

void store_db_bind_node(struct store_db *db, sqlite3_stmt *s, const struct disk_nodes *v)
{
	struct columns c = { .s = s };
	put_i64(&c, v->id);
	put_i64(&c, v->parent);
	put_text(&c, v->name);
	put_blob(&c, v->data);
	put_i64(&c, v->acl);
	put_i64(&c, v->czxid);
	put_i64(&c, v->mzxid);
	put_i64(&c, v->pzxid);
	put_i64(&c, v->ctime);
	put_i64(&c, v->mtime);
	put_i64(&c, v->version);
	put_i64(&c, v->cversion);
	put_i64(&c, v->aversion);
	put_i64(&c, v->owner);
	put_i64(&c, v->created);
	put_i64(&c, v->ttl_ms);
	put_crc(&c, crc_node(db, v));
}

const char *store_db_read_node(struct store_db *db, sqlite3_value **v, struct disk_nodes *ret)
{
	struct columns c = { .v = v };
	ret->id = get_i64(&c);
	ret->parent = get_i64(&c);
	ret->name = get_slice(&c);
	ret->data = get_slice(&c);
	ret->acl = get_i64(&c);
	ret->czxid = get_i64(&c);
	ret->mzxid = get_i64(&c);
	ret->pzxid = get_i64(&c);
	ret->ctime = get_i64(&c);
	ret->mtime = get_i64(&c);
	ret->version = get_i32(&c);
	ret->cversion = get_i32(&c);
	ret->aversion = get_i32(&c);
	ret->owner = get_i64(&c);
	ret->created = get_i64(&c);
	ret->ttl_ms = get_i64(&c);
	return get_crc(&c, crc_node(db, ret));
}

const char *store_db_read_any(struct store_db *db, int table, sqlite3_value **v)
{
	union {
		struct disk_meta meta;
		struct disk_acls list;
		struct disk_sessions session;
		struct disk_nodes node;
	} row;
	switch (table) {
	case STORE_TABLE_LISTS:
		return store_db_read_list(db, v, &row.list);
	case STORE_TABLE_SESSIONS:
		return store_db_read_session(db, v, &row.session);
	case STORE_TABLE_NODES:
		return store_db_read_node(db, v, &row.node);
	default:
		return store_db_read_meta(db, v, &row.meta);
	}
}

int store_db_prepare_put(struct store_db *db, int table, sqlite3_stmt **ret)
{
	char sql[800];
	const struct store_db_table *t = &store_db_tables[table];
	size_t len = strlen(t->put);
	ASSERT(len + 2 * strlen(t->columns) < sizeof sql);
	memcpy(sql, t->put, len);
	for (const char *p = t->columns; p != NULL; p = strchr(p + 1, ',')) {
		sql[len++] = '?';
		sql[len++] = ',';
	}
	sql[len - 1] = ')';
	sql[len] = '\0';
	return store_db_prepare(db, sql, ret);
}

/* pando_row(...): hands the row to the scan's caller; false, so that SQLite goes on to the next. */
static void sql_row(sqlite3_context *context, int count, sqlite3_value **v)
{
	struct store_db *db = sqlite3_user_data(context);
	db->row_rc = db->row(db->row_arg, v, count);
	if (db->row_rc == 0) {
		sqlite3_result_int(context, 0);
		return;
	}
	sqlite3_result_error(context, "stopped", -1);
	sqlite3_result_error_code(context, SQLITE_ABORT);
}

int store_db_add_function(struct store_db *db)
{
	return sqlite3_create_function_v2(db->sql, "pando_row", -1, SQLITE_UTF8 | SQLITE_DIRECTONLY,
		db, sql_row, NULL, NULL, NULL);
}

int store_db_scan(
	struct store_db *db, int table, int64_t from, store_db_row_fn *fn, void *arg, int *ret_stop)
{
	sqlite3_stmt *s;
	int rc = store_db_prepare(db, store_db_tables[table].scan, &s);
	if (rc == SQLITE_OK) {
		db->row = fn;
		db->row_arg = arg;
		db->row_rc = 0;
		(void)sqlite3_bind_int64(s, 1, from);
		rc = sqlite3_step(s);
		*ret_stop = db->row_rc;
	}
	(void)sqlite3_finalize(s);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}
