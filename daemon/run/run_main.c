/* pandod: start, wait for a signal, end in order. */
#include "daemon/run/run_int.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "schema/runtime/rt_mem.h"

_Noreturn void run_fatal(const char *fmt, ...)
{
	struct rt_buf text;
	rt_buf_init(&text, 8u << 10);
	va_list ap;
	va_start(ap, fmt);
	rt_buf_vfmt(&text, fmt, ap);
	va_end(ap);
	say(RUN_CONF_ERROR, "pandod ends: %.*s", (int)text.len, (const char *)text.p);
	_exit(1);
}

static void on_panic(const char *file, int line, const char *what)
{
	say(RUN_CONF_ERROR,
		"pandod ends: a thing that cannot be is so (%s:%d: %s); please report this", file,
		line, what);
}

static uint32_t io_threads(const struct run_conf *conf)
{
	long n = conf->io_threads > 0 ? (long)conf->io_threads : sysconf(_SC_NPROCESSORS_ONLN);
	return n < 1 ? 1 : n > (long)LIMIT_IO_THREADS ? LIMIT_IO_THREADS : (uint32_t)n;
}

/* As many descriptors as the administrator allows: each client is one. */
static void raise_files(void)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static void start_thread(pthread_t *t, void *(*fn)(void *), void *arg, const char *name)
{
	int rc = pthread_create(t, NULL, fn, arg);
	if (rc != 0)
		run_fatal("cannot start a thread: %s", strerror(rc));
	pthread_setname_np(*t, name);
}

static void run_init(struct run *r, const struct run_conf *conf)
{
	memset(r, 0, sizeof *r);
	r->conf = conf;
	r->fs = &store_fs_posix;
	r->io_count = io_threads(conf);
	r->start_wall_ms = run_wall_ms();
	for (size_t i = 0; i < LIMIT_FEED_BATCHES; i++)
		feed_init(&r->feed[i]);
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	/* the core must never starve behind readers that come and come */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&r->tree, &attr);
	pthread_rwlockattr_destroy(&attr);
	pthread_mutex_init(&r->pool_mutex, NULL);
	mail_init(&r->core_mail, NULL, NULL);
	mail_init(&r->log_mail, NULL, NULL);
	mail_init(&r->store_mail, NULL, NULL);
	gate_init(&r->gate);
	r->log_dir = folder_join(run_conf_log_dir(conf), "log");
}

static void run_done(struct run *r)
{
	for (uint32_t i = 0; i < r->io_count; i++)
		io_done(&r->ios[i]);
	for (size_t i = 0; i < LIMIT_FEED_BATCHES; i++)
		feed_done(&r->feed[i]);
	store_fold_free(r->fold);
	store_db_close(r->db);
	node_free(r->node);
	store_log_close(r->log);
	while (r->pool != NULL) {
		struct run_proposals *p = r->pool;
		r->pool = (struct run_proposals *)p->letter.next;
		rt_buf_done(&p->buf);
		rt_free(p);
	}
	mail_done(&r->core_mail);
	mail_done(&r->log_mail);
	mail_done(&r->store_mail);
	gate_done(&r->gate);
	pthread_mutex_destroy(&r->pool_mutex);
	pthread_rwlock_destroy(&r->tree);
	free(r->log_dir);
}

/* What START asks for: the first entries go to the log before anything else can. */
static void start_node(struct run *r, const struct store_log_tail *tail)
{
	struct node_effects fx;
	struct node_event ev = { .kind = NODE_START,
		.now_ms = run_now_ms(),
		.wall_ms = run_wall_ms(),
		.index = tail->last_index,
		.hs = { tail->hard_state.term, tail->hard_state.vote } };
	node_step(r->node, &ev, &fx);
	core_persist(r, &fx);
}

static int serve(struct run *r, struct rt_err *ret_err)
{
	const struct run_conf *conf = r->conf;
	int64_t from_ms = run_now_ms();
	struct store_log_tail tail;
	int rc = start_recover(r, &tail, ret_err);
	if (rc != 0)
		return rc;
	if (tail.torn_bytes > 0)
		say(RUN_CONF_WARN,
			"the log's last %llu bytes were never confirmed as synced and are cut off: "
			"nothing that was acknowledged "
			"is lost",
			(unsigned long long)tail.torn_bytes);
	for (uint32_t i = 0; rc == 0 && i < r->io_count; i++)
		rc = io_init(r, i, ret_err);
	int fd = -1;
	uint16_t port = 0;
	if (rc == 0)
		rc = tr_bind(conf->client_addr, (uint16_t)conf->client_port,
			(int)conf->listen_backlog, &fd, &port, ret_err);
	if (rc != 0)
		return rc;
	struct state_counts n;
	state_counts(node_state(r->node), &n);
	int64_t zxid = state_zxid(node_state(r->node));
	start_node(r, &tail);
	start_thread(&r->log_thread, log_main, r, "log");
	start_thread(&r->store_thread, store_main, r, "store");
	start_thread(&r->core_thread, core_main, r, "core");
	tr_listen(r->ios[0].loop, fd);
	for (uint32_t i = 0; i < r->io_count; i++)
		start_thread(&r->ios[i].thread, io_main, &r->ios[i], "io");
	bool v6 = conf->client_addr != NULL && strchr(conf->client_addr, ':') != NULL;
	say(RUN_CONF_INFO,
		"serving on %s%s%s:%u, data in %s, last zxid 0x%llx, %llu nodes, started in %lld ms",
		v6 ? "[" : "", conf->client_addr != NULL ? conf->client_addr : "*", v6 ? "]" : "",
		port, conf->data_dir, (unsigned long long)zxid, (unsigned long long)n.nodes,
		(long long)(run_now_ms() - from_ms));
	store_want_spare(r);
	return 0;
}

