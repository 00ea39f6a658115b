/* Immutable bytes with a reference count, shared by the tree, the feed and whoever reads it. The count is
 * a plain number: only the core thread (in tests: the one thread) may ref and unref; others read. */
#ifndef PANDO_RT_BLOB_H
#define PANDO_RT_BLOB_H

#include "schema/runtime/rt_codec.h"

struct rt_blob {
	uint32_t refs;
	uint32_t len;
	uint8_t bytes[];
};

/* A copy of s with one reference; NULL for the null slice. */
struct rt_blob *rt_blob_new(struct rt_slice s);

static inline struct rt_blob *rt_blob_ref(struct rt_blob *b)
{
	if (b != NULL)
		b->refs++;
	return b;
}

/* NULL is fine. */
void rt_blob_unref(struct rt_blob *b);

static inline struct rt_slice rt_blob_slice(const struct rt_blob *b)
{
	return b ? (struct rt_slice){ b->bytes, b->len } : (struct rt_slice){ NULL, 0 };
}

#endif
