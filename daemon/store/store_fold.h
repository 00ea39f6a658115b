/* The fold: what the feed changed since the state file's last transaction, one row for each node,
 * session and list, so that what waits for the disk is bounded by the number of distinct rows
 * changed.
 *
 *     store_fold_add(fold, batch)         core thread, every batch of the feed, in order
 *     cut = store_fold_cut(fold)          core thread: all of that, at one batch boundary; O(1)
 *     store_db_write(db, cut, &err)       store thread, as often as it takes (disk full)
 *     store_cut_release(cut, rows)        core thread, a piece a turn, until it says true
 *
 * Cuts are written in the order in which they were made, each before the next: a row that was
 * created and deleted between two cuts is in neither, since the file never had it. Data is shared
 * with the tree by reference; the counts are touched by the core thread only (add, release, free).
 * The store thread reads a cut between store_fold_cut and its release and changes nothing in it. */
#ifndef PANDO_STORE_FOLD_H
#define PANDO_STORE_FOLD_H

#include "daemon/base/feed.h"

/* Names up to this length stand in the row, longer ones in memory of their own. */
#define STORE_ROW_NAME_BYTES 24u

enum store_table { STORE_TABLE_LISTS, STORE_TABLE_SESSIONS, STORE_TABLE_NODES, STORE_TABLES };

struct store_row_node {
	int64_t parent;
	struct rt_blob *data; /* a reference of this row's */
	struct base_stat stat;
	int64_t created;
	uint32_t acl;
	uint32_t name_len;
	union {
		uint8_t bytes[STORE_ROW_NAME_BYTES];
		uint8_t *heap; /* when longer than that */
	} name;
};

struct store_row_session {
	uint8_t passwd[16];
	int32_t timeout_ms;
	uint32_t generation;
	uint64_t number;
	uint64_t nonce;
};

struct store_row_list {
	uint8_t *entries;
	uint32_t entries_len;
};

struct store_row {
	uint8_t table; /* enum store_table */
	bool used;     /* false: in the fold's list of free rows, or never used */
	bool deleted;  /* to delete from the file: only the id counts */
	bool fresh;    /* the file does not have it: a delete makes it vanish */
	int64_t id;
	union {
		struct store_row_node node;
		struct store_row_session session;
		struct store_row_list list;
		struct store_row *next_free;
	};
};

struct store_fold;
struct store_cut;

struct store_fold *store_fold_new(void);
/* Drops what was not cut. NULL is fine. */
void store_fold_free(struct store_fold *fold);

/* Takes a complete batch in. Copies what it needs but the data, of which it takes references: b may
 * be cleared at once. */
void store_fold_add(struct store_fold *fold, const struct feed_batch *b);

/* Rows that a cut would have now. */
size_t store_fold_rows(const struct store_fold *fold);
/* Memory that they hold, data included (which the tree may share). */
uint64_t store_fold_bytes(const struct store_fold *fold);
/* Entry up to which a cut would reach; 0 when nothing came since the last cut. */
int64_t store_fold_zxid(const struct store_fold *fold);

/* Everything since the last cut, with the mark of the last batch; the fold is then empty. NULL when
 * no batch came since (a batch without changes gives a cut without rows: the mark moved). The
 * caller's, for release or free. */
struct store_cut *store_fold_cut(struct store_fold *fold);

/* Where it leaves the state. */
const struct feed_mark *store_cut_mark(const struct store_cut *cut);
/* Its rows, deletes included. */
size_t store_cut_rows(const struct store_cut *cut);
/* Memory that they hold, data included. */
uint64_t store_cut_bytes(const struct store_cut *cut);

/* Its rows, in no order: start with a walk of zeros; NULL at the end. */
struct store_cut_walk {
	const void *chunk;
	uint32_t row;
	bool begun;
};
const struct store_row *store_cut_each(const struct store_cut *cut, struct store_cut_walk *at);

/* Frees about so many rows of it, so that dropping a large one does not hold up the core thread;
 * true when that was the last of it and the cut is gone. It must not be read any more. */
bool store_cut_release(struct store_cut *cut, size_t rows);
/* All of it. NULL is fine. */
void store_cut_free(struct store_cut *cut);

static inline struct rt_slice store_row_name(const struct store_row *r)
{
	const struct store_row_node *n = &r->node;
	return (struct rt_slice){ n->name_len > STORE_ROW_NAME_BYTES ? n->name.heap : n->name.bytes,
		n->name_len };
}

#endif
