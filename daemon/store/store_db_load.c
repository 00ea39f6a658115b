/* Reading the state file: into memory at a start, and all of it, damage or not, for
 * --check-data. */
#include "daemon/store/store_db_int.h"

struct load {
	struct store_db *db;
	const struct store_db_visitor *visitor;
	void *arg;
	struct store_db_counts counts;
	struct rt_err *err;
	int64_t last; /* id of the row before */
	bool any;
};

static int load_damaged(struct load *l, int table, int64_t id, const char *wrong)
{
	return store_db_damaged(l->db, store_db_tables[table].name, id, wrong, l->err);
}

/* Keys must grow: SQLite takes a scan's order from the pages as they come. */
static const char *load_order(struct load *l, int64_t id)
{
	if (l->any && id <= l->last)
		return "out of order";
	l->any = true;
	l->last = id;
	return NULL;
}

static int load_list(void *arg, sqlite3_value **columns, int count)
{
	struct load *l = arg;
	struct disk_acls row;
	const char *wrong = store_db_read_list(l->db, columns, &row);
	if (wrong == NULL)
		wrong = load_order(l, row.id);
	if (wrong != NULL)
		return load_damaged(l, STORE_TABLE_LISTS, row.id, wrong);
	l->counts.lists++;
	l->counts.bytes += row.entries.len;
	return l->visitor->list != NULL ? l->visitor->list(l->arg, &row) : 0;
}

static int load_session(void *arg, sqlite3_value **columns, int count)
{
	struct load *l = arg;
	struct disk_sessions row;
	const char *wrong = store_db_read_session(l->db, columns, &row);
	if (wrong == NULL)
		wrong = load_order(l, row.id);
	if (wrong != NULL)
		return load_damaged(l, STORE_TABLE_SESSIONS, row.id, wrong);
	l->counts.sessions++;
	return l->visitor->session != NULL ? l->visitor->session(l->arg, &row) : 0;
}

static int load_node(void *arg, sqlite3_value **columns, int count)
{
	struct load *l = arg;
	struct disk_nodes row;
	const char *wrong = store_db_read_node(l->db, columns, &row);
	if (wrong == NULL)
		wrong = load_order(l, row.id);
	if (wrong != NULL)
		return load_damaged(l, STORE_TABLE_NODES, row.id, wrong);
	l->counts.nodes++;
	l->counts.bytes += row.name.len + row.data.len;
	return l->visitor->node != NULL ? l->visitor->node(l->arg, &row) : 0;
}

static int load_table(struct load *l, int table, store_db_row_fn *load_row)
{
	l->any = false;
	l->last = 0;
	int stop = 0;
	int rc = store_db_scan(l->db, table, INT64_MIN, load_row, l, &stop);
	if (rc == SQLITE_OK || stop != 0)
		return stop;
	char what[80];
	(void)sqlite3_snprintf((int)sizeof what, what, "table %s, behind row %lld",
		store_db_tables[table].name, (long long)l->last);
	return store_db_fail(l->db, rc, what, l->err);
}

int store_db_load(struct store_db *db, const struct store_db_visitor *visitor, void *arg,
	struct store_db_counts *ret_counts, struct rt_err *ret_err)
{
	if (db->err.code != 0) {
		if (ret_err != NULL)
			*ret_err = db->err;
		return db->err.code;
	}
	struct load l = { .db = db, .visitor = visitor, .arg = arg, .err = ret_err };
	if (db->sql != NULL) {
		db->vfs->failed_what = NULL;
		int rc = load_table(&l, STORE_TABLE_LISTS, load_list);
		if (rc == 0)
			rc = load_table(&l, STORE_TABLE_SESSIONS, load_session);
		if (rc == 0)
			rc = load_table(&l, STORE_TABLE_NODES, load_node);
		if (rc != 0)
			return rc;
	}
	*ret_counts = l.counts;
	return 0;
}

struct verify {
	struct store_db *db;
	store_db_report_fn *report;
	void *arg;
	struct store_db_counts *counts;
	bool damaged;
	int table;    /* that is scanned */
	int64_t last; /* id of the row before */
	bool any;
};

__attribute__((format(printf, 4, 5))) static void verify_say(
	struct verify *v, const char *table, int64_t id, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	va_start(ap, fmt);
	(void)sqlite3_vsnprintf((int)sizeof text, text, fmt, ap);
	va_end(ap);
	v->damaged = true;
	v->report(v->arg, &(struct store_db_damage){ .table = table, .id = id, .text = text });
}

