/* The command line and the modes of the load generator; load.h tells how it works. */
#include "load.h"

#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char usage[] =
	"usage: load [options] get|set|create|mixed|fill|sessions|watch|idle\n"
	"  --server HOST:PORT[,...]  where to (127.0.0.1:2181); connections go round several\n"
	"  --connections N           sessions, each on its own connection (64)\n"
	"  --in-flight N             requests on the way on each (32); handshakes for sessions, idle\n"
	"  --size N                  bytes of data in a node (128; create 1024, fill 100)\n"
	"  --seconds S               measure so long (5); idle: hold so long\n"
	"  --count N                 instead: so many operations (fill 1000000; watch: rounds, 20)\n"
	"  --rate N                  at most so many a second in all (get, set, create, mixed; no bound)\n"
	"  --warmup S                not measured before that (1)\n"
	"  --nodes N                 nodes that get, set and mixed go over at random (1000)\n"
	"  --read-share P            percent of reads in mixed (70)\n"
	"  --fan-out N               fill: children under one parent (1000)\n"
	"  --root PATH               everything happens below it (/bench)\n"
	"  --timeout MS              session timeout to ask for (30000)\n"
	"  --threads N               of the generator (1)\n"
	"  --pid PID[,...]           report the CPU time and resident memory of these servers\n"
	"  --keep                    leave the nodes there\n"
	"  -o text|json              form of the result (text)\n"
	"idle prints its result once all sessions are open, then holds them until standard input ends\n"
	"or for --seconds. The status is 1 when any answer was not as it should be.\n";

struct options {
	struct conf conf;
	const char *mode;
	const char *root;
	double seconds; /* negative: not given */
	double warmup;
	uint64_t count; /* 0: not given */
	uint64_t nodes;
	uint64_t fan_out;
	uint32_t read_share;
	bool keep;
	bool json;
	int pids[PIDS_MAX];
	unsigned pids_n;
};

struct mode {
	const char *name;
	uint64_t (*run)(const struct options *o, struct load *l);
	uint32_t size;
	bool handshakes; /* in-flight counts handshakes: no requests wait on a connection */
};

/* ---- Options ---- */

static double number(const char *name, const char *text, double low, double high)
{
	char *end;
	double v = strtod(text, &end);
	if (end == text || *end != 0 || !(v >= low && v <= high)) {
		fprintf(stderr, "load: --%s %s: expected a number from %.0f to %.0f\n", name, text,
			low, high);
		exit(2);
	}
	return v;
}

static void add_server(struct conf *c, char *text)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
	char *colon = strrchr(text, ':');
	const char *port = colon != NULL ? colon + 1 : "2181";
	if (colon != NULL)
		*colon = 0;
	int e = getaddrinfo(text, port, &hints, &found);
	if (e != 0)
		die("server %s: %s", text, gai_strerror(e));
	if (c->servers == SERVERS_MAX)
		die("more than %d servers", SERVERS_MAX);
	memcpy(&c->server[c->servers++], found->ai_addr, sizeof c->server[0]);
	freeaddrinfo(found);
}

