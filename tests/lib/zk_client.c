#include "tests/lib/zk_client.h"

#include "schema/runtime/rt_mem.h"

#define BODY_MAX (64u << 20)

struct zk_client *zk_new(struct inproc *p, uint32_t shard)
{
	struct zk_client *c = rt_calloc(1, sizeof *c);
	rt_buf_init(&c->told, BODY_MAX);
	c->read_only_byte = true;
	c->timeout_ms = 10000;
	zk_reconnect(c, p, shard);
	return c;
}

void zk_free(struct zk_client *c)
{
	rt_buf_done(&c->told);
	rt_free(c);
}

void zk_reconnect(struct zk_client *c, struct inproc *p, uint32_t shard)
{
	c->link = inproc_connect(p, shard);
	c->answered = false;
	c->next_xid = 1;
}

static void connect_as(struct zk_client *c, int64_t session_id, const uint8_t *passwd)
{
	struct wire_connect_request q = { .timeout_ms = c->timeout_ms,
		.session_id = session_id,
		.passwd = rt_slice_of(passwd, 16) };
	struct rt_buf b;
	rt_buf_init(&b, BODY_MAX);
	make_connect(&b, &q, c->read_only_byte);
	inproc_send(c->link, make_slice(&b));
	rt_buf_done(&b);
}

void zk_open(struct zk_client *c)
{
	static const uint8_t none[16];
	connect_as(c, 0, none);
}

void zk_attach(struct zk_client *c, const struct zk_client *whose)
{
	int64_t id = whose->session_id;
	uint8_t passwd[16];
	memcpy(passwd, whose->passwd, sizeof passwd);
	connect_as(c, id, passwd);
}

struct zk_client *zk_session(struct inproc *p, uint32_t shard)
{
	struct zk_client *c = zk_new(p, shard);
	zk_open(c);
	inproc_settle(p);
	const char *told = zk_told(c);
	ASSERT(strcmp(told, "OPEN\n") == 0);
	return c;
}

/* --- requests */

static void send_as(struct zk_client *c, int32_t xid, int32_t op, struct rt_slice body)
{
	struct rt_buf b;
	rt_buf_init(&b, BODY_MAX);
	make_frame(&b, xid, op, body);
	inproc_send(c->link, make_slice(&b));
	rt_buf_done(&b);
}

int32_t zk_send(struct zk_client *c, int32_t op, struct rt_slice body)
{
	ASSERT(c->next_xid < ZK_CLIENT_XIDS);
	c->ops[c->next_xid] = (int16_t)op;
	send_as(c, c->next_xid, op, body);
	return c->next_xid++;
}

#define SEND(c, op, record, ...)                                                                   \
	do {                                                                                       \
		struct rt_buf b_;                                                                  \
		rt_buf_init(&b_, BODY_MAX);                                                        \
		MAKE(&b_, record, __VA_ARGS__);                                                    \
		zk_send(c, op, make_slice(&b_));                                                   \
		rt_buf_done(&b_);                                                                  \
	} while (0)

static struct rt_slice data_of(const char *s)
{
	return s != NULL ? rt_slice_str(s) : (struct rt_slice){ 0 };
}

int32_t zk_create(struct zk_client *c, const char *path, const char *data, int32_t flags)
{
	SEND(c, WIRE_OP_CREATE, wire_create_request,
		{ .path = rt_slice_str(path),
			.data = data_of(data),
			.acl = make_open_acl(),
			.flags = flags });
	return c->next_xid - 1;
}

int32_t zk_delete(struct zk_client *c, const char *path)
{
	SEND(c, WIRE_OP_DELETE, wire_delete_request, { rt_slice_str(path), -1 });
	return c->next_xid - 1;
}

int32_t zk_set(struct zk_client *c, const char *path, const char *data)
{
	SEND(c, WIRE_OP_SET_DATA, wire_set_data_request, { rt_slice_str(path), data_of(data), -1 });
	return c->next_xid - 1;
}

int32_t zk_get(struct zk_client *c, const char *path, bool watch)
{
	SEND(c, WIRE_OP_GET_DATA, wire_path_watch_request, { rt_slice_str(path), watch });
	return c->next_xid - 1;
}

int32_t zk_exists(struct zk_client *c, const char *path, bool watch)
{
	SEND(c, WIRE_OP_EXISTS, wire_path_watch_request, { rt_slice_str(path), watch });
	return c->next_xid - 1;
}

int32_t zk_children(struct zk_client *c, const char *path, bool watch)
{
	SEND(c, WIRE_OP_GET_CHILDREN, wire_path_watch_request, { rt_slice_str(path), watch });
	return c->next_xid - 1;
}

