/* The engine: connections, the turn on one of them, and phases on all workers.
 *
 * Invariants of a connection:
 *   I1  replies come in the order of the requests, so xid_got + 1 is the next one and
 *       xid_sent - xid_got requests are in flight; each has the slot (xid & slot_mask) of its ring.
 *   I2  while `blocked`, keep_out holds what the kernel did not take and nothing new is sent.
 *   I3  w->out is empty between turns: what was not written is in keep_out. */
#include "load.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "schema/runtime/rt_mem.h"

enum {
	EVENTS_MAX = 256,
	BUFFER_MIN = 256 * 1024,
	QUIET_MAX_S = 30, /* so long without an answer while some are owed: given up */
	SHARE_ALL = 1000,
	/* A loopback address has some 28,000 ports towards one server: beyond that, more addresses.
	 * */
	PER_ADDRESS = 20000,
	REPLY_HEAD = 16, /* xid, zxid, error */
	STAT_LEN = 68,
};

static const uint64_t second_ns = 1000000000;

/* "0000" to "9999": two look-ups make the eight digits of a node. */
static char digits[10000][4];

void die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fflush(stdout);
	fputs("load: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	_exit(1);
}

uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * second_ns + (uint64_t)t.tv_nsec;
}

/* ---- Templates ---- */

static uint32_t mark_at(const struct tmpl *t, const char *mark, size_t from)
{
	const uint8_t *p = memmem(t->p + from, t->len - from, mark, strlen(mark));
	return p ? (uint32_t)(p - t->p) : 0;
}

void tmpl_make(struct tmpl *t, enum req_type type, const char *pattern, uint32_t size, bool watch)
{
	size_t room = strlen(pattern) + size + 128;
	memset(t, 0, sizeof *t);
	t->p = rt_alloc(room);
	struct rt_writer w = rt_writer_of(t->p, room);
	rt_put_i32(&w, 0); /* the length, below */
	rt_put_i32(&w, 0); /* xid, patched */
	rt_put_i32(&w, (int32_t)type);
	if (type != REQ_PING && type != REQ_CLOSE)
		rt_put_slice(&w, rt_slice_str(pattern));
	if (type == REQ_CREATE || type == REQ_SET) {
		uint8_t *data;
		rt_put_u32(&w, size);
		data = rt_room(&w, size);
		for (uint32_t i = 0; i < size; i++)
			data[i] = (uint8_t)('a' + i % 26);
	}
	switch (type) {
	case REQ_CREATE:
		rt_put_i32(&w, 1);
		rt_put_i32(&w, 31); /* all rights */
		rt_put_slice(&w, rt_slice_str("world"));
		rt_put_slice(&w, rt_slice_str("anyone"));
		rt_put_i32(&w, 0); /* persistent */
		t->reply_len = REPLY_HEAD + 4 + (uint32_t)strlen(pattern);
		break;
	case REQ_GET:
		rt_put_bool(&w, watch);
		t->reply_len = REPLY_HEAD + 4 + size + STAT_LEN;
		break;
	case REQ_SET:
		rt_put_i32(&w, -1);
		t->reply_len = REPLY_HEAD + STAT_LEN;
		break;
	case REQ_DELETE:
		rt_put_i32(&w, -1);
		t->reply_len = REPLY_HEAD;
		break;
	case REQ_PING:
	case REQ_CLOSE:
		t->reply_len = REPLY_HEAD;
		break;
	}
	ASSERT(!w.full);
	t->len = (uint32_t)(w.p - t->p);
	rt_store32(t->p, t->len - 4);
	t->node_at = mark_at(t, "########", 0);
	t->parent_at = mark_at(t, "####/", 0);
}

void tmpl_done(struct tmpl *t)
{
	rt_free(t->p);
	memset(t, 0, sizeof *t);
}

/* ---- Writing ---- */

static void conn_epoll(struct worker *w, struct conn *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u32 = (uint32_t)(c - w->conns) };
	if (epoll_ctl(w->epfd, op, c->fd, &e) != 0)
		die("epoll_ctl: %s", strerror(errno));
}

