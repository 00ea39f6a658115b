/* An I/O thread: a loop of turns around one shard; see server/srv.h for what a turn's order gives. */
#include "daemon/run/run_int.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "schema/runtime/rt_mem.h"

#define STOP_PATIENCE_MS 10000

static void hook_begin(void *arg)
{
	struct run_io *io = arg;
	io->turn_began_us = run_now_us();
	srv_turn(io->srv, io->turn_began_us / 1000);
	io->held = atomic_load(&io->run->hold_writes);
	srv_hold_writes(io->srv, io->held);
	srv_refuse_growth(io->srv, atomic_load(&io->run->disk_full));
}

static void hook_accepted(void *arg, int fd, const struct sockaddr_storage *from)
{
	struct run_io *io = arg;
	struct run *r = io->run;
	struct srv_peer peer;
	tr_peer_of(from, &peer);
	if (!gate_enter(r, peer.address)) {
		close(fd);
		return;
	}
	struct run_io *to = &r->ios[r->next_io++ % r->io_count];
	if (to == io) {
		tr_adopt(io->loop, fd, from);
		return;
	}
	struct io_socket *letter = rt_calloc(1, sizeof *letter);
	letter->letter.kind = IO_SOCKET;
	letter->fd = fd;
	letter->from = *from;
	mail_put(&to->mail, &letter->letter);
}

static void hook_gone(void *arg, const char *address)
{
	struct run_io *io = arg;
	gate_leave(io->run, address);
}

static void hook_trouble(void *arg, const char *what, int error)
{
	struct run_io *io = arg;
	say_limited(&io->trouble, run_now_ms(), RUN_CONF_ERROR, "%s: %s%s", what, strerror(error),
		error == EMFILE ? "; raise the limit of open files (ulimit -n, LimitNOFILE)" : "");
}

static void wake_loop(void *arg) { tr_wake(((struct run_io *)arg)->loop); }

static void fill_random(struct run_io *io)
{
	uint8_t bytes[256];
	while (srv_random_wanted(io->srv) >= sizeof bytes) {
		if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
			run_fatal("the kernel gives no random bytes: %s", strerror(errno));
		srv_give_random(io->srv, bytes, sizeof bytes);
	}
}

int io_init(struct run *r, uint32_t number, struct rt_err *ret_err)
{
	const struct run_conf *conf = r->conf;
	struct run_io *io = &r->ios[number];
	io->run = r;
	io->number = number;
	uint64_t all = (uint64_t)conf->global_outstanding_limit / r->io_count;
	struct srv_config config = {
		.shard = number,
		.server_id = (uint32_t)conf->server_id,
		.timeout_min_ms = (int32_t)conf->min_session_timeout_ms,
		.timeout_max_ms = (int32_t)conf->max_session_timeout_ms,
		.frame_bytes = (uint32_t)conf->jute_maxbuffer_bytes,
		.reply_bytes = (uint32_t)conf->max_reply_bytes,
		.writes_in_flight = (uint32_t)conf->max_outstanding_per_connection,
		.writes_in_flight_all = all > 0 ? (uint32_t)all : 1,
		.zxid = state_zxid(node_state(r->node)),
		.skip_acl = conf->skip_acl,
	};
	if (getrandom(&config.hash_seed, sizeof config.hash_seed, 0) !=
		(ssize_t)sizeof config.hash_seed)
		return rt_err_set(ret_err, PANDO_EIO, "the kernel gives no random bytes: %s",
			strerror(errno));
	io->srv = srv_new(&config);
	fill_random(io);
	struct tr_hooks hooks = { io, hook_begin, hook_accepted, hook_gone, hook_trouble };
	struct tr_options options = { .keep_alive = conf->client_tcp_keep_alive,
		.handshake_timeout_ms = conf->handshake_timeout_ms };
	int rc = tr_new(io->srv, &hooks, &options, &io->loop, ret_err);
	mail_init(&io->mail, wake_loop, io);
	return rc;
}

void io_done(struct run_io *io)
{
	mail_done(&io->mail);
	tr_free(io->loop);
	srv_free(io->srv);
}

