/* The state file: rows go in and come out; damage is named; and on a simulated disk, whatever it
 * loses, tears or refuses, what is there after a crash is the state at one transaction's end, not
 * older than the last that was said to be durable.
 *
 * The model is a small state whose digest, a sum over its rows, goes into the meta row: a file that
 * is a mixture of two states has a digest that is not that of its rows. */
#include "daemon/store/store_db.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/disk_gen_random.h"
#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"
#include "tests/lib/sim_vfs.h"
#include "tests/unit/unit.h"

#define PATH "/data/" STORE_DB_NAME
#define WAL STORE_DB_NAME "-wal"
#define NODES 40
#define DATA 200 /* bytes of a node, at most; names and lists take less */

#define OK(call) ok((call), &err, __LINE__)

static struct rt_err err;

static void ok(int rc, const struct rt_err *e, int line)
{
	if (rc != 0)
		ck_abort_msg("line %d: %d: %s", line, rc, e->text);
}

/* ---- the model ---- */

struct model {
	struct rt_rand rnd;
	struct store_fold *fold;
	struct disk_nodes nodes[NODES]; /* id 0: none; data and name point into bytes */
	struct disk_sessions sessions[4];
	struct disk_acls lists[3];
	uint8_t *bytes;
	uint32_t data_max;
	struct feed_mark mark;
};

static struct rt_buf encoded;

static uint64_t row_hash(uint64_t table, size_t size,
	void (*encode)(struct rt_writer *, const void *), const void *row)
{
	rt_buf_clear(&encoded);
	uint8_t *p = rt_buf_grow(&encoded, size);
	struct rt_writer w = rt_writer_of(p, size);
	encode(&w, row);
	return rt_hash(p, size, table);
}

#define ENCODE(type)                                                                               \
	static void encode_##type(struct rt_writer *w, const void *row)                            \
	{                                                                                          \
		disk_##type##_encode(w, row);                                                      \
	}
ENCODE(nodes)
ENCODE(sessions)
ENCODE(acls)

static uint64_t node_hash(const struct disk_nodes *n)
{
	return row_hash(1, disk_nodes_size(n), encode_nodes, n);
}
static uint64_t session_hash(const struct disk_sessions *s)
{
	return row_hash(2, disk_sessions_size(s), encode_sessions, s);
}
static uint64_t list_hash(const struct disk_acls *l)
{
	return row_hash(3, disk_acls_size(l), encode_acls, l);
}

static void model_init(struct model *m, uint64_t seed, uint32_t data_max)
{
	memset(m, 0, sizeof *m);
	rt_rand_seed(&m->rnd, seed);
	m->fold = store_fold_new();
	m->mark = (struct feed_mark){ .zxid = 0, .term = 1, .next_node_id = 1 };
	m->data_max = data_max;
	m->bytes = rt_alloc(data_max);
	for (size_t i = 0; i < data_max; i++)
		m->bytes[i] = (uint8_t)rt_rand_u64(&m->rnd);
	if (encoded.max == 0)
		rt_buf_init(&encoded, 1u << 30);
}

static void model_done(struct model *m)
{
	store_fold_free(m->fold);
	rt_free(m->bytes);
	rt_buf_done(&encoded);
	rt_buf_init(&encoded, 1u << 30);
}

static void feed_node(struct feed_batch *b, enum change_kind kind, const struct disk_nodes *n)
{
	struct change *c = feed_change(b);
	memset(c, 0, sizeof *c);
	c->kind = kind;
	c->node = (struct change_node){
		.name = n->name,
		.id = n->id,
		.parent_id = n->parent,
		.data = rt_blob_new(n->data),
		.created = n->created,
		.acl = (uint32_t)n->acl,
		.stat = {
			.czxid = n->czxid,
			.mzxid = n->mzxid,
			.pzxid = n->pzxid,
			.ctime_ms = n->ctime,
			.mtime_ms = n->mtime,
			.owner = n->owner,
			.version = n->version,
			.cversion = n->cversion,
			.aversion = n->aversion,
		},
	};
}

static struct rt_slice some_bytes(struct model *m, uint32_t max)
{
	uint32_t n = (uint32_t)rt_rand_below(&m->rnd, max + 1);
	return rt_slice_of(m->bytes, n);
}

static void step_node(struct model *m, struct feed_batch *b)
{
	struct disk_nodes *n = &m->nodes[rt_rand_below(&m->rnd, NODES)];
	if (n->id == 0) {
		*n = (struct disk_nodes){
			.id = m->mark.next_node_id++, .name = some_bytes(m, 40), .acl = 1
		};
		n->parent = n->id / 2;
		n->czxid = n->mzxid = m->mark.zxid;
		n->ctime = 1700000000000 + m->mark.zxid;
		n->data = some_bytes(m, m->data_max);
		if (rt_rand_below(&m->rnd, 4) == 0)
			n->data = (struct rt_slice){ NULL, 0 };
		feed_node(b, CHANGE_CREATED, n);
	} else if (rt_rand_below(&m->rnd, 3) == 0) {
		feed_node(b, CHANGE_DELETED, n);
		n->id = 0;
	} else {
		n->data = some_bytes(m, m->data_max);
		n->mzxid = m->mark.zxid;
		n->version++;
		feed_node(b, CHANGE_DATA, n);
	}
}

static void step_session(struct model *m, struct feed_batch *b)
{
	struct disk_sessions *s = &m->sessions[rt_rand_below(&m->rnd, 4)];
	struct change *c = feed_change(b);
	memset(c, 0, sizeof *c);
	c->kind = s->id == 0 ? CHANGE_SESSION_OPENED : CHANGE_SESSION_NUMBER;
	if (s->id == 0)
		*s = (struct disk_sessions){ .id = m->mark.zxid + (INT64_C(1) << 56),
			.timeout_ms = 10000 };
	s->generation++;
	s->number += 3;
	s->nonce = rt_rand_u64(&m->rnd);
	memset(s->passwd, (int)s->generation, sizeof s->passwd);
	c->session = (struct change_session){
		.id = s->id,
		.generation = s->generation,
		.timeout_ms = s->timeout_ms,
		.number = s->number,
		.nonce = s->nonce,
	};
	memcpy(c->session.passwd, s->passwd, sizeof s->passwd);
	if (c->kind != CHANGE_SESSION_OPENED && rt_rand_below(&m->rnd, 4) == 0) {
		c->kind = CHANGE_SESSION_CLOSED;
		s->id = 0;
	}
}

