/* What tests build from the schema's records: bodies of requests, frames, and entries of the log. */
#ifndef PANDO_TESTS_MAKE_H
#define PANDO_TESTS_MAKE_H

#include "schema/disk_gen.h"
#include "schema/wire_gen.h"

/* Appends a record, encoded: MAKE(&buf, wire_delete_request, { .path = path, .version = -1 }) */
#define MAKE(buf, record, ...)                                                                     \
	do {                                                                                       \
		const struct record v_ = __VA_ARGS__;                                              \
		size_t n_ = record##_size(&v_);                                                    \
		struct rt_writer w_ = rt_writer_of(rt_buf_grow(buf, n_), n_);                      \
		record##_encode(&w_, &v_);                                                         \
		ASSERT(!w_.full && w_.p == w_.end);                                                \
	} while (0)

/* A buffer's bytes; never null. */
static inline struct rt_slice make_slice(const struct rt_buf *b)
{
	return b->len > 0 ? rt_slice_of(b->p, b->len) : rt_slice_str("");
}

/* A list of ACL entries or identities that grows; done with rt_buf_done(&l.bytes). */
struct make_list {
	struct rt_buf bytes;
	int32_t count;
};

void make_list_init(struct make_list *l);
void make_acl(struct make_list *l, int32_t perms, struct rt_slice scheme, struct rt_slice id);
void make_identity(struct make_list *l, struct rt_slice scheme, struct rt_slice id);
struct rt_vec make_vec(const struct make_list *l);
/* world:anyone:cdrwa; lives as long as the program. */
struct rt_vec make_open_acl(void);

/* Payloads of entries, appended. time_ms is the leader's stamp. A nonce of 0 stands for one that was never used
 * before: handshakes differ unless a test wants the same. */
void make_noop(struct rt_buf *out, int64_t time_ms);
void make_open(struct rt_buf *out, int64_t time_ms, const struct disk_entry_session_open *e);
void make_attach(struct rt_buf *out, int64_t time_ms, const struct disk_entry_session_attach *e);
void make_expire(struct rt_buf *out, int64_t time_ms, int64_t session_id, uint32_t generation);
void make_request(struct rt_buf *out, int64_t time_ms, const struct disk_entry_request *e,
	struct rt_slice body);

/* A request's frame with its length in front, appended. */
void make_frame(struct rt_buf *out, int32_t xid, int32_t op, struct rt_slice body);
/* A handshake's frame. With read_only_byte, as clients since 3.4 send it. */
void make_connect(struct rt_buf *out, const struct wire_connect_request *q, bool read_only_byte);

#endif
