/* The operations on the tree, one function each, with ZooKeeper's order of checks; and how a multi's are
 * taken back. Each operation checks first and changes then: it changes everything or nothing. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_buf.h"
#include "schema/runtime/rt_mem.h"

#define NUMBER_DIGITS 10u

static struct undo *undo_push(struct state *s, enum undo_kind kind, uint32_t node)
{
	if (s->undo_count == s->undo_cap) {
		s->undo_cap = s->undo_cap ? s->undo_cap * 2 : 16;
		s->undo = rt_realloc(s->undo, s->undo_cap * sizeof *s->undo);
	}
	struct undo *u = &s->undo[s->undo_count++];
	*u = (struct undo){ .kind = kind, .node = node };
	return u;
}

static void undo_keep_parent(struct undo *u, const struct kids *k)
{
	u->parent_cversion = k->cversion;
	u->parent_pzxid = k->pzxid;
	u->parent_created = k->created;
}

static void undo_parent(struct state *s, const struct undo *u)
{
	struct kids *k = tree_kids(s, tree_at(s, u->node)->parent);
	k->cversion = u->parent_cversion;
	k->pzxid = u->parent_pzxid;
	k->created = u->parent_created;
}

static void set_data(struct state *s, struct znode *n, struct rt_blob *data)
{
	s->counts.data_bytes += rt_blob_slice(data).len;
	s->counts.data_bytes -= rt_blob_slice(n->data).len;
	n->data = data;
}

void undo_all(struct state *s)
{
	while (s->undo_count > 0) {
		struct undo *u = &s->undo[--s->undo_count];
		struct znode *n = tree_at(s, u->node);
		struct rt_blob *after;
		switch (u->kind) {
		case UNDO_CREATE:
			undo_parent(s, u);
			tree_unlink(s, u->node);
			tree_free(s, u->node);
			s->next_node_id--;
			break;
		case UNDO_DELETE:
			tree_relink(s, u->node);
			undo_parent(s, u);
			break;
		case UNDO_SET:
			after = n->data;
			set_data(s, n, u->data);
			rt_blob_unref(after);
			n->mzxid = u->mzxid;
			n->mtime_ms = u->mtime_ms;
			n->version = u->version;
			break;
		}
	}
}

void undo_forget(struct state *s)
{
	for (uint32_t i = 0; i < s->undo_count; i++) {
		struct undo *u = &s->undo[i];
		if (u->kind == UNDO_DELETE)
			tree_free(s, u->node);
		else if (u->kind == UNDO_SET)
			rt_blob_unref(u->data);
	}
	s->undo_count = 0;
}

/* Versions wrap as Java's int does. */
static int32_t plus_one(int32_t version) { return (int32_t)((uint32_t)version + 1); }

static bool version_fits(int32_t expected, int32_t version)
{
	return expected == -1 || expected == version;
}

void state_stat_of(const struct state *s, const struct znode *n, struct base_stat *ret)
{
	const struct kids *k = n->owner == 0 ? n->u.kids : NULL;
	*ret = (struct base_stat){
		.czxid = n->czxid,
		.mzxid = n->mzxid,
		.pzxid = k != NULL ? k->pzxid : n->czxid,
		.ctime_ms = n->ctime_ms,
		.mtime_ms = n->mtime_ms,
		.owner = n->owner,
		.version = n->version,
		.cversion = k != NULL ? k->cversion : 0,
		.aversion = n->aversion,
		.data_bytes = rt_blob_slice(n->data).len,
		.children = k != NULL ? k->count : 0,
	};
}

struct wire_stat state_wire_stat(const struct base_stat *st)
{
	return (struct wire_stat){
		.czxid = st->czxid,
		.mzxid = st->mzxid,
		.ctime = st->ctime_ms,
		.mtime = st->mtime_ms,
		.version = st->version,
		.cversion = st->cversion,
		.aversion = st->aversion,
		.ephemeral_owner = st->owner,
		.data_length = (int32_t)st->data_bytes,
		.num_children = (int32_t)st->children,
		.pzxid = st->pzxid,
	};
}

/* Tells the feed about a node; path lives in the arena already. */
static void tell(
	const struct op_context *c, enum change_kind kind, uint32_t handle, struct rt_slice path)
{
	struct change *ch = feed_change(c->fb);
	const struct znode *n = tree_at(c->s, handle);
	ch->kind = kind;
	ch->zxid = c->zxid;
	change_fill(c->s, n, &ch->node);
	ch->node.path = path;
	ch->node.name = (struct rt_slice){ path.p + path.len - n->name_len, n->name_len };
}