static void parse_list(struct options *o, const char *name, char *text)
{
	char *save = NULL;
	for (char *p = strtok_r(text, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
		if (strcmp(name, "server") == 0) {
			add_server(&o->conf, p);
		} else {
			if (o->pids_n == PIDS_MAX)
				die("more than %d pids", PIDS_MAX);
			o->pids[o->pids_n++] = (int)number("pid", p, 1, 1 << 30);
		}
	}
}

enum {
	OPT_SERVER = 256,
	OPT_CONNECTIONS,
	OPT_IN_FLIGHT,
	OPT_SIZE,
	OPT_SECONDS,
	OPT_COUNT,
	OPT_WARMUP,
	OPT_RATE,
	OPT_NODES,
	OPT_READ_SHARE,
	OPT_FAN_OUT,
	OPT_ROOT,
	OPT_TIMEOUT,
	OPT_THREADS,
	OPT_PID,
	OPT_KEEP,
	OPT_HELP,
};

static const struct option long_options[] = {
	{ "server", required_argument, NULL, OPT_SERVER },
	{ "connections", required_argument, NULL, OPT_CONNECTIONS },
	{ "in-flight", required_argument, NULL, OPT_IN_FLIGHT },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "count", required_argument, NULL, OPT_COUNT },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "nodes", required_argument, NULL, OPT_NODES },
	{ "read-share", required_argument, NULL, OPT_READ_SHARE },
	{ "fan-out", required_argument, NULL, OPT_FAN_OUT },
	{ "root", required_argument, NULL, OPT_ROOT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "threads", required_argument, NULL, OPT_THREADS },
	{ "pid", required_argument, NULL, OPT_PID },
	{ "keep", no_argument, NULL, OPT_KEEP },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static void parse_one(struct options *o, int opt, const char *name, char *arg)
{
	struct conf *c = &o->conf;
	switch (opt) {
	case OPT_SERVER:
	case OPT_PID:
		parse_list(o, name, arg);
		break;
	case OPT_CONNECTIONS:
		c->connections = (uint32_t)number(name, arg, 1, 1000000);
		break;
	case OPT_IN_FLIGHT:
		c->in_flight = (uint32_t)number(name, arg, 1, 65536);
		break;
	case OPT_SIZE:
		c->size = (uint32_t)number(name, arg, 0, 64 << 20);
		break;
	case OPT_SECONDS:
		o->seconds = number(name, arg, 0.01, 1e6);
		break;
	case OPT_COUNT:
		o->count = (uint64_t)number(name, arg, 1, NODES_MAX);
		break;
	case OPT_RATE:
		c->rate = (uint64_t)number(name, arg, 1, 1e9);
		break;
	case OPT_WARMUP:
		o->warmup = number(name, arg, 0, 1e6);
		break;
	case OPT_NODES:
		o->nodes = (uint64_t)number(name, arg, 1, NODES_MAX);
		break;
	case OPT_READ_SHARE:
		o->read_share = (uint32_t)(number(name, arg, 0, 100) * 10);
		break;
	case OPT_FAN_OUT:
		o->fan_out = (uint64_t)number(name, arg, 1, NODES_MAX);
		break;
	case OPT_ROOT:
		o->root = arg;
		break;
	case OPT_TIMEOUT:
		c->timeout_ms = (int32_t)number(name, arg, 100, 1e9);
		break;
	case OPT_THREADS:
		c->threads = (unsigned)number(name, arg, 1, THREADS_MAX);
		break;
	case OPT_KEEP:
		o->keep = true;
		break;
	case 'o':
		o->json = strcmp(arg, "json") == 0;
		if (!o->json && strcmp(arg, "text") != 0) {
			fprintf(stderr, "load: -o %s: expected text or json\n", arg);
			exit(2);
		}
		break;
	case OPT_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		fputs("load: try --help\n", stderr);
		exit(2);
	}
}

static void parse_options(struct options *o, int argc, char **argv)
{
	int opt, at = 0;
	*o = (struct options){
		.conf = { .threads = 1,
			.connections = 64,
			.in_flight = 32,
			.size = UINT32_MAX,
			.timeout_ms = 30000 },
		.root = "/bench",
		.seconds = -1,
		.warmup = 1,
		.nodes = 1000,
		.fan_out = 1000,
		.read_share = 700,
	};
	while ((opt = getopt_long(argc, argv, "o:", long_options, &at)) != -1)
		parse_one(o, opt, opt >= OPT_SERVER ? long_options[at].name : "", optarg);
	if (optind != argc - 1) {
		fputs(usage, stderr);
		exit(2);
	}
	o->mode = argv[optind];
	size_t len = strlen(o->root);
	if (o->root[0] != '/' || len < 2 || len > 200 || o->root[len - 1] == '/' ||
		strchr(o->root, '#') != NULL || strchr(o->root + 1, '/') != NULL) {
		fprintf(stderr, "load: --root %s: expected one name, such as /bench\n", o->root);
		exit(2);
	}
	if (o->conf.servers == 0) {
		char standard[] = "127.0.0.1:2181";
		add_server(&o->conf, standard);
	}
}

/* ---- What the modes share ---- */

struct path {
	char text[256];
};

static struct path path_of(const struct options *o, const char *below)
{
	struct path p;
	snprintf(p.text, sizeof p.text, "%s%s", o->root, below);
	return p;
}

