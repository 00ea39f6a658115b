/* See sim_disk.h. Handles of files are numbers of inodes; the directory's is SIM_FILES_MAX. An
 * inode that has lost its last name stays until a new file needs one: nothing writes to a file
 * without a name. */
#include "tests/lib/sim_disk.h"

#include <errno.h>
#include <string.h>

#include "schema/runtime/rt_assert.h"
#include "schema/runtime/rt_mem.h"

#define SECTOR 512u

static struct sim_name *name_find(struct sim_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++) {
		if (strcmp(names->v[i].name, name) == 0)
			return &names->v[i];
	}
	return NULL;
}

static void name_drop(struct sim_names *names, const char *name)
{
	struct sim_name *n = name_find(names, name);
	if (n != NULL)
		*n = names->v[--names->count];
}

static void name_set(struct sim_names *names, const char *name, int inode)
{
	name_drop(names, name);
	ASSERT(names->count < SIM_FILES_MAX);
	struct sim_name *n = &names->v[names->count++];
	ASSERT(strlen(name) < sizeof n->name);
	strcpy(n->name, name);
	n->inode = inode;
}

static void names_apply(struct sim_names *names, const struct sim_change *c)
{
	if (c->from[0] != '\0')
		name_drop(names, c->from);
	if (c->to[0] != '\0')
		name_set(names, c->to, c->inode);
}

static void names_change(struct sim_disk *d, const char *from, const char *to, int inode)
{
	struct sim_change c = { .inode = inode };
	strcpy(c.from, from);
	strcpy(c.to, to);
	names_apply(&d->now, &c);
	d->changes = rt_realloc(d->changes, (d->change_count + 1) * sizeof c);
	d->changes[d->change_count++] = c;
}

/* bytes at offset of a content; NULL sets the size */
static void content_write(
	uint8_t **p, size_t *p_len, const uint8_t *bytes, size_t len, uint64_t offset)
{
	size_t end = (size_t)offset + len;
	if (end > *p_len) {
		*p = rt_realloc(*p, end);
		memset(*p + *p_len, 0, end - *p_len);
		*p_len = end;
	}
	if (bytes == NULL)
		*p_len = end;
	if (len != 0)
		memcpy(*p + offset, bytes, len);
}

static void pending_add(struct sim_inode *f, const uint8_t *bytes, size_t len, uint64_t offset)
{
	f->pending = rt_realloc(f->pending, (f->pending_count + 1) * sizeof *f->pending);
	struct sim_write *w = &f->pending[f->pending_count++];
	*w = (struct sim_write){ .offset = offset, .len = len };
	if (bytes != NULL) {
		w->bytes = rt_alloc(len);
		memcpy(w->bytes, bytes, len);
	}
}

static void pending_clear(struct sim_inode *f)
{
	for (size_t i = 0; i < f->pending_count; i++)
		rt_free(f->pending[i].bytes);
	f->pending_count = 0;
}

/* 0, or the failure that is due. */
static int op(struct sim_disk *d)
{
	if (d->before_op != NULL)
		d->before_op(d->before_arg);
	d->ops++;
	if (d->fail_at != 0 && (d->ops == d->fail_at || (d->fail_all && d->ops > d->fail_at)))
		return d->fail_rc;
	return 0;
}

static int sim_dir_open(void *ctx, const char *path, bool create)
{
	int rc = op(ctx);
	return rc != 0 ? rc : SIM_FILES_MAX;
}

static int sim_dir_list(void *ctx, int dir, store_file_name_fn *fn, void *arg)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	/* the newest first: nobody may rely on an order */
	for (size_t i = d->now.count; rc == 0 && i-- > 0;)
		fn(arg, d->now.v[i].name);
	return rc;
}

static int sim_dir_sync(void *ctx, int dir)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	if (rc != 0)
		return rc;
	d->synced = d->now;
	d->change_count = 0;
	return 0;
}

static bool names_have(const struct sim_names *names, int inode)
{
	for (size_t i = 0; i < names->count; i++) {
		if (names->v[i].inode == inode)
			return true;
	}
	return false;
}

/* No name leads to it, nor would after a crash. */
static bool inode_is_lost(const struct sim_disk *d, int inode)
{
	for (size_t i = 0; i < d->change_count; i++) {
		if (d->changes[i].inode == inode)
			return false;
	}
	return !names_have(&d->now, inode) && !names_have(&d->synced, inode);
}

