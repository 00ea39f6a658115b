/* The sockets of one I/O thread: a libevent loop around one shard of the server. Plain events, no
 * bufferevents: bytes go straight from the socket into the shard's buffers and from there back. No locks:
 * everything here belongs to the loop's thread but tr_wake.
 *
 *     loop = tr_new(...)
 *     for (;;) {
 *             tr_wait(loop, block)      reads what has arrived, accepts; the hooks' `begin` comes first
 *             ... the shard's work ...
 *             tr_flush(loop)            writes, closes
 *     } */
#ifndef PANDO_TR_H
#define PANDO_TR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "daemon/server/srv.h"
#include "schema/runtime/rt_err.h"

struct tr_loop;

struct tr_hooks {
	void *arg;
	/* Before the first input or accept of a wait; sets the shard's time. */
	void (*begin)(void *arg);
	/* A socket was accepted: hand it to some loop's tr_adopt, or close it. */
	void (*accepted)(void *arg, int fd, const struct sockaddr_storage *from);
	/* A connection of this loop is gone. */
	void (*gone)(void *arg, const char *address);
	/* Something that an administrator should know, with errno's text in it. */
	void (*trouble)(void *arg, const char *what, int error);
};

struct tr_options {
	bool keep_alive;
	int64_t handshake_timeout_ms; /* a connection that has no session by then is closed; 0 for never */
};

/* 0 or PANDO_EIO. */
int tr_new(struct srv *shard, const struct tr_hooks *hooks, const struct tr_options *options,
	struct tr_loop **ret, struct rt_err *ret_err);
/* Closes what is open. NULL is fine. */
void tr_free(struct tr_loop *l);

/* Listens on a socket from tr_bind (owned from now on); its connections go to the hook. */
void tr_listen(struct tr_loop *l, int fd);
/* A bound, listening, non-blocking socket. host NULL: all addresses, IPv4 and IPv6. ret_port: the real one.
 * PANDO_EBUSY when the port is taken, PANDO_EACCES, PANDO_EINVAL for a name that is none, PANDO_EIO. */
int tr_bind(const char *host, uint16_t port, int backlog, int *ret_fd, uint16_t *ret_port,
	struct rt_err *ret_err);

/* A connection for this loop's shard; takes the descriptor. */
void tr_adopt(struct tr_loop *l, int fd, const struct sockaddr_storage *from);
void tr_peer_of(const struct sockaddr_storage *from, struct srv_peer *ret);

/* Runs one round of the loop: what is there now, or, with block, what comes first. */
void tr_wait(struct tr_loop *l, bool block);
/* Ends a tr_wait from any thread. */
void tr_wake(struct tr_loop *l);
/* Writes what the shard has for its clients, closes what is finished. */
void tr_flush(struct tr_loop *l);
/* Whether a connection's socket holds bytes that were not read yet. */
bool tr_has_input(const struct srv_conn *c);
/* Reads and accepts nothing any more. */
void tr_quiesce(struct tr_loop *l);

#endif
