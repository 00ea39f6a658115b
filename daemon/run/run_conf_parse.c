/* Reading the text of a configuration file: a Java properties file, as ZooKeeper's configuration
 * is.
 *
 * A logical line is "key=value", "key: value" or "key value"; blanks around each are dropped; a
 * backslash at the end continues the line, otherwise it takes the next character as it is, or
 * stands for \t \n \r \f and \uXXXX. A line that begins with # or ! is a comment. Unlike Java,
 * bytes above 0x7f stand for themselves, so that names in UTF-8 work. Nothing here looks past
 * `end`, whatever the bytes. */
#include "daemon/run/run_conf_int.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "schema/errors_gen.h"
#include "schema/runtime/rt_mem.h"

struct parser {
	const uint8_t *p;
	const uint8_t *end;
	unsigned line;       /* the line that p is in, from 1 */
	unsigned first_line; /* the one in which the current logical line began */
	const char *name;
};

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\f'; }
static bool is_eol(uint8_t c) { return c == '\n' || c == '\r'; }

static void skip_blanks(struct parser *s)
{
	while (s->p < s->end && is_blank(*s->p))
		s->p++;
}

/* Over one end of line, of whichever kind; p is at its first byte. */
static void skip_eol(struct parser *s)
{
	if (*s->p == '\r' && s->end - s->p > 1 && s->p[1] == '\n')
		s->p++;
	s->p++;
	s->line++;
}

/* Over blanks, empty lines and comments; false at the end of the text. */
static bool next_line(struct parser *s)
{
	for (;;) {
		skip_blanks(s);
		if (s->p == s->end)
			return false;
		if (*s->p == '#' || *s->p == '!')
			while (s->p < s->end && !is_eol(*s->p))
				s->p++;
		else if (!is_eol(*s->p))
			return true;
		if (s->p < s->end)
			skip_eol(s);
	}
}

static int fail(const struct parser *s, struct rt_err *ret_err, const char *what)
{
	return rt_err_set(ret_err, PANDO_EINVAL, "%.*s:%u: %s", CUT(s->name), s->line, what);
}

