/* A load generator for anything that speaks the ZooKeeper client protocol, on raw sockets.
 *
 * It is built not to be the bottleneck. A worker is one thread with its own epoll, its own share of
 * the connections, one read buffer and one write buffer; a connection owns memory only for what a
 * read or a write left over. Requests are copied from a template in which three numbers are patched
 * (xid, parent, node); a turn on a connection is one read, the parse of all replies in it, and one
 * write of as many new requests. Nothing is allocated for a request and the clock is read once a
 * turn on a connection.
 *
 * Life cycle: load_open (all sessions), any number of load_run (one phase each), load_close.
 * Whatever makes the measurement meaningless (a connection lost, a server that stands still, bytes
 * that cannot be a reply) ends the program with a message; a reply that is merely wrong is counted
 * as an error. */
#ifndef PANDO_BENCH_LOAD_H
#define PANDO_BENCH_LOAD_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

#include "schema/runtime/rt_codec.h"

enum {
	SERVERS_MAX = 16,
	PIDS_MAX = 16,
	THREADS_MAX = 64,
	PARENTS_MAX = 10000,   /* four digits in a path */
	NODES_MAX = 100000000, /* eight */
	HIST_SUB = 64,         /* buckets for one power of two: values are kept to 1.6 % */
	HIST_BUCKETS = 59 * HIST_SUB,
};

enum req_type {
	REQ_CREATE = 1,
	REQ_DELETE = 2,
	REQ_GET = 4,
	REQ_SET = 5,
	REQ_PING = 11,
	REQ_CLOSE = -11,
};

enum {
	ERR_NODE_EXISTS = -110,
	XID_EVENT = -1,
	XID_PING = -2,
};

/* Nanoseconds in logarithmic buckets. */
struct hist {
	uint64_t n;
	uint64_t max;
	uint64_t bucket[HIST_BUCKETS];
};

/* A whole request; the offsets say where the digits of parent and node go (0: it has none). */
struct tmpl {
	uint8_t *p;
	uint32_t len;
	uint32_t parent_at;
	uint32_t node_at;
	uint32_t reply_len; /* what a good reply's frame measures; 0: not checked */
};

/* What the workers send: a template, on which nodes, until when. */
struct phase {
	struct tmpl t[2];
	uint32_t share; /* per mille of requests that use t[0]; the rest t[1] */
	bool random;    /* nodes at random; otherwise each once, in order */
	bool own; /* as many as the worker issued in the phase before (to delete what it created) */
	uint64_t nodes;   /* random: how many there are */
	uint32_t parents; /* node i stands under parent i % parents */
	uint64_t count;   /* so many requests in all; 0: by time */
	uint64_t warm_ns; /* by time: replies before warm_ns are not counted, */
	uint64_t stop_ns; /* and none is sent after stop_ns (monotonic clock) */
	int32_t also_ok;  /* an error code that is as good as 0 */
};

struct conf {
	struct sockaddr_in server[SERVERS_MAX]; /* connection i goes to i % servers */
	unsigned servers;
	unsigned threads;
	uint32_t connections;
	uint32_t in_flight;
	uint32_t size;
	int32_t timeout_ms;
	uint64_t rate; /* requests a second, of phases that end by time; 0: no bound */
};

/* A request that waits for its reply, found by xid. */
struct slot {
	uint64_t sent_ns;
	uint32_t reply_len;
};

struct conn {
	int fd;
	bool up; /* the handshake is answered */
	bool closing;
	bool blocked; /* the kernel takes no more: `keep_out` waits for EPOLLOUT */
	uint32_t xid_sent;
	uint32_t xid_got;
	uint32_t slot; /* where its ring of slots begins */
	int64_t zxid;  /* the greatest seen: replies never go back */
	uint64_t opened_ns;
	uint8_t *keep_in; /* the beginning of a frame, until its rest arrives */
	uint32_t keep_in_len, keep_in_cap;
	uint8_t *keep_out;
	uint32_t keep_out_len, keep_out_cap;
};