/* A child came or went. */
static void child_changed(const struct op_context *c, uint32_t parent, struct kids *k, bool came)
{
	struct state *s = c->s;
	const struct znode *p = tree_at(s, parent);
	s->digest -= digest_of_stat(s, p);
	k->created += came;
	k->cversion = plus_one(k->cversion);
	k->pzxid = c->zxid;
	s->digest += digest_of_stat(s, p);
	touch_node(s, parent);
}

/* The path with its number behind it, in the arena. */
static struct rt_slice numbered_path(
	const struct op_context *c, struct rt_slice path, int64_t number)
{
	char digits[20];
	size_t n = 0;
	for (uint64_t v = (uint64_t)number; v != 0 || n < NUMBER_DIGITS; v /= 10)
		digits[sizeof digits - ++n] = (char)('0' + v % 10);
	uint8_t *p = feed_alloc(c->fb, path.len + n);
	memcpy(p, path.p, path.len);
	memcpy(p + path.len, digits + sizeof digits - n, n);
	return rt_slice_of(p, path.len + n);
}

/* Everything that a create is judged by, in ZooKeeper's order; the ACL comes back interned and must be
 * released when this answers anything but OK later than INVALID_ACL. */
static int create_judge(const struct op_context *c, const struct wire_create_request *q,
	struct rt_slice *ret_path, uint32_t *ret_parent, uint32_t *ret_acl)
{
	struct state *s = c->s;
	if (q->flags < WIRE_CREATE_MODE_PERSISTENT ||
		q->flags > WIRE_CREATE_MODE_EPHEMERAL_SEQUENTIAL)
		return ZK_BAD_ARGUMENTS;
	int64_t slash = path_last_slash(q->path);
	if (slash < 0 || memchr(q->path.p, '\0', q->path.len) != NULL)
		return ZK_BAD_ARGUMENTS;
	*ret_acl = acl_intern_request(s, q->acl, c->identities);
	if (*ret_acl == 0)
		return ZK_INVALID_ACL;
	*ret_parent = tree_find(s, (struct rt_slice){ q->path.p, slash > 0 ? (uint32_t)slash : 1 });
	if (*ret_parent == 0)
		return ZK_NO_NODE;
	const struct znode *parent = tree_at(s, *ret_parent);
	if (!op_permitted(c, parent, WIRE_PERM_CREATE))
		return ZK_NO_AUTH;
	if ((q->flags & WIRE_CREATE_MODE_PERSISTENT_SEQUENTIAL) != 0) {
		int64_t number =
			parent->owner == 0 && parent->u.kids != NULL ? parent->u.kids->created : 0;
		*ret_path = numbered_path(c, q->path, number);
	} else {
		*ret_path = feed_copy(c->fb, q->path);
	}
	if (!path_valid(*ret_path))
		return ZK_BAD_ARGUMENTS;
	if (tree_find(s, *ret_path) != 0)
		return ZK_NODE_EXISTS;
	if (parent->owner != 0)
		return ZK_NO_CHILDREN_FOR_EPHEMERALS;
	return ZK_OK;
}

int op_create(const struct op_context *c, const struct wire_create_request *q,
	struct rt_slice *ret_path, struct base_stat *ret_stat)
{
	struct state *s = c->s;
	struct rt_slice path;
	uint32_t parent = 0, acl = 0;
	int err = create_judge(c, q, &path, &parent, &acl);
	if (err != ZK_OK) {
		if (acl != 0)
			acl_unref(s, acl);
		return err;
	}
	struct kids *k = tree_kids(s, parent);
	struct undo before;
	undo_keep_parent(&before, k);
	uint32_t handle = tree_insert(s, parent, path, (uint32_t)path_last_slash(path) + 1);
	if (c->undo)
		undo_keep_parent(undo_push(s, UNDO_CREATE, handle),
			&(struct kids){ .created = before.parent_created,
				.pzxid = before.parent_pzxid,
				.cversion = before.parent_cversion });
	struct znode *n = tree_at(s, handle);
	n->acl = acl;
	set_data(s, n, rt_blob_new(q->data));
	n->czxid = n->mzxid = c->zxid;
	n->ctime_ms = n->mtime_ms = c->time_ms;
	if ((q->flags & WIRE_CREATE_MODE_EPHEMERAL) != 0)
		tree_set_owner(s, handle, c->session);
	s->digest += digest_of_stat(s, n) + digest_of_data(n);
	child_changed(c, parent, k, true);
	tell(c, CHANGE_CREATED, handle, path);
	*ret_path = path;
	state_stat_of(s, n, ret_stat);
	return ZK_OK;
}

