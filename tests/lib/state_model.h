/* What a replicated state ought to be, as simply as it can be written: an array of nodes with whole paths, every
 * rule of ZooKeeper's spelled out, a multi undone by going back to a copy of everything. For comparison with
 * daemon/state; ACLs are world:anyone everywhere. */
#ifndef PANDO_TESTS_STATE_MODEL_H
#define PANDO_TESTS_STATE_MODEL_H

#include "daemon/base/base_stat.h"
#include "tests/lib/make.h"

#define MODEL_NODES 512u
#define MODEL_SESSIONS 8u
#define MODEL_PATH 128u

struct model_node {
	char path[MODEL_PATH]; /* "" for a free place */
	char data[16];
	bool null;
	int64_t created;
	struct base_stat st;
};

struct model_session {
	int64_t id; /* 0 for a free place */
	uint32_t generation;
	uint64_t number;
};

struct model {
	struct model_node nodes[MODEL_NODES];
	struct model_session sessions[MODEL_SESSIONS];
};

/* One operation on the tree; op is enum wire_op. */
struct model_op {
	int32_t op;
	char path[MODEL_PATH];
	char data[16];
	bool null;
	int32_t flags;
	int32_t version;
};

void model_init(struct model *m);
struct model_node *model_find(struct model *m, const char *path);
/* A session's place; the first free one for id 0. NULL when there is none. */
struct model_session *model_session(struct model *m, int64_t id);
/* Codes zk; ret_path gets the path that a create made. */
int model_apply(struct model *m, const struct model_op *q, int64_t zxid, int64_t time_ms,
	int64_t session_id, char ret_path[MODEL_PATH]);
/* All or nothing: the index of the refused one, and its code in *ret_err; count when none was. */
size_t model_multi(struct model *m, const struct model_op *q, size_t count, int64_t zxid,
	int64_t time_ms, int64_t session_id, int *ret_err);
void model_end_session(struct model *m, int64_t id, int64_t zxid);

/* The operation's body, appended; in a multi with its header. */
void model_body(const struct model_op *q, bool in_multi, struct rt_buf *out);

#endif
