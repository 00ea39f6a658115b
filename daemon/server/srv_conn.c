/* Connections: their life, their buffers, and the frames in them.
 *
 * S1  a connection is in at most one of the lists ready and want_view, and in at most one place of dirty
 * S2  its writes on their way are writes[0 .. count) of the ring, oldest first, numbered number - count + 1 ..
 * S3  a FINISHED connection serves nothing any more
 * S4  in.p is NULL when nothing waits in it; likewise out.p */
#include "daemon/server/srv_int.h"

#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

#define PROPOSALS_MAX (UINT32_MAX / 2)

struct srv *srv_new(const struct srv_config *config)
{
	struct srv *s = rt_alloc(sizeof *s);
	memset(s, 0, sizeof *s);
	s->config = *config;
	s->zxid = config->zxid;
	rt_list_init(&s->ready);
	rt_list_init(&s->want_view);
	rt_list_init(&s->want_random);
	rt_list_init(&s->dirty);
	rt_set_init(&s->by_session);
	rt_set_init(&s->watch_paths);
	rt_set_init(&s->watches);
	rt_buf_init(&s->proposals, PROPOSALS_MAX);
	rt_buf_init(&s->auth_bytes, PROPOSALS_MAX);
	return s;
}

static void conn_free(struct srv *s, struct srv_conn *c)
{
	rt_list_remove(&c->ready);
	rt_list_remove(&c->dirty);
	watch_drop_conn(s, c);
	s->in_flight -= c->writes_count;
	rt_buf_done(&c->in);
	rt_buf_done(&c->out);
	rt_buf_done(&c->ids);
	rt_free(c->writes);
	s->conns[c->slot] = NULL;
	s->lives[c->slot]++;
	if (c->slot < s->free_slot_hint)
		s->free_slot_hint = c->slot;
	s->conn_count--;
	rt_free(c);
}

void srv_free(struct srv *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->conn_cap; i++)
		if (s->conns[i] != NULL)
			conn_free(s, s->conns[i]);
	watch_done(s);
	rt_set_done(&s->by_session);
	rt_buf_done(&s->proposals);
	rt_buf_done(&s->auth_bytes);
	for (uint32_t i = 0; i < s->pool_count; i++)
		rt_free(s->pool[i]);
	rt_free(s->conns);
	rt_free(s->lives);
	rt_free(s->touches);
	rt_free(s->auths);
	rt_free(s->words);
	rt_free(s);
}

void srv_turn(struct srv *s, int64_t now_ms)
{
	s->now_ms = now_ms;
	s->turn_reads = 0;
	s->turn_bytes = 0;
}

uint64_t conn_token(const struct srv_conn *c) { return (uint64_t)c->slot_life << 32 | c->slot; }

struct srv_conn *conn_by_token(const struct srv *s, uint64_t token)
{
	uint32_t slot = (uint32_t)token;
	if (slot >= s->conn_cap || s->conns[slot] == NULL ||
		s->conns[slot]->slot_life != (uint32_t)(token >> 32))
		return NULL;
	return s->conns[slot];
}

static uint32_t slot_new(struct srv *s)
{
	uint32_t slot = s->free_slot_hint;
	while (slot < s->conn_cap && s->conns[slot] != NULL)
		slot++;
	if (slot == s->conn_cap) {
		uint32_t cap = s->conn_cap ? s->conn_cap * 2 : 64;
		s->conns = rt_realloc(s->conns, cap * sizeof *s->conns);
		s->lives = rt_realloc(s->lives, cap * sizeof *s->lives);
		for (uint32_t i = s->conn_cap; i < cap; i++) {
			s->conns[i] = NULL;
			s->lives[i] = 1;
		}
		s->conn_cap = cap;
	}
	s->free_slot_hint = slot + 1;
	return slot;
}

