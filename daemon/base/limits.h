/* Every bound of the daemon, in one place: value, what happens there, and why it is what it is. Those that
 * a user can change are keys of pando.conf(5); here stand their defaults. */
#ifndef PANDO_BASE_LIMITS_H
#define PANDO_BASE_LIMITS_H

#include <stdint.h>

/* Key jute.maxbuffer: a request frame above it ends its connection (ZooKeeper: 0xfffff). */
#define LIMIT_FRAME_BYTES 1048575u

/* Key maxReplyBytes: a reply above it becomes an error; what waits for one client above it ends that
 * connection. Requests' limit does not hold for replies: clients rely on large listings. */
#define LIMIT_REPLY_BYTES (64u << 20)

/* Replies waiting for a client that does not read: above it no more of its requests are looked at. */
#define LIMIT_OUT_PAUSE_BYTES (1u << 20)

/* Key maxOutstandingPerConnection: writes of one connection on their way; above it its requests wait. */
#define LIMIT_WRITES_IN_FLIGHT 1024u

/* Key globalOutstandingLimit: writes of all connections on their way; above it their requests wait. */
#define LIMIT_WRITES_IN_FLIGHT_ALL 100000u

/* I/O threads; more never help before the core thread is the bottleneck. */
#define LIMIT_IO_THREADS 8u

/* Reads that a shard serves, and bytes of replies that it makes, before it lets the tree go (some 200 us). */
#define LIMIT_TURN_READS 1024u
#define LIMIT_TURN_REPLY_BYTES (256u << 10)

/* Bytes read from one connection in one turn of its loop; a larger frame is read over several turns. */
#define LIMIT_READ_BYTES (64u << 10)

/* Requests' bytes of one connection on their way as writes; above it (but for one) its requests wait. */
#define LIMIT_WRITE_BYTES_IN_FLIGHT (4u << 20)

/* Bytes that a shard proposes in one turn; above it requests wait for the next. */
#define LIMIT_TURN_PROPOSAL_BYTES (8u << 20)

/* Memory of the watches of one connection, paths included; above it a request that would leave one is refused. */
#define LIMIT_WATCH_BYTES (32u << 20)

/* Entries, bytes of entries and changes applied under one hold of the tree's lock (well under 1 ms), and in one
 * batch of the feed. One entry is applied whole, however large. */
#define LIMIT_APPLY_ENTRIES 256u
#define LIMIT_APPLY_BYTES (256u << 10)
#define LIMIT_APPLY_CHANGES 4096u

/* Batches of the feed that a shard may be behind before apply waits for it. */
#define LIMIT_FEED_BATCHES 32u

/* Bytes of entries in memory that are not applied yet; above it shards hold their proposals back. */
#define LIMIT_PROPOSAL_BYTES (256u << 20)

/* Identities that one connection may gather with addauth; what would pass it is refused. They go into every entry
 * of its writes. */
#define LIMIT_IDENTITY_BYTES (8u << 10)

/* What the server adds to a request frame in its entry: session, number, identities. A log segment holds the
 * largest entry: the configuration sees to it. */
#define LIMIT_ENTRY_EXTRA_BYTES (16u << 10)

/* Rows that wait for the state file's next transaction; above it the transaction does not wait for its time. */
#define LIMIT_FOLD_ROWS 10000u

/* Rows that wait while a transaction is being written; above it shards hold their writes back, so that the
 * backlog stays below what a few seconds of the disk can take. */
#define LIMIT_FOLD_ROWS_MAX 1000000u

/* How long a connection that is to be closed may take to read its last replies. */
#define LIMIT_FINISH_MS 10000

/* Segments of log that a transaction, and a checkpoint, of the state file may lag behind; then it is due whatever
 * else says so, and the log can be recycled. */
#define LIMIT_CUT_SEGMENTS 2u

/* Passwords longer than this in a handshake are wrong without a look at them; ours have 16 bytes. */
#define LIMIT_PASSWD_BYTES 16u

#endif
