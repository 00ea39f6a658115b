/* The fold against a naive model: what cuts say, put into a file one after the other, is always the whole state; rows
 * that the file need not hear of are not in them; and every reference to data is given back. */
#include "daemon/store/store_fold.h"
#include "schema/runtime/rt_mem.h"
#include "schema/runtime/rt_rand.h"
#include "tests/unit/unit.h"

#define IDS 60
#define LISTS 8

struct thing {
	bool live;
	bool touched; /* changed since */
	char name[64];
	struct rt_blob *data;
	int64_t value; /* of some number in it */
};

/* The state, and the file as the cuts left it. */
struct world {
	struct rt_rand rnd;
	struct thing nodes[IDS], sessions[IDS], lists[LISTS];
	struct thing file[STORE_TABLES][IDS];
	int64_t zxid;
};

static struct rt_blob *some_data(struct world *w)
{
	static const uint8_t bytes[40];
	uint64_t n = rt_rand_below(&w->rnd, 41);
	return n == 40 ? NULL : rt_blob_new(rt_slice_of(bytes, n));
}

static struct change *put_node(
	struct world *w, struct feed_batch *b, enum change_kind kind, size_t i)
{
	struct thing *t = &w->nodes[i];
	struct change *c = feed_change(b);
	memset(c, 0, sizeof *c);
	c->kind = kind;
	c->zxid = w->zxid;
	c->node.id = (int64_t)i + 1;
	c->node.parent_id = (int64_t)i / 2;
	c->node.name = feed_copy(b, rt_slice_str(t->name));
	c->node.data = rt_blob_ref(t->data);
	c->node.created = t->value;
	c->node.acl = 7;
	t->touched = true;
	return c;
}

static void change_node(struct world *w, struct feed_batch *b, size_t i)
{
	struct thing *t = &w->nodes[i];
	t->value = (int64_t)rt_rand_u64(&w->rnd);
	if (!t->live) {
		if (t->name[0] != '\0')
			return; /* an id is used once */
		size_t len = 1 + rt_rand_below(&w->rnd, 50);
		memset(t->name, 'a' + (int)(i % 26), len);
		t->live = true;
		t->data = some_data(w);
		put_node(w, b, CHANGE_CREATED, i);
		return;
	}
	switch (rt_rand_below(&w->rnd, 5)) {
	case 0:
		put_node(w, b, CHANGE_DELETED, i);
		rt_blob_unref(t->data);
		t->data = NULL;
		t->live = false;
		break;
	case 1:
	case 2:
		rt_blob_unref(t->data);
		t->data = some_data(w);
		put_node(w, b, CHANGE_DATA, i);
		break;
	default:
		put_node(w, b, rt_rand_below(&w->rnd, 2) ? CHANGE_ACL : CHANGE_STAT, i);
	}
}

static void change_session(struct world *w, struct feed_batch *b, size_t i)
{
	struct thing *t = &w->sessions[i];
	enum change_kind kind = CHANGE_SESSION_NUMBER;
	if (!t->live) {
		if (t->name[0] != '\0')
			return;
		t->name[0] = 's';
		t->live = true;
		kind = CHANGE_SESSION_OPENED;
	} else if (rt_rand_below(&w->rnd, 4) == 0) {
		t->live = false;
		kind = CHANGE_SESSION_CLOSED;
	} else if (rt_rand_below(&w->rnd, 2) == 0) {
		kind = CHANGE_SESSION_ATTACHED;
	}
	t->value = (int64_t)rt_rand_u64(&w->rnd);
	t->touched = true;
	struct change *c = feed_change(b);
	memset(c, 0, sizeof *c);
	c->kind = kind;
	c->zxid = w->zxid;
	c->session.id = (int64_t)i + 1;
	c->session.number = (uint64_t)t->value;
}

/* Numbers of lists are used again. */
static void change_list(struct world *w, struct feed_batch *b, size_t i)
{
	struct thing *t = &w->lists[i];
	t->live = !t->live;
	t->value = (int64_t)rt_rand_below(&w->rnd, 1000);
	t->touched = true;
	struct change *c = feed_change(b);
	memset(c, 0, sizeof *c);
	c->kind = t->live ? CHANGE_LIST_ADDED : CHANGE_LIST_DROPPED;
	c->zxid = w->zxid;
	c->list.number = (uint32_t)i + 1;
	if (t->live)
		c->list.entries = feed_copy(b, rt_slice_of(&t->value, sizeof t->value));
}

