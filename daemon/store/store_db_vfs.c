/* The VFS between SQLite and the one below it. One is registered for each db, under a name of its
 * own, and knows it through pAppData; files stand in SQLite's memory, ours in front of the one
 * below.
 *
 * Its files offer no shared memory: the db is opened in exclusive locking mode, where SQLite needs
 * none.
 *
 * A slice: after so many bytes to the WAL or the file they are synced, so that no sync has much to
 * do and the log's, on the same disk, never stand behind a long one. Then pace may sleep. SQLite
 * asks for its own syncs where it needs them, these are only more of them.
 *
 * A disk that, losing power, may damage what stands beside the bytes it writes is taken for
 * granted: SQLite then ends each commit at the end of a sector. */
#include "daemon/store/store_db_int.h"

#include <errno.h>

#include "schema/runtime/rt_mem.h"

struct vfs_file {
	sqlite3_file file; /* what SQLite sees; first */
	struct store_db_vfs *v;
	const char *end; /* of its name, for messages; NULL: a temporary file */
	bool wal;
	bool absent; /* a WAL that is not there, in a read-only folder: empty */
};

/* The file below stands right behind ours. */
static sqlite3_file *below(struct vfs_file *f) { return (sqlite3_file *)(void *)(f + 1); }
static struct vfs_file *file_of(sqlite3_file *file) { return (struct vfs_file *)(void *)file; }
static struct store_db_vfs *vfs_of(sqlite3_vfs *vfs) { return vfs->pAppData; }

static int note(struct vfs_file *f, int rc, const char *what, int64_t offset)
{
	struct store_db_vfs *v = f->v;
	if (rc == SQLITE_IOERR_FSYNC || rc == SQLITE_IOERR_DIR_FSYNC)
		v->failed_sync = true;
	if (rc != SQLITE_OK && rc != SQLITE_IOERR_SHORT_READ && v->failed_what == NULL) {
		v->failed_errno = v->below->xGetLastError != NULL
					  ? v->below->xGetLastError(v->below, 0, NULL)
					  : 0;
		if (rc == SQLITE_FULL)
			v->failed_errno = ENOSPC;
		v->failed_what = what;
		v->failed_file = f->end != NULL ? f->end : "";
		v->failed_offset = offset;
	}
	return rc;
}

static int file_close(sqlite3_file *file)
{
	struct vfs_file *f = file_of(file);
	if (f->absent)
		return SQLITE_OK;
	if (f->v->wal == below(f))
		f->v->wal = NULL;
	return below(f)->pMethods->xClose(below(f));
}

static int file_read(sqlite3_file *file, void *ret, int n, sqlite3_int64 offset)
{
	struct vfs_file *f = file_of(file);
	if (f->absent) {
		memset(ret, 0, (size_t)n);
		return SQLITE_IOERR_SHORT_READ;
	}
	return note(f, below(f)->pMethods->xRead(below(f), ret, n, offset), "read", offset);
}

static int sync_now(struct vfs_file *f, int flags)
{
	if (f->v->no_sync)
		return SQLITE_OK;
	f->v->syncs++;
	return note(f, below(f)->pMethods->xSync(below(f), flags), "sync", 0);
}

static int slice_end(struct vfs_file *f)
{
	struct store_db_vfs *v = f->v;
	int rc = sync_now(f, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
	uint64_t bytes = v->since;
	v->since = 0;
	if (rc != SQLITE_OK || v->pace == NULL || v->pace(v->pace_arg, bytes))
		return rc;
	v->stopped = true;
	return SQLITE_INTERRUPT;
}

static int file_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 offset)
{
	struct vfs_file *f = file_of(file);
	struct store_db_vfs *v = f->v;
	if (v->read_only)
		return SQLITE_READONLY;
	int rc = note(f, below(f)->pMethods->xWrite(below(f), bytes, n, offset), "write", offset);
	if (rc != SQLITE_OK || f->end == NULL)
		return rc;
	if (f->wal)
		v->wal_written_bytes += (uint64_t)n;
	else
		v->file_written_bytes += (uint64_t)n;
	v->since += (uint64_t)n;
	return v->since >= v->slice_bytes ? slice_end(f) : SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct vfs_file *f = file_of(file);
	if (f->v->read_only)
		return SQLITE_READONLY;
	return note(f, below(f)->pMethods->xTruncate(below(f), size), "cut", size);
}

