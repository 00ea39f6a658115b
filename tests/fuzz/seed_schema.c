/* Writes small random values of some telling records as inputs of fuzz_schema: seed_schema FOLDER. The same
 * files each time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "schema/disk_gen_random.h"
#include "schema/sample_gen_random.h"
#include "schema/wire_gen_random.h"

static const char *const wanted[] = {
	"wire_connect_request",
	"wire_create_request",
	"wire_get_acl_response",
	"wire_set_watches2",
	"wire_multi_header",
	"wire_who_am_i_response",
	"disk_segment_header",
	"disk_entry_request",
	"disk_nodes",
	"sample_outer",
	"sample_with_number",
};

/* module is what fuzz_schema's first byte says. */
static int seed_module(
	const char *folder, uint8_t module, const struct schema_kind *kinds, size_t count)
{
	struct rt_rand rnd;
	rt_rand_seed(&rnd, module);
	for (size_t i = 0; i < count; i++) {
		bool is_wanted = false;
		for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++)
			is_wanted = is_wanted || strcmp(kinds[i].name, wanted[k]) == 0;
		if (!is_wanted)
			continue;
		struct rt_buf b;
		rt_buf_init(&b, 1 << 20);
		rt_buf_char(&b, (char)module);
		rt_buf_char(&b, (char)i);
		kinds[i].make(&rnd, &b);
		char path[4096];
		snprintf(path, sizeof path, "%s/%s", folder, kinds[i].name);
		FILE *f = fopen(path, "wb");
		bool ok = f != NULL && fwrite(b.p, 1, b.len, f) == b.len;
		ok = f != NULL && fclose(f) == 0 && ok;
		rt_buf_done(&b);
		if (!ok) {
			fprintf(stderr, "%s: %s\n", path, strerror(errno));
			return -1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	if (seed_module(argv[1], 0, wire_random_kinds, wire_random_kind_count) != 0)
		return 1;
	if (seed_module(argv[1], 1, disk_random_kinds, disk_random_kind_count) != 0)
		return 1;
	return seed_module(argv[1], 2, sample_random_kinds, sample_random_kind_count) == 0 ? 0 : 1;
}
