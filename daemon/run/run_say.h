/* The log for people: standard error, one line an event, from any thread. Text or JSON; a level below which
 * nothing is said. */
#ifndef PANDO_RUN_SAY_H
#define PANDO_RUN_SAY_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/run/run_conf.h"

/* Before the first thread. */
void say_init(enum run_conf_level level, enum run_conf_format format);

/* One line; the format is rt_buf_fmt's. */
__attribute__((format(printf, 2, 3))) void say(enum run_conf_level level, const char *fmt, ...);

/* For what may come often: at most one line a second for each limiter; what was left out is counted in the
 * next line. A limiter belongs to one thread. */
struct say_limiter {
	int64_t last_ms;
	uint64_t left_out;
};
__attribute__((format(printf, 4, 5))) void say_limited(struct say_limiter *limiter, int64_t now_ms,
	enum run_conf_level level, const char *fmt, ...);

#endif