int32_t zk_sync(struct zk_client *c, const char *path)
{
	SEND(c, WIRE_OP_SYNC, wire_sync_request, { rt_slice_str(path) });
	return c->next_xid - 1;
}

void zk_ping(struct zk_client *c) { send_as(c, WIRE_XID_PING, WIRE_OP_PING, rt_slice_str("")); }

void zk_auth(struct zk_client *c, const char *scheme, const char *credential)
{
	struct rt_buf b;
	rt_buf_init(&b, BODY_MAX);
	MAKE(&b, wire_auth_packet,
		{ .scheme = rt_slice_str(scheme), .credential = rt_slice_str(credential) });
	send_as(c, WIRE_XID_AUTH, WIRE_OP_AUTH, make_slice(&b));
	rt_buf_done(&b);
}

int32_t zk_close(struct zk_client *c)
{
	return zk_send(c, WIRE_OP_CLOSE_SESSION, rt_slice_str(""));
}

/* --- what comes */

/* The handshake's answer, when it has come. */
static bool take_answer(struct zk_client *c)
{
	struct rt_slice frame;
	if (!inproc_frame(c->link, &frame))
		return false;
	struct rt_reader r = rt_reader_of(frame.p, frame.len);
	struct wire_connect_response a;
	int rc = wire_connect_response_decode(&r, &a);
	ASSERT(rc == 0 && rt_left(&r) == 0);
	ASSERT(a.has_read_only == c->read_only_byte && a.passwd.len == 16);
	c->answered = true;
	c->session_id = a.session_id;
	ASSERT((a.session_id == 0) == (a.timeout_ms == 0));
	if (a.session_id != 0) {
		c->timeout_ms = a.timeout_ms;
		memcpy(c->passwd, a.passwd.p, 16);
	}
	rt_buf_str(&c->told, a.session_id != 0 ? "OPEN\n" : "EXPIRED\n");
	return true;
}

bool zk_next(struct zk_client *c, struct zk_reply *ret)
{
	struct rt_slice frame;
	if (!c->answered && !take_answer(c))
		return false;
	if (!inproc_frame(c->link, &frame))
		return false;
	struct rt_reader r = rt_reader_of(frame.p, frame.len);
	struct wire_reply_header h;
	int rc = wire_reply_header_decode(&r, &h);
	ASSERT(rc == 0);
	*ret = (struct zk_reply){
		.xid = h.xid, .zxid = h.zxid, .err = h.err, .body = rt_slice_of(r.p, rt_left(&r))
	};
	if (h.xid == WIRE_XID_NOTIFICATION) {
		ret->event = true;
		rc = wire_watcher_event_decode(&r, &ret->watch);
		ASSERT(rc == 0 && ret->watch.state == 3 && h.zxid == -1);
	} else if (h.xid > 0) {
		ASSERT(h.xid < c->next_xid);
		ret->op = c->ops[h.xid];
	}
	return true;
}

static void tell_names(struct rt_buf *out, struct rt_slice body)
{
	struct rt_reader r = rt_reader_of(body.p, body.len);
	int32_t n = rt_get_i32(&r);
	rt_buf_fmt(out, " %d names", n);
}

static void tell(struct rt_buf *out, const struct zk_reply *m)
{
	const char *event = m->event ? wire_event_name(m->watch.type) : NULL;
	if (m->event) {
		rt_buf_fmt(out, "EVENT %s ", event != NULL ? event : "?");
		rt_buf_quoted(out, m->watch.path);
	} else {
		rt_buf_fmt(out, "%d %s", m->xid,
			zk_err_name(m->err) != NULL ? zk_err_name(m->err) : "?");
		bool text = m->op == WIRE_OP_GET_DATA || m->op == WIRE_OP_CREATE ||
			    m->op == WIRE_OP_SYNC;
		struct rt_reader r = rt_reader_of(m->body.p, m->body.len);
		if (m->err == 0 && text) {
			rt_buf_char(out, ' ');
			rt_buf_quoted(out, rt_get_slice(&r));
		}
		if (m->err == 0 && m->op == WIRE_OP_GET_CHILDREN)
			tell_names(out, m->body);
	}
	rt_buf_char(out, '\n');
}

const char *zk_told(struct zk_client *c)
{
	struct zk_reply m;
	rt_buf_clear(&c->told);
	while (zk_next(c, &m))
		tell(&c->told, &m);
	if (c->link->conn == NULL)
		rt_buf_str(&c->told, "CLOSED\n");
	rt_buf_char(&c->told, '\0');
	return (const char *)c->told.p;
}
