/* Inside of daemon/server. */
#ifndef PANDO_SRV_INT_H
#define PANDO_SRV_INT_H

#include "daemon/server/srv.h"
#include "schema/disk_gen.h"
#include "schema/errors_gen.h"
#include "schema/runtime/rt_list.h"
#include "schema/runtime/rt_set.h"
#include "schema/wire_gen.h"

/*                 first frame            attach applied
 *      NEW ──────────────────▶ ATTACHING ──────────────▶ OPEN ──closeSession──▶ CLOSING
 *       │ four letters                                   │  ▲                     │ applied
 *       ▼                                         addauth▼  │answer               ▼
 *      WORD ───── answer ──────────────────────────▶ AUTH ──┘ ── refused ──▶   FINISHED
 *   anything, on error ───────────────────────────────────────────────────────▶ FINISHED */
enum conn_phase {
	CONN_NEW,
	CONN_WORD,      /* a four-letter word waits for its text */
	CONN_ATTACHING, /* the handshake's entry is on its way */
	CONN_OPEN,
	CONN_AUTH,     /* a credential is being looked at */
	CONN_CLOSING,  /* the session's end is on its way */
	CONN_FINISHED, /* flush, then close */
};

/* A write on its way. */
struct inflight {
	int32_t xid;
	int32_t op;
	int64_t since_ms;
	uint32_t bytes; /* of its frame */
};

struct srv_conn {
	struct rt_list ready; /* in srv.ready, want_view or want_random, or in none */
	struct rt_list dirty; /* in srv.dirty, or in none */
	uint32_t slot;
	uint32_t slot_life;
	enum conn_phase phase;
	bool with_read_only; /* the handshake had the byte */
	struct srv_peer peer;
	void *user;

	struct rt_buf in;
	size_t in_at; /* consumed */
	struct rt_buf out;
	size_t out_at; /* sent */

	int64_t session_id;
	uint32_t generation;
	int32_t timeout_ms;
	int64_t last_zxid_seen; /* of the handshake */
	uint64_t number;        /* of the last write proposed */
	int64_t heard_ms;

	struct inflight *writes; /* a ring */
	uint32_t writes_cap;
	uint32_t writes_first;
	uint32_t writes_count;
	uint64_t writes_bytes;

	struct rt_buf ids; /* encoded disk_identity */
	int32_t id_count;

	struct rt_list watches; /* of struct watch */
	uint64_t watch_count;
	uint64_t watch_bytes;

	/* for `cons` */
	int64_t since_ms;
	uint64_t received;
	uint64_t sent;
	int32_t last_op;
	int32_t last_xid;
	int64_t last_zxid;
	int64_t last_response_ms;
	uint64_t latency_count;
	uint64_t latency_sum_ms;
	uint64_t latency_last_ms;
	uint64_t latency_min_ms;
	uint64_t latency_max_ms;
};

enum watch_kind { WATCH_DATA = 1, WATCH_CHILD = 2 };

struct watch_path;

struct watch {
	struct rt_list on_path;
	struct rt_list on_conn;
	struct srv_conn *conn;
	struct watch_path *path;
	enum watch_kind kind;
	uint32_t hash; /* of (connection, path, kind) */
};

struct watch_path {
	struct rt_list watches[2]; /* by kind - 1 */
	uint32_t hash;
	uint32_t len;
	uint8_t path[];
};

struct auth_ask {
	uint64_t conn;
	size_t at; /* in auth_bytes: scheme, then credential */
	uint32_t scheme_bytes;
	uint32_t credential_bytes;
};

#define POOL_BUFFER_BYTES (16u << 10)
#define POOL_BUFFERS 256u
#define RANDOM_BYTES 1024u
#define NOTICES 64u

struct srv {
	struct srv_config config;
	int64_t now_ms;
	int64_t zxid; /* of the last batch fed */
	struct rt_list ready;
	struct rt_list want_view;
	struct rt_list want_random; /* handshakes that wait for a password */
	struct rt_list dirty;
	struct srv_conn **conns; /* by slot */
	uint32_t *lives;
	uint32_t conn_cap;
	uint32_t conn_count;
	uint32_t free_slot_hint;
	struct rt_set by_session;

	struct rt_buf proposals;
	uint64_t in_flight;
	bool hold_writes;
	bool refuse_growth;
	bool starved; /* some connection waits for room among the writes in flight */

