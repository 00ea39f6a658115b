/* The table of sessions. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

static uint32_t session_hash(const struct state *s, int64_t id)
{
	return (uint32_t)rt_hash_u64((uint64_t)id, s->hash_seed);
}

struct session *session_find(const struct state *s, int64_t id)
{
	uint32_t hash = session_hash(s, id), at;
	struct session *x = rt_set_first(&s->sessions, hash, &at);
	while (x != NULL && x->id != id)
		x = rt_set_next(&s->sessions, hash, &at);
	return x;
}

struct session *session_add(struct state *s, int64_t id, int32_t timeout_ms, const uint8_t *passwd)
{
	ASSERT(session_find(s, id) == NULL);
	struct session *x = rt_alloc(sizeof *x);
	*x = (struct session){ .id = id, .generation = 1, .timeout_ms = timeout_ms };
	memcpy(x->passwd, passwd, PASSWD_BYTES);
	rt_list_init(&x->ephemerals);
	rt_set_add(&s->sessions, session_hash(s, id), x);
	s->counts.sessions++;
	return x;
}

void session_remove(struct state *s, struct session *x)
{
	ASSERT(rt_list_empty(&x->ephemerals));
	untouch_session(s, x);
	rt_set_remove(&s->sessions, session_hash(s, x->id), x);
	s->counts.sessions--;
	rt_free(x);
}
