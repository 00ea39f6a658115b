/* A growable byte buffer whose greatest size is fixed when it is made, so that no buffer grows without a
 * bound, and the printing of numbers for text that pure code makes (four-letter answers, dumps).
 *
 * Allocation failure ends the program (rt_panic), as everywhere in the daemon; a buffer that would pass
 * its maximum sets `overflow`, keeps what it had, and refuses everything after it. */
#ifndef PANDO_RT_BUF_H
#define PANDO_RT_BUF_H

#include <stdarg.h>

#include "schema/runtime/rt_codec.h"

struct rt_buf {
	uint8_t *p;
	size_t len;
	size_t cap;
	size_t max;
	bool overflow;
};

void rt_buf_init(struct rt_buf *b, size_t max);
void rt_buf_done(struct rt_buf *b);

/* Empty again, memory kept. */
static inline void rt_buf_clear(struct rt_buf *b)
{
	b->len = 0;
	b->overflow = false;
}

/* Makes sure that n more bytes fit. False (and overflow) when that would pass max. */
bool rt_buf_reserve(struct rt_buf *b, size_t n);

/* n > 0 more bytes, uninitialised; NULL on overflow. Valid until the next call that grows. */
static inline uint8_t *rt_buf_grow(struct rt_buf *b, size_t n)
{
	if (n > b->cap - b->len && !rt_buf_reserve(b, n))
		return NULL;
	uint8_t *p = b->p + b->len;
	b->len += n;
	return p;
}

static inline void rt_buf_put(struct rt_buf *b, const void *src, size_t n)
{
	if (n == 0)
		return;
	uint8_t *p = rt_buf_grow(b, n);
	if (p != NULL)
		memcpy(p, src, n);
}

static inline void rt_buf_str(struct rt_buf *b, const char *s) { rt_buf_put(b, s, strlen(s)); }
static inline void rt_buf_slice(struct rt_buf *b, struct rt_slice s) { rt_buf_put(b, s.p, s.len); }
void rt_buf_char(struct rt_buf *b, char c);
void rt_buf_u64(struct rt_buf *b, uint64_t v);
void rt_buf_i64(struct rt_buf *b, int64_t v);
/* Lower case, without 0x, no leading zeros. */
void rt_buf_hex(struct rt_buf *b, uint64_t v);
/* v / 10^digits with exactly that many digits behind the point. */
void rt_buf_fixed(struct rt_buf *b, uint64_t v, unsigned digits);
/* Quoted; control characters, quotes, backslashes and bytes above 0x7e as \xNN; null prints as null. */
void rt_buf_quoted(struct rt_buf *b, struct rt_slice s);

/* printf's little brother, without locale, floating point or stdio: %s %c %d %u %x with l, ll and z, %%, a
 * minimal width with 0 or blanks in front (%08x), and %.*s. Anything else panics. */
__attribute__((format(printf, 2, 3))) void rt_buf_fmt(struct rt_buf *b, const char *fmt, ...);
__attribute__((format(printf, 2, 0))) void rt_buf_vfmt(
	struct rt_buf *b, const char *fmt, va_list ap);

/* Drops the first n bytes. */
void rt_buf_drop(struct rt_buf *b, size_t n);

#endif