__attribute__((noreturn)) static void conn_lost(
	const struct worker *w, const struct conn *c, const char *what)
{
	die("connection %u of thread %u: %s (%u requests unanswered)", (unsigned)(c - w->conns),
		w->index, what, c->xid_sent - c->xid_got);
}

static void keep(uint8_t **p, uint32_t *len, uint32_t *cap, const uint8_t *src, size_t n)
{
	if (n > *cap) {
		rt_free(*p);
		*cap = (uint32_t)n;
		*p = rt_alloc(n);
	}
	memcpy(*p, src, n);
	*len = (uint32_t)n;
}

/* Writes; returns how much the kernel took (0 when it takes none now). */
static size_t conn_write(const struct worker *w, struct conn *c, const uint8_t *p, size_t n)
{
	for (;;) {
		ssize_t got = send(c->fd, p, n, MSG_NOSIGNAL);
		if (got >= 0)
			return (size_t)got;
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == ENOTCONN)
			return 0;
		conn_lost(w, c, strerror(errno));
	}
}

/* Sends w->out; what remains is kept by the connection (I2, I3). */
static void conn_flush(struct worker *w, struct conn *c)
{
	size_t n = w->out_len;
	w->out_len = 0;
	if (n == 0)
		return;
	ASSERT(!c->blocked); /* I2 */
	size_t took = conn_write(w, c, w->out, n);
	if (took == n)
		return;
	keep(&c->keep_out, &c->keep_out_len, &c->keep_out_cap, w->out + took, n - took);
	c->blocked = true;
	conn_epoll(w, c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void conn_unblock(struct worker *w, struct conn *c)
{
	size_t took = conn_write(w, c, c->keep_out, c->keep_out_len);
	c->keep_out_len -= (uint32_t)took;
	memmove(c->keep_out, c->keep_out + took, c->keep_out_len);
	if (c->keep_out_len != 0)
		return;
	c->blocked = false;
	conn_epoll(w, c, EPOLL_CTL_MOD, EPOLLIN);
}

static inline void put_digits(uint8_t *q, const struct tmpl *t, uint32_t parents, uint64_t node)
{
	uint32_t n = (uint32_t)node;
	memcpy(q + t->node_at, digits[n / 10000], 4);
	memcpy(q + t->node_at + 4, digits[n % 10000], 4);
	if (t->parent_at != 0)
		memcpy(q + t->parent_at, digits[n % parents], 4);
}

static inline void put_request(
	struct worker *w, struct conn *c, const struct tmpl *t, uint64_t node)
{
	uint8_t *q = w->out + w->out_len;
	uint32_t xid = ++c->xid_sent;
	memcpy(q, t->p, t->len);
	rt_store32(q + 4, xid & INT32_MAX);
	if (t->node_at != 0)
		put_digits(q, t, w->phase->parents, node);
	w->out_len += t->len;
	struct slot *s = &w->slots[c->slot + (xid & w->slot_mask)];
	s->sent_ns = w->now;
	s->reply_len = t->reply_len;
	w->outstanding++;
}

static inline uint32_t rand_below(struct worker *w, uint64_t n)
{
	w->rng ^= w->rng << 13;
	w->rng ^= w->rng >> 7;
	w->rng ^= w->rng << 17;
	return (uint32_t)(((w->rng >> 32) * n) >> 32);
}

/* Takes the next request of the phase, or returns false at its end. */
static inline bool phase_next(struct worker *w, const struct tmpl **ret_t, uint64_t *ret_node)
{
	const struct phase *ph = w->phase;
	if (ph->stop_ns != 0 ? w->now >= ph->stop_ns : w->quota == 0)
		return false;
	if (w->rate != 0 && (double)w->issued >= (double)(w->now - w->began) * w->rate)
		return false; /* not yet: run_main comes back */
	w->quota--;
	w->issued++;
	*ret_t = &ph->t[0];
	if (ph->share < SHARE_ALL && rand_below(w, SHARE_ALL) >= ph->share)
		*ret_t = &ph->t[1];
	if (ph->random) {
		*ret_node = rand_below(w, ph->nodes);
	} else {
		*ret_node = w->next;
		w->next += w->conf->threads;
		if (*ret_node >= NODES_MAX)
			die("more than %d nodes: give a shorter time", NODES_MAX);
	}
	return true;
}

/* Keeps the connection's share of requests in flight. */
static void conn_top_up(struct worker *w, struct conn *c)
{
	const struct tmpl *t;
	uint64_t node;
	if (w->phase == NULL || !c->up)
		return;
	while (!c->blocked && c->xid_sent - c->xid_got < w->conf->in_flight) {
		if (!phase_next(w, &t, &node))
			break;
		put_request(w, c, t, node);
		if (w->out_cap - w->out_len < w->out_cap / 2)
			conn_flush(w, c);
	}
	conn_flush(w, c);
}

void conn_send(struct worker *w, struct conn *c, const struct tmpl *t)
{
	if (c->blocked)
		die("the server does not read");
	w->now = now_ns();
	put_request(w, c, t, 0);
	conn_flush(w, c);
}

/* ---- Reading ---- */

/* The first few are shown, all are counted. */
static void conn_error(struct worker *w, const struct conn *c, const char *what, int64_t v)
{
	if (w->errors++ < 5)
		fprintf(stderr, "load: connection %u of thread %u, xid %u: %s %lld\n",
			(unsigned)(c - w->conns), w->index, c->xid_got, what, (long long)v);
}

static void handle_handshake(struct worker *w, struct conn *c, const uint8_t *p, uint32_t len)
{
	struct rt_reader r = rt_reader_of(p, len);
	rt_get_i32(&r); /* protocol version */
	int32_t timeout_ms = rt_get_i32(&r);
	int64_t session = rt_get_i64(&r);
	if (r.bad || timeout_ms <= 0 || session == 0)
		conn_lost(w, c, "the handshake was refused");
	c->up = true;
	w->ups++;
	w->done++;
	hist_add(&w->hist, w->now - c->opened_ns);
}

static void handle_unasked(struct worker *w, struct conn *c, uint32_t xid)
{
	if (xid == (uint32_t)XID_EVENT) {
		w->events++;
		if (w->event_ns != 0 && w->now > w->event_ns)
			hist_add(&w->hist, w->now - w->event_ns);
	} else if (xid == (uint32_t)XID_PING) {
		w->done++;
	} else {
		conn_error(w, c, "reply out of order: xid", (int32_t)xid);
		conn_lost(w, c, "the order of replies is lost");
	}
}

static inline void handle_reply(struct worker *w, struct conn *c, const uint8_t *p, uint32_t len)
{
	uint32_t xid = rt_load32(p);
	if (xid != ((c->xid_got + 1) & INT32_MAX) || c->xid_got == c->xid_sent) {
		handle_unasked(w, c, xid);
		return;
	}
	c->xid_got++;
	w->outstanding--;
	const struct slot *s = &w->slots[c->slot + (c->xid_got & w->slot_mask)];
	int64_t zxid = (int64_t)rt_load64(p + 4);
	int32_t err = (int32_t)rt_load32(p + 12);
	const struct phase *ph = w->phase;
	uint64_t errors = w->errors;
	if (err != 0) {
		if (ph != NULL && err == ph->also_ok)
			w->exists++;
		else
			conn_error(w, c, "error", err);
	} else if (s->reply_len != 0 && len != s->reply_len) {
		conn_error(w, c, "a reply has the wrong length:", len);
	}
	if (zxid < c->zxid)
		conn_error(w, c, "zxid went back to", zxid);
	else
		c->zxid = zxid;
	if (ph == NULL || w->errors != errors || w->now < ph->warm_ns)
		return;
	if (ph->stop_ns != 0 && w->now > ph->stop_ns)
		return;
	w->done++;
	hist_add(&w->hist, w->now - s->sent_ns);
}

/* Consumes the whole frames in [p, p + n) and returns how many bytes they were. */
static size_t conn_parse(struct worker *w, struct conn *c, const uint8_t *p, size_t n)
{
	const uint8_t *at = p, *end = p + n;
	while (end - at >= 4) {
		uint32_t len = rt_load32(at);
		if (len < REPLY_HEAD || len > w->in_cap - 4)
			die("a frame of %u bytes cannot be a reply", len);
		if ((size_t)(end - at) - 4 < len)
			break;
		if (c->up)
			handle_reply(w, c, at + 4, len);
		else
			handle_handshake(w, c, at + 4, len);
		at += 4 + len;
	}
	return (size_t)(at - p);
}

static void conn_end(struct worker *w, struct conn *c)
{
	if (!c->closing)
		conn_lost(w, c, "closed by the server");
	w->outstanding -= c->xid_sent - c->xid_got;
	c->xid_got = c->xid_sent;
	close(c->fd);
	c->fd = -1;
}

static void conn_readable(struct worker *w, struct conn *c)
{
	size_t had = c->keep_in_len;
	if (had != 0)
		memcpy(w->in, c->keep_in, had);
	ssize_t got = recv(c->fd, w->in + had, w->in_cap - had, 0);
	if (got < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return;
		if (!c->closing)
			conn_lost(w, c, strerror(errno));
		got = 0;
	}
	if (got == 0) {
		conn_end(w, c);
		return;
	}
	w->now = now_ns();
	w->quiet_since = w->now;
	size_t n = had + (size_t)got;
	size_t used = conn_parse(w, c, w->in, n);
	c->keep_in_len = 0;
	if (used < n)
		keep(&c->keep_in, &c->keep_in_len, &c->keep_in_cap, w->in + used, n - used);
	conn_top_up(w, c);
}

void worker_turn(struct worker *w, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(w->epfd, events, EVENTS_MAX, timeout_ms);
	if (n < 0 && errno != EINTR)
		die("epoll_wait: %s", strerror(errno));
	if (n <= 0) {
		w->now = now_ns();
		if (w->now > w->quiet_since + QUIET_MAX_S * second_ns)
			die("no answer for %d s (%llu requests unanswered)", QUIET_MAX_S,
				(unsigned long long)w->outstanding);
	}
	for (int i = 0; i < n; i++) {
		struct conn *c = &w->conns[events[i].data.u32];
		if (events[i].events & EPOLLOUT && c->blocked) {
			conn_unblock(w, c);
			if (!c->blocked)
				conn_top_up(w, c);
		}
		if (c->fd >= 0 && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			conn_readable(w, c);
	}
}

/* ---- Sessions ---- */

static void put_handshake(struct worker *w)
{
	struct rt_writer out = rt_writer_of(w->out, w->out_cap);
	static const uint8_t password[16];
	rt_put_i32(&out, 45);
	rt_put_i32(&out, 0); /* protocol version */
	rt_put_i64(&out, 0); /* last zxid seen */
	rt_put_i32(&out, w->conf->timeout_ms);
	rt_put_i64(&out, 0); /* a new session */
	rt_put_slice(&out, rt_slice_of(password, sizeof password));
	rt_put_bool(&out, false); /* not read-only */
	w->out_len = (size_t)(out.p - w->out);
}

static void conn_start(struct worker *w, uint32_t i)
{
	struct conn *c = &w->conns[i];
	uint32_t number = i * w->conf->threads + w->index; /* over all workers */
	struct sockaddr_in to = w->conf->server[number % w->conf->servers];
	int one = 1;
	c->slot = i * (w->slot_mask + 1);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket %u: %s", i, strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (number >= PER_ADDRESS && ntohl(to.sin_addr.s_addr) >> 24 == 127) {
		struct sockaddr_in from = { .sin_family = AF_INET };
		from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number / PER_ADDRESS);
		setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
		if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
			die("bind: %s", strerror(errno));
	}
	w->now = now_ns();
	c->opened_ns = w->now;
	if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
		conn_lost(w, c, strerror(errno));
	conn_epoll(w, c, EPOLL_CTL_ADD, EPOLLIN);
	put_handshake(w);
	conn_flush(w, c);
}

struct open_arg {
	struct worker *w;
	uint32_t window;
};

static void *open_main(void *arg)
{
	struct worker *w = ((struct open_arg *)arg)->w;
	uint32_t window = ((struct open_arg *)arg)->window;
	uint32_t next = 0;
	w->quiet_since = now_ns();
	while (w->ups < w->conns_n) {
		while (next < w->conns_n && next - w->ups < window)
			conn_start(w, next++);
		worker_turn(w, 1000);
	}
	return NULL;
}

static void worker_init(struct worker *w, const struct conf *conf, unsigned index, uint32_t extra)
{
	size_t reply = (size_t)conf->size + BUFFER_MIN;
	uint32_t ring = 1;
	w->conf = conf;
	w->index = index;
	w->conns_n = (conf->connections + conf->threads - 1 - index) / conf->threads;
	if (index == 0)
		w->conns_n += extra;
	while (ring < conf->in_flight)
		ring *= 2;
	w->slot_mask = ring - 1;
	w->conns = rt_calloc(w->conns_n + 1, sizeof *w->conns);
	w->slots = rt_calloc((size_t)w->conns_n + 1, ring * sizeof *w->slots);
	w->in_cap = reply;
	w->in = rt_alloc(w->in_cap);
	/* Flushed when half full, so that the other half takes any one request. */
	w->out_cap = 2 * reply;
	w->out = rt_alloc(w->out_cap);
	w->rng = 0x9e3779b97f4a7c15u * (index + 1);
	w->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epfd < 0)
		die("epoll_create1: %s", strerror(errno));
}

