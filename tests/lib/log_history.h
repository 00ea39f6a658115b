/* What a test of the log appended, to hold against what a recovery reads: all records in order.
 * Whatever happens, what a recovery visits must be a beginning of that list, byte for byte, and
 * at least as long as what was acknowledged. One history at a time; a failed check ends the
 * test. */
#ifndef PANDO_TESTS_LOG_HISTORY_H
#define PANDO_TESTS_LOG_HISTORY_H

#include "daemon/store/store_log.h"
#include "tests/lib/sim_disk.h"

#define SEGMENT 8192u
#define PATH "log"
#define RECORDS_MAX 20000u
#define PAYLOAD_MAX (600u << 10)
#define LIVES_MAX 4096u

struct item {
	uint8_t kind;
	uint64_t term;
	uint64_t index;
	uint32_t len;
	uint64_t content; /* seed of the payload's bytes */
};

struct history {
	struct item v[RECORDS_MAX];
	size_t count;     /* appended */
	size_t acked;     /* of them, flushed */
	uint64_t content; /* for the next */
	struct disk_hard_state hs;
	uint64_t have; /* what the state file would have: the last index given to recycle */
	uint64_t have_term;
	size_t start[LIVES_MAX]; /* the first record of the segment of each life */
};

struct walk {
	const struct history *h;
	size_t seen;
	bool wrong;
};

#define OK(call) ck_assert_int_eq((call), 0)

extern struct history history;
extern uint8_t payload[PAYLOAD_MAX];       /* of the record that is being appended */
extern struct store_log_tail history_tail; /* of the last open */
extern struct rt_err history_err;

/* Nothing appended, an empty disk. */
void reset(struct sim_disk *d);

/* What add_hard_state writes. */
struct disk_hard_state hard_state_of(uint64_t term, uint32_t vote);
/* Append and remember: in the history before the call, since one that fails may have left it on
 * disk; but not when the disk is full and the log goes on, which is when all that was taken must
 * be durable. */
int add_at(struct store_log *log, uint32_t len, uint64_t term, uint64_t index);
int add(struct store_log *log, uint32_t len);
int add_hard_state(struct store_log *log, uint64_t term, uint32_t vote);
int flush(struct store_log *log);
int add_flush(struct store_log *log, uint32_t len);
/* Index and term of the last entry; 0 for none. */
uint64_t last_entry(uint64_t *ret_term);
/* Three segments with everything in them: batches, marks, a spare, hard states, entries taken
 * back. */
int small_history(struct sim_disk *d, struct store_log *log);

/* More segments, which change their lives: by recycling into spares and until there are too many,
 * held up by what is retained and pinned; entries taken back across segments that are recycled
 * then. */
int recycling_history(struct sim_disk *d, struct store_log *log);
/* The state file has all up to this index; recycles until there is no more to do. */
int recycle(struct store_log *log, uint64_t upto, uint64_t retain, uint64_t pin);

/* A store_log_visit_fn that compares with the history; arg is a struct walk. */
int visit(void *arg, const struct store_log_record *r);
struct store_log_options options_of(struct walk *w);
/* Where the oldest segment on the disk begins. */
struct walk walk_of(const struct sim_disk *d);
/* Opens and compares; does not touch the history. At least `least` records must be there. */
int open_check(struct sim_disk *d, struct store_log **ret_log, size_t *ret_seen, size_t least);
/* The log, the history cut to what is there. */
struct store_log *must_open(struct sim_disk *d);
/* Opening fails with this code and this in its text. */
void must_refuse(struct sim_disk *d, int code, const char *word);

#endif
