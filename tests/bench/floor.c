/* A server that answers every request with a constant: what the kernel and the load generator leave
 * possible, and so the ceiling of anything measured with it.
 *
 * One thread, one read and one write a connection and turn. Nothing is kept: getData answers --size
 * bytes, setData and the rest a fixed Stat, create its own path; every node seems to exist and not
 * to exist, as the request would like it. With --log FILE all writes of a turn of the loop are
 * written to FILE, which is as long as it will ever be and begun again at its end, and synced once
 * before any of the turn's answers leaves. Prints its port on standard output. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "schema/runtime/rt_codec.h"
#include "schema/runtime/rt_mem.h"

enum {
	EVENTS_MAX = 256,
	CONNS_MAX = 65536,
	IN_CAP = 1 << 20,
	OUT_CAP = 4 << 20,
	LOG_CAP = 64 << 20,
	STAT_LEN = 68,
	REPLY_HEAD = 16,
};

struct conn {
	int fd;
	bool up;
	bool dirty;    /* has an answer that leaves at the end of the turn */
	uint8_t *keep; /* the beginning of a frame */
	uint32_t keep_len;
	uint8_t *out; /* answers not yet written */
	uint32_t out_len, out_cap;
};

static struct conn conns[CONNS_MAX]; /* by descriptor */
static uint8_t in[IN_CAP], out[OUT_CAP];
static size_t out_len;
static uint8_t data_reply[IN_CAP];
static uint32_t data_size = 128;
static int64_t zxid = 1;
static int log_fd = -1;
static uint8_t *log_buf;
static size_t log_len;
static off_t log_at;
static int dirty[CONNS_MAX];
static unsigned dirty_n;
static int epfd;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void conn_close(struct conn *c)
{
	close(c->fd);
	free(c->keep);
	free(c->out);
	memset(c, 0, sizeof *c);
}

static void answer_handshake(struct conn *c)
{
	struct rt_writer w = rt_writer_of(out + out_len, OUT_CAP - out_len);
	rt_put_i32(&w, 37);
	rt_put_i32(&w, 0);
	rt_put_i32(&w, 30000);
	rt_put_i64(&w, 0x100000000 + c->fd);
	rt_put_i32(&w, 16);
	rt_put_i64(&w, 0);
	rt_put_i64(&w, 0);
	rt_put_bool(&w, false);
	out_len = (size_t)(w.p - out);
	c->up = true;
}

static void log_write(const uint8_t *p, uint32_t len)
{
	if (log_fd < 0)
		return;
	if (log_len + len > LOG_CAP)
		fail("too much for one turn");
	memcpy(log_buf + log_len, p, len);
	log_len += len;
}

/* One request of len bytes: its answer goes to the end of `out`. */
static void answer(struct conn *c, const uint8_t *p, uint32_t len)
{
	enum { CREATE = 1, GET = 4, SET = 5 };
	if (!c->up) {
		answer_handshake(c);
		return;
	}
	int32_t type = (int32_t)rt_load32(p + 4);
	uint8_t *q = out + out_len;
	uint32_t body = 0;
	if (type == GET) {
		body = 4 + data_size + STAT_LEN;
		memcpy(q + 4 + REPLY_HEAD, data_reply, body);
	} else if (type == SET) {
		body = STAT_LEN;
		memcpy(q + 4 + REPLY_HEAD, data_reply + 4 + data_size, body);
	} else if (type == CREATE && len >= 12) {
		body = 4 + rt_load32(p + 8);
		if (body > len)
			fail("bad path");
		memcpy(q + 4 + REPLY_HEAD, p + 8, body);
	}
	if (type != GET && type > 0) {
		zxid++;
		log_write(p, len);
	}
	rt_store32(q, REPLY_HEAD + body);
	memcpy(q + 4, p, 4);
	rt_store64(q + 8, (uint64_t)zxid);
	rt_store32(q + 16, 0);
	out_len += 4 + REPLY_HEAD + body;
}

static void conn_flush(struct conn *c)
{
	ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN) {
		conn_close(c);
		return;
	}
	if (n < 0)
		n = 0;
	c->out_len -= (uint32_t)n;
	memmove(c->out, c->out + n, c->out_len);
	uint32_t want = EPOLLIN | (c->out_len ? EPOLLOUT : 0);
	struct epoll_event e = { .events = want, .data.fd = c->fd };
	epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &e);
}

