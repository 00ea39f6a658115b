#include "tests/lib/inproc.h"

#include "daemon/base/proposals.h"
#include "schema/runtime/rt_mem.h"

#define CLIENT_MAX (1u << 30)
#define TICK_MS 100

enum letter_kind { LETTER_PROPOSALS, LETTER_TOUCHES };

struct inproc_letter {
	enum letter_kind kind;
	uint32_t shard;
	struct raft_chunk chunk;
	struct rt_buf buf;
	struct node_touch *touches;
	size_t touch_count;
	struct inproc_letter *next;
};

static void letter_free(struct inproc_letter *l)
{
	rt_buf_done(&l->buf);
	rt_free(l->touches);
	rt_free(l);
}

static void chunk_release(struct raft_chunk *chunk)
{
	letter_free((struct inproc_letter *)(void *)((char *)chunk -
						     offsetof(struct inproc_letter, chunk)));
}

static struct inproc_letter *letter_new(struct inproc *p, enum letter_kind kind, uint32_t shard)
{
	struct inproc_letter *l = rt_calloc(1, sizeof *l);
	l->kind = kind;
	l->shard = shard;
	l->chunk = (struct raft_chunk){ .refs = 1, .release = chunk_release };
	rt_buf_init(&l->buf, UINT32_MAX / 2);
	struct inproc_letter **at = &p->letters;
	while (*at != NULL)
		at = &(*at)->next;
	*at = l;
	return l;
}

/* --- life */

static uint32_t or_else(uint32_t v, uint32_t otherwise) { return v != 0 ? v : otherwise; }

static void shards_begin(struct inproc *p)
{
	const struct inproc_config *c = &p->config;
	for (uint32_t i = 0; i < c->shards; i++) {
		struct srv_config config = {
			.shard = i,
			.server_id = 1,
			.hash_seed = c->seed + i,
			.timeout_min_ms = c->timeout_min_ms != 0 ? c->timeout_min_ms : 4000,
			.timeout_max_ms = c->timeout_max_ms != 0 ? c->timeout_max_ms : 40000,
			.frame_bytes = or_else(c->frame_bytes, LIMIT_FRAME_BYTES),
			.reply_bytes = or_else(c->reply_bytes, LIMIT_REPLY_BYTES),
			.writes_in_flight = or_else(c->writes_in_flight, LIMIT_WRITES_IN_FLIGHT),
			.writes_in_flight_all =
				or_else(c->writes_in_flight_all, LIMIT_WRITES_IN_FLIGHT_ALL),
			.zxid = state_zxid(node_state(p->node)),
			.skip_acl = c->skip_acl,
		};
		p->shards[i] = srv_new(&config);
		p->fed[i] = 0;
	}
}

/* Entries and hard state to the log, as core_persist gives them to the log thread. */
static void persist(struct inproc *p, const struct node_effects *fx)
{
	if (fx->hard_state_dirty)
		p->hard_state = fx->hard_state;
	for (uint64_t i = 0; i < fx->persist_count; i++) {
		const struct raft_entry *e = node_entry(p->node, fx->persist_first + i);
		if (p->log_count == p->log_cap) {
			p->log_cap = p->log_cap ? p->log_cap * 2 : 64;
			p->log = rt_realloc(p->log, p->log_cap * sizeof *p->log);
		}
		uint8_t *copy = rt_alloc(e->payload.len);
		memcpy(copy, e->payload.p, e->payload.len);
		ASSERT(p->log_count == 0 || e->index == p->log[p->log_count - 1].index + 1);
		p->log[p->log_count++] = (struct inproc_entry){ e->term, e->index,
			rt_slice_of(copy, e->payload.len) };
	}
	p->asks = rt_realloc(p->asks, (p->ask_count + fx->ask_count + 1) * sizeof *p->asks);
	for (size_t i = 0; i < fx->ask_count; i++)
		p->asks[p->ask_count++] = fx->asks[i];
}