/* Requests of one type on the nodes 0 .. count - 1 of a pattern, as fast as they go, all expected
 * to succeed (or to fail with also_ok). Returns the number that failed with also_ok. */
static uint64_t each_node(const struct options *o, struct load *l, enum req_type type,
	const char *below, uint64_t count, int32_t also_ok)
{
	struct path path = path_of(o, below);
	struct phase ph = { .share = 1000, .parents = 1, .count = count, .also_ok = also_ok };
	struct result res;
	tmpl_make(&ph.t[0], type, path.text, o->conf.size, false);
	load_run(l, &ph, NULL, 0, &res);
	tmpl_done(&ph.t[0]);
	if (res.errors != 0)
		die("%s %s: %llu of %llu answers were wrong",
			type == REQ_DELETE ? "removing" : "preparing", path.text,
			(unsigned long long)res.errors, (unsigned long long)count);
	return res.exists;
}

static void make_dir(const struct options *o, struct load *l, const char *below)
{
	struct path path = path_of(o, below);
	struct phase ph = { .share = 1000, .parents = 1, .count = 1, .also_ok = ERR_NODE_EXISTS };
	struct result res;
	tmpl_make(&ph.t[0], REQ_CREATE, path.text, 0, false);
	load_run(l, &ph, NULL, 0, &res);
	tmpl_done(&ph.t[0]);
	if (res.errors != 0)
		die("cannot create %s", path.text);
}

/* Somebody else's nodes may stand beside ours: the root goes only when it is empty. */
static void remove_dir(const struct options *o, struct load *l, const char *below)
{
	enum { NOT_EMPTY = -111 };
	each_node(o, l, REQ_DELETE, below, 1, NOT_EMPTY);
}

static void set_times(const struct options *o, struct phase *ph)
{
	ph->count = o->count;
	if (ph->count != 0)
		return;
	double seconds = o->seconds > 0 ? o->seconds : 5;
	ph->warm_ns = now_ns() + (uint64_t)(o->warmup * 1e9);
	ph->stop_ns = ph->warm_ns + (uint64_t)(seconds * 1e9);
}

static struct report report_of(const struct options *o, const char *unit)
{
	return (struct report){
		.mode = o->mode,
		.conf = &o->conf,
		.json = o->json,
		.unit = unit,
		.pids = o->pids,
		.pids_n = o->pids_n,
		.rss_before = pids_rss(o->pids, o->pids_n),
	};
}

static void report_end(struct report *r, const struct result *res)
{
	r->rss_after = pids_rss(r->pids, r->pids_n);
	report_print(r, res);
}

static void open_all(const struct options *o, struct load *l, uint32_t extra)
{
	struct result res;
	(void)o;
	load_open(l, extra, 32, &res);
}

/* ---- Modes ---- */

/* get, set and mixed: reads and writes at random over a fixed set of nodes. */
static uint64_t run_data(const struct options *o, struct load *l)
{
	static const char below[] = "/data/n########";
	struct path path = path_of(o, below);
	struct phase ph = { .random = true, .nodes = o->nodes, .parents = 1 };
	struct report rep;
	struct result res;
	open_all(o, l, 0);
	make_dir(o, l, "");
	make_dir(o, l, "/data");
	/* Nodes of a run before may have another size. */
	if (each_node(o, l, REQ_CREATE, below, o->nodes, ERR_NODE_EXISTS) != 0)
		each_node(o, l, REQ_SET, below, o->nodes, 0);
	ph.share = o->read_share;
	if (strcmp(o->mode, "mixed") != 0)
		ph.share = strcmp(o->mode, "get") == 0 ? 1000 : 0;
	tmpl_make(&ph.t[0], REQ_GET, path.text, o->conf.size, false);
	tmpl_make(&ph.t[1], REQ_SET, path.text, o->conf.size, false);
	rep = report_of(o, "operations");
	rep.nodes = o->nodes;
	set_times(o, &ph);
	load_run(l, &ph, o->pids, o->pids_n, &res);
	report_end(&rep, &res);
	if (!o->keep) {
		each_node(o, l, REQ_DELETE, below, o->nodes, 0);
		remove_dir(o, l, "/data");
		remove_dir(o, l, "");
	}
	load_close(l);
	tmpl_done(&ph.t[0]);
	tmpl_done(&ph.t[1]);
	return res.errors;
}

