/* Fuzz target: the text of a configuration file. Whatever the bytes are, the parser says yes or no
 * and stays within them; a text that it takes, and that can be printed, reads back as the same
 * configuration. */
#include "daemon/run/run_conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_again(const struct run_conf *conf)
{
	struct rt_buf first, second;
	struct rt_err err;
	struct run_conf again;
	rt_buf_init(&first, 1 << 22);
	rt_buf_init(&second, 1 << 22);
	run_conf_print(conf, true, &first);
	run_conf_defaults(&again);
	int r = run_conf_parse_text(&again, "printed", first.p, first.len, NULL, &err);
	ASSERT(r == 0);
	r = run_conf_finish(&again, NULL, &err);
	ASSERT(r == 0);
	run_conf_print(&again, true, &second);
	ASSERT(first.len == second.len);
	ASSERT(memcmp(first.p, second.p, first.len) == 0);
	run_conf_done(&again);
	rt_buf_done(&first);
	rt_buf_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run_conf conf;
	struct rt_buf notices;
	struct rt_err err;
	rt_buf_init(&notices, 1 << 20);
	run_conf_defaults(&conf);
	if (run_conf_parse_text(&conf, "fuzz", data, size, &notices, &err) == 0 &&
		run_conf_finish(&conf, &notices, &err) == 0)
		print_again(&conf);
	run_conf_done(&conf);
	rt_buf_done(&notices);
	return 0;
}
