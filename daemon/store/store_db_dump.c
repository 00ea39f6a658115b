/* The state file's rows as lines of JSON. What a column holds is taken from SQLite, so that damaged
 * rows show as they are. */
#include "daemon/store/store_db_int.h"

/* A line: a row of SQLite's greatest size in base64, and some. */
#define LINE_BYTES (1u << 31)

/* The length of the UTF-8 character at p, 0 when it is none (overlong forms, surrogates and above
 * U+10FFFF too). */
static uint32_t utf8_len(const uint8_t *p, uint32_t left)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	if (p[0] < 0x80)
		return 1;
	uint32_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
		return 0;
	uint32_t c = p[0] & (0x7fu >> n);
	for (uint32_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

static bool is_utf8(struct rt_slice s)
{
	for (uint32_t i = 0, n; i < s.len; i += n) {
		n = utf8_len(s.p + i, s.len - i);
		if (n == 0)
			return false;
	}
	return true;
}

static void put_string(struct rt_buf *out, struct rt_slice s)
{
	rt_buf_char(out, '"');
	for (uint32_t i = 0; i < s.len; i++) {
		uint8_t c = s.p[i];
		if (c == '"' || c == '\\')
			rt_buf_fmt(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			rt_buf_fmt(out, "\\u%04x", (unsigned)c);
		else
			rt_buf_char(out, (char)c);
	}
	rt_buf_char(out, '"');
}

static void put_base64(struct rt_buf *out, struct rt_slice s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	rt_buf_char(out, '"');
	for (uint32_t i = 0; i < s.len; i += 3) {
		uint32_t left = s.len - i;
		uint32_t v = (uint32_t)s.p[i] << 16;
		v |= left > 1 ? (uint32_t)s.p[i + 1] << 8 : 0;
		v |= left > 2 ? s.p[i + 2] : 0;
		rt_buf_char(out, digits[v >> 18]);
		rt_buf_char(out, digits[v >> 12 & 63]);
		rt_buf_char(out, left > 1 ? digits[v >> 6 & 63] : '=');
		rt_buf_char(out, left > 2 ? digits[v & 63] : '=');
	}
	rt_buf_char(out, '"');
}

static void put_hex(struct rt_buf *out, struct rt_slice s)
{
	rt_buf_char(out, '"');
	for (uint32_t i = 0; i < s.len; i++)
		rt_buf_fmt(out, "%02x", (unsigned)s.p[i]);
	rt_buf_char(out, '"');
}

static void put_key(struct rt_buf *out, struct rt_slice name, const char *end)
{
	rt_buf_fmt(out, ",\"%.*s%s\":", (int)name.len, (const char *)name.p, end);
}

static void put_bytes(struct rt_buf *out, struct rt_slice name, struct rt_slice s)
{
	if (rt_slice_is(name, "passwd") || rt_slice_is(name, "ensemble_id") ||
		rt_slice_is(name, "folder_id")) {
		put_key(out, name, "");
		put_hex(out, s);
	} else if (rt_slice_is(name, "entries")) {
		put_key(out, name, "");
		put_base64(out, s);
	} else if (is_utf8(s)) {
		put_key(out, name, "");
		put_string(out, s);
	} else {
		put_key(out, name, "_base64");
		put_base64(out, s);
	}
}

static void put_column(struct rt_buf *out, struct rt_slice name, sqlite3_value *v)
{
	switch (sqlite3_value_type(v)) {
	case SQLITE_NULL:
		put_key(out, name, "");
		rt_buf_str(out, "null");
		break;
	case SQLITE_TEXT:
	case SQLITE_BLOB:
		put_bytes(out, name, store_db_slice(v));
		break;
	default:
		put_key(out, name, "");
		rt_buf_i64(out, sqlite3_value_int64(v));
	}
}

struct dump {
	struct store_db *db;
	store_db_line_fn *line;
	void *arg;
	int table;
	struct rt_buf out;
};

static int dump_row(void *arg, sqlite3_value **columns, int count)
{
	struct dump *d = arg;
	const struct store_db_table *t = &store_db_tables[d->table];
	rt_buf_clear(&d->out);
	rt_buf_fmt(&d->out, "{\"table\":\"%s\"", t->name);
	const char *p = t->columns;
	for (int i = 0; i < count; i++) {
		size_t len = strcspn(p, ",");
		put_column(&d->out, rt_slice_of(p, len), columns[i]);
		p += len;
		p += strspn(p, ", ");
	}
	if (store_db_read_any(d->db, d->table, columns) != NULL)
		rt_buf_str(&d->out, ",\"damaged\":true");
	rt_buf_char(&d->out, '}');
	return d->line(d->arg, rt_slice_of(d->out.p, d->out.len));
}

int store_db_dump_rows(
	struct store_db *db, store_db_line_fn *line, void *arg, struct rt_err *ret_err)
{
	static const int order[] = { STORE_DB_META, STORE_TABLE_LISTS, STORE_TABLE_SESSIONS,
		STORE_TABLE_NODES };
	struct dump d = { .db = db, .line = line, .arg = arg };
	rt_buf_init(&d.out, LINE_BYTES);
	int failed = 0;
	db->vfs->failed_what = NULL;
	for (size_t i = 0; db->sql != NULL && failed == 0 && i < STORE_DB_TABLES; i++) {
		d.table = order[i];
		int rc = store_db_scan(db, d.table, INT64_MIN, dump_row, &d, &failed);
		if (rc != SQLITE_OK && failed == 0)
			failed = store_db_fail(db, rc, store_db_tables[d.table].name, ret_err);
	}
	rt_buf_done(&d.out);
	return failed;
}
