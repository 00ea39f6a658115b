/* The state, told by its feed and built again from what was told: whoever puts every change of every batch into
 * its place must hold the whole replicated state. Random histories of all operations, multis that are taken
 * back included; after every few batches the rows are loaded into a new state, which must dump the same text and
 * have the same digest. Catches a change that the feed forgets (a state file would silently lose it), and a
 * digest that drifts from what it sums up. */
#include "tests/unit/unit.h"

#include "daemon/state/state.h"
#include "schema/disk_gen.h"
#include "schema/runtime/rt_mem.h"
#include "schema/runtime/rt_rand.h"
#include "schema/wire_gen.h"

#define MAX_ROWS 4096
#define SESSIONS 4
#define NAMES 12

/* The rows, as a state file would hold them: a plain array each, searched from the front. */
struct rows {
	struct disk_nodes nodes[MAX_ROWS];
	size_t node_count;
	struct disk_sessions sessions[64];
	size_t session_count;
	struct disk_acls lists[256];
	size_t list_count;
};

static struct rt_slice copy(struct rt_slice s)
{
	if (s.p == NULL)
		return s;
	uint8_t *p = rt_alloc(s.len);
	if (s.len != 0)
		memcpy(p, s.p, s.len);
	return rt_slice_of(p, s.len);
}

static void put_node(struct rows *r, const struct change_node *n)
{
	size_t i = 0;
	while (i < r->node_count && r->nodes[i].id != n->id)
		i++;
	ck_assert_uint_lt(i, MAX_ROWS);
	if (i == r->node_count) {
		r->node_count++;
	} else {
		rt_free((void *)(uintptr_t)r->nodes[i].name.p);
		rt_free((void *)(uintptr_t)r->nodes[i].data.p);
	}
	r->nodes[i] = (struct disk_nodes){
		.id = n->id,
		.parent = n->parent_id,
		.name = copy(n->name),
		.data = copy(rt_blob_slice(n->data)),
		.acl = n->acl,
		.czxid = n->stat.czxid,
		.mzxid = n->stat.mzxid,
		.pzxid = n->stat.pzxid,
		.ctime = n->stat.ctime_ms,
		.mtime = n->stat.mtime_ms,
		.version = n->stat.version,
		.cversion = n->stat.cversion,
		.aversion = n->stat.aversion,
		.owner = n->stat.owner,
		.created = n->created,
	};
}

static void drop_node(struct rows *r, int64_t id)
{
	size_t i = 0;
	while (i < r->node_count && r->nodes[i].id != id)
		i++;
	if (i == r->node_count)
		return;
	rt_free((void *)(uintptr_t)r->nodes[i].name.p);
	rt_free((void *)(uintptr_t)r->nodes[i].data.p);
	r->nodes[i] = r->nodes[--r->node_count];
}

static void put_session(struct rows *r, const struct change_session *x, bool gone)
{
	size_t i = 0;
	while (i < r->session_count && r->sessions[i].id != x->id)
		i++;
	if (gone) {
		ck_assert_uint_lt(i, r->session_count);
		r->sessions[i] = r->sessions[--r->session_count];
		return;
	}
	if (i == r->session_count)
		r->session_count++;
	r->sessions[i] = (struct disk_sessions){ .id = x->id,
		.timeout_ms = x->timeout_ms,
		.generation = x->generation,
		.number = x->number,
		.nonce = x->nonce };
	memcpy(r->sessions[i].passwd, x->passwd, 16);
}

static void put_list(struct rows *r, const struct change_list *l)
{
	size_t i = 0;
	while (i < r->list_count && r->lists[i].id != l->number)
		i++;
	if (i < r->list_count) {
		rt_free((void *)(uintptr_t)r->lists[i].entries.p);
		r->lists[i] = r->lists[--r->list_count];
	}
	if (l->entries.p != NULL)
		r->lists[r->list_count++] =
			(struct disk_acls){ .id = l->number, .entries = copy(l->entries) };
}

static void put_batch(struct rows *r, const struct feed_batch *fb)
{
	for (uint32_t i = 0; i < fb->change_count; i++) {
		const struct change *c = &fb->changes[i];
		if (c->kind == CHANGE_DELETED)
			drop_node(r, c->node.id);
		else if (change_is_node(c))
			put_node(r, &c->node);
		else if (change_is_session(c))
			put_session(r, &c->session, c->kind == CHANGE_SESSION_CLOSED);
		else
			put_list(r, &c->list);
	}
}

static int by_node_id(const void *a, const void *b)
{
	int64_t x = ((const struct disk_nodes *)a)->id, y = ((const struct disk_nodes *)b)->id;
	return (x > y) - (x < y);
}

