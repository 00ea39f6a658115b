/* The four-letter words, in the formats that monitoring agents parse. Those that concern connections are asked
 * of every shard in turn (a letter to each; the last one's answer goes back to the shard that was asked). */
#include "daemon/run/run_int.h"

#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config.h"
#include "schema/runtime/rt_mem.h"

/* Clients and agents compare versions with ZooKeeper's; what follows the dash says who really answers. */
#define VERSION_TEXT "3.8.0-pando-" PANDO_VERSION ", built from source"

#define ANSWER_MAX (1u << 30)

enum word_kind { WORD_PLAIN, WORD_GATHER };

struct word {
	char name[5];
	enum word_kind kind;
	bool lists; /* needs a line for each connection */
	void (*print)(struct run_io *io, struct io_gather *g, struct rt_buf *out);
};

static void print_ruok(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	rt_buf_str(out, "imok");
}
static void print_isro(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	rt_buf_str(out, "rw");
}

static void print_conf(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	const struct run_conf *conf = io->run->conf;
	run_conf_print(conf, false, out);
	if (conf->data_log_dir == NULL)
		rt_buf_fmt(out, "dataLogDir=%s\n", run_conf_log_dir(conf));
}

static void print_envi(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	struct utsname u;
	char host[256] = "?", dir[4096] = "?";
	gethostname(host, sizeof host - 1);
	if (uname(&u) != 0)
		memset(&u, 0, sizeof u);
	if (getcwd(dir, sizeof dir) == NULL)
		memcpy(dir, "?", 2);
	rt_buf_fmt(out, "Environment:\nzookeeper.version=%s\nhost.name=%s\npando.version=%s\n",
		VERSION_TEXT, host, PANDO_VERSION);
	rt_buf_fmt(out, "os.name=%s\nos.arch=%s\nos.version=%s\nuser.id=%u\nuser.dir=%s\n",
		u.sysname, u.machine, u.release, (unsigned)geteuid(), dir);
}

static struct srv_stats sum_of(const struct run *r, const struct io_gather *g)
{
	struct srv_stats sum = { 0 };
	for (uint32_t i = 0; i < r->io_count; i++)
		srv_stats_add(&sum, &g->stats[i]);
	return sum;
}

static void put_latency(struct rt_buf *out, const struct srv_stats *s)
{
	uint64_t avg = s->latency_count > 0 ? s->latency_sum_ms * 10000 / s->latency_count : 0;
	rt_buf_fmt(out, "Latency min/avg/max: %llu/", (unsigned long long)s->latency_min_ms);
	rt_buf_fixed(out, avg, 4);
	rt_buf_fmt(out, "/%llu\n", (unsigned long long)s->latency_max_ms);
}

static void put_server(struct run *r, const struct srv_stats *s, struct rt_buf *out)
{
	const struct state *view = node_state(r->node);
	struct state_counts n;
	state_counts(view, &n);
	put_latency(out, s);
	rt_buf_fmt(out, "Received: %llu\nSent: %llu\nConnections: %llu\nOutstanding: %llu\n",
		(unsigned long long)s->received, (unsigned long long)s->sent,
		(unsigned long long)s->connections, (unsigned long long)s->outstanding);
	rt_buf_fmt(out, "Zxid: 0x%llx\nMode: standalone\nNode count: %llu\n",
		(unsigned long long)state_zxid(view), (unsigned long long)n.nodes);
}

static void print_srvr(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	struct srv_stats sum = sum_of(io->run, g);
	rt_buf_fmt(out, "Zookeeper version: %s\n", VERSION_TEXT);
	put_server(io->run, &sum, out);
}

static void print_stat(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	struct srv_stats sum = sum_of(io->run, g);
	rt_buf_fmt(out, "Zookeeper version: %s\nClients:\n", VERSION_TEXT);
	for (uint32_t i = 0; i < io->run->io_count; i++)
		rt_buf_put(out, g->lines[i].p, g->lines[i].len);
	rt_buf_char(out, '\n');
	put_server(io->run, &sum, out);
}

static void print_cons(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	for (uint32_t i = 0; i < io->run->io_count; i++)
		rt_buf_put(out, g->lines[i].p, g->lines[i].len);
	rt_buf_char(out, '\n');
}

static void print_wchs(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	struct srv_stats s = sum_of(io->run, g);
	rt_buf_fmt(out, "%llu connections watching %llu paths\nTotal watches:%llu\n",
		(unsigned long long)s.watching, (unsigned long long)s.watch_paths,
		(unsigned long long)s.watches);
}

