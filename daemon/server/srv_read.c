/* Reads: answered from the tree, in one atomic step with the watches that they leave. */
#include "daemon/server/srv_int.h"

#include "schema/runtime/rt_mem.h"

bool read_op(int32_t op)
{
	switch (op) {
	case WIRE_OP_EXISTS:
	case WIRE_OP_GET_DATA:
	case WIRE_OP_GET_ACL:
	case WIRE_OP_GET_CHILDREN:
	case WIRE_OP_GET_CHILDREN2:
	case WIRE_OP_SYNC:
	case WIRE_OP_CHECK:
	case WIRE_OP_SET_WATCHES:
		return true;
	default:
		return false;
	}
}

/* What a read's function needs. */
struct reading {
	struct srv *s;
	struct srv_conn *c;
	const struct state *view;
	const struct wire_request_header *h;
	struct rt_reader *body;
};

static struct rt_writer answer(const struct reading *q, size_t room)
{
	return reply_begin(q->s, q->c, q->h->xid, q->s->zxid, ZK_OK, room);
}

static void refuse(const struct reading *q, int32_t err)
{
	if (err == ZK_MARSHALLING_ERROR)
		q->s->stats.undecodable++;
	reply_error(q->s, q->c, q->h->xid, q->h->op, err);
}

static struct wire_stat stat_of(const struct reading *q, const struct znode *n)
{
	struct base_stat st;
	state_node_stat(q->view, n, &st);
	return state_wire_stat(&st);
}

static bool permitted(const struct reading *q, const struct znode *n, uint32_t perms)
{
	return state_permits(q->view, n, perms, conn_identities(q->c));
}

/* A path and a watch flag; the node, or NULL when that was answered. */
static const struct znode *readable_node(
	const struct reading *q, struct wire_path_watch_request *ret)
{
	if (wire_path_watch_request_decode(q->body, ret) != 0 || ret->path.p == NULL) {
		refuse(q, ZK_MARSHALLING_ERROR);
		return NULL;
	}
	const struct znode *n = state_find(q->view, ret->path);
	if (n == NULL)
		refuse(q, ZK_NO_NODE);
	else if (!permitted(q, n, WIRE_PERM_READ))
		refuse(q, ZK_NO_AUTH);
	else
		return n;
	return NULL;
}

/* exists leaves its watch whether the node is there or not, and asks for no permission. */
static void read_exists(const struct reading *q)
{
	struct wire_path_watch_request r;
	if (wire_path_watch_request_decode(q->body, &r) != 0 || r.path.p == NULL) {
		refuse(q, ZK_MARSHALLING_ERROR);
		return;
	}
	if (r.watch && !watch_add(q->s, q->c, WATCH_DATA, r.path)) {
		refuse(q, ZK_SYSTEM_ERROR);
		return;
	}
	const struct znode *n = state_find(q->view, r.path);
	if (n == NULL) {
		refuse(q, ZK_NO_NODE);
		return;
	}
	struct rt_writer w = answer(q, WIRE_STAT_BYTES);
	struct wire_stat st = stat_of(q, n);
	wire_stat_encode(&w, &st);
}

static void read_data(const struct reading *q)
{
	struct wire_path_watch_request r;
	const struct znode *n = readable_node(q, &r);
	if (n == NULL)
		return;
	if (r.watch && !watch_add(q->s, q->c, WATCH_DATA, r.path)) {
		refuse(q, ZK_SYSTEM_ERROR);
		return;
	}
	struct wire_get_data_response a = { .data = state_node_data(n), .stat = stat_of(q, n) };
	struct rt_writer w = answer(q, rt_slice_size(a.data) + WIRE_STAT_BYTES);
	wire_get_data_response_encode(&w, &a);
}