static void step(struct inproc *p, struct node_event *ev)
{
	struct node_effects fx;
	ev->now_ms = p->now_ms;
	ev->wall_ms = p->wall_ms;
	node_step(p->node, ev, &fx);
	persist(p, &fx);
}

static void node_begin(struct inproc *p)
{
	struct feed_batch fb;
	p->node = node_new(
		&(struct node_config){
			.server_id = 1, .tick_ms = TICK_MS, .hash_seed = p->config.seed },
		state_new(p->config.seed));
	feed_init(&fb);
	for (size_t i = 0; i < p->log_count; i++) {
		int rc = node_recover(
			p->node, p->log[i].index, p->log[i].term, p->log[i].payload, &fb, &p->err);
		ASSERT(rc == 0);
	}
	node_seal(p->node, &fb);
	feed_done(&fb);
	struct node_event ev = { .kind = NODE_START,
		.hs = p->hard_state,
		.index = p->log_count > 0 ? p->log[p->log_count - 1].index : 0 };
	step(p, &ev);
}

struct inproc *inproc_new(const struct inproc_config *config)
{
	struct inproc *p = rt_calloc(1, sizeof *p);
	p->config = *config;
	p->config.shards = or_else(config->shards, 1);
	ASSERT(p->config.shards <= INPROC_SHARDS);
	rt_rand_seed(&p->rand, config->seed);
	p->now_ms = 1000000;
	p->wall_ms = 1500000000000;
	node_begin(p);
	shards_begin(p);
	inproc_settle(p);
	return p;
}

static void batches_drop(struct inproc *p)
{
	for (size_t i = 0; i < p->batch_count; i++) {
		feed_done(p->batches[i]);
		rt_free(p->batches[i]);
	}
	p->batch_count = 0;
}

static void process_end(struct inproc *p)
{
	for (struct inproc_client *c = p->clients; c != NULL; c = c->next)
		c->conn = NULL;
	for (uint32_t i = 0; i < p->config.shards; i++)
		srv_free(p->shards[i]);
	batches_drop(p);
	node_free(p->node);
	while (p->letters != NULL) {
		struct inproc_letter *l = p->letters;
		p->letters = l->next;
		letter_free(l);
	}
	p->ask_count = 0;
}

static void log_cut(struct inproc *p, size_t count)
{
	while (p->log_count > count)
		rt_free((void *)(uintptr_t)p->log[--p->log_count].payload.p);
}

void inproc_restart(struct inproc *p)
{
	process_end(p);
	log_cut(p, p->synced);
	p->hard_state = p->hard_state_synced;
	node_begin(p);
	shards_begin(p);
	inproc_settle(p);
}

void inproc_free(struct inproc *p)
{
	process_end(p);
	log_cut(p, 0);
	while (p->clients != NULL) {
		struct inproc_client *c = p->clients;
		p->clients = c->next;
		rt_buf_done(&c->to_server);
		rt_buf_done(&c->received);
		rt_free(c);
	}
	rt_free(p->log);
	rt_free(p->batches);
	rt_free(p->asks);
	rt_free(p);
}

/* --- clients */

struct inproc_client *inproc_connect(struct inproc *p, uint32_t shard)
{
	static const struct srv_peer peer = { .address = "127.0.0.1", .name = "127.0.0.1:40000" };
	struct inproc_client *c = rt_calloc(1, sizeof *c);
	c->p = p;
	c->shard = shard;
	c->reads = true;
	c->want_read = true;
	rt_buf_init(&c->to_server, CLIENT_MAX);
	rt_buf_init(&c->received, CLIENT_MAX);
	srv_turn(p->shards[shard], p->now_ms);
	c->conn = srv_accept(p->shards[shard], &peer, c);
	c->next = p->clients;
	p->clients = c;
	return c;
}

