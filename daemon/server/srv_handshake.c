/* The handshake: a session is opened or attached by an entry of the log, and answered when that is applied. */
#include "daemon/server/srv_int.h"

#include "daemon/base/proposals.h"

#define HANDSHAKE_RANDOM_BYTES (LIMIT_PASSWD_BYTES + 8u) /* a password and a nonce */

struct rt_writer propose_begin(struct srv *s, uint64_t token, uint8_t kind, size_t bytes)
{
	size_t n = DISK_ENTRY_HEADER_BYTES + bytes;
	ASSERT(n <= (size_t)s->config.frame_bytes + LIMIT_ENTRY_EXTRA_BYTES);
	struct rt_writer w = rt_writer_of(proposals_add(&s->proposals, (uint32_t)n, token), n);
	disk_entry_header_encode(
		&w, &(struct disk_entry_header){ .kind = kind, .level = DISK_LEVEL });
	return w;
}

size_t srv_random_wanted(const struct srv *s) { return RANDOM_BYTES - s->random_count; }

void srv_give_random(struct srv *s, const uint8_t *bytes, size_t n)
{
	ASSERT(n <= srv_random_wanted(s));
	memcpy(s->random + s->random_count, bytes, n);
	s->random_count += n;
	while (s->random_count >= HANDSHAKE_RANDOM_BYTES && !rt_list_empty(&s->want_random)) {
		struct rt_list *first = s->want_random.next;
		rt_list_remove(first);
		rt_list_append(&s->ready, first);
	}
}

/* ZooKeeper: the request is answered with a timeout within the server's bounds. */
static int32_t timeout_of(const struct srv *s, int32_t asked_ms)
{
	if (asked_ms < s->config.timeout_min_ms)
		return s->config.timeout_min_ms;
	return asked_ms > s->config.timeout_max_ms ? s->config.timeout_max_ms : asked_ms;
}

static bool connect_decode(struct rt_slice frame, struct wire_connect_request *ret)
{
	struct rt_reader r = rt_reader_of(frame.p, frame.len);
	return wire_connect_request_decode(&r, ret) == 0;
}

static void respond(struct srv *s, struct srv_conn *c, int32_t timeout_ms, int64_t session_id,
	const uint8_t *passwd)
{
	struct wire_connect_response a = {
		.timeout_ms = timeout_ms,
		.session_id = session_id,
		.passwd = { passwd, LIMIT_PASSWD_BYTES },
		.has_read_only = c->with_read_only,
	};
	size_t n = wire_connect_response_size(&a);
	out_reserve_buffer(s, &c->out);
	uint8_t *p = rt_buf_grow(&c->out, 4 + n);
	ASSERT(p != NULL); /* nothing else was sent yet */
	rt_store32(p, (uint32_t)n);
	struct rt_writer w = rt_writer_of(p + 4, n);
	wire_connect_response_encode(&w, &a);
	c->sent++;
	s->stats.sent++;
	conn_mark_dirty(s, c);
}

/* "Expired": timeout and session are both 0, since clients look at either. */
static void refuse(struct srv *s, struct srv_conn *c)
{
	static const uint8_t none[LIMIT_PASSWD_BYTES];
	s->stats.sessions_refused++;
	conn_notice(s, c,
		"handshake answered \"expired\": no such session, or a wrong password; session",
		c->session_id, NOTICE_INFO_HEX);
	respond(s, c, 0, 0, none);
	c->session_id = 0;
	conn_finish(s, c);
}

static void take_random(struct srv *s, void *ret, size_t n)
{
	ASSERT(s->random_count >= n); /* looked at before the frame was */
	s->random_count -= n;
	memcpy(ret, s->random + s->random_count, n);
}

static void propose_open(struct srv *s, struct srv_conn *c)
{
	struct disk_entry_session_open e = { .server_id = s->config.server_id,
		.timeout_ms = c->timeout_ms };
	take_random(s, e.passwd, sizeof e.passwd);
	take_random(s, &e.nonce, sizeof e.nonce);
	struct rt_writer w = propose_begin(
		s, conn_token(c), DISK_ENTRY_KIND_SESSION_OPEN, DISK_ENTRY_SESSION_OPEN_BYTES);
	disk_entry_session_open_encode(&w, &e);
}

static void propose_attach(struct srv *s, struct srv_conn *c, struct rt_slice passwd)
{
	struct disk_entry_session_attach e = { .session_id = c->session_id,
		.passwd = passwd,
		.timeout_ms = c->timeout_ms,
		.server_id = s->config.server_id };
	take_random(s, &e.nonce, sizeof e.nonce);
	struct rt_writer w = propose_begin(s, conn_token(c), DISK_ENTRY_KIND_SESSION_ATTACH,
		disk_entry_session_attach_size(&e));
	disk_entry_session_attach_encode(&w, &e);
}

bool handshake_frame(struct srv *s, struct srv_conn *c, struct rt_slice frame)
{
	struct wire_connect_request q;
	if (s->random_count < HANDSHAKE_RANDOM_BYTES)
		return false;
	s->stats.received++;
	c->received++;
	if (!connect_decode(frame, &q)) {
		s->stats.frames_refused++;
		conn_notice(s, c, "connection closed: its first frame is no handshake; bytes",
			frame.len, NOTICE_WARN);
		conn_cut(s, c);
		return true;
	}
	c->with_read_only = q.has_read_only;
	c->timeout_ms = timeout_of(s, q.timeout_ms);
	c->last_zxid_seen = q.last_zxid_seen;
	c->session_id = q.session_id;
	c->phase = CONN_ATTACHING;
	if (q.session_id == 0)
		propose_open(s, c);
	else if (q.passwd.len > LIMIT_PASSWD_BYTES)
		refuse(s, c);
	else
		propose_attach(s, c, q.passwd);
	return true;
}

/* Ends, in the log, a session that was opened for a client which is not served here after all. */
static void close_opened(struct srv *s, const struct result *r)
{
	struct disk_entry_request e = { .session_id = r->session.id,
		.generation = r->session.generation,
		.number = 1,
		.op = WIRE_OP_CLOSE_SESSION };
	struct rt_writer w =
		propose_begin(s, NO_CONN, DISK_ENTRY_KIND_REQUEST, disk_entry_request_size(&e));
	disk_entry_request_encode(&w, &e);
}

void handshake_result(struct srv *s, struct srv_conn *c, const struct result *r)
{
	if (c->phase != CONN_ATTACHING)
		return; /* cut meanwhile; the clock ends a session that nobody has */
	bool opened = c->session_id == 0;
	if (r->err != ZK_OK) {
		refuse(s, c);
		return;
	}
	if (c->last_zxid_seen > r->zxid) {
		/* Never "expired" for a client that has only seen more than this server: it will try another. */
		s->stats.closed_ahead++;
		conn_notice(s, c,
			"handshake closed without an answer: the client has seen a zxid that this server has not",
			c->last_zxid_seen, NOTICE_WARN_HEX);
		if (opened)
			close_opened(s, r);
		c->session_id = 0;
		conn_cut(s, c);
		return;
	}
	c->session_id = r->session.id;
	c->generation = r->session.generation;
	c->timeout_ms = r->session.timeout_ms;
	struct srv_conn *other = conn_by_session(s, c->session_id);
	ASSERT(other == NULL); /* the attach, seen in the feed before, cut it */
	conn_index_session(s, c);
	c->phase = CONN_OPEN;
	c->last_op = WIRE_OP_CREATE_SESSION;
	c->last_zxid = r->zxid;
	respond(s, c, r->session.timeout_ms, r->session.id, r->session.passwd);
	conn_mark_ready(s, c);
}
