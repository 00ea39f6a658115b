/* See sim_vfs.h. */
#include "tests/lib/sim_vfs.h"

#include <errno.h>
#include <string.h>

#include "schema/runtime/rt_assert.h"

struct sim_file {
	sqlite3_file file;
	struct sim_vfs *v;
	int handle;
	bool new_name; /* to be made durable by the next sync */
};

static struct sim_vfs *vfs_of(sqlite3_vfs *vfs) { return vfs->pAppData; }
static struct sim_file *file_of(sqlite3_file *file) { return (struct sim_file *)(void *)file; }

/* Paths end in the file's name; there is one directory. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash != NULL ? slash + 1 : path;
}

static int code(struct sim_vfs *v, int64_t rc, int sqlite_code)
{
	if (rc >= 0)
		return SQLITE_OK;
	v->last_errno = (int)-rc;
	return rc == -ENOSPC && sqlite_code == SQLITE_IOERR_WRITE ? SQLITE_FULL : sqlite_code;
}

static int sim_close(sqlite3_file *file) { return SQLITE_OK; }

static int sim_read(sqlite3_file *file, void *ret, int n, sqlite3_int64 offset)
{
	struct sim_file *f = file_of(file);
	struct store_fs fs = sim_disk_fs(f->v->disk);
	int64_t got = fs.ops->pread(fs.ctx, f->handle, ret, (size_t)n, (uint64_t)offset);
	if (got < 0)
		return code(f->v, got, SQLITE_IOERR_READ);
	if (got == n)
		return SQLITE_OK;
	memset((uint8_t *)ret + got, 0, (size_t)(n - got));
	return SQLITE_IOERR_SHORT_READ;
}

static int sim_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 offset)
{
	struct sim_file *f = file_of(file);
	struct store_fs fs = sim_disk_fs(f->v->disk);
	int rc = fs.ops->pwrite(fs.ctx, f->handle, bytes, (size_t)n, (uint64_t)offset);
	return code(f->v, rc, SQLITE_IOERR_WRITE);
}

static int sim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct sim_file *f = file_of(file);
	struct store_fs fs = sim_disk_fs(f->v->disk);
	return code(
		f->v, fs.ops->allocate(fs.ctx, f->handle, (uint64_t)size), SQLITE_IOERR_TRUNCATE);
}

static int sim_sync(sqlite3_file *file, int flags)
{
	struct sim_file *f = file_of(file);
	struct store_fs fs = sim_disk_fs(f->v->disk);
	int rc = code(f->v, fs.ops->sync(fs.ctx, f->handle), SQLITE_IOERR_FSYNC);
	if (rc == SQLITE_OK && f->new_name) {
		(void)fs.ops->dir_sync(
			fs.ctx, SIM_FILES_MAX); /* as for Unix: its failure is not looked at */
		f->new_name = false;
	}
	return rc;
}

static int sim_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct sim_file *f = file_of(file);
	struct store_fs fs = sim_disk_fs(f->v->disk);
	int64_t size = fs.ops->size(fs.ctx, f->handle);
	if (size >= 0)
		*ret = size;
	return code(f->v, size, SQLITE_IOERR_FSTAT);
}

static int sim_lock(sqlite3_file *file, int level) { return SQLITE_OK; }

static int sim_reserved(sqlite3_file *file, int *ret)
{
	*ret = 0;
	return SQLITE_OK;
}

static int sim_control(sqlite3_file *file, int op, void *arg) { return SQLITE_NOTFOUND; }
static int sim_sector(sqlite3_file *file) { return 4096; }
static int sim_device(sqlite3_file *file) { return 0; }

static const sqlite3_io_methods sim_methods = {
	.iVersion = 1,
	.xClose = sim_close,
	.xRead = sim_read,
	.xWrite = sim_write,
	.xTruncate = sim_truncate,
	.xSync = sim_sync,
	.xFileSize = sim_size,
	.xLock = sim_lock,
	.xUnlock = sim_lock,
	.xCheckReservedLock = sim_reserved,
	.xFileControl = sim_control,
	.xSectorSize = sim_sector,
	.xDeviceCharacteristics = sim_device,
};

