/* Scenarios of the replicated state: entries in, results and changes out, as text. state_check walks the whole
 * structure after every entry. What a command may be:
 *
 *   open A [timeout=MS]               a session, known as A; its identities are ip 10.0.0.1
 *   attach A [timeout=MS] [passwd=X] [nonce=N]    its client comes back; a nonce of its own without N
 *   stale A B                         B names A's session as it is now: after an attach, its former generation
 *   expire A [generation=N]
 *   close A
 *   ids A SCHEME:ID ...               what A's connection has proved from now on; a count and * in front
 *                                     of an entry (here, and in a LIST): so many, numbered: 3*digest:u:x is
 *                                     digest:u0:x digest:u1:x digest:u2:x
 *   create A PATH [DATA] [2] [flags=N] [acl=LIST]    DATA is text, or null; LIST is PERMS:SCHEME:ID,... or
 *   delete A PATH [VERSION]                          null or none
 *   set A PATH DATA [VERSION]
 *   setacl A PATH LIST [VERSION]
 *   multi A, and below it, indented: create, delete, set, check, get, setacl, without the session
 *   bytes A OP [HEX]                  any operation with any body
 *   again                             the last request once more, under the same number
 *   number A N                        A's next number
 *   elsewhere                         the next entry came from another server: nobody here waits for it
 *   payload HEX                       any entry
 *   noop
 *   tree [PATH]    sessions    changes (of the last entry)    counts
 */
#include <stdlib.h>

#include "daemon/state/state.h"
#include "tests/golden/golden.h"
#include "tests/lib/make.h"

#define OUT_MAX (1u << 20)
#define CLIENTS 26u

struct client {
	int64_t session_id;
	uint32_t generation;
	uint64_t number;
	uint8_t passwd[16];
	struct make_list ids;
};

struct world {
	struct state *s;
	struct feed_batch fb;
	struct client clients[CLIENTS];
	struct rt_buf last; /* payload of the last request */
	int64_t index;
	bool elsewhere;
};

static void *begin(void)
{
	struct world *w = calloc(1, sizeof *w);
	w->s = state_new(1);
	feed_init(&w->fb);
	rt_buf_init(&w->last, OUT_MAX);
	for (size_t i = 0; i < CLIENTS; i++)
		make_list_init(&w->clients[i].ids);
	return w;
}

static void end(void *arg)
{
	struct world *w = arg;
	state_free(w->s);
	feed_done(&w->fb);
	rt_buf_done(&w->last);
	for (size_t i = 0; i < CLIENTS; i++)
		rt_buf_done(&w->clients[i].ids.bytes);
	free(w);
}

static int64_t now(const struct world *w) { return 1000 + w->index; }

static struct client *client(struct world *w, struct rt_slice name)
{
	if (name.len != 1 || name.p[0] < 'A' || name.p[0] > 'Z')
		golden_bad("no client's name (A to Z)", name);
	return &w->clients[name.p[0] - 'A'];
}

/* --- what comes out */

static void print_err(struct rt_buf *out, int err)
{
	const char *name = zk_err_name(err);
	rt_buf_fmt(out, "%s", name != NULL ? name : "an unknown code");
}

static void print_stat(struct rt_buf *out, const struct base_stat *st)
{
	rt_buf_fmt(out, " c=%lld m=%lld p=%lld v=%d cv=%d av=%d len=%u children=%u",
		(long long)st->czxid, (long long)st->mzxid, (long long)st->pzxid, st->version,
		st->cversion, st->aversion, st->data_bytes, st->children);
	rt_buf_fmt(out, " ct=%lld mt=%lld", (long long)st->ctime_ms, (long long)st->mtime_ms);
	if (st->owner != 0)
		rt_buf_fmt(out, " owner=%llx", (unsigned long long)st->owner);
}

static struct base_stat stat_of(const struct wire_stat *st)
{
	return (struct base_stat){ .czxid = st->czxid,
		.mzxid = st->mzxid,
		.pzxid = st->pzxid,
		.ctime_ms = st->ctime,
		.mtime_ms = st->mtime,
		.owner = st->ephemeral_owner,
		.version = st->version,
		.cversion = st->cversion,
		.aversion = st->aversion,
		.data_bytes = (uint32_t)st->data_length,
		.children = (uint32_t)st->num_children };
}