static void dump_line(void *arg, int64_t session_id, const struct rt_slice *path)
{
	struct rt_buf *out = arg;
	if (path == NULL) {
		rt_buf_fmt(out, "0x%llx:\n", (unsigned long long)session_id);
		return;
	}
	rt_buf_char(out, '\t');
	rt_buf_slice(out, *path);
	rt_buf_char(out, '\n');
}

static void dump_count(void *arg, int64_t session_id, const struct rt_slice *path)
{
	if (path == NULL)
		++*(uint64_t *)arg;
}

static void print_dump(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	const struct state *view = node_state(io->run->node);
	uint64_t with = 0;
	state_each_ephemeral(view, dump_count, &with);
	rt_buf_str(out, "SessionTracker dump:\n");
	struct state_counts n;
	state_counts(view, &n);
	rt_buf_fmt(out, "Sessions (%llu)\n", (unsigned long long)n.sessions);
	rt_buf_fmt(out, "ephemeral nodes dump:\nSessions with Ephemerals (%llu):\n",
		(unsigned long long)with);
	state_each_ephemeral(view, dump_line, out);
}

static uint64_t open_descriptors(void)
{
	uint64_t n = 0;
	DIR *d = opendir("/proc/self/fd");
	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ., .. and the folder itself */
}

static void put_metric(struct rt_buf *out, const char *name, uint64_t v)
{
	rt_buf_fmt(out, "%s\t%llu\n", name, (unsigned long long)v);
}

static void put_log_metrics(struct run *r, struct rt_buf *out)
{
	uint64_t fsyncs = atomic_load(&r->fsyncs);
	put_metric(out, "zk_fsynctime_cnt", fsyncs);
	put_metric(out, "zk_max_fsynctime", atomic_load(&r->fsync_us_max) / 1000);
	rt_buf_str(out, "zk_avg_fsynctime\t");
	rt_buf_fixed(out, fsyncs > 0 ? atomic_load(&r->fsync_us) * 10 / fsyncs : 0, 4);
	rt_buf_char(out, '\n');
	put_metric(out, "pando_log_bytes", atomic_load(&r->log_bytes));
	put_metric(out, "pando_log_spares", atomic_load(&r->log_spares));
	put_metric(out, "pando_log_recycled", atomic_load(&r->log_recycled));
	put_metric(out, "pando_state_index", atomic_load(&r->state_index));
	put_metric(out, "pando_state_bytes", atomic_load(&r->state_bytes));
	put_metric(out, "pando_state_wal_bytes", atomic_load(&r->wal_bytes));
	put_metric(out, "pando_state_rows_waiting", atomic_load(&r->fold_rows));
	put_metric(out, "pando_disk_full", atomic_load(&r->disk_full) ? 1 : 0);
	put_metric(out, "pando_slow_fsyncs", atomic_load(&r->slow_fsyncs));
	put_metric(out, "pando_slow_turns", atomic_load(&r->slow_turns));
	put_metric(out, "pando_slow_applies", atomic_load(&r->slow_applies));
	put_metric(out, "pando_slow_locks", atomic_load(&r->slow_locks));
	put_metric(out, "pando_term", atomic_load(&r->term));
	put_metric(out, "pando_stalled_ms", atomic_load(&r->stalled_ms));
}

static void put_connection_metrics(struct run *r, const struct srv_stats *s, struct rt_buf *out)
{
	put_metric(out, "zk_watch_count", s->watches);
	pthread_mutex_lock(&r->gate.mutex);
	put_metric(out, "zk_connection_rejected", r->gate.refused);
	pthread_mutex_unlock(&r->gate.mutex);
	put_metric(out, "zk_stale_sessions_expired", atomic_load(&r->expired_sessions));
	put_metric(out, "pando_handshakes_expired", s->sessions_refused);
	put_metric(out, "pando_handshakes_ahead", s->closed_ahead);
	put_metric(out, "pando_frames_refused", s->frames_refused);
	put_metric(out, "pando_requests_undecodable", s->undecodable);
	put_metric(out, "pando_auth_failed", s->auth_failed);
	put_metric(out, "pando_watch_events", s->events);
	put_metric(out, "pando_growth_refused", s->growth_refused);
}

