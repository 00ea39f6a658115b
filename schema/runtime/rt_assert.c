#include "schema/runtime/rt_assert.h"

#include <stddef.h>
#include <stdlib.h>

static rt_panic_fn *panic_hook;

void rt_set_panic_hook(rt_panic_fn *hook) { panic_hook = hook; }

_Noreturn void rt_panic(const char *file, int line, const char *what)
{
	rt_panic_fn *hook = panic_hook;
	panic_hook = NULL; /* a hook that fails itself must not come back here */
	if (hook != NULL)
		hook(file, line, what);
	abort();
}
