/* How many connections may be served: in all (maxCnxns) and from one address (maxClientCnxns). */
#include "daemon/run/run_int.h"

#include <string.h>

#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_mem.h"

void gate_init(struct run_gate *g)
{
	*g = (struct run_gate){ 0 };
	pthread_mutex_init(&g->mutex, NULL);
	rt_set_init(&g->by_address);
}

void gate_done(struct run_gate *g)
{
	uint32_t at = 0;
	for (void *e = rt_set_each(&g->by_address, &at); e != NULL;
		e = rt_set_each(&g->by_address, &at))
		rt_free(e);
	rt_set_done(&g->by_address);
	pthread_mutex_destroy(&g->mutex);
}

static struct run_gate_entry *find(const struct run_gate *g, const char *address, uint32_t hash)
{
	uint32_t at;
	struct run_gate_entry *e = rt_set_first(&g->by_address, hash, &at);
	while (e != NULL && strcmp(e->address, address) != 0)
		e = rt_set_next(&g->by_address, hash, &at);
	return e;
}

static uint32_t hash_of(const char *address)
{
	return (uint32_t)rt_hash(address, strlen(address), 0);
}

bool gate_enter(struct run *r, const char *address)
{
	struct run_gate *g = &r->gate;
	uint32_t hash = hash_of(address);
	const char *why = NULL;
	pthread_mutex_lock(&g->mutex);
	struct run_gate_entry *e = find(g, address, hash);
	if (r->conf->max_cnxns > 0 && g->total >= (uint64_t)r->conf->max_cnxns)
		why = "maxCnxns connections are open";
	else if (r->conf->max_client_cnxns > 0 && e != NULL &&
		 e->count >= (uint64_t)r->conf->max_client_cnxns)
		why = "maxClientCnxns connections are open from there";
	if (why == NULL) {
		if (e == NULL) {
			e = rt_calloc(1, sizeof *e);
			e->hash = hash;
			memcpy(e->address, address, strnlen(address, sizeof e->address - 1));
			rt_set_add(&g->by_address, hash, e);
		}
		e->count++;
		g->total++;
	} else {
		g->refused++;
		say_limited(&g->limiter, run_now_ms(), RUN_CONF_WARN, "%s: connection refused: %s",
			address, why);
	}
	pthread_mutex_unlock(&g->mutex);
	return why == NULL;
}

void gate_leave(struct run *r, const char *address)
{
	struct run_gate *g = &r->gate;
	uint32_t hash = hash_of(address);
	pthread_mutex_lock(&g->mutex);
	struct run_gate_entry *e = find(g, address, hash);
	ASSERT(e != NULL);
	g->total--;
	if (--e->count == 0) {
		rt_set_remove(&g->by_address, hash, e);
		rt_free(e);
	}
	pthread_mutex_unlock(&g->mutex);
}
