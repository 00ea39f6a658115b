/* What tests and fuzzers know of a record of any module: the generator writes a table of these, so that one
 * test walks them all. Not part of what the daemon or the library is linked from. */
#ifndef PANDO_SCHEMA_KIND_H
#define PANDO_SCHEMA_KIND_H

#include "schema/runtime/rt_buf.h"
#include "schema/runtime/rt_rand.h"

struct schema_kind {
	const char *name;
	size_t fixed_bytes; /* 0 when the size depends on the value */

	/* Appends a random value, encoded, to out (asserted to have room), after asserting that it decodes to
	 * itself and has the size announced. */
	void (*make)(struct rt_rand *rnd, struct rt_buf *out);

	/* Decodes the bytes: PANDO_EPROTO, or 0 with the bytes that the value took in *ret_used. Then it has
	 * dumped the value to text, encoded it, decoded that, and asserted that sizes and values agree. */
	int (*check)(const uint8_t *bytes, size_t len, struct rt_buf *text, size_t *ret_used);
};

#endif
