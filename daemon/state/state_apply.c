/* Apply: one entry in, changes and a result out. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_buf.h"
#include "schema/runtime/rt_mem.h"

#include <stdlib.h>

#define SERVER_SHIFT 56
#define INDEX_MASK ((INT64_C(1) << SERVER_SHIFT) - 1)

struct state *state_new_empty(uint64_t hash_seed)
{
	struct state *s = rt_alloc(sizeof *s);
	*s = (struct state){ .hash_seed = hash_seed };
	rt_set_init(&s->sessions);
	acl_init(s);
	tree_init(s);
	loading_begin(s);
	return s;
}

struct state *state_new(uint64_t hash_seed)
{
	struct state *s = state_new_empty(hash_seed);
	loading_done(s);
	acl_init_fixed(s);
	tree_init_fixed(s);
	return s;
}

void state_free(struct state *s)
{
	if (s == NULL)
		return;
	loading_done(s);
	tree_done(s);
	uint32_t at = 0;
	for (struct session *x = rt_set_each(&s->sessions, &at); x != NULL;
		x = rt_set_each(&s->sessions, &at))
		rt_free(x);
	rt_set_done(&s->sessions);
	acl_done(&s->acls);
	touched_done(s);
	rt_free(s->undo);
	rt_free(s);
}

static void tell_session(const struct op_context *c, enum change_kind kind, const struct session *x,
	struct feed_origin origin)
{
	struct change *ch = feed_change(c->fb);
	ch->kind = kind;
	ch->zxid = c->zxid;
	ch->session = (struct change_session){ .id = x->id,
		.generation = x->generation,
		.timeout_ms = x->timeout_ms,
		.number = x->number,
		.nonce = x->nonce,
		.origin = origin };
	memcpy(ch->session.passwd, x->passwd, PASSWD_BYTES);
}

/* The answer to a handshake; x is NULL when the session is gone or the password wrong. */
static void session_result(
	const struct op_context *c, struct feed_origin origin, const struct session *x)
{
	if (origin.shard == FEED_NO_SHARD)
		return;
	struct result *r = feed_result(c->fb, origin, RESULT_SESSION, c->zxid);
	if (x == NULL) {
		r->err = ZK_SESSION_EXPIRED;
		return;
	}
	r->session = (struct change_session){
		.id = x->id, .generation = x->generation, .timeout_ms = x->timeout_ms
	};
	memcpy(r->session.passwd, x->passwd, PASSWD_BYTES);
}

static void apply_open(const struct op_context *c, const struct disk_entry_session_open *q,
	struct feed_origin origin)
{
	/* Unique over the ensemble, since an index is used once; the server in the top byte is for people. */
	int64_t id = (int64_t)((uint64_t)(q->server_id & 0x7f) << SERVER_SHIFT) |
		     (c->zxid & INDEX_MASK);
	struct session *x = session_add(c->s, id, q->timeout_ms, q->passwd);
	x->nonce = q->nonce;
	c->s->digest += digest_of_session(x);
	tell_session(c, CHANGE_SESSION_OPENED, x, origin);
	session_result(c, origin, x);
}

static void apply_attach(const struct op_context *c, const struct disk_entry_session_attach *q,
	struct feed_origin origin)
{
	struct session *x = session_find(c->s, q->session_id);
	/* A wrong password must not end the session, nor take it from who has it. */
	if (x == NULL || !rt_slice_eq(q->passwd, (struct rt_slice){ x->passwd, PASSWD_BYTES })) {
		session_result(c, origin, NULL);
		return;
	}
	/* the same attach, sent again after a change of leader: its first copy was answered with this generation */
	if (q->nonce == x->nonce) {
		session_result(c, origin, x);
		return;
	}
	c->s->digest -= digest_of_session(x);
	x->nonce = q->nonce;
	x->generation++;
	x->number = 0;
	x->timeout_ms = q->timeout_ms;
	c->s->digest += digest_of_session(x);
	tell_session(c, CHANGE_SESSION_ATTACHED, x, origin);
	session_result(c, origin, x);
}

