/* The state as a state file has it. Rows come from a disk: whatever they say is input. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_mem.h"

/* Handles of the nodes loaded so far, in order of their ids, as they come. */
struct loading {
	struct loaded_node {
		int64_t id;
		uint32_t handle;
	} * nodes;
	size_t count;
	size_t cap;
	uint32_t parent; /* of the last node: siblings mostly come together */
	uint8_t *path;   /* of that parent, and room behind it */
	size_t path_len;
	size_t path_cap;
};

bool state_load_list(struct state *s, const struct disk_acls *row)
{
	return row->id > 0 && row->id <= UINT32_MAX && row->entries.p != NULL &&
	       acl_load(s, (uint32_t)row->id, row->entries);
}

bool state_load_session(struct state *s, const struct disk_sessions *row)
{
	if (row->id == 0 || session_find(s, row->id) != NULL)
		return false;
	struct session *x = session_add(s, row->id, row->timeout_ms, row->passwd);
	x->generation = row->generation;
	x->number = row->number;
	x->nonce = row->nonce;
	s->digest += digest_of_session(x);
	return true;
}

static uint32_t handle_of(const struct loading *l, int64_t id)
{
	size_t low = 0, high = l->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (l->nodes[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < l->count && l->nodes[low].id == id ? l->nodes[low].handle : 0;
}

static void remember(struct loading *l, int64_t id, uint32_t handle)
{
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 1024;
		l->nodes = rt_realloc(l->nodes, l->cap * sizeof *l->nodes);
	}
	l->nodes[l->count++] = (struct loaded_node){ id, handle };
}

/* The path of a child of `parent`, in the loading's own memory. */
static struct rt_slice path_of_child(
	struct state *s, struct loading *l, uint32_t parent, struct rt_slice name)
{
	if (l->parent != parent) {
		const struct znode *p = tree_at(s, parent);
		size_t len = parent == ROOT ? 0 : tree_path_len(s, p);
		if (len + 1 > l->path_cap) {
			l->path_cap = len * 2 + 256;
			l->path = rt_realloc(l->path, l->path_cap);
		}
		if (len > 0)
			tree_path(s, p, l->path, len);
		l->path[len] = '/';
		l->path_len = len + 1;
		l->parent = parent;
	}
	if (l->path_len + name.len > l->path_cap) {
		l->path_cap = (l->path_len + name.len) * 2;
		l->path = rt_realloc(l->path, l->path_cap);
	}
	if (name.len != 0)
		memcpy(l->path + l->path_len, name.p, name.len);
	return rt_slice_of(l->path, l->path_len + name.len);
}

static bool row_plausible(const struct state *s, const struct disk_nodes *row)
{
	bool root = row->parent == 0;
	if (row->id <= 0 || row->acl <= 0 || row->acl >= s->acls.cap ||
		s->acls.lists[row->acl] == NULL)
		return false;
	if (row->name.p == NULL || root != (row->name.len == 0) ||
		memchr(row->name.p, '/', row->name.len) != NULL)
		return false;
	return row->owner == 0 || (session_find(s, row->owner) != NULL && row->created == 0);
}

bool state_load_node(struct state *s, const struct disk_nodes *row)
{
	struct loading *l = s->loading;
	if (!row_plausible(s, row) || (l->count > 0 && row->id <= l->nodes[l->count - 1].id))
		return false;
	bool root = row->parent == 0;
	uint32_t parent = root ? 0 : handle_of(l, row->parent);
	if (root ? l->count != 0 : parent == 0 || tree_at(s, parent)->owner != 0)
		return false;
	struct rt_slice path = root ? rt_slice_str("/") : path_of_child(s, l, parent, row->name);
	if (!root && tree_find(s, path) != 0)
		return false;
	s->next_node_id = row->id;
	uint32_t handle = tree_insert(s, parent, path, path.len - row->name.len);
	struct znode *n = tree_at(s, handle);
	n->acl = (uint32_t)row->acl;
	acl_ref(&s->acls, n->acl);
	n->data = rt_blob_new(row->data);
	s->counts.data_bytes += rt_blob_slice(n->data).len;
	n->czxid = row->czxid;
	n->mzxid = row->mzxid;
	n->ctime_ms = row->ctime;
	n->mtime_ms = row->mtime;
	n->version = row->version;
	n->aversion = row->aversion;
	if (row->owner != 0) {
		tree_set_owner(s, handle, session_find(s, row->owner));
	} else if (row->created != 0 || row->cversion != 0 || row->pzxid != row->czxid) {
		struct kids *k = tree_kids(s, handle);
		k->created = row->created;
		k->cversion = row->cversion;
		k->pzxid = row->pzxid;
	}
	s->digest += digest_of_stat(s, n) + digest_of_data(n);
	remember(l, row->id, handle);
	return true;
}

void loading_begin(struct state *s) { s->loading = rt_calloc(1, sizeof *s->loading); }

void loading_done(struct state *s)
{
	if (s->loading == NULL)
		return;
	rt_free(s->loading->nodes);
	rt_free(s->loading->path);
	rt_free(s->loading);
	s->loading = NULL;
}

bool state_loaded(struct state *s, int64_t zxid, int64_t next_node_id, uint64_t digest)
{
	bool complete = s->loading->count > 0 &&
			s->loading->nodes[s->loading->count - 1].id < next_node_id;
	loading_done(s);
	s->zxid = zxid;
	s->next_node_id = next_node_id;
	/* lists that no node has: nothing would ever drop them */
	for (uint32_t i = 1; i < s->acls.cap; i++)
		if (s->acls.lists[i] != NULL && s->acls.lists[i]->refs == 0)
			return false;
	return complete && tree_find(s, rt_slice_str("/zookeeper")) != 0 && s->digest == digest;
}
