/* The digest of the whole replicated state: a sum (modulo 2^64) of one term for each node's data, each node's
 * other fields, each session and each list, so that a change costs its own terms and nothing else, and the order
 * of things plays no part. Servers compare it, and a state file carries it; so a term depends on nothing but what
 * is replicated, on any machine. */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_hash.h"

/* Different kinds of terms must not be mistaken for each other. */
enum { TERM_STAT = 1, TERM_DATA, TERM_SESSION, TERM_LIST };

static uint64_t add(uint64_t h, uint64_t v)
{
	return rt_hash_mix(h ^ v ^ 0x2d358dccaa6c78a5u, 0x8bb84b93962eacc9u + v);
}

static uint64_t add_pair(uint64_t h, int32_t a, int32_t b)
{
	return add(h, (uint64_t)(uint32_t)a << 32 | (uint32_t)b);
}

static uint64_t add_bytes(uint64_t h, const void *p, size_t len)
{
	return add(h, rt_hash(p, len, len));
}

uint64_t digest_of_stat(const struct state *s, const struct znode *n)
{
	const struct kids *k = n->owner == 0 ? n->u.kids : NULL;
	uint64_t h = add(TERM_STAT, (uint64_t)n->id);
	h = add(h, n->parent != 0 ? (uint64_t)tree_at(s, n->parent)->id : 0);
	h = add_bytes(h, znode_name(n), n->name_len);
	h = add(h, (uint64_t)n->czxid);
	h = add(h, (uint64_t)n->mzxid);
	h = add(h, (uint64_t)n->ctime_ms);
	h = add(h, (uint64_t)n->mtime_ms);
	h = add(h, (uint64_t)n->owner);
	h = add_pair(h, n->version, n->aversion);
	h = add_pair(h, (int32_t)n->acl, k != NULL ? k->cversion : 0);
	h = add(h, k != NULL ? (uint64_t)k->created : 0);
	return add(h, k != NULL ? (uint64_t)k->pzxid : (uint64_t)n->czxid);
}

uint64_t digest_of_data(const struct znode *n)
{
	uint64_t h = add(TERM_DATA, (uint64_t)n->id);
	return n->data != NULL ? add_bytes(add(h, 1), n->data->bytes, n->data->len) : h;
}

uint64_t digest_of_session(const struct session *x)
{
	uint64_t h = add(TERM_SESSION, (uint64_t)x->id);
	h = add_pair(h, (int32_t)x->generation, x->timeout_ms);
	h = add(h, x->number);
	h = add(h, x->nonce);
	return add_bytes(h, x->passwd, PASSWD_BYTES);
}

uint64_t digest_of_list(uint32_t number, struct rt_vec entries)
{
	return add_bytes(add(TERM_LIST, number), entries.p, entries.bytes);
}