static void step_list(struct model *m, struct feed_batch *b)
{
	size_t i = (size_t)rt_rand_below(&m->rnd, 3);
	struct disk_acls *l = &m->lists[i];
	struct change *c = feed_change(b);
	memset(c, 0, sizeof *c);
	c->list.number = (uint32_t)i + 1;
	c->kind = l->id != 0 ? CHANGE_LIST_DROPPED : CHANGE_LIST_ADDED;
	if (l->id != 0) {
		l->id = 0;
		return;
	}
	*l = (struct disk_acls){ .id = (int64_t)i + 1, .entries = some_bytes(m, 60) };
	c->list.entries = l->entries;
}

static uint64_t model_digest(const struct model *m)
{
	uint64_t d = 0;
	for (size_t i = 0; i < NODES; i++)
		d += m->nodes[i].id != 0 ? node_hash(&m->nodes[i]) : 0;
	for (size_t i = 0; i < 4; i++)
		d += m->sessions[i].id != 0 ? session_hash(&m->sessions[i]) : 0;
	for (size_t i = 0; i < 3; i++)
		d += m->lists[i].id != 0 ? list_hash(&m->lists[i]) : 0;
	return d;
}

/* Some changes, and their cut: the caller's. */
static struct store_cut *model_step(struct model *m, uint32_t changes)
{
	struct feed_batch b;
	feed_init(&b);
	for (uint32_t i = 0; i < changes; i++) {
		m->mark.zxid++;
		uint64_t what = rt_rand_below(&m->rnd, 10);
		if (what < 7)
			step_node(m, &b);
		else if (what < 9)
			step_session(m, &b);
		else
			step_list(m, &b);
	}
	m->mark.zxid++;
	m->mark.digest = model_digest(m);
	b.last_zxid = m->mark.zxid;
	b.mark = m->mark;
	store_fold_add(m->fold, &b);
	feed_done(&b);
	return store_fold_cut(m->fold);
}

/* ---- reading back ---- */

static int sum_list(void *arg, const struct disk_acls *row)
{
	*(uint64_t *)arg += list_hash(row);
	return 0;
}

static int sum_session(void *arg, const struct disk_sessions *row)
{
	*(uint64_t *)arg += session_hash(row);
	return 0;
}

static int sum_node(void *arg, const struct disk_nodes *row)
{
	*(uint64_t *)arg += node_hash(row);
	return 0;
}

static const struct store_db_visitor summing = {
	.list = sum_list, .session = sum_session, .node = sum_node
};

static struct store_db_options options_of(const char *vfs)
{
	struct store_db_options o = { .create = true, .vfs = vfs, .slice_bytes = 8192 };
	memset(o.ids.ensemble_id, 0xe1, sizeof o.ids.ensemble_id);
	memset(o.ids.folder_id, 0xf1, sizeof o.ids.folder_id);
	o.ids.server_id = 3;
	return o;
}

/* Opens and loads; *ret_index is 0 when nothing was found. PANDO_ECORRUPT also for a wrong digest.
 * */
static int read_back(const char *path, const struct store_db_options *o, uint64_t *ret_index)
{
	struct store_db *db;
	struct store_db_meta meta;
	struct store_db_counts counts;
	uint64_t digest = 0;
	int rc = store_db_open(path, o, &db, &meta, &err);
	if (rc != 0)
		return rc;
	rc = store_db_load(db, &summing, &digest, &counts, &err);
	store_db_close(db);
	*ret_index = meta.found ? meta.meta.applied_index : 0;
	if (rc == 0 && meta.found && digest != meta.meta.digest)
		return rt_err_set(&err, PANDO_ECORRUPT, "wrong digest at %llu",
			(unsigned long long)*ret_index);
	return rc;
}

static struct store_db *must_open(
	const char *path, const struct store_db_options *o, struct store_db_meta *ret_meta)
{
	struct store_db *db;
	OK(store_db_open(path, o, &db, ret_meta, &err));
	return db;
}

/* A disk with a file after so many transactions, the last of them only in the WAL when not
 * checkpointed. */
static void make_disk(struct sim_disk *d, uint64_t seed, size_t transactions, bool checkpoint)
{
	struct sim_vfs v;
	struct model m;
	struct store_db_meta meta;
	sim_disk_init(d);
	sim_vfs_init(&v, d);
	model_init(&m, seed, DATA);
	struct store_db_options o = options_of(v.name);
	struct store_db *db = must_open(PATH, &o, &meta);
	ck_assert(!meta.found);
	for (size_t i = 0; i < transactions; i++) {
		struct store_cut *cut = model_step(&m, 30);
		OK(store_db_write(db, cut, &err));
		store_cut_free(cut);
	}
	if (checkpoint)
		OK(store_db_checkpoint(db, true, &err));
	store_db_close(db);
	model_done(&m);
	sim_vfs_done(&v);
}

/* ---- round trips ---- */

