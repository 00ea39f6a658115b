/* Assertions: for programmer errors only, never for what a client, a peer, a disk or a file says.
 * They stay on in release builds. A failed one calls the panic hook (daemon/run prints and flushes
 * there), then traps. */
#ifndef PANDO_RT_ASSERT_H
#define PANDO_RT_ASSERT_H

typedef void rt_panic_fn(const char *file, int line, const char *what);

/* Sets what a failed assertion calls before the process ends; NULL for nothing. Not thread-safe: set it
 * once, before threads start. */
void rt_set_panic_hook(rt_panic_fn *hook);

/* Never returns. */
_Noreturn void rt_panic(const char *file, int line, const char *what);

#define ASSERT(cond) (__builtin_expect(!!(cond), 1) ? (void)0 : rt_panic(__FILE__, __LINE__, #cond))
#define UNREACHABLE(why) rt_panic(__FILE__, __LINE__, "unreachable: " why)

#endif
