/* The tree of nodes: slabs, the table of paths, the links between nodes.
 *
 * T1  every live node but the root is in the list of its parent's kids, and that list's length is kids->count
 * T2  every live node is in exactly one of the two tables of paths, under its hash
 * T3  a node with an owner has no kids and is in its session's list of ephemerals
 * T4  a handle is free (id 0), or live, or unlinked by an operation that is not finished */
#include "daemon/state/state_int.h"
#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

#define MOVED UINT32_MAX /* in the old table: was here, is in the new one or deleted */
#define MOVE_PER_INSERT 8u

static uint32_t path_hash(const struct state *s, struct rt_slice path)
{
	return (uint32_t)rt_hash(path.p, path.len, s->hash_seed);
}

static void table_put(struct path_table *t, uint32_t handle, uint32_t hash)
{
	uint32_t i = hash & t->mask;
	while (t->slots[i].handle != 0)
		i = (i + 1) & t->mask;
	t->slots[i] = (struct path_slot){ handle, hash };
}

static void table_move_some(struct path_table *t, uint32_t n)
{
	for (; t->old != NULL && n > 0; n--) {
		struct path_slot *slot = &t->old[t->old_next];
		if (slot->handle != 0 && slot->handle != MOVED) {
			table_put(t, slot->handle, slot->hash);
			slot->handle = MOVED;
		}
		if (t->old_next++ == t->old_mask) {
			rt_free(t->old);
			t->old = NULL;
		}
	}
}

static void table_add(struct path_table *t, uint32_t handle, uint32_t hash)
{
	if ((uint64_t)(t->count + 1) * 4 > (uint64_t)(t->mask + 1) * 3) {
		/* 8 slots an insertion empty the old table long before the new one is full */
		ASSERT(t->old == NULL);
		t->old = t->slots;
		t->old_mask = t->mask;
		t->old_next = 0;
		t->mask = t->mask * 2 + 1;
		t->slots = rt_calloc((size_t)t->mask + 1, sizeof *t->slots);
	}
	table_move_some(t, MOVE_PER_INSERT);
	table_put(t, handle, hash);
	t->count++;
}

static bool old_remove(struct path_table *t, uint32_t handle, uint32_t hash)
{
	if (t->old == NULL)
		return false;
	for (uint32_t i = hash & t->old_mask; t->old[i].handle != 0; i = (i + 1) & t->old_mask) {
		if (t->old[i].handle == handle) {
			t->old[i].handle = MOVED;
			return true;
		}
	}
	return false;
}

static void table_remove(struct path_table *t, uint32_t handle, uint32_t hash)
{
	ASSERT(t->count > 0);
	t->count--;
	if (old_remove(t, handle, hash))
		return;
	uint32_t i = hash & t->mask;
	while (t->slots[i].handle != handle) {
		ASSERT(t->slots[i].handle != 0); /* T2 */
		i = (i + 1) & t->mask;
	}
	for (uint32_t j = (i + 1) & t->mask; t->slots[j].handle != 0; j = (j + 1) & t->mask) {
		uint32_t home = t->slots[j].hash & t->mask;
		if (((j - home) & t->mask) >= ((j - i) & t->mask)) {
			t->slots[i] = t->slots[j];
			i = j;
		}
	}
	t->slots[i].handle = 0;
}

/* Compares from the leaf upwards: the last part differs first, and the upper nodes are warm. */
static bool node_is(const struct state *s, const struct znode *n, struct rt_slice path)
{
	uint32_t left = path.len;
	while (n->parent != 0) {
		if (left < n->name_len + 1 || path.p[left - n->name_len - 1] != '/' ||
			memcmp(path.p + left - n->name_len, znode_name(n), n->name_len) != 0)
			return false;
		left -= n->name_len + 1;
		n = tree_at(s, n->parent);
	}
	return left == 0;
}

static uint32_t probe(const struct state *s, const struct path_slot *slots, uint32_t mask,
	uint32_t hash, struct rt_slice path)
{
	for (uint32_t i = hash & mask; slots[i].handle != 0; i = (i + 1) & mask)
		if (slots[i].hash == hash && slots[i].handle != MOVED &&
			node_is(s, tree_at(s, slots[i].handle), path))
			return slots[i].handle;
	return 0;
}

