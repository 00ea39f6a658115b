/* Loaded before the C library: makes writes, reads or syncs of some files fail. What and where says a file that
 * PANDO_FAULTS names, in one line, read anew at each call:
 *     write|sync|read PART ERRNO
 * PART is a part of the path; with $ behind it, its end. Without the file nothing fails. */
/* both names of each function are defined here, so neither may be made into the other */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define OURS __attribute__((visibility("default")))

/* By system calls, so that none of this comes back here. */
static size_t whole(const char *path, char *ret, size_t room)
{
	long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : syscall(SYS_pread64, fd, ret, room - 1, (off_t)0);
	if (fd >= 0)
		(void)syscall(SYS_close, fd);
	ret[n < 0 ? 0 : n] = '\0';
	return n < 0 ? 0 : (size_t)n;
}

static bool within(const char *path, char *part)
{
	size_t len = strlen(part), all = strlen(path);
	if (len == 0 || part[len - 1] != '$')
		return strstr(path, part) != NULL;
	part[--len] = '\0';
	return all >= len && strcmp(path + all - len, part) == 0;
}

/* Whether this call fails; errno is then set. */
static bool fails(const char *what, int fd)
{
	const char *control = getenv("PANDO_FAULTS");
	char text[300], name[40], path[4096], *save = NULL;
	int before = errno;
	if (control == NULL || whole(control, text, sizeof text) == 0)
		return false;
	const char *kind = strtok_r(text, " \n", &save);
	char *part = strtok_r(NULL, " \n", &save);
	const char *code = strtok_r(NULL, " \n", &save);
	if (kind == NULL || part == NULL || code == NULL || strcmp(kind, what) != 0)
		return false;
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, path, sizeof path - 1);
	errno = before;
	if (n < 0)
		return false;
	path[n] = '\0';
	if (!within(path, part))
		return false;
	errno = (int)strtol(code, NULL, 10);
	return true;
}

#define NEXT(name, type)                                                                           \
	static type next;                                                                          \
	if (next == NULL) {                                                                        \
		void *found = dlsym(RTLD_NEXT, name);                                              \
		memcpy(&next, &found, sizeof next);                                                \
	}

typedef ssize_t pwrite_fn(int, const void *, size_t, off_t);
typedef ssize_t write_fn(int, const void *, size_t);
typedef ssize_t pread_fn(int, void *, size_t, off_t);
typedef ssize_t read_fn(int, void *, size_t);
typedef int sync_fn(int);

OURS pwrite_fn pwrite, pwrite64;
OURS pread_fn pread, pread64;
OURS write_fn write;
OURS read_fn read;
OURS sync_fn fsync, fdatasync;

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
	NEXT("pwrite", pwrite_fn *)
	return fails("write", fd) ? -1 : next(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
	NEXT("pwrite64", pwrite_fn *)
	return fails("write", fd) ? -1 : next(fd, p, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
	NEXT("write", write_fn *)
	return fails("write", fd) ? -1 : next(fd, p, n);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
	NEXT("pread", pread_fn *)
	return fails("read", fd) ? -1 : next(fd, p, n, at);
}

ssize_t pread64(int fd, void *p, size_t n, off_t at)
{
	NEXT("pread64", pread_fn *)
	return fails("read", fd) ? -1 : next(fd, p, n, at);
}

ssize_t read(int fd, void *p, size_t n)
{
	NEXT("read", read_fn *)
	return fails("read", fd) ? -1 : next(fd, p, n);
}

int fsync(int fd)
{
	NEXT("fsync", sync_fn *)
	return fails("sync", fd) ? -1 : next(fd);
}

int fdatasync(int fd)
{
	NEXT("fdatasync", sync_fn *)
	return fails("sync", fd) ? -1 : next(fd);
}
