#include "daemon/run/run_say.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static enum run_conf_level least = RUN_CONF_INFO;
static enum run_conf_format how = RUN_CONF_TEXT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const names[] = { "error", "warn", "info", "debug" };

void say_init(enum run_conf_level level, enum run_conf_format format)
{
	least = level;
	how = format;
}

static void put_json_text(struct rt_buf *b, const uint8_t *p, size_t len)
{
	rt_buf_char(b, '"');
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			rt_buf_char(b, '\\');
		if (p[i] < 0x20 || p[i] >= 0x7f)
			rt_buf_fmt(b, "\\u%04x", p[i]);
		else
			rt_buf_char(b, (char)p[i]);
	}
	rt_buf_char(b, '"');
}

/* A line is one line whatever a client put into it. */
static void put_plain_text(struct rt_buf *b, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		rt_buf_char(b, p[i] < 0x20 || p[i] == 0x7f ? '?' : (char)p[i]);
}

static void put_line(enum run_conf_level level, const struct rt_buf *text)
{
	struct timespec ts;
	struct tm tm;
	char when[32];
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	size_t n = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
	when[n] = '\0';
	struct rt_buf line;
	rt_buf_init(&line, 64u << 10);
	unsigned ms = (unsigned)(ts.tv_nsec / 1000000);
	if (how == RUN_CONF_JSON) {
		rt_buf_fmt(&line, "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"message\":", when, ms,
			names[level]);
		put_json_text(&line, text->p, text->len);
		rt_buf_str(&line, "}\n");
	} else {
		rt_buf_fmt(&line, "%s.%03uZ %s ", when, ms, names[level]);
		put_plain_text(&line, text->p, text->len);
		rt_buf_char(&line, '\n');
	}
	pthread_mutex_lock(&lock);
	/* a reader of the log that has stopped reading must not stop the server: lines are dropped and counted */
	static uint64_t dropped;
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
	if (poll(&ready, 1, 0) == 0) {
		dropped++;
		pthread_mutex_unlock(&lock);
		rt_buf_done(&line);
		return;
	}
	if (dropped > 0 && how == RUN_CONF_TEXT)
		dprintf(STDERR_FILENO,
			"%s.%03uZ warn %llu lines were dropped here: nobody was reading\n", when,
			ms, (unsigned long long)dropped);
	dropped = 0;
	for (size_t at = 0; at < line.len;) {
		ssize_t got = write(STDERR_FILENO, line.p + at, line.len - at);
		if (got <= 0)
			break; /* nobody reads the log: that is no reason to stop serving */
		at += (size_t)got;
	}
	pthread_mutex_unlock(&lock);
	rt_buf_done(&line);
}

__attribute__((format(printf, 3, 0))) static void vsay(
	enum run_conf_level level, uint64_t left_out, const char *fmt, va_list ap)
{
	struct rt_buf text;
	rt_buf_init(&text, 8u << 10);
	rt_buf_vfmt(&text, fmt, ap);
	if (left_out > 0)
		rt_buf_fmt(&text, " (%llu more like it since the last such line)",
			(unsigned long long)left_out);
	put_line(level, &text);
	rt_buf_done(&text);
}

void say(enum run_conf_level level, const char *fmt, ...)
{
	if (level > least)
		return;
	va_list ap;
	va_start(ap, fmt);
	vsay(level, 0, fmt, ap);
	va_end(ap);
}

void say_limited(struct say_limiter *limiter, int64_t now_ms, enum run_conf_level level,
	const char *fmt, ...)
{
	if (level > least)
		return;
	if (limiter->last_ms != 0 && now_ms - limiter->last_ms < 1000) {
		limiter->left_out++;
		return;
	}
	va_list ap;
	va_start(ap, fmt);
	vsay(level, limiter->left_out, fmt, ap);
	va_end(ap);
	*limiter = (struct say_limiter){ .last_ms = now_ms };
}
