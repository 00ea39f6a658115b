/* Frames to clients, and the buffers that they are collected in. */
#include "daemon/server/srv_int.h"

#include "schema/runtime/rt_mem.h"

void out_reserve_buffer(struct srv *s, struct rt_buf *b)
{
	if (b->p != NULL)
		return;
	b->p = s->pool_count > 0 ? s->pool[--s->pool_count] : rt_alloc(POOL_BUFFER_BYTES);
	b->cap = POOL_BUFFER_BYTES;
	b->len = 0;
}

/* An empty buffer goes back, so that idle connections hold none. */
void out_release_buffer(struct srv *s, struct rt_buf *b)
{
	if (b->p == NULL)
		return;
	if (b->cap == POOL_BUFFER_BYTES && s->pool_count < POOL_BUFFERS) {
		s->pool[s->pool_count++] = b->p;
		*b = (struct rt_buf){ .max = b->max };
	} else {
		rt_buf_done(b);
	}
}

struct rt_writer reply_begin(
	struct srv *s, struct srv_conn *c, int32_t xid, int64_t zxid, int32_t err, size_t room)
{
	size_t frame = WIRE_REPLY_HEADER_BYTES + room;
	out_reserve_buffer(s, &c->out);
	uint8_t *p = rt_buf_grow(&c->out, 4 + frame);
	if (p == NULL) {
		conn_notice(s, c,
			"connection closed: its client does not read its replies; bytes waiting",
			(int64_t)conn_output_bytes(c), NOTICE_WARN);
		conn_cut(s, c);
		return (struct rt_writer){ .full = true };
	}
	rt_store32(p, (uint32_t)frame);
	struct rt_writer w = rt_writer_of(p + 4, frame);
	wire_reply_header_encode(
		&w, &(struct wire_reply_header){ .xid = xid, .zxid = zxid, .err = err });
	c->sent++;
	s->stats.sent++;
	c->last_zxid = zxid;
	s->turn_bytes += 4 + frame;
	conn_mark_dirty(s, c);
	return w;
}

void reply_error(struct srv *s, struct srv_conn *c, int32_t xid, int32_t op, int32_t err)
{
	reply_begin(s, c, xid, s->zxid, err, 0);
	c->last_xid = xid;
	c->last_op = op;
}

void reply_event(struct srv *s, struct srv_conn *c, int32_t type, struct rt_slice path)
{
	struct wire_watcher_event ev = { .type = type, .state = 3, .path = path };
	struct rt_writer w =
		reply_begin(s, c, WIRE_XID_NOTIFICATION, -1, 0, wire_watcher_event_size(&ev));
	wire_watcher_event_encode(&w, &ev);
	s->stats.events++;
}