static void one_batch(struct world *w, struct store_fold *fold)
{
	struct feed_batch b;
	feed_init(&b);
	for (uint64_t n = rt_rand_below(&w->rnd, 30); n > 0; n--) {
		w->zxid++;
		size_t i = (size_t)rt_rand_below(&w->rnd, IDS);
		uint64_t what = rt_rand_below(&w->rnd, 10);
		if (what < 6)
			change_node(w, &b, i);
		else if (what < 9)
			change_session(w, &b, i);
		else
			change_list(w, &b, i % LISTS);
	}
	w->zxid++;
	b.last_zxid = w->zxid;
	b.mark = (struct feed_mark){ .zxid = w->zxid, .term = 3, .next_node_id = 100, .digest = 5 };
	store_fold_add(fold, &b);
	feed_done(&b);
}

static void take_row(struct world *w, const struct store_row *r)
{
	struct thing *f = &w->file[r->table][r->id - 1];
	ck_assert(r->used);
	ck_assert(!r->deleted || f->live); /* what the file does not have is not deleted from it */
	f->live = !r->deleted;
	if (r->deleted)
		return;
	if (r->table == STORE_TABLE_NODES) {
		struct rt_slice name = store_row_name(r);
		memcpy(f->name, name.p, name.len);
		f->name[name.len] = '\0';
		f->data = r->node.data;
		f->value = r->node.created;
		ck_assert_int_eq(r->node.parent, (r->id - 1) / 2);
	} else if (r->table == STORE_TABLE_SESSIONS) {
		f->value = (int64_t)r->session.number;
	} else {
		ck_assert_uint_eq(r->list.entries_len, sizeof f->value);
		memcpy(&f->value, r->list.entries, sizeof f->value);
	}
}

static void compare(struct world *w, struct thing *things, enum store_table table, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct thing *t = &things[i], *f = &w->file[table][i];
		ck_assert_int_eq(t->live, f->live);
		t->touched = false;
		if (!t->live)
			continue;
		ck_assert_int_eq(t->value, f->value);
		if (table != STORE_TABLE_NODES)
			continue;
		ck_assert_str_eq(t->name, f->name);
		ck_assert(t->data == f->data); /* the same one, not a copy */
	}
}

static size_t rows_touched(const struct thing *things, size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		n += things[i].touched;
	return n;
}

static struct store_cut *one_cut(struct world *w, struct store_fold *fold)
{
	size_t touched = rows_touched(w->nodes, IDS) + rows_touched(w->sessions, IDS) +
			 rows_touched(w->lists, LISTS);
	size_t rows = store_fold_rows(fold);
	ck_assert_uint_le(rows, touched);
	uint64_t bytes = store_fold_bytes(fold);
	ck_assert_int_eq(store_fold_zxid(fold), w->zxid);
	struct store_cut *cut = store_fold_cut(fold);
	ck_assert_uint_eq(store_cut_rows(cut), rows);
	ck_assert_uint_eq(store_cut_bytes(cut), bytes);
	ck_assert_uint_ge(bytes, rows * sizeof(struct store_row));
	ck_assert_int_eq(store_cut_mark(cut)->zxid, w->zxid);
	ck_assert_ptr_null(store_fold_cut(fold));
	ck_assert_uint_eq(store_fold_rows(fold), 0);
	ck_assert_uint_eq(store_fold_bytes(fold), 0);
	ck_assert_int_eq(store_fold_zxid(fold), 0);
	const struct store_row *r;
	for (struct store_cut_walk at = { 0 }; (r = store_cut_each(cut, &at)) != NULL; rows--)
		take_row(w, r);
	ck_assert_uint_eq(rows, 0);
	compare(w, w->lists, STORE_TABLE_LISTS, LISTS);
	compare(w, w->sessions, STORE_TABLE_SESSIONS, IDS);
	compare(w, w->nodes, STORE_TABLE_NODES, IDS);
	return cut;
}

START_TEST(test_cuts_add_up_to_the_state)
{
	struct world w = { 0 };
	rt_rand_seed(&w.rnd, (uint64_t)_i + 1);
	struct store_fold *fold = store_fold_new();
	struct store_cut *old = NULL;
	for (size_t cuts = 0; cuts < 12; cuts++) {
		for (uint64_t n = 1 + rt_rand_below(&w.rnd, 6); n > 0; n--)
			one_batch(&w, fold);
		struct store_cut *cut = one_cut(&w, fold);
		store_cut_free(old);
		old = cut;
	}
	while (!store_cut_release(old, 1))
		;
	/* nobody but the state holds any data now */
	for (size_t i = 0; i < IDS; i++) {
		ck_assert(w.nodes[i].data == NULL || w.nodes[i].data->refs == 1);
		rt_blob_unref(w.nodes[i].data);
	}
	store_fold_free(fold);
}
END_TEST