/* Everything published so far. */
static void drain(struct run_io *io)
{
	struct run *r = io->run;
	uint64_t fed = atomic_load(&io->fed);
	uint64_t tail = atomic_load(&r->feed_tail);
	if (fed == tail)
		return;
	for (; fed < tail; fed++)
		srv_feed(io->srv, &r->feed[fed % LIMIT_FEED_BATCHES]);
	atomic_store(&io->fed, tail);
	if (atomic_load(&r->feed_full))
		mail_poke(&r->core_mail);
}

static void lock_for_reads(struct run_io *io)
{
	struct run *r = io->run;
	if (pthread_rwlock_tryrdlock(&r->tree) == 0)
		return;
	int64_t from_us = run_now_us();
	pthread_rwlock_rdlock(&r->tree);
	int64_t ms = (run_now_us() - from_us) / 1000;
	if (r->conf->slow_lock_ms > 0 && ms >= r->conf->slow_lock_ms) {
		atomic_fetch_add(&r->slow_locks, 1);
		say_limited(&io->slow_lock, run_now_ms(), RUN_CONF_WARN,
			"reads waited %lld ms for the tree's lock", (long long)ms);
	}
}

static void serve_reads(struct run_io *io)
{
	lock_for_reads(io);
	drain(io);
	srv_work(io->srv, node_state(io->run->node));
	pthread_rwlock_unlock(&io->run->tree);
}

static struct node_touch node_touch_of(const struct srv_touch *t)
{
	return (struct node_touch){ .session_id = t->session_id,
		.generation = t->generation,
		.here = t->here,
		.silent = t->silent,
		.heard_ms = t->heard_ms };
}

/* Questions wait for one round of reading: what a client has sent, but nobody has read, counts. */
static void answer_asks(struct run_io *io)
{
	struct run_letter *todo = io->asks;
	io->asks = NULL;
	while (todo != NULL) {
		struct run_letter *next = todo->next;
		struct io_ask *ask = (struct io_ask *)todo;
		if (!ask->waited) {
			ask->waited = true;
			ask->letter.next = io->asks;
			io->asks = &ask->letter;
		} else {
			struct srv_conn *c = srv_session_conn(io->srv, ask->session_id);
			if (c != NULL && tr_has_input(c))
				srv_heard(io->srv, c);
			struct srv_touch t = srv_asked(io->srv, ask->session_id, ask->generation);
			struct core_touches *letter =
				rt_alloc(sizeof *letter + sizeof letter->touches[0]);
			letter->letter.kind = CORE_TOUCHES;
			letter->shard = io->number;
			letter->count = 1;
			letter->touches[0] = node_touch_of(&t);
			mail_put(&io->run->core_mail, &letter->letter);
			rt_free(ask);
		}
		todo = next;
	}
}

static void read_letters(struct run_io *io)
{
	struct run_letter *letter = mail_take(&io->mail);
	while (letter != NULL) {
		struct run_letter *next = letter->next;
		switch ((enum io_letter_kind)letter->kind) {
		case IO_SOCKET:
			if (io->stopping)
				close(((struct io_socket *)letter)->fd);
			else
				tr_adopt(io->loop, ((struct io_socket *)letter)->fd,
					&((struct io_socket *)letter)->from);
			rt_free(letter);
			break;
		case IO_ASK:
			letter->next = io->asks;
			io->asks = letter;
			break;
		case IO_GATHER:
			words_part(io, (struct io_gather *)(void *)((char *)letter -
								    io->number * sizeof *letter));
			break;
		case IO_GATHERED:
			lock_for_reads(io);
			words_finish(io, (struct io_gather *)letter);
			pthread_rwlock_unlock(&io->run->tree);
			break;
		case IO_STOP:
			io->stopping = true;
			io->stop_by_ms = run_now_ms() + STOP_PATIENCE_MS;
			tr_quiesce(io->loop);
			rt_free(letter);
			break;
		}
		letter = next;
	}
}

