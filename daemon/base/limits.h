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

/* Entries applied under one hold of the tree's lock (well under 1 ms), and the entries of a feed batch. */
#define LIMIT_APPLY_ENTRIES 512u

/* Batches of the feed that a shard may be behind before apply waits for it. */
#define LIMIT_FEED_BATCHES 32u

/* Bytes of entries in memory that are not applied yet; above it shards hold their proposals back. */
#define LIMIT_PROPOSAL_BYTES (256u << 20)

/* Identities that one connection may gather with addauth; later ones do not count. */
#define LIMIT_IDENTITY_BYTES (63u << 10)

/* What the server adds to a request frame in its entry: session, number, identities. A log segment holds the
 * largest entry: the configuration sees to it. */
#define LIMIT_ENTRY_EXTRA_BYTES (64u << 10)

/* Passwords longer than this in a handshake are wrong without a look at them; ours have 16 bytes. */
#define LIMIT_PASSWD_BYTES 16u

#endif