static int sim_open(
	sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *file, int flags, int *ret_flags)
{
	struct sim_vfs *v = vfs_of(vfs);
	struct store_fs fs = sim_disk_fs(v->disk);
	struct sim_file *f = file_of(file);
	ASSERT(path != NULL); /* no temporary files */
	const char *name = base_name(path);
	*f = (struct sim_file){ .v = v };
	f->handle = fs.ops->open(fs.ctx, SIM_FILES_MAX, name, (flags & SQLITE_OPEN_READWRITE) != 0);
	if (f->handle == -ENOENT && (flags & SQLITE_OPEN_CREATE) != 0) {
		f->handle = fs.ops->create(fs.ctx, SIM_FILES_MAX, name);
		f->new_name = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) != 0;
	}
	if (f->handle < 0)
		return code(v, f->handle, SQLITE_CANTOPEN);
	if (ret_flags != NULL)
		*ret_flags = flags;
	f->file.pMethods = &sim_methods;
	return SQLITE_OK;
}

static int sim_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	struct sim_vfs *v = vfs_of(vfs);
	struct store_fs fs = sim_disk_fs(v->disk);
	int rc = fs.ops->remove(fs.ctx, SIM_FILES_MAX, base_name(path));
	if (rc == -ENOENT)
		return SQLITE_IOERR_DELETE_NOENT;
	if (rc == 0 && sync)
		return code(v, fs.ops->dir_sync(fs.ctx, SIM_FILES_MAX), SQLITE_IOERR_DIR_FSYNC);
	return code(v, rc, SQLITE_IOERR_DELETE);
}

/* As for Unix, an empty file does not exist. */
static int sim_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret)
{
	size_t len = 0;
	const uint8_t *p = sim_disk_bytes(vfs_of(vfs)->disk, base_name(path), &len);
	*ret = p != NULL && len > 0;
	return SQLITE_OK;
}

static int sim_full(sqlite3_vfs *vfs, const char *path, int n, char *ret)
{
	(void)sqlite3_snprintf(n, ret, "%s", path);
	return SQLITE_OK;
}

static int sim_random(sqlite3_vfs *vfs, int n, char *ret)
{
	struct sim_vfs *v = vfs_of(vfs);
	for (int i = 0; i < n; i++)
		ret[i] = (char)rt_rand_u64(&v->rand);
	return n;
}

static int sim_sleep(sqlite3_vfs *vfs, int us) { return us; }

static int sim_time(sqlite3_vfs *vfs, double *ret)
{
	*ret = 2460000.5;
	return SQLITE_OK;
}

static int sim_error(sqlite3_vfs *vfs, int n, char *ret) { return vfs_of(vfs)->last_errno; }

void sim_vfs_init(struct sim_vfs *v, struct sim_disk *disk)
{
	*v = (struct sim_vfs){ .disk = disk };
	(void)sqlite3_snprintf((int)sizeof v->name, v->name, "sim-%p", (void *)v);
	rt_rand_seed(&v->rand, 1);
	v->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = (int)sizeof(struct sim_file),
		.mxPathname = 200,
		.zName = v->name,
		.pAppData = v,
		.xOpen = sim_open,
		.xDelete = sim_delete,
		.xAccess = sim_access,
		.xFullPathname = sim_full,
		.xRandomness = sim_random,
		.xSleep = sim_sleep,
		.xCurrentTime = sim_time,
		.xGetLastError = sim_error,
	};
	int rc = sqlite3_vfs_register(&v->vfs, 0);
	ASSERT(rc == SQLITE_OK);
}

void sim_vfs_done(struct sim_vfs *v) { (void)sqlite3_vfs_unregister(&v->vfs); }