/* create and fill: new nodes in order, spread over `parents` directories. */
static uint64_t run_new(const struct options *o, struct load *l, const char *dir, uint64_t parents,
	struct phase *ph)
{
	char parent[64], node[80];
	struct report rep;
	struct result res, gone;
	if (parents > PARENTS_MAX)
		parents = PARENTS_MAX;
	snprintf(parent, sizeof parent, "%s/p########", dir);
	snprintf(node, sizeof node, "%s/p0000####/n########", dir);
	struct path path = path_of(o, node);
	open_all(o, l, 0);
	make_dir(o, l, "");
	make_dir(o, l, dir);
	each_node(o, l, REQ_CREATE, parent, parents, ERR_NODE_EXISTS);
	*ph = (struct phase){ .share = 1000, .parents = (uint32_t)parents };
	tmpl_make(&ph->t[0], REQ_CREATE, path.text, o->conf.size, false);
	rep = report_of(o, "nodes");
	set_times(o, ph);
	load_run(l, ph, o->pids, o->pids_n, &res);
	report_end(&rep, &res);
	tmpl_done(&ph->t[0]);
	if (!o->keep && res.errors == 0) {
		struct phase del = { .share = 1000, .parents = (uint32_t)parents, .own = true };
		tmpl_make(&del.t[0], REQ_DELETE, path.text, 0, false);
		load_run(l, &del, NULL, 0, &gone);
		tmpl_done(&del.t[0]);
		res.errors += gone.errors;
		each_node(o, l, REQ_DELETE, parent, parents, 0);
		remove_dir(o, l, dir);
		remove_dir(o, l, "");
	}
	load_close(l);
	return res.errors;
}

/* Under a directory of this run's own, so that what an interrupted run left is not in the way. */
static uint64_t run_create(const struct options *o, struct load *l)
{
	struct phase ph;
	char dir[32];
	snprintf(dir, sizeof dir, "/create-%d", (int)getpid());
	return run_new(o, l, dir, 64, &ph);
}

static uint64_t run_fill(const struct options *o, struct load *l)
{
	struct options fill = *o;
	struct phase ph;
	if (fill.count == 0)
		fill.count = 1000000;
	return run_new(&fill, l, "/fill", (fill.count + fill.fan_out - 1) / fill.fan_out, &ph);
}

static void open_reported(const struct options *o, struct load *l, uint32_t window)
{
	struct report rep = report_of(o, "sessions");
	struct result res;
	double before = pids_cpu_seconds(o->pids, o->pids_n);
	load_open(l, 0, window, &res);
	res.server_cpu = pids_cpu_seconds(o->pids, o->pids_n) - before;
	report_end(&rep, &res);
}

static uint64_t run_sessions(const struct options *o, struct load *l)
{
	open_reported(o, l, o->conf.in_flight);
	load_close(l);
	return 0;
}

static void *idle_until(void *arg)
{
	struct load *l = arg;
	load_hold(l);
	return NULL;
}

static uint64_t run_idle(const struct options *o, struct load *l)
{
	pthread_t hold;
	uint64_t end = o->seconds > 0 ? now_ns() + (uint64_t)(o->seconds * 1e9) : UINT64_MAX;
	open_reported(o, l, o->conf.in_flight);
	if (pthread_create(&hold, NULL, idle_until, l) != 0)
		die("cannot make a thread");
	/* With a time given, standard input does not matter: it may be /dev/null. */
	while (now_ns() < end) {
		struct pollfd in = { .fd = o->seconds > 0 ? -1 : STDIN_FILENO, .events = POLLIN };
		char sink[4096];
		if (poll(&in, 1, 100) > 0 && read(STDIN_FILENO, sink, sizeof sink) <= 0)
			break;
	}
	atomic_store(&l->end, true);
	pthread_join(hold, NULL);
	load_close(l);
	return 0;
}

/* One round: every connection asks for the node with a watch, one more writes it, and the time runs
 * from that write to the last connection that has heard of it. */
