/* An operating error with words for a human: what failed, where, and what to do about it. Functions whose
 * errors a user reads fill one; run/ and tools/ print it. */
#ifndef PANDO_RT_ERR_H
#define PANDO_RT_ERR_H

struct rt_err {
	int code; /* PANDO_E..., see schema/errors.def */
	char text[1000];
};

/* Fills *ret_err (which may be NULL) and returns code, so that callers can `return rt_err_set(...)`. Text
 * that does not fit is cut. The format is rt_buf_fmt's. */
__attribute__((format(printf, 3, 4))) int rt_err_set(
	struct rt_err *ret_err, int code, const char *fmt, ...);

#endif
