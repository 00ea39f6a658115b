/* Sockets and their events.
 *
 * X1  a connection is registered for reading exactly when its shard wants input (srv_reading) and it is not
 *     quiesced; for writing exactly when the kernel refused some of its output
 * X2  a connection that ends in order is shut down first and closed when the client has closed, or a while
 *     later: closing at once, with input unread, would make the kernel throw away the last replies */
#include "daemon/transport/tr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "schema/errors_gen.h"
#include "schema/runtime/rt_list.h"
#include "schema/runtime/rt_mem.h"

#define ACCEPTS_A_ROUND 64
#define LINGER_MS 2000
#define ACCEPT_PAUSE_MS 100 /* after the descriptors ran out */
#define SWEEP_MS 500        /* how often silent connections are looked for */

struct tr_conn {
	struct rt_list link;
	struct tr_loop *loop;
	struct srv_conn *srv; /* NULL while lingering */
	int fd;
	bool reading;
	bool writing;
	bool finishing; /* its deadline is that of its last replies */
	int64_t deadline_ms; /* of the handshake, of the last replies, or of lingering; INT64_MAX for none */
	struct event read_event;
	struct event write_event;
	char address[48];
};

struct tr_loop {
	struct event_base *base;
	struct srv *shard;
	struct tr_hooks hooks;
	struct tr_options options;
	struct rt_list conns;
	struct rt_list lingering;
	int wake_fd;
	int listen_fd;
	bool begun;
	bool quiesced;
	bool accepting;
	struct event wake_event;
	struct event listen_event;
	struct event accept_pause;
	struct event sweep;
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void begin(struct tr_loop *l)
{
	if (!l->begun)
		l->hooks.begin(l->hooks.arg);
	l->begun = true;
}

static void conn_close(struct tr_conn *c)
{
	struct tr_loop *l = c->loop;
	if (c->srv != NULL)
		srv_closed(l->shard, c->srv);
	if (c->reading)
		event_del(&c->read_event);
	if (c->writing)
		event_del(&c->write_event);
	rt_list_remove(&c->link);
	close(c->fd);
	l->hooks.gone(l->hooks.arg, c->address);
	rt_free(c);
}

static void want_read(struct tr_conn *c, bool want)
{
	want = want && !c->loop->quiesced;
	if (want && !c->reading)
		event_add(&c->read_event, NULL);
	else if (!want && c->reading)
		event_del(&c->read_event);
	c->reading = want;
}

static void want_write(struct tr_conn *c, bool want)
{
	if (want && !c->writing)
		event_add(&c->write_event, NULL);
	else if (!want && c->writing)
		event_del(&c->write_event);
	c->writing = want;
}

/* What a lingering connection still says is thrown away, until it closes. */
static void linger_read(struct tr_conn *c)
{
	char waste[4096];
	ssize_t n = recv(c->fd, waste, sizeof waste, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		conn_close(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tr_conn *c = arg;
	begin(c->loop);
	if (c->srv == NULL) {
		linger_read(c);
		return;
	}
	size_t room = 0;
	uint8_t *p = srv_input_room(c->loop->shard, c->srv, &room);
	if (p == NULL) {
		want_read(c, false); /* X1; the flush after its work looks again */
		return;
	}
	ssize_t n = recv(fd, p, room, 0);
	if (n > 0)
		srv_input(c->loop->shard, c->srv, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		conn_close(c);
}

/* Into lingering: the shard knows it no more. */
static void linger(struct tr_conn *c)
{
	struct tr_loop *l = c->loop;
	srv_closed(l->shard, c->srv);
	c->srv = NULL;
	if (shutdown(c->fd, SHUT_WR) != 0) {
		conn_close(c);
		return;
	}
	want_write(c, false);
	c->deadline_ms = now_ms() + LINGER_MS;
	rt_list_remove(&c->link);
	rt_list_append(&l->lingering, &c->link);
	if (!c->reading) {
		event_add(&c->read_event, NULL);
		c->reading = true;
	}
}

static void conn_flush(struct tr_conn *c)
{
	struct srv *s = c->loop->shard;
	struct rt_slice out;
	while ((out = srv_output(c->srv)).len > 0) {
		ssize_t n = send(c->fd, out.p, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN)
				break;
			conn_close(c);
			return;
		}
		srv_output_sent(s, c->srv, (size_t)n);
	}
	if (out.len == 0 && srv_finished(c->srv)) {
		linger(c);
		return;
	}
	/* one that is to be closed and does not read its last replies is not waited for without an end */
	if (srv_finished(c->srv) && !c->finishing) {
		c->finishing = true;
		c->deadline_ms = now_ms() + LIMIT_FINISH_MS;
	}
	want_write(c, out.len > 0);
	want_read(c, srv_reading(c->srv));
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct tr_conn *c = arg;
	begin(c->loop);
	if (c->srv != NULL)
		conn_flush(c);
}

void tr_flush(struct tr_loop *l)
{
	struct srv_conn *sc;
	while ((sc = srv_next_dirty(l->shard)) != NULL)
		conn_flush(srv_conn_user(sc));
	l->begun = false;
}

void tr_peer_of(const struct sockaddr_storage *from, struct srv_peer *ret)
{
	*ret = (struct srv_peer){ .address = "?", .name = "?" };
	char text[INET6_ADDRSTRLEN] = "?";
	unsigned port = 0;
	struct rt_buf b;
	rt_buf_init(&b, sizeof ret->name);
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
		port = ntohs(in->sin_port);
		rt_buf_fmt(&b, "%s:%u", text, port);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)from;
		port = ntohs(in->sin6_port);
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
		if (mapped)
			inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], text, sizeof text);
		else
			inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
		rt_buf_fmt(&b, mapped ? "%s:%u" : "[%s]:%u", text, port);
	}
	memcpy(ret->address, text, sizeof text);
	size_t n = b.len < sizeof ret->name ? b.len : sizeof ret->name - 1;
	if (n != 0)
		memcpy(ret->name, b.p, n);
	ret->name[n] = '\0';
	rt_buf_done(&b);
}

