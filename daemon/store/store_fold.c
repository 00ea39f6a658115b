/* The fold and its cuts. See store_fold.h.
 *
 * Rows live in chunks that never move, found through a set keyed by table and id. The set is split
 * in parts, so that no single growth of one holds up the core thread: a million rows are 16
 * thousand a part, and the parts fill up at different times.
 *
 * Invariants:
 *  I1  A used row is in the set once, and holds one reference to its data; an unused one holds
 *  nothing.
 *  I2  A row that is fresh is not deleted: a delete of it frees it instead.
 *  I3  bytes is the sum of row_bytes over used rows. */
#include "daemon/store/store_fold.h"

#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"
#include "schema/runtime/rt_set.h"

/* Over a megabyte, so that the kernel gets it back when the cut is done with. */
#define CHUNK_ROWS 8000u
#define PARTS 64u

struct row_chunk {
	struct row_chunk *next;
	uint32_t count; /* rows handed out */
	struct store_row rows[CHUNK_ROWS];
};

/* What the fold fills and a cut takes away. */
struct row_pool {
	struct row_chunk *chunks; /* in the order of their making: new nodes then come out by id */
	struct row_chunk *last;
	struct store_row *free;
	struct rt_set parts[PARTS];
	size_t rows;
	uint64_t bytes;
};

struct store_fold {
	struct row_pool pool;
	struct feed_mark mark;
	uint64_t seed;
	bool moved; /* a batch came since the last cut */
};

struct store_cut {
	struct row_pool pool;
	struct feed_mark mark;
};

static uint64_t row_bytes(const struct store_row *r)
{
	uint64_t n = sizeof *r;
	if (r->deleted)
		return n;
	if (r->table == STORE_TABLE_LISTS)
		return n + r->list.entries_len;
	if (r->table == STORE_TABLE_SESSIONS)
		return n;
	if (r->node.name_len > STORE_ROW_NAME_BYTES)
		n += r->node.name_len;
	return n + (r->node.data != NULL ? r->node.data->len : 0);
}

/* What the row holds besides its own memory. */
static void row_drop(struct store_row *r)
{
	if (r->deleted)
		return;
	if (r->table == STORE_TABLE_LISTS) {
		rt_free(r->list.entries);
	} else if (r->table == STORE_TABLE_NODES) {
		rt_blob_unref(r->node.data);
		if (r->node.name_len > STORE_ROW_NAME_BYTES)
			rt_free(r->node.name.heap);
	}
}

static struct store_row *pool_take(struct row_pool *p)
{
	struct store_row *r = p->free;
	if (r != NULL) {
		p->free = r->next_free;
		return r;
	}
	struct row_chunk *c = p->last;
	if (c == NULL || c->count == CHUNK_ROWS) {
		c = rt_alloc(sizeof *c);
		c->count = 0;
		c->next = NULL;
		if (p->last != NULL)
			p->last->next = c;
		else
			p->chunks = c;
		p->last = c;
	}
	return &c->rows[c->count++];
}

static uint64_t row_hash(const struct store_fold *fold, enum store_table table, int64_t id)
{
	return rt_hash_u64((uint64_t)id, fold->seed + table);
}

/* The upper bits choose the part, the lower the place in it. */
static struct rt_set *row_part(struct row_pool *p, uint64_t hash) { return &p->parts[hash >> 58]; }

static struct store_row *row_find(struct store_fold *fold, enum store_table table, int64_t id)
{
	uint64_t hash = row_hash(fold, table, id);
	const struct rt_set *s = row_part(&fold->pool, hash);
	uint32_t at;
	for (struct store_row *r = rt_set_first(s, (uint32_t)hash, &at); r != NULL;
		r = rt_set_next(s, (uint32_t)hash, &at)) {
		if (r->id == id && r->table == table)
			return r;
	}
	return NULL;
}

static struct store_row *row_add(struct store_fold *fold, enum store_table table, int64_t id)
{
	uint64_t hash = row_hash(fold, table, id);
	struct store_row *r = pool_take(&fold->pool);
	r->table = (uint8_t)table;
	r->used = true;
	r->deleted = true; /* holds nothing yet */
	r->fresh = false;
	r->id = id;
	rt_set_add(row_part(&fold->pool, hash), (uint32_t)hash, r);
	fold->pool.rows++;
	return r;
}