static void threads_start(struct load *l, void *(*fn)(void *), void *args, size_t arg_size)
{
	for (unsigned i = 0; i < l->conf.threads; i++) {
		void *arg = (char *)args + i * arg_size;
		int e = pthread_create(&l->workers[i].thread, NULL, fn, arg);
		if (e != 0)
			die("pthread_create: %s", strerror(e));
	}
}

static void threads_join(struct load *l)
{
	for (unsigned i = 0; i < l->conf.threads; i++)
		pthread_join(l->workers[i].thread, NULL);
}

static void collect(struct load *l, struct result *ret)
{
	for (unsigned i = 0; i < l->conf.threads; i++) {
		struct worker *w = &l->workers[i];
		ret->done += w->done;
		ret->errors += w->errors;
		ret->exists += w->exists;
		hist_merge(&ret->hist, &w->hist);
		w->done = w->errors = w->exists = 0;
		memset(&w->hist, 0, sizeof w->hist);
	}
}

void load_open(struct load *l, uint32_t extra, uint32_t window, struct result *ret)
{
	struct open_arg args[THREADS_MAX];
	for (unsigned i = 0; i < 10000; i++) {
		char four[5];
		snprintf(four, sizeof four, "%04u", i);
		memcpy(digits[i], four, 4);
	}
	l->workers = rt_calloc(l->conf.threads, sizeof *l->workers);
	for (unsigned i = 0; i < l->conf.threads; i++) {
		worker_init(&l->workers[i], &l->conf, i, extra);
		args[i].w = &l->workers[i];
		args[i].window = window / l->conf.threads + 1;
	}
	memset(ret, 0, sizeof *ret);
	ret->own_cpu = -own_cpu_seconds();
	uint64_t start = now_ns();
	threads_start(l, open_main, args, sizeof args[0]);
	threads_join(l);
	ret->seconds = (double)(now_ns() - start) / 1e9;
	ret->own_cpu += own_cpu_seconds();
	collect(l, ret);
}