static void read_children(const struct reading *q)
{
	struct wire_path_watch_request r;
	const struct znode *n = readable_node(q, &r);
	if (n == NULL)
		return;
	size_t names = 0;
	int32_t count = 0;
	for (const struct znode *child = state_first_child(q->view, n);
		child != NULL && names <= q->s->config.reply_bytes;
		child = state_next_sibling(q->view, child)) {
		names += rt_slice_size(state_node_name(child));
		count++;
	}
	bool with_stat = q->h->op == WIRE_OP_GET_CHILDREN2;
	size_t room = 4 + names + (with_stat ? WIRE_STAT_BYTES : 0);
	if (room > q->s->config.reply_bytes) {
		q->s->turn_bytes += names; /* it was walked all the same */
		conn_notice(q->s, q->c, "listing refused: it is longer than maxReplyBytes; bytes",
			(int64_t)room, NOTICE_WARN);
		refuse(q, ZK_SYSTEM_ERROR);
		return;
	}
	if (r.watch && !watch_add(q->s, q->c, WATCH_CHILD, r.path)) {
		refuse(q, ZK_SYSTEM_ERROR);
		return;
	}
	struct rt_writer w = answer(q, room);
	rt_put_i32(&w, count);
	for (const struct znode *child = state_first_child(q->view, n); child != NULL;
		child = state_next_sibling(q->view, child))
		rt_put_slice(&w, state_node_name(child));
	if (with_stat) {
		struct wire_stat st = stat_of(q, n);
		wire_stat_encode(&w, &st);
	}
}

/* Who may not administer the node sees that a digest is there and whose, not the hash. */
static struct rt_slice masked(struct rt_slice id)
{
	const uint8_t *colon = id.len != 0 ? memchr(id.p, ':', id.len) : NULL;
	return colon != NULL ? rt_slice_of(id.p, (size_t)(colon - id.p)) : id;
}

static void read_acl(const struct reading *q)
{
	struct wire_get_acl_request r;
	if (wire_get_acl_request_decode(q->body, &r) != 0 || r.path.p == NULL) {
		refuse(q, ZK_MARSHALLING_ERROR);
		return;
	}
	const struct znode *n = state_find(q->view, r.path);
	if (n == NULL) {
		refuse(q, ZK_NO_NODE);
		return;
	}
	if (!permitted(q, n, WIRE_PERM_READ | WIRE_PERM_ADMIN)) {
		refuse(q, ZK_NO_AUTH);
		return;
	}
	struct wire_get_acl_response a = { .acl = state_node_acl(q->view, n),
		.stat = stat_of(q, n) };
	uint8_t *copy = NULL;
	if (!permitted(q, n, WIRE_PERM_ADMIN)) {
		/* ":x" is never longer than ":" and a hash, so the list's own size is enough */
		copy = rt_alloc(a.acl.bytes + (size_t)a.acl.count * 2);
		struct rt_writer w = rt_writer_of(copy, a.acl.bytes + (size_t)a.acl.count * 2);
		struct rt_reader list = rt_reader_of_vec(a.acl);
		struct wire_acl e;
		while (rt_left(&list) > 0 && wire_acl_decode(&list, &e) == 0) {
			bool digest = rt_slice_is(e.id.scheme, "digest");
			struct rt_slice user = digest ? masked(e.id.id) : e.id.id;
			rt_put_i32(&w, e.perms);
			rt_put_slice(&w, e.id.scheme);
			rt_put_u32(&w, user.len + (digest ? 2 : 0));
			rt_put_bytes(&w, user.p, user.len);
			rt_put_bytes(&w, ":x", digest ? 2 : 0);
		}
		ASSERT(!w.full);
		a.acl.p = copy;
		a.acl.bytes = (uint32_t)(w.p - copy);
	}
	struct rt_writer w = answer(q, rt_vec_size(a.acl) + WIRE_STAT_BYTES);
	wire_get_acl_response_encode(&w, &a);
	rt_free(copy);
}

/* Whatever was acknowledged to anyone is applied, and what is applied is what the view shows: in an ensemble
 * of one, a read under the tree's lock is linearizable, and sync has nothing to wait for but its turn. */
