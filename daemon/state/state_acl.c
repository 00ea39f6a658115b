/* Access control lists: each distinct list is kept once, under a number that is the same on every server
 * (the lowest free one), and nodes hold the number.
 *
 * A1  lists[n]->refs is the number of nodes with that list (plus one for the two fixed lists)
 * A2  no number below free_hint is free */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_buf.h"
#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

#define MAX_ENTRIES                                                                                \
	256u /* of one list, `auth` replaced: every permission that is asked for may walk them all */
#define LOAD_NUMBER_MAX (1u << 28) /* a larger number in a file is damage: memory is spent by it */

static struct acl_list *list_of(const struct acl_table *t, uint32_t number)
{
	ASSERT(number > 0 && number < t->cap);
	ASSERT(t->lists[number] != NULL);
	return t->lists[number];
}

static void grow_to(struct acl_table *t, uint32_t cap)
{
	if (cap <= t->cap)
		return;
	t->lists = rt_realloc(t->lists, cap * sizeof *t->lists);
	memset(t->lists + t->cap, 0, (cap - t->cap) * sizeof *t->lists);
	t->cap = cap;
}

static uint32_t number_new(struct acl_table *t)
{
	uint32_t n = t->free_hint;
	while (n < t->cap && t->lists[n] != NULL)
		n++;
	if (n == t->cap)
		grow_to(t, t->cap * 2);
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

static struct acl_list *list_new(struct state *s, uint32_t number, struct rt_vec entries)
{
	struct acl_table *t = &s->acls;
	struct acl_list *l = rt_alloc(sizeof *l + entries.bytes);
	*l = (struct acl_list){ .number = number };
	l->hash = (uint32_t)rt_hash(entries.p, entries.bytes, s->hash_seed);
	if (entries.bytes != 0)
		memcpy(l + 1, entries.p, entries.bytes);
	l->entries = (struct rt_vec){ (const uint8_t *)(l + 1), entries.bytes, entries.count };
	l->world_perms = perms_of_world(l->entries);
	t->lists[number] = l;
	rt_set_add(&t->by_bytes, l->hash, l);
	s->digest += digest_of_list(number, l->entries);
	return l;
}

/* The number of a list in its final form, with one more reference. */
static uint32_t intern(struct state *s, struct rt_vec entries)
{
	struct acl_table *t = &s->acls;
	uint32_t hash = (uint32_t)rt_hash(entries.p, entries.bytes, s->hash_seed);
	uint32_t at;
	for (struct acl_list *l = rt_set_first(&t->by_bytes, hash, &at); l != NULL;
		l = rt_set_next(&t->by_bytes, hash, &at)) {
		if (l->entries.bytes == entries.bytes &&
			memcmp(l->entries.p, entries.p, entries.bytes) == 0) {
			l->refs++;
			return l->number;
		}
	}
	struct acl_list *l = list_new(s, number_new(t), entries);
	l->refs = 1;
	touch_list(s, l->number);
	return l->number;
}

static uint32_t intern_world(struct state *s, int32_t perms)
{
	uint8_t bytes[64];
	struct rt_writer w = rt_writer_of(bytes, sizeof bytes);
	struct wire_acl a = { .perms = perms,
		.id = { rt_slice_str("world"), rt_slice_str("anyone") } };
	wire_acl_encode(&w, &a);
	return intern(s, (struct rt_vec){ bytes, (uint32_t)(w.p - bytes), 1 });
}

/* The two fixed lists are held by one reference of the table's own: they are there from the start. */
void acl_init(struct state *s)
{
	s->acls = (struct acl_table){ .free_hint = 1 };
	rt_set_init(&s->acls.by_bytes);
	grow_to(&s->acls, 16);
}

void acl_init_fixed(struct state *s)
{
	uint32_t open = intern_world(s, 31);
	uint32_t read_only = intern_world(s, WIRE_PERM_READ);
	ASSERT(open == ACL_OPEN);
	ASSERT(read_only == ACL_READ_ONLY);
}

bool acl_load(struct state *s, uint32_t number, struct rt_slice entries)
{
	struct acl_table *t = &s->acls;
	struct rt_reader r = rt_reader_of(entries.p, entries.len);
	struct rt_vec v = { .count = rt_get_i32(&r) };
	v.p = r.p;
	v.bytes = (uint32_t)rt_left(&r);
	struct wire_acl a;
	for (int32_t i = 0; i < v.count; i++)
		if (wire_acl_decode(&r, &a) != 0)
			return false;
	if (r.bad || rt_left(&r) > 0 || v.count <= 0 || number == 0 || number > LOAD_NUMBER_MAX)
		return false;
	while (number >= t->cap)
		grow_to(t, t->cap * 2);
	if (t->lists[number] != NULL)
		return false;
	struct acl_list *l = list_new(s, number, v);
	l->refs = number <= ACL_READ_ONLY ? 1 : 0;
	return true;
}

void acl_done(struct acl_table *t)
{
	for (uint32_t i = 0; i < t->cap; i++)
		rt_free(t->lists[i]);
	rt_free(t->lists);
	rt_set_done(&t->by_bytes);
}

void acl_ref(struct acl_table *t, uint32_t number) { list_of(t, number)->refs++; }

void acl_unref(struct state *s, uint32_t number)
{
	struct acl_table *t = &s->acls;
	struct acl_list *l = list_of(t, number);
	ASSERT(l->refs > 0); /* A1 */
	if (--l->refs > 0)
		return;
	s->digest -= digest_of_list(number, l->entries);
	touch_list(s, number);
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
	if (!ipv4_parse(pattern, true, &want, &bits) ||
		!ipv4_parse(address, false, &have, &ignored))
		return rt_slice_eq(pattern, address);
	return bits == 0 || (want ^ have) >> (32 - bits) == 0;
}

/* user:hash. Colons at the end count for nothing, as in Java's split. */
static bool digest_id_valid(struct rt_slice id)
{
	while (id.len > 0 && id.p[id.len - 1] == ':')
		id.len--;
	const uint8_t *colon = id.len != 0 ? memchr(id.p, ':', id.len) : NULL;
	return colon != NULL && colon + 1 < id.p + id.len &&
	       memchr(colon + 1, ':', (size_t)(id.p + id.len - colon - 1)) == NULL;
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

/* A list in the making. */
struct list_draft {
	struct rt_buf bytes;
	int32_t count;
};

/* Adds an entry unless an equal one is there; false when the list is as long as it may be. */
static bool draft_add(struct list_draft *d, const struct wire_acl *a)
{
	size_t at = d->bytes.len, len = wire_acl_size(a);
	struct rt_writer w = rt_writer_of(rt_buf_grow(&d->bytes, len), len);
	wire_acl_encode(&w, a);
	struct rt_reader r = rt_reader_of(d->bytes.p, at);
	while (rt_left(&r) > 0) {
		const uint8_t *start = r.p;
		struct wire_acl other;
		int rc = wire_acl_decode(&r, &other);
		ASSERT(rc == 0);
		if ((size_t)(r.p - start) == len && memcmp(start, d->bytes.p + at, len) == 0) {
			d->bytes.len = at;
			return true;
		}
	}
	return ++d->count <= (int32_t)MAX_ENTRIES;
}

/* ZooKeeper: `auth` stands for every identity that the connection has proved; its address is none. */
static bool draft_add_auth(struct list_draft *d, int32_t perms, struct rt_vec identities)
{
	struct rt_reader r = rt_reader_of_vec(identities);
	struct disk_identity who;
	bool any = false;
	while (rt_left(&r) > 0 && disk_identity_decode(&r, &who) == 0) {
		if (!rt_slice_is(who.scheme, "digest"))
			continue;
		any = true;
		if (!draft_add(
			    d, &(struct wire_acl){ .perms = perms, .id = { who.scheme, who.id } }))
			return false;
	}
	return any;
}

uint32_t acl_intern_request(struct state *s, struct rt_vec acl, struct rt_vec identities)
{
	struct list_draft d = { .count = 0 };
	struct rt_reader r = rt_reader_of_vec(acl);
	struct wire_acl a;
	/* what nearly everybody sends */
	const struct rt_vec open = list_of(&s->acls, ACL_OPEN)->entries;
	if (acl.count == 1 && acl.bytes == open.bytes && memcmp(acl.p, open.p, open.bytes) == 0) {
		acl_ref(&s->acls, ACL_OPEN);
		return ACL_OPEN;
	}
	bool valid = acl.count > 0 && (uint32_t)acl.count <= MAX_ENTRIES;
	rt_buf_init(&d.bytes, UINT32_MAX / 2);
	while (valid && rt_left(&r) > 0) {
		valid = wire_acl_decode(&r, &a) == 0;
		if (valid && rt_slice_is(a.id.scheme, "auth"))
			valid = draft_add_auth(&d, a.perms, identities);
		else if (valid)
			valid = entry_valid(&a) && draft_add(&d, &a);
	}
	uint32_t number = 0;
	if (valid)
		number = intern(s, (struct rt_vec){ d.bytes.p, (uint32_t)d.bytes.len, d.count });
	rt_buf_done(&d.bytes);
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

bool acl_permits(
	const struct acl_table *t, uint32_t number, uint32_t perms, struct rt_vec identities)
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

bool op_permitted(const struct op_context *c, const struct znode *n, uint32_t perms)
{
	if (c->perms == NULL)
		return acl_permits(&c->s->acls, n->acl, perms, c->identities);
	uint32_t i = (n->acl * 5 + perms) % PERM_CACHE_SLOTS;
	if (c->perms->slots[i].number != n->acl || c->perms->slots[i].perms != perms) {
		c->perms->slots[i].granted = acl_permits(&c->s->acls, n->acl, perms, c->identities);
		c->perms->slots[i].number = n->acl;
		c->perms->slots[i].perms = perms;
	}
	return c->perms->slots[i].granted;
}

struct rt_vec state_node_acl(const struct state *s, const struct znode *n)
{
	return list_of(&s->acls, n->acl)->entries;
}

bool state_permits(
	const struct state *s, const struct znode *n, uint32_t perms, struct rt_vec identities)
{
	return acl_permits(&s->acls, n->acl, perms, identities);
}
