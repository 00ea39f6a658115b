/* The end of a batch: what the state file needs beside what watchers and clients do. A node whose children came
 * and went, a session that wrote, a list that is new: each is told once a batch, however often it changed. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_mem.h"

static uint32_t push(struct touched *t, uint32_t v)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->v = rt_realloc(t->v, t->cap * sizeof *t->v);
	}
	t->v[t->count++] = v;
	return t->count;
}

void touch_node(struct state *s, uint32_t handle)
{
	struct kids *k = tree_kids(s, handle);
	if (k->touched == 0)
		k->touched = push(&s->touched_nodes, handle);
}

/* It is about to be freed. */
void untouch_node(struct state *s, const struct znode *n)
{
	if (n->owner == 0 && n->u.kids != NULL && n->u.kids->touched != 0)
		s->touched_nodes.v[n->u.kids->touched - 1] = 0;
}

void touch_list(struct state *s, uint32_t number) { push(&s->touched_lists, number); }

void touch_session(struct state *s, struct session *x)
{
	if (x->touched != 0)
		return;
	if (s->touched_session_count == s->touched_session_cap) {
		s->touched_session_cap = s->touched_session_cap ? s->touched_session_cap * 2 : 16;
		s->touched_sessions = rt_realloc(
			s->touched_sessions, s->touched_session_cap * sizeof(struct session *));
	}
	s->touched_sessions[s->touched_session_count++] = x;
	x->touched = s->touched_session_count;
}

void untouch_session(struct state *s, const struct session *x)
{
	if (x->touched != 0)
		s->touched_sessions[x->touched - 1] = NULL;
}

void touched_done(struct state *s)
{
	rt_free(s->touched_nodes.v);
	rt_free(s->touched_lists.v);
	rt_free(s->touched_sessions);
}

void change_fill(const struct state *s, const struct znode *n, struct change_node *ret)
{
	const struct kids *k = n->owner == 0 ? n->u.kids : NULL;
	*ret = (struct change_node){
		.id = n->id,
		.parent_id = n->parent != 0 ? tree_at(s, n->parent)->id : 0,
		.data = rt_blob_ref(n->data),
		.created = k != NULL ? k->created : 0,
		.acl = n->acl,
	};
	state_stat_of(s, n, &ret->stat);
}

static void seal_nodes(struct state *s, struct feed_batch *fb)
{
	for (uint32_t i = 0; i < s->touched_nodes.count; i++) {
		uint32_t handle = s->touched_nodes.v[i];
		if (handle == 0)
			continue;
		struct znode *n = tree_at(s, handle);
		n->u.kids->touched = 0;
		struct change *ch = feed_change(fb);
		ch->kind = CHANGE_STAT;
		ch->zxid = s->zxid;
		change_fill(s, n, &ch->node);
		ch->node.name = feed_copy(fb, state_node_name(n));
	}
	s->touched_nodes.count = 0;
}

static void seal_sessions(struct state *s, struct feed_batch *fb)
{
	for (uint32_t i = 0; i < s->touched_session_count; i++) {
		struct session *x = s->touched_sessions[i];
		if (x == NULL)
			continue;
		x->touched = 0;
		struct change *ch = feed_change(fb);
		ch->kind = CHANGE_SESSION_NUMBER;
		ch->zxid = s->zxid;
		ch->session = (struct change_session){ .id = x->id,
			.generation = x->generation,
			.timeout_ms = x->timeout_ms,
			.number = x->number,
			.nonce = x->nonce,
			.origin = { .shard = FEED_NO_SHARD } };
		memcpy(ch->session.passwd, x->passwd, PASSWD_BYTES);
	}
	s->touched_session_count = 0;
}

static void seal_lists(struct state *s, struct feed_batch *fb)
{
	for (uint32_t i = 0; i < s->touched_lists.count; i++) {
		uint32_t number = s->touched_lists.v[i];
		const struct acl_list *l = s->acls.lists[number];
		struct change *ch = feed_change(fb);
		ch->kind = l != NULL ? CHANGE_LIST_ADDED : CHANGE_LIST_DROPPED;
		ch->zxid = s->zxid;
		ch->list = (struct change_list){ .number = number };
		if (l == NULL)
			continue;
		size_t n = rt_vec_size(l->entries);
		struct rt_writer w = rt_writer_of(feed_alloc(fb, n), n);
		ch->list.entries = rt_slice_of(w.p, n);
		rt_put_vec(&w, l->entries);
	}
	s->touched_lists.count = 0;
}

void state_seal(struct state *s, struct feed_batch *fb)
{
	seal_nodes(s, fb);
	seal_sessions(s, fb);
	seal_lists(s, fb);
	fb->mark = (struct feed_mark){
		.zxid = s->zxid, .next_node_id = s->next_node_id, .digest = s->digest
	};
}
