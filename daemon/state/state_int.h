/* Inside of daemon/state. The tree is made of fixed-size nodes in slabs, named by 32-bit handles, found by a
 * hash of the whole path: one probe and one comparison from the leaf upwards, whose upper nodes are warm. */
#ifndef PANDO_STATE_INT_H
#define PANDO_STATE_INT_H

#include "daemon/state/state.h"
#include "schema/disk_gen.h"
#include "schema/errors_gen.h"
#include "schema/runtime/rt_list.h"
#include "schema/runtime/rt_set.h"
#include "schema/wire_gen.h"

#define ROOT 1u /* handle of the root; 0 is none */
#define INLINE_NAME 16u
#define PASSWD_BYTES 16u

/* What only a node that has (or had) children needs. */
struct kids {
	uint32_t first;
	uint32_t count;
	int64_t created; /* ever: the next sequence number */
	int64_t pzxid;
	int32_t cversion;
	uint32_t touched; /* 1 + its place in state.touched_nodes; 0 for none */
};

struct session {
	int64_t id;
	uint32_t generation;
	int32_t timeout_ms;
	uint64_t number; /* of the last write applied in this generation */
	uint8_t passwd[PASSWD_BYTES];
	uint64_t nonce;            /* of the last attach, or of the open */
	struct rt_list ephemerals; /* of struct ephemeral */
	uint32_t ephemeral_count;
	uint32_t touched; /* 1 + its place in state.touched_sessions; 0 for none */
};

/* What only an ephemeral node needs; such a node never has children. */
struct ephemeral {
	struct rt_list link;
	struct session *session;
	uint32_t node;
};

struct znode {
	uint32_t hash; /* of the path */
	uint32_t parent;
	uint32_t name_len;
	uint32_t acl;
	union {
		char in[INLINE_NAME]; /* name_len <= INLINE_NAME */
		char *out;
	} name;
	struct rt_blob *data;
	int64_t czxid;
	int64_t mzxid;
	int64_t ctime_ms;
	int64_t mtime_ms;
	int32_t version;
	int32_t aversion;
	int64_t owner;
	union {
		struct kids *kids;           /* owner == 0; NULL before the first child */
		struct ephemeral *ephemeral; /* owner != 0 */
	} u;
	uint32_t next; /* siblings */
	uint32_t prev;
	int64_t id; /* never used again; 0 while the slot is free */
};
/* A million nodes are what a server has to hold in little memory: think before this grows. */
_Static_assert(sizeof(struct znode) == 112, "a node's memory is part of what pando promises");

struct path_slot {
	uint32_t handle;
	uint32_t hash;
};

/* Open addressing. While it grows, the old table is emptied a few slots an insertion, so that no insertion
 * is long; lookups then ask both. */
struct path_table {
	struct path_slot *slots;
	uint32_t mask;
	uint32_t count;
	struct path_slot *old;
	uint32_t old_mask;
	uint32_t old_next; /* slots before it are moved */
};

struct acl_list {
	struct rt_vec entries; /* bytes follow this struct */
	uint32_t refs;
	uint32_t hash;
	uint32_t number;
	uint32_t world_perms; /* what world:anyone is given */
};

struct acl_table {
	struct acl_list **lists; /* by number; 0 is never used */
	uint32_t cap;
	uint32_t free_hint; /* no free number below it: numbers must be the same on all servers */
	struct rt_set by_bytes;
};

enum undo_kind { UNDO_CREATE, UNDO_DELETE, UNDO_SET };

struct undo {
	enum undo_kind kind;
	uint32_t node;
	struct rt_blob *data; /* UNDO_SET: before, its reference held here */
	int64_t mzxid;
	int64_t mtime_ms;
	int32_t version;
	int32_t parent_cversion;
	int64_t parent_pzxid;
	int64_t parent_created;
};

/* Numbers or handles of what changed in a batch beside its own changes. */
struct touched {
	uint32_t *v;
	uint32_t count;
	uint32_t cap;
};

struct state {
	int64_t zxid;
	uint64_t digest; /* see state_digest.c */
	int64_t next_node_id;
	uint64_t hash_seed;

	struct znode **slabs;
	uint32_t slab_count;
	uint32_t next_unused; /* handles from it on were never used */
	uint32_t free_handle; /* chained through next */
	struct path_table paths;

	struct acl_table acls;
	struct rt_set sessions;
	struct state_counts counts;

	struct loading *loading; /* while it is read from a state file */

	/* What the batch must still tell the state file when it is sealed. */
	struct touched touched_nodes; /* handles; 0 where the node has gone */
	struct touched touched_lists; /* numbers */
	struct session **touched_sessions;
	uint32_t touched_session_count;
	uint32_t touched_session_cap;

	/* Operations of a running multi, to be taken back if a later one fails. */
	struct undo *undo;
	uint32_t undo_count;
	uint32_t undo_cap;
};

#define SLAB_BITS 14u
#define SLAB_NODES (1u << SLAB_BITS)

static inline struct znode *tree_at(const struct state *s, uint32_t handle)
{
	return &s->slabs[handle >> SLAB_BITS][handle & (SLAB_NODES - 1)];
}

static inline const char *znode_name(const struct znode *n)
{
	return n->name_len <= INLINE_NAME ? n->name.in : n->name.out;
}

