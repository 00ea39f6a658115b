/* The data folder: made if need be, checked, and locked against a second server. */
#include "daemon/run/run_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *folder_join(const char *dir, const char *name)
{
	struct rt_buf b;
	rt_buf_init(&b, 64u << 10);
	rt_buf_fmt(&b, "%s/%s", dir, name);
	rt_buf_char(&b, '\0');
	return (char *)b.p;
}

static int make_folder(const char *dir, bool create, struct rt_err *ret_err)
{
	struct stat st;
	if (stat(dir, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return rt_err_set(ret_err, PANDO_EINVAL,
				"data folder %s: it is not a folder; name another with --data",
				dir);
		if (access(dir, R_OK | W_OK | X_OK) != 0)
			return rt_err_set(ret_err, PANDO_EACCES,
				"data folder %s: %s; make it writable for user %u, or name another with --data",
				dir, strerror(errno), (unsigned)geteuid());
		return 0;
	}
	if (errno != ENOENT)
		return rt_err_set(ret_err, PANDO_EIO, "data folder %s: %s", dir, strerror(errno));
	if (!create)
		return rt_err_set(ret_err, PANDO_ENOENT,
			"data folder %s does not exist and datadir.autocreate is off: create it, or name another "
			"with --data",
			dir);
	/* every missing part of the path, as mkdir -p */
	char *path = folder_join(dir, "");
	int rc = 0;
	for (char *p = path + 1; rc == 0 && *p != '\0'; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST)
			rc = rt_err_set(ret_err, PANDO_EACCES, "data folder %s: cannot make %s: %s",
				dir, path, strerror(errno));
		*p = '/';
	}
	free(path);
	return rc;
}

static int lock_held(const char *path, int fd, struct rt_err *ret_err)
{
	char pid[32] = { 0 };
	ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
	if (n > 0)
		pid[strcspn(pid, "\n")] = '\0';
	return rt_err_set(ret_err, PANDO_EBUSY,
		"%s: another pandod (pid %s) serves this data folder; stop it, or name another folder with --data",
		path, n > 0 ? pid : "unknown");
}

static int take_lock(const char *dir, int *ret_fd, struct rt_err *ret_err)
{
	char *path = folder_join(dir, "lock");
	int rc = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) {
		rc = rt_err_set(ret_err, PANDO_EACCES,
			"%s: %s; pandod must be able to write in its data folder", path,
			strerror(errno));
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK ? lock_held(path, fd, ret_err)
					  : rt_err_set(ret_err, PANDO_EIO, "%s: cannot lock: %s",
						    path, strerror(errno));
		close(fd);
	} else {
		struct rt_buf b;
		rt_buf_init(&b, 64);
		rt_buf_fmt(&b, "%d\n", (int)getpid());
		if (ftruncate(fd, 0) != 0 || pwrite(fd, b.p, b.len, 0) != (ssize_t)b.len) {
			rc = rt_err_set(
				ret_err, PANDO_EIO, "%s: cannot write: %s", path, strerror(errno));
			close(fd);
		} else {
			*ret_fd = fd; /* held, and with it the lock, until the process ends */
		}
		rt_buf_done(&b);
	}
	free(path);
	return rc;
}

int folder_look(const struct run_conf *conf, struct rt_err *ret_err)
{
	char *path = folder_join(conf->data_dir, "lock");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = 0;
	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
		struct rt_err held;
		lock_held(path, fd, &held);
		rc = rt_err_set(ret_err, PANDO_EBUSY, "%s; look at a copy of it", held.text);
	}
	free(path);
	if (rc != 0) {
		close(fd);
		return -1;
	}
	return fd >= 0 ? fd
		       : open("/dev/null",
				 O_RDONLY | O_CLOEXEC); /* a copy need not have the file */
}

static bool same_folder(const char *a, const char *b)
{
	struct stat x, y;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int folder_open(const struct run_conf *conf, int ret_lock_fds[2], struct rt_err *ret_err)
{
	int rc = make_folder(conf->data_dir, conf->data_dir_autocreate, ret_err);
	if (rc == 0)
		rc = make_folder(run_conf_log_dir(conf), conf->data_dir_autocreate, ret_err);
	if (rc == 0)
		rc = take_lock(conf->data_dir, &ret_lock_fds[0], ret_err);
	/* another server's data folder may have the same folder for its log */
	if (rc == 0 && !same_folder(conf->data_dir, run_conf_log_dir(conf)))
		rc = take_lock(run_conf_log_dir(conf), &ret_lock_fds[1], ret_err);
	if (rc != 0)
		return rc;
	char *old = folder_join(conf->data_dir, "version-2");
	if (access(old, F_OK) == 0)
		say(RUN_CONF_WARN,
			"%s: here are data of a ZooKeeper server; they are neither read nor touched, "
			"and this tree does not "
			"have them",
			old);
	free(old);
	return 0;
}