START_TEST(test_states_come_back)
{
	struct sim_disk d;
	struct sim_vfs v;
	struct model m;
	sim_disk_init(&d);
	sim_vfs_init(&v, &d);
	model_init(&m, (uint64_t)_i + 1, DATA);
	struct store_db_options o = options_of(v.name);
	struct store_db_meta meta;
	struct store_db_status st;
	struct store_db *db = must_open(PATH, &o, &meta);
	for (size_t i = 0; i < 30; i++) {
		struct store_cut *cut = model_step(&m, (uint32_t)rt_rand_below(&m.rnd, 60));
		OK(store_db_write(db, cut, &err));
		store_cut_free(cut);
		store_db_status(db, &st);
		ck_assert_uint_eq(st.written_index, (uint64_t)m.mark.zxid);
		ck_assert_uint_gt(st.wal_pending_bytes, 0);
		if (i % 3 == 2) {
			OK(store_db_checkpoint(db, i % 2 == 0, &err));
			store_db_status(db, &st);
			ck_assert_uint_eq(st.checkpointed_index, st.written_index);
			ck_assert_uint_eq(st.wal_pending_bytes, 0);
		}
		uint64_t digest = 0;
		struct store_db_counts counts;
		OK(store_db_load(db, &summing, &digest, &counts, &err));
		ck_assert_uint_eq(digest, m.mark.digest);
		if (i % 4 == 3) {
			store_db_close(db);
			db = must_open(PATH, &o, &meta);
			ck_assert(meta.found);
			ck_assert_uint_eq(meta.meta.applied_index, (uint64_t)m.mark.zxid);
			ck_assert_uint_eq(meta.meta.applied_term, 1);
			ck_assert_int_eq(meta.meta.next_node_id, m.mark.next_node_id);
			ck_assert_uint_eq(meta.meta.digest, m.mark.digest);
			ck_assert_uint_eq(meta.meta.server_id, 3);
		}
	}
	store_db_close(db);
	sim_vfs_done(&v);
	model_done(&m);
	sim_disk_done(&d);
}
END_TEST

static int same_node(void *arg, const struct disk_nodes *row)
{
	const struct disk_nodes *want = arg;
	return disk_nodes_equal(row, want) ? 0 : PANDO_EINVAL;
}

START_TEST(test_random_nodes_come_back)
{
	struct sim_disk d;
	struct sim_vfs v;
	struct rt_rand rnd;
	struct rt_buf scratch;
	struct store_db_meta meta;
	struct store_db_counts counts;
	sim_disk_init(&d);
	sim_vfs_init(&v, &d);
	rt_rand_seed(&rnd, 5);
	rt_buf_init(&scratch, DISK_RANDOM_SCRATCH);
	ASSERT(rt_buf_reserve(&scratch, DISK_RANDOM_SCRATCH));
	struct store_db_options o = options_of(v.name);
	struct store_db *db = must_open(PATH, &o, &meta);
	struct store_fold *fold = store_fold_new();
	struct disk_nodes row = { 0 };
	int64_t before = 0;
	for (int64_t i = 1; i < 300; i++, before = row.id) {
		struct feed_batch b;
		feed_init(&b);
		rt_buf_clear(&scratch);
		disk_nodes_random(&rnd, &scratch, &row);
		row.id = row.id == 0 ? i : row.id;
		row.acl = (uint32_t)row.acl;
		row.ttl_ms = 0;
		if (row.name.p == NULL)
			row.name = rt_slice_str("");
		if (before != 0 && before != row.id)
			feed_node(&b, CHANGE_DELETED, &(struct disk_nodes){ .id = before });
		feed_node(&b, before == row.id ? CHANGE_DATA : CHANGE_CREATED, &row);
		b.last_zxid = b.mark.zxid = i;
		store_fold_add(fold, &b);
		feed_done(&b);
		struct store_cut *cut = store_fold_cut(fold);
		OK(store_db_write(db, cut, &err));
		store_cut_free(cut);
		struct store_db_visitor vis = { .node = same_node };
		OK(store_db_load(db, &vis, &row, &counts, &err));
		ck_assert_uint_eq(counts.nodes, 1);
	}
	store_db_close(db);
	store_fold_free(fold);
	rt_buf_done(&scratch);
	sim_vfs_done(&v);
	sim_disk_done(&d);
}
END_TEST

/* ---- damage, through SQL ---- */

static void sql_on(const char *vfs, const char *sql)
{
	sqlite3 *c;
	ck_assert_int_eq(sqlite3_open_v2(PATH, &c, SQLITE_OPEN_READWRITE, vfs), SQLITE_OK);
	char *text = NULL;
	int rc = sqlite3_exec(c, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, &text);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(c, sql, NULL, NULL, &text);
	if (rc != SQLITE_OK)
		ck_abort_msg("%s: %s", sql, text);
	sqlite3_close(c);
}

struct reports {
	size_t count;
	char first[600];
	char last_table[20];
	int64_t last_id;
};

static void take_report(void *arg, const struct store_db_damage *damage)
{
	struct reports *r = arg;
	if (r->count++ == 0)
		(void)snprintf(r->first, sizeof r->first, "%s", damage->text);
	if (damage->table != NULL) {
		(void)snprintf(r->last_table, sizeof r->last_table, "%s", damage->table);
		r->last_id = damage->id;
	}
}

static int verify(const struct store_db_options *o, struct reports *ret)
{
	struct store_db_options with = *o;
	struct store_db_meta meta;
	struct store_db_counts counts;
	*ret = (struct reports){ 0 };
	with.inspect = true;
	with.create = false;
	struct store_db *db = must_open(PATH, &with, &meta);
	int rc = store_db_verify(db, take_report, ret, &counts, &err);
	store_db_close(db);
	return rc;
}

static void expect_damage(struct sim_disk *disk, const char *table, const char *sql)
{
	struct sim_disk d;
	struct sim_vfs v;
	uint64_t index;
	sim_disk_copy(&d, disk);
	sim_vfs_init(&v, &d);
	struct store_db_options o = options_of(v.name);
	sql_on(v.name, sql);
	int rc = read_back(PATH, &o, &index);
	if (rc != PANDO_ECORRUPT || strstr(err.text, PATH) == NULL ||
		strstr(err.text, table) == NULL)
		ck_abort_msg("%s: %d %s", sql, rc, rc != 0 ? err.text : "");
	struct reports r;
	ck_assert_int_eq(verify(&o, &r), PANDO_ECORRUPT);
	ck_assert_uint_eq(r.count, 1);
	ck_assert_str_eq(r.last_table, table);
	sim_vfs_done(&v);
	sim_disk_done(&d);
}