struct srv_conn *srv_accept(struct srv *s, const struct srv_peer *peer, void *user)
{
	struct srv_conn *c = rt_alloc(sizeof *c);
	memset(c, 0, sizeof *c);
	rt_list_init(&c->ready);
	rt_list_init(&c->dirty);
	rt_list_init(&c->watches);
	c->slot = slot_new(s);
	c->slot_life = s->lives[c->slot];
	c->phase = CONN_NEW;
	c->peer = *peer;
	c->user = user;
	c->heard_ms = c->since_ms = s->now_ms;
	rt_buf_init(&c->in, (size_t)s->config.frame_bytes + 4 + LIMIT_READ_BYTES);
	rt_buf_init(&c->out, (size_t)s->config.reply_bytes + LIMIT_OUT_PAUSE_BYTES + (1u << 20));
	rt_buf_init(&c->ids, LIMIT_IDENTITY_BYTES);
	conn_add_identity(c, rt_slice_str("ip"), rt_slice_str(c->peer.address));
	if (s->config.skip_acl)
		conn_add_identity(c, rt_slice_str("skipacl"), rt_slice_str(""));
	s->conns[c->slot] = c;
	s->conn_count++;
	return c;
}

void *srv_conn_user(const struct srv_conn *c) { return c->user; }
const char *srv_conn_name(const struct srv_conn *c) { return c->peer.name; }
bool srv_has_session(const struct srv_conn *c) { return c->phase != CONN_NEW; }

bool conn_add_identity(struct srv_conn *c, struct rt_slice scheme, struct rt_slice id)
{
	struct disk_identity who = { scheme, id };
	struct rt_reader r = rt_reader_of(c->ids.p, c->ids.len);
	struct disk_identity other;
	while (rt_left(&r) > 0 && disk_identity_decode(&r, &other) == 0)
		if (rt_slice_eq(other.scheme, scheme) && rt_slice_eq(other.id, id))
			return true;
	size_t n = disk_identity_size(&who);
	if (c->ids.len + n > LIMIT_IDENTITY_BYTES)
		return false;
	struct rt_writer w = rt_writer_of(rt_buf_grow(&c->ids, n), n);
	disk_identity_encode(&w, &who);
	c->id_count++;
	return true;
}

struct rt_vec conn_identities(const struct srv_conn *c)
{
	return (struct rt_vec){ c->ids.p, (uint32_t)c->ids.len, c->id_count };
}

static uint32_t session_hash(const struct srv *s, int64_t id)
{
	return (uint32_t)rt_hash_u64((uint64_t)id, s->config.hash_seed);
}

struct srv_conn *conn_by_session(const struct srv *s, int64_t session_id)
{
	uint32_t hash = session_hash(s, session_id), at;
	struct srv_conn *c = rt_set_first(&s->by_session, hash, &at);
	while (c != NULL && c->session_id != session_id)
		c = rt_set_next(&s->by_session, hash, &at);
	return c;
}

void conn_index_session(struct srv *s, struct srv_conn *c)
{
	ASSERT(c->session_id != 0);
	ASSERT(conn_by_session(s, c->session_id) == NULL);
	rt_set_add(&s->by_session, session_hash(s, c->session_id), c);
}

void conn_forget_session(struct srv *s, struct srv_conn *c)
{
	if (c->session_id != 0 && conn_by_session(s, c->session_id) == c)
		rt_set_remove(&s->by_session, session_hash(s, c->session_id), c);
	c->session_id = 0;
}

static void touch(struct srv *s, struct srv_touch t)
{
	if (s->touch_count == s->touch_cap) {
		s->touch_cap = s->touch_cap ? s->touch_cap * 2 : 16;
		s->touches = rt_realloc(s->touches, s->touch_cap * sizeof *s->touches);
	}
	s->touches[s->touch_count++] = t;
}

void srv_closed(struct srv *s, struct srv_conn *c)
{
	if (c->session_id != 0 && conn_by_session(s, c->session_id) == c)
		touch(s, (struct srv_touch){ .session_id = c->session_id,
				 .generation = c->generation,
				 .heard_ms = c->heard_ms });
	conn_forget_session(s, c);
	conn_free(s, c);
}

const struct srv_touch *srv_take_touches(struct srv *s, size_t *ret_count)
{
	*ret_count = s->touch_count;
	s->touch_count = 0;
	return s->touches;
}

static size_t input_waiting(const struct srv_conn *c) { return c->in.len - c->in_at; }

/* Bytes of the frame at the head of the input, with its length; 0 while that is not known. */
static size_t frame_bytes(const struct srv_conn *c)
{
	return input_waiting(c) >= 4 ? 4 + (size_t)rt_load32(c->in.p + c->in_at) : 0;
}