static int file_sync(sqlite3_file *file, int flags)
{
	struct vfs_file *f = file_of(file);
	f->v->since = 0;
	return f->absent ? SQLITE_OK : sync_now(f, flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct vfs_file *f = file_of(file);
	if (f->absent) {
		*ret = 0;
		return SQLITE_OK;
	}
	return note(f, below(f)->pMethods->xFileSize(below(f), ret), "size", 0);
}

/* Read-only: the shared lock shows that no server has the file; the exclusive one, which SQLite
 * wants in order to do without shared memory, cannot be had on a file that is not open for writing,
 * and need not. */
static int file_lock(sqlite3_file *file, int level)
{
	struct vfs_file *f = file_of(file);
	if (f->absent || (f->v->read_only && level > SQLITE_LOCK_SHARED))
		return SQLITE_OK;
	return below(f)->pMethods->xLock(below(f), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
	struct vfs_file *f = file_of(file);
	return f->absent ? SQLITE_OK : below(f)->pMethods->xUnlock(below(f), level);
}

static int file_check_reserved(sqlite3_file *file, int *ret)
{
	struct vfs_file *f = file_of(file);
	*ret = 0;
	return f->absent ? SQLITE_OK : below(f)->pMethods->xCheckReservedLock(below(f), ret);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	struct vfs_file *f = file_of(file);
	return f->absent ? SQLITE_NOTFOUND : below(f)->pMethods->xFileControl(below(f), op, arg);
}

static int file_sector(sqlite3_file *file)
{
	struct vfs_file *f = file_of(file);
	return f->absent ? 4096 : below(f)->pMethods->xSectorSize(below(f));
}

static int file_device(sqlite3_file *file)
{
	struct vfs_file *f = file_of(file);
	if (f->absent)
		return 0;
	return below(f)->pMethods->xDeviceCharacteristics(below(f)) &
	       ~SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
};

static const char *name_end(int flags)
{
	if (flags & SQLITE_OPEN_MAIN_DB)
		return "";
	if (flags & SQLITE_OPEN_WAL)
		return "-wal";
	return flags & SQLITE_OPEN_MAIN_JOURNAL ? "-journal" : NULL;
}

/* SQLite syncs the folder after it has made a WAL, but does not look whether that went well. Here a
 * file is made and removed only because a removal's sync is the one that a VFS reports on. */
static int sync_names(struct store_db_vfs *v, struct vfs_file *f, const char *wal)
{
	static const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				 SQLITE_OPEN_MAIN_JOURNAL;
	size_t len = strlen(wal);
	char *name = rt_alloc(len + sizeof "-sync" + 2);
	memcpy(name, wal, len);
	memcpy(name + len, "-sync\0",
		sizeof "-sync\0"); /* names end twice: there could be parameters */
	sqlite3_file *other = rt_calloc(1, (size_t)v->below->szOsFile);
	int rc = v->below->xOpen(v->below, name, other, flags, NULL);
	if (other->pMethods != NULL)
		(void)other->pMethods->xClose(other);
	if (rc == SQLITE_OK)
		rc = v->below->xDelete(v->below, name, 1);
	rt_free(other);
	rt_free(name);
	return note(f, rc, "make the name of the file durable", 0);
}

static int vfs_open(
	sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct store_db_vfs *v = vfs_of(vfs);
	struct vfs_file *f = file_of(file);
	*f = (struct vfs_file){
		.v = v, .end = name_end(flags), .wal = (flags & SQLITE_OPEN_WAL) != 0
	};
	if (v->read_only) {
		flags &= ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
		flags |= SQLITE_OPEN_READONLY;
		int there = 1;
		if (f->wal)
			(void)v->below->xAccess(v->below, name, SQLITE_ACCESS_EXISTS, &there);
		if (!there) {
			f->absent = true;
			f->file.pMethods = &file_methods;
			if (ret_flags != NULL)
				*ret_flags = flags;
			return SQLITE_OK;
		}
	}
	int there = 1;
	if (f->wal && !v->read_only)
		(void)v->below->xAccess(v->below, name, SQLITE_ACCESS_EXISTS, &there);
	int rc = note(f, v->below->xOpen(v->below, name, below(f), flags, ret_flags), "open", 0);
	/* set by a failed open as well when the file must be closed all the same */
	if (below(f)->pMethods != NULL)
		f->file.pMethods = &file_methods;
	if (rc == SQLITE_OK && f->wal)
		v->wal = below(f);
	if (rc == SQLITE_OK && !there)
		rc = sync_names(v, f, name);
	return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	struct store_db_vfs *v = vfs_of(vfs);
	if (v->read_only)
		return SQLITE_READONLY;
	struct vfs_file f = { .v = v, .end = "-journal" };
	int rc = v->below->xDelete(v->below, name, sync);
	return rc == SQLITE_IOERR_DELETE_NOENT ? rc : note(&f, rc, "remove", 0);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	struct store_db_vfs *v = vfs_of(vfs);
	size_t len = strlen(name), end = sizeof "-journal" - 1;
	if (v->read_only && len > end && strcmp(name + len - end, "-journal") == 0) {
		*ret = 0; /* of a making that was cut short; to play it back would be to write */
		return SQLITE_OK;
	}
	return v->below->xAccess(v->below, name, flags, ret);
}

static int vfs_full(sqlite3_vfs *vfs, const char *name, int n, char *ret)
{
	struct store_db_vfs *v = vfs_of(vfs);
	return v->below->xFullPathname(v->below, name, n, ret);
}

static int vfs_random(sqlite3_vfs *vfs, int n, char *ret)
{
	struct store_db_vfs *v = vfs_of(vfs);
	return v->below->xRandomness(v->below, n, ret);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	struct store_db_vfs *v = vfs_of(vfs);
	return v->below->xSleep(v->below, us);
}

static int vfs_time(sqlite3_vfs *vfs, double *ret)
{
	struct store_db_vfs *v = vfs_of(vfs);
	return v->below->xCurrentTime(v->below, ret);
}

static int vfs_error(sqlite3_vfs *vfs, int n, char *ret)
{
	struct store_db_vfs *v = vfs_of(vfs);
	return v->below->xGetLastError != NULL ? v->below->xGetLastError(v->below, n, ret) : 0;
}

struct store_db_vfs *store_db_vfs_new(const struct store_db_options *options)
{
	sqlite3_vfs *to = sqlite3_vfs_find(options->vfs);
	if (to == NULL)
		return NULL;
	struct store_db_vfs *v = rt_calloc(1, sizeof *v);
	v->below = to;
	v->read_only = options->read_only || options->inspect;
	v->no_sync = options->unsafe_no_sync;
	v->slice_bytes = options->slice_bytes != 0 ? options->slice_bytes : STORE_DB_SLICE_BYTES;
	v->pace = options->pace;
	v->pace_arg = options->pace_arg;
	(void)sqlite3_snprintf((int)sizeof v->name, v->name, "pando-%p", (void *)v);
	v->vfs = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = (int)sizeof(struct vfs_file) + to->szOsFile,
		.mxPathname = to->mxPathname,
		.zName = v->name,
		.pAppData = v,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full,
		.xRandomness = vfs_random,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_time,
		.xGetLastError = vfs_error,
	};
	if (sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
		rt_free(v);
		return NULL;
	}
	return v;
}

void store_db_vfs_free(struct store_db_vfs *v)
{
	if (v == NULL)
		return;
	(void)sqlite3_vfs_unregister(&v->vfs);
	rt_free(v);
}

uint64_t store_db_vfs_wal_bytes(const struct store_db_vfs *v)
{
	sqlite3_int64 size = 0;
	if (v->wal == NULL || v->wal->pMethods->xFileSize(v->wal, &size) != SQLITE_OK)
		return 0;
	return (uint64_t)size;
}

void store_db_vfs_cut_wal(struct store_db_vfs *v, uint64_t bytes)
{
	if (store_db_vfs_wal_bytes(v) > bytes)
		(void)v->wal->pMethods->xTruncate(v->wal, (sqlite3_int64)bytes);
}