uint32_t tree_find(const struct state *s, struct rt_slice path)
{
	if (path.len == 0)
		return 0;
	if (path.len == 1)
		return path.p[0] == '/' ? ROOT : 0;
	uint32_t hash = path_hash(s, path);
	uint32_t handle = probe(s, s->paths.slots, s->paths.mask, hash, path);
	if (handle == 0 && s->paths.old != NULL)
		handle = probe(s, s->paths.old, s->paths.old_mask, hash, path);
	return handle;
}

static uint32_t handle_new(struct state *s)
{
	uint32_t handle = s->free_handle;
	if (handle != 0) {
		s->free_handle = tree_at(s, handle)->next;
		return handle;
	}
	handle = s->next_unused++;
	ASSERT(handle != MOVED);
	if (handle >> SLAB_BITS == s->slab_count) {
		s->slabs = rt_realloc(s->slabs, (s->slab_count + 1) * sizeof *s->slabs);
		s->slabs[s->slab_count++] = rt_alloc(SLAB_NODES * sizeof(struct znode));
	}
	return handle;
}

struct kids *tree_kids(struct state *s, uint32_t handle)
{
	struct znode *n = tree_at(s, handle);
	ASSERT(n->owner == 0); /* T3 */
	if (n->u.kids == NULL) {
		n->u.kids = rt_alloc(sizeof *n->u.kids);
		*n->u.kids = (struct kids){ .pzxid = n->czxid };
	}
	return n->u.kids;
}

static void sibling_link(struct state *s, uint32_t handle)
{
	struct znode *n = tree_at(s, handle);
	struct kids *k = tree_kids(s, n->parent);
	n->prev = 0;
	n->next = k->first;
	if (k->first != 0)
		tree_at(s, k->first)->prev = handle;
	k->first = handle;
	k->count++;
}

static void sibling_unlink(struct state *s, uint32_t handle)
{
	struct znode *n = tree_at(s, handle);
	struct kids *k = tree_kids(s, n->parent);
	ASSERT(k->count > 0); /* T1 */
	if (n->prev != 0)
		tree_at(s, n->prev)->next = n->next;
	else
		k->first = n->next;
	if (n->next != 0)
		tree_at(s, n->next)->prev = n->prev;
	k->count--;
}

uint32_t tree_insert(struct state *s, uint32_t parent, struct rt_slice path, uint32_t name_at)
{
	ASSERT(name_at <= path.len);
	uint32_t handle = handle_new(s);
	struct znode *n = tree_at(s, handle);
	*n = (struct znode){
		.hash = path_hash(s, path), .parent = parent, .id = s->next_node_id++
	};
	n->name_len = path.len - name_at;
	if (n->name_len > INLINE_NAME)
		n->name.out = rt_alloc(n->name_len);
	char *name = n->name_len > INLINE_NAME ? n->name.out : n->name.in;
	memcpy(name, path.p + name_at, n->name_len);
	table_add(&s->paths, handle, n->hash);
	if (parent != 0)
		sibling_link(s, handle);
	s->counts.nodes++;
	s->counts.data_bytes += path.len;
	return handle;
}

void tree_set_owner(struct state *s, uint32_t handle, struct session *owner)
{
	struct znode *n = tree_at(s, handle);
	ASSERT(n->u.kids == NULL); /* T3 */
	struct ephemeral *e = rt_alloc(sizeof *e);
	*e = (struct ephemeral){ .session = owner, .node = handle };
	rt_list_append(&owner->ephemerals, &e->link);
	owner->ephemeral_count++;
	s->counts.ephemerals++;
	n->owner = owner->id;
	n->u.ephemeral = e;
}

void tree_unlink(struct state *s, uint32_t handle)
{
	struct znode *n = tree_at(s, handle);
	ASSERT(handle != ROOT);
	ASSERT(n->owner != 0 || n->u.kids == NULL || n->u.kids->count == 0);
	s->counts.data_bytes -= tree_path_len(s, n) + rt_blob_slice(n->data).len;
	table_remove(&s->paths, handle, n->hash);
	sibling_unlink(s, handle);
	s->counts.nodes--;
	if (n->owner != 0) {
		rt_list_remove(&n->u.ephemeral->link);
		n->u.ephemeral->session->ephemeral_count--;
		s->counts.ephemerals--;
	}
}