/* A whole frame that was not served: the server is behind, not the client. */
static bool frame_waits(const struct srv_conn *c)
{
	size_t need = frame_bytes(c);
	return need != 0 && need <= input_waiting(c);
}

struct srv_conn *srv_session_conn(const struct srv *s, int64_t session_id)
{
	return conn_by_session(s, session_id);
}

void srv_heard(struct srv *s, struct srv_conn *c)
{
	if (conn_output_bytes(c) <= LIMIT_OUT_PAUSE_BYTES)
		c->heard_ms = s->now_ms;
}

struct srv_touch srv_asked(struct srv *s, int64_t session_id, uint32_t generation)
{
	struct srv_conn *c = conn_by_session(s, session_id);
	if (c == NULL || c->generation != generation)
		return (struct srv_touch){ .session_id = session_id, .generation = generation };
	if (frame_waits(c))
		srv_heard(s, c);
	struct srv_touch t = { .session_id = session_id,
		.generation = generation,
		.here = true,
		.heard_ms = c->heard_ms };
	/* milliseconds are cut: only more than the timeout is certain */
	t.silent = s->now_ms - c->heard_ms > c->timeout_ms;
	if (t.silent) {
		conn_notice(s, c, "nothing heard for its timeout, connection closed: session",
			session_id, NOTICE_INFO_HEX);
		conn_forget_session(s, c);
		conn_cut(s, c);
	}
	return t;
}

void conn_mark_dirty(struct srv *s, struct srv_conn *c)
{
	if (rt_list_empty(&c->dirty))
		rt_list_append(&s->dirty, &c->dirty);
}

void conn_mark_ready(struct srv *s, struct srv_conn *c)
{
	if (rt_list_empty(&c->ready)) /* S1 */
		rt_list_append(&s->ready, &c->ready);
}

void conn_finish(struct srv *s, struct srv_conn *c)
{
	c->phase = CONN_FINISHED;
	rt_list_remove(&c->ready);
	conn_mark_dirty(s, c);
}

void conn_cut(struct srv *s, struct srv_conn *c)
{
	c->out_at = c->out.len;
	conn_finish(s, c);
}

void conn_notice(struct srv *s, const struct srv_conn *c, const char *what, int64_t value,
	enum notice_kind kind)
{
	if (s->notice_count == NOTICES)
		return; /* the driver takes them every turn and limits their rate */
	struct srv_notice *n = &s->notices[s->notice_count++];
	*n = (struct srv_notice){
		.what = what,
		.value = value,
		.warn = kind == NOTICE_WARN || kind == NOTICE_WARN_HEX,
		.hex = kind == NOTICE_INFO_HEX || kind == NOTICE_WARN_HEX,
	};
	memcpy(n->peer, c->peer.name, sizeof n->peer);
}

bool srv_next_notice(struct srv *s, struct srv_notice *ret)
{
	if (s->notice_count == 0)
		return false;
	*ret = s->notices[0];
	memmove(s->notices, s->notices + 1, --s->notice_count * sizeof *s->notices);
	return true;
}

struct srv_conn *srv_next_dirty(struct srv *s)
{
	if (rt_list_empty(&s->dirty))
		return NULL;
	struct srv_conn *c = rt_list_entry(s->dirty.next, struct srv_conn, dirty);
	rt_list_remove(&c->dirty);
	return c;
}

struct rt_slice srv_output(const struct srv_conn *c)
{
	return conn_output_bytes(c) > 0 ? rt_slice_of(c->out.p + c->out_at, conn_output_bytes(c))
					: (struct rt_slice){ 0 };
}

void srv_output_sent(struct srv *s, struct srv_conn *c, size_t bytes)
{
	ASSERT(bytes <= conn_output_bytes(c));
	bool paused = conn_output_bytes(c) > LIMIT_OUT_PAUSE_BYTES;
	c->out_at += bytes;
	if (c->out_at == c->out.len) {
		c->out_at = 0;
		c->out.len = 0;
		out_release_buffer(s, &c->out);
	} else if (c->out_at > c->out.len / 2) {
		rt_buf_drop(&c->out, c->out_at);
		c->out_at = 0;
	}
	if (paused && conn_output_bytes(c) <= LIMIT_OUT_PAUSE_BYTES && c->phase != CONN_FINISHED)
		conn_mark_ready(s, c);
}