void inproc_hang_up(struct inproc_client *c)
{
	if (c->conn == NULL)
		return;
	srv_turn(c->p->shards[c->shard], c->p->now_ms);
	srv_closed(c->p->shards[c->shard], c->conn);
	c->conn = NULL;
}

void inproc_send(struct inproc_client *c, struct rt_slice bytes)
{
	rt_buf_slice(&c->to_server, bytes);
}

bool inproc_frame(struct inproc_client *c, struct rt_slice *ret)
{
	size_t left = c->received.len - c->received_at;
	if (left < 4)
		return false;
	const uint8_t *p = c->received.p + c->received_at;
	uint32_t n = rt_load32(p);
	if (left - 4 < n)
		return false;
	*ret = rt_slice_of(p + 4, n);
	c->received_at += 4 + (size_t)n;
	return true;
}

/* --- an I/O thread's turn */

/* At most n; with random, some of it or nothing. */
static size_t piece(struct inproc *p, size_t n)
{
	if (!p->config.random || n == 0)
		return n;
	switch (rt_rand_below(&p->rand, 4)) {
	case 0:
		return n;
	case 1:
		return (size_t)rt_rand_below(&p->rand, n < 8 ? n + 1 : 8);
	default:
		return (size_t)rt_rand_below(&p->rand, n + 1);
	}
}

static bool client_read(struct inproc *p, struct inproc_client *c)
{
	struct srv *s = p->shards[c->shard];
	size_t waiting = c->to_server.len - c->to_server_at, room;
	if (!c->want_read || waiting == 0)
		return false;
	uint8_t *to = srv_input_room(s, c->conn, &room);
	if (to == NULL)
		return false;
	size_t n = piece(p, waiting < room ? waiting : room);
	if (n == 0)
		return p->config.random; /* another time */
	memcpy(to, c->to_server.p + c->to_server_at, n);
	c->to_server_at += n;
	srv_input(s, c->conn, n);
	return true;
}

static size_t socket_room(const struct inproc_client *c)
{
	return c->reads ? SIZE_MAX : c->window_bytes;
}

/* What the driver does with a connection that has output, or may have ended, or can be read again. */
static bool client_flush(struct inproc *p, struct inproc_client *c)
{
	struct srv *s = p->shards[c->shard];
	bool did = false;
	struct rt_slice out;
	while ((out = srv_output(c->conn)).len > 0 && socket_room(c) > 0) {
		size_t n = out.len < socket_room(c) ? out.len : socket_room(c);
		n = piece(p, n);
		if (n == 0)
			break;
		rt_buf_put(&c->received, out.p, n);
		if (!c->reads)
			c->window_bytes -= n;
		srv_output_sent(s, c->conn, n);
		did = true;
	}
	c->want_write = srv_output(c->conn).len > 0;
	if (!c->want_write && srv_finished(c->conn)) {
		srv_closed(s, c->conn);
		c->conn = NULL;
		return true;
	}
	if (srv_reading(c->conn) && !c->want_read)
		did = true;
	c->want_read = srv_reading(c->conn);
	return did || (c->want_write && socket_room(c) > 0);
}

static bool drain(struct inproc *p, uint32_t shard)
{
	bool did = p->fed[shard] < p->batch_count;
	for (; p->fed[shard] < p->batch_count; p->fed[shard]++)
		srv_feed(p->shards[shard], p->batches[p->fed[shard]]);
	return did;
}

static bool send_proposals(struct inproc *p, uint32_t shard)
{
	if (!srv_has_proposals(p->shards[shard]))
		return false;
	struct inproc_letter *l = letter_new(p, LETTER_PROPOSALS, shard);
	return srv_take_proposals(p->shards[shard], &l->buf);
}

static struct node_touch node_touch_of(const struct srv_touch *t)
{
	return (struct node_touch){ .session_id = t->session_id,
		.generation = t->generation,
		.here = t->here,
		.silent = t->silent,
		.heard_ms = t->heard_ms };
}

