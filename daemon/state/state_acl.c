/* Access control lists: each distinct list is kept once, under a number that is the same on every server
 * (the lowest free one), and nodes hold the number.
 *
 * A1  lists[n]->refs is the number of nodes with that list (plus one for the two fixed lists)
 * A2  no number below free_hint is free */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

#define MAX_ENTRIES 512u

static struct acl_list *list_of(const struct acl_table *t, uint32_t number)
{
	ASSERT(number > 0 && number < t->cap);
	ASSERT(t->lists[number] != NULL);
	return t->lists[number];
}

static uint32_t number_new(struct acl_table *t)
{
	uint32_t n = t->free_hint;
	while (n < t->cap && t->lists[n] != NULL)
		n++;
	if (n == t->cap) {
		uint32_t cap = t->cap * 2;
		t->lists = rt_realloc(t->lists, cap * sizeof *t->lists);
		memset(t->lists + t->cap, 0, (cap - t->cap) * sizeof *t->lists);
		t->cap = cap;
	}
	t->free_hint = n + 1;
	return n;
}

static uint32_t perms_of_world(struct rt_vec entries)
{
	uint32_t perms = 0;
	struct rt_reader r = rt_reader_of_vec(entries);
	struct wire_acl a;
	while (rt_left(&r) > 0 && wire_acl_decode(&r, &a) == 0)
		if (rt_slice_is(a.id.scheme, "world"))
			perms |= (uint32_t)a.perms;
	return perms;
}

/* The number of a list in its final form, with one more reference. */
static uint32_t intern(struct acl_table *t, struct rt_vec entries)
{
	uint32_t hash = (uint32_t)rt_hash(entries.p, entries.bytes, t->hash_seed);
	uint32_t at;
	for (struct acl_list *l = rt_set_first(&t->by_bytes, hash, &at); l != NULL;
	     l = rt_set_next(&t->by_bytes, hash, &at)) {
		if (l->entries.bytes == entries.bytes && memcmp(l->entries.p, entries.p, entries.bytes) == 0) {
			l->refs++;
			return l->number;
		}
	}
	struct acl_list *l = rt_alloc(sizeof *l + entries.bytes);
	*l = (struct acl_list){ .refs = 1, .hash = hash, .number = number_new(t) };
	memcpy(l + 1, entries.p, entries.bytes);
	l->entries = (struct rt_vec){ (const uint8_t *)(l + 1), entries.bytes, entries.count };
	l->world_perms = perms_of_world(l->entries);
	t->lists[l->number] = l;
	rt_set_add(&t->by_bytes, hash, l);
	return l->number;
}

static uint32_t intern_world(struct acl_table *t, int32_t perms)
{
	uint8_t bytes[64];
	struct rt_writer w = rt_writer_of(bytes, sizeof bytes);
	struct wire_acl a = { .perms = perms, .id = { rt_slice_str("world"), rt_slice_str("anyone") } };
	wire_acl_encode(&w, &a);
	return intern(t, (struct rt_vec){ bytes, (uint32_t)(w.p - bytes), 1 });
}

void acl_init(struct acl_table *t, uint64_t hash_seed)
{
	*t = (struct acl_table){ .cap = 16, .free_hint = 1, .hash_seed = hash_seed };
	t->lists = rt_calloc(t->cap, sizeof *t->lists);
	rt_set_init(&t->by_bytes);
	uint32_t open = intern_world(t, 31);
	uint32_t read_only = intern_world(t, WIRE_PERM_READ);
	ASSERT(open == ACL_OPEN);
	ASSERT(read_only == ACL_READ_ONLY);
}

void acl_done(struct acl_table *t)
{
	for (uint32_t i = 0; i < t->cap; i++)
		rt_free(t->lists[i]);
	rt_free(t->lists);
	rt_set_done(&t->by_bytes);
}

void acl_ref(struct acl_table *t, uint32_t number) { list_of(t, number)->refs++; }

void acl_unref(struct acl_table *t, uint32_t number)
{
	struct acl_list *l = list_of(t, number);
	ASSERT(l->refs > 0); /* A1 */
	if (--l->refs > 0)
		return;
	rt_set_remove(&t->by_bytes, l->hash, l);
	t->lists[number] = NULL;
	if (number < t->free_hint)
		t->free_hint = number; /* A2 */
	rt_free(l);
}

/* A decimal number up to max at r->p; false when there is none. */
static bool take_number(struct rt_reader *r, uint32_t max, uint32_t *ret)
{
	uint32_t v = 0;
	unsigned digits = 0;
	while (rt_left(r) > 0 && *r->p >= '0' && *r->p <= '9' && digits < 4) {
		v = v * 10 + (uint32_t)(*rt_take(r, 1) - '0');
		digits++;
	}
	*ret = v;
	return digits > 0 && digits < 4 && v <= max;
}

/* a.b.c.d, and /bits when a prefix may follow. */
static bool ipv4_parse(struct rt_slice text, bool prefix, uint32_t *ret_address, uint32_t *ret_bits)
{
	struct rt_reader r = rt_reader_of(text.p, text.len);
	uint32_t address = 0, part;
	for (int i = 0; i < 4; i++) {
		if (i > 0 && rt_get_u8(&r) != '.')
			return false;
		if (!take_number(&r, 255, &part))
			return false;
		address = address << 8 | part;
	}
	*ret_address = address;
	*ret_bits = 32;
	if (prefix && rt_left(&r) > 0)
		return rt_get_u8(&r) == '/' && take_number(&r, 32, ret_bits) && rt_left(&r) == 0;
	return rt_left(&r) == 0;
}