void tree_relink(struct state *s, uint32_t handle)
{
	struct znode *n = tree_at(s, handle);
	table_add(&s->paths, handle, n->hash);
	sibling_link(s, handle);
	s->counts.nodes++;
	s->counts.data_bytes += tree_path_len(s, n) + rt_blob_slice(n->data).len;
	if (n->owner != 0) {
		rt_list_append(&n->u.ephemeral->session->ephemerals, &n->u.ephemeral->link);
		n->u.ephemeral->session->ephemeral_count++;
		s->counts.ephemerals++;
	}
}

void tree_free(struct state *s, uint32_t handle)
{
	struct znode *n = tree_at(s, handle);
	ASSERT(n->id != 0); /* T4 */
	untouch_node(s, n);
	acl_unref(s, n->acl);
	rt_blob_unref(n->data);
	if (n->name_len > INLINE_NAME)
		rt_free(n->name.out);
	if (n->owner != 0)
		rt_free(n->u.ephemeral);
	else
		rt_free(n->u.kids);
	*n = (struct znode){ .next = s->free_handle };
	s->free_handle = handle;
}

size_t tree_path_len(const struct state *s, const struct znode *n)
{
	if (n->parent == 0)
		return 1;
	size_t len = 0;
	for (; n->parent != 0; n = tree_at(s, n->parent))
		len += 1 + (size_t)n->name_len;
	return len;
}

void tree_path(const struct state *s, const struct znode *n, uint8_t *buf, size_t len)
{
	if (n->parent == 0)
		buf[0] = '/';
	for (; n->parent != 0; n = tree_at(s, n->parent)) {
		ASSERT(len >= n->name_len + 1);
		len -= n->name_len;
		memcpy(buf + len, znode_name(n), n->name_len);
		buf[--len] = '/';
	}
}

/* The nodes that are there from the start, with zxid and time 0. */
static void insert_fixed(struct state *s, const char *path, const char *name, uint32_t acl)
{
	struct rt_slice p = rt_slice_str(path);
	uint32_t name_at = p.len - (uint32_t)strlen(name);
	uint32_t parent = name_at <= 1 ? ROOT : tree_find(s, (struct rt_slice){ p.p, name_at - 1 });
	if (*name == '\0')
		parent = 0;
	uint32_t handle = tree_insert(s, parent, p, name_at);
	ASSERT(parent != 0 || handle == ROOT);
	struct znode *n = tree_at(s, handle);
	n->acl = acl;
	n->data = rt_blob_new(rt_slice_str(""));
	acl_ref(&s->acls, acl);
}

void tree_init(struct state *s)
{
	s->next_node_id = 1;
	s->next_unused = ROOT;
	s->paths.mask = 1023;
	s->paths.slots = rt_calloc((size_t)s->paths.mask + 1, sizeof *s->paths.slots);
	s->slabs = rt_alloc(sizeof *s->slabs);
	s->slabs[0] = rt_alloc(SLAB_NODES * sizeof(struct znode));
	s->slab_count = 1;
}

/* What every new tree has. */
void tree_init_fixed(struct state *s)
{
	insert_fixed(s, "/", "", ACL_OPEN);
	insert_fixed(s, "/zookeeper", "zookeeper", ACL_OPEN);
	insert_fixed(s, "/zookeeper/config", "config", ACL_READ_ONLY);
	insert_fixed(s, "/zookeeper/quota", "quota", ACL_OPEN);
	/* As the reference shows them: these children were never counted as creates. */
	tree_kids(s, ROOT)->cversion = -1;
	tree_kids(s, tree_find(s, rt_slice_str("/zookeeper")))->cversion = -2;
	static const char *const all[] = { "/", "/zookeeper", "/zookeeper/config",
		"/zookeeper/quota" };
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		uint32_t handle = tree_find(s, rt_slice_str(all[i]));
		s->digest +=
			digest_of_stat(s, tree_at(s, handle)) + digest_of_data(tree_at(s, handle));
		touch_node(s, handle); /* a state file begins with them */
	}
}

void tree_done(struct state *s)
{
	for (uint32_t handle = ROOT; handle < s->next_unused; handle++) {
		struct znode *n = tree_at(s, handle);
		if (n->id != 0)
			tree_free(s, handle);
	}
	for (uint32_t i = 0; i < s->slab_count; i++)
		rt_free(s->slabs[i]);
	rt_free(s->slabs);
	rt_free(s->paths.slots);
	rt_free(s->paths.old);
}