START_TEST(test_every_column_is_checked)
{
	static const char *const tables[] = { "meta", "nodes", "acls", "sessions" };
	static const char *const columns[] = { DISK_META_COLUMNS, DISK_NODES_COLUMNS,
		DISK_ACLS_COLUMNS, DISK_SESSIONS_COLUMNS };
	struct sim_disk d;
	make_disk(&d, 3, 4, true);
	for (size_t t = 0; t < 4; t++) {
		char all[400], sql[400];
		(void)snprintf(all, sizeof all, "%s", columns[t]);
		char *save = NULL;
		for (char *c = strtok_r(all, ", ", &save); c != NULL;
			c = strtok_r(NULL, ", ", &save)) {
			/* another number; or another byte */
			(void)snprintf(sql, sizeof sql,
				"UPDATE %s SET %s = CASE typeof(%s) WHEN 'integer' THEN %s + %s WHEN 'null' THEN x'00' "
				"ELSE zeroblob(length(%s)) END WHERE id = (SELECT max(id) FROM %s)",
				tables[t], c, c, c, strcmp(c, "id") == 0 ? "1000" : "1", c,
				tables[t]);
			if (strcmp(c, "name") == 0)
				(void)snprintf(sql, sizeof sql,
					"UPDATE nodes SET name = 'x' || name WHERE id = (SELECT max(id) FROM nodes)");
			expect_damage(&d, tables[t], sql);
		}
	}
	expect_damage(&d, "nodes",
		"UPDATE nodes SET data = NULL WHERE id = (SELECT max(id) FROM nodes "
		"WHERE data IS NOT NULL)");
	expect_damage(&d, "meta", "DELETE FROM meta");
	expect_damage(&d, "sessions",
		"UPDATE sessions SET generation = generation + 4294967296 "
		"WHERE id = (SELECT min(id) FROM sessions)");
	expect_damage(&d, "nodes",
		"UPDATE nodes SET version = version - 4294967296 "
		"WHERE id = (SELECT min(id) FROM nodes)");
	sim_disk_done(&d);
}
END_TEST

static int open_after(
	struct sim_disk *disk, const char *sql, const struct store_db_options *options)
{
	struct sim_disk d;
	struct sim_vfs v;
	uint64_t index;
	sim_disk_copy(&d, disk);
	sim_vfs_init(&v, &d);
	struct store_db_options o = *options;
	o.vfs = v.name;
	if (sql != NULL)
		sql_on(v.name, sql);
	int rc = read_back(PATH, &o, &index);
	sim_vfs_done(&v);
	sim_disk_done(&d);
	return rc;
}

static void meta_with(struct disk_meta m, char *ret_sql, size_t size)
{
	uint8_t b[DISK_META_BYTES];
	disk_meta_store(b, &m);
	uint32_t crc = rt_crc32c(rt_crc32c(0, "meta", 4), b, sizeof b);
	(void)snprintf(ret_sql, size, "UPDATE meta SET format = %u, level = %u, crc = %u", m.format,
		m.level, crc);
}

START_TEST(test_what_is_not_ours_is_refused)
{
	struct sim_disk d;
	make_disk(&d, 3, 2, true);
	struct store_db_options o = options_of(NULL);
	ck_assert_int_eq(open_after(&d, NULL, &o), 0);
	o.ids.ensemble_id[3]++;
	ck_assert_int_eq(open_after(&d, NULL, &o), PANDO_EINVAL);
	ck_assert(strstr(err.text, "another ensemble") != NULL);
	o = options_of(NULL);
	o.ids.folder_id[15]++;
	ck_assert_int_eq(open_after(&d, NULL, &o), PANDO_EINVAL);
	o = options_of(NULL);
	o.ids.server_id = 4;
	ck_assert_int_eq(open_after(&d, NULL, &o), PANDO_EINVAL);
	memset(&o.ids, 0, sizeof o.ids);
	ck_assert_int_eq(open_after(&d, NULL, &o), 0);

	ck_assert_int_eq(
		open_after(&d, "PRAGMA user_version = 2", &o), PANDO_ECORRUPT); /* meta says 1 */
	ck_assert_int_eq(
		open_after(&d, "PRAGMA user_version = 2; ALTER TABLE nodes ADD COLUMN more INTEGER",
			&o),
		PANDO_EFORMAT);
	ck_assert_int_eq(open_after(&d, "PRAGMA user_version = 0", &o), PANDO_ECORRUPT);
	ck_assert_int_eq(open_after(&d, "PRAGMA application_id = 7", &o), PANDO_ECORRUPT);
	ck_assert_int_eq(open_after(&d, "DROP TABLE acls", &o), PANDO_ECORRUPT);
	ck_assert(strstr(err.text, "acls") != NULL);
	ck_assert_int_eq(open_after(&d, "CREATE INDEX by_parent ON nodes (parent)", &o), 0);

	char sql[200];
	struct sim_vfs v;
	struct store_db_meta meta;
	sim_vfs_init(&v, &d);
	struct store_db_options with = options_of(v.name);
	store_db_close(must_open(PATH, &with, &meta));
	sim_vfs_done(&v);
	struct disk_meta m = meta.meta;
	m.format = DISK_STATE_FORMAT + 1;
	meta_with(m, sql, sizeof sql);
	ck_assert_int_eq(open_after(&d, sql, &o), PANDO_EFORMAT);
	m.format = DISK_STATE_FORMAT;
	m.level = DISK_LEVEL + 1;
	meta_with(m, sql, sizeof sql);
	ck_assert_int_eq(open_after(&d, sql, &o), PANDO_EFORMAT);
	sim_disk_done(&d);
}
END_TEST