static bool send_touches(struct inproc *p, uint32_t shard)
{
	size_t count;
	const struct srv_touch *touches = srv_take_touches(p->shards[shard], &count);
	if (count == 0)
		return false;
	struct inproc_letter *l = letter_new(p, LETTER_TOUCHES, shard);
	l->touches = rt_alloc(count * sizeof *l->touches);
	l->touch_count = count;
	for (size_t i = 0; i < count; i++)
		l->touches[i] = node_touch_of(&touches[i]);
	return true;
}

/* What lies in the socket unread was said, too. */
static struct srv_touch asked(struct inproc *p, uint32_t shard, const struct node_ask *ask)
{
	struct srv *s = p->shards[shard];
	struct srv_conn *conn = srv_session_conn(s, ask->session_id);
	const struct inproc_client *c = conn != NULL ? srv_conn_user(conn) : NULL;
	if (c != NULL && c->to_server.len > c->to_server_at)
		srv_heard(s, conn);
	return srv_asked(s, ask->session_id, ask->generation);
}

static bool answer_asks(struct inproc *p, uint32_t shard)
{
	size_t left = 0;
	bool did = false;
	for (size_t i = 0; i < p->ask_count; i++) {
		if (p->asks[i].shard != shard) {
			p->asks[left++] = p->asks[i];
			continue;
		}
		struct srv_touch t = asked(p, shard, &p->asks[i]);
		struct inproc_letter *l = letter_new(p, LETTER_TOUCHES, shard);
		l->touches = rt_alloc(sizeof *l->touches);
		l->touches[0] = node_touch_of(&t);
		l->touch_count = 1;
		did = true;
	}
	p->ask_count = left;
	return did;
}

/* digest proves what it says, super is super, anything else is refused; a word is answered with itself. */
static bool answer_clients(struct inproc *p, uint32_t shard)
{
	struct srv *s = p->shards[shard];
	struct srv_auth auth;
	struct srv_word word;
	bool did = false;
	while (srv_next_auth(s, &auth)) {
		bool good = rt_slice_is(auth.scheme, "digest");
		if (good)
			good = srv_auth_add(s, auth.conn, auth.scheme, auth.credential);
		if (good && rt_slice_is(auth.credential, "super:x"))
			good = srv_auth_add(s, auth.conn, rt_slice_str("super"), rt_slice_str(""));
		srv_auth_answer(s, auth.conn, good);
		did = true;
	}
	while (srv_next_word(s, &word)) {
		srv_word_answer(s, word.conn, rt_slice_str(word.word));
		did = true;
	}
	return did;
}

static void fill_random(struct inproc *p, uint32_t shard)
{
	uint8_t bytes[64];
	while (srv_random_wanted(p->shards[shard]) >= sizeof bytes) {
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = (uint8_t)rt_rand_u64(&p->rand);
		srv_give_random(p->shards[shard], bytes, sizeof bytes);
	}
}

bool inproc_io(struct inproc *p, uint32_t shard)
{
	struct srv *s = p->shards[shard];
	struct srv_conn *dirty;
	bool did = false;
	srv_turn(s, p->now_ms);
	for (struct inproc_client *c = p->clients; c != NULL; c = c->next) {
		if (c->shard != shard || c->conn == NULL)
			continue;
		did |= client_read(p, c);
		if (c->want_write && socket_room(c) > 0)
			did |= client_flush(p, c);
	}
	/* before the questions: an attach that was applied before one was asked must be known */
	did |= drain(p, shard);
	did |= !p->config.keep_asks && answer_asks(p, shard);
	did |= srv_has_work(s);
	srv_work(s, NULL);
	if (srv_wants_view(s))
		srv_work(s, node_state(p->node));
	did |= !p->config.keep_asks && answer_clients(p, shard);
	did |= send_proposals(p, shard);
	while ((dirty = srv_next_dirty(s)) != NULL)
		did |= client_flush(p, srv_conn_user(dirty));
	did |= send_touches(p, shard);
	fill_random(p, shard);
	return did || srv_has_work(s);
}

