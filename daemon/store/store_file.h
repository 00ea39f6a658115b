/* The small file interface that all of the log stands on: a real one (store_file_posix) and, in
 * tests, one that loses, tears, flips and refuses. Nothing in the log touches a file in any
 * other way.
 *
 * Directories and files are small numbers that the implementation hands out. Every function
 * returns 0, a number or a length when it is well, and a negative errno (as the kernel does)
 * when it is not. An implementation may be called from several threads at once, though never for
 * the same file. */
#ifndef PANDO_STORE_FILE_H
#define PANDO_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void store_file_name_fn(void *arg, const char *name);

struct store_fs_ops {
	/* A handle of a directory, made (with its own entry durable) when it is missing and
	 * create is set. */
	int (*dir_open)(void *ctx, const char *path, bool create);
	/* Every name in it but . and .., in no order. fn may not change the directory. */
	int (*dir_list)(void *ctx, int dir, store_file_name_fn *fn, void *arg);
	/* Names made, changed and removed in it are durable after this. */
	int (*dir_sync)(void *ctx, int dir);
	/* A new, empty file, open for reading and writing; -EEXIST. */
	int (*create)(void *ctx, int dir, const char *name);
	/* An existing file; -ENOENT. */
	int (*open)(void *ctx, int dir, const char *name, bool writable);
	/* Atomically, over what had the name before. */
	int (*rename)(void *ctx, int dir, const char *from, const char *to);
	int (*remove)(void *ctx, int dir, const char *name);
	int64_t (*size)(void *ctx, int file);
	/* Gives the file this size, with room on the disk for all of it; what was not written
	 * reads as zeros. */
	int (*allocate)(void *ctx, int file, uint64_t bytes);
	/* All of it, or an error with any part of it written. */
	int (*pwrite)(void *ctx, int file, const void *bytes, size_t len, uint64_t offset);
	/* Bytes read: fewer than len at the file's end only. */
	int64_t (*pread)(void *ctx, int file, void *ret, size_t len, uint64_t offset);
	/* What was written is durable after this (fdatasync: size included, times not). */
	int (*sync)(void *ctx, int file);
	/* Of a file or directory; nothing to report, all that matters was synced. */
	void (*close)(void *ctx, int handle);
};

struct store_fs {
	const struct store_fs_ops *ops;
	void *ctx;
};

/* The operating system's files. Static, for any thread, nothing to free. */
extern const struct store_fs store_fs_posix;

/* The PANDO_E... for a negative errno of an operation above. */
int store_file_code(int rc);
/* Its text, "Input/output error"; static. */
const char *store_file_text(int rc);

#endif