void op_remove_node(const struct op_context *c, uint32_t handle, struct rt_slice path)
{
	struct state *s = c->s;
	const struct znode *n = tree_at(s, handle);
	uint32_t parent = n->parent;
	struct kids *k = tree_kids(s, parent);
	if (c->undo)
		undo_keep_parent(undo_push(s, UNDO_DELETE, handle), k);
	s->digest -= digest_of_stat(s, n) + digest_of_data(n);
	tree_unlink(s, handle);
	child_changed(c, parent, k, false);
	tell(c, CHANGE_DELETED, handle, path);
	if (!c->undo)
		tree_free(s, handle);
}

int op_delete(const struct op_context *c, const struct wire_delete_request *q)
{
	struct state *s = c->s;
	int64_t slash = path_last_slash(q->path);
	if (slash < 0 || memchr(q->path.p, '\0', q->path.len) != NULL || path_reserved(q->path))
		return ZK_BAD_ARGUMENTS;
	uint32_t parent =
		tree_find(s, (struct rt_slice){ q->path.p, slash > 0 ? (uint32_t)slash : 1 });
	if (parent == 0)
		return ZK_NO_NODE;
	if (!op_permitted(c, tree_at(s, parent), WIRE_PERM_DELETE))
		return ZK_NO_AUTH;
	uint32_t handle = tree_find(s, q->path);
	if (handle == 0)
		return ZK_NO_NODE;
	const struct znode *n = tree_at(s, handle);
	if (!version_fits(q->version, n->version))
		return ZK_BAD_VERSION;
	if (n->owner == 0 && n->u.kids != NULL && n->u.kids->count != 0)
		return ZK_NOT_EMPTY;
	op_remove_node(c, handle, feed_copy(c->fb, q->path));
	return ZK_OK;
}

int op_set(const struct op_context *c, const struct wire_set_data_request *q,
	struct base_stat *ret_stat)
{
	struct state *s = c->s;
	if (!path_valid(q->path))
		return ZK_BAD_ARGUMENTS;
	uint32_t handle = tree_find(s, q->path);
	if (handle == 0)
		return ZK_NO_NODE;
	struct znode *n = tree_at(s, handle);
	if (!op_permitted(c, n, WIRE_PERM_WRITE))
		return ZK_NO_AUTH;
	if (!version_fits(q->version, n->version))
		return ZK_BAD_VERSION;
	struct rt_blob *before = n->data;
	if (c->undo) {
		struct undo *u = undo_push(s, UNDO_SET, handle);
		u->data = before;
		u->mzxid = n->mzxid;
		u->mtime_ms = n->mtime_ms;
		u->version = n->version;
	}
	s->digest -= digest_of_stat(s, n) + digest_of_data(n);
	set_data(s, n, rt_blob_new(q->data));
	if (!c->undo)
		rt_blob_unref(before);
	n->version = plus_one(n->version);
	n->mzxid = c->zxid;
	n->mtime_ms = c->time_ms;
	s->digest += digest_of_stat(s, n) + digest_of_data(n);
	tell(c, CHANGE_DATA, handle, feed_copy(c->fb, q->path));
	state_stat_of(s, n, ret_stat);
	return ZK_OK;
}

int op_set_acl(const struct op_context *c, const struct wire_set_acl_request *q,
	struct base_stat *ret_stat)
{
	struct state *s = c->s;
	ASSERT(!c->undo); /* not allowed in a multi */
	if (!path_valid(q->path))
		return ZK_BAD_ARGUMENTS;
	uint32_t acl = acl_intern_request(s, q->acl, c->identities);
	if (acl == 0)
		return ZK_INVALID_ACL;
	uint32_t handle = tree_find(s, q->path);
	struct znode *n = handle != 0 ? tree_at(s, handle) : NULL;
	int err = n == NULL                                ? ZK_NO_NODE
		  : !op_permitted(c, n, WIRE_PERM_ADMIN)   ? ZK_NO_AUTH
		  : !version_fits(q->version, n->aversion) ? ZK_BAD_VERSION
							   : ZK_OK;
	if (err != ZK_OK) {
		acl_unref(s, acl);
		return err;
	}
	s->digest -= digest_of_stat(s, n);
	acl_unref(s, n->acl);
	n->acl = acl;
	n->aversion = plus_one(n->aversion);
	s->digest += digest_of_stat(s, n);
	tell(c, CHANGE_ACL, handle, feed_copy(c->fb, q->path));
	state_stat_of(s, n, ret_stat);
	return ZK_OK;
}

int op_check(const struct op_context *c, const struct wire_check_version_request *q)
{
	struct state *s = c->s;
	uint32_t handle = tree_find(s, q->path);
	if (handle == 0)
		return ZK_NO_NODE;
	const struct znode *n = tree_at(s, handle);
	if (!op_permitted(c, n, WIRE_PERM_READ))
		return ZK_NO_AUTH;
	return version_fits(q->version, n->version) ? ZK_OK : ZK_BAD_VERSION;
}
