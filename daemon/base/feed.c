#include "daemon/base/feed.h"

#include "schema/runtime/rt_mem.h"

#define CHUNK_BYTES (64u << 10)
#define KEEP_RECORDS 1024u /* of changes and of results, from one use to the next */

struct feed_chunk {
	struct feed_chunk *next;
	size_t used;
	size_t cap;
	uint8_t bytes[];
};

void feed_init(struct feed_batch *b) { *b = (struct feed_batch){ 0 }; }

static void drop_blobs(struct feed_batch *b, uint32_t from)
{
	for (uint32_t i = from; i < b->change_count; i++)
		if (change_is_node(&b->changes[i]))
			rt_blob_unref(b->changes[i].node.data);
}

void feed_clear(struct feed_batch *b)
{
	drop_blobs(b, 0);
	b->change_count = 0;
	b->last_zxid = 0;
	b->last_time_ms = 0;
	b->mark = (struct feed_mark){ 0 };
	for (size_t i = 0; i < LIMIT_IO_THREADS; i++) {
		b->results[i].count = 0;
		if (b->results[i].cap > KEEP_RECORDS) {
			rt_free(b->results[i].v);
			b->results[i] = (struct feed_results){ 0 };
		}
	}
	if (b->change_cap > KEEP_RECORDS) {
		rt_free(b->changes);
		b->changes = NULL;
		b->change_cap = 0;
	}
	/* one ordinary chunk stays for the next use */
	struct feed_chunk *keep = NULL;
	while (b->chunks != NULL) {
		struct feed_chunk *c = b->chunks;
		b->chunks = c->next;
		if (keep == NULL && c->cap == CHUNK_BYTES)
			keep = c;
		else
			rt_free(c);
	}
	if (keep != NULL) {
		keep->next = NULL;
		keep->used = 0;
		b->chunks = keep;
	}
}

void feed_done(struct feed_batch *b)
{
	feed_clear(b);
	rt_free(b->chunks);
	rt_free(b->changes);
	for (size_t i = 0; i < LIMIT_IO_THREADS; i++)
		rt_free(b->results[i].v);
	feed_init(b);
}

struct change *feed_change(struct feed_batch *b)
{
	if (b->change_count == b->change_cap) {
		b->change_cap = b->change_cap ? b->change_cap * 2 : 64;
		b->changes = rt_realloc(b->changes, b->change_cap * sizeof *b->changes);
	}
	return &b->changes[b->change_count++];
}

void feed_truncate(struct feed_batch *b, uint32_t count)
{
	ASSERT(count <= b->change_count);
	drop_blobs(b, count);
	b->change_count = count;
}

struct result *feed_result(
	struct feed_batch *b, struct feed_origin to, enum result_kind kind, int64_t zxid)
{
	ASSERT(to.shard < LIMIT_IO_THREADS);
	struct feed_results *rs = &b->results[to.shard];
	if (rs->count == rs->cap) {
		rs->cap = rs->cap ? rs->cap * 2 : 64;
		rs->v = rt_realloc(rs->v, rs->cap * sizeof *rs->v);
	}
	struct result *r = &rs->v[rs->count++];
	memset(r, 0, sizeof *r);
	r->kind = kind;
	r->zxid = zxid;
	r->conn = to.conn;
	return r;
}

uint8_t *feed_alloc(struct feed_batch *b, size_t n)
{
	struct feed_chunk *c = b->chunks;
	if (c == NULL || n > c->cap - c->used) {
		size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;
		c = rt_alloc(sizeof *c + cap);
		*c = (struct feed_chunk){ .next = b->chunks, .cap = cap };
		b->chunks = c;
	}
	uint8_t *p = c->bytes + c->used;
	c->used += n;
	return p;
}

struct rt_slice feed_copy(struct feed_batch *b, struct rt_slice s)
{
	if (s.p == NULL)
		return s;
	uint8_t *p = feed_alloc(b, s.len);
	if (s.len != 0)
		memcpy(p, s.p, s.len);
	return (struct rt_slice){ p, s.len };
}