/* One operation of a multi's answer; false at the end. */
static bool print_part(struct rt_buf *out, struct rt_reader *r)
{
	struct wire_multi_header h;
	struct wire_create_response path = { 0 };
	struct wire_stat st = { 0 };
	struct wire_error_response e = { 0 };
	bool good = wire_multi_header_decode(r, &h) == 0;
	ASSERT(good);
	if (h.done) {
		ASSERT(h.type == -1 && h.err == -1 && rt_left(r) == 0);
		return false;
	}
	rt_buf_str(out, "  ");
	if (h.type == WIRE_OP_ERROR) {
		good = wire_error_response_decode(r, &e) == 0 && e.err == h.err;
		print_err(out, e.err);
	} else if (h.type == WIRE_OP_CREATE || h.type == WIRE_OP_CREATE2) {
		good = wire_create_response_decode(r, &path) == 0;
		rt_buf_fmt(out, "create ");
		rt_buf_quoted(out, path.path);
		if (h.type == WIRE_OP_CREATE2)
			good = good && wire_stat_decode(r, &st) == 0;
	} else if (h.type == WIRE_OP_SET_DATA) {
		good = wire_stat_decode(r, &st) == 0;
		rt_buf_str(out, "set");
	} else {
		rt_buf_str(out, h.type == WIRE_OP_DELETE  ? "delete"
				: h.type == WIRE_OP_CHECK ? "check"
							  : "?");
	}
	ASSERT(good);
	struct base_stat base = stat_of(&st);
	if (h.type == WIRE_OP_SET_DATA || h.type == WIRE_OP_CREATE2)
		print_stat(out, &base);
	rt_buf_char(out, '\n');
	return true;
}

static void print_result(struct rt_buf *out, const struct result *r)
{
	print_err(out, r->err);
	if (r->err == ZK_OK && r->kind == RESULT_SESSION)
		rt_buf_fmt(out, " session %llx generation %u timeout %d",
			(unsigned long long)r->session.id, r->session.generation,
			r->session.timeout_ms);
	bool create = r->op == WIRE_OP_CREATE || r->op == WIRE_OP_CREATE2;
	if (r->err == ZK_OK && create && r->kind == RESULT_REQUEST) {
		rt_buf_char(out, ' ');
		rt_buf_quoted(out, r->body);
	}
	if (r->has_stat)
		print_stat(out, &r->stat);
	rt_buf_char(out, '\n');
	if (r->err == ZK_OK && r->op == WIRE_OP_MULTI && r->kind == RESULT_REQUEST) {
		struct rt_reader body = rt_reader_of(r->body.p, r->body.len);
		while (print_part(out, &body))
			continue;
	}
}

/* A node by its path, or (nobody watches its Stat) by its name. */
static void print_change_node(struct rt_buf *out, const struct change *ch)
{
	const struct change_node *n = &ch->node;
	struct rt_slice path = n->path;
	if (ch->kind == CHANGE_STAT) {
		ASSERT(path.p == NULL);
		path = n->name;
	} else if (path.len > 1) {
		/* the name is the path's own end */
		ASSERT(n->name.p + n->name.len == path.p + path.len);
		ASSERT(n->name.p[-1] == '/' && memchr(n->name.p, '/', n->name.len) == NULL);
	} else {
		ASSERT(n->name.len == 0);
	}
	rt_buf_quoted(out, path);
	rt_buf_fmt(out, " id=%lld parent=%lld acl=%u created=%lld data=", (long long)n->id,
		(long long)n->parent_id, n->acl, (long long)n->created);
	rt_buf_quoted(out, rt_blob_slice(n->data));
	print_stat(out, &n->stat);
}

static void print_change_list(struct rt_buf *out, const struct change_list *l)
{
	struct wire_acl a;
	rt_buf_fmt(out, "%u", l->number);
	if (l->entries.p == NULL)
		return;
	struct rt_reader r = rt_reader_of(l->entries.p, l->entries.len);
	for (int32_t left = rt_get_i32(&r); left > 0; left--) {
		int rc = wire_acl_decode(&r, &a);
		ASSERT(rc == 0);
		rt_buf_fmt(out, " %d:", a.perms);
		rt_buf_quoted(out, a.id.scheme);
		rt_buf_quoted(out, a.id.id);
	}
	ASSERT(!r.bad && rt_left(&r) == 0);
}