static uint64_t watch_round(struct worker *w, const struct tmpl *get, const struct tmpl *set)
{
	uint32_t watchers = w->conns_n - 1;
	w->event_ns = 0;
	w->events = 0;
	w->quiet_since = now_ns();
	for (uint32_t i = 0; i < watchers; i++)
		conn_send(w, &w->conns[i], get);
	while (w->outstanding != 0)
		worker_turn(w, 1000);
	if (w->events != 0)
		die("%llu events before anything changed", (unsigned long long)w->events);
	w->event_ns = now_ns();
	conn_send(w, &w->conns[watchers], set);
	while (w->outstanding != 0 || w->events < watchers)
		worker_turn(w, 1000);
	if (w->events != watchers)
		die("%llu events for %u watchers", (unsigned long long)w->events, watchers);
	return w->now - w->event_ns;
}

static uint64_t run_watch(const struct options *o, struct load *l)
{
	uint64_t rounds = o->count != 0 ? o->count : 20;
	struct path path = path_of(o, "/watched");
	struct tmpl get, set;
	struct report rep;
	struct result res = { 0 };
	l->conf.threads = 1;
	open_all(o, l, 1);
	struct worker *w = &l->workers[0];
	make_dir(o, l, "");
	make_dir(o, l, "/watched");
	tmpl_make(&get, REQ_GET, path.text, 0, true);
	get.reply_len = 0;
	tmpl_make(&set, REQ_SET, path.text, o->conf.size, false);
	watch_round(w, &get, &set);
	rep = report_of(o, "events");
	memset(&w->hist, 0, sizeof w->hist);
	res.own_cpu = -own_cpu_seconds();
	res.server_cpu = -pids_cpu_seconds(o->pids, o->pids_n);
	struct hist told = { 0 };
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t ns = watch_round(w, &get, &set);
		hist_add(&told, ns);
		res.seconds += (double)ns / 1e9;
		res.done += w->events;
	}
	res.own_cpu += own_cpu_seconds();
	res.server_cpu += pids_cpu_seconds(o->pids, o->pids_n);
	res.errors = w->errors;
	res.hist = told;
	if (!o->json)
		printf("%llu rounds; one event, from the write: p50 %.1f p99 %.1f max %.1f µs; "
		       "until all %u are told:\n",
			(unsigned long long)rounds, (double)hist_at(&w->hist, 0.5) / 1e3,
			(double)hist_at(&w->hist, 0.99) / 1e3, (double)w->hist.max / 1e3,
			o->conf.connections);
	report_end(&rep, &res);
	w->errors = 0;
	if (!o->keep) {
		remove_dir(o, l, "/watched");
		remove_dir(o, l, "");
	}
	load_close(l);
	tmpl_done(&get);
	tmpl_done(&set);
	return res.errors;
}

/* ---- Main ---- */

static const struct mode modes[] = {
	{ "get", run_data, 128, false },
	{ "set", run_data, 128, false },
	{ "mixed", run_data, 128, false },
	{ "create", run_create, 1024, false },
	{ "fill", run_fill, 100, false },
	{ "sessions", run_sessions, 0, true },
	{ "idle", run_idle, 0, true },
	{ "watch", run_watch, 128, false },
};

static const struct mode *find_mode(const char *name)
{
	for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	}
	fprintf(stderr, "load: %s: no such mode\n%s", name, usage);
	exit(2);
}

static void raise_files(uint32_t connections)
{
	struct rlimit r;
	rlim_t want = (rlim_t)connections + 64;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= want)
		return;
	if (r.rlim_max < want)
		r.rlim_max = want; /* root may */
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0)
		die("%u connections need more open files than this user may have (ulimit -Hn)",
			connections);
}

int main(int argc, char **argv)
{
	struct options o;
	static struct load l;
	parse_options(&o, argc, argv);
	const struct mode *m = find_mode(o.mode);
	if (o.conf.size == UINT32_MAX)
		o.conf.size = m->size;
	if (o.conf.threads > o.conf.connections)
		o.conf.threads = o.conf.connections;
	raise_files(o.conf.connections);
	l.conf = o.conf;
	if (m->handshakes)
		l.conf.in_flight = 1; /* no rings of slots for connections that send nothing */
	return m->run(&o, &l) == 0 ? 0 : 1;
}
