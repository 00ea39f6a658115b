/* The feed: events to watchers and replies to writers, in the order in which things happened. */
#include "daemon/server/srv_int.h"

static void session_attached(struct srv *s, const struct change_session *x)
{
	struct srv_conn *c = conn_by_session(s, x->id);
	if (c == NULL || c->generation >= x->generation)
		return;
	/* The session lives on elsewhere: ZooKeeper closes the earlier connection without a word. */
	conn_forget_session(s, c);
	conn_cut(s, c);
}

static void session_closed(struct srv *s, const struct change_session *x)
{
	struct srv_conn *c = conn_by_session(s, x->id);
	if (c == NULL)
		return;
	bool by_itself = c->phase == CONN_CLOSING;
	conn_forget_session(s, c);
	if (!by_itself) {
		conn_notice(s, c, "session expired, connection closed: session", x->id,
			NOTICE_INFO_HEX);
		conn_cut(s, c);
	}
}

static void feed_change_seen(struct srv *s, const struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_CREATED:
	case CHANGE_DELETED:
	case CHANGE_DATA:
	case CHANGE_ACL:
		watch_change(s, ch);
		break;
	case CHANGE_STAT:
	case CHANGE_SESSION_OPENED:
	case CHANGE_SESSION_NUMBER:
	case CHANGE_LIST_ADDED:
	case CHANGE_LIST_DROPPED:
		break;
	case CHANGE_SESSION_ATTACHED:
		session_attached(s, &ch->session);
		break;
	case CHANGE_SESSION_CLOSED:
		session_closed(s, &ch->session);
		break;
	}
}

static void reply_write(struct srv *s, struct srv_conn *c, const struct result *r, int32_t xid)
{
	if (r->err != ZK_OK) {
		reply_begin(s, c, xid, r->zxid, r->err, 0);
		return;
	}
	bool path = r->op == WIRE_OP_CREATE || r->op == WIRE_OP_CREATE2;
	size_t room = (path ? 4 + (size_t)r->body.len : r->body.len) +
		      (r->has_stat ? WIRE_STAT_BYTES : 0);
	struct rt_writer w = reply_begin(s, c, xid, r->zxid, ZK_OK, room);
	if (path)
		rt_put_slice(&w, r->body);
	else
		rt_put_bytes(&w, r->body.p, r->body.len);
	if (r->has_stat) {
		struct wire_stat st = state_wire_stat(&r->stat);
		wire_stat_encode(&w, &st);
	}
}

static void request_result(struct srv *s, struct srv_conn *c, const struct result *r)
{
	ASSERT(c->writes_count > 0);
	ASSERT(r->number ==
		c->number - c->writes_count + 1); /* S2: results come in order, each once */
	struct inflight one = c->writes[c->writes_first];
	c->writes_first = (c->writes_first + 1) & (c->writes_cap - 1);
	c->writes_count--;
	c->writes_bytes -= one.bytes;
	s->in_flight--;
	if (c->phase == CONN_FINISHED)
		return;
	ASSERT(one.op == r->op);
	conn_note_latency(s, c, one.since_ms);
	reply_write(s, c, r, one.xid);
	if (c->phase == CONN_CLOSING && c->writes_count == 0)
		conn_finish(s, c);
	else if (c->phase == CONN_OPEN && c->in.len > c->in_at)
		conn_mark_ready(s, c);
}

static void feed_result_seen(struct srv *s, const struct result *r)
{
	struct srv_conn *c = conn_by_token(s, r->conn);
	if (c == NULL)
		return;
	if (r->kind == RESULT_SESSION)
		handshake_result(s, c, r);
	else
		request_result(s, c, r);
}

/* Room among all the writes in flight: whoever waited for it looks again. */
void writes_resume(struct srv *s)
{
	if (!s->starved || s->hold_writes || s->in_flight >= s->config.writes_in_flight_all ||
		s->proposals.len >= LIMIT_TURN_PROPOSAL_BYTES)
		return;
	s->starved = false;
	for (uint32_t i = 0; i < s->conn_cap; i++)
		if (s->conns[i] != NULL && s->conns[i]->phase == CONN_OPEN &&
			s->conns[i]->in.len > s->conns[i]->in_at)
			conn_mark_ready(s, s->conns[i]);
}

void srv_feed(struct srv *s, const struct feed_batch *batch)
{
	const struct feed_results *results = &batch->results[s->config.shard];
	uint32_t ci = 0;
	for (uint32_t ri = 0; ri < results->count; ri++) {
		const struct result *r = &results->v[ri];
		/* events up to a write's zxid leave before its reply, its own included */
		for (; ci < batch->change_count && batch->changes[ci].zxid <= r->zxid; ci++) {
			s->zxid = batch->changes[ci].zxid;
			feed_change_seen(s, &batch->changes[ci]);
		}
		s->zxid = r->zxid;
		feed_result_seen(s, r);
	}
	for (; ci < batch->change_count; ci++)
		feed_change_seen(s, &batch->changes[ci]);
	s->zxid = batch->last_zxid;
	writes_resume(s);
}