static void print_change(struct rt_buf *out, const struct change *ch)
{
	static const char *const names[] = { "?", "created", "deleted", "data", "acl", "stat",
		"opened", "attached", "number", "closed", "list", "no list" };
	rt_buf_fmt(out, "%lld %s ", (long long)ch->zxid, names[ch->kind]);
	if (change_is_node(ch))
		print_change_node(out, ch);
	else if (change_is_session(ch))
		rt_buf_fmt(out, "%llx generation %u timeout %d number %llu",
			(unsigned long long)ch->session.id, ch->session.generation,
			ch->session.timeout_ms, (unsigned long long)ch->session.number);
	else
		print_change_list(out, &ch->list);
	rt_buf_char(out, '\n');
}

/* --- what goes in */

/* Applies one entry and prints what became of it; the result of a session's entry, or NULL. */
static const struct result *apply(struct world *w, struct rt_slice payload, struct rt_buf *out)
{
	struct state_entry e = { .index = ++w->index,
		.payload = payload,
		.origin = { .shard = w->elsewhere ? FEED_NO_SHARD : 0, .conn = 7 } };
	w->elsewhere = false;
	feed_clear(&w->fb);
	int rc = state_apply(w->s, &e, &w->fb);
	state_check(w->s);
	if (rc != 0) {
		w->index--;
		rt_buf_fmt(out, "stopped: %s\n", pando_err_name(rc));
		ASSERT(w->fb.change_count == 0 && w->fb.results[0].count == 0);
		return NULL;
	}
	ASSERT(state_zxid(w->s) == w->index && w->fb.last_zxid == w->index);
	state_seal(w->s, &w->fb); /* each entry is a batch of its own */
	state_check(w->s);
	ASSERT(w->fb.mark.zxid == w->index);
	const struct feed_results *rs = &w->fb.results[0];
	ASSERT(rs->count <= 1);
	rt_buf_fmt(out, "%lld ", (long long)w->index);
	if (rs->count == 0) {
		rt_buf_str(out, "no answer\n");
		return NULL;
	}
	ASSERT(rs->v[0].zxid == w->index && rs->v[0].conn == 7);
	print_result(out, &rs->v[0]);
	return &rs->v[0];
}

static void apply_request(
	struct world *w, struct client *c, int32_t op, struct rt_slice body, struct rt_buf *out)
{
	struct disk_entry_request q = { .session_id = c->session_id,
		.generation = c->generation,
		.number = ++c->number,
		.identities = make_vec(&c->ids),
		.op = op };
	rt_buf_clear(&w->last);
	make_request(&w->last, now(w) + 1, &q, body);
	apply(w, make_slice(&w->last), out);
}

static struct rt_slice until(struct rt_slice *text, char c)
{
	const uint8_t *at = text->len > 0 ? memchr(text->p, c, text->len) : NULL;
	struct rt_slice head = at != NULL ? rt_slice_of(text->p, (size_t)(at - text->p)) : *text;
	uint32_t skip = head.len + (at != NULL);
	*text = rt_slice_of(text->p + skip, text->len - skip);
	return head;
}

/* N in front of an entry N*..., which is taken off; 1 without. */
static int64_t take_times(struct rt_slice *entry)
{
	if (entry->len == 0 || memchr(entry->p, '*', entry->len) == NULL)
		return 1;
	return golden_number(until(entry, '*'));
}

/* The id with k behind its user. */
static struct rt_slice numbered(struct rt_buf *text, struct rt_slice id, int64_t k)
{
	rt_buf_clear(text);
	rt_buf_slice(text, until(&id, ':'));
	rt_buf_fmt(text, "%lld:", (long long)k);
	rt_buf_slice(text, id);
	return make_slice(text);
}

