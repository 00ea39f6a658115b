/* The replicated state: the tree, its access control lists, and the sessions. It changes in one way only:
 * state_apply, entry after entry, in log order, the same on every server.
 *
 * Apply reads no configuration, clock or program version: whatever depends on them stands in the entry
 * (architecture, section 2). It cannot fail for local reasons; a refused operation is an answer. What it
 * did leaves through the feed batch and in no other way.
 *
 * Life cycle: state_new, any number of state_apply, state_free. One thread at a time; readers (view.h) may
 * run beside each other but not beside state_apply. */
#ifndef PANDO_STATE_H
#define PANDO_STATE_H

#include "daemon/base/feed.h"
#include "daemon/state/view.h"

/* hash_seed: random, so that no client can choose names that collide; it changes nothing that can be seen.
 * The tree begins with /, /zookeeper, /zookeeper/config and /zookeeper/quota, as ZooKeeper's does. */
struct state *state_new(uint64_t hash_seed);
/* NULL is fine. */
void state_free(struct state *s);

struct state_entry {
	int64_t index; /* one above the last applied */
	struct rt_slice
		payload; /* disk_entry_header and what its kind says; borrowed for the call */
	struct feed_origin origin;
};

/* Applies one entry: adds its changes to fb and, when its origin is a shard of this server, its result.
 * 0; PANDO_EFORMAT for a kind or level that this program does not know, PANDO_EPROTO for a payload that
 * cannot be decoded: nothing has changed, and the caller must stop, not go on with the next. */
int state_apply(struct state *s, const struct state_entry *e, struct feed_batch *fb);

/* Ends a batch: adds the changes that only the state file needs, and the mark (but for the term). */
void state_seal(struct state *s, struct feed_batch *fb);

/* The state as a state file has it: state_new_empty, then every list, session and node (by id: parents come first),
 * then state_loaded. False for a row that contradicts the others: its table and id are known to the caller. */
struct state *state_new_empty(uint64_t hash_seed);
struct disk_nodes;
struct disk_acls;
struct disk_sessions;
bool state_load_list(struct state *s, const struct disk_acls *row);
bool state_load_session(struct state *s, const struct disk_sessions *row);
bool state_load_node(struct state *s, const struct disk_nodes *row);
/* False when the digest of what was loaded is another than the file's, or something is missing. */
bool state_loaded(struct state *s, int64_t zxid, int64_t next_node_id, uint64_t digest);

/* Calls visit for each session, in order of id. */
typedef void state_session_fn(void *arg, int64_t id, uint32_t generation, int32_t timeout_ms);
void state_each_session(const struct state *s, state_session_fn *visit, void *arg);

/* Walks everything and asserts what must hold; for tests and check builds. */
void state_check(const struct state *s);

/* One line for each node, session and list, sorted, the same for equal states; for tests. */
struct rt_buf;
void state_dump(const struct state *s, struct rt_buf *out);

#endif
