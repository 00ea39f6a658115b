#include "tests/lib/state_model.h"

static struct model_node *place(struct model *m)
{
	struct model_node *n = model_find(m, "");
	ASSERT(n != NULL); /* tests stay within MODEL_NODES */
	return n;
}

static void put_fixed(struct model *m, const char *path, uint32_t children, int32_t cversion)
{
	struct model_node *n = place(m);
	*n = (struct model_node){ .st = { .children = children, .cversion = cversion } };
	memcpy(n->path, path, strlen(path) + 1);
}

void model_init(struct model *m)
{
	memset(m, 0, sizeof *m);
	put_fixed(m, "/", 1, -1);
	put_fixed(m, "/zookeeper", 2, -2);
	put_fixed(m, "/zookeeper/config", 0, 0);
	put_fixed(m, "/zookeeper/quota", 0, 0);
}

struct model_node *model_find(struct model *m, const char *path)
{
	for (size_t i = 0; i < MODEL_NODES; i++)
		if (strcmp(m->nodes[i].path, path) == 0)
			return &m->nodes[i];
	return NULL;
}

struct model_session *model_session(struct model *m, int64_t id)
{
	for (size_t i = 0; i < MODEL_SESSIONS; i++)
		if (m->sessions[i].id == id)
			return &m->sessions[i];
	return NULL;
}

static struct model_node *parent_of(struct model *m, const char *path)
{
	char parent[MODEL_PATH];
	size_t n = (size_t)(strrchr(path, '/') - path);
	memcpy(parent, path, n);
	parent[n] = '\0';
	return model_find(m, n == 0 ? "/" : parent);
}

static void number(char path[MODEL_PATH], int64_t v)
{
	size_t n = strlen(path);
	for (size_t i = 10; i > 0; i--, v /= 10)
		path[n + i - 1] = (char)('0' + v % 10);
	path[n + 10] = '\0';
}

static int create(struct model *m, const struct model_op *q, int64_t zxid, int64_t time_ms,
	int64_t session_id, char ret_path[MODEL_PATH])
{
	struct model_node *parent = parent_of(m, q->path);
	if (q->flags < 0 || q->flags > 3)
		return ZK_BAD_ARGUMENTS;
	if (parent == NULL)
		return ZK_NO_NODE;
	memcpy(ret_path, q->path, MODEL_PATH);
	if ((q->flags & 2) != 0)
		number(ret_path, parent->created);
	if (model_find(m, ret_path) != NULL)
		return ZK_NODE_EXISTS;
	if (parent->st.owner != 0)
		return ZK_NO_CHILDREN_FOR_EPHEMERALS;
	struct model_node *n = place(m);
	*n = (struct model_node){ .null = q->null,
		.st = { .czxid = zxid,
			.mzxid = zxid,
			.pzxid = zxid,
			.ctime_ms = time_ms,
			.mtime_ms = time_ms,
			.owner = (q->flags & 1) != 0 ? session_id : 0 } };
	memcpy(n->path, ret_path, MODEL_PATH);
	memcpy(n->data, q->data, sizeof n->data);
	n->st.data_bytes = q->null ? 0 : (uint32_t)strlen(q->data);
	parent->created++;
	parent->st.cversion++;
	parent->st.children++;
	parent->st.pzxid = zxid;
	return ZK_OK;
}

static void take_away(struct model *m, struct model_node *n, int64_t zxid)
{
	struct model_node *parent = parent_of(m, n->path);
	parent->st.cversion++;
	parent->st.children--;
	parent->st.pzxid = zxid;
	n->path[0] = '\0';
}

int model_apply(struct model *m, const struct model_op *q, int64_t zxid, int64_t time_ms,
	int64_t session_id, char ret_path[MODEL_PATH])
{
	if (q->op == WIRE_OP_CREATE || q->op == WIRE_OP_CREATE2)
		return create(m, q, zxid, time_ms, session_id, ret_path);
	if (q->op == WIRE_OP_DELETE &&
		(strcmp(q->path, "/") == 0 || strcmp(q->path, "/zookeeper") == 0))
		return ZK_BAD_ARGUMENTS;
	struct model_node *n = model_find(m, q->path);
	if (n == NULL)
		return ZK_NO_NODE;
	if (q->version != -1 && q->version != n->st.version)
		return ZK_BAD_VERSION;
	if (q->op == WIRE_OP_DELETE) {
		if (n->st.children != 0)
			return ZK_NOT_EMPTY;
		take_away(m, n, zxid);
	} else if (q->op == WIRE_OP_SET_DATA) {
		memcpy(n->data, q->data, sizeof n->data);
		n->null = q->null;
		n->st.data_bytes = q->null ? 0 : (uint32_t)strlen(q->data);
		n->st.version++;
		n->st.mzxid = zxid;
		n->st.mtime_ms = time_ms;
	}
	return ZK_OK;
}

size_t model_multi(struct model *m, const struct model_op *q, size_t count, int64_t zxid,
	int64_t time_ms, int64_t session_id, int *ret_err)
{
	static struct model before;
	char path[MODEL_PATH];
	before = *m;
	for (size_t i = 0; i < count; i++) {
		*ret_err = model_apply(m, &q[i], zxid, time_ms, session_id, path);
		if (*ret_err != ZK_OK) {
			*m = before;
			return i;
		}
	}
	return count;
}

void model_end_session(struct model *m, int64_t id, int64_t zxid)
{
	for (size_t i = 0; i < MODEL_NODES; i++)
		if (m->nodes[i].path[0] != '\0' && m->nodes[i].st.owner == id)
			take_away(m, &m->nodes[i], zxid);
	*model_session(m, id) = (struct model_session){ 0 };
}

void model_body(const struct model_op *q, bool in_multi, struct rt_buf *out)
{
	struct rt_slice path = rt_slice_str(q->path);
	struct rt_slice data = q->null ? (struct rt_slice){ 0 } : rt_slice_str(q->data);
	if (in_multi)
		MAKE(out, wire_multi_header, { .type = q->op, .err = -1 });
	if (q->op == WIRE_OP_CREATE || q->op == WIRE_OP_CREATE2)
		MAKE(out, wire_create_request,
			{ .path = path, .data = data, .acl = make_open_acl(), .flags = q->flags });
	else if (q->op == WIRE_OP_DELETE)
		MAKE(out, wire_delete_request, { path, q->version });
	else if (q->op == WIRE_OP_SET_DATA)
		MAKE(out, wire_set_data_request, { path, data, q->version });
	else
		MAKE(out, wire_check_version_request, { path, q->version });
}