static struct run_letter *letter_of(int kind)
{
	struct run_letter *letter = rt_calloc(1, sizeof *letter);
	letter->kind = kind;
	return letter;
}

/* Stops reading, answers what was read, closes; then the core, then the log with its last mark. */
static void stop(struct run *r)
{
	atomic_store(&r->stopping, true);
	for (uint32_t i = 0; i < r->io_count; i++)
		mail_put(&r->ios[i].mail, letter_of(IO_STOP));
	for (uint32_t i = 0; i < r->io_count; i++)
		pthread_join(r->ios[i].thread, NULL);
	mail_put(&r->core_mail, letter_of(CORE_STOP));
	pthread_join(r->core_thread, NULL);
	mail_put(&r->log_mail, letter_of(LOG_STOP));
	pthread_join(r->log_thread, NULL);
	mail_put(&r->store_mail, letter_of(STORE_STOP));
	pthread_join(r->store_thread, NULL);
}

static int run_server(const struct run_conf *conf)
{
	static struct run run;
	struct rt_err err;
	int lock_fds[2] = { -1, -1 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL); /* threads inherit it; this one waits */
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	umask(0077); /* passwords of sessions are in these files */
	/* buffers of a turn come and go: keep their memory instead of asking the kernel each time */
	mallopt(M_MMAP_THRESHOLD,
		128 << 10); /* what is larger goes back to the kernel when it is freed */
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	if (conf->unsafe_no_fsync)
		say(RUN_CONF_WARN,
			"unsafeNoFsync is on: WRITES ARE LOST when this machine stops. For tests only.");
	if (folder_open(conf, lock_fds, &err) != 0) {
		say(RUN_CONF_ERROR, "%s", err.text);
		return 1;
	}
	run_init(&run, conf);
	if (serve(&run, &err) != 0) {
		say(RUN_CONF_ERROR, "%s", err.text);
		return 1;
	}
	int sig = 0;
	while (sigwait(&set, &sig) != 0)
		continue;
	say(RUN_CONF_INFO, "stopping on %s: no new requests, answering what was read",
		sig == SIGTERM ? "SIGTERM" : "SIGINT");
	stop(&run);
	int64_t zxid = state_zxid(node_state(run.node));
	run_done(&run);
	for (int i = 0; i < 2; i++)
		if (lock_fds[i] >= 0)
			close(lock_fds[i]);
	say(RUN_CONF_INFO, "stopped, last zxid 0x%llx", (unsigned long long)zxid);
	return 0;
}

static void print_notices(const struct rt_buf *notices)
{
	const uint8_t *p = notices->p, *end = notices->p + notices->len;
	while (p < end) {
		const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl != NULL ? (size_t)(nl - p) : (size_t)(end - p);
		say(RUN_CONF_INFO, "%.*s", (int)n, (const char *)p);
		p += n + 1;
	}
}

int main(int argc, char **argv)
{
	struct run_conf conf;
	struct rt_buf notices;
	struct rt_err err;
	enum run_conf_todo todo;
	rt_set_panic_hook(on_panic);
	rt_buf_init(&notices, 1u << 20);
	run_conf_defaults(&conf);
	int status = 0;
	if (run_conf_args(argc, argv, &conf, &notices, &todo, &err) != 0) {
		fprintf(stderr, "pandod: %s\n", err.text);
		status = 1;
	} else if (todo == RUN_CONF_VERSION) {
		printf("pandod %s\n", PANDO_VERSION);
	} else if (todo == RUN_CONF_HELP) {
		fputs(run_conf_help(), stdout);
	} else {
		say_init(
			(enum run_conf_level)conf.log_level, (enum run_conf_format)conf.log_format);
		if (notices.len > 0)
			print_notices(&notices);
		if (todo == RUN_CONF_CHECK)
			printf("the configuration is good\n");
		else if (todo == RUN_CONF_CHECK_DATA)
			status = check_data(&conf);
		else if (todo == RUN_CONF_DUMP_DATA)
			status = dump_data(&conf);
		else
			status = run_server(&conf);
	}
	rt_buf_done(&notices);
	run_conf_done(&conf);
	return status;
}