static void row_vanish(struct store_fold *fold, struct store_row *r)
{
	uint64_t hash = row_hash(fold, r->table, r->id);
	rt_set_remove(row_part(&fold->pool, hash), (uint32_t)hash, r);
	r->used = false;
	r->next_free = fold->pool.free;
	fold->pool.free = r;
	fold->pool.rows--;
}

static void fold_delete(struct store_fold *fold, enum store_table table, int64_t id)
{
	struct row_pool *p = &fold->pool;
	struct store_row *r = row_find(fold, table, id);
	if (r == NULL) {
		r = row_add(fold, table, id);
		p->bytes += row_bytes(r);
		return;
	}
	p->bytes -= row_bytes(r);
	row_drop(r);
	r->deleted = true;
	if (r->fresh) { /* I2 */
		row_vanish(fold, r);
		return;
	}
	p->bytes += row_bytes(r);
}

/* The row to put, found or new (then it is marked deleted); the caller fills it and adds its
 * bytes. */
static struct store_row *fold_put(
	struct store_fold *fold, enum store_table table, int64_t id, bool made)
{
	struct store_row *r = row_find(fold, table, id);
	if (r == NULL) {
		r = row_add(fold, table, id);
		r->fresh = made;
		return r;
	}
	ASSERT(!r->deleted ||
		table == STORE_TABLE_LISTS); /* ids of nodes and sessions are not used again */
	fold->pool.bytes -= row_bytes(r);
	return r;
}

static void node_name(struct store_row_node *n, struct rt_slice name)
{
	n->name_len = name.len;
	uint8_t *p = n->name.bytes;
	if (name.len > STORE_ROW_NAME_BYTES)
		p = n->name.heap = rt_alloc(name.len);
	if (name.len != 0)
		memcpy(p, name.p, name.len);
}

static void fold_node(struct store_fold *fold, enum change_kind kind, const struct change_node *c)
{
	struct store_row *r = fold_put(fold, STORE_TABLE_NODES, c->id, kind == CHANGE_CREATED);
	struct store_row_node *n = &r->node;
	if (r->deleted) {
		/* new here: a node's name and parent never change */
		r->deleted = false;
		n->parent = c->parent_id;
		n->data = NULL;
		node_name(n, c->name);
	}
	if (n->data != c->data) {
		rt_blob_unref(n->data);
		n->data = rt_blob_ref(c->data);
	}
	n->stat = c->stat;
	n->created = c->created;
	n->acl = c->acl;
	fold->pool.bytes += row_bytes(r);
}

static void fold_session(
	struct store_fold *fold, enum change_kind kind, const struct change_session *c)
{
	struct store_row *r =
		fold_put(fold, STORE_TABLE_SESSIONS, c->id, kind == CHANGE_SESSION_OPENED);
	r->deleted = false;
	struct store_row_session *s = &r->session;
	memcpy(s->passwd, c->passwd, sizeof s->passwd);
	s->timeout_ms = c->timeout_ms;
	s->generation = c->generation;
	s->number = c->number;
	s->nonce = c->nonce;
	fold->pool.bytes += row_bytes(r);
}

static void fold_list(struct store_fold *fold, const struct change_list *c)
{
	struct store_row *r = fold_put(fold, STORE_TABLE_LISTS, c->number, true);
	row_drop(r);
	r->deleted = false;
	struct store_row_list *l = &r->list;
	l->entries_len = c->entries.len;
	l->entries = rt_alloc(c->entries.len);
	if (c->entries.len != 0)
		memcpy(l->entries, c->entries.p, c->entries.len);
	fold->pool.bytes += row_bytes(r);
}

