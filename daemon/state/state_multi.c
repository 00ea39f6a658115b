/* multi: all of its operations or none, at one zxid. Operations are done one after the other on the tree
 * itself, each seeing those before it; when one is refused, what the earlier ones did is taken back, from
 * the tree and from the feed. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_mem.h"

struct multi_op {
	int32_t type;
	union {
		struct wire_create_request create;
		struct wire_delete_request delete;
		struct wire_set_data_request set;
		struct wire_check_version_request check;
	} q;
	int err;
	struct rt_slice path;  /* of a create */
	struct base_stat stat; /* of a create or set */
};

/* One operation's body; false when it is none that a multi may hold, or cannot be decoded. */
static bool op_decode(struct rt_reader *r, struct multi_op *op)
{
	switch (op->type) {
	case WIRE_OP_CREATE:
	case WIRE_OP_CREATE2:
		return wire_create_request_decode(r, &op->q.create) == 0 &&
		       op->q.create.path.p != NULL;
	case WIRE_OP_DELETE:
		return wire_delete_request_decode(r, &op->q.delete) == 0 &&
		       op->q.delete.path.p != NULL;
	case WIRE_OP_SET_DATA:
		return wire_set_data_request_decode(r, &op->q.set) == 0 && op->q.set.path.p != NULL;
	case WIRE_OP_CHECK:
		return wire_check_version_request_decode(r, &op->q.check) == 0 &&
		       op->q.check.path.p != NULL;
	default:
		return false;
	}
}

/* The next operation; false at the end, or (and r->bad) where something is wrong. */
static bool op_next(struct rt_reader *r, struct multi_op *op)
{
	struct wire_multi_header h;
	if (wire_multi_header_decode(r, &h) != 0 || h.done)
		return false;
	*op = (struct multi_op){ .type = h.type };
	if (!op_decode(r, op))
		r->bad = true;
	return !r->bad;
}

static void op_run(const struct op_context *c, struct multi_op *op)
{
	if (op->type == WIRE_OP_CREATE || op->type == WIRE_OP_CREATE2)
		op->err = op_create(c, &op->q.create, &op->path, &op->stat);
	else if (op->type == WIRE_OP_DELETE)
		op->err = op_delete(c, &op->q.delete);
	else if (op->type == WIRE_OP_SET_DATA)
		op->err = op_set(c, &op->q.set, &op->stat);
	else
		op->err = op_check(c, &op->q.check);
}

static void answer_put(struct rt_writer *w, const struct multi_op *op)
{
	wire_multi_header_encode(w, &(struct wire_multi_header){ .type = op->type });
	if (op->type == WIRE_OP_CREATE)
		wire_create_response_encode(w, &(struct wire_create_response){ op->path });
	else if (op->type == WIRE_OP_CREATE2)
		wire_create2_response_encode(
			w, &(struct wire_create2_response){ op->path, state_wire_stat(&op->stat) });
	else if (op->type == WIRE_OP_SET_DATA)
		wire_stat_response_encode(
			w, &(struct wire_stat_response){ state_wire_stat(&op->stat) });
}

/* ZooKeeper: 0 for the operations before the refused one, its error, RUNTIME_INCONSISTENCY behind it. */
static void refusal_put(struct rt_writer *w, int err)
{
	wire_multi_header_encode(
		w, &(struct wire_multi_header){ .type = WIRE_OP_ERROR, .err = err });
	wire_error_response_encode(w, &(struct wire_error_response){ err });
}

static struct rt_slice answer_encode(
	const struct op_context *c, const struct multi_op *ops, uint32_t count, uint32_t refused)
{
	size_t room = (size_t)(count + 1) * WIRE_MULTI_HEADER_BYTES;
	for (uint32_t i = 0; i < count; i++)
		room += WIRE_STAT_BYTES + rt_slice_size(ops[i].path);
	struct rt_writer w = rt_writer_of(feed_alloc(c->fb, room), room);
	const uint8_t *begin = w.p;
	for (uint32_t i = 0; i < count; i++) {
		if (refused == count)
			answer_put(&w, &ops[i]);
		else
			refusal_put(&w, i < refused    ? ZK_OK
					: i == refused ? ops[i].err
						       : ZK_RUNTIME_INCONSISTENCY);
	}
	wire_multi_header_encode(
		&w, &(struct wire_multi_header){ .type = -1, .done = true, .err = -1 });
	ASSERT(!w.full);
	return rt_slice_of(begin, (size_t)(w.p - begin));
}

/* All operations of the body, or NULL when it is not one that ZooKeeper takes. */
static struct multi_op *ops_decode(struct rt_slice body, uint32_t *ret_count)
{
	uint32_t count = 0;
	struct multi_op op;
	struct rt_reader r = rt_reader_of(body.p, body.len);
	while (op_next(&r, &op))
		count++;
	if (r.bad)
		return NULL;
	struct multi_op *ops = rt_alloc(((size_t)count + 1) * sizeof *ops);
	r = rt_reader_of(body.p, body.len);
	for (uint32_t i = 0; i < count; i++)
		op_next(&r, &ops[i]);
	*ret_count = count;
	return ops;
}

bool multi_decodes(struct rt_slice body)
{
	struct multi_op op;
	struct rt_reader r = rt_reader_of(body.p, body.len);
	while (op_next(&r, &op))
		continue;
	return !r.bad;
}

bool multi_grows(struct rt_slice body)
{
	struct multi_op op;
	struct rt_reader r = rt_reader_of(body.p, body.len);
	while (op_next(&r, &op))
		if (state_grows(op.type, (struct rt_slice){ NULL, 0 }))
			return true;
	return false;
}

int op_multi(const struct op_context *outer, struct rt_slice body, struct rt_slice *ret_answer)
{
	struct op_context c = *outer;
	struct state *s = c.s;
	struct perm_cache perms = { 0 };
	uint32_t count = 0;
	struct multi_op *ops = ops_decode(body, &count);
	if (ops == NULL)
		return ZK_MARSHALLING_ERROR;
	uint32_t changes = c.fb->change_count;
	uint64_t digest = s->digest;
	uint32_t refused = 0;
	c.undo = true;
	c.perms = &perms;
	for (; refused < count; refused++) {
		op_run(&c, &ops[refused]);
		if (ops[refused].err != ZK_OK)
			break;
	}
	if (refused < count) {
		undo_all(s);
		/* lists that a refused create brought and took with it were counted in and out */
		s->digest = digest;
		feed_truncate(c.fb, changes);
	} else {
		undo_forget(s);
	}
	*ret_answer = answer_encode(&c, ops, count, refused);
	rt_free(ops);
	return ZK_OK;
}