/* PERMS:SCHEME:ID,...; `none` is the empty list, `null` the null one, and nothing the open one. */
static struct rt_vec acl_of(struct make_list *l, struct rt_slice text)
{
	make_list_init(l);
	if (text.p == NULL || text.len == 0)
		return make_open_acl();
	if (rt_slice_is(text, "null"))
		return (struct rt_vec){ .count = -1 };
	if (rt_slice_is(text, "none"))
		return (struct rt_vec){ 0 };
	struct rt_buf id;
	rt_buf_init(&id, OUT_MAX);
	while (text.len > 0) {
		struct rt_slice entry = until(&text, ',');
		int64_t times = take_times(&entry);
		int32_t perms = (int32_t)golden_number(until(&entry, ':'));
		struct rt_slice scheme = until(&entry, ':');
		for (int64_t k = 0; k < times; k++)
			make_acl(l, perms, scheme, times > 1 ? numbered(&id, entry, k) : entry);
	}
	rt_buf_done(&id);
	return make_vec(l);
}

static struct rt_slice data_of(const struct golden_line *l, size_t at)
{
	if (at >= l->count || (!l->quoted[at] && rt_slice_is(l->words[at], "null")))
		return (struct rt_slice){ 0 };
	return l->words[at];
}

static int32_t version_of(const struct golden_line *l, size_t at)
{
	return at < l->count ? (int32_t)golden_number(l->words[at]) : -1;
}

/* The body of an operation whose words begin with the path at `at`; its code. */
static int32_t put_op(const struct golden_line *l, size_t at, struct rt_buf *body, bool in_multi)
{
	struct rt_slice what = l->words[0], path = golden_word(l, at);
	struct make_list acl;
	make_list_init(&acl);
	int32_t op = 0;
	if (in_multi)
		MAKE(body, wire_multi_header, { .type = 0, .err = -1 });
	size_t type_at = body->len;
	if (rt_slice_is(what, "create")) {
		struct rt_slice flags = golden_option(l, "flags");
		op = golden_flag(l, "2") ? WIRE_OP_CREATE2 : WIRE_OP_CREATE;
		bool data = at + 1 < l->count &&
			    (l->quoted[at + 1] || rt_slice_is(l->words[at + 1], "null"));
		MAKE(body, wire_create_request,
			{ .path = path,
				.data = data ? data_of(l, at + 1) : rt_slice_str(""),
				.acl = acl_of(&acl, golden_option(l, "acl")),
				.flags = flags.p != NULL ? (int32_t)golden_number(flags) : 0 });
	} else if (rt_slice_is(what, "delete")) {
		op = WIRE_OP_DELETE;
		MAKE(body, wire_delete_request, { path, version_of(l, at + 1) });
	} else if (rt_slice_is(what, "set")) {
		op = WIRE_OP_SET_DATA;
		MAKE(body, wire_set_data_request,
			{ path, data_of(l, at + 1), version_of(l, at + 2) });
	} else if (rt_slice_is(what, "check")) {
		op = WIRE_OP_CHECK;
		MAKE(body, wire_check_version_request, { path, version_of(l, at + 1) });
	} else if (rt_slice_is(what, "setacl")) {
		op = WIRE_OP_SET_ACL;
		MAKE(body, wire_set_acl_request,
			{ path, acl_of(&acl, golden_word(l, at + 1)), version_of(l, at + 2) });
	} else if (rt_slice_is(what, "get")) {
		op = WIRE_OP_GET_DATA;
		MAKE(body, wire_path_watch_request, { .path = path });
	} else {
		golden_bad("no such operation", what);
	}
	if (in_multi)
		rt_store32(body->p + type_at - WIRE_MULTI_HEADER_BYTES, (uint32_t)op);
	rt_buf_done(&acl.bytes);
	return op;
}

static void put_hex(struct rt_buf *out, struct rt_slice text)
{
	for (uint32_t i = 0; i + 1 < text.len; i += 2) {
		char digits[3] = { (char)text.p[i], (char)text.p[i + 1], '\0' };
		rt_buf_char(out, (char)strtol(digits, NULL, 16));
	}
}

/* --- commands */

typedef void command_fn(struct world *w, const struct golden_command *c, struct rt_buf *out);

static void run_op(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct rt_buf body;
	rt_buf_init(&body, OUT_MAX);
	int32_t op = put_op(&c->lines[0], 2, &body, false);
	apply_request(w, client(w, golden_word(c->lines, 1)), op, make_slice(&body), out);
	rt_buf_done(&body);
}

