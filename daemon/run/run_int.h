/* Inside of daemon/run: the threads and what they share. The only place in pandod with locks.
 *
 * Threads: I/O 1..N (run_io.c), core (run_core.c), log (run_log.c), store (run_store.c), and the main one,
 * which waits for signals. Each has a mailbox; what travels:
 *
 *   I/O  -> core   proposals, touches          bounded by the writes in flight and the connections
 *   core -> log    entries to persist          bounded by the entries in memory
 *   log  -> core   durable up to an index      one a sync
 *   core -> store  a cut of the fold           one at a time
 *   store -> core  the same, written           likewise
 *   core -> log    let go of old segments      one for each cut
 *   log  -> store  a spare segment is wanted   one for each change of segment
 *   core -> I/O    the feed (a ring, not letters), questions about sessions, whether to hold writes
 *   I/O  -> I/O    accepted sockets, parts of four-letter answers
 *
 * The tree's lock: core writes, I/O threads read. A batch is put into the feed's ring under the write lock,
 * so that who holds the read lock and has drained the ring has seen everything that the tree shows. */
#ifndef PANDO_RUN_INT_H
#define PANDO_RUN_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "daemon/node/node.h"
#include "daemon/run/run_conf.h"
#include "daemon/run/run_mail.h"
#include "daemon/run/run_say.h"
#include "daemon/server/srv.h"
#include "daemon/store/store_db.h"
#include "daemon/store/store_fold.h"
#include "daemon/store/store_log.h"
#include "daemon/transport/tr.h"
#include "schema/errors_gen.h"
#include "schema/runtime/rt_set.h"

enum core_letter_kind { CORE_PROPOSALS = 1, CORE_DURABLE, CORE_TOUCHES, CORE_STORED, CORE_STOP };
enum log_letter_kind { LOG_PERSIST = 1, LOG_RECYCLE, LOG_STOP };
enum store_letter_kind { STORE_WRITE = 1, STORE_SPARE, STORE_STOP };
enum io_letter_kind { IO_SOCKET = 1, IO_ASK, IO_GATHER, IO_GATHERED, IO_STOP };

/* A turn's proposals of one shard: letter, and the memory in which their entries live until applied. */
struct run_proposals {
	struct run_letter letter;
	struct raft_chunk chunk;
	struct run *run;
	uint32_t shard;
	struct rt_buf buf;
};

struct core_durable {
	struct run_letter letter;
	uint64_t index;
};

struct core_touches {
	struct run_letter letter;
	uint32_t shard;
	size_t count;
	struct node_touch touches[];
};

struct log_persist {
	struct run_letter letter;
	bool hard_state_dirty;
	struct raft_hard_state hard_state;
	uint64_t last_index;
	size_t count;
	struct store_log_record records[];
};

/* A cut of the fold: to the store thread, and back when it is in the state file. */
struct store_write {
	struct run_letter letter;
	struct store_cut *cut;
	bool checkpoint;             /* wanted at once: the log waits for it */
	uint64_t checkpointed_index; /* on the way back */
};

struct io_socket {
	struct run_letter letter;
	int fd;
	struct sockaddr_storage from;
};

struct io_ask {
	struct run_letter letter;
	int64_t session_id;
	uint32_t generation;
	bool waited; /* one round of reading has passed since it came */
};

/* A four-letter word that all shards have to say something about. */
struct io_gather {
	struct run_letter
		letters[LIMIT_IO_THREADS]; /* one for each shard, then the first for the way back */
	struct srv_word word;
	struct run_io *asker;
	atomic_uint left;
	struct srv_stats stats[LIMIT_IO_THREADS];
	struct rt_buf lines[LIMIT_IO_THREADS];
};

struct run_io {
	struct run *run;
	uint32_t number;
	pthread_t thread;
	struct run_mail mail;
	struct srv *srv;
	struct tr_loop *loop;
	atomic_ullong fed;    /* batches of the feed that this shard has seen */
	atomic_bool watching; /* it has watches: every batch concerns it */
	struct run_letter
		*asks; /* questions about sessions, to be answered after a round of reading */
	int64_t turn_began_us;
	bool held; /* what the shard was told of run.hold_writes */
	bool stopping;
	atomic_bool idle; /* while stopping: everything it has read is answered */
	int64_t stop_by_ms;
	struct say_limiter slow_turn, slow_lock, refused, trouble;
};

struct run_gate_entry {
	uint32_t count;
	uint32_t hash;
	char address[48];
};