/* An ephemeral node whose session ends. */
struct ending {
	int64_t id;
	uint32_t handle;
};

static int by_number(const void *a, const void *b)
{
	const struct ending *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

/* Close and expiry: all ephemeral nodes go at this one zxid, in the order of their making, which is the same on every
 * server (that of the session's list is not: a state that was loaded has another). */
static void end_session(const struct op_context *c, struct session *x)
{
	struct state *s = c->s;
	struct ending *all = rt_alloc((x->ephemeral_count + (size_t)1) * sizeof *all);
	size_t count = 0;
	rt_list_each (&x->ephemerals, link, next) {
		uint32_t handle = rt_list_entry(link, struct ephemeral, link)->node;
		all[count++] = (struct ending){ tree_at(s, handle)->id, handle };
	}
	ASSERT(count == x->ephemeral_count);
	qsort(all, count, sizeof *all, by_number);
	for (size_t i = 0; i < count; i++) {
		const struct znode *n = tree_at(s, all[i].handle);
		size_t len = tree_path_len(s, n);
		uint8_t *path = feed_alloc(c->fb, len);
		tree_path(s, n, path, len);
		op_remove_node(c, all[i].handle, rt_slice_of(path, len));
	}
	rt_free(all);
	s->digest -= digest_of_session(x);
	tell_session(c, CHANGE_SESSION_CLOSED, x, (struct feed_origin){ .shard = FEED_NO_SHARD });
	session_remove(s, x);
}

/* A write's body, decoded. multi is decoded by its own. */
union write {
	struct wire_create_request create;
	struct wire_delete_request delete;
	struct wire_set_data_request set;
	struct wire_set_acl_request set_acl;
};

/* False when it is no write, cannot be decoded, or names no path. */
static bool write_decode(int32_t op, struct rt_slice body, union write *ret)
{
	struct rt_reader r = rt_reader_of(body.p, body.len);
	switch (op) {
	case WIRE_OP_CREATE:
	case WIRE_OP_CREATE2:
		return wire_create_request_decode(&r, &ret->create) == 0 &&
		       ret->create.path.p != NULL;
	case WIRE_OP_DELETE:
		return wire_delete_request_decode(&r, &ret->delete) == 0 &&
		       ret->delete.path.p != NULL;
	case WIRE_OP_SET_DATA:
		return wire_set_data_request_decode(&r, &ret->set) == 0 && ret->set.path.p != NULL;
	case WIRE_OP_SET_ACL:
		return wire_set_acl_request_decode(&r, &ret->set_acl) == 0 &&
		       ret->set_acl.path.p != NULL;
	case WIRE_OP_MULTI:
	case WIRE_OP_CLOSE_SESSION:
		return true;
	default:
		return false;
	}
}

bool state_decodes(int32_t op, struct rt_slice body)
{
	union write q;
	return write_decode(op, body, &q) && (op != WIRE_OP_MULTI || multi_decodes(body));
}

bool state_grows(int32_t op, struct rt_slice body)
{
	switch (op) {
	case WIRE_OP_CREATE:
	case WIRE_OP_CREATE2:
	case WIRE_OP_SET_DATA:
	case WIRE_OP_SET_ACL:
		return true;
	case WIRE_OP_MULTI:
		return multi_grows(body);
	default:
		return false;
	}
}

/* One client's write, and what became of it. */
static void apply_operation(
	const struct op_context *c, int32_t op, struct rt_slice body, struct result *r)
{
	union write q;
	if (!write_decode(op, body, &q)) {
		r->err = ZK_MARSHALLING_ERROR;
		return;
	}
	r->has_stat = op == WIRE_OP_CREATE2 || op == WIRE_OP_SET_DATA || op == WIRE_OP_SET_ACL;
	switch (op) {
	case WIRE_OP_CREATE:
	case WIRE_OP_CREATE2:
		r->err = op_create(c, &q.create, &r->body, &r->stat);
		break;
	case WIRE_OP_DELETE:
		r->err = op_delete(c, &q.delete);
		break;
	case WIRE_OP_SET_DATA:
		r->err = op_set(c, &q.set, &r->stat);
		break;
	case WIRE_OP_SET_ACL:
		r->err = op_set_acl(c, &q.set_acl, &r->stat);
		break;
	case WIRE_OP_MULTI:
		r->err = op_multi(c, body, &r->body);
		break;
	case WIRE_OP_CLOSE_SESSION:
		end_session(c, c->session);
		break;
	default:
		UNREACHABLE("write_decode knows the operation");
	}
	if (r->err != ZK_OK)
		r->has_stat = false;
}

static void apply_request(struct op_context *c, const struct disk_entry_request *q,
	struct rt_slice body, struct feed_origin origin)
{
	struct result refused = { 0 };
	struct session *x = session_find(c->s, q->session_id);
	int err = x == NULL                        ? ZK_SESSION_EXPIRED
		  : x->generation != q->generation ? ZK_SESSION_MOVED
						   : ZK_OK;
	if (err == ZK_OK && q->number <= x->number)
		return; /* sent again after its first copy was applied: answered then */
	struct result *r = &refused;
	if (origin.shard != FEED_NO_SHARD) {
		r = feed_result(c->fb, origin, RESULT_REQUEST, c->zxid);
		r->op = q->op;
		r->number = q->number;
	}
	if (err != ZK_OK) {
		r->err = err;
		return;
	}
	c->s->digest -= digest_of_session(x);
	x->number = q->number;
	c->s->digest += digest_of_session(x);
	touch_session(c->s, x);
	c->session = x;
	c->identities = q->identities;
	apply_operation(c, q->op, body, r);
}

int state_apply(struct state *s, const struct state_entry *e, struct feed_batch *fb)
{
	ASSERT(e->index > s->zxid);
	struct rt_reader r = rt_reader_of(e->payload.p, e->payload.len);
	struct disk_entry_header h;
	if (disk_entry_header_decode(&r, &h) != 0)
		return PANDO_EPROTO;
	if (h.level > DISK_LEVEL || h.flags != 0)
		return PANDO_EFORMAT;
	union {
		struct disk_entry_session_open open;
		struct disk_entry_session_attach attach;
		struct disk_entry_session_expire expire;
		struct disk_entry_request request;
	} q;
	int rc = h.kind == DISK_ENTRY_KIND_NOOP ? 0
		 : h.kind == DISK_ENTRY_KIND_SESSION_OPEN
			 ? disk_entry_session_open_decode(&r, &q.open)
		 : h.kind == DISK_ENTRY_KIND_SESSION_ATTACH
			 ? disk_entry_session_attach_decode(&r, &q.attach)
		 : h.kind == DISK_ENTRY_KIND_SESSION_EXPIRE
			 ? disk_entry_session_expire_decode(&r, &q.expire)
		 : h.kind == DISK_ENTRY_KIND_REQUEST ? disk_entry_request_decode(&r, &q.request)
						     : PANDO_EFORMAT;
	if (rc != 0)
		return rc;
	s->zxid = e->index;
	fb->last_zxid = e->index;
	fb->last_time_ms = h.time_ms;
	struct op_context c = { .s = s, .fb = fb, .zxid = e->index, .time_ms = h.time_ms };
	if (h.kind == DISK_ENTRY_KIND_SESSION_OPEN) {
		apply_open(&c, &q.open, e->origin);
	} else if (h.kind == DISK_ENTRY_KIND_SESSION_ATTACH) {
		apply_attach(&c, &q.attach, e->origin);
	} else if (h.kind == DISK_ENTRY_KIND_SESSION_EXPIRE) {
		struct session *x = session_find(s, q.expire.session_id);
		if (x != NULL && x->generation == q.expire.generation)
			end_session(&c, x);
	} else if (h.kind == DISK_ENTRY_KIND_REQUEST) {
		apply_request(&c, &q.request, rt_slice_of(r.p, rt_left(&r)), e->origin);
	}
	ASSERT(s->undo_count == 0);
#if PANDO_CHECKS
	state_check(s);
#endif
	return 0;
}
