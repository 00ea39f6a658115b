/* The server's shard: the clients of one I/O thread. Pure: bytes and the feed in; bytes, proposals and
 * questions out. It calls no clock, socket or lock; its driver (daemon/transport and daemon/run, or the
 * simulator) does, like this, once a loop turn:
 *
 *     srv_turn(s, now_ms)
 *     for each readable socket:     room = srv_input_room(c, &n); read into it; srv_input(s, c, got)
 *     for each new batch:           srv_feed(s, batch)            watch events and replies to writes
 *     srv_work(s, NULL)             what needs no look at the tree: handshakes, writes
 *     if srv_wants_view(s):         lock the tree for reading; srv_feed what came meanwhile;
 *                                   srv_work(s, state); unlock    reads, in atomic step with their watches
 *     srv_take_proposals(s, ...)    to the core
 *     while c = srv_next_dirty(s):  write srv_output(c); srv_output_sent; close it when srv_finished(c)
 *
 * What that order gives: events precede the data that they announce; a client reads its own writes; replies
 * leave in the order of requests; a reply with zxid z is behind every event up to z.
 *
 * How a connection keeps its order without queueing requests: frames stay in its input buffer until their
 * turn. A write is proposed and counted; a read waits until no write of its connection is on its way, and
 * what is behind it waits with it. So a connection holds its input buffer, its output buffer and a few bytes
 * for each write in flight, whatever its client does.
 *
 * Ownership: a srv_conn lives from srv_accept to srv_closed; its driver closes the socket and then calls
 * srv_closed. One thread. */
#ifndef PANDO_SRV_H
#define PANDO_SRV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/feed.h"
#include "daemon/state/view.h"
#include "schema/runtime/rt_buf.h"

struct srv;
struct srv_conn;

struct srv_config {
	uint32_t shard;
	uint32_t server_id;
	uint64_t hash_seed;
	int32_t timeout_min_ms; /* of sessions */
	int32_t timeout_max_ms;
	uint32_t frame_bytes;          /* jute.maxbuffer */
	uint32_t reply_bytes;          /* maxReplyBytes */
	uint32_t writes_in_flight;     /* of one connection */
	uint32_t writes_in_flight_all; /* of this shard */
	int64_t zxid;                  /* of the state when the shard begins */
	bool skip_acl;
};

/* Who is at the other end, as text without and with the port. */
struct srv_peer {
	char address[48];
	char name[64];
};

struct srv *srv_new(const struct srv_config *config);
void srv_free(struct srv *s); /* NULL is fine; connections too */

/* Begins a turn: the time for everything until the next. */
void srv_turn(struct srv *s, int64_t now_ms);

/* A new connection. user is the driver's. */
struct srv_conn *srv_accept(struct srv *s, const struct srv_peer *peer, void *user);
void *srv_conn_user(const struct srv_conn *c);
const char *srv_conn_name(const struct srv_conn *c);
/* Whether its handshake is over, or waits for the log. */
bool srv_has_session(const struct srv_conn *c);
/* The socket is closed: forgets its watches, tells when its session was last heard of, frees it. */
void srv_closed(struct srv *s, struct srv_conn *c);

/* Where to read to and how much; NULL when nothing may be read now: see srv_reading. */
uint8_t *srv_input_room(struct srv *s, struct srv_conn *c, size_t *ret_room);
void srv_input(struct srv *s, struct srv_conn *c, size_t bytes);
/* Whether the driver should wait for input of this connection. Can change in any call; look after the turn's
 * work, at connections that srv_next_dirty returns. */
bool srv_reading(const struct srv_conn *c);

/* A batch of the feed; in order, each once. */
void srv_feed(struct srv *s, const struct feed_batch *batch);

/* Looks at what has arrived. With view NULL, does what needs no tree and remembers who needs one. With a
 * view (whose zxid is that of the last batch given to srv_feed), serves up to a turn's worth of reads. */
void srv_work(struct srv *s, const struct state *view);
bool srv_wants_view(const struct srv *s);

/* Whether srv_work, with a view or without, has something to do right now. */
bool srv_has_work(const struct srv *s);

bool srv_has_proposals(const struct srv *s);
/* Gives out the turn's proposals (base/proposals.h) and takes an empty buffer for the next. False when there
 * are none: nothing changes hands. */