static void *close_main(void *arg)
{
	struct worker *w = arg;
	struct tmpl bye;
	tmpl_make(&bye, REQ_CLOSE, "", 0, false);
	bye.reply_len = 0;
	w->phase = NULL;
	w->quiet_since = now_ns();
	for (uint32_t i = 0; i < w->conns_n; i++) {
		w->conns[i].closing = true;
		conn_send(w, &w->conns[i], &bye);
		while (w->outstanding >= 1000)
			worker_turn(w, 1000);
	}
	while (w->outstanding != 0)
		worker_turn(w, 1000);
	tmpl_done(&bye);
	return NULL;
}

void load_close(struct load *l)
{
	threads_start(l, close_main, l->workers, sizeof *l->workers);
	threads_join(l);
	for (unsigned i = 0; i < l->conf.threads; i++) {
		struct worker *w = &l->workers[i];
		for (uint32_t k = 0; k < w->conns_n; k++) {
			if (w->conns[k].fd >= 0)
				close(w->conns[k].fd);
			rt_free(w->conns[k].keep_in);
			rt_free(w->conns[k].keep_out);
		}
		close(w->epfd);
		rt_free(w->conns);
		rt_free(w->slots);
		rt_free(w->in);
		rt_free(w->out);
	}
	rt_free(l->workers);
}

