/* Allocation for the daemon: a failure is fatal by policy (limits at admission keep it rare), so callers
 * never look at NULL. libclient does not use these. */
#ifndef PANDO_RT_MEM_H
#define PANDO_RT_MEM_H

#include <stddef.h>

void *rt_alloc(size_t bytes);
/* Zeroed; count * bytes may not overflow (fatal). */
void *rt_calloc(size_t count, size_t bytes);
void *rt_realloc(void *p, size_t bytes);
void rt_free(void *p);

#endif
