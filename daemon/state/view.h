/* Reading the replicated state: what a shard of the server may see of it.
 *
 * Everything here is read-only and takes no lock; the caller (daemon/run) holds the tree's lock on the read
 * side from the first call until it has stopped using every pointer and slice that it was given. A znode
 * pointer is valid only within one such hold. */
#ifndef PANDO_STATE_VIEW_H
#define PANDO_STATE_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/base_stat.h"
#include "schema/wire_gen.h"

struct state;
struct znode;

/* The index of the newest entry applied. */
int64_t state_zxid(const struct state *s);

/* The node at an absolute path, or NULL. Odd paths are simply not there (ZooKeeper: reads answer NONODE). */
const struct znode *state_find(const struct state *s, struct rt_slice path);

void state_node_stat(const struct state *s, const struct znode *n, struct base_stat *ret);
/* Null and empty data are different. */
struct rt_slice state_node_data(const struct znode *n);
/* Last part of the path; empty for the root. */
struct rt_slice state_node_name(const struct znode *n);
/* The node's access control list as an encoded vector of wire_acl. */
struct rt_vec state_node_acl(const struct state *s, const struct znode *n);

/* Children, in no particular order; NULL at the end. */
const struct znode *state_first_child(const struct state *s, const struct znode *n);
const struct znode *state_next_sibling(const struct state *s, const struct znode *n);

/* Whether somebody with these identities (encoded vector of disk_identity) has any of the permissions
 * `perms` (bits of enum wire_perm) on the node. */
bool state_permits(
	const struct state *s, const struct znode *n, uint32_t perms, struct rt_vec identities);

/* base_stat as the protocol has it. */
struct wire_stat state_wire_stat(const struct base_stat *st);

/* Whether the body of a write (enum wire_op) can be decoded and names a path: what apply would answer with
 * MARSHALLING_ERROR need not enter the log. False also for what is no write. */
bool state_decodes(int32_t op, struct rt_slice body);

/* Whether a write can make the tree or its lists larger: what a server with a full disk refuses. */
bool state_grows(int32_t op, struct rt_slice body);

struct state_counts {
	uint64_t nodes;
	uint64_t ephemerals;
	uint64_t sessions;
	uint64_t data_bytes; /* of all data and paths: ZooKeeper's approximate data size */
};
void state_counts(const struct state *s, struct state_counts *ret);

/* Calls visit for each session that has ephemeral nodes, in order of id, with their paths one by one;
 * path is NULL on the first call for a session. The slices live for the call. */
typedef void state_ephemeral_fn(void *arg, int64_t session_id, const struct rt_slice *path);
void state_each_ephemeral(const struct state *s, state_ephemeral_fn *visit, void *arg);

#endif