bool srv_finished(const struct srv_conn *c) { return c->phase == CONN_FINISHED; }

/* A whole frame waits, so more input would only pile up; a longer one needs all of its bytes. */
bool srv_reading(const struct srv_conn *c)
{
	if (c->phase == CONN_FINISHED || c->phase == CONN_WORD)
		return false;
	size_t need = frame_bytes(c);
	return input_waiting(c) < LIMIT_READ_BYTES || need > input_waiting(c);
}

uint8_t *srv_input_room(struct srv *s, struct srv_conn *c, size_t *ret_room)
{
	if (!srv_reading(c))
		return NULL;
	out_reserve_buffer(s, &c->in);
	if (c->in_at > 0 && c->in.cap - c->in.len < c->in.cap / 2) {
		rt_buf_drop(&c->in, c->in_at);
		c->in_at = 0;
	}
	if (c->in.cap == c->in.len) {
		size_t grow = c->in.cap < LIMIT_READ_BYTES ? c->in.cap : LIMIT_READ_BYTES;
		if (!rt_buf_reserve(&c->in, grow))
			return NULL;
	}
	size_t room = c->in.cap - c->in.len;
	*ret_room = room < LIMIT_READ_BYTES ? room : LIMIT_READ_BYTES;
	return c->in.p + c->in.len;
}

void srv_input(struct srv *s, struct srv_conn *c, size_t bytes)
{
	ASSERT(bytes <= c->in.cap - c->in.len);
	c->in.len += bytes;
	c->heard_ms = s->now_ms;
	if (c->phase != CONN_FINISHED)
		conn_mark_ready(s, c);
}

/* The frame at the head of the input, without its length; false while it is not whole. A frame that cannot
 * be framed ends the connection: ZooKeeper's clients expect no answer. */
static bool next_frame(struct srv *s, struct srv_conn *c, struct rt_slice *ret)
{
	size_t need = frame_bytes(c);
	if (need == 0)
		return false;
	if (need - 4 > s->config.frame_bytes) {
		s->stats.frames_refused++;
		conn_notice(s, c, "connection closed: length of a frame is above jute.maxbuffer",
			(int64_t)(need - 4), NOTICE_WARN);
		conn_cut(s, c);
		return false;
	}
	if (need > input_waiting(c))
		return false;
	*ret = rt_slice_of(c->in.p + c->in_at + 4, need - 4);
	return true;
}

static void frame_done(struct srv *s, struct srv_conn *c, size_t bytes)
{
	c->in_at += bytes;
	ASSERT(c->in_at <= c->in.len);
	if (c->in_at == c->in.len) {
		c->in_at = 0;
		c->in.len = 0;
		out_release_buffer(s, &c->in); /* S4 */
	}
}

/* The words that are answered before any handshake: four bytes that would be a frame of over a gigabyte. */
static bool word_frame(struct srv *s, struct srv_conn *c)
{
	if (input_waiting(c) < 4)
		return false;
	const uint8_t *p = c->in.p + c->in_at;
	for (int i = 0; i < 4; i++)
		if (p[i] < 'a' || p[i] > 'z')
			return false;
	if (s->word_count == s->word_cap) {
		s->word_cap = s->word_cap ? s->word_cap * 2 : 8;
		s->words = rt_realloc(s->words, s->word_cap * sizeof *s->words);
	}
	struct srv_word *word = &s->words[s->word_count++];
	*word = (struct srv_word){ .conn = conn_token(c) };
	memcpy(word->word, p, 4);
	c->phase = CONN_WORD;
	return true;
}

bool srv_next_word(struct srv *s, struct srv_word *ret)
{
	if (s->word_count == 0)
		return false;
	*ret = s->words[0];
	memmove(s->words, s->words + 1, --s->word_count * sizeof *s->words);
	return true;
}

