/* Requests: which of them enter the log, which are answered here, and in what order. */
#include "daemon/server/srv_int.h"

#include "schema/runtime/rt_mem.h"

static bool write_op(int32_t op)
{
	switch (op) {
	case WIRE_OP_CREATE:
	case WIRE_OP_CREATE2:
	case WIRE_OP_DELETE:
	case WIRE_OP_SET_DATA:
	case WIRE_OP_SET_ACL:
	case WIRE_OP_MULTI:
	case WIRE_OP_CLOSE_SESSION:
		return true;
	default:
		return false;
	}
}

static void inflight_push(
	struct srv *s, struct srv_conn *c, int32_t xid, int32_t op, uint32_t bytes)
{
	if (c->writes_count == c->writes_cap) {
		uint32_t cap = c->writes_cap ? c->writes_cap * 2 : 4;
		struct inflight *ring = rt_alloc(cap * sizeof *ring);
		for (uint32_t i = 0; i < c->writes_count; i++)
			ring[i] = c->writes[(c->writes_first + i) & (c->writes_cap - 1)];
		rt_free(c->writes);
		c->writes = ring;
		c->writes_cap = cap;
		c->writes_first = 0;
	}
	c->writes[(c->writes_first + c->writes_count++) & (c->writes_cap - 1)] =
		(struct inflight){ .xid = xid, .op = op, .since_ms = s->now_ms, .bytes = bytes };
	c->writes_bytes += bytes;
	s->in_flight++;
}

static void propose_write(struct srv *s, struct srv_conn *c, const struct wire_request_header *h,
	struct rt_slice body)
{
	struct disk_entry_request e = {
		.session_id = c->session_id,
		.generation = c->generation,
		.number = ++c->number,
		.identities = conn_identities(c),
		.op = h->op,
	};
	struct rt_writer w = propose_begin(
		s, conn_token(c), DISK_ENTRY_KIND_REQUEST, disk_entry_request_size(&e) + body.len);
	disk_entry_request_encode(&w, &e);
	rt_put_bytes(&w, body.p, body.len);
	ASSERT(!w.full);
	inflight_push(s, c, h->xid, h->op, body.len);
	if (h->op == WIRE_OP_CLOSE_SESSION)
		c->phase = CONN_CLOSING;
}

static bool room_for_write(struct srv *s, const struct srv_conn *c)
{
	if (c->writes_count >= s->config.writes_in_flight ||
		c->writes_bytes > LIMIT_WRITE_BYTES_IN_FLIGHT)
		return false;
	if (!s->hold_writes && s->in_flight < s->config.writes_in_flight_all &&
		s->proposals.len < LIMIT_TURN_PROPOSAL_BYTES)
		return true;
	s->starved = true; /* whoever makes room looks at all connections again */
	return false;
}

void srv_hold_writes(struct srv *s, bool hold)
{
	s->hold_writes = hold;
	writes_resume(s);
}

void srv_refuse_growth(struct srv *s, bool refuse) { s->refuse_growth = refuse; }

bool srv_has_proposals(const struct srv *s) { return s->proposals.len > 0; }

bool srv_take_proposals(struct srv *s, struct rt_buf *inout)
{
	if (s->proposals.len == 0)
		return false;
	struct rt_buf full = s->proposals;
	s->proposals = *inout;
	s->proposals.max = full.max;
	*inout = full;
	writes_resume(s);
	return true;
}

static void ask_auth(struct srv *s, struct srv_conn *c, const struct wire_auth_packet *q)
{
	if (s->auth_count == s->auth_cap) {
		s->auth_cap = s->auth_cap ? s->auth_cap * 2 : 4;
		s->auths = rt_realloc(s->auths, s->auth_cap * sizeof *s->auths);
	}
	s->auths[s->auth_count++] = (struct auth_ask){ .conn = conn_token(c),
		.at = s->auth_bytes.len,
		.scheme_bytes = q->scheme.len,
		.credential_bytes = q->credential.len };
	rt_buf_slice(&s->auth_bytes, q->scheme);
	rt_buf_slice(&s->auth_bytes, q->credential);
	c->phase = CONN_AUTH;
}

bool srv_next_auth(struct srv *s, struct srv_auth *ret)
{
	if (s->auth_count == 0) {
		rt_buf_done(&s->auth_bytes);
		return false;
	}
	const struct auth_ask *a = &s->auths[--s->auth_count];
	const uint8_t *p = s->auth_bytes.p + a->at;
	*ret = (struct srv_auth){ a->conn, rt_slice_of(p, a->scheme_bytes),
		rt_slice_of(p + a->scheme_bytes, a->credential_bytes) };
	return true;
}