static void inode_clear(struct sim_inode *f)
{
	pending_clear(f);
	rt_free(f->pending);
	rt_free(f->now);
	rt_free(f->synced);
	memset(f, 0, sizeof *f);
}

static int inode_new(struct sim_disk *d)
{
	for (int i = 0; i < SIM_FILES_MAX; i++) {
		if (d->inodes[i].used)
			continue;
		d->inodes[i].used = true;
		return i;
	}
	for (int i = 0; i < SIM_FILES_MAX; i++) {
		if (!inode_is_lost(d, i))
			continue;
		inode_clear(&d->inodes[i]);
		d->inodes[i].used = true;
		return i;
	}
	return -ENOSPC;
}

static int sim_create(void *ctx, int dir, const char *name)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	if (rc != 0)
		return rc;
	if (name_find(&d->now, name) != NULL)
		return -EEXIST;
	int inode = d->full ? -ENOSPC : inode_new(d);
	if (inode >= 0)
		names_change(d, "", name, inode);
	return inode;
}

static int sim_open(void *ctx, int dir, const char *name, bool writable)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	const struct sim_name *n = name_find(&d->now, name);
	return rc != 0 ? rc : n != NULL ? n->inode : -ENOENT;
}

static int sim_rename(void *ctx, int dir, const char *from, const char *to)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	const struct sim_name *n = name_find(&d->now, from);
	if (rc != 0 || n == NULL)
		return rc != 0 ? rc : -ENOENT;
	names_change(d, from, to, n->inode);
	return 0;
}

static int sim_remove(void *ctx, int dir, const char *name)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	if (rc != 0 || name_find(&d->now, name) == NULL)
		return rc != 0 ? rc : -ENOENT;
	names_change(d, name, "", 0);
	return 0;
}

static int64_t sim_size(void *ctx, int file)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	return rc != 0 ? rc : (int64_t)d->inodes[file].now_len;
}

static int sim_allocate(void *ctx, int file, uint64_t bytes)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	if (rc != 0)
		return rc;
	struct sim_inode *f = &d->inodes[file];
	if (d->full && bytes > f->now_len)
		return -ENOSPC;
	content_write(&f->now, &f->now_len, NULL, 0, bytes);
	pending_add(f, NULL, 0, bytes);
	return 0;
}

/* One that fails has written a half. */
static int sim_pwrite(void *ctx, int file, const void *bytes, size_t len, uint64_t offset)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	size_t n = rc != 0 ? len / 2 : len;
	struct sim_inode *f = &d->inodes[file];
	if (d->full && offset + len > f->now_len)
		return -ENOSPC;
	if (n != 0) {
		content_write(&f->now, &f->now_len, bytes, n, offset);
		pending_add(f, bytes, n, offset);
	}
	return rc;
}

static int64_t sim_pread(void *ctx, int file, void *ret, size_t len, uint64_t offset)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	if (rc != 0)
		return rc;
	const struct sim_inode *f = &d->inodes[file];
	size_t left = offset < f->now_len ? f->now_len - (size_t)offset : 0;
	size_t n = len < left ? len : left;
	if (n != 0)
		memcpy(ret, f->now + offset, n);
	return (int64_t)n;
}

static int sim_sync(void *ctx, int file)
{
	struct sim_disk *d = ctx;
	int rc = op(d);
	struct sim_inode *f = &d->inodes[file];
	for (size_t i = 0; rc == 0 && i < f->pending_count; i++) {
		const struct sim_write *w = &f->pending[i];
		content_write(&f->synced, &f->synced_len, w->bytes, w->len, w->offset);
	}
	pending_clear(f); /* after a failure too: the system has marked its pages clean */
	if (rc == 0)
		d->syncs++;
	return rc;
}

static void sim_close(void *ctx, int handle) {}

static const struct store_fs_ops sim_ops = {
	.dir_open = sim_dir_open,
	.dir_list = sim_dir_list,
	.dir_sync = sim_dir_sync,
	.create = sim_create,
	.open = sim_open,
	.rename = sim_rename,
	.remove = sim_remove,
	.size = sim_size,
	.allocate = sim_allocate,
	.pwrite = sim_pwrite,
	.pread = sim_pread,
	.sync = sim_sync,
	.close = sim_close,
};

struct store_fs sim_disk_fs(struct sim_disk *d) { return (struct store_fs){ &sim_ops, d }; }