	struct rt_set watch_paths;
	struct rt_set watches;
	uint64_t watch_count;
	uint64_t watching;

	uint8_t *pool[POOL_BUFFERS];
	uint32_t pool_count;
	uint8_t random[RANDOM_BYTES];
	size_t random_count;

	struct srv_touch *touches;
	size_t touch_count;
	size_t touch_cap;
	struct auth_ask *auths;
	size_t auth_count;
	size_t auth_cap;
	struct rt_buf
		auth_bytes; /* what they hold: input buffers are reused before the driver looks */
	struct srv_word *words;
	size_t word_count;
	size_t word_cap;
	struct srv_notice notices[NOTICES];
	uint32_t notice_count;

	uint32_t turn_reads;
	size_t turn_bytes;
	struct srv_stats stats;
};

/* srv_conn.c */
uint64_t conn_token(const struct srv_conn *c);
struct srv_conn *conn_by_token(const struct srv *s, uint64_t token);
struct srv_conn *conn_by_session(const struct srv *s, int64_t session_id);
void conn_index_session(struct srv *s, struct srv_conn *c);
void conn_forget_session(struct srv *s, struct srv_conn *c);
void conn_mark_dirty(struct srv *s, struct srv_conn *c);
void conn_mark_ready(struct srv *s, struct srv_conn *c);
/* Nothing more from this connection; what is in its output still goes out. */
void conn_finish(struct srv *s, struct srv_conn *c);
/* The same, and what waits for it is dropped: a session that is gone or elsewhere. */
void conn_cut(struct srv *s, struct srv_conn *c);
enum notice_kind { NOTICE_INFO, NOTICE_WARN, NOTICE_INFO_HEX, NOTICE_WARN_HEX };
void conn_notice(struct srv *s, const struct srv_conn *c, const char *what, int64_t value,
	enum notice_kind kind);
/* False when it has as many as it may have. */
bool conn_add_identity(struct srv_conn *c, struct rt_slice scheme, struct rt_slice id);
struct rt_vec conn_identities(const struct srv_conn *c);
void conn_note_latency(struct srv *s, struct srv_conn *c, int64_t since_ms);
static inline size_t conn_output_bytes(const struct srv_conn *c) { return c->out.len - c->out_at; }

/* srv_reply.c: frames out. room: bytes of the body; returns a writer over exactly that, or one that is full
 * when the connection was ended because its replies pass every bound. */
struct rt_writer reply_begin(
	struct srv *s, struct srv_conn *c, int32_t xid, int64_t zxid, int32_t err, size_t room);
void reply_error(struct srv *s, struct srv_conn *c, int32_t xid, int32_t op, int32_t err);
void reply_event(struct srv *s, struct srv_conn *c, int32_t type, struct rt_slice path);
void out_reserve_buffer(struct srv *s, struct rt_buf *b);
void out_release_buffer(struct srv *s, struct rt_buf *b);

/* srv_request.c */
enum served { SERVED, WAIT_WRITES, WAIT_VIEW };
enum served request_serve(
	struct srv *s, struct srv_conn *c, struct rt_slice frame, const struct state *view);

/* srv_feed.c */
void writes_resume(struct srv *s);

/* srv_read.c */
bool read_op(int32_t op);
void read_serve(struct srv *s, struct srv_conn *c, const struct wire_request_header *h,
	struct rt_reader *body, const struct state *view);

/* srv_handshake.c */
/* False when it has to wait for random bytes. */
bool handshake_frame(struct srv *s, struct srv_conn *c, struct rt_slice frame);
void handshake_result(struct srv *s, struct srv_conn *c, const struct result *r);

/* srv_watch.c */
/* False when the connection has as many as it may have. */
bool watch_add(struct srv *s, struct srv_conn *c, enum watch_kind kind, struct rt_slice path);
void watch_drop_conn(struct srv *s, struct srv_conn *c);
void watch_change(struct srv *s, const struct change *ch);
void watch_done(struct srv *s);

/* Proposes an entry payload of `bytes` bytes, whose result is for the connection of that token (NO_CONN for
 * nobody): room for the caller to encode into. */
#define NO_CONN 0u
struct rt_writer propose_begin(struct srv *s, uint64_t token, uint8_t kind, size_t bytes);

#endif
