#include "schema/runtime/rt_err.h"

#include "schema/runtime/rt_buf.h"

int rt_err_set(struct rt_err *ret_err, int code, const char *fmt, ...)
{
	if (ret_err == NULL)
		return code;
	struct rt_buf b;
	rt_buf_init(&b, 1 << 20);
	va_list ap;
	va_start(ap, fmt);
	rt_buf_vfmt(&b, fmt, ap);
	va_end(ap);
	size_t n = b.len < sizeof ret_err->text ? b.len : sizeof ret_err->text - 1;
	if (n != 0)
		memcpy(ret_err->text, b.p, n);
	ret_err->text[n] = '\0';
	ret_err->code = code;
	rt_buf_done(&b);
	return code;
}