static void check_same(struct state *s, struct rows *r, const struct feed_mark *mark)
{
	struct state *t = state_new_empty(77);
	for (size_t i = 0; i < r->list_count; i++)
		ck_assert(state_load_list(t, &r->lists[i]));
	for (size_t i = 0; i < r->session_count; i++)
		ck_assert(state_load_session(t, &r->sessions[i]));
	qsort(r->nodes, r->node_count, sizeof r->nodes[0], by_node_id);
	for (size_t i = 0; i < r->node_count; i++)
		ck_assert(state_load_node(t, &r->nodes[i]));
	ck_assert(state_loaded(t, mark->zxid, mark->next_node_id, mark->digest));
	state_check(t);
	struct rt_buf a, b;
	rt_buf_init(&a, 64u << 20);
	rt_buf_init(&b, 64u << 20);
	state_dump(s, &a);
	state_dump(t, &b);
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_mem_eq(a.p, b.p, a.len);
	rt_buf_done(&a);
	rt_buf_done(&b);
	state_free(t);
}

/* A history: sessions opened, moved and ended, and requests of all kinds in them. */
struct history {
	struct rt_rand rnd;
	struct state *s;
	struct feed_batch fb;
	int64_t index;
	struct {
		int64_t id;
		uint32_t generation;
		uint64_t number;
		uint8_t passwd[16];
	} sessions[SESSIONS];
};

static uint64_t pick(struct history *h, uint64_t n) { return rt_rand_below(&h->rnd, n); }

static void apply(struct history *h, const uint8_t *payload, size_t len)
{
	struct state_entry e = {
		.index = ++h->index, .payload = rt_slice_of(payload, len), .origin.shard = 0
	};
	ck_assert_int_eq(state_apply(h->s, &e, &h->fb), 0);
	state_check(h->s);
}

static struct rt_writer entry_begin(uint8_t *buf, size_t room, uint8_t kind, struct history *h)
{
	struct rt_writer w = rt_writer_of(buf, room);
	disk_entry_header_encode(
		&w, &(struct disk_entry_header){
			    .kind = kind, .level = 1, .time_ms = 1000 + h->index });
	return w;
}

static void session_step(struct history *h, size_t i)
{
	uint8_t buf[256];
	struct rt_writer w;
	if (h->sessions[i].id == 0) {
		struct disk_entry_session_open q = { .server_id = 3, .timeout_ms = 4000 };
		for (int b = 0; b < 16; b++)
			q.passwd[b] = (uint8_t)rt_rand_u64(&h->rnd);
		w = entry_begin(buf, sizeof buf, DISK_ENTRY_KIND_SESSION_OPEN, h);
		disk_entry_session_open_encode(&w, &q);
		apply(h, buf, (size_t)(w.p - buf));
		const struct result *r = &h->fb.results[0].v[h->fb.results[0].count - 1];
		h->sessions[i].id = r->session.id;
		h->sessions[i].generation = r->session.generation;
		h->sessions[i].number = 0;
		memcpy(h->sessions[i].passwd, q.passwd, 16);
	} else if (pick(h, 2) == 0) {
		struct disk_entry_session_attach q = { .session_id = h->sessions[i].id,
			.timeout_ms = 8000,
			.passwd = { h->sessions[i].passwd, 16 },
			.nonce = rt_rand_u64(&h->rnd) };
		w = entry_begin(buf, sizeof buf, DISK_ENTRY_KIND_SESSION_ATTACH, h);
		disk_entry_session_attach_encode(&w, &q);
		apply(h, buf, (size_t)(w.p - buf));
		h->sessions[i].generation++;
		h->sessions[i].number = 0;
	} else {
		struct disk_entry_session_expire q = { h->sessions[i].id,
			h->sessions[i].generation };
		w = entry_begin(buf, sizeof buf, DISK_ENTRY_KIND_SESSION_EXPIRE, h);
		disk_entry_session_expire_encode(&w, &q);
		apply(h, buf, (size_t)(w.p - buf));
		h->sessions[i].id = 0;
	}
}

static struct rt_slice random_path(struct history *h, char *buf)
{
	size_t n = 0;
	for (uint64_t depth = 1 + pick(h, 3); depth > 0; depth--) {
		buf[n++] = '/';
		uint64_t name = pick(h, NAMES);
		/* some names are longer than what a node holds inline */
		for (uint64_t k = name % 3 == 0 ? 20 : 1; k > 0; k--)
			buf[n++] = (char)('a' + name);
	}
	return rt_slice_of(buf, n);
}

static struct rt_slice random_data(struct history *h, uint8_t *buf)
{
	uint64_t kind = pick(h, 5);
	if (kind == 0)
		return (struct rt_slice){ NULL, 0 };
	size_t n = kind == 1 ? 0 : (size_t)pick(h, 40);
	for (size_t i = 0; i < n; i++)
		buf[i] = (uint8_t)rt_rand_u64(&h->rnd);
	return rt_slice_of(buf, n);
}