/* ---- Phases ---- */

static void *run_main(void *arg)
{
	struct worker *w = arg;
	w->now = now_ns();
	w->quiet_since = w->now;
	w->began = w->now;
	w->rate = w->phase->stop_ns != 0 ? (double)w->conf->rate / w->conf->threads / 1e9 : 0;
	for (uint32_t i = 0; i < w->conns_n; i++)
		conn_top_up(w, &w->conns[i]);
	while (w->rate != 0 && w->now < w->phase->stop_ns) {
		worker_turn(w, 1);
		w->now = now_ns();
		/* whoever is first must not get all of it */
		for (uint32_t i = 0; i < w->conns_n; i++)
			conn_top_up(w, &w->conns[(i + w->turn) % w->conns_n]);
		w->turn++;
	}
	while (w->outstanding != 0)
		worker_turn(w, 1000);
	return NULL;
}

static void sleep_until(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / second_ns), (long)(ns % second_ns) };
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

void load_run(struct load *l, const struct phase *ph, const int *pids, unsigned pids_n,
	struct result *ret)
{
	unsigned threads = l->conf.threads;
	for (unsigned i = 0; i < threads; i++) {
		struct worker *w = &l->workers[i];
		w->phase = ph;
		w->next = i;
		w->quota = ph->own ? w->issued : (ph->count + threads - 1 - i) / threads;
		w->issued = 0;
	}
	memset(ret, 0, sizeof *ret);
	uint64_t start = now_ns();
	threads_start(l, run_main, l->workers, sizeof *l->workers);
	if (ph->stop_ns != 0) {
		sleep_until(ph->warm_ns);
		start = ph->warm_ns;
	}
	ret->own_cpu = -own_cpu_seconds();
	ret->server_cpu = -pids_cpu_seconds(pids, pids_n);
	if (ph->stop_ns != 0)
		sleep_until(ph->stop_ns);
	else
		threads_join(l);
	ret->own_cpu += own_cpu_seconds();
	ret->server_cpu += pids_cpu_seconds(pids, pids_n);
	ret->seconds = (double)((ph->stop_ns ? ph->stop_ns : now_ns()) - start) / 1e9;
	if (ph->stop_ns != 0)
		threads_join(l);
	collect(l, ret);
	for (unsigned i = 0; i < threads; i++)
		l->workers[i].phase = NULL;
}

