/* A SQLite VFS over the disk of sim_disk.h, for tests: what SQLite writes can be lost, torn and
 * reordered, and any of its operations fail.
 *
 *     sim_vfs_init(&v, &disk); ... options.vfs = v.name ... sim_vfs_done(&v)
 *
 * It behaves as SQLite's own for Unix does: a new journal's or WAL's name is made durable by its
 * first sync, a database's by that of its journal; a full disk is SQLITE_FULL for a write and
 * SQLITE_IOERR with ENOSPC elsewhere. No locks, no shared memory: connections must be in exclusive
 * mode, one to a file. Close them before a crash, or never use them again but to close them. */
#ifndef PANDO_TESTS_SIM_VFS_H
#define PANDO_TESTS_SIM_VFS_H

#include "tests/lib/sim_disk.h"

#include <sqlite3.h>

struct sim_vfs {
	sqlite3_vfs vfs;
	struct sim_disk *disk;
	char name[40];
	int last_errno;
	struct rt_rand rand;
};

/* Registers it under v->name. */
void sim_vfs_init(struct sim_vfs *v, struct sim_disk *disk);
void sim_vfs_done(struct sim_vfs *v);

#endif