START_TEST(test_verify_goes_on_behind_damage)
{
	struct sim_disk d;
	struct sim_vfs v;
	make_disk(&d, 3, 6, true);
	sim_vfs_init(&v, &d);
	struct store_db_options o = options_of(v.name);
	struct reports r;
	ck_assert_int_eq(verify(&o, &r), 0);
	ck_assert_uint_eq(r.count, 0);
	sql_on(v.name,
		"UPDATE nodes SET mtime = mtime + 1 WHERE id % 2 = 0; UPDATE meta SET digest = digest + 1;"
		"UPDATE acls SET crc = 0; DELETE FROM acls WHERE id > (SELECT min(id) FROM acls)");
	ck_assert_int_eq(verify(&o, &r), PANDO_ECORRUPT);
	ck_assert_uint_gt(r.count, 5);
	ck_assert(strstr(r.first, "meta") != NULL);
	ck_assert_str_eq(r.last_table, "nodes");
	/* a whole page in the middle */
	uint8_t junk[4096];
	memset(junk, 0xaa, sizeof junk);
	size_t len;
	(void)sim_disk_bytes(&d, STORE_DB_NAME, &len);
	ck_assert_uint_gt(len, 5 * sizeof junk);
	sim_disk_poke(&d, STORE_DB_NAME, 5 * sizeof junk, junk, sizeof junk);
	ck_assert_int_eq(verify(&o, &r), PANDO_ECORRUPT);
	sim_vfs_done(&v);
	sim_disk_done(&d);
}
END_TEST

/* ---- rot: every byte of a small file, one bit each ---- */

static void flip_all(const char *name, bool wal)
{
	struct sim_disk d;
	struct sim_vfs v;
	make_disk(&d, 4, 3, !wal);
	sim_vfs_init(&v, &d);
	struct store_db_options o = options_of(v.name);
	o.create = false;
	o.read_only = true;
	uint64_t whole = 0, index = 0;
	OK(read_back(PATH, &o, &whole));
	size_t len = 0, found = 0;
	(void)sim_disk_bytes(&d, name, &len);
	ck_assert_uint_gt(len, 8192);
	for (size_t i = 0; i < len; i++) {
		unsigned bit = (unsigned)(i * 7 + i / 8) % 8;
		sim_disk_flip(&d, name, i, bit);
		int rc = read_back(PATH, &o, &index);
		/* found, or as it was; the WAL's damage may look like its end, then all of it is an
		 * older state */
		if (rc != 0)
			found++;
		else if (wal)
			ck_assert_uint_le(index, whole);
		else if (index != whole)
			ck_abort_msg("byte %zu: index %llu", i, (unsigned long long)index);
		sim_disk_flip(&d, name, i, bit);
	}
	if (!wal)
		ck_assert_uint_gt(found, len / 8);
	sim_vfs_done(&v);
	sim_disk_done(&d);
}

START_TEST(test_no_flipped_bit_passes) { flip_all(STORE_DB_NAME, false); }
END_TEST

START_TEST(test_flipped_wal_is_an_older_state) { flip_all(WAL, true); }
END_TEST

/* ---- crashes ---- */

struct history {
	struct sim_disk disk;
	struct sim_vfs vfs;
	struct store_db *db;
	uint64_t acked;     /* the last write that returned 0 */
	uint64_t attempted; /* the last one begun */
	uint64_t seed;
	uint64_t crashes;
	uint64_t rarely; /* crash at one operation in so many only, and never exhaustively */
};

/* What the disk has after a crash is one state, and recent enough; and it can be gone on with. */
static void recover(struct history *h, const struct sim_crash *how)
{
	struct sim_disk d;
	struct sim_vfs v;
	struct store_db_meta meta;
	sim_disk_copy(&d, &h->disk);
	sim_disk_crash(&d, how);
	sim_vfs_init(&v, &d);
	struct store_db_options o = options_of(v.name);
	struct store_db_options look = o;
	look.read_only = true;
	uint64_t index = 0, seen = 0;
	bool made = h->acked !=
		    0; /* before that there may be a journal, which reading cannot play back */
	if (made)
		OK(read_back(PATH, &look, &seen));
	OK(read_back(PATH, &o, &index));
	if (made)
		ck_assert_uint_eq(seen, index);
	h->crashes++;
	if (index < h->acked || index > h->attempted)
		ck_abort_msg("op %llu: index %llu, not in %llu..%llu",
			(unsigned long long)h->disk.ops, (unsigned long long)index,
			(unsigned long long)h->acked, (unsigned long long)h->attempted);
	if (h->crashes % 4 == 0) {
		struct store_db *db = must_open(PATH, &o, &meta);
		OK(store_db_checkpoint(db, h->crashes % 8 == 0, &err));
		store_db_close(db);
		/* what is checkpointed needs no WAL any more */
		static const struct sim_crash none = { .keep = SIM_KEEP_NONE };
		sim_disk_crash(&d, &none);
		sim_disk_remove(&d, WAL);
		uint64_t again = 0;
		OK(read_back(PATH, &o, &again));
		ck_assert_uint_eq(again, index);
	}
	sim_vfs_done(&v);
	sim_disk_done(&d);
}

static void crash_here(void *arg)
{
	struct history *h = arg;
	struct rt_rand rnd;
	rt_rand_seed(&rnd, h->seed++);
	if (h->rarely != 0 && rt_rand_below(&rnd, h->rarely) != 0)
		return;
	recover(h, &(struct sim_crash){ .keep = SIM_KEEP_NONE });
	recover(h, &(struct sim_crash){ .keep = SIM_KEEP_ALL });
	for (int i = 0; i < 3; i++)
		recover(h, &(struct sim_crash){ .keep = SIM_KEEP_RANDOM, .rand = &rnd });
	if (h->rarely != 0)
		return;
	uint64_t bytes = sim_disk_pending_bytes(&h->disk);
	recover(h, &(struct sim_crash){
			   .keep = SIM_KEEP_BYTES, .bytes = rt_rand_below(&rnd, bytes + 1) });
	recover(h, &(struct sim_crash){ .keep = SIM_KEEP_SECTORS, .mask = rt_rand_u64(&rnd) });
}

