/* What readers see; and the walks over everything for tests and check builds. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_buf.h"
#include "schema/runtime/rt_mem.h"

#include <stdlib.h>

int64_t state_zxid(const struct state *s) { return s->zxid; }

const struct znode *state_find(const struct state *s, struct rt_slice path)
{
	uint32_t handle = tree_find(s, path);
	return handle != 0 ? tree_at(s, handle) : NULL;
}

void state_node_stat(const struct state *s, const struct znode *n, struct base_stat *ret)
{
	state_stat_of(s, n, ret);
}

struct rt_slice state_node_data(const struct znode *n) { return rt_blob_slice(n->data); }

struct rt_slice state_node_name(const struct znode *n)
{
	return rt_slice_of(znode_name(n), n->name_len);
}

const struct znode *state_first_child(const struct state *s, const struct znode *n)
{
	const struct kids *k = n->owner == 0 ? n->u.kids : NULL;
	return k != NULL && k->first != 0 ? tree_at(s, k->first) : NULL;
}

const struct znode *state_next_sibling(const struct state *s, const struct znode *n)
{
	return n->next != 0 ? tree_at(s, n->next) : NULL;
}

void state_counts(const struct state *s, struct state_counts *ret) { *ret = s->counts; }

static int by_id(const void *a, const void *b)
{
	int64_t x = (*(struct session *const *)a)->id, y = (*(struct session *const *)b)->id;
	return (x > y) - (x < y);
}

/* All sessions in order of id; the caller frees the array. */
static struct session **sessions_sorted(const struct state *s)
{
	struct session **all = rt_alloc((s->sessions.count + (size_t)1) * sizeof *all);
	uint32_t at = 0, n = 0;
	for (struct session *x = rt_set_each(&s->sessions, &at); x != NULL;
		x = rt_set_each(&s->sessions, &at))
		all[n++] = x;
	ASSERT(n == s->sessions.count);
	qsort(all, n, sizeof *all, by_id);
	return all;
}

void state_each_session(const struct state *s, state_session_fn *visit, void *arg)
{
	struct session **all = sessions_sorted(s);
	for (uint32_t i = 0; i < s->sessions.count; i++)
		visit(arg, all[i]->id, all[i]->generation, all[i]->timeout_ms);
	rt_free(all);
}

void state_each_ephemeral(const struct state *s, state_ephemeral_fn *visit, void *arg)
{
	struct session **all = sessions_sorted(s);
	for (uint32_t i = 0; i < s->sessions.count; i++) {
		const struct session *x = all[i];
		if (rt_list_empty(&x->ephemerals))
			continue;
		visit(arg, x->id, NULL);
		rt_list_each (&x->ephemerals, link, next) {
			const struct znode *n =
				tree_at(s, rt_list_entry(link, struct ephemeral, link)->node);
			size_t len = tree_path_len(s, n);
			uint8_t *path = rt_alloc(len);
			tree_path(s, n, path, len);
			struct rt_slice slice = rt_slice_of(path, len);
			visit(arg, x->id, &slice);
			rt_free(path);
		}
	}
	rt_free(all);
}

static void check_node(const struct state *s, uint32_t handle, uint64_t *data_bytes)
{
	const struct znode *n = tree_at(s, handle);
	size_t len = tree_path_len(s, n);
	uint8_t *path = rt_alloc(len);
	tree_path(s, n, path, len);
	ASSERT(tree_find(s, rt_slice_of(path, len)) == handle); /* T2 */
	rt_free(path);
	*data_bytes += len + rt_blob_slice(n->data).len;
	ASSERT(n->acl < s->acls.cap);
	ASSERT(s->acls.lists[n->acl] != NULL);
	ASSERT(n->mzxid >= n->czxid);
	if (n->owner != 0) {
		ASSERT(n->u.ephemeral->node == handle); /* T3 */
		ASSERT(n->u.ephemeral->session == session_find(s, n->owner));
	} else if (n->u.kids != NULL) {
		uint32_t children = 0;
		for (uint32_t child = n->u.kids->first; child != 0;
			child = tree_at(s, child)->next) {
			ASSERT(tree_at(s, child)->parent == handle); /* T1 */
			children++;
		}
		ASSERT(children == n->u.kids->count);
	}
}