struct worker {
	const struct conf *conf;
	const struct phase *phase; /* NULL: nothing is sent by itself */
	unsigned index;
	int epfd;
	pthread_t thread;
	struct conn *conns;
	uint32_t conns_n;
	uint32_t ups;
	struct slot *slots;
	uint32_t slot_mask;
	uint8_t *in;
	size_t in_cap;
	uint8_t *out;
	size_t out_cap, out_len;
	uint64_t rng;
	uint64_t now; /* as of the last turn on a connection */
	uint64_t quiet_since;
	uint64_t quota; /* still to send in a phase with a count */
	uint64_t next;  /* next node in order */
	uint64_t issued;
	uint64_t began; /* the phase */
	double rate;    /* requests a nanosecond of this thread; 0: no bound */
	uint32_t turn;
	uint64_t outstanding;
	uint64_t done; /* good replies within the measured time */
	uint64_t errors;
	uint64_t exists; /* replies with also_ok */
	uint64_t events; /* notifications, timed from event_ns */
	uint64_t event_ns;
	struct hist hist;
};

struct load {
	struct conf conf;
	struct worker *workers;
	atomic_bool end; /* load_hold returns */
};

/* The sum over all workers of one phase. */
struct result {
	uint64_t done;
	uint64_t errors;
	uint64_t exists;
	double seconds;
	double own_cpu;    /* seconds of this process */
	double server_cpu; /* and of the servers named by pid */
	struct hist hist;
};

/* ---- load_io.c ---- */

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *fmt, ...);
uint64_t now_ns(void);

/* Builds a request whose path is `pattern`; "####" in it is the parent, "########" the node. The
 * template owns its memory; tmpl_done frees it. */
void tmpl_make(struct tmpl *t, enum req_type type, const char *pattern, uint32_t size, bool watch);
void tmpl_done(struct tmpl *t);

/* Makes the workers and opens every session, at most `window` handshakes at once; extra connections
 * are given to the first worker. The handshakes' latencies are in the result. */
void load_open(struct load *l, uint32_t extra, uint32_t window, struct result *ret);

/* Runs one phase on all workers; the calling thread measures. `pids` may be empty. */
void load_run(struct load *l, const struct phase *ph, const int *pids, unsigned pids_n,
	struct result *ret);

/* Holds all sessions with pings until l->end is set, checked ten times a second. */
void load_hold(struct load *l);

/* Ends every session in order and frees the workers. */
void load_close(struct load *l);

/* Single steps, for modes that direct their connections themselves (on the caller's thread). */
void worker_turn(struct worker *w, int timeout_ms);
void conn_send(struct worker *w, struct conn *c, const struct tmpl *t);

/* ---- load_report.c ---- */

void hist_merge(struct hist *into, const struct hist *from);
/* The value that `share` (0..1) of the values do not exceed, to the bucket's upper edge. */
uint64_t hist_at(const struct hist *h, double share);
double own_cpu_seconds(void);
double pids_cpu_seconds(const int *pids, unsigned n);
/* Resident bytes of all pids. */
uint64_t pids_rss(const int *pids, unsigned n);

struct report {
	const char *mode;
	const struct conf *conf;
	uint64_t nodes; /* 0: not said */
	bool json;
	const int *pids;
	unsigned pids_n;
	uint64_t rss_before, rss_after;
	const char *unit; /* what is counted */
};

void report_print(const struct report *r, const struct result *res);

/* Here because it is on the path of every reply. */
static inline void hist_add(struct hist *h, uint64_t v)
{
	unsigned at = (unsigned)v;
	if (v >= HIST_SUB) {
		/* 6 bits behind the leading one choose the bucket within its power of two. */
		unsigned shift = 63u - 6u - (unsigned)__builtin_clzll(v);
		at = (shift + 1) * HIST_SUB + (unsigned)(v >> shift) - HIST_SUB;
	}
	h->bucket[at]++;
	h->n++;
	if (v > h->max)
		h->max = v;
}

#endif