/* Transactions and checkpoints; stops at the first error that a retry does not mend and returns it.
 * */
static int play(
	struct history *h, struct model *m, size_t transactions, uint32_t changes, int retries)
{
	struct store_db_options o = options_of(h->vfs.name);
	o.cache_kib = 64;
	struct store_db_meta meta;
	int rc;
	do
		rc = store_db_open(PATH, &o, &h->db, &meta, &err);
	while (rc == PANDO_ENOSPC && retries-- > 0);
	if (rc != 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < transactions; i++) {
		struct store_cut *cut = model_step(m, changes);
		h->attempted = (uint64_t)m->mark.zxid;
		do
			rc = store_db_write(h->db, cut, &err);
		while (rc == PANDO_ENOSPC && retries-- > 0);
		store_cut_free(cut);
		if (rc == 0)
			h->acked = h->attempted;
		while (rc == 0 && i % 3 == 1) {
			rc = store_db_checkpoint(h->db, i % 2 == 0, &err);
			if (rc == 0)
				break;
			if (rc == PANDO_ENOSPC && retries-- > 0)
				rc = 0;
		}
	}
	return rc;
}

static void history_begin(struct history *h, struct model *m, uint64_t seed, uint32_t data_max)
{
	memset(h, 0, sizeof *h);
	sim_disk_init(&h->disk);
	sim_vfs_init(&h->vfs, &h->disk);
	model_init(m, seed, data_max);
	h->seed = seed;
}

static void history_end(struct history *h, struct model *m)
{
	h->disk.before_op = NULL;
	h->disk.fail_at = 0;
	store_db_close(h->db);
	sim_vfs_done(&h->vfs);
	sim_disk_done(&h->disk);
	model_done(m);
}

START_TEST(test_crash_at_every_operation)
{
	struct history h;
	struct model m;
	history_begin(&h, &m, (uint64_t)_i + 1, DATA);
	h.disk.before_op = crash_here;
	h.disk.before_arg = &h;
	OK(play(&h, &m, 8, 20, 0));
	crash_here(&h);
	ck_assert_uint_gt(h.crashes, 500);
	history_end(&h, &m);
}
END_TEST

static void crash_rarely(uint64_t seed, uint64_t rarely, size_t transactions, uint32_t data_max)
{
	struct history h;
	struct model m;
	history_begin(&h, &m, seed, data_max);
	h.disk.before_op = crash_here;
	h.disk.before_arg = &h;
	h.rarely = rarely;
	OK(play(&h, &m, transactions, 200, 0));
	h.rarely = 1;
	crash_here(&h);
	ck_assert_uint_gt(h.crashes, 100);
	history_end(&h, &m);
}

START_TEST(test_crash_in_long_histories) { crash_rarely((uint64_t)_i + 1, 60, 40, DATA); }
END_TEST

/* Rows that do not fit in SQLite's cache are in the WAL before the commit. */
START_TEST(test_crash_in_large_transactions) { crash_rarely((uint64_t)_i + 1, 30, 4, 20000); }
END_TEST

/* ---- operations that fail ---- */

/* A sync is final, whatever made it fail. */
static bool of_a_sync(const struct rt_err *e)
{
	return e->code == PANDO_EIO &&
	       (strstr(e->text, "cannot sync") != NULL || strstr(e->text, "durable") != NULL ||
		       strstr(e->text, "cannot remove") != NULL);
}

static void fail_each(int rc, bool all)
{
	struct history h;
	struct model m;
	uint64_t ops = 0;
	size_t failed = 0;
	for (uint64_t at = 0; at <= ops; at++) {
		history_begin(&h, &m, 9, DATA);
		h.disk.fail_at = at;
		h.disk.fail_rc = rc;
		h.disk.fail_all = all;
		int got = play(&h, &m, 5, 20, 0);
		if (at == 0) {
			OK(got);
			ops = h.disk.ops;
			ck_assert_uint_gt(ops, 50);
		}
		bool expected = got == 0 || got == PANDO_EIO ||
				(got == PANDO_ENOSPC && rc == -ENOSPC);
		if (got == PANDO_EIO && rc == -ENOSPC)
			expected = of_a_sync(&err);
		if (!expected)
			ck_abort_msg("op %llu: %d, %s", (unsigned long long)at, got, err.text);
		failed += got != 0;
		if (got == PANDO_EIO && h.db != NULL) { /* for good */
			struct store_cut *cut = model_step(&m, 1);
			ck_assert_int_eq(store_db_error(h.db)->code, PANDO_EIO);
			ck_assert_int_eq(store_db_write(h.db, cut, NULL), PANDO_EIO);
			ck_assert_int_eq(store_db_checkpoint(h.db, false, NULL), PANDO_EIO);
			store_cut_free(cut);
		}
		h.disk.fail_at = 0;
		crash_here(&h);
		history_end(&h, &m);
	}
	ck_assert_uint_gt(failed, ops / 2);
}

START_TEST(test_io_error_is_final) { fail_each(-EIO, false); }
END_TEST
START_TEST(test_io_errors_from_then_on) { fail_each(-EIO, true); }
END_TEST
START_TEST(test_full_disk_from_then_on) { fail_each(-ENOSPC, true); }
END_TEST