static bool ip_matches(struct rt_slice pattern, struct rt_slice address)
{
	uint32_t want, have, bits, ignored;
	if (!ipv4_parse(pattern, true, &want, &bits) || !ipv4_parse(address, false, &have, &ignored))
		return rt_slice_eq(pattern, address);
	return bits == 0 || (want ^ have) >> (32 - bits) == 0;
}

static bool digest_id_valid(struct rt_slice id)
{
	const uint8_t *colon = id.len != 0 ? memchr(id.p, ':', id.len) : NULL;
	return colon != NULL && colon + 1 < id.p + id.len && memchr(colon + 1, ':', (size_t)(id.p + id.len - colon - 1)) == NULL;
}

static bool entry_valid(const struct wire_acl *a)
{
	uint32_t address, bits;
	if (a->id.scheme.p == NULL || a->id.id.p == NULL)
		return false;
	if (rt_slice_is(a->id.scheme, "world"))
		return rt_slice_is(a->id.id, "anyone");
	if (rt_slice_is(a->id.scheme, "ip"))
		return ipv4_parse(a->id.id, true, &address, &bits);
	if (rt_slice_is(a->id.scheme, "digest"))
		return digest_id_valid(a->id.id);
	return false;
}

/* Writes an entry unless an equal one stands in [begin, w->p) already. */
static void put_once(struct rt_writer *w, const uint8_t *begin, const struct wire_acl *a, int32_t *count)
{
	uint8_t *at = w->p;
	wire_acl_encode(w, a);
	ASSERT(!w->full);
	size_t len = (size_t)(w->p - at);
	struct rt_reader r = rt_reader_of(begin, (size_t)(at - begin));
	while (rt_left(&r) > 0) {
		const uint8_t *start = r.p;
		struct wire_acl other;
		int rc = wire_acl_decode(&r, &other);
		ASSERT(rc == 0);
		if ((size_t)(r.p - start) == len && memcmp(start, at, len) == 0) {
			w->p = at;
			return;
		}
	}
	++*count;
}

/* ZooKeeper: `auth` stands for every identity that the connection has proved; its address is none. */
static bool put_auth(struct rt_writer *w, const uint8_t *begin, int32_t perms, struct rt_vec identities, int32_t *count)
{
	struct rt_reader r = rt_reader_of_vec(identities);
	struct disk_identity who;
	bool any = false;
	while (rt_left(&r) > 0 && disk_identity_decode(&r, &who) == 0) {
		if (!rt_slice_is(who.scheme, "digest"))
			continue;
		struct wire_acl a = { .perms = perms, .id = { who.scheme, who.id } };
		put_once(w, begin, &a, count);
		any = true;
	}
	return any;
}

uint32_t acl_intern_request(struct state *s, struct rt_vec acl, struct rt_vec identities)
{
	if (acl.count <= 0 || (uint32_t)acl.count > MAX_ENTRIES)
		return 0;
	/* each `auth` entry can become as many entries as there are identities */
	size_t room = acl.bytes + (size_t)acl.count * ((size_t)identities.bytes + 16);
	uint8_t small[512];
	uint8_t *bytes = room <= sizeof small ? small : rt_alloc(room);
	struct rt_writer w = rt_writer_of(bytes, room);
	struct rt_reader r = rt_reader_of_vec(acl);
	int32_t count = 0;
	uint32_t number = 0;
	struct wire_acl a;
	while (rt_left(&r) > 0) {
		if (wire_acl_decode(&r, &a) != 0)
			goto out;
		if (rt_slice_is(a.id.scheme, "auth")) {
			if (!put_auth(&w, bytes, a.perms, identities, &count))
				goto out;
			continue;
		}
		if (!entry_valid(&a))
			goto out;
		put_once(&w, bytes, &a, &count);
	}
	number = intern(&s->acls, (struct rt_vec){ bytes, (uint32_t)(w.p - bytes), count });
out:
	if (bytes != small)
		rt_free(bytes);
	return number;
}

static bool entry_matches(const struct wire_acl *a, const struct disk_identity *who)
{
	if (!rt_slice_eq(a->id.scheme, who->scheme))
		return false;
	if (rt_slice_is(who->scheme, "ip"))
		return ip_matches(a->id.id, who->id);
	return rt_slice_eq(a->id.id, who->id);
}

bool acl_permits(const struct acl_table *t, uint32_t number, uint32_t perms, struct rt_vec identities)
{
	const struct acl_list *l = list_of(t, number);
	if ((l->world_perms & perms) != 0)
		return true;
	struct rt_reader ids = rt_reader_of_vec(identities);
	struct disk_identity who;
	while (rt_left(&ids) > 0 && disk_identity_decode(&ids, &who) == 0) {
		if (rt_slice_is(who.scheme, "super") || rt_slice_is(who.scheme, "skipacl"))
			return true;
		struct rt_reader r = rt_reader_of_vec(l->entries);
		struct wire_acl a;
		while (rt_left(&r) > 0 && wire_acl_decode(&r, &a) == 0)
			if (((uint32_t)a.perms & perms) != 0 && entry_matches(&a, &who))
				return true;
	}
	return false;
}

struct rt_vec state_node_acl(const struct state *s, const struct znode *n) { return list_of(&s->acls, n->acl)->entries; }

bool state_permits(const struct state *s, const struct znode *n, uint32_t perms, struct rt_vec identities)
{
	return acl_permits(&s->acls, n->acl, perms, identities);
}