/* Four hexadecimal digits at p; false when there are none. */
static bool hex4(struct parser *s, unsigned *ret)
{
	if (s->end - s->p < 4)
		return false;
	unsigned v = 0;
	for (int i = 0; i < 4; i++) {
		uint8_t c = s->p[i];
		if (c >= '0' && c <= '9')
			v = v << 4 | (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (unsigned)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	s->p += 4;
	*ret = v;
	return true;
}

/* The rest of a \uXXXX, p behind the u; a pair of surrogates is one character. */
static bool take_unicode(struct parser *s, struct rt_buf *out)
{
	unsigned c;
	if (!hex4(s, &c))
		return false;
	if (c >= 0xd800 && c < 0xe000) {
		unsigned low;
		if (c >= 0xdc00 || s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u')
			return false;
		s->p += 2;
		if (!hex4(s, &low) || low < 0xdc00 || low >= 0xe000)
			return false;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (c < 0x80) {
		rt_buf_char(out, (char)c);
		return true;
	}
	unsigned tail = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	static const uint8_t lead[] = { 0, 0xc0, 0xe0, 0xf0 };
	rt_buf_char(out, (char)(lead[tail] | c >> (6 * tail)));
	while (tail-- > 0)
		rt_buf_char(out, (char)(0x80 | (c >> (6 * tail) & 0x3f)));
	return true;
}

/* Behind a backslash. */
static int take_escape(struct parser *s, struct rt_buf *out, struct rt_err *ret_err)
{
	if (s->p == s->end) /* Java drops a lone one at the very end */
		return 0;
	if (is_eol(*s->p)) {
		skip_eol(s);
		skip_blanks(s);
		return 0;
	}
	uint8_t c = *s->p++;
	if (c == 'u')
		return take_unicode(s, out) ? 0
					    : fail(s, ret_err,
						      "\\u needs four hexadecimal digits that make "
						      "a character; write a backslash as \\\\");
	static const char from[] = "tnrf";
	static const char to[] = "\t\n\r\f";
	const char *at = c != '\0' ? strchr(from, c) : NULL;
	rt_buf_char(out, at != NULL ? to[at - from] : (char)c);
	return 0;
}

/* Up to the end of the logical line, or, for a key, to what ends a key. */
static int take_part(struct parser *s, bool key, struct rt_buf *out, struct rt_err *ret_err)
{
	rt_buf_clear(out);
	while (s->p < s->end && !is_eol(*s->p)) {
		uint8_t c = *s->p;
		if (key && (c == '=' || c == ':' || is_blank(c)))
			break;
		s->p++;
		int r = 0;
		if (c == '\\')
			r = take_escape(s, out, ret_err);
		else
			rt_buf_char(out, (char)c);
		if (r < 0)
			return r;
		if (out->overflow)
			return rt_err_set(ret_err, PANDO_EINVAL,
				"%.*s:%u: the line is longer than %d bytes", CUT(s->name),
				s->first_line, RUN_CONF_LINE_BYTES_MAX);
	}
	return 0;
}

static int take_pair(
	struct parser *s, struct rt_buf *key, struct rt_buf *value, struct rt_err *ret_err)
{
	int r = take_part(s, true, key, ret_err);
	if (r < 0)
		return r;
	skip_blanks(s);
	if (s->p < s->end && (*s->p == '=' || *s->p == ':')) {
		s->p++;
		skip_blanks(s);
	}
	return take_part(s, false, value, ret_err);
}

/* ZooKeeper trims values, which Java's reader does not. */
static struct rt_slice trimmed(const struct rt_buf *b)
{
	const uint8_t *p = b->p;
	size_t len = b->len;
	while (len > 0 && is_blank(p[len - 1]))
		len--;
	while (len > 0 && is_blank(*p)) {
		p++;
		len--;
	}
	return rt_slice_of(p, len);
}

int run_conf_parse_text(struct run_conf *conf, const char *name, const void *text, size_t len,
	struct rt_buf *notices, struct rt_err *ret_err)
{
	static const uint8_t bom[] = { 0xef, 0xbb, 0xbf };
	if (len == 0)
		return 0;
	struct parser s = {
		.p = text, .end = (const uint8_t *)text + len, .line = 1, .name = name
	};
	if (len >= sizeof bom && memcmp(text, bom, sizeof bom) == 0)
		s.p += sizeof bom; /* editors on other systems leave one */
	struct rt_buf key, value, where;
	rt_buf_init(&key, RUN_CONF_LINE_BYTES_MAX);
	rt_buf_init(&value, RUN_CONF_LINE_BYTES_MAX);
	rt_buf_init(&where, RUN_CONF_LINE_BYTES_MAX);
	int r = 0;
	while (r == 0 && next_line(&s)) {
		s.first_line = s.line;
		r = take_pair(&s, &key, &value, ret_err);
		if (r < 0)
			break;
		rt_buf_clear(&where);
		rt_buf_fmt(&where, "%.*s:%u", CUT(name), s.first_line);
		rt_buf_char(&where, '\0');
		r = run_conf_assign(conf, rt_slice_of(key.p, key.len), trimmed(&value),
			(const char *)where.p, notices, ret_err);
	}
	rt_buf_done(&key);
	rt_buf_done(&value);
	rt_buf_done(&where);
	return r;
}

static int read_all(int fd, const char *path, struct rt_buf *out, struct rt_err *ret_err)
{
	for (;;) {
		if (out->len > RUN_CONF_FILE_BYTES_MAX)
			return rt_err_set(ret_err, PANDO_ELIMIT,
				"%.*s: larger than %d bytes, so this is hardly a configuration "
				"file",
				CUT(path), RUN_CONF_FILE_BYTES_MAX);
		uint8_t *room = rt_buf_grow(out, 4096);
		ASSERT(room != NULL);
		ssize_t n = read(fd, room, 4096);
		int e = errno;
		out->len -= 4096 - (size_t)(n > 0 ? n : 0);
		if (n == 0)
			return 0;
		if (n < 0 && e != EINTR)
			return rt_err_set(ret_err, PANDO_EIO, "%.*s: cannot be read: %s", CUT(path),
				strerror(e));
	}
}

int run_conf_load_file(
	struct run_conf *conf, const char *path, struct rt_buf *notices, struct rt_err *ret_err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int code = errno == ENOENT || errno == ENOTDIR ? PANDO_ENOENT
			   : errno == EACCES                   ? PANDO_EACCES
							       : PANDO_EIO;
		return rt_err_set(ret_err, code,
			"%.*s: the configuration file cannot be opened: %s", CUT(path),
			strerror(errno));
	}
	struct rt_buf text;
	rt_buf_init(&text, RUN_CONF_FILE_BYTES_MAX + 2 * 4096);
	int r = read_all(fd, path, &text, ret_err);
	close(fd);
	if (r == 0) {
		run_conf_replace(&conf->file, path);
		r = run_conf_parse_text(conf, path, text.p, text.len, notices, ret_err);
	}
	rt_buf_done(&text);
	return r;
}