static void send_touches(struct run_io *io)
{
	size_t count;
	const struct srv_touch *touches = srv_take_touches(io->srv, &count);
	if (count == 0)
		return;
	struct core_touches *letter = rt_alloc(sizeof *letter + count * sizeof letter->touches[0]);
	letter->letter.kind = CORE_TOUCHES;
	letter->shard = io->number;
	letter->count = count;
	for (size_t i = 0; i < count; i++)
		letter->touches[i] = node_touch_of(&touches[i]);
	mail_put(&io->run->core_mail, &letter->letter);
}

static void send_proposals(struct run_io *io)
{
	struct run *r = io->run;
	if (!srv_has_proposals(io->srv))
		return;
	struct run_proposals *p = proposals_get(r);
	srv_take_proposals(io->srv, &p->buf);
	p->letter.kind = CORE_PROPOSALS;
	p->shard = io->number;
	mail_put(&r->core_mail, &p->letter);
}

static void pass_on(struct run_io *io)
{
	struct srv_auth auth;
	struct srv_word word;
	struct srv_notice notice;
	while (srv_next_auth(io->srv, &auth))
		auth_answer(io, &auth);
	while (srv_next_word(io->srv, &word))
		words_begin(io, &word);
	while (srv_next_notice(io->srv, &notice))
		say_limited(&io->refused, run_now_ms(), notice.warn ? RUN_CONF_WARN : RUN_CONF_INFO,
			notice.hex ? "%s: %s 0x%llx" : "%s: %s %lld", notice.peer, notice.what,
			(long long)notice.value);
}

static void note_slow_turn(struct run_io *io)
{
	struct run *r = io->run;
	int64_t ms = (run_now_us() - io->turn_began_us) / 1000;
	if (r->conf->slow_turn_ms > 0 && ms >= r->conf->slow_turn_ms) {
		atomic_fetch_add(&r->slow_turns, 1);
		say_limited(&io->slow_turn, run_now_ms(), RUN_CONF_WARN,
			"a turn of I/O thread %u took %lld ms", io->number, (long long)ms);
	}
}

static void turn(struct run_io *io)
{
	struct run *r = io->run;
	read_letters(io);
	drain(io); /* before the questions: an attach that was applied before one was asked must be known */
	answer_asks(io);
	srv_work(io->srv, NULL);
	if (srv_wants_view(io->srv))
		serve_reads(io);
	pass_on(io);
	send_proposals(io);
	tr_flush(io->loop);
	send_touches(io);
	fill_random(io);
	struct srv_stats st;
	srv_stats(io->srv, &st);
	atomic_store(&io->watching, st.watches > 0);
	/* whoever a watch was just added for: a batch published meanwhile was not announced to this shard */
	if (st.watches > 0 && atomic_load(&io->fed) != atomic_load(&r->feed_tail))
		mail_poke(&io->mail);
	note_slow_turn(io);
}

static bool work_left(const struct run_io *io)
{
	if (io->held && !atomic_load(&io->run->hold_writes))
		return true;
	return srv_has_work(io->srv) || io->asks != NULL ||
	       atomic_load(&io->fed) != atomic_load(&io->run->feed_tail);
}

static bool all_idle(struct run *r)
{
	for (uint32_t i = 0; i < r->io_count; i++)
		if (!atomic_load(&r->ios[i].idle))
			return false;
	return true;
}

void *io_main(void *arg)
{
	struct run_io *io = arg;
	for (;;) {
		bool block = mail_sleep(&io->mail) && !work_left(io) && !io->stopping;
		tr_wait(io->loop, block);
		mail_awake(&io->mail);
		turn(io);
		if (io->stopping) {
			/* others may still need this shard's part of an answer: all end together */
			atomic_store(&io->idle, srv_idle(io->srv) || run_now_ms() > io->stop_by_ms);
			if (all_idle(io->run))
				break;
			usleep(200); /* at the very end nobody tells when the others are idle too */
		}
	}
	atomic_store(&io->fed, UINT64_MAX); /* the core waits for this shard no more */
	mail_poke(&io->run->core_mail);
	return NULL;
}
