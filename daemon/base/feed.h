/* The feed: what applying a batch of entries did, as one immutable list that every consumer reads: shards
 * (watches, replies), and whatever else wants to know what changed. Nothing else may observe the tree.
 *
 * Life cycle: the core fills a batch while it applies (feed_change, feed_result, feed_alloc), hands it out,
 * and clears it for reuse when the last consumer is done. Consumers read only. Slices point into the
 * batch's arena or into blobs that the batch holds a reference to: they live until feed_clear. Only the
 * thread that fills a batch may clear it (it drops blob references).
 *
 * Order: changes by zxid, within one zxid in the order of their doing; results of one shard likewise. What
 * only the state file needs (CHANGE_STAT, CHANGE_SESSION_NUMBER, CHANGE_LIST_...) comes at the end, for all
 * of the batch. A consumer that puts every change into its place has the whole state as it is at the mark. */
#ifndef PANDO_BASE_FEED_H
#define PANDO_BASE_FEED_H

#include <stdbool.h>

#include "daemon/base/base_stat.h"
#include "daemon/base/limits.h"
#include "schema/runtime/rt_blob.h"
#include "schema/runtime/rt_codec.h"

/* Who on this server waits for an entry's result. Not replicated: an entry that came from elsewhere, or
 * is read back from the log, has shard FEED_NO_SHARD. */
#define FEED_NO_SHARD UINT32_MAX
struct feed_origin {
	uint32_t shard;
	uint64_t conn; /* the shard's token of the connection */
};

enum change_kind {
	CHANGE_CREATED = 1,
	CHANGE_DELETED,
	CHANGE_DATA,
	CHANGE_ACL,
	CHANGE_STAT, /* its children came or went: the Stat moved, and the count of children ever created */
	CHANGE_SESSION_OPENED,
	CHANGE_SESSION_ATTACHED,
	CHANGE_SESSION_NUMBER, /* writes of it were applied: the number of the last one */
	CHANGE_SESSION_CLOSED,
	CHANGE_LIST_ADDED,   /* an access control list that no node had before */
	CHANGE_LIST_DROPPED, /* one that no node has any more */
};

/* The whole node after the change, or as it was, of a deleted one. */
struct change_node {
	struct rt_slice path; /* null in a CHANGE_STAT, which nobody watches */
	struct rt_slice name; /* last part of the path; empty for the root */
	int64_t id;
	int64_t parent_id;    /* 0 for the root */
	struct rt_blob *data; /* NULL for null data; a reference held by the batch */
	struct base_stat stat;
	int64_t created; /* children ever created under it */
	uint32_t acl;    /* number of its list */
};

struct change_session {
	int64_t id;
	uint32_t generation;
	int32_t timeout_ms;
	uint64_t number;           /* of the last write applied in this generation */
	uint64_t nonce;            /* of the last attach */
	struct feed_origin origin; /* who attached it, when that was at this server */
	uint8_t passwd[16];
};

struct change_list {
	uint32_t number;
	struct rt_slice entries; /* encoded vector of acl with its count; null when dropped */
};

/* Where a batch leaves the replicated state: what a state file that has everything up to it must say. */
struct feed_mark {
	int64_t zxid;
	uint64_t term;
	int64_t time_ms; /* the leader's newest stamp */
	int64_t next_node_id;
	uint64_t digest;
};

struct change {
	enum change_kind kind;
	int64_t zxid;
	union {
		struct change_node node;
		struct change_session session;
		struct change_list list;
	};
};

static inline bool change_is_node(const struct change *c) { return c->kind <= CHANGE_STAT; }
static inline bool change_is_session(const struct change *c)
{
	return c->kind >= CHANGE_SESSION_OPENED && c->kind <= CHANGE_SESSION_CLOSED;
}

/* What became of an entry that this server proposed. */
enum result_kind {
	RESULT_REQUEST = 1, /* a client's write */
	RESULT_SESSION,     /* an open or attach; err SESSION_EXPIRED when refused */
};

struct result {
	enum result_kind kind;
	int32_t op;  /* enum wire_op of a request */
	int32_t err; /* codes zk */
	bool has_stat;
	int64_t zxid;
	uint64_t conn;        /* of feed_origin */
	uint64_t number;      /* of the request */
	struct rt_slice body; /* create: the path made; multi: the whole encoded answer */
	union {
		struct base_stat stat;
		struct change_session session;
	};
};

struct feed_results {
	struct result *v;
	uint32_t count;
	uint32_t cap;
};

struct feed_chunk;

struct feed_batch {
	int64_t last_zxid; /* the newest entry applied in it; 0 for none */
	int64_t last_time_ms;
	struct feed_mark mark; /* set when the batch is complete */
	struct change *changes;
	uint32_t change_count;
	uint32_t change_cap;
	struct feed_results results[LIMIT_IO_THREADS];
	struct feed_chunk *chunks;
};

void feed_init(struct feed_batch *b);
void feed_done(struct feed_batch *b);
/* Empty for reuse; drops the references to blobs and keeps a little memory. */
void feed_clear(struct feed_batch *b);

/* A new change at the end, its fields for the caller to fill. Valid until the next feed_change. */
struct change *feed_change(struct feed_batch *b);
/* Takes back the changes from `count` on (an operation that was undone). */
void feed_truncate(struct feed_batch *b, uint32_t count);
/* A new result for a shard; kind, zxid and conn set, the rest zero. Valid until the next feed_result. */
struct result *feed_result(
	struct feed_batch *b, struct feed_origin to, enum result_kind kind, int64_t zxid);
/* Bytes that live as long as the batch's contents. */
uint8_t *feed_alloc(struct feed_batch *b, size_t n);
struct rt_slice feed_copy(struct feed_batch *b, struct rt_slice s);

#endif