/* SQLite's own check of pages and cells; it says "ok" or a line for each thing. */
static void verify_pages(struct verify *v)
{
	sqlite3_stmt *s;
	struct store_db *db = v->db;
	int rc = store_db_prepare(db, "PRAGMA integrity_check(1000)", &s);
	while (rc == SQLITE_OK) {
		rc = sqlite3_step(s);
		if (rc != SQLITE_ROW)
			break;
		rc = SQLITE_OK;
		const char *text = (const char *)sqlite3_column_text(s, 0);
		if (text == NULL || strcmp(text, "ok") != 0)
			verify_say(v, NULL, 0, "%s: %s", db->path, text != NULL ? text : "damaged");
	}
	if (rc != SQLITE_DONE)
		verify_say(
			v, NULL, 0, "%s: cannot be checked: %s", db->path, sqlite3_errmsg(db->sql));
	(void)sqlite3_finalize(s);
}

static void count_row(struct store_db_counts *c, int table, sqlite3_value **v)
{
	if (table == STORE_TABLE_LISTS) {
		c->lists++;
		c->bytes += (uint64_t)sqlite3_value_bytes(v[1]);
	} else if (table == STORE_TABLE_SESSIONS) {
		c->sessions++;
	} else if (table == STORE_TABLE_NODES) {
		c->nodes++;
		c->bytes +=
			(uint64_t)sqlite3_value_bytes(v[2]) + (uint64_t)sqlite3_value_bytes(v[3]);
	}
}

static int verify_row(void *arg, sqlite3_value **columns, int count)
{
	struct verify *v = arg;
	const char *name = store_db_tables[v->table].name;
	int64_t id = sqlite3_value_int64(columns[0]);
	bool back = v->any && id <= v->last;
	const char *wrong = store_db_read_any(v->db, v->table, columns);
	if (wrong == NULL && back)
		wrong = "out of order";
	if (wrong == NULL)
		count_row(v->counts, v->table, columns);
	else
		verify_say(v, name, id, "%s: table %s, row %lld: %s", v->db->path, name,
			(long long)id, wrong);
	v->any = true;
	v->last = id;
	return back; /* a scan that goes round in circles must end */
}

/* Where SQLite cannot go on, tries again ever further behind. */
static void verify_table(struct verify *v, int table)
{
	const char *name = store_db_tables[table].name;
	int64_t from = INT64_MIN;
	uint64_t skip = 0;
	v->table = table;
	v->any = false;
	for (;;) {
		int stop = 0;
		bool had = v->any;
		int64_t before = v->last;
		int rc = store_db_scan(v->db, table, from, verify_row, v, &stop);
		if (rc == SQLITE_OK || stop != 0)
			return;
		bool moved = v->any && (!had || v->last != before);
		if (skip == 0 || moved) {
			verify_say(v, name, 0, "%s: table %s: cannot be read behind row %lld: %s",
				v->db->path, name, (long long)(v->any ? v->last : 0),
				sqlite3_errmsg(v->db->sql));
			skip = 1;
			from = v->any ? v->last : 0;
		}
		if (skip > (uint64_t)INT64_MAX / 2 || from > INT64_MAX - (int64_t)skip)
			return;
		from += (int64_t)skip;
		skip *= 2;
	}
}

static void verify_meta(struct verify *v)
{
	struct store_db *db = v->db;
	int64_t rows = 0, version = 0;
	if (store_db_number(db, "SELECT count(*) FROM meta", &rows) == SQLITE_OK && rows != 1)
		verify_say(v, "meta", 0, "%s: table meta: %lld rows, and not one", db->path,
			(long long)rows);
	if (store_db_number(db, "PRAGMA user_version", &version) == SQLITE_OK &&
		version != DISK_STATE_FORMAT)
		verify_say(v, NULL, 0, "%s: format %lld; known is %u", db->path, (long long)version,
			(unsigned)DISK_STATE_FORMAT);
}

int store_db_verify(struct store_db *db, store_db_report_fn *report, void *arg,
	struct store_db_counts *ret_counts, struct rt_err *ret_err)
{
	struct verify v = { .db = db, .report = report, .arg = arg, .counts = ret_counts };
	*ret_counts = (struct store_db_counts){ 0 };
	if (db->sql == NULL)
		return 0;
	db->vfs->failed_what = NULL;
	verify_pages(&v);
	verify_meta(&v);
	static const int order[] = { STORE_DB_META, STORE_TABLE_LISTS, STORE_TABLE_SESSIONS,
		STORE_TABLE_NODES };
	for (size_t i = 0; i < STORE_DB_TABLES; i++)
		verify_table(&v, order[i]);
	if (!v.damaged)
		return 0;
	return rt_err_set(ret_err, PANDO_ECORRUPT, "%s: damaged%s", db->path, store_db_remedy);
}
