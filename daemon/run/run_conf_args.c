/* pandod's command line. */
#include "daemon/run/run_conf_int.h"

#include "schema/errors_gen.h"

enum option_kind {
	OPT_FILE,
	OPT_DATA,
	OPT_LISTEN,
	OPT_SET,
	OPT_CHECK,
	OPT_CHECK_DATA,
	OPT_DUMP_DATA,
	OPT_VERSION,
	OPT_HELP
};

static const struct option_row {
	const char *name;
	const char *brief; /* one letter with its dash, or NULL */
	const char *value; /* what it is called, or NULL when there is none */
	enum option_kind kind;
} options[] = {
	{ "--config", "-c", "FILE", OPT_FILE },
	{ "--data", NULL, "DIR", OPT_DATA },
	{ "--listen", NULL, "ADDR:PORT", OPT_LISTEN },
	{ "--set", NULL, "KEY=VALUE", OPT_SET },
	{ "--check", NULL, NULL, OPT_CHECK },
	{ "--check-data", NULL, "DIR", OPT_CHECK_DATA },
	{ "--dump-data", NULL, "DIR", OPT_DUMP_DATA },
	{ "--version", "-V", NULL, OPT_VERSION },
	{ "--help", "-h", NULL, OPT_HELP },
};

static const char help[] =
	"usage: pandod [-c FILE] [--data DIR] [--listen ADDR:PORT] [--set KEY=VALUE]... [--check]\n"
	"       pandod --check-data DIR | --dump-data DIR\n"
	"\n"
	"A coordination server for ZooKeeper's clients.\n"
	"\n"
	"  -c, --config FILE    read this configuration file; it has the form and keys of zoo.cfg\n"
	"      --data DIR       keep the data in this folder (dataDir); default ./pando-data\n"
	"      --listen ADDR:PORT\n"
	"                       serve clients there (clientPortAddress, clientPort); default\n"
	"                       127.0.0.1:2181; *:PORT is all addresses, [ADDR]:PORT is for IPv6\n"
	"      --set KEY=VALUE  set any key of the configuration file\n"
	"      --check          check the configuration, say what is wrong with it, and end\n"
	"      --check-data DIR verify a data folder, or a copy of one, change nothing, say what is\n"
	"                       found, and end: 0 all is well, 1 damage, 2 it cannot be read\n"
	"      --dump-data DIR  print a data folder's state file and log as lines of JSON, and end\n"
	"  -V, --version        print the version and end\n"
	"  -h, --help           print this and end\n"
	"\n"
	"Options override the file, and later options earlier ones. pando.conf(5) explains the "
	"keys,\n"
	"pandod(8) the server.\n";

const char *run_conf_help(void) { return help; }

/* One option as it stands on the command line; value is NULL when it has none. */
struct given {
	const struct option_row *row;
	const char *value;
};

/* Takes the option at argv[*at] and moves on. */
static int take_option(int argc, char **argv, int *at, struct given *ret, struct rt_err *ret_err)
{
	const char *arg = argv[(*at)++];
	*ret = (struct given){ 0 };
	if (arg[0] != '-' || arg[1] == '\0')
		return rt_err_set(ret_err, PANDO_EINVAL,
			"%.*s: pandod takes options only; for a configuration file write -c %.*s",
			CUT(arg), CUT(arg));
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		const struct option_row *row = &options[i];
		size_t n = strlen(row->name);
		const char *value = NULL;
		if (strncmp(arg, row->name, n) == 0 && (arg[n] == '\0' || arg[n] == '='))
			value = arg[n] == '=' ? arg + n + 1 : NULL;
		else if (row->brief != NULL && strncmp(arg, row->brief, 2) == 0 &&
			 (row->value != NULL || arg[2] == '\0'))
			value = arg[2] != '\0' ? arg + 2 : NULL;
		else
			continue;
		if (row->value == NULL && value != NULL)
			return rt_err_set(ret_err, PANDO_EINVAL, "%s takes no value", row->name);
		if (row->value != NULL && value == NULL) {
			if (*at == argc)
				return rt_err_set(ret_err, PANDO_EINVAL,
					"%s has no value; write %s %s", row->name, row->name,
					row->value);
			value = argv[(*at)++];
		}
		*ret = (struct given){ row, value };
		return 0;
	}
	return rt_err_set(
		ret_err, PANDO_EINVAL, "%.*s: unknown option; see pandod --help", CUT(arg));
}

/* First pass: every option is well-formed; the file is known; whether anything is to be served. */
static int look_over(int argc, char **argv, const char **ret_file, enum run_conf_todo *ret_todo,
	struct rt_err *ret_err)
{
	for (int at = 1; at < argc;) {
		struct given g;
		int r = take_option(argc, argv, &at, &g, ret_err);
		if (r < 0)
			return r;
		if (g.row->kind == OPT_FILE) {
			if (*ret_file != NULL)
				return rt_err_set(ret_err, PANDO_EINVAL,
					"-c %.*s and -c %.*s: give one configuration file",
					CUT(*ret_file), CUT(g.value));
			*ret_file = g.value;
		} else if (g.row->kind == OPT_CHECK && *ret_todo == RUN_CONF_SERVE) {
			*ret_todo = RUN_CONF_CHECK;
		} else if (g.row->kind == OPT_CHECK_DATA || g.row->kind == OPT_DUMP_DATA) {
			*ret_todo = g.row->kind == OPT_CHECK_DATA ? RUN_CONF_CHECK_DATA
								  : RUN_CONF_DUMP_DATA;
		} else if (g.row->kind == OPT_VERSION || g.row->kind == OPT_HELP) {
			*ret_todo = g.row->kind == OPT_HELP ? RUN_CONF_HELP : RUN_CONF_VERSION;
			return 0;
		}
	}
	return 0;
}

static int apply_option(struct run_conf *conf, const struct given *g, struct rt_buf *notices,
	struct rt_err *ret_err)
{
	switch (g->row->kind) {
	case OPT_DATA:
	case OPT_CHECK_DATA:
	case OPT_DUMP_DATA:
		return run_conf_assign(conf, rt_slice_str("dataDir"), rt_slice_str(g->value),
			g->row->name, notices, ret_err);
	case OPT_LISTEN:
		return run_conf_listen(conf, g->value, ret_err);
	case OPT_SET:
		return run_conf_set(conf, g->value, notices, ret_err);
	case OPT_FILE:
	case OPT_CHECK:
	case OPT_VERSION:
	case OPT_HELP:
		return 0;
	}
	UNREACHABLE("kind of option");
}

int run_conf_args(int argc, char **argv, struct run_conf *conf, struct rt_buf *notices,
	enum run_conf_todo *ret_todo, struct rt_err *ret_err)
{
	const char *file = NULL;
	enum run_conf_todo todo = RUN_CONF_SERVE;
	int r = look_over(argc, argv, &file, &todo, ret_err);
	if (r < 0)
		return r;
	if (todo == RUN_CONF_VERSION || todo == RUN_CONF_HELP) {
		*ret_todo = todo;
		return 0;
	}
	if (file != NULL)
		r = run_conf_load_file(conf, file, notices, ret_err);
	for (int at = 1; r == 0 && at < argc;) {
		struct given g;
		r = take_option(argc, argv, &at, &g, ret_err);
		if (r == 0)
			r = apply_option(conf, &g, notices, ret_err);
	}
	if (r == 0)
		r = run_conf_finish(conf, notices, ret_err);
	if (r == 0)
		*ret_todo = todo;
	return r;
}