void sim_disk_init(struct sim_disk *d) { memset(d, 0, sizeof *d); }

void sim_disk_done(struct sim_disk *d)
{
	for (size_t i = 0; i < SIM_FILES_MAX; i++)
		inode_clear(&d->inodes[i]);
	rt_free(d->changes);
	memset(d, 0, sizeof *d);
}

static uint8_t *copy_bytes(const void *p, size_t n)
{
	if (n == 0)
		return NULL;
	uint8_t *c = rt_alloc(n);
	memcpy(c, p, n);
	return c;
}

void sim_disk_copy(struct sim_disk *to, const struct sim_disk *from)
{
	*to = *from;
	to->before_op = NULL;
	to->changes = NULL;
	if (from->change_count != 0) {
		to->changes = rt_alloc(from->change_count * sizeof *to->changes);
		memcpy(to->changes, from->changes, from->change_count * sizeof *to->changes);
	}
	for (size_t i = 0; i < SIM_FILES_MAX; i++) {
		struct sim_inode *f = &to->inodes[i];
		const struct sim_inode *src = &from->inodes[i];
		f->now = copy_bytes(src->now, src->now_len);
		f->synced = copy_bytes(src->synced, src->synced_len);
		f->pending = NULL;
		f->pending_count = 0;
		for (size_t k = 0; k < src->pending_count; k++) {
			const struct sim_write *w = &src->pending[k];
			pending_add(f, w->bytes, w->len, w->offset);
		}
	}
}

/* The end of the piece of w that begins at `at`. */
static uint64_t piece_end(const struct sim_write *w, uint64_t at)
{
	uint64_t end = (at / SECTOR + 1) * SECTOR;
	return end < w->offset + w->len ? end : w->offset + w->len;
}

size_t sim_disk_pieces(const struct sim_disk *d)
{
	size_t n = 0;
	for (size_t i = 0; i < SIM_FILES_MAX; i++) {
		for (size_t k = 0; k < d->inodes[i].pending_count; k++) {
			const struct sim_write *w = &d->inodes[i].pending[k];
			if (w->bytes == NULL)
				n++;
			else
				for (uint64_t at = w->offset; at < w->offset + w->len;
					at = piece_end(w, at))
					n++;
		}
	}
	return n;
}

uint64_t sim_disk_pending_bytes(const struct sim_disk *d)
{
	uint64_t n = 0;
	for (size_t i = 0; i < SIM_FILES_MAX; i++) {
		for (size_t k = 0; k < d->inodes[i].pending_count; k++)
			n += d->inodes[i].pending[k].len;
	}
	return n;
}

/* Bytes of the piece that survive, counted from its front. */
static size_t piece_keep(
	const struct sim_crash *how, size_t piece, uint64_t bytes_before, size_t len)
{
	switch (how->keep) {
	case SIM_KEEP_NONE:
		return 0;
	case SIM_KEEP_ALL:
		return len;
	case SIM_KEEP_BYTES:
		if (bytes_before >= how->bytes)
			return 0;
		return how->bytes - bytes_before < len ? (size_t)(how->bytes - bytes_before) : len;
	case SIM_KEEP_SECTORS:
		return piece >= 64 || (how->mask >> piece & 1) != 0 ? len : 0;
	case SIM_KEEP_RANDOM:
		break;
	}
	uint64_t draw = rt_rand_below(how->rand, 16);
	return draw == 0 ? (size_t)rt_rand_below(how->rand, len + 1) : draw < 8 ? 0 : len;
}

static void inode_crash(
	struct sim_inode *f, const struct sim_crash *how, size_t *piece, uint64_t *bytes)
{
	for (size_t i = 0; i < f->pending_count; i++) {
		const struct sim_write *w = &f->pending[i];
		if (w->bytes == NULL) { /* a change of size: kept or not, as a piece of one byte */
			if (piece_keep(how, (*piece)++, *bytes, 1) != 0)
				content_write(&f->synced, &f->synced_len, NULL, 0, w->offset);
			continue;
		}
		for (uint64_t at = w->offset; at < w->offset + w->len;) {
			uint64_t end = piece_end(w, at);
			size_t keep = piece_keep(how, (*piece)++, *bytes, (size_t)(end - at));
			if (keep != 0)
				content_write(&f->synced, &f->synced_len,
					w->bytes + (at - w->offset), keep, at);
			*bytes += end - at;
			at = end;
		}
	}
	pending_clear(f);
	rt_free(f->now);
	f->now = copy_bytes(f->synced, f->synced_len);
	f->now_len = f->synced_len;
}

