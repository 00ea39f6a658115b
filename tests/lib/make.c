#include "tests/lib/make.h"

#define LIST_MAX (1u << 20)

void make_list_init(struct make_list *l)
{
	*l = (struct make_list){ 0 };
	rt_buf_init(&l->bytes, LIST_MAX);
}

void make_acl(struct make_list *l, int32_t perms, struct rt_slice scheme, struct rt_slice id)
{
	MAKE(&l->bytes, wire_acl, { .perms = perms, .id = { scheme, id } });
	l->count++;
}

void make_identity(struct make_list *l, struct rt_slice scheme, struct rt_slice id)
{
	MAKE(&l->bytes, disk_identity, { .scheme = scheme, .id = id });
	l->count++;
}

struct rt_vec make_vec(const struct make_list *l)
{
	return (struct rt_vec){ l->bytes.p, (uint32_t)l->bytes.len, l->count };
}

struct rt_vec make_open_acl(void)
{
	static uint8_t bytes[64];
	struct rt_writer w = rt_writer_of(bytes, sizeof bytes);
	struct wire_acl a = { 31, { rt_slice_str("world"), rt_slice_str("anyone") } };
	wire_acl_encode(&w, &a);
	return (struct rt_vec){ bytes, (uint32_t)(w.p - bytes), 1 };
}

static void header(struct rt_buf *out, int64_t time_ms, uint8_t kind)
{
	MAKE(out, disk_entry_header, { .kind = kind, .level = DISK_LEVEL, .time_ms = time_ms });
}

void make_noop(struct rt_buf *out, int64_t time_ms) { header(out, time_ms, DISK_ENTRY_KIND_NOOP); }

static uint64_t nonce_or_new(uint64_t nonce)
{
	static uint64_t last = 1000;
	return nonce != 0 ? nonce : ++last;
}

void make_open(struct rt_buf *out, int64_t time_ms, const struct disk_entry_session_open *e)
{
	struct disk_entry_session_open v = *e;
	v.nonce = nonce_or_new(e->nonce);
	header(out, time_ms, DISK_ENTRY_KIND_SESSION_OPEN);
	MAKE(out, disk_entry_session_open, v);
}

void make_attach(struct rt_buf *out, int64_t time_ms, const struct disk_entry_session_attach *e)
{
	struct disk_entry_session_attach v = *e;
	v.nonce = nonce_or_new(e->nonce);
	header(out, time_ms, DISK_ENTRY_KIND_SESSION_ATTACH);
	MAKE(out, disk_entry_session_attach, v);
}

void make_expire(struct rt_buf *out, int64_t time_ms, int64_t session_id, uint32_t generation)
{
	header(out, time_ms, DISK_ENTRY_KIND_SESSION_EXPIRE);
	MAKE(out, disk_entry_session_expire, { session_id, generation });
}

void make_request(struct rt_buf *out, int64_t time_ms, const struct disk_entry_request *e,
	struct rt_slice body)
{
	header(out, time_ms, DISK_ENTRY_KIND_REQUEST);
	MAKE(out, disk_entry_request, *e);
	rt_buf_slice(out, body);
}

void make_frame(struct rt_buf *out, int32_t xid, int32_t op, struct rt_slice body)
{
	uint8_t *p = rt_buf_grow(out, 4);
	ASSERT(p != NULL);
	rt_store32(p, WIRE_REQUEST_HEADER_BYTES + body.len);
	MAKE(out, wire_request_header, { .xid = xid, .op = op });
	rt_buf_slice(out, body);
}

void make_connect(struct rt_buf *out, const struct wire_connect_request *q, bool read_only_byte)
{
	struct wire_connect_request v = *q;
	v.has_read_only = read_only_byte;
	uint8_t *p = rt_buf_grow(out, 4);
	ASSERT(p != NULL);
	rt_store32(p, (uint32_t)wire_connect_request_size(&v));
	MAKE(out, wire_connect_request, v);
}
