#include "schema/runtime/rt_buf.h"

#include <stdlib.h>

void rt_buf_init(struct rt_buf *b, size_t max) { *b = (struct rt_buf){ .max = max }; }

void rt_buf_done(struct rt_buf *b)
{
	free(b->p);
	*b = (struct rt_buf){ .max = b->max };
}

bool rt_buf_reserve(struct rt_buf *b, size_t n)
{
	ASSERT(b->len <= b->cap);
	if (n <= b->cap - b->len)
		return true;
	if (b->overflow || n > b->max || b->len > b->max - n) {
		b->overflow = true;
		return false;
	}
	size_t cap = b->cap ? b->cap : 64;
	while (cap - b->len < n)
		cap *= 2;
	if (cap > b->max)
		cap = b->max;
	uint8_t *p = realloc(b->p, cap);
	if (p == NULL)
		rt_panic(__FILE__, __LINE__, "out of memory");
	b->p = p;
	b->cap = cap;
	return true;
}

void rt_buf_char(struct rt_buf *b, char c) { rt_buf_put(b, &c, 1); }

void rt_buf_u64(struct rt_buf *b, uint64_t v)
{
	char d[20];
	size_t i = sizeof d;
	do
		d[--i] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	rt_buf_put(b, d + i, sizeof d - i);
}

void rt_buf_i64(struct rt_buf *b, int64_t v)
{
	if (v < 0)
		rt_buf_char(b, '-');
	rt_buf_u64(b, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void rt_buf_hex(struct rt_buf *b, uint64_t v)
{
	char d[16];
	size_t i = sizeof d;
	do
		d[--i] = "0123456789abcdef"[v & 15];
	while ((v >>= 4) != 0);
	rt_buf_put(b, d + i, sizeof d - i);
}

void rt_buf_fixed(struct rt_buf *b, uint64_t v, unsigned digits)
{
	uint64_t unit = 1;
	for (unsigned i = 0; i < digits; i++)
		unit *= 10;
	rt_buf_u64(b, v / unit);
	if (digits == 0)
		return;
	rt_buf_char(b, '.');
	for (uint64_t rest = v % unit; unit > 1; rest %= unit) {
		unit /= 10;
		rt_buf_char(b, (char)('0' + rest / unit));
	}
}

void rt_buf_quoted(struct rt_buf *b, struct rt_slice s)
{
	if (s.p == NULL) {
		rt_buf_str(b, "null");
		return;
	}
	rt_buf_char(b, '"');
	for (uint32_t i = 0; i < s.len; i++) {
		uint8_t c = s.p[i];
		if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
			rt_buf_char(b, (char)c);
			continue;
		}
		rt_buf_str(b, "\\x");
		rt_buf_char(b, "0123456789abcdef"[c >> 4]);
		rt_buf_char(b, "0123456789abcdef"[c & 15]);
	}
	rt_buf_char(b, '"');
}

/* One conversion behind its %; returns where the format goes on. */
struct conversion {
	unsigned width;
	char pad;
	int longs; /* 0 int, 1 long and size_t, 2 long long */
	bool star;
	char kind;
};

static const char *conversion_parse(const char *f, struct conversion *ret)
{
	*ret = (struct conversion){ .pad = ' ' };
	if (*f == '0') {
		ret->pad = '0';
		f++;
	}
	while (*f >= '0' && *f <= '9')
		ret->width = ret->width * 10 + (unsigned)(*f++ - '0');
	if (f[0] == '.' && f[1] == '*') {
		ret->star = true;
		f += 2;
	}
	while (*f == 'l' || *f == 'z') {
		ret->longs++;
		f++;
	}
	ret->kind = *f;
	return f + 1;
}

static void put_padded(struct rt_buf *b, const struct conversion *c, uint64_t v, bool negative)
{
	char d[24];
	size_t i = sizeof d;
	unsigned base = c->kind == 'x' ? 16 : 10;
	do
		d[--i] = "0123456789abcdef"[v % base];
	while ((v /= base) != 0);
	size_t digits = sizeof d - i;
	if (negative && c->pad == '0')
		rt_buf_char(b, '-');
	for (size_t n = digits + (negative ? 1 : 0); n < c->width; n++)
		rt_buf_char(b, c->pad);
	if (negative && c->pad != '0')
		rt_buf_char(b, '-');
	rt_buf_put(b, d + i, digits);
}

void rt_buf_vfmt(struct rt_buf *b, const char *fmt, va_list ap)
{
	while (*fmt != '\0') {
		size_t plain = strcspn(fmt, "%");
		rt_buf_put(b, fmt, plain);
		fmt += plain;
		if (*fmt == '\0')
			break;
		struct conversion c;
		fmt = conversion_parse(fmt + 1, &c);
		if (c.kind == 'd') {
			int64_t v = c.longs == 2 ? va_arg(ap, long long)
				    : c.longs    ? va_arg(ap, long)
						 : va_arg(ap, int);
			put_padded(b, &c, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, v < 0);
		} else if (c.kind == 'u' || c.kind == 'x') {
			uint64_t v = c.longs == 2   ? va_arg(ap, unsigned long long)
				     : c.longs != 0 ? va_arg(ap, unsigned long)
						    : va_arg(ap, unsigned);
			put_padded(b, &c, v, false);
		} else if (c.kind == 's') {
			size_t max = SIZE_MAX;
			if (c.star) {
				int precision = va_arg(ap, int);
				max = precision < 0 ? SIZE_MAX : (size_t)precision;
			}
			const char *s = va_arg(ap, const char *);
			rt_buf_put(b, s, strnlen(s, max));
		} else if (c.kind == 'c') {
			rt_buf_char(b, (char)va_arg(ap, int));
		} else if (c.kind == '%') {
			rt_buf_char(b, '%');
		} else {
			UNREACHABLE("conversion that rt_buf_fmt does not know");
		}
	}
}

void rt_buf_fmt(struct rt_buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	rt_buf_vfmt(b, fmt, ap);
	va_end(ap);
}

void rt_buf_drop(struct rt_buf *b, size_t n)
{
	ASSERT(n <= b->len);
	if (n != 0 && n < b->len)
		memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
}