bool srv_take_proposals(struct srv *s, struct rt_buf *inout);
/* While set, no new write is proposed: the core is behind. */
void srv_hold_writes(struct srv *s, bool hold);
/* While set, requests that make the tree grow are answered with SYSTEM_ERROR, in their order, and do not reach
 * the log: the disk has no room but for its reserve. */
void srv_refuse_growth(struct srv *s, bool refuse);

/* A connection with output, or finished, or whose srv_reading may have changed; NULL when there is none. */
struct srv_conn *srv_next_dirty(struct srv *s);
struct rt_slice srv_output(const struct srv_conn *c);
void srv_output_sent(struct srv *s, struct srv_conn *c, size_t bytes);
/* Nothing more to read or serve: when the output is out, close it. */
bool srv_finished(const struct srv_conn *c);

/* Sixteen random bytes for each session's password: the driver keeps some in store. */
size_t srv_random_wanted(const struct srv *s); /* bytes */
void srv_give_random(struct srv *s, const uint8_t *bytes, size_t n);

/* Sessions that a connection of this shard had, at its end: to be told to the clock. Valid until the next turn. */
struct srv_touch {
	int64_t session_id;
	uint32_t generation;
	bool here;
	bool silent;
	int64_t heard_ms;
};
const struct srv_touch *srv_take_touches(struct srv *s, size_t *ret_count);
/* The clock asks. A connection that was not heard for its session's timeout is closed with that: it is answered
 * nothing any more, so that its client never believes in a session whose end is on its way. What was read and not
 * served, because this server was slow, counts as heard now; so does what the socket holds: say so before with
 * srv_heard. */
struct srv_touch srv_asked(struct srv *s, int64_t session_id, uint32_t generation);
/* The connection that has the session, or NULL. */
struct srv_conn *srv_session_conn(const struct srv *s, int64_t session_id);
/* There is input that was not read yet. Does not count for a client that does not read its replies. */
void srv_heard(struct srv *s, struct srv_conn *c);

/* addauth: the driver makes an identity of a credential (that takes cryptography) and answers. */
struct srv_auth {
	uint64_t conn;
	struct rt_slice scheme;
	struct rt_slice credential;
};
bool srv_next_auth(struct srv *s, struct srv_auth *ret);
/* An identity that the credential proves; any number of times before the answer. False when the connection has too
 * many: refuse. */
bool srv_auth_add(struct srv *s, uint64_t conn, struct rt_slice scheme, struct rt_slice id);
void srv_auth_answer(struct srv *s, uint64_t conn, bool accepted);

/* Four-letter words: the driver gathers what it takes and answers with the whole text. */
struct srv_word {
	uint64_t conn;
	char word[5];
};
bool srv_next_word(struct srv *s, struct srv_word *ret);
void srv_word_answer(struct srv *s, uint64_t conn, struct rt_slice text);

/* True when everything that was read has been answered and sent: nothing is lost by closing. */
bool srv_idle(const struct srv *s);

/* What a person may want to know: one line for the log. */
struct srv_notice {
	const char *what; /* static text */
	char peer[64];
	int64_t value;
	bool warn;
	bool hex; /* value is a session or zxid: hexadecimal, as everywhere */
};
bool srv_next_notice(struct srv *s, struct srv_notice *ret);

/* Counters since the start (or the last reset) and numbers of now. */
struct srv_stats {
	uint64_t received;
	uint64_t sent;
	uint64_t latency_count;
	uint64_t latency_sum_ms;
	uint64_t latency_min_ms;
	uint64_t latency_max_ms;
	uint64_t connections; /* now */
	uint64_t outstanding; /* writes on their way and requests that wait, now */
	uint64_t watches;
	uint64_t watch_paths;
	uint64_t watching;         /* connections with a watch */
	uint64_t sessions_refused; /* handshakes answered with "expired" */
	uint64_t closed_ahead;     /* handshakes that had seen more than this server */
	uint64_t frames_refused;   /* connections ended for a frame that cannot be framed */
	uint64_t undecodable;      /* requests answered with MARSHALLING_ERROR */
	uint64_t auth_failed;
	uint64_t growth_refused; /* requests answered with SYSTEM_ERROR because the disk is full */
	uint64_t events;         /* watch events sent */
};
void srv_stats(const struct srv *s, struct srv_stats *ret);
void srv_stats_add(struct srv_stats *sum, const struct srv_stats *one);

/* Lines of the words that list connections: cons, and stat's shorter ones. */
void srv_list_conns(const struct srv *s, bool brief, struct rt_buf *out);

#endif