/* state_tree.c */
void tree_init(struct state *s);
void tree_init_fixed(struct state *s);
void tree_done(struct state *s);
uint32_t tree_find(const struct state *s, struct rt_slice path); /* 0 when missing */
/* Makes a node with path (whose last part begins at name_at) under parent; sets name, links and czxid's
 * friends; the caller sets the rest. The parent's counters are the caller's as well. */
uint32_t tree_insert(struct state *s, uint32_t parent, struct rt_slice path, uint32_t name_at);
/* Out of the tree but not freed: tree_relink or tree_free must follow. */
void tree_unlink(struct state *s, uint32_t handle);
void tree_relink(struct state *s, uint32_t handle);
void tree_free(struct state *s, uint32_t handle);
/* Makes an inserted node its session's. */
void tree_set_owner(struct state *s, uint32_t handle, struct session *owner);
struct kids *tree_kids(struct state *s, uint32_t handle); /* makes them if there are none yet */
/* The whole path, built from the end of buf backwards; asks for its length first. */
size_t tree_path_len(const struct state *s, const struct znode *n);
void tree_path(const struct state *s, const struct znode *n, uint8_t *buf, size_t len);

/* state_seal.c: what a batch owes the state file. */
void touch_node(struct state *s, uint32_t handle);
void touch_list(struct state *s, uint32_t number);
void touch_session(struct state *s, struct session *x);
void untouch_node(struct state *s, const struct znode *n);
void untouch_session(struct state *s, const struct session *x);
void touched_done(struct state *s);
/* The change's node fields but for its path. */
void change_fill(const struct state *s, const struct znode *n, struct change_node *ret);

/* state_load.c */
struct loading;
void loading_begin(struct state *s);
void loading_done(struct state *s);

/* state_digest.c: terms of the sum. */
uint64_t digest_of_stat(const struct state *s, const struct znode *n);
uint64_t digest_of_data(const struct znode *n);
uint64_t digest_of_session(const struct session *x);
uint64_t digest_of_list(uint32_t number, struct rt_vec entries);

/* state_path.c: ZooKeeper's rules for a path that a create, set or setACL may name. */
bool path_valid(struct rt_slice path);
/* Where the last '/' is, or -1. */
int64_t path_last_slash(struct rt_slice path);
/* /, /zookeeper, /zookeeper/config and /zookeeper/quota. */
bool path_reserved(struct rt_slice path);

/* state_acl.c */
void acl_init(struct state *s);
void acl_init_fixed(struct state *s);
void acl_done(struct acl_table *t);
/* A list as the state file has it, without references; false when its number is taken or it is none. */
bool acl_load(struct state *s, uint32_t number, struct rt_slice entries);
/* Checks a client's list and makes it what is kept: exact duplicates dropped, `auth` replaced by the
 * connection's identities. A number with one reference for the caller, or 0: INVALIDACL. */
uint32_t acl_intern_request(struct state *s, struct rt_vec acl, struct rt_vec identities);
void acl_ref(struct acl_table *t, uint32_t number);
void acl_unref(struct state *s, uint32_t number);
bool acl_permits(
	const struct acl_table *t, uint32_t number, uint32_t perms, struct rt_vec identities);
#define ACL_OPEN 1u      /* world:anyone:cdrwa */
#define ACL_READ_ONLY 2u /* world:anyone:r */

/* state_session.c */
struct session *session_find(const struct state *s, int64_t id);
struct session *session_add(struct state *s, int64_t id, int32_t timeout_ms, const uint8_t *passwd);
void session_remove(struct state *s, struct session *session);

/* A multi may ask for the same permission on the same list tens of thousands of times. */
#define PERM_CACHE_SLOTS 64u
struct perm_cache {
	struct {
		uint32_t number; /* of the list; 0 for none */
		uint32_t perms;  /* asked for */
		bool granted;
	} slots[PERM_CACHE_SLOTS];
};

/* What one operation needs to know of its entry. */
struct op_context {
	struct state *s;
	struct feed_batch *fb;
	int64_t zxid;
	int64_t time_ms;
	struct session *session;
	struct rt_vec identities;
	bool undo;                /* inside a multi: keep what takes it back */
	struct perm_cache *perms; /* inside a multi: what was found out about lists; else NULL */
};

/* state_acl.c: acl_permits for the identities of an entry. */
bool op_permitted(const struct op_context *c, const struct znode *n, uint32_t perms);

/* state_ops.c: one operation each. codes zk; the outputs are set on OK only. */
int op_create(const struct op_context *c, const struct wire_create_request *q,
	struct rt_slice *ret_path, struct base_stat *ret_stat);
int op_delete(const struct op_context *c, const struct wire_delete_request *q);
int op_set(const struct op_context *c, const struct wire_set_data_request *q,
	struct base_stat *ret_stat);
int op_set_acl(const struct op_context *c, const struct wire_set_acl_request *q,
	struct base_stat *ret_stat);
int op_check(const struct op_context *c, const struct wire_check_version_request *q);
/* Takes a node away, whoever asks; the checks are the caller's. */
void op_remove_node(const struct op_context *c, uint32_t handle, struct rt_slice path);
void undo_all(struct state *s);
void undo_forget(struct state *s);

/* state_multi.c: the whole answer is encoded into the batch's arena. codes zk of the reply's header. */
bool multi_decodes(struct rt_slice body);
bool multi_grows(struct rt_slice body);
int op_multi(const struct op_context *c, struct rt_slice body, struct rt_slice *ret_answer);

void state_stat_of(const struct state *s, const struct znode *n, struct base_stat *ret);

#endif
