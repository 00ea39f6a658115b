/* The operating system's files behind store_file.h. Handles are file descriptors. Calls cut
 * short by a signal go on; a write that the system takes in parts is finished here. */
#include "daemon/store/store_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* renameat */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/errors_gen.h"
#include "schema/runtime/rt_assert.h"
#include "schema/runtime/rt_mem.h"

/* The entry of a new directory is durable when its parent was synced. */
static int sync_parent(const char *path)
{
	size_t n = strlen(path);
	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	char *parent = rt_alloc(n + 2);
	memcpy(parent, n == 0 ? "." : path, n == 0 ? 1 : n);
	parent[n == 0 ? 1 : n] = '\0';
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rt_free(parent);
	if (fd < 0)
		return -errno;
	int rc = fsync(fd) != 0 ? -errno : 0;
	close(fd);
	return rc;
}

static int posix_dir_open(void *ctx, const char *path, bool create)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT || !create)
		return -errno;
	if (mkdir(path, 0750) != 0 && errno != EEXIST)
		return -errno;
	int rc = sync_parent(path);
	if (rc != 0)
		return rc;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

static int posix_dir_list(void *ctx, int dir, store_file_name_fn *fn, void *arg)
{
	/* a descriptor of its own: a directory stream moves, and closes, the one that it is
	 * given */
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	DIR *stream = fdopendir(fd);
	if (stream == NULL) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	int rc = 0;
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(stream);
		if (e == NULL) {
			rc = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			fn(arg, e->d_name);
	}
	closedir(stream);
	return rc;
}

static int posix_dir_sync(void *ctx, int dir) { return fsync(dir) != 0 ? -errno : 0; }

static int posix_create(void *ctx, int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
	return fd >= 0 ? fd : -errno;
}

static int posix_open(void *ctx, int dir, const char *name, bool writable)
{
	int fd = openat(dir, name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

static int posix_rename(void *ctx, int dir, const char *from, const char *to)
{
	return renameat(dir, from, dir, to) != 0 ? -errno : 0;
}

static int posix_remove(void *ctx, int dir, const char *name)
{
	return unlinkat(dir, name, 0) != 0 ? -errno : 0;
}

static int64_t posix_size(void *ctx, int file)
{
	struct stat st;
	return fstat(file, &st) != 0 ? -errno : (int64_t)st.st_size;
}

static int posix_allocate(void *ctx, int file, uint64_t bytes)
{
	for (;;) {
		if (fallocate(file, 0, 0, (off_t)bytes) == 0)
			return 0;
		/* a filesystem without it: the C library writes to every block */
		if (errno == EOPNOTSUPP)
			return -posix_fallocate(file, 0, (off_t)bytes);
		if (errno != EINTR)
			return -errno;
	}
}

static int posix_pwrite(void *ctx, int file, const void *bytes, size_t len, uint64_t offset)
{
	const uint8_t *p = bytes;
	while (len > 0) {
		ssize_t n = pwrite(file, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int64_t posix_pread(void *ctx, int file, void *ret, size_t len, uint64_t offset)
{
	size_t got = 0;
	while (got < len) {
		ssize_t n = pread(file, (uint8_t *)ret + got, len - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (int64_t)got;
}

/* Not retried after EINTR: Linux does not give it for regular files, and a sync that failed may
 * not be repeated. */
static int posix_sync(void *ctx, int file) { return fdatasync(file) != 0 ? -errno : 0; }

static void posix_close(void *ctx, int handle) { close(handle); }

static const struct store_fs_ops posix_ops = {
	.dir_open = posix_dir_open,
	.dir_list = posix_dir_list,
	.dir_sync = posix_dir_sync,
	.create = posix_create,
	.open = posix_open,
	.rename = posix_rename,
	.remove = posix_remove,
	.size = posix_size,
	.allocate = posix_allocate,
	.pwrite = posix_pwrite,
	.pread = posix_pread,
	.sync = posix_sync,
	.close = posix_close,
};

const struct store_fs store_fs_posix = { &posix_ops, NULL };

int store_file_code(int rc)
{
	ASSERT(rc < 0);
	switch (-rc) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return PANDO_ENOSPC;
	case EACCES:
	case EPERM:
	case EROFS:
		return PANDO_EACCES;
	case ENOENT:
	case ENOTDIR:
		return PANDO_ENOENT;
	case EEXIST:
		return PANDO_EEXIST;
	default:
		return PANDO_EIO;
	}
}

const char *store_file_text(int rc)
{
	const char *text = strerrordesc_np(-rc);
	return text != NULL ? text : "unknown error";
}