void tr_adopt(struct tr_loop *l, int fd, const struct sockaddr_storage *from)
{
	begin(l);
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (l->options.keep_alive)
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	struct srv_peer peer;
	tr_peer_of(from, &peer);
	struct tr_conn *c = rt_calloc(1, sizeof *c);
	c->loop = l;
	c->fd = fd;
	c->deadline_ms = l->options.handshake_timeout_ms > 0
				 ? now_ms() + l->options.handshake_timeout_ms
				 : INT64_MAX;
	memcpy(c->address, peer.address, sizeof c->address);
	rt_list_append(&l->conns, &c->link);
	event_assign(&c->read_event, l->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	event_assign(&c->write_event, l->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	c->srv = srv_accept(l->shard, &peer, c);
	want_read(c, true);
}

static void accept_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct tr_loop *l = arg;
	if (l->accepting)
		event_add(&l->listen_event, NULL);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct tr_loop *l = arg;
	begin(l);
	for (int i = 0; i < ACCEPTS_A_ROUND; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof from;
		int got = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (got >= 0) {
			l->hooks.accepted(l->hooks.arg, got, &from);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			/* mostly out of descriptors: a level-triggered listener would spin */
			l->hooks.trouble(l->hooks.arg, "a connection could not be accepted", errno);
			struct timeval pause = { 0, ACCEPT_PAUSE_MS * 1000 };
			event_del(&l->listen_event);
			event_add(&l->accept_pause, &pause);
		}
		return;
	}
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;
	ssize_t got = read(fd, &n, sizeof n);
	(void)got; /* an empty counter is no trouble: somebody was quicker */
}

/* Closes those that never made a session, and those that linger too long. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct tr_loop *l = arg;
	begin(l);
	int64_t now = now_ms();
	rt_list_each (&l->lingering, link, next) {
		struct tr_conn *c = rt_list_entry(link, struct tr_conn, link);
		if (c->deadline_ms <= now)
			conn_close(c);
	}
	rt_list_each (&l->conns, link2, next2) {
		struct tr_conn *c = rt_list_entry(link2, struct tr_conn, link);
		if (c->deadline_ms > now)
			continue;
		if (!c->finishing && srv_has_session(c->srv))
			c->deadline_ms = INT64_MAX;
		else
			conn_close(c);
	}
}

int tr_new(struct srv *shard, const struct tr_hooks *hooks, const struct tr_options *options,
	struct tr_loop **ret, struct rt_err *ret_err)
{
	struct tr_loop *l = rt_calloc(1, sizeof *l);
	l->shard = shard;
	l->hooks = *hooks;
	l->options = *options;
	l->listen_fd = -1;
	rt_list_init(&l->conns);
	rt_list_init(&l->lingering);
	l->base = event_base_new();
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->base == NULL || l->wake_fd < 0) {
		int rc = rt_err_set(
			ret_err, PANDO_EIO, "cannot make an event loop: %s", strerror(errno));
		if (l->base != NULL)
			event_base_free(l->base);
		if (l->wake_fd >= 0)
			close(l->wake_fd);
		rt_free(l);
		return rc;
	}
	event_assign(&l->wake_event, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	event_add(&l->wake_event, NULL);
	event_assign(&l->sweep, l->base, -1, EV_PERSIST, on_sweep, l);
	struct timeval every = { 0, SWEEP_MS * 1000 };
	event_add(&l->sweep, &every);
	*ret = l;
	return 0;
}

/* At the server's end: what its client still says is read away, or the kernel would throw the last replies
 * away (X2). */
static void conn_end(struct tr_conn *c)
{
	char waste[4096];
	shutdown(c->fd, SHUT_WR);
	for (int i = 0; i < 256 && recv(c->fd, waste, sizeof waste, MSG_DONTWAIT) > 0; i++)
		continue;
	conn_close(c);
}

bool tr_has_input(const struct srv_conn *sc)
{
	const struct tr_conn *c = srv_conn_user(sc);
	int bytes = 0;
	return ioctl(c->fd, FIONREAD, &bytes) == 0 && bytes > 0;
}

void tr_free(struct tr_loop *l)
{
	if (l == NULL)
		return;
	rt_list_each (&l->conns, link, next)
		conn_end(rt_list_entry(link, struct tr_conn, link));
	rt_list_each (&l->lingering, link2, next2)
		conn_close(rt_list_entry(link2, struct tr_conn, link));
	if (l->listen_fd >= 0) {
		event_del(&l->listen_event);
		event_del(&l->accept_pause);
		close(l->listen_fd);
	}
	event_del(&l->wake_event);
	event_del(&l->sweep);
	close(l->wake_fd);
	event_base_free(l->base);
	rt_free(l);
}

void tr_listen(struct tr_loop *l, int fd)
{
	l->listen_fd = fd;
	l->accepting = true;
	event_assign(&l->listen_event, l->base, fd, EV_READ | EV_PERSIST, on_accept, l);
	event_assign(&l->accept_pause, l->base, -1, 0, accept_pause_over, l);
	event_add(&l->listen_event, NULL);
}

void tr_quiesce(struct tr_loop *l)
{
	l->quiesced = true;
	l->accepting = false;
	if (l->listen_fd >= 0) {
		event_del(&l->listen_event);
		event_del(&l->accept_pause);
		close(l->listen_fd);
		l->listen_fd = -1;
	}
	rt_list_each (&l->conns, link, next)
		want_read(rt_list_entry(link, struct tr_conn, link), false);
}

void tr_wait(struct tr_loop *l, bool block)
{
	event_base_loop(l->base, block ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
	begin(l);
}

void tr_wake(struct tr_loop *l)
{
	uint64_t one = 1;
	ssize_t n = write(l->wake_fd, &one, sizeof one);
	(void)n; /* a full counter wakes as well */
}

static int listen_error(const char *where, int error, struct rt_err *ret_err)
{
	if (error == EADDRINUSE)
		return rt_err_set(ret_err, PANDO_EBUSY,
			"%s: the port is in use by another program; stop that, or choose another port with "
			"--listen or the key clientPort",
			where);
	if (error == EACCES)
		return rt_err_set(ret_err, PANDO_EACCES,
			"%s: not permitted; ports below 1024 need a privilege, choose a higher one",
			where);
	if (error == EADDRNOTAVAIL)
		return rt_err_set(ret_err, PANDO_EINVAL,
			"%s: this machine does not have that address; see `ip addr`, and set clientPortAddress or "
			"--listen",
			where);
	return rt_err_set(ret_err, PANDO_EIO, "%s: cannot listen: %s", where, strerror(error));
}

static int bind_one(const struct sockaddr *addr, socklen_t len, bool dual, int backlog)
{
	int one = 1, zero = 0;
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (addr->sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual ? &zero : &one, sizeof one);
	if (bind(fd, addr, len) == 0 && listen(fd, backlog) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage a = { 0 };
	socklen_t len = sizeof a;
	if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
		return 0;
	return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&a)->sin6_port
					     : ((struct sockaddr_in *)(void *)&a)->sin_port);
}

int tr_bind(const char *host, uint16_t port, int backlog, int *ret_fd, uint16_t *ret_port,
	struct rt_err *ret_err)
{
	int fd = -1;
	char where[300];
	struct rt_buf b;
	rt_buf_init(&b, sizeof where);
	rt_buf_fmt(&b, "%.*s:%u", 250, host != NULL ? host : "*", port);
	memcpy(where, b.p, b.len);
	where[b.len] = '\0';
	rt_buf_done(&b);
	if (host == NULL) {
		struct sockaddr_in6 any6 = {
			.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_any
		};
		struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons(port) };
		fd = bind_one((struct sockaddr *)&any6, sizeof any6, true, backlog);
		if (fd < 0 && errno != EADDRINUSE && errno != EACCES) /* a machine without IPv6 */
			fd = bind_one((struct sockaddr *)&any4, sizeof any4, false, backlog);
	} else {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE },
				*all = NULL;
		char service[8];
		struct rt_writer w = rt_writer_of(service, sizeof service);
		struct rt_buf text;
		rt_buf_init(&text, sizeof service - 1);
		rt_buf_u64(&text, port);
		rt_put_bytes(&w, text.p, text.len);
		rt_put_u8(&w, 0);
		rt_buf_done(&text);
		int rc = getaddrinfo(host, service, &hints, &all);
		if (rc != 0)
			return rt_err_set(ret_err, PANDO_EINVAL,
				"%s: no such address: %s; write an address of this machine", where,
				gai_strerror(rc));
		fd = bind_one(all->ai_addr, all->ai_addrlen, false, backlog);
		int error = errno;
		freeaddrinfo(all);
		errno = error;
	}
	if (fd < 0)
		return listen_error(where, errno, ret_err);
	*ret_fd = fd;
	*ret_port = port_of(fd);
	return 0;
}