static void fold_change(struct store_fold *fold, const struct change *c)
{
	switch (c->kind) {
	case CHANGE_CREATED:
	case CHANGE_DATA:
	case CHANGE_ACL:
	case CHANGE_STAT:
		fold_node(fold, c->kind, &c->node);
		return;
	case CHANGE_DELETED:
		fold_delete(fold, STORE_TABLE_NODES, c->node.id);
		return;
	case CHANGE_SESSION_OPENED:
	case CHANGE_SESSION_ATTACHED:
	case CHANGE_SESSION_NUMBER:
		fold_session(fold, c->kind, &c->session);
		return;
	case CHANGE_SESSION_CLOSED:
		fold_delete(fold, STORE_TABLE_SESSIONS, c->session.id);
		return;
	case CHANGE_LIST_ADDED:
		fold_list(fold, &c->list);
		return;
	case CHANGE_LIST_DROPPED:
		fold_delete(fold, STORE_TABLE_LISTS, c->list.number);
		return;
	}
	UNREACHABLE("no such change");
}

void store_fold_add(struct store_fold *fold, const struct feed_batch *b)
{
	if (b->last_zxid == 0) {
		ASSERT(b->change_count == 0);
		return;
	}
	ASSERT(b->mark.zxid >= fold->mark.zxid);
	for (uint32_t i = 0; i < b->change_count; i++)
		fold_change(fold, &b->changes[i]);
	fold->mark = b->mark;
	fold->moved = true;
}

struct store_fold *store_fold_new(void)
{
	struct store_fold *fold = rt_calloc(1, sizeof *fold);
	fold->seed = (uintptr_t)fold; /* ids are not a client's to choose: any seed does */
	return fold;
}

size_t store_fold_rows(const struct store_fold *fold) { return fold->pool.rows; }
uint64_t store_fold_bytes(const struct store_fold *fold) { return fold->pool.bytes; }
int64_t store_fold_zxid(const struct store_fold *fold) { return fold->moved ? fold->mark.zxid : 0; }

struct store_cut *store_fold_cut(struct store_fold *fold)
{
	if (!fold->moved)
		return NULL;
	struct store_cut *cut = rt_alloc(sizeof *cut);
	cut->pool = fold->pool;
	cut->mark = fold->mark;
	fold->pool = (struct row_pool){ 0 };
	fold->moved = false;
	return cut;
}

const struct feed_mark *store_cut_mark(const struct store_cut *cut) { return &cut->mark; }
size_t store_cut_rows(const struct store_cut *cut) { return cut->pool.rows; }
uint64_t store_cut_bytes(const struct store_cut *cut) { return cut->pool.bytes; }

const struct store_row *store_cut_each(const struct store_cut *cut, struct store_cut_walk *at)
{
	if (!at->begun) {
		at->begun = true;
		at->chunk = cut->pool.chunks;
		at->row = 0;
	}
	for (; at->chunk != NULL;
		at->chunk = ((const struct row_chunk *)at->chunk)->next, at->row = 0) {
		const struct row_chunk *c = at->chunk;
		while (at->row < c->count) {
			const struct store_row *r = &c->rows[at->row++];
			if (r->used)
				return r;
		}
	}
	return NULL;
}

/* One chunk with what its rows hold. */
static void pool_drop_chunk(struct row_pool *p)
{
	struct row_chunk *c = p->chunks;
	for (uint32_t i = 0; i < c->count; i++)
		if (c->rows[i].used)
			row_drop(&c->rows[i]);
	p->chunks = c->next;
	rt_free(c);
}

static bool pool_drop(struct row_pool *p, size_t rows)
{
	for (size_t done = 0; p->chunks != NULL && done < rows; done += CHUNK_ROWS)
		pool_drop_chunk(p);
	if (p->chunks != NULL)
		return false;
	for (size_t i = 0; i < PARTS; i++)
		rt_set_done(&p->parts[i]);
	return true;
}

bool store_cut_release(struct store_cut *cut, size_t rows)
{
	ASSERT(rows > 0);
	if (!pool_drop(&cut->pool, rows))
		return false;
	rt_free(cut);
	return true;
}

void store_cut_free(struct store_cut *cut)
{
	if (cut != NULL)
		(void)store_cut_release(cut, SIZE_MAX);
}

void store_fold_free(struct store_fold *fold)
{
	if (fold == NULL)
		return;
	(void)pool_drop(&fold->pool, SIZE_MAX);
	rt_free(fold);
}