static void conn_keep_out(struct conn *c, const uint8_t *p, size_t n)
{
	if (c->out_len + n > c->out_cap) {
		c->out_cap = (uint32_t)(c->out_len + n) * 2;
		c->out = rt_realloc(c->out, c->out_cap);
	}
	memcpy(c->out + c->out_len, p, n);
	c->out_len += (uint32_t)n;
}

/* Sends what the turn on this connection made; with a log, only after the sync. */
static void conn_done(struct conn *c)
{
	size_t n = out_len;
	out_len = 0;
	if (n == 0)
		return;
	if (log_len == 0 && c->out_len == 0) {
		ssize_t took = send(c->fd, out, n, MSG_NOSIGNAL);
		if (took == (ssize_t)n)
			return;
		if (took < 0 && errno != EAGAIN) {
			conn_close(c);
			return;
		}
		took = took < 0 ? 0 : took;
		conn_keep_out(c, out + took, n - (size_t)took);
		conn_flush(c);
		return;
	}
	conn_keep_out(c, out, n);
	if (!c->dirty) {
		c->dirty = true;
		dirty[dirty_n++] = c->fd;
	}
}

static void conn_read(struct conn *c)
{
	memcpy(in, c->keep, c->keep_len);
	ssize_t got = recv(c->fd, in + c->keep_len, IN_CAP - c->keep_len, 0);
	if (got <= 0) {
		if (got == 0 || errno != EAGAIN)
			conn_close(c);
		return;
	}
	const uint8_t *p = in, *end = in + c->keep_len + got;
	while (end - p >= 4) {
		uint32_t len = rt_load32(p);
		if (len < 8 || len > IN_CAP - 4) {
			conn_close(c);
			return;
		}
		if ((size_t)(end - p) - 4 < len)
			break;
		answer(c, p + 4, len);
		p += 4 + len;
		if (out_len > OUT_CAP / 2)
			conn_done(c);
	}
	c->keep_len = (uint32_t)(end - p);
	if (c->keep_len != 0) {
		c->keep = rt_realloc(c->keep, c->keep_len);
		memcpy(c->keep, p, c->keep_len);
	}
	conn_done(c);
}

static void turn_end(void)
{
	if (log_len != 0) {
		if (log_at + (off_t)log_len > LOG_CAP)
			log_at = 0;
		if (pwrite(log_fd, log_buf, log_len, log_at) != (ssize_t)log_len ||
			fdatasync(log_fd) != 0)
			fail("log");
		log_at += (off_t)log_len;
		log_len = 0;
	}
	for (unsigned i = 0; i < dirty_n; i++) {
		struct conn *c = &conns[dirty[i]];
		if (!c->dirty)
			continue;
		c->dirty = false;
		conn_flush(c);
	}
	dirty_n = 0;
}

static void accept_all(int listener)
{
	int fd, one = 1;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (fd >= CONNS_MAX) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
		conns[fd].fd = fd;
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) != 0)
			fail("epoll_ctl");
	}
}

static int listen_on(unsigned port)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	socklen_t len = sizeof a;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(fd, 4096) != 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		fail("listen");
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static void serve(int listener)
{
	struct epoll_event events[EVENTS_MAX];
	struct epoll_event e = { .events = EPOLLIN, .data.fd = listener };
	epfd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(epfd, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			struct conn *c = &conns[events[i].data.fd];
			if (events[i].data.fd == listener) {
				accept_all(listener);
				continue;
			}
			if (events[i].events & EPOLLOUT)
				conn_flush(c);
			if (c->fd != 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				conn_read(c);
		}
		turn_end();
	}
}

int main(int argc, char **argv)
{
	unsigned port = 0;
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--port") == 0) {
			port = (unsigned)atoi(value);
		} else if (strcmp(argv[i], "--size") == 0) {
			data_size = (uint32_t)atoi(value);
		} else if (strcmp(argv[i], "--log") == 0) {
			log_fd = open(value, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
			log_buf = rt_calloc(1, LOG_CAP);
			if (log_fd < 0 || write(log_fd, log_buf, LOG_CAP) != LOG_CAP ||
				fsync(log_fd) != 0)
				fail(value);
		} else {
			fprintf(stderr, "usage: floor [--port N] [--size BYTES] [--log FILE]\n");
			return 2;
		}
	}
	if (data_size > IN_CAP - 4 - STAT_LEN)
		data_size = IN_CAP - 4 - STAT_LEN;
	rt_store32(data_reply, data_size);
	struct rlimit r = { CONNS_MAX, CONNS_MAX };
	setrlimit(RLIMIT_NOFILE, &r);
	serve(listen_on(port));
}