static void read_sync(const struct reading *q)
{
	struct wire_sync_request r;
	if (wire_sync_request_decode(q->body, &r) != 0 || r.path.p == NULL) {
		refuse(q, ZK_MARSHALLING_ERROR);
		return;
	}
	struct wire_sync_response a = { .path = r.path };
	struct rt_writer w = answer(q, wire_sync_response_size(&a));
	wire_sync_response_encode(&w, &a);
}

static void read_check(const struct reading *q)
{
	struct wire_check_version_request r;
	if (wire_check_version_request_decode(q->body, &r) != 0 || r.path.p == NULL) {
		refuse(q, ZK_MARSHALLING_ERROR);
		return;
	}
	const struct znode *n = state_find(q->view, r.path);
	if (n == NULL)
		refuse(q, ZK_NO_NODE);
	else if (!permitted(q, n, WIRE_PERM_READ))
		refuse(q, ZK_NO_AUTH);
	else if (r.version != -1 && r.version != stat_of(q, n).version)
		refuse(q, ZK_BAD_VERSION);
	else
		answer(q, 0);
}

/* One path of a setWatches: an event when something happened since, or a watch. ZooKeeper's rules. */
static void rewatch(const struct reading *q, struct rt_slice path, enum watch_kind kind,
	bool believed_missing, int64_t since)
{
	const struct znode *n = state_find(q->view, path);
	struct wire_stat st = { 0 };
	if (n != NULL)
		st = stat_of(q, n);
	int32_t event = WIRE_EVENT_NONE;
	if (believed_missing)
		event = n != NULL ? WIRE_EVENT_CREATED : WIRE_EVENT_NONE;
	else if (n == NULL)
		event = WIRE_EVENT_DELETED;
	else if (kind == WATCH_DATA && st.mzxid > since)
		event = WIRE_EVENT_DATA_CHANGED;
	else if (kind == WATCH_CHILD && st.pzxid > since)
		event = WIRE_EVENT_CHILDREN_CHANGED;
	if (event != WIRE_EVENT_NONE)
		reply_event(q->s, q->c, event, path);
	else if (!watch_add(q->s, q->c, kind, path))
		conn_cut(q->s, q->c);
}

static bool rewatch_all(const struct reading *q, struct rt_vec paths, enum watch_kind kind,
	bool believed_missing, int64_t since)
{
	struct rt_reader r = rt_reader_of_vec(paths);
	while (rt_left(&r) > 0 && q->c->phase == CONN_OPEN) {
		struct rt_slice path = rt_get_slice(&r);
		if (path.p != NULL)
			rewatch(q, path, kind, believed_missing, since);
	}
	return q->c->phase == CONN_OPEN;
}

static void read_set_watches(const struct reading *q)
{
	struct wire_set_watches r;
	if (wire_set_watches_decode(q->body, &r) != 0) {
		refuse(q, ZK_MARSHALLING_ERROR);
		return;
	}
	if (rewatch_all(q, r.data_watches, WATCH_DATA, false, r.relative_zxid) &&
		rewatch_all(q, r.exist_watches, WATCH_DATA, true, r.relative_zxid) &&
		rewatch_all(q, r.child_watches, WATCH_CHILD, false, r.relative_zxid))
		answer(q, 0);
}

void read_serve(struct srv *s, struct srv_conn *c, const struct wire_request_header *h,
	struct rt_reader *body, const struct state *view)
{
	struct reading q = { s, c, view, h, body };
	switch (h->op) {
	case WIRE_OP_EXISTS:
		read_exists(&q);
		break;
	case WIRE_OP_GET_DATA:
		read_data(&q);
		break;
	case WIRE_OP_GET_CHILDREN:
	case WIRE_OP_GET_CHILDREN2:
		read_children(&q);
		break;
	case WIRE_OP_GET_ACL:
		read_acl(&q);
		break;
	case WIRE_OP_SYNC:
		read_sync(&q);
		break;
	case WIRE_OP_CHECK:
		read_check(&q);
		break;
	case WIRE_OP_SET_WATCHES:
		read_set_watches(&q);
		break;
	default:
		UNREACHABLE("read_op knows the operation");
	}
}
