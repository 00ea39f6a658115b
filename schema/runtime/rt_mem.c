#include "schema/runtime/rt_mem.h"

#include <stdlib.h>

#include "schema/runtime/rt_assert.h"

static void *checked(void *p)
{
	if (p == NULL)
		rt_panic(__FILE__, __LINE__, "out of memory");
	return p;
}

void *rt_alloc(size_t bytes) { return checked(malloc(bytes ? bytes : 1)); }

void *rt_calloc(size_t count, size_t bytes)
{
	return checked(calloc(count ? count : 1, bytes ? bytes : 1));
}

void *rt_realloc(void *p, size_t bytes) { return checked(realloc(p, bytes ? bytes : 1)); }

void rt_free(void *p) { free(p); }
