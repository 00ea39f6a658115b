/* The bounds-checked reader and writer on which every generated codec stands.
 *
 * All numbers are big-endian, as in ZooKeeper's jute; pando's own formats use the same codec, so there is
 * one. A reader never moves past its end: a value that does not fit sets `bad`, every later read returns
 * zero or null, and the caller looks at `bad` once, at the end. A writer that runs out of room sets `full`
 * likewise. Slices point into what is being read: no copy, no allocation; they live as long as it does. */
#ifndef PANDO_RT_CODEC_H
#define PANDO_RT_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "schema/runtime/rt_assert.h"

/* Bytes owned by somebody else. Null (length -1 on the wire) is p == NULL; empty has p != NULL, len 0. */
struct rt_slice {
	const uint8_t *p;
	uint32_t len;
};

/* A vector as it stands encoded: `count` elements in `bytes` bytes at `p`, already checked by the decoder
 * that made it. Null is count -1. Walk it with a reader over [p, p + bytes) and the element's decoder. */
struct rt_vec {
	const uint8_t *p;
	uint32_t bytes;
	int32_t count;
};

struct rt_reader {
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
};

struct rt_writer {
	uint8_t *p;
	uint8_t *end;
	bool full;
};

static inline struct rt_slice rt_slice_of(const void *p, size_t len)
{
	ASSERT(len <= UINT32_MAX);
	return (struct rt_slice){ (const uint8_t *)p, (uint32_t)len };
}

static inline struct rt_slice rt_slice_str(const char *s) { return rt_slice_of(s, strlen(s)); }

/* Null equals only null. */
static inline bool rt_slice_eq(struct rt_slice a, struct rt_slice b)
{
	if (a.p == NULL || b.p == NULL)
		return a.p == b.p;
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool rt_slice_is(struct rt_slice a, const char *s)
{
	return rt_slice_eq(a, rt_slice_str(s));
}

static inline struct rt_reader rt_reader_of(const void *p, size_t len)
{
	/* through a number: C knows no NULL + 0, and NULL with no bytes is fine here */
	return (struct rt_reader){ (const uint8_t *)p, (const uint8_t *)((uintptr_t)p + len),
		false };
}

static inline struct rt_reader rt_reader_of_vec(struct rt_vec v)
{
	return rt_reader_of(v.p, v.bytes);
}

static inline struct rt_writer rt_writer_of(void *p, size_t room)
{
	return (struct rt_writer){ (uint8_t *)p, (uint8_t *)((uintptr_t)p + room), false };
}

static inline size_t rt_left(const struct rt_reader *r) { return (size_t)(r->end - r->p); }

static inline uint64_t rt_load_be(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static inline uint32_t rt_load32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

static inline uint64_t rt_load64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return __builtin_bswap64(v);
}

static inline void rt_store32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

static inline void rt_store64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, 8);
}

/* Takes n bytes and returns where they were, or NULL (and sets bad) when fewer are left. */
static inline const uint8_t *rt_take(struct rt_reader *r, size_t n)
{
	if (r->bad || n > rt_left(r)) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->p;
	r->p += n;
	return p;
}

static inline uint8_t rt_get_u8(struct rt_reader *r)
{
	const uint8_t *p = rt_take(r, 1);
	return p ? *p : 0;
}

static inline bool rt_get_bool(struct rt_reader *r) { return rt_get_u8(r) != 0; }

static inline uint16_t rt_get_u16(struct rt_reader *r)
{
	const uint8_t *p = rt_take(r, 2);
	return p ? (uint16_t)rt_load_be(p, 2) : 0;
}

static inline uint32_t rt_get_u32(struct rt_reader *r)
{
	const uint8_t *p = rt_take(r, 4);
	return p ? rt_load32(p) : 0;
}

static inline uint64_t rt_get_u64(struct rt_reader *r)
{
	const uint8_t *p = rt_take(r, 8);
	return p ? rt_load64(p) : 0;
}

static inline int32_t rt_get_i32(struct rt_reader *r) { return (int32_t)rt_get_u32(r); }
static inline int64_t rt_get_i64(struct rt_reader *r) { return (int64_t)rt_get_u64(r); }

/* A length (i32; -1 is null, other negatives are bad) and that many bytes. */
static inline struct rt_slice rt_get_slice(struct rt_reader *r)
{
	int32_t len = rt_get_i32(r);
	if (r->bad || len == -1)
		return (struct rt_slice){ NULL, 0 };
	if (len < 0) {
		r->bad = true;
		return (struct rt_slice){ NULL, 0 };
	}
	const uint8_t *p = rt_take(r, (size_t)len);
	return (struct rt_slice){ p, p ? (uint32_t)len : 0 };
}

/* Exactly n bytes without a length. */
static inline void rt_get_bytes(struct rt_reader *r, uint8_t *ret, size_t n)
{
	const uint8_t *p = rt_take(r, n);
	if (p)
		memcpy(ret, p, n);
	else
		memset(ret, 0, n);
}

/* Room for n bytes, or NULL (and sets full). */
static inline uint8_t *rt_room(struct rt_writer *w, size_t n)
{
	if (w->full || n > (size_t)(w->end - w->p)) {
		w->full = true;
		return NULL;
	}
	uint8_t *p = w->p;
	w->p += n;
	return p;
}

static inline void rt_put_u8(struct rt_writer *w, uint8_t v)
{
	uint8_t *p = rt_room(w, 1);
	if (p)
		*p = v;
}

static inline void rt_put_bool(struct rt_writer *w, bool v) { rt_put_u8(w, v ? 1 : 0); }

static inline void rt_put_u16(struct rt_writer *w, uint16_t v)
{
	uint8_t *p = rt_room(w, 2);
	if (p) {
		p[0] = (uint8_t)(v >> 8);
		p[1] = (uint8_t)v;
	}
}

static inline void rt_put_u32(struct rt_writer *w, uint32_t v)
{
	uint8_t *p = rt_room(w, 4);
	if (p)
		rt_store32(p, v);
}

static inline void rt_put_u64(struct rt_writer *w, uint64_t v)
{
	uint8_t *p = rt_room(w, 8);
	if (p)
		rt_store64(p, v);
}

static inline void rt_put_i32(struct rt_writer *w, int32_t v) { rt_put_u32(w, (uint32_t)v); }
static inline void rt_put_i64(struct rt_writer *w, int64_t v) { rt_put_u64(w, (uint64_t)v); }

static inline void rt_put_bytes(struct rt_writer *w, const void *src, size_t n)
{
	if (n == 0)
		return;
	uint8_t *p = rt_room(w, n);
	if (p)
		memcpy(p, src, n);
}

static inline void rt_put_slice(struct rt_writer *w, struct rt_slice s)
{
	if (s.p == NULL) {
		rt_put_i32(w, -1);
		return;
	}
	rt_put_u32(w, s.len);
	rt_put_bytes(w, s.p, s.len);
}

/* The count, then the elements as they stand. */
static inline void rt_put_vec(struct rt_writer *w, struct rt_vec v)
{
	rt_put_i32(w, v.count);
	if (v.count > 0)
		rt_put_bytes(w, v.p, v.bytes);
}

static inline size_t rt_slice_size(struct rt_slice s) { return 4 + (s.p ? (size_t)s.len : 0); }
static inline size_t rt_vec_size(struct rt_vec v)
{
	return 4 + (v.count > 0 ? (size_t)v.bytes : 0);
}

#endif
