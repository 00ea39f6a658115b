/* A disk in memory behind store_file.h, for tests: it knows what was synced and what was not,
 * and can crash, fail and rot. One directory whatever path is given; one thread; any number of
 * open files.
 *
 *     sim_disk_init(&d); ... sim_disk_fs(&d) ... sim_disk_crash(&d, &how) ... sim_disk_done(&d)
 *
 * What a crash keeps: everything synced; of the writes since, what `how` says, in sectors of 512
 * bytes or cut at any byte; of the changes of names since the directory's last sync, the first
 * few (a journal keeps their order), or any, when at random. A sync that fails loses the writes that it was for, though
 * they can still be read until the crash, and no later sync brings them back: as Linux does it. */
#ifndef PANDO_TESTS_SIM_DISK_H
#define PANDO_TESTS_SIM_DISK_H

#include "daemon/store/store_file.h"
#include "schema/runtime/rt_rand.h"

#define SIM_FILES_MAX 128
#define SIM_NAME_BYTES 32

struct sim_write {
	uint64_t offset;
	size_t len;
	uint8_t *bytes; /* NULL: the file's size becomes offset */
};

struct sim_inode {
	bool used;
	uint8_t *now; /* as it reads */
	size_t now_len;
	uint8_t *synced; /* as a crash leaves it, but for pending */
	size_t synced_len;
	struct sim_write *pending;
	size_t pending_count;
};

struct sim_name {
	char name[SIM_NAME_BYTES];
	int inode;
};

/* A change of names: create (from ""), rename, remove (to ""). */
struct sim_change {
	char from[SIM_NAME_BYTES];
	char to[SIM_NAME_BYTES];
	int inode;
};

struct sim_names {
	struct sim_name v[SIM_FILES_MAX];
	size_t count;
};

struct sim_disk {
	struct sim_inode inodes[SIM_FILES_MAX];
	struct sim_names now;
	struct sim_names synced;
	struct sim_change *changes; /* since the directory's sync */
	size_t change_count;

	uint64_t ops;     /* operations done, reads and opens included */
	uint64_t fail_at; /* the operation with this number fails; 0 for none */
	int fail_rc;      /* with this: -EIO, -ENOSPC */
	bool fail_all;    /* and all after it */
	bool full;        /* new files, and files that grow, are refused with -ENOSPC */
	/* Called before each operation: a crash point. Not copied by sim_disk_copy. */
	void (*before_op)(void *arg);
	void *before_arg;
	uint64_t syncs; /* of files, done well */
};

/* Which of the pieces of unsynced writes survive; a piece is what one write has in one sector, a
 * change of size, or a change of names (of these, but for KEEP_RANDOM, the first is kept before
 * the second). */
struct sim_crash {
	enum {
		SIM_KEEP_NONE,
		SIM_KEEP_ALL,
		SIM_KEEP_BYTES,
		SIM_KEEP_SECTORS,
		SIM_KEEP_RANDOM
	} keep;
	/* KEEP_BYTES: the first so many of all unsynced bytes, file by file; all names. */
	uint64_t bytes;
	/* KEEP_SECTORS: bit i for piece i of file data, all beyond the 64th; all names. */
	uint64_t mask;
	struct rt_rand *rand; /* KEEP_RANDOM: anything, torn at bytes now and then */
};

void sim_disk_init(struct sim_disk *d);
void sim_disk_done(struct sim_disk *d);
/* `to` becomes what `from` is; not initialised before. */
void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from);
struct store_fs sim_disk_fs(struct sim_disk *d);

/* Pieces and bytes of file data that wait for a sync. */
size_t sim_disk_pieces(const struct sim_disk *d);
uint64_t sim_disk_pending_bytes(const struct sim_disk *d);
void sim_disk_crash(struct sim_disk *d, const struct sim_crash *how);

/* A file's bytes, as they read and as they are synced: for damage. NULL when there is none of
 * that name. */
uint8_t *sim_disk_bytes(struct sim_disk *d, const char *name, size_t *ret_len);
void sim_disk_flip(struct sim_disk *d, const char *name, size_t byte, unsigned bit);
/* Writes (and syncs) behind the back of the program. */
void sim_disk_poke(
	struct sim_disk *d, const char *name, size_t offset, const void *bytes, size_t len);
void sim_disk_cut(struct sim_disk *d, const char *name, size_t len);
void sim_disk_remove(struct sim_disk *d, const char *name);
void sim_disk_rename(struct sim_disk *d, const char *from, const char *to);
bool sim_disk_has(const struct sim_disk *d, const char *name);
/* Of all files that have a name. */
uint64_t sim_disk_size(const struct sim_disk *d);
/* The same names with the same bytes, nothing else waiting for a sync. */
bool sim_disk_same(const struct sim_disk *a, const struct sim_disk *b);

#endif
