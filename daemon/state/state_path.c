/* Which paths a create, set or setACL may name: ZooKeeper's PathUtils, on the UTF-16 that Java makes of the
 * bytes. Bytes that are not UTF-8 become U+FFFD there and are refused as such; characters beyond the basic
 * plane become surrogates and are refused likewise. */
#include "daemon/state/state_int.h"

/* One character of UTF-8 at p (at most `left` bytes), or 0 when it is none; *ret_len bytes long. */
static uint32_t utf8_next(const uint8_t *p, uint32_t left, uint32_t *ret_len)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint8_t c = p[0];
	uint32_t len = c < 0x80                ? 1
		       : c >= 0xc2 && c < 0xe0 ? 2
		       : c >= 0xe0 && c < 0xf0 ? 3
		       : c >= 0xf0 && c < 0xf5 ? 4
					       : 0;
	if (len == 0 || len > left)
		return 0;
	*ret_len = len;
	if (len == 1)
		return c;
	uint32_t v = c & (0x7fu >> len);
	for (uint32_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (p[i] & 0x3fu);
	}
	return v >= least[len] ? v : 0;
}

static bool char_refused(uint32_t c)
{
	return c <= 0x1f || (c >= 0x7f && c <= 0x9f) || (c >= 0xd800 && c <= 0xf8ff) || c >= 0xfff0;
}

/* A part that begins at `from` and ends before `to`. */
static bool part_valid(struct rt_slice path, uint32_t from, uint32_t to)
{
	uint32_t len = to - from;
	if (len == 0)
		return false;
	if (path.p[from] != '.')
		return true;
	return len > 2 || (len == 2 && path.p[from + 1] != '.');
}

bool path_valid(struct rt_slice path)
{
	if (path.len == 0 || path.p[0] != '/')
		return false;
	if (path.len == 1)
		return true;
	uint32_t part = 1;
	for (uint32_t i = 1; i < path.len;) {
		uint8_t c = path.p[i];
		if (c == '/') {
			if (!part_valid(path, part, i))
				return false;
			part = ++i;
			continue;
		}
		if (c > 0x1f && c < 0x7f) {
			i++;
			continue;
		}
		uint32_t len = 0;
		if (char_refused(utf8_next(path.p + i, path.len - i, &len)))
			return false;
		i += len;
	}
	return part_valid(path, part, path.len);
}

int64_t path_last_slash(struct rt_slice path)
{
	const uint8_t *slash = path.len != 0 ? memrchr(path.p, '/', path.len) : NULL;
	return slash != NULL ? slash - path.p : -1;
}

bool path_reserved(struct rt_slice path)
{
	return rt_slice_is(path, "/") || rt_slice_is(path, "/zookeeper") ||
	       rt_slice_is(path, "/zookeeper/config") || rt_slice_is(path, "/zookeeper/quota");
}