static void run_multi(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct rt_buf body;
	rt_buf_init(&body, OUT_MAX);
	for (size_t i = 1; i < c->count; i++)
		put_op(&c->lines[i], 1, &body, true);
	MAKE(&body, wire_multi_header, { .type = -1, .done = true, .err = -1 });
	apply_request(
		w, client(w, golden_word(c->lines, 1)), WIRE_OP_MULTI, make_slice(&body), out);
	rt_buf_done(&body);
}

static void run_bytes(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct rt_buf body;
	rt_buf_init(&body, OUT_MAX);
	put_hex(&body, golden_word(c->lines, 3));
	apply_request(w, client(w, golden_word(c->lines, 1)),
		(int32_t)golden_number(golden_word(c->lines, 2)), make_slice(&body), out);
	rt_buf_done(&body);
}

static void run_close(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	apply_request(w, client(w, golden_word(c->lines, 1)), WIRE_OP_CLOSE_SESSION,
		rt_slice_str(""), out);
}

static int32_t timeout_of(const struct golden_line *l)
{
	struct rt_slice ms = golden_option(l, "timeout");
	return ms.p != NULL ? (int32_t)golden_number(ms) : 4000;
}

/* The entry of a handshake, and what its client knows afterwards. */
static void run_session(
	struct world *w, struct client *c, struct rt_buf *payload, struct rt_buf *out)
{
	const struct result *r = apply(w, make_slice(payload), out);
	rt_buf_done(payload);
	if (r == NULL || r->err != ZK_OK)
		return;
	if (c->session_id != r->session.id || c->generation != r->session.generation)
		c->number = 0; /* not a copy */
	c->session_id = r->session.id;
	c->generation = r->session.generation;
	memcpy(c->passwd, r->session.passwd, sizeof c->passwd);
}

static void run_open(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct client *a = client(w, golden_word(c->lines, 1));
	struct disk_entry_session_open e = { .server_id = 1, .timeout_ms = timeout_of(c->lines) };
	memset(e.passwd, golden_word(c->lines, 1).p[0], sizeof e.passwd);
	rt_buf_clear(&a->ids.bytes);
	a->ids.count = 0;
	make_identity(&a->ids, rt_slice_str("ip"), rt_slice_str("10.0.0.1"));
	struct rt_buf payload;
	rt_buf_init(&payload, OUT_MAX);
	make_open(&payload, now(w) + 1, &e);
	run_session(w, a, &payload, out);
}

static void run_attach(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct client *a = client(w, golden_word(c->lines, 1));
	struct rt_slice passwd = golden_option(c->lines, "passwd");
	struct disk_entry_session_attach e = { .session_id = a->session_id,
		.timeout_ms = timeout_of(c->lines),
		.passwd = passwd.p != NULL ? passwd : rt_slice_of(a->passwd, sizeof a->passwd) };
	struct rt_slice nonce = golden_option(c->lines, "nonce");
	e.nonce = nonce.p != NULL ? (uint64_t)golden_number(nonce) : 0;
	struct rt_buf payload;
	rt_buf_init(&payload, OUT_MAX);
	make_attach(&payload, now(w) + 1, &e);
	run_session(w, a, &payload, out);
}

static void run_stale(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct client *a = client(w, golden_word(c->lines, 1)),
		      *b = client(w, golden_word(c->lines, 2));
	struct make_list ids = b->ids;
	*b = *a;
	b->ids = ids;
}

static void run_expire(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct client *a = client(w, golden_word(c->lines, 1));
	struct rt_slice generation = golden_option(c->lines, "generation");
	struct rt_buf payload;
	rt_buf_init(&payload, OUT_MAX);
	w->elsewhere = true;
	make_expire(&payload, now(w) + 1, a->session_id,
		generation.p != NULL ? (uint32_t)golden_number(generation) : a->generation);
	apply(w, make_slice(&payload), out);
	rt_buf_done(&payload);
}