bool srv_auth_add(struct srv *s, uint64_t conn, struct rt_slice scheme, struct rt_slice id)
{
	struct srv_conn *c = conn_by_token(s, conn);
	return c == NULL || c->phase != CONN_AUTH || conn_add_identity(c, scheme, id);
}

void srv_auth_answer(struct srv *s, uint64_t conn, bool accepted)
{
	struct srv_conn *c = conn_by_token(s, conn);
	if (c == NULL || c->phase != CONN_AUTH)
		return;
	c->phase = CONN_OPEN;
	/* ZooKeeper answers auth packets with zxid 0, and ends the connection, not the session, of a refused one. */
	reply_begin(s, c, WIRE_XID_AUTH, 0, accepted ? ZK_OK : ZK_AUTH_FAILED, 0);
	if (accepted) {
		conn_mark_ready(s, c);
		return;
	}
	s->stats.auth_failed++;
	conn_notice(s, c, "connection closed: authentication refused", 0, NOTICE_WARN);
	conn_finish(s, c);
}

static void undecodable(struct srv *s, struct srv_conn *c, const struct wire_request_header *h)
{
	s->stats.undecodable++;
	reply_error(s, c, h->xid, h->op, ZK_MARSHALLING_ERROR);
}

static enum served serve_write(struct srv *s, struct srv_conn *c,
	const struct wire_request_header *h, struct rt_slice body)
{
	if (!state_decodes(h->op, body)) {
		if (c->writes_count > 0)
			return WAIT_WRITES; /* its answer has its place in the order */
		undecodable(s, c, h);
		return SERVED;
	}
	if (s->refuse_growth && state_grows(h->op, body)) {
		if (c->writes_count > 0)
			return WAIT_WRITES;
		s->stats.growth_refused++;
		conn_notice(s, c, "request refused: the disk is nearly full; operation", h->op,
			NOTICE_WARN);
		reply_error(s, c, h->xid, h->op, ZK_SYSTEM_ERROR);
		return SERVED;
	}
	if (!room_for_write(s, c))
		return WAIT_WRITES;
	propose_write(s, c, h, body);
	return SERVED;
}

/* What needs neither the log nor the tree. */
static void serve_local(struct srv *s, struct srv_conn *c, const struct wire_request_header *h,
	struct rt_reader *body)
{
	struct wire_auth_packet auth;
	if (h->op == WIRE_OP_PING) {
		reply_begin(s, c, h->xid, s->zxid, ZK_OK, 0);
	} else if (h->op == WIRE_OP_AUTH) {
		if (wire_auth_packet_decode(body, &auth) == 0 && auth.scheme.p != NULL)
			ask_auth(s, c, &auth);
		else
			undecodable(s, c, h);
	} else {
		reply_error(s, c, h->xid, h->op, ZK_UNIMPLEMENTED);
	}
}

enum served request_serve(
	struct srv *s, struct srv_conn *c, struct rt_slice frame, const struct state *view)
{
	struct rt_reader r = rt_reader_of(frame.p, frame.len);
	struct wire_request_header h;
	if (wire_request_header_decode(&r, &h) != 0) {
		s->stats.frames_refused++;
		conn_notice(s, c,
			"connection closed: a frame is too short for a request header; bytes",
			frame.len, NOTICE_WARN);
		conn_cut(s, c);
		return SERVED;
	}
	enum served served = SERVED;
	if (write_op(h.op)) {
		served = serve_write(s, c, &h, rt_slice_of(r.p, rt_left(&r)));
	} else if (c->writes_count > 0) {
		/* Everything else waits for the writes before it: a read must see them and nothing behind it. */
		return WAIT_WRITES;
	} else if (read_op(h.op)) {
		if (view == NULL)
			return WAIT_VIEW;
		read_serve(s, c, &h, &r, view);
		s->turn_reads++;
		conn_note_latency(s, c, s->now_ms);
	} else {
		serve_local(s, c, &h, &r);
		conn_note_latency(s, c, s->now_ms);
	}
	if (served == SERVED) {
		c->received++;
		s->stats.received++;
		c->last_op = h.op;
		c->last_xid = h.xid;
	}
	return served;
}