/* A disk that is full once: the same call again takes it in. */
START_TEST(test_full_disk_comes_back)
{
	struct history h;
	struct model m;
	uint64_t ops = 0, syncs = 0;
	for (uint64_t at = 0; at <= ops; at++) {
		history_begin(&h, &m, 9, DATA);
		h.disk.fail_at = at;
		h.disk.fail_rc = -ENOSPC;
		int rc = play(&h, &m, 5, 20, 1);
		if (at == 0)
			ops = h.disk.ops;
		crash_here(&h);
		if (rc == PANDO_EIO && of_a_sync(&err)) {
			syncs++;
			history_end(&h, &m);
			continue;
		}
		OK(rc);
		ck_assert_uint_eq(h.acked, (uint64_t)m.mark.zxid);
		uint64_t digest = 0;
		struct store_db_counts counts;
		OK(store_db_load(h.db, &summing, &digest, &counts, &err));
		ck_assert_uint_eq(digest, m.mark.digest);
		history_end(&h, &m);
	}
	ck_assert_uint_lt(syncs, ops / 3);
}
END_TEST

static bool stop_after(void *arg, uint64_t bytes)
{
	uint64_t *left = arg;
	ck_assert_uint_ge(bytes, 8192);
	if (*left == 0)
		return false;
	--*left;
	return true;
}

START_TEST(test_pace_can_stop)
{
	struct history h;
	struct model m;
	struct store_db_meta meta;
	history_begin(&h, &m, 9, DATA);
	uint64_t left = 0;
	struct store_db_options o = options_of(h.vfs.name);
	o.pace = stop_after;
	o.pace_arg = &left;
	h.db = must_open(PATH, &o, &meta);
	struct store_cut *cut = model_step(&m, 100);
	h.attempted = (uint64_t)m.mark.zxid;
	int rc;
	uint64_t tries = 0;
	while ((rc = store_db_write(h.db, cut, &err)) == PANDO_EAGAIN)
		left = ++tries;
	OK(rc);
	ck_assert_uint_gt(tries, 1);
	h.acked = h.attempted;
	left = tries = 0;
	while ((rc = store_db_checkpoint(h.db, false, &err)) == PANDO_EAGAIN) {
		crash_here(&h);
		left = ++tries;
	}
	OK(rc);
	ck_assert_uint_gt(tries, 0);
	crash_here(&h);
	store_cut_free(cut);
	history_end(&h, &m);
}
END_TEST

/* ---- on the system's files ---- */

static char folder[] = "/tmp/pando-test-db-XXXXXX";
static char real_path[100];

static void folder_make(void)
{
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(real_path, sizeof real_path, "%s/%s", folder, STORE_DB_NAME);
}

/* Names and sizes, or removes them all. */
static size_t folder_walk(bool remove_all, char *ret, size_t size)
{
	size_t n = 0;
	DIR *dir = opendir(folder);
	ret[0] = '\0';
	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		char path[400];
		struct stat st;
		(void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
		if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
			continue;
		n++;
		size_t at = strlen(ret);
		(void)snprintf(ret + at, size - at, "%s %lld %lld; ", e->d_name,
			(long long)st.st_size, (long long)st.st_mtim.tv_nsec);
		if (remove_all)
			(void)unlink(path);
	}
	closedir(dir);
	return n;
}