void state_check(const struct state *s)
{
	uint64_t nodes = 0, ephemerals = 0, data_bytes = 0, owned = 0;
	for (uint32_t handle = ROOT; handle < s->next_unused; handle++) {
		const struct znode *n = tree_at(s, handle);
		if (n->id == 0)
			continue;
		nodes++;
		ephemerals += n->owner != 0;
		check_node(s, handle, &data_bytes);
	}
	ASSERT(nodes == s->counts.nodes);
	ASSERT(nodes == s->paths.count);
	ASSERT(ephemerals == s->counts.ephemerals);
	ASSERT(data_bytes == s->counts.data_bytes);
	uint32_t at = 0;
	for (struct session *x = rt_set_each(&s->sessions, &at); x != NULL;
		x = rt_set_each(&s->sessions, &at))
		owned += x->ephemeral_count;
	ASSERT(owned == ephemerals);
	ASSERT(s->counts.sessions == s->sessions.count);
}

struct named_node {
	uint8_t *path;
	size_t len;
	const struct znode *node;
};

static int by_path(const void *a, const void *b)
{
	const struct named_node *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int c = memcmp(x->path, y->path, n);
	return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

static void dump_node(const struct state *s, const struct named_node *x, struct rt_buf *out)
{
	const struct znode *n = x->node;
	struct base_stat st;
	state_stat_of(s, n, &st);
	rt_buf_quoted(out, rt_slice_of(x->path, x->len));
	rt_buf_fmt(out,
		" id=%lld c=%lld m=%lld p=%lld ct=%lld mt=%lld v=%d cv=%d av=%d owner=%llx children=%u",
		(long long)n->id, (long long)st.czxid, (long long)st.mzxid, (long long)st.pzxid,
		(long long)st.ctime_ms, (long long)st.mtime_ms, st.version, st.cversion,
		st.aversion, (unsigned long long)st.owner, st.children);
	rt_buf_fmt(out, " created=%lld data=",
		(long long)(n->owner == 0 && n->u.kids != NULL ? n->u.kids->created : 0));
	rt_buf_quoted(out, rt_blob_slice(n->data));
	struct rt_vec acl = state_node_acl(s, n);
	struct rt_reader r = rt_reader_of_vec(acl);
	struct wire_acl a;
	while (rt_left(&r) > 0 && wire_acl_decode(&r, &a) == 0) {
		rt_buf_fmt(out, " acl=%d:", a.perms);
		rt_buf_quoted(out, a.id.scheme);
		rt_buf_quoted(out, a.id.id);
	}
	rt_buf_char(out, '\n');
}

void state_dump(const struct state *s, struct rt_buf *out)
{
	struct named_node *all = rt_alloc((s->counts.nodes + 1) * sizeof *all);
	size_t count = 0;
	for (uint32_t handle = ROOT; handle < s->next_unused; handle++) {
		const struct znode *n = tree_at(s, handle);
		if (n->id == 0)
			continue;
		size_t len = tree_path_len(s, n);
		all[count] = (struct named_node){ rt_alloc(len), len, n };
		tree_path(s, n, all[count++].path, len);
	}
	qsort(all, count, sizeof *all, by_path);
	rt_buf_fmt(out, "zxid %lld\n", (long long)s->zxid);
	for (size_t i = 0; i < count; i++) {
		dump_node(s, &all[i], out);
		rt_free(all[i].path);
	}
	rt_free(all);
	struct session **sessions = sessions_sorted(s);
	for (uint32_t i = 0; i < s->sessions.count; i++)
		rt_buf_fmt(out, "session %llx generation=%u timeout=%d number=%llu ephemerals=%u\n",
			(unsigned long long)sessions[i]->id, sessions[i]->generation,
			sessions[i]->timeout_ms, (unsigned long long)sessions[i]->number,
			sessions[i]->ephemeral_count);
	rt_free(sessions);
}
