/* A whole server in one thread, without sockets, clocks, threads or a disk: the shards and the node that ship,
 * and a driver that does what daemon/run does, one step at a time, when the test says so.
 *
 *     struct inproc *p = inproc_new(&(struct inproc_config){ .shards = 2 });
 *     struct inproc_client *c = inproc_connect(p, 0);
 *     inproc_send(c, bytes...);
 *     inproc_settle(p);                     until nothing is left to do; or step by step:
 *       inproc_io(p, 0)                     a loop turn of shard 0, in the order that server/srv.h names
 *       inproc_core(p)                      the node takes the letters that wait for it, and applies
 *       inproc_sync(p)                      the log has synced what it was given
 *     while (inproc_frame(c, &frame)) ...
 *
 * Time stands still but for inproc_advance. With `random`, turns read and write in pieces of random size, and
 * the order of connections is random; one seed, one run. What the log has synced survives inproc_restart. */
#ifndef PANDO_TESTS_INPROC_H
#define PANDO_TESTS_INPROC_H

#include "daemon/node/node.h"
#include "daemon/server/srv.h"
#include "schema/runtime/rt_rand.h"

struct inproc_config {
	uint32_t shards; /* 0 is 1 */
	uint64_t seed;
	bool random;          /* fragments and order at random */
	bool keep_asks;       /* auth, words and expiry questions are left to the test */
	uint32_t frame_bytes; /* 0: the ordinary limits */
	uint32_t reply_bytes;
	uint32_t writes_in_flight;
	uint32_t writes_in_flight_all;
	int32_t timeout_min_ms;
	int32_t timeout_max_ms;
	bool skip_acl;
};

#define INPROC_SHARDS 4u

struct inproc_client {
	struct inproc *p;
	uint32_t shard;
	struct srv_conn *conn;   /* NULL when closed, by either side */
	bool reads;              /* false: its socket fills up and the server has to wait */
	size_t window_bytes;     /* that its socket takes while it does not read */
	struct rt_buf to_server; /* sent, not yet read */
	size_t to_server_at;
	struct rt_buf received;
	size_t received_at; /* frames taken by inproc_frame */
	bool want_read;     /* the driver waits for input, as of its last look */
	bool want_write;    /* the driver waits for room */
	void *user;
	struct inproc_client *next;
};

struct inproc_entry {
	uint64_t term;
	uint64_t index;
	struct rt_slice payload; /* a copy */
};

struct inproc {
	struct inproc_config config;
	struct rt_rand rand;
	int64_t now_ms;
	int64_t wall_ms;
	struct node *node;
	struct srv *shards[INPROC_SHARDS];
	size_t fed[INPROC_SHARDS]; /* batches that each shard has seen */
	struct inproc_client *clients;
	struct inproc_letter *letters; /* to the core, oldest first */
	struct feed_batch **batches;
	size_t batch_count;
	struct inproc_entry *log; /* given to the log; [0, synced) survive */
	size_t log_count;
	size_t log_cap;
	size_t synced;
	struct raft_hard_state hard_state; /* given to the log */
	struct raft_hard_state hard_state_synced;
	struct node_ask *asks; /* of the node, not yet answered */
	size_t ask_count;
	struct rt_err err; /* of the node, when it had to stop */
};

struct inproc *inproc_new(const struct inproc_config *config);
void inproc_free(struct inproc *p);
/* The process is killed and started again: connections and what was not synced are gone. */
void inproc_restart(struct inproc *p);

struct inproc_client *inproc_connect(struct inproc *p, uint32_t shard);
/* Closes its end; what the server has not read is lost. */
void inproc_hang_up(struct inproc_client *c);
void inproc_send(struct inproc_client *c, struct rt_slice bytes);
/* The next whole frame without its length; the slice lives until more is received. */
bool inproc_frame(struct inproc_client *c, struct rt_slice *ret);

/* True when that did something. */
bool inproc_io(struct inproc *p, uint32_t shard);
bool inproc_core(struct inproc *p);
bool inproc_sync(struct inproc *p);
/* In order (or, with random, in any) until there is nothing left to do. */
void inproc_settle(struct inproc *p);

/* Time goes by at once; the node is told when it is its turn. */
void inproc_advance(struct inproc *p, int64_t ms);
/* The same in steps of a tick, everything settled after each: as time passes for a server that is well. */
void inproc_live(struct inproc *p, int64_t ms);

#endif
