#include "schema/runtime/rt_blob.h"

#include <stdlib.h>

struct rt_blob *rt_blob_new(struct rt_slice s)
{
	if (s.p == NULL)
		return NULL;
	struct rt_blob *b = malloc(sizeof *b + s.len);
	if (b == NULL)
		rt_panic(__FILE__, __LINE__, "out of memory");
	b->refs = 1;
	b->len = s.len;
	if (s.len != 0)
		memcpy(b->bytes, s.p, s.len);
	return b;
}

void rt_blob_unref(struct rt_blob *b)
{
	if (b == NULL)
		return;
	ASSERT(b->refs > 0);
	if (--b->refs == 0)
		free(b);
}
