/* A client of a server in process: sends requests, and keeps what it receives as text, one line a frame, for a
 * test to compare with what it expects:
 *
 *     OPEN                    the handshake's answer; EXPIRED when it says that the session is gone
 *     3 OK "data"             reply to the request with xid 3: what a get, create or sync carries
 *     4 NO_NODE
 *     EVENT DATA_CHANGED "/a"
 */
#ifndef PANDO_TESTS_ZK_CLIENT_H
#define PANDO_TESTS_ZK_CLIENT_H

#include "tests/lib/inproc.h"
#include "tests/lib/make.h"

#define ZK_CLIENT_XIDS 65536

/* A frame as it came; slices live until more is received. */
struct zk_reply {
	bool event;
	int32_t xid;
	int32_t op; /* of the request */
	int64_t zxid;
	int32_t err;
	struct rt_slice body;
	struct wire_watcher_event watch;
};

struct zk_client {
	struct inproc_client *link;
	bool answered;      /* the handshake */
	int64_t session_id; /* 0 when it was refused */
	int32_t timeout_ms;
	uint8_t passwd[16];
	bool read_only_byte;
	int32_t next_xid;
	int16_t ops[ZK_CLIENT_XIDS]; /* by xid */
	struct rt_buf told;
};

struct zk_client *zk_new(struct inproc *p, uint32_t shard);
/* The connection goes with inproc_free. */
void zk_free(struct zk_client *c);
/* A connection anew, to any shard. */
void zk_reconnect(struct zk_client *c, struct inproc *p, uint32_t shard);

/* Handshakes, not answered yet when these return. */
void zk_open(struct zk_client *c);
void zk_attach(struct zk_client *c, const struct zk_client *whose);
/* A client with a session, everything settled. */
struct zk_client *zk_session(struct inproc *p, uint32_t shard);

/* Requests: their xid. */
int32_t zk_send(struct zk_client *c, int32_t op, struct rt_slice body);
int32_t zk_create(struct zk_client *c, const char *path, const char *data, int32_t flags);
int32_t zk_delete(struct zk_client *c, const char *path);
int32_t zk_set(struct zk_client *c, const char *path, const char *data);
int32_t zk_get(struct zk_client *c, const char *path, bool watch);
int32_t zk_exists(struct zk_client *c, const char *path, bool watch);
int32_t zk_children(struct zk_client *c, const char *path, bool watch);
int32_t zk_sync(struct zk_client *c, const char *path);
void zk_ping(struct zk_client *c);
void zk_auth(struct zk_client *c, const char *scheme, const char *credential);
int32_t zk_close(struct zk_client *c);

/* The next frame but the handshake's answer, which this takes by itself. */
bool zk_next(struct zk_client *c, struct zk_reply *ret);
/* All that has come since the last call, as text; CLOSED at the end when the connection is closed. */
const char *zk_told(struct zk_client *c);

#endif