/* --- the core thread and the log */

static bool apply_ready(struct inproc *p)
{
	bool did = false;
	while (node_ready(p->node)) {
		struct feed_batch *b = rt_alloc(sizeof *b);
		feed_init(b);
		uint32_t max = p->config.random ? 1 + (uint32_t)rt_rand_below(&p->rand, 8)
						: LIMIT_APPLY_ENTRIES;
		int rc = node_apply(p->node, b, max, &p->err);
		ASSERT(rc == 0);
		p->batches = rt_realloc(p->batches, (p->batch_count + 1) * sizeof *p->batches);
		p->batches[p->batch_count++] = b;
		node_applied(p->node, b, p->now_ms);
		did = true;
	}
	return did;
}

bool inproc_core(struct inproc *p)
{
	bool did = p->letters != NULL;
	while (p->letters != NULL) {
		struct inproc_letter *l = p->letters;
		p->letters = l->next;
		struct node_event ev = { .kind = l->kind == LETTER_PROPOSALS ? NODE_PROPOSALS
									     : NODE_TOUCHES,
			.shard = l->shard,
			.proposals = l->buf.p,
			.proposals_len = l->buf.len,
			.chunk = &l->chunk,
			.touches = l->touches,
			.touch_count = l->touch_count };
		step(p, &ev);
		raft_chunk_unref(&l->chunk);
	}
	if (node_wake_at_ms(p->node) <= p->now_ms) {
		step(p, &(struct node_event){ .kind = NODE_TICK });
		did = true;
	}
	return apply_ready(p) || did;
}

bool inproc_sync(struct inproc *p)
{
	if (p->synced == p->log_count)
		return false;
	p->synced = p->log_count;
	p->hard_state_synced = p->hard_state;
	struct node_event ev = { .kind = NODE_DURABLE, .index = p->log[p->log_count - 1].index };
	step(p, &ev);
	apply_ready(p);
	return true;
}

/* Batches that every shard has seen are not kept. */
static void feed_trim(struct inproc *p)
{
	for (uint32_t i = 0; i < p->config.shards; i++)
		if (p->shards[i] == NULL || p->fed[i] < p->batch_count)
			return;
	batches_drop(p);
	for (uint32_t i = 0; i < p->config.shards; i++)
		p->fed[i] = 0;
}

static bool settle_once(struct inproc *p)
{
	bool did = false;
	if (p->config.random) {
		/* anybody, any number of times: a round of it always has everybody */
		for (uint64_t n = rt_rand_below(&p->rand, 6); n > 0; n--) {
			uint64_t who = rt_rand_below(&p->rand, p->config.shards + 2);
			if (who < p->config.shards)
				inproc_io(p, (uint32_t)who);
			else if (who == p->config.shards)
				inproc_core(p);
			else
				inproc_sync(p);
		}
	}
	for (uint32_t i = 0; i < p->config.shards; i++)
		did |= p->shards[i] != NULL && inproc_io(p, i);
	did |= inproc_core(p);
	did |= inproc_sync(p);
	feed_trim(p);
	return did;
}

void inproc_settle(struct inproc *p)
{
	uint32_t rounds = 0;
	while (settle_once(p)) {
		ASSERT(++rounds < 1000000); /* somebody is busy for nothing */
	}
}

void inproc_advance(struct inproc *p, int64_t ms)
{
	p->now_ms += ms;
	p->wall_ms += ms;
}

void inproc_live(struct inproc *p, int64_t ms)
{
	for (int64_t left = ms; left > 0; left -= TICK_MS) {
		inproc_advance(p, left < TICK_MS ? left : TICK_MS);
		inproc_settle(p);
	}
}