static struct rt_vec random_acl(struct history *h, uint8_t *buf)
{
	struct rt_writer w = rt_writer_of(buf, 128);
	struct wire_acl a = { .perms = (int32_t)(31 - pick(h, 3) * 8),
		.id = { rt_slice_str("world"), rt_slice_str("anyone") } };
	struct wire_acl d = { .perms = (int32_t)pick(h, 4),
		.id = { rt_slice_str("digest"), rt_slice_str("u:p") } };
	wire_acl_encode(&w, &a);
	wire_acl_encode(&w, &d);
	return (struct rt_vec){ buf, (uint32_t)(w.p - buf), 2 };
}

static void put_operation(struct history *h, struct rt_writer *w, int32_t op)
{
	char path[256];
	uint8_t data[64], acl[128];
	struct rt_slice p = random_path(h, path);
	if (op == WIRE_OP_CREATE)
		wire_create_request_encode(
			w, &(struct wire_create_request){ p, random_data(h, data),
				   random_acl(h, acl), (int32_t)pick(h, 4) });
	else if (op == WIRE_OP_DELETE)
		wire_delete_request_encode(w, &(struct wire_delete_request){ p, -1 });
	else if (op == WIRE_OP_SET_DATA)
		wire_set_data_request_encode(
			w, &(struct wire_set_data_request){ p, random_data(h, data), -1 });
	else if (op == WIRE_OP_SET_ACL)
		wire_set_acl_request_encode(
			w, &(struct wire_set_acl_request){ p, random_acl(h, acl), -1 });
	else
		wire_check_version_request_encode(w, &(struct wire_check_version_request){ p, -1 });
}

static const int32_t singles[] = { WIRE_OP_CREATE, WIRE_OP_CREATE, WIRE_OP_CREATE, WIRE_OP_DELETE,
	WIRE_OP_SET_DATA, WIRE_OP_SET_ACL };
static const int32_t parts[] = { WIRE_OP_CREATE, WIRE_OP_CREATE, WIRE_OP_DELETE, WIRE_OP_SET_DATA,
	WIRE_OP_CHECK };

static void request_step(struct history *h, size_t i)
{
	uint8_t buf[8192];
	if (h->sessions[i].id == 0)
		return;
	bool multi = pick(h, 3) == 0;
	int32_t op = multi ? WIRE_OP_MULTI : singles[pick(h, 6)];
	struct disk_entry_request q = { .session_id = h->sessions[i].id,
		.generation = h->sessions[i].generation,
		.number = ++h->sessions[i].number,
		.op = op };
	struct rt_writer w = entry_begin(buf, sizeof buf, DISK_ENTRY_KIND_REQUEST, h);
	disk_entry_request_encode(&w, &q);
	for (uint64_t n = multi ? 1 + pick(h, 5) : 0; n > 0; n--) {
		int32_t part = parts[pick(h, 5)];
		wire_multi_header_encode(
			&w, &(struct wire_multi_header){ .type = part, .err = -1 });
		put_operation(h, &w, part);
	}
	if (multi)
		wire_multi_header_encode(
			&w, &(struct wire_multi_header){ .type = -1, .done = true, .err = -1 });
	else
		put_operation(h, &w, op);
	ck_assert(!w.full);
	apply(h, buf, (size_t)(w.p - buf));
}

static void rows_free(struct rows *r)
{
	while (r->node_count > 0)
		drop_node(r, r->nodes[0].id);
	for (size_t i = 0; i < r->list_count; i++)
		rt_free((void *)(uintptr_t)r->lists[i].entries.p);
	rt_free(r);
}

START_TEST(test_the_feed_tells_the_whole_state)
{
	struct history h = { .s = state_new(99) };
	struct rows *rows = rt_calloc(1, sizeof *rows);
	rt_rand_seed(&h.rnd, (uint64_t)_i);
	feed_init(&h.fb);
	for (int batch = 0; batch < 150; batch++) {
		for (uint64_t n = 1 + pick(&h, 12); n > 0; n--) {
			size_t i = (size_t)pick(&h, SESSIONS);
			if (pick(&h, 25) == 0 || h.sessions[i].id == 0)
				session_step(&h, i);
			else
				request_step(&h, i);
		}
		state_seal(h.s, &h.fb);
		put_batch(rows, &h.fb);
		if (batch % 10 == 0 || batch == 149)
			check_same(h.s, rows, &h.fb.mark);
		feed_clear(&h.fb);
	}
	feed_done(&h.fb);
	rows_free(rows);
	state_free(h.s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state file");
	TCase *c = tcase_create("feed");
	tcase_set_timeout(c, 120);
	tcase_add_loop_test(c, test_the_feed_tells_the_whole_state, 1, 21);
	suite_add_tcase(suite, c);
	return unit_run(suite);
}