void sim_disk_crash(struct sim_disk *d, const struct sim_crash *how)
{
	size_t piece = 0;
	uint64_t bytes = 0;
	for (size_t i = 0; i < SIM_FILES_MAX; i++)
		inode_crash(&d->inodes[i], how, &piece, &bytes);
	size_t names = d->change_count;
	if (how->keep == SIM_KEEP_NONE)
		names = 0;
	else if (how->keep == SIM_KEEP_RANDOM)
		names = (size_t)rt_rand_below(how->rand, d->change_count + 1);
	bool any = how->keep == SIM_KEEP_RANDOM && rt_rand_below(how->rand, 2) == 0;
	if (any)
		names = d->change_count;
	for (size_t i = 0; i < names; i++) {
		if (!any || rt_rand_below(how->rand, 2) == 0)
			names_apply(&d->synced, &d->changes[i]);
	}
	d->change_count = 0;
	d->now = d->synced;
	d->fail_at = 0;
	d->ops = 0;
}

static struct sim_inode *inode_of(struct sim_disk *d, const char *name)
{
	const struct sim_name *n = name_find(&d->now, name);
	return n != NULL ? &d->inodes[n->inode] : NULL;
}

uint8_t *sim_disk_bytes(struct sim_disk *d, const char *name, size_t *ret_len)
{
	struct sim_inode *f = inode_of(d, name);
	if (f == NULL)
		return NULL;
	*ret_len = f->now_len;
	return f->now;
}

void sim_disk_poke(
	struct sim_disk *d, const char *name, size_t offset, const void *bytes, size_t len)
{
	struct sim_inode *f = inode_of(d, name);
	ASSERT(f != NULL);
	content_write(&f->now, &f->now_len, bytes, len, offset);
	content_write(&f->synced, &f->synced_len, bytes, len, offset);
}

void sim_disk_flip(struct sim_disk *d, const char *name, size_t byte, unsigned bit)
{
	struct sim_inode *f = inode_of(d, name);
	ASSERT(f != NULL);
	ASSERT(byte < f->now_len);
	uint8_t v = (uint8_t)(f->now[byte] ^ 1u << bit);
	sim_disk_poke(d, name, byte, &v, 1);
}

void sim_disk_cut(struct sim_disk *d, const char *name, size_t len)
{
	struct sim_inode *f = inode_of(d, name);
	ASSERT(f != NULL);
	ASSERT(len <= f->now_len && len <= f->synced_len);
	f->now_len = f->synced_len = len;
}

void sim_disk_remove(struct sim_disk *d, const char *name)
{
	name_drop(&d->now, name);
	name_drop(&d->synced, name);
}

void sim_disk_rename(struct sim_disk *d, const char *from, const char *to)
{
	const struct sim_name *n = name_find(&d->now, from);
	ASSERT(n != NULL);
	int inode = n->inode;
	sim_disk_remove(d, from);
	name_set(&d->now, to, inode);
	name_set(&d->synced, to, inode);
}

bool sim_disk_has(const struct sim_disk *d, const char *name)
{
	for (size_t i = 0; i < d->now.count; i++) {
		if (strcmp(d->now.v[i].name, name) == 0)
			return true;
	}
	return false;
}

uint64_t sim_disk_size(const struct sim_disk *d)
{
	uint64_t n = 0;
	for (size_t i = 0; i < d->now.count; i++)
		n += d->inodes[d->now.v[i].inode].now_len;
	return n;
}

bool sim_disk_same(const struct sim_disk *a, const struct sim_disk *b)
{
	if (a->now.count != b->now.count || a->change_count != b->change_count ||
		a->syncs != b->syncs || sim_disk_pieces(a) != sim_disk_pieces(b))
		return false;
	for (size_t i = 0; i < a->now.count; i++) {
		const struct sim_name *n = &a->now.v[i];
		if (strcmp(n->name, b->now.v[i].name) != 0 || n->inode != b->now.v[i].inode)
			return false;
		const struct sim_inode *f = &a->inodes[n->inode];
		const struct sim_inode *g = &b->inodes[n->inode];
		if (f->now_len != g->now_len ||
			(f->now_len != 0 && memcmp(f->now, g->now, f->now_len) != 0))
			return false;
	}
	return true;
}
