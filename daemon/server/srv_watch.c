/* Watches of this shard's connections: one-shot, by path. A path with watches has two lists, data (exists and
 * getData share it) and children; a connection has each (path, kind) at most once.
 *
 * W1  a watch_path exists as long as one of its lists is not empty
 * W2  every watch is in its path's list, its connection's list, and the set of all */
#include "daemon/server/srv_int.h"

#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

static struct watch_path *path_find(const struct srv *s, struct rt_slice path, uint32_t hash)
{
	uint32_t at;
	struct watch_path *p = rt_set_first(&s->watch_paths, hash, &at);
	while (p != NULL && !(p->len == path.len && memcmp(p->path, path.p, path.len) == 0))
		p = rt_set_next(&s->watch_paths, hash, &at);
	return p;
}

static uint32_t path_hash(const struct srv *s, struct rt_slice path)
{
	return (uint32_t)rt_hash(path.p, path.len, s->config.hash_seed);
}

static struct watch_path *path_get(struct srv *s, struct rt_slice path)
{
	uint32_t hash = path_hash(s, path);
	struct watch_path *p = path_find(s, path, hash);
	if (p != NULL)
		return p;
	p = rt_alloc(sizeof *p + path.len);
	p->hash = hash;
	p->len = path.len;
	rt_list_init(&p->watches[0]);
	rt_list_init(&p->watches[1]);
	if (path.len != 0)
		memcpy(p->path, path.p, path.len);
	rt_set_add(&s->watch_paths, hash, p);
	return p;
}

static uint32_t watch_hash(
	const struct srv_conn *c, const struct watch_path *p, enum watch_kind kind)
{
	return (uint32_t)rt_hash_u64(conn_token(c) * 2 + (uint64_t)kind - 1, p->hash);
}

static bool watch_exists(const struct srv *s, const struct srv_conn *c, const struct watch_path *p,
	enum watch_kind kind, uint32_t hash)
{
	uint32_t at;
	for (struct watch *w = rt_set_first(&s->watches, hash, &at); w != NULL;
		w = rt_set_next(&s->watches, hash, &at))
		if (w->conn == c && w->path == p && w->kind == kind)
			return true;
	return false;
}

static uint64_t watch_cost(const struct watch_path *p)
{
	return sizeof(struct watch) + sizeof *p + p->len;
}

bool watch_add(struct srv *s, struct srv_conn *c, enum watch_kind kind, struct rt_slice path)
{
	if (c->watch_bytes + path.len > LIMIT_WATCH_BYTES) {
		conn_notice(s, c, "watch refused: it has so many already; bytes",
			(int64_t)c->watch_bytes, NOTICE_WARN);
		return false;
	}
	struct watch_path *p = path_get(s, path);
	uint32_t hash = watch_hash(c, p, kind);
	if (watch_exists(s, c, p, kind, hash))
		return true;
	c->watch_bytes += watch_cost(p);
	struct watch *w = rt_alloc(sizeof *w);
	*w = (struct watch){ .conn = c, .path = p, .kind = kind, .hash = hash };
	rt_list_append(&p->watches[kind - 1], &w->on_path);
	rt_list_append(&c->watches, &w->on_conn);
	rt_set_add(&s->watches, hash, w);
	s->watch_count++;
	if (c->watch_count++ == 0)
		s->watching++;
	return true;
}

static void watch_remove(struct srv *s, struct watch *w)
{
	rt_set_remove(&s->watches, w->hash, w); /* W2 */
	rt_list_remove(&w->on_path);
	rt_list_remove(&w->on_conn);
	ASSERT(s->watch_count > 0);
	s->watch_count--;
	w->conn->watch_bytes -= watch_cost(w->path);
	if (--w->conn->watch_count == 0)
		s->watching--;
	rt_free(w);
}

static void path_release(struct srv *s, struct watch_path *p)
{
	if (!rt_list_empty(&p->watches[0]) || !rt_list_empty(&p->watches[1]))
		return;
	rt_set_remove(&s->watch_paths, p->hash, p); /* W1 */
	rt_free(p);
}

void watch_drop_conn(struct srv *s, struct srv_conn *c)
{
	rt_list_each (&c->watches, link, next) {
		struct watch *w = rt_list_entry(link, struct watch, on_conn);
		struct watch_path *p = w->path;
		watch_remove(s, w);
		path_release(s, p);
	}
	ASSERT(c->watch_count == 0);
}

void watch_done(struct srv *s)
{
	ASSERT(s->watch_count == 0); /* connections are gone */
	rt_set_done(&s->watch_paths);
	rt_set_done(&s->watches);
}

static void tell(struct srv *s, struct srv_conn *c, int32_t event, struct rt_slice path)
{
	if (c->phase != CONN_FINISHED)
		reply_event(s, c, event, path);
}

static void fire(struct srv *s, struct watch_path *p, enum watch_kind kind, int32_t event,
	struct rt_slice path)
{
	rt_list_each (&p->watches[kind - 1], link, next) {
		struct watch *w = rt_list_entry(link, struct watch, on_path);
		struct srv_conn *c = w->conn;
		watch_remove(s, w);
		tell(s, c, event, path);
	}
}

/* A deletion ends both kinds, but a connection that has both is told once. */
static void fire_deleted(struct srv *s, struct watch_path *p, struct rt_slice path)
{
	rt_list_each (&p->watches[WATCH_DATA - 1], link, next) {
		struct watch *w = rt_list_entry(link, struct watch, on_path);
		struct srv_conn *c = w->conn;
		uint32_t hash = watch_hash(c, p, WATCH_CHILD), at;
		watch_remove(s, w);
		struct watch *child = rt_set_first(&s->watches, hash, &at);
		while (child != NULL &&
			!(child->conn == c && child->path == p && child->kind == WATCH_CHILD))
			child = rt_set_next(&s->watches, hash, &at);
		if (child != NULL)
			watch_remove(s, child);
		tell(s, c, WIRE_EVENT_DELETED, path);
	}
	fire(s, p, WATCH_CHILD, WIRE_EVENT_DELETED, path);
}

static void fire_parent(struct srv *s, const struct change_node *n)
{
	uint32_t name_at = n->path.len - n->name.len;
	struct rt_slice parent = { n->path.p, name_at > 1 ? name_at - 1 : 1 };
	struct watch_path *p = path_find(s, parent, path_hash(s, parent));
	if (p == NULL)
		return;
	fire(s, p, WATCH_CHILD, WIRE_EVENT_CHILDREN_CHANGED, parent);
	path_release(s, p);
}

void watch_change(struct srv *s, const struct change *ch)
{
	if (s->watch_count == 0 || ch->kind == CHANGE_ACL)
		return;
	const struct change_node *n = &ch->node;
	struct watch_path *p = path_find(s, n->path, path_hash(s, n->path));
	if (p != NULL) {
		if (ch->kind == CHANGE_CREATED)
			fire(s, p, WATCH_DATA, WIRE_EVENT_CREATED, n->path);
		else if (ch->kind == CHANGE_DATA)
			fire(s, p, WATCH_DATA, WIRE_EVENT_DATA_CHANGED, n->path);
		else
			fire_deleted(s, p, n->path);
		path_release(s, p);
	}
	if (ch->kind != CHANGE_DATA)
		fire_parent(s, n);
}