static struct change *only_change(struct feed_batch *b, int64_t zxid)
{
	feed_init(b);
	b->last_zxid = b->mark.zxid = zxid;
	struct change *c = feed_change(b);
	memset(c, 0, sizeof *c);
	c->zxid = zxid;
	c->node.id = 7;
	c->node.name = rt_slice_str("a name of more than twenty-four bytes");
	return c;
}

static void add_change(
	struct store_fold *fold, int64_t zxid, enum change_kind kind, struct rt_blob *data)
{
	struct feed_batch b;
	struct change *c = only_change(&b, zxid);
	c->kind = kind;
	c->node.data = rt_blob_ref(data);
	store_fold_add(fold, &b);
	feed_done(&b);
}

START_TEST(test_created_and_deleted_vanishes)
{
	struct store_fold *fold = store_fold_new();
	struct rt_blob *data = rt_blob_new(rt_slice_str("data"));
	add_change(fold, 1, CHANGE_CREATED, data);
	ck_assert_uint_eq(data->refs, 2);
	ck_assert_uint_eq(store_fold_rows(fold), 1);
	add_change(fold, 2, CHANGE_DELETED, data);
	ck_assert_uint_eq(data->refs, 1);
	ck_assert_uint_eq(store_fold_rows(fold), 0);
	ck_assert_uint_eq(store_fold_bytes(fold), 0);
	struct store_cut *cut = store_fold_cut(fold);
	ck_assert_ptr_nonnull(cut); /* the mark moved */
	ck_assert_uint_eq(store_cut_rows(cut), 0);
	store_cut_free(cut);

	/* in different cuts it does not */
	add_change(fold, 3, CHANGE_CREATED, data);
	struct store_cut *first = store_fold_cut(fold);
	add_change(fold, 4, CHANGE_DELETED, data);
	struct store_cut *second = store_fold_cut(fold);
	ck_assert_uint_eq(store_cut_rows(first), 1);
	ck_assert_uint_eq(store_cut_rows(second), 1);
	struct store_cut_walk at = { 0 };
	const struct store_row *r = store_cut_each(second, &at);
	ck_assert(r->deleted);
	ck_assert_int_eq(r->id, 7);
	ck_assert_uint_eq(data->refs, 2);
	store_cut_free(second);
	store_cut_free(first);
	ck_assert_uint_eq(data->refs, 1);
	rt_blob_unref(data);
	store_fold_free(fold);
}
END_TEST

START_TEST(test_churn_takes_no_memory)
{
	struct store_fold *fold = store_fold_new();
	struct feed_batch b;
	for (int64_t i = 1; i < 100000; i++) {
		struct change *c = only_change(&b, i);
		c->kind = CHANGE_CREATED;
		c->node.id = i;
		c = feed_change(&b);
		*c = b.changes[0];
		c->kind = CHANGE_DELETED;
		store_fold_add(fold, &b);
		feed_done(&b);
	}
	ck_assert_uint_eq(store_fold_rows(fold), 0);
	ck_assert_uint_eq(store_fold_bytes(fold), 0);
	store_fold_free(fold);
}
END_TEST

START_TEST(test_dropped_with_rows)
{
	struct store_fold *fold = store_fold_new();
	struct rt_blob *data = rt_blob_new(rt_slice_str("data"));
	add_change(fold, 1, CHANGE_CREATED, data);
	struct store_cut *cut = store_fold_cut(fold);
	add_change(fold, 2, CHANGE_DATA, data);
	ck_assert_uint_eq(data->refs, 3);
	store_fold_free(fold);
	ck_assert_uint_eq(data->refs, 2);
	store_cut_free(cut);
	ck_assert_uint_eq(data->refs, 1);
	rt_blob_unref(data);
	store_fold_free(NULL);
	store_cut_free(NULL);
}
END_TEST

START_TEST(test_empty_batches_do_not_count)
{
	struct store_fold *fold = store_fold_new();
	struct feed_batch b;
	feed_init(&b);
	store_fold_add(fold, &b);
	ck_assert_ptr_null(store_fold_cut(fold));
	feed_done(&b);
	store_fold_free(fold);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fold");
	TCase *t = tcase_create("fold");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_cuts_add_up_to_the_state, 0, 100);
	tcase_add_test(t, test_created_and_deleted_vanishes);
	tcase_add_test(t, test_churn_takes_no_memory);
	tcase_add_test(t, test_dropped_with_rows);
	tcase_add_test(t, test_empty_batches_do_not_count);
	suite_add_tcase(suite, t);
	return unit_run(suite);
}