struct hold_arg {
	struct load *l;
	struct worker *w;
};

/* A tenth of a second's share of the connections is pinged each turn, so that all are within a
 * third of the timeout and never all at once. */
static void *hold_main(void *arg)
{
	struct load *l = ((struct hold_arg *)arg)->l;
	struct worker *w = ((struct hold_arg *)arg)->w;
	struct tmpl ping;
	tmpl_make(&ping, REQ_PING, "", 0, false);
	rt_store32(ping.p + 4, (uint32_t)XID_PING);
	uint64_t round_ns = (uint64_t)w->conf->timeout_ms * 1000000 / 3;
	uint64_t start = now_ns(), pinged = 0;
	while (!atomic_load(&l->end)) {
		worker_turn(w, 100);
		w->now = now_ns();
		w->quiet_since = w->now; /* between pings it may be quiet */
		uint64_t due = (w->now - start) / 1000 * w->conns_n / (round_ns / 1000);
		for (; pinged < due; pinged++) {
			struct conn *c = &w->conns[pinged % w->conns_n];
			if (c->blocked)
				continue;
			memcpy(w->out, ping.p, ping.len);
			w->out_len = ping.len;
			conn_flush(w, c);
		}
	}
	tmpl_done(&ping);
	return NULL;
}

void load_hold(struct load *l)
{
	struct hold_arg args[THREADS_MAX];
	for (unsigned i = 0; i < l->conf.threads; i++) {
		args[i].l = l;
		args[i].w = &l->workers[i];
	}
	threads_start(l, hold_main, args, sizeof args[0]);
	threads_join(l);
}