/* How many connections there are, in all and from each address. */
struct run_gate {
	pthread_mutex_t mutex;
	struct rt_set by_address;
	uint64_t total;
	uint64_t refused;
	struct say_limiter limiter;
};

struct run {
	const struct run_conf *conf;
	struct node *node;
	struct store_log *log;
	const struct store_fs *fs;
	char *log_dir;
	struct store_db *db;
	struct store_fold *fold; /* the core thread's */
	char listen_text[300];

	pthread_rwlock_t tree;
	struct feed_batch feed[LIMIT_FEED_BATCHES];
	atomic_ullong feed_tail;         /* batches published */
	unsigned long long feed_cleared; /* batches whose memory is let go (core thread) */
	atomic_bool feed_full;           /* the core waits for a shard to drain */
	atomic_bool hold_writes;
	atomic_bool stopping;
	atomic_bool disk_full;     /* the tree may not grow */
	atomic_ullong cut_bytes;   /* of the cut that is being written */
	atomic_ullong wal_pending; /* written to the state file's WAL, not yet to the file */
	atomic_ullong free_pages;  /* bytes in the state file for new rows */

	struct run_mail core_mail;
	struct run_mail log_mail;
	struct run_mail store_mail;
	pthread_t core_thread;
	pthread_t log_thread;
	pthread_t store_thread;
	struct run_io ios[LIMIT_IO_THREADS];
	uint32_t io_count;
	uint32_t next_io; /* of the next accepted socket */

	/* empty buffers for proposals, so that a busy server does not ask the kernel for memory */
	pthread_mutex_t pool_mutex;
	struct run_proposals *pool;
	uint32_t pool_count;

	struct run_gate gate;
	int64_t start_wall_ms;
	atomic_ullong fsyncs;
	atomic_ullong fsync_us;
	atomic_ullong fsync_us_max;
	atomic_ullong log_bytes;
	atomic_ullong expired_sessions;
	atomic_ullong term;
	atomic_ullong stalled_ms;
	atomic_ullong fold_rows, fold_bytes, state_index, state_bytes, wal_bytes, log_spares,
		log_recycled;
	atomic_ullong slow_fsyncs, slow_turns, slow_applies, slow_locks;
};

/* Ends the program at once, with status 1: nothing that is not durable was promised to anyone. */
_Noreturn void run_fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void *core_main(void *arg);
void *log_main(void *arg);
void *store_main(void *arg);
void *io_main(void *arg);
void store_want_spare(struct run *r);
/* Whether the disk has less room than what has been accepted may need; from any thread. */
bool store_room_short(struct run *r);
/* A store_db_pace_fn; arg is the run. */
bool store_pace(void *arg, uint64_t bytes);
/* run_start.c: the state file and the log read back into r->node. 0 or PANDO_E... with text. */
int start_recover(struct run *r, struct store_log_tail *ret_tail, struct rt_err *ret_err);

/* run_check.c: --check-data and --dump-data. Exit status. */
int check_data(const struct run_conf *conf);
int dump_data(const struct run_conf *conf);

/* Before the threads: 0 or PANDO_E... with text. */
int io_init(struct run *r, uint32_t number, struct rt_err *ret_err);
void io_done(struct run_io *io);

/* Hands to the log what a step of the node wants persisted; its bytes there. */
uint64_t core_persist(struct run *r, const struct node_effects *fx);
struct run_proposals *proposals_get(struct run *r);

void gate_init(struct run_gate *g);
void gate_done(struct run_gate *g);
/* Whether one more connection from there may be served; counts it if so. */
bool gate_enter(struct run *r, const char *address);
void gate_leave(struct run *r, const char *address);

/* run_words.c: called on the asker's thread, which holds the tree's lock for reading. */
void words_begin(struct run_io *io, const struct srv_word *word);
void words_part(struct run_io *io, struct io_gather *g);
void words_finish(struct run_io *io, struct io_gather *g);

/* run_auth.c */
void auth_answer(struct run_io *io, const struct srv_auth *auth);

/* run_folder.c: the data folder, and the log's if that is another, made if need be, and locked against a second
 * server for as long as the descriptors (-1 for none) are open. 0 or PANDO_E... */
int folder_open(const struct run_conf *conf, int ret_lock_fds[2], struct rt_err *ret_err);
/* For who only reads: a shared lock, which a server holds against. -1 and text when one serves the folder. */
int folder_look(const struct run_conf *conf, struct rt_err *ret_err);
/* dir/name; the caller frees it. */
char *folder_join(const char *dir, const char *name);

#endif