void srv_word_answer(struct srv *s, uint64_t conn, struct rt_slice text)
{
	struct srv_conn *c = conn_by_token(s, conn);
	if (c == NULL || c->phase != CONN_WORD)
		return;
	out_reserve_buffer(s, &c->out);
	rt_buf_slice(&c->out, text);
	conn_finish(s, c);
}

static bool turn_is_full(const struct srv *s)
{
	return s->turn_reads >= LIMIT_TURN_READS || s->turn_bytes >= LIMIT_TURN_REPLY_BYTES;
}

/* Serves what can be served of one connection. */
static void conn_run(struct srv *s, struct srv_conn *c, const struct state *view)
{
	struct rt_slice frame;
	while (c->phase != CONN_FINISHED) {
		if (view != NULL && turn_is_full(s)) {
			rt_list_append(&s->want_view, &c->ready);
			return;
		}
		if (conn_output_bytes(c) > LIMIT_OUT_PAUSE_BYTES)
			return; /* srv_output_sent makes it ready again */
		if (c->phase == CONN_NEW && word_frame(s, c))
			return;
		if (c->phase != CONN_NEW && c->phase != CONN_OPEN)
			return; /* what it waits for makes it ready again */
		if (!next_frame(s, c, &frame))
			return;
		enum served served = SERVED;
		if (c->phase == CONN_NEW && !handshake_frame(s, c, frame)) {
			rt_list_append(&s->want_random, &c->ready);
			return;
		}
		if (c->phase == CONN_OPEN)
			served = request_serve(s, c, frame, view);
		if (served == WAIT_VIEW) {
			rt_list_append(&s->want_view, &c->ready);
			return;
		}
		if (served == WAIT_WRITES)
			return; /* a write's result makes it ready again */
		frame_done(s, c, 4 + (size_t)frame.len);
	}
}

void srv_work(struct srv *s, const struct state *view)
{
	ASSERT(view == NULL || state_zxid(view) == s->zxid);
	struct rt_list *from = view != NULL ? &s->want_view : &s->ready;
	s->turn_bytes = 0; /* what the feed had to say before is no read's doing */
	while (!rt_list_empty(from)) {
		if (view != NULL && turn_is_full(s))
			return;
		struct srv_conn *c = rt_list_entry(from->next, struct srv_conn, ready);
		rt_list_remove(&c->ready);
		bool was_reading = srv_reading(c);
		conn_run(s, c, view);
		/* the driver may have stopped reading it, or has to */
		if (!was_reading || !srv_reading(c))
			conn_mark_dirty(s, c);
	}
}

bool srv_idle(const struct srv *s)
{
	if (srv_has_work(s) || !rt_list_empty(&s->want_random) || s->in_flight > 0 ||
		s->proposals.len > 0)
		return false;
	for (uint32_t i = 0; i < s->conn_cap; i++) {
		const struct srv_conn *c = s->conns[i];
		if (c != NULL && (conn_output_bytes(c) > 0 || c->phase == CONN_ATTACHING ||
					 c->phase == CONN_WORD))
			return false;
	}
	return true;
}

bool srv_has_work(const struct srv *s)
{
	return !rt_list_empty(&s->ready) || !rt_list_empty(&s->want_view);
}

bool srv_wants_view(const struct srv *s) { return !rt_list_empty(&s->want_view); }

void srv_stats(const struct srv *s, struct srv_stats *ret)
{
	*ret = s->stats;
	ret->connections = s->conn_count;
	ret->outstanding = s->in_flight;
	ret->watches = s->watch_count;
	ret->watch_paths = s->watch_paths.count;
	ret->watching = s->watching;
}

void conn_note_latency(struct srv *s, struct srv_conn *c, int64_t since_ms)
{
	uint64_t ms = s->now_ms > since_ms ? (uint64_t)(s->now_ms - since_ms) : 0;
	if (c->latency_count++ == 0 || ms < c->latency_min_ms)
		c->latency_min_ms = ms;
	if (ms > c->latency_max_ms)
		c->latency_max_ms = ms;
	c->latency_sum_ms += ms;
	c->latency_last_ms = ms;
	c->last_response_ms = s->now_ms;
	struct srv_stats *t = &s->stats;
	if (t->latency_count++ == 0 || ms < t->latency_min_ms)
		t->latency_min_ms = ms;
	if (ms > t->latency_max_ms)
		t->latency_max_ms = ms;
	t->latency_sum_ms += ms;
}