static void run_ids(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct client *a = client(w, golden_word(c->lines, 1));
	rt_buf_clear(&a->ids.bytes);
	a->ids.count = 0;
	struct rt_buf text;
	rt_buf_init(&text, OUT_MAX);
	for (size_t i = 2; i < c->lines->count; i++) {
		struct rt_slice id = c->lines->words[i];
		int64_t times = take_times(&id);
		struct rt_slice scheme = until(&id, ':');
		for (int64_t k = 0; k < times; k++)
			make_identity(&a->ids, scheme, times > 1 ? numbered(&text, id, k) : id);
	}
	rt_buf_done(&text);
}

static void run_again(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	apply(w, make_slice(&w->last), out);
}

static void run_number(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	client(w, golden_word(c->lines, 1))->number =
		(uint64_t)golden_number(golden_word(c->lines, 2)) - 1;
}

static void run_elsewhere(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	w->elsewhere = true;
}

static void run_payload(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct rt_buf payload;
	rt_buf_init(&payload, OUT_MAX);
	put_hex(&payload, golden_word(c->lines, 1));
	apply(w, make_slice(&payload), out);
	rt_buf_done(&payload);
}

static void run_noop(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct rt_buf payload;
	rt_buf_init(&payload, OUT_MAX);
	make_noop(&payload, now(w) + 1);
	apply(w, make_slice(&payload), out);
	rt_buf_done(&payload);
}

/* The dump's lines that begin with the given text. */
static void print_dump(struct world *w, const char *kind, struct rt_slice path, struct rt_buf *out)
{
	struct rt_buf all;
	rt_buf_init(&all, 64u << 20);
	state_dump(w->s, &all);
	size_t n = strlen(kind);
	for (size_t at = 0; at < all.len;) {
		const uint8_t *p = all.p + at;
		size_t len = (size_t)((const uint8_t *)memchr(p, '\n', all.len - at) - p) + 1;
		bool wanted = len > n + path.len && memcmp(p, kind, n) == 0 &&
			      (path.len == 0 || memcmp(p + n, path.p, path.len) == 0);
		bool fixed = len > 11 && memcmp(p, "\"/zookeeper", 11) == 0;
		if (wanted && (!fixed || path.len > 1))
			rt_buf_put(out, p, len);
		at += len;
	}
	rt_buf_done(&all);
}

static void run_tree(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	print_dump(w, "\"", golden_word(c->lines, 1), out);
}

static void run_sessions(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	print_dump(w, "session", rt_slice_str(""), out);
}

static void run_changes(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	for (uint32_t i = 0; i < w->fb.change_count; i++)
		print_change(out, &w->fb.changes[i]);
	if (w->fb.change_count == 0)
		rt_buf_str(out, "none\n");
}

static void run_counts(struct world *w, const struct golden_command *c, struct rt_buf *out)
{
	struct state_counts n;
	state_counts(w->s, &n);
	rt_buf_fmt(out, "nodes %llu ephemerals %llu sessions %llu bytes %llu\n",
		(unsigned long long)n.nodes, (unsigned long long)n.ephemerals,
		(unsigned long long)n.sessions, (unsigned long long)n.data_bytes);
}

static void run(void *arg, const struct golden_command *c, struct rt_buf *out)
{
	static const struct {
		const char *name;
		command_fn *run;
	} commands[] = {
		{ "open", run_open },
		{ "attach", run_attach },
		{ "stale", run_stale },
		{ "expire", run_expire },
		{ "close", run_close },
		{ "ids", run_ids },
		{ "create", run_op },
		{ "delete", run_op },
		{ "set", run_op },
		{ "setacl", run_op },
		{ "multi", run_multi },
		{ "bytes", run_bytes },
		{ "again", run_again },
		{ "number", run_number },
		{ "elsewhere", run_elsewhere },
		{ "payload", run_payload },
		{ "noop", run_noop },
		{ "tree", run_tree },
		{ "sessions", run_sessions },
		{ "changes", run_changes },
		{ "counts", run_counts },
	};
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (rt_slice_is(golden_word(c->lines, 0), commands[i].name)) {
			commands[i].run(arg, c, out);
			return;
		}
	}
	golden_bad("no such command", golden_word(c->lines, 0));
}

int main(int argc, char **argv)
{
	return golden_main(argc, argv, &(struct golden_handler){ begin, run, end });
}