static void folder_drop(void)
{
	char text[1000];
	(void)folder_walk(true, text, sizeof text);
	ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(test_real_files)
{
	struct model m;
	struct store_db_meta meta;
	struct store_db *db, *other;
	char before[1000], after[1000];
	uint64_t index;
	folder_make();
	model_init(&m, 8, DATA);
	struct store_db_options o = options_of(NULL), look = o;
	look.read_only = true;
	db = must_open(real_path, &o, &meta);
	ck_assert_uint_eq(
		folder_walk(false, before, sizeof before), 0); /* the first write makes it */
	for (int i = 0; i < 5; i++) {
		struct store_cut *cut = model_step(&m, 40);
		OK(store_db_write(db, cut, &err));
		store_cut_free(cut);
	}
	ck_assert_uint_eq(folder_walk(false, before, sizeof before), 2); /* it and its WAL */
	ck_assert_int_eq(store_db_open(real_path, &o, &other, &meta, &err), PANDO_EBUSY);
	ck_assert_int_eq(store_db_open(real_path, &look, &other, &meta, &err), PANDO_EBUSY);
	ck_assert(strstr(err.text, "another process") != NULL);
	store_db_close(db);

	/* reading changes nothing, WAL and all */
	(void)folder_walk(false, before, sizeof before);
	OK(read_back(real_path, &look, &index));
	ck_assert_uint_eq(index, (uint64_t)m.mark.zxid);
	ck_assert_uint_eq(folder_walk(false, after, sizeof after), 2);
	ck_assert_str_eq(before, after);

	/* and without a WAL */
	db = must_open(real_path, &o, &meta);
	OK(store_db_checkpoint(db, true, &err));
	store_db_close(db);
	char wal[120];
	(void)snprintf(wal, sizeof wal, "%s-wal", real_path);
	ck_assert_int_eq(unlink(wal), 0);
	OK(read_back(real_path, &look, &index));
	ck_assert_uint_eq(index, (uint64_t)m.mark.zxid);
	ck_assert_uint_eq(folder_walk(false, after, sizeof after), 1);
	model_done(&m);
	folder_drop();
}
END_TEST

START_TEST(test_odd_files)
{
	struct store_db_meta meta;
	struct store_db *db;
	folder_make();
	struct store_db_options o = options_of(NULL), look = o;
	look.create = false;
	db = must_open(real_path, &look, &meta);
	ck_assert(!meta.found);
	struct store_db_counts counts;
	OK(store_db_load(db, &summing, NULL, &counts, &err));
	struct model m;
	model_init(&m, 1, DATA);
	struct store_cut *cut = model_step(&m, 3);
	ck_assert_int_eq(store_db_write(db, cut, &err), PANDO_ENOENT);
	store_db_close(db);

	FILE *f = fopen(real_path, "w"); /* empty: as if there were none */
	fclose(f);
	db = must_open(real_path, &o, &meta);
	ck_assert(!meta.found);
	OK(store_db_write(db, cut, &err));
	store_db_close(db);
	store_cut_free(cut);
	model_done(&m);
	char wal[120];
	(void)snprintf(wal, sizeof wal, "%s-wal", real_path);
	ck_assert_int_eq(unlink(wal), 0);

	f = fopen(real_path, "w");
	for (int i = 0; i < 5000; i++)
		fputs("no database", f);
	fclose(f);
	ck_assert_int_eq(store_db_open(real_path, &o, &db, &meta, &err), PANDO_ECORRUPT);
	ck_assert(strstr(err.text, real_path) != NULL);
	ck_assert_int_eq(unlink(real_path), 0);
	ck_assert_int_eq(mkdir(real_path, 0700), 0);
	ck_assert_int_ne(store_db_open(real_path, &o, &db, &meta, &err), 0);
	ck_assert_int_eq(rmdir(real_path), 0);
	folder_drop();
}
END_TEST

/* ---- the dump ---- */

static int take_line(void *arg, struct rt_slice line)
{
	rt_buf_slice(arg, line);
	rt_buf_char(arg, '\n');
	return 0;
}

START_TEST(test_dump)
{
	struct sim_disk d;
	struct sim_vfs v;
	struct store_db_meta meta;
	sim_disk_init(&d);
	sim_vfs_init(&v, &d);
	struct store_db_options o = options_of(v.name);
	struct store_db *db = must_open(PATH, &o, &meta);
	struct store_fold *fold = store_fold_new();
	struct feed_batch b;
	feed_init(&b);
	static const char *const datas[] = { "plain", "\"quoted\"\\\n\x01", "gr\xc3\xbc\xc3\x9f",
		"\xff\xfe", "" };
	for (int64_t i = 1; i < 7; i++) {
		struct disk_nodes n = {
			.id = i, .parent = i - 1, .name = rt_slice_str("n"), .acl = 1
		};
		if (i < 6)
			n.data = rt_slice_str(datas[i - 1]);
		feed_node(&b, CHANGE_CREATED, &n);
	}
	struct change *c = feed_change(&b);
	memset(c, 0, sizeof *c);
	c->kind = CHANGE_LIST_ADDED;
	c->list = (struct change_list){ .number = 1, .entries = rt_slice_str("list") };
	c = feed_change(&b);
	memset(c, 0, sizeof *c);
	c->kind = CHANGE_SESSION_OPENED;
	c->session = (struct change_session){ .id = 77, .timeout_ms = 4000, .passwd = { 0xab } };
	b.last_zxid = 9;
	b.mark = (struct feed_mark){
		.zxid = 9, .term = 2, .time_ms = 3, .next_node_id = 7, .digest = UINT64_MAX
	};
	store_fold_add(fold, &b);
	feed_done(&b);
	struct store_cut *cut = store_fold_cut(fold);
	OK(store_db_write(db, cut, &err));
	store_cut_free(cut);
	store_fold_free(fold);
	OK(store_db_checkpoint(db, true, &err));
	store_db_close(db);
	sql_on(v.name, "UPDATE nodes SET acl = 2 WHERE id = 6");

	db = must_open(PATH, &o, &meta);
	struct rt_buf out;
	rt_buf_init(&out, 1u << 20);
	OK(store_db_dump_rows(db, take_line, &out, &err));
	rt_buf_char(&out, '\0');
	const char *text = (const char *)out.p;
	static const char *const has[] = {
		"{\"table\":\"meta\",\"id\":1,\"format\":1,\"ensemble_id\":\"e1e1",
		"\"applied_index\":9,\"applied_term\":2,\"time_ms\":3,\"next_node_id\":7,\"digest\":-1,",
		"{\"table\":\"acls\",\"id\":1,\"entries\":\"bGlzdA==\",",
		"{\"table\":\"sessions\",\"id\":77,\"passwd\":\"ab000000000000000000000000000000\",",
		",\"timeout_ms\":4000,",
		"{\"table\":\"nodes\",\"id\":1,\"parent\":0,\"name\":\"n\",\"data\":\"plain\",\"acl\":1,",
		"\"data\":\"\\\"quoted\\\"\\\\\\u000a\\u0001\"",
		"\"data\":\"gr\xc3\xbc\xc3\x9f\"",
		"\"data_base64\":\"//4=\"",
		"\"data\":\"\"",
		"\"data\":null,\"acl\":2,",
	};
	for (size_t i = 0; i < sizeof has / sizeof has[0]; i++)
		if (strstr(text, has[i]) == NULL)
			ck_abort_msg("%s not in\n%s", has[i], text);
	const char *damaged = strstr(text, "\"damaged\":true}\n");
	ck_assert_ptr_nonnull(damaged);
	ck_assert_str_eq(damaged, "\"damaged\":true}\n"); /* the last line only */
	rt_buf_done(&out);
	store_db_close(db);
	sim_vfs_done(&v);
	sim_disk_done(&d);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("db");
	TCase *t = tcase_create("db");
	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, test_states_come_back, 0, 10);
	tcase_add_test(t, test_random_nodes_come_back);
	tcase_add_test(t, test_every_column_is_checked);
	tcase_add_test(t, test_what_is_not_ours_is_refused);
	tcase_add_test(t, test_verify_goes_on_behind_damage);
	tcase_add_test(t, test_no_flipped_bit_passes);
	tcase_add_test(t, test_flipped_wal_is_an_older_state);
	tcase_add_loop_test(t, test_crash_at_every_operation, 0, 3);
	tcase_add_loop_test(t, test_crash_in_long_histories, 0, 2);
	tcase_add_loop_test(t, test_crash_in_large_transactions, 0, 2);
	tcase_add_test(t, test_io_error_is_final);
	tcase_add_test(t, test_io_errors_from_then_on);
	tcase_add_test(t, test_full_disk_from_then_on);
	tcase_add_test(t, test_full_disk_comes_back);
	tcase_add_test(t, test_pace_can_stop);
	tcase_add_test(t, test_real_files);
	tcase_add_test(t, test_odd_files);
	tcase_add_test(t, test_dump);
	suite_add_tcase(suite, t);
	return unit_run(suite);
}