void srv_stats_add(struct srv_stats *sum, const struct srv_stats *one)
{
	if (one->latency_count > 0 &&
		(sum->latency_count == 0 || one->latency_min_ms < sum->latency_min_ms))
		sum->latency_min_ms = one->latency_min_ms;
	if (one->latency_max_ms > sum->latency_max_ms)
		sum->latency_max_ms = one->latency_max_ms;
	sum->received += one->received;
	sum->sent += one->sent;
	sum->latency_count += one->latency_count;
	sum->latency_sum_ms += one->latency_sum_ms;
	sum->connections += one->connections;
	sum->outstanding += one->outstanding;
	sum->watches += one->watches;
	sum->watch_paths += one->watch_paths;
	sum->watching += one->watching;
	sum->sessions_refused += one->sessions_refused;
	sum->closed_ahead += one->closed_ahead;
	sum->frames_refused += one->frames_refused;
	sum->undecodable += one->undecodable;
	sum->auth_failed += one->auth_failed;
	sum->growth_refused += one->growth_refused;
	sum->events += one->events;
}

/* As ZooKeeper abbreviates them in `cons`. */
static const char *op_short_name(int32_t op)
{
	static const struct {
		int32_t op;
		const char *name;
	} names[] = {
		{ WIRE_OP_CREATE, "CREA" },
		{ WIRE_OP_CREATE2, "CRE2" },
		{ WIRE_OP_DELETE, "DELE" },
		{ WIRE_OP_EXISTS, "EXIS" },
		{ WIRE_OP_GET_DATA, "GETD" },
		{ WIRE_OP_SET_DATA, "SETD" },
		{ WIRE_OP_GET_ACL, "GETA" },
		{ WIRE_OP_SET_ACL, "SETA" },
		{ WIRE_OP_GET_CHILDREN, "GETC" },
		{ WIRE_OP_GET_CHILDREN2, "GETC" },
		{ WIRE_OP_SYNC, "SYNC" },
		{ WIRE_OP_PING, "PING" },
		{ WIRE_OP_CHECK, "CHEC" },
		{ WIRE_OP_MULTI, "MULT" },
		{ WIRE_OP_AUTH, "AUTH" },
		{ WIRE_OP_SET_WATCHES, "SETW" },
		{ WIRE_OP_CREATE_SESSION, "SESS" },
		{ WIRE_OP_CLOSE_SESSION, "CLOS" },
	};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].op == op)
			return names[i].name;
	return "NA";
}

static void list_details(const struct srv *s, const struct srv_conn *c, struct rt_buf *out)
{
	rt_buf_fmt(out, ",sid=0x%llx,lop=%s,est=%lld,to=%d", (unsigned long long)c->session_id,
		op_short_name(c->last_op), (long long)(s->now_ms - c->since_ms), c->timeout_ms);
	if (c->last_xid >= 0)
		rt_buf_fmt(out, ",lcxid=0x%x", (unsigned)c->last_xid);
	uint64_t avg = c->latency_count > 0 ? c->latency_sum_ms / c->latency_count : 0;
	rt_buf_fmt(out, ",lzxid=0x%llx,lresp=%lld,llat=%llu,minlat=%llu,avglat=%llu,maxlat=%llu",
		(unsigned long long)c->last_zxid, (long long)c->last_response_ms,
		(unsigned long long)c->latency_last_ms, (unsigned long long)c->latency_min_ms,
		(unsigned long long)avg, (unsigned long long)c->latency_max_ms);
}

void srv_list_conns(const struct srv *s, bool brief, struct rt_buf *out)
{
	for (uint32_t i = 0; i < s->conn_cap; i++) {
		const struct srv_conn *c = s->conns[i];
		if (c == NULL)
			continue;
		rt_buf_fmt(out, " /%s[%d](queued=%u,recved=%llu,sent=%llu", c->peer.name,
			c->session_id != 0 ? 1 : 0, c->writes_count,
			(unsigned long long)c->received, (unsigned long long)c->sent);
		if (!brief && c->session_id != 0)
			list_details(s, c, out);
		rt_buf_str(out, ")\n");
	}
}