static void print_mntr(struct run_io *io, struct io_gather *g, struct rt_buf *out)
{
	struct run *r = io->run;
	struct srv_stats s = sum_of(r, g);
	struct state_counts n;
	struct rlimit files = { 0 };
	state_counts(node_state(r->node), &n);
	getrlimit(RLIMIT_NOFILE, &files);
	rt_buf_fmt(out, "zk_version\t%s\nzk_server_state\tstandalone\n", VERSION_TEXT);
	put_metric(out, "zk_uptime", (uint64_t)(run_wall_ms() - r->start_wall_ms));
	rt_buf_str(out, "zk_avg_latency\t");
	rt_buf_fixed(out, s.latency_count > 0 ? s.latency_sum_ms * 10000 / s.latency_count : 0, 4);
	rt_buf_char(out, '\n');
	put_metric(out, "zk_max_latency", s.latency_max_ms);
	put_metric(out, "zk_min_latency", s.latency_min_ms);
	put_metric(out, "zk_packets_received", s.received);
	put_metric(out, "zk_packets_sent", s.sent);
	put_metric(out, "zk_num_alive_connections", s.connections);
	put_metric(out, "zk_outstanding_requests", s.outstanding);
	put_metric(out, "zk_znode_count", n.nodes);
	put_metric(out, "zk_ephemerals_count", n.ephemerals);
	put_metric(out, "zk_approximate_data_size", n.data_bytes);
	put_metric(out, "zk_global_sessions", n.sessions);
	put_metric(out, "zk_open_file_descriptor_count", open_descriptors());
	put_metric(out, "zk_max_file_descriptor_count", files.rlim_cur);
	put_connection_metrics(r, &s, out);
	put_log_metrics(r, out);
}

static const struct word words[] = {
	{ "ruok", WORD_PLAIN, false, print_ruok },
	{ "isro", WORD_PLAIN, false, print_isro },
	{ "conf", WORD_PLAIN, false, print_conf },
	{ "envi", WORD_PLAIN, false, print_envi },
	{ "srvr", WORD_GATHER, false, print_srvr },
	{ "stat", WORD_GATHER, true, print_stat },
	{ "cons", WORD_GATHER, true, print_cons },
	{ "wchs", WORD_GATHER, false, print_wchs },
	{ "dump", WORD_GATHER, false, print_dump },
	{ "mntr", WORD_GATHER, false, print_mntr },
};

static const struct word *find(const char *name)
{
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (memcmp(words[i].name, name, 4) == 0)
			return &words[i];
	return NULL;
}

static void answer(struct run_io *io, uint64_t conn, struct rt_buf *out)
{
	srv_word_answer(io->srv, conn, rt_slice_of(out->p, out->len));
	rt_buf_done(out);
}

void words_begin(struct run_io *io, const struct srv_word *asked)
{
	struct run *r = io->run;
	const struct word *word = find(asked->word);
	struct rt_buf out;
	rt_buf_init(&out, ANSWER_MAX);
	if (word == NULL || !run_conf_allows_word(r->conf, asked->word)) {
		if (word != NULL)
			rt_buf_fmt(&out, "%s is not executed because it is not in the whitelist.\n",
				asked->word);
		say_limited(&io->refused, run_now_ms(), RUN_CONF_WARN,
			"four-letter word %s refused: %s", asked->word,
			word == NULL ? "no such word" : "not in 4lw.commands.whitelist");
		answer(io, asked->conn, &out);
		return;
	}
	if (word->kind == WORD_PLAIN) {
		word->print(io, NULL, &out);
		answer(io, asked->conn, &out);
		return;
	}
	struct io_gather *g = rt_calloc(1, sizeof *g);
	g->word = *asked;
	g->asker = io;
	atomic_init(&g->left, r->io_count);
	for (uint32_t i = 0; i < r->io_count; i++) {
		rt_buf_init(&g->lines[i], ANSWER_MAX);
		g->letters[i].kind = IO_GATHER;
	}
	for (uint32_t i = 0; i < r->io_count; i++)
		mail_put(&r->ios[i].mail, &g->letters[i]);
}

void words_part(struct run_io *io, struct io_gather *g)
{
	uint32_t n = io->number;
	const struct word *word = find(g->word.word);
	srv_stats(io->srv, &g->stats[n]);
	if (word->lists)
		srv_list_conns(io->srv, memcmp(word->name, "stat", 4) == 0, &g->lines[n]);
	if (atomic_fetch_sub(&g->left, 1) > 1)
		return;
	g->letters[0].kind = IO_GATHERED;
	mail_put(&g->asker->mail, &g->letters[0]);
}

void words_finish(struct run_io *io, struct io_gather *g)
{
	struct rt_buf out;
	rt_buf_init(&out, ANSWER_MAX);
	find(g->word.word)->print(io, g, &out);
	answer(io, g->word.conn, &out);
	for (uint32_t i = 0; i < io->run->io_count; i++)
		rt_buf_done(&g->lines[i]);
	rt_free(g);
}
