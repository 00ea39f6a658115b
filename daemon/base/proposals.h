/* What a shard wants appended to the log: one buffer a loop turn, entry payloads one behind the other, each
 * with a small header. The shard makes it, the core takes it over whole; nobody copies it in between.
 *
 * A payload is a disk_entry_header and what its kind says; the leader fills in the time. */
#ifndef PANDO_BASE_PROPOSALS_H
#define PANDO_BASE_PROPOSALS_H

#include "schema/runtime/rt_buf.h"

struct proposal {
	uint32_t bytes; /* of the payload behind this header */
	uint64_t conn;  /* the shard's token of the connection that waits */
};

/* Before each payload in the buffer; unaligned, so always through memcpy. */
#define PROPOSAL_HEADER_BYTES 12u

static inline uint8_t *proposals_add(struct rt_buf *b, uint32_t bytes, uint64_t conn)
{
	uint8_t *p = rt_buf_grow(b, PROPOSAL_HEADER_BYTES + (size_t)bytes);
	ASSERT(p !=
		NULL); /* the buffer's maximum is above every limit on what may be proposed in a turn */
	memcpy(p, &bytes, 4);
	memcpy(p + 4, &conn, 8);
	return p + PROPOSAL_HEADER_BYTES;
}

/* Walks: returns the payload at *at and moves *at behind it; NULL at the end. */
static inline uint8_t *proposals_next(uint8_t *p, size_t len, size_t *at, struct proposal *ret)
{
	if (*at == len)
		return NULL;
	ASSERT(len - *at >= PROPOSAL_HEADER_BYTES);
	memcpy(&ret->bytes, p + *at, 4);
	memcpy(&ret->conn, p + *at + 4, 8);
	uint8_t *payload = p + *at + PROPOSAL_HEADER_BYTES;
	*at += PROPOSAL_HEADER_BYTES + (size_t)ret->bytes;
	ASSERT(*at <= len);
	return payload;
}

#endif
