/* ZooKeeper's own C client (libzookeeper_mt) against a server: a few dozen steps through its calls.
 *
 *	zk_c_client HOST:PORT
 *
 * Goal: what C programs do with a ZooKeeper server works, with the codes, Stats and events that
 * they get there. A check prints nothing when it holds; the last line is "N passed, N failed", the
 * status 0 when none failed.
 */
#define THREADED 1

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <zookeeper/zookeeper.h>

enum { PATIENCE_S = 60, EVENTS_MOST = 256, ASYNC = 200 };

/* What the client's threads tell the test: session states, events, completions. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int connects; /* how often a session became connected */
	bool expired;
	struct {
		int type;
		char path[64];
	} events[EVENTS_MOST];
	int n_events;
	int completions;
	int failures; /* completions that were not what they should be */
	int last_version;
} heard = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static int n_passed, n_failed;

static bool check_at(int line, bool good, const char *what)
{
	if (good) {
		n_passed++;
	} else {
		n_failed++;
		printf("zk_c_client.c:%d: %s\n", line, what);
	}
	return good;
}

static bool check_int_at(int line, long got, long want, const char *what)
{
	char text[256];
	snprintf(text, sizeof text, "%s: expected %ld, got %ld", what, want, got);
	return check_at(line, got == want, text);
}

#define OPEN &ZOO_OPEN_ACL_UNSAFE
#define CHECK(cond) check_at(__LINE__, (cond), #cond)
#define CHECK_INT(call, want) check_int_at(__LINE__, (call), (want), #call)

static void on_event(zhandle_t *zh, int type, int state, const char *path, void *ctx)
{
	pthread_mutex_lock(&heard.lock);
	if (type == ZOO_SESSION_EVENT) {
		if (state == ZOO_CONNECTED_STATE)
			heard.connects++;
		if (state == ZOO_EXPIRED_SESSION_STATE)
			heard.expired = true;
	} else if (heard.n_events < EVENTS_MOST) {
		heard.events[heard.n_events].type = type;
		snprintf(
			heard.events[heard.n_events].path, sizeof heard.events[0].path, "%s", path);
		heard.n_events++;
	}
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.lock);
}

/* Waits until *counter has reached at_least. */
static bool wait_for(const int *counter, int at_least)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	int r = 0;
	pthread_mutex_lock(&heard.lock);
	while (*counter < at_least && r == 0)
		r = pthread_cond_timedwait(&heard.changed, &heard.lock, &until);
	bool there = *counter >= at_least;
	pthread_mutex_unlock(&heard.lock);
	return there;
}

/* The next event that was not taken yet has to be this one. */
static bool check_event_at(int line, int type, const char *path)
{
	static int taken;
	char text[256];
	if (!wait_for(&heard.n_events, taken + 1))
		return check_at(line, false, "an event was awaited");
	pthread_mutex_lock(&heard.lock);
	bool good = heard.events[taken].type == type && strcmp(heard.events[taken].path, path) == 0;
	snprintf(text, sizeof text, "expected event %d %s, got %d %s", type, path,
		heard.events[taken].type, heard.events[taken].path);
	taken++;
	pthread_mutex_unlock(&heard.lock);
	return check_at(line, good, text);
}

#define CHECK_EVENT(type, path) check_event_at(__LINE__, type, path)

static zhandle_t *connect_to(const char *hosts, const clientid_t *id, int timeout_ms)
{
	pthread_mutex_lock(&heard.lock);
	int before = heard.connects;
	pthread_mutex_unlock(&heard.lock);
	zhandle_t *zh = zookeeper_init(hosts, on_event, timeout_ms, id, NULL, 0);
	if (zh == NULL || !wait_for(&heard.connects, before + 1)) {
		printf("zk_c_client.c: no connection to %s\n", hosts);
		exit(1);
	}
	return zh;
}

/* Cuts the client's connection below its feet: it has to come back by itself. */
static int cut(const char *hosts)
{
	int port = atoi(strrchr(hosts, ':') + 1), n_cut = 0;
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_in peer;
		socklen_t len = sizeof peer;
		if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && len >= sizeof peer &&
			peer.sin_family == AF_INET && ntohs(peer.sin_port) == port)
			n_cut += shutdown(fd, SHUT_RDWR) == 0;
	}
	return n_cut;
}

static void basics(zhandle_t *zh)
{
	char path[64], data[64];
	struct Stat stat, made;
	int len = sizeof data;

	CHECK_INT(zoo_create(zh, "/c", "one", 3, OPEN, 0, path, sizeof path), ZOK);
	CHECK(strcmp(path, "/c") == 0);
	CHECK_INT(zoo_create(zh, "/c", "", 0, OPEN, 0, NULL, 0), ZNODEEXISTS);
	CHECK_INT(zoo_create(zh, "/none/x", "", 0, OPEN, 0, NULL, 0), ZNONODE);
	CHECK_INT(zoo_get(zh, "/c", 0, data, &len, &stat), ZOK);
	CHECK(len == 3 && memcmp(data, "one", 3) == 0);
	CHECK(stat.version == 0 && stat.dataLength == 3);
	CHECK(stat.czxid == stat.mzxid && stat.ephemeralOwner == 0);
	CHECK_INT(zoo_set(zh, "/c", "two2", 4, 7), ZBADVERSION);
	CHECK_INT(zoo_set2(zh, "/c", "two2", 4, 0, &stat), ZOK);
	CHECK(stat.version == 1 && stat.dataLength == 4 && stat.mzxid > stat.czxid);
	CHECK_INT(zoo_exists(zh, "/c", 0, &stat), ZOK);
	CHECK_INT(zoo_exists(zh, "/none", 0, &stat), ZNONODE);
	len = sizeof data;
	CHECK_INT(zoo_get(zh, "/none", 0, data, &len, &stat), ZNONODE);

	CHECK_INT(
		zoo_create2(zh, "/c/s-", "", 0, OPEN, ZOO_SEQUENCE, path, sizeof path, &made), ZOK);
	CHECK(strcmp(path, "/c/s-0000000000") == 0 && made.version == 0 && made.czxid > stat.mzxid);
	const int both = ZOO_SEQUENCE | ZOO_EPHEMERAL;
	CHECK_INT(zoo_create(zh, "/c/s-", "", 0, OPEN, both, path, sizeof path), ZOK);
	CHECK(strcmp(path, "/c/s-0000000001") == 0);
	CHECK_INT(zoo_exists(zh, path, 0, &stat), ZOK);
	CHECK(stat.ephemeralOwner == zoo_client_id(zh)->client_id);
	CHECK_INT(zoo_create(zh, "/c/s-0000000001/x", "", 0, OPEN, 0, NULL, 0),
		ZNOCHILDRENFOREPHEMERALS);
	CHECK_INT(zoo_delete(zh, "/c", -1), ZNOTEMPTY);
	CHECK_INT(zoo_delete(zh, path, 5), ZBADVERSION);
	CHECK_INT(zoo_delete(zh, path, 0), ZOK);
	CHECK_INT(zoo_delete(zh, path, 0), ZNONODE);

	/* Null data come back as length -1. */
	CHECK_INT(zoo_create(zh, "/c/null", NULL, -1, OPEN, 0, NULL, 0), ZOK);
	len = sizeof data;
	CHECK_INT(zoo_get(zh, "/c/null", 0, data, &len, &stat), ZOK);
	CHECK_INT(len, -1);
	CHECK_INT(zoo_set(zh, "/c/null", "", 0, -1), ZOK);
	len = sizeof data;
	CHECK_INT(zoo_get(zh, "/c/null", 0, data, &len, &stat), ZOK);
	CHECK_INT(len, 0);
}

static void lists_and_acls(zhandle_t *zh)
{
	struct String_vector names;
	struct ACL_vector acls;
	struct Stat stat;

	CHECK_INT(zoo_get_children(zh, "/c", 0, &names), ZOK);
	CHECK_INT(names.count, 2);
	deallocate_String_vector(&names);
	CHECK_INT(zoo_get_children2(zh, "/c", 0, &names, &stat), ZOK);
	CHECK(names.count == 2 && stat.numChildren == 2 && stat.cversion == 4);
	deallocate_String_vector(&names);
	CHECK_INT(zoo_get_children(zh, "/none", 0, &names), ZNONODE);

	CHECK_INT(zoo_get_acl(zh, "/c", &acls, &stat), ZOK);
	CHECK(acls.count == 1 && acls.data[0].perms == ZOO_PERM_ALL);
	CHECK(strcmp(acls.data[0].id.scheme, "world") == 0 &&
		strcmp(acls.data[0].id.id, "anyone") == 0);
	deallocate_ACL_vector(&acls);
	CHECK_INT(zoo_create(zh, "/c/ro", "", 0, &ZOO_READ_ACL_UNSAFE, 0, NULL, 0), ZOK);
	CHECK_INT(zoo_set(zh, "/c/ro", "", 0, -1), ZNOAUTH);
	CHECK_INT(zoo_set_acl(zh, "/c/ro", -1, OPEN), ZNOAUTH);
	CHECK_INT(zoo_set_acl(zh, "/c/null", 3, OPEN), ZBADVERSION);
	CHECK_INT(zoo_set_acl(zh, "/c/null", 0, &ZOO_READ_ACL_UNSAFE), ZOK);
	CHECK_INT(zoo_set(zh, "/c/null", "", 0, -1), ZNOAUTH);
	struct ACL_vector empty = { 0, NULL };
	CHECK_INT(zoo_create(zh, "/c/noacl", "", 0, &empty, 0, NULL, 0), ZINVALIDACL);
}

static void watches(zhandle_t *zh)
{
	struct String_vector names;
	struct Stat stat;
	char data[16];
	int len = sizeof data;

	CHECK_INT(zoo_wexists(zh, "/w", on_event, NULL, &stat), ZNONODE);
	CHECK_INT(zoo_create(zh, "/w", "", 0, OPEN, 0, NULL, 0), ZOK);
	CHECK_EVENT(ZOO_CREATED_EVENT, "/w");
	CHECK_INT(zoo_wget(zh, "/w", on_event, NULL, data, &len, &stat), ZOK);
	CHECK_INT(zoo_wget_children(zh, "/w", on_event, NULL, &names), ZOK);
	deallocate_String_vector(&names);
	CHECK_INT(zoo_set(zh, "/w", "1", 1, -1), ZOK);
	CHECK_EVENT(ZOO_CHANGED_EVENT, "/w");
	CHECK_INT(zoo_create(zh, "/w/x", "", 0, OPEN, 0, NULL, 0), ZOK);
	CHECK_EVENT(ZOO_CHILD_EVENT, "/w");
	CHECK_INT(zoo_wexists(zh, "/w/x", on_event, NULL, &stat), ZOK);
	CHECK_INT(zoo_delete(zh, "/w/x", -1), ZOK);
	CHECK_EVENT(ZOO_DELETED_EVENT, "/w/x");
	/* The watcher of the handle, through the calls with a flag. */
	CHECK_INT(zoo_exists(zh, "/w", 1, &stat), ZOK);
	CHECK_INT(zoo_set(zh, "/w", "2", 1, -1), ZOK);
	CHECK_EVENT(ZOO_CHANGED_EVENT, "/w");
}

static void multi(zhandle_t *zh)
{
	zoo_op_t ops[5];
	zoo_op_result_t results[5];
	char path[64], numbered[64];
	struct Stat stat;

	zoo_create_op_init(&ops[0], "/m", "", 0, OPEN, 0, path, sizeof path);
	zoo_create_op_init(&ops[1], "/m/n-", "", 0, OPEN, ZOO_SEQUENCE, numbered, sizeof numbered);
	zoo_set_op_init(&ops[2], "/m", "data", 4, 0, &stat);
	zoo_check_op_init(&ops[3], "/m", 1);
	zoo_delete_op_init(&ops[4], "/m/n-0000000000", 0);
	CHECK_INT(zoo_multi(zh, 5, ops, results), ZOK);
	CHECK(strcmp(path, "/m") == 0 && strcmp(numbered, "/m/n-0000000000") == 0);
	CHECK(stat.version == 1 && stat.dataLength == 4 && stat.numChildren == 1);
	for (int i = 0; i < 5; i++)
		CHECK_INT(results[i].err, ZOK);
	CHECK_INT(zoo_exists(zh, "/m/n-0000000000", 0, &stat), ZNONODE);

	zoo_create_op_init(&ops[0], "/m/x", "", 0, OPEN, 0, path, sizeof path);
	zoo_check_op_init(&ops[1], "/m", 77);
	zoo_set_op_init(&ops[2], "/m", "no", 2, -1, &stat);
	CHECK_INT(zoo_multi(zh, 3, ops, results), ZBADVERSION);
	CHECK_INT(results[0].err, ZOK);
	CHECK_INT(results[1].err, ZBADVERSION);
	CHECK_INT(results[2].err, ZRUNTIMEINCONSISTENCY);
	CHECK_INT(zoo_exists(zh, "/m/x", 0, &stat), ZNONODE);
	CHECK_INT(zoo_exists(zh, "/m", 0, &stat), ZOK);
	CHECK_INT(stat.version, 1);
}

/* Completions come in the order of the calls; data is the call's number. */
static void completed(int rc, bool good)
{
	pthread_mutex_lock(&heard.lock);
	if (rc != ZOK || !good)
		heard.failures++;
	heard.completions++;
	pthread_cond_broadcast(&heard.changed);
	pthread_mutex_unlock(&heard.lock);
}

static void on_string(int rc, const char *value, const void *data)
{
	completed(rc, value != NULL && heard.completions == (int)(intptr_t)data);
}

static void on_stat(int rc, const struct Stat *stat, const void *data)
{
	bool good = rc == ZOK && stat->version == heard.last_version + 1;
	heard.last_version++;
	completed(rc, good && heard.completions == (int)(intptr_t)data);
}

static void on_data(int rc, const char *value, int len, const struct Stat *stat, const void *data)
{
	/* The read behind the n-th set sees it, and nothing newer. */
	completed(rc, rc == ZOK && len == (int)sizeof(int) && stat->version == heard.last_version &&
			      heard.completions == (int)(intptr_t)data);
}

static void on_void(int rc, const void *data)
{
	completed(rc, heard.completions == (int)(intptr_t)data);
}

static const void *number(int n) { return (const void *)(intptr_t)n; }

static void async(zhandle_t *zh)
{
	char path[64];
	int n = 0;

	CHECK_INT(zoo_create(zh, "/a", "", 0, OPEN, 0, NULL, 0), ZOK);
	for (int i = 0; i < ASYNC; i++)
		n += zoo_acreate(zh, "/a/s-", "", 0, OPEN, ZOO_SEQUENCE, on_string, number(n)) ==
		     ZOK;
	for (int i = 0; i < ASYNC; i++) {
		n += zoo_aset(zh, "/a", (const char *)&i, sizeof i, i, on_stat, number(n)) == ZOK;
		n += zoo_aget(zh, "/a", 0, on_data, number(n)) == ZOK;
	}
	for (int i = 0; i < ASYNC; i++) {
		snprintf(path, sizeof path, "/a/s-%010d", i);
		n += zoo_adelete(zh, path, 0, on_void, number(n)) == ZOK;
	}
	n += zoo_async(zh, "/a", on_string, number(n)) == ZOK;
	CHECK_INT(n, 4 * ASYNC + 1);
	CHECK(wait_for(&heard.completions, n));
	CHECK_INT(heard.failures, 0);
	struct Stat stat;
	CHECK_INT(zoo_exists(zh, "/a", 0, &stat), ZOK);
	CHECK(stat.version == ASYNC && stat.cversion == 2 * ASYNC && stat.numChildren == 0);
}

/* Cut off again and again: the session, its ephemeral and its watches are there afterwards. */
static void reconnect(zhandle_t *zh, zhandle_t *other, const char *hosts)
{
	struct Stat stat;
	char data[16];

	CHECK_INT(zoo_create(zh, "/r", "", 0, OPEN, 0, NULL, 0), ZOK);
	CHECK_INT(zoo_create(zh, "/r/e", "", 0, OPEN, ZOO_EPHEMERAL, NULL, 0), ZOK);
	int64_t id = zoo_client_id(zh)->client_id;
	for (int i = 0; i < 3; i++) {
		int len = sizeof data;
		CHECK_INT(zoo_wget(zh, "/r", on_event, NULL, data, &len, &stat), ZOK);
		pthread_mutex_lock(&heard.lock);
		int before = heard.connects;
		pthread_mutex_unlock(&heard.lock);
		CHECK_INT(cut(hosts), 2); /* both handles */
		CHECK(wait_for(&heard.connects, before + 2));
		CHECK(zoo_client_id(zh)->client_id == id);
		CHECK_INT(zoo_exists(other, "/r/e", 0, &stat), ZOK);
		CHECK(stat.ephemeralOwner == id);
		CHECK_INT(zoo_set(other, "/r", "x", 1, -1), ZOK);
		CHECK_EVENT(ZOO_CHANGED_EVENT, "/r");
	}
	CHECK(!heard.expired);
}

static void sessions(const char *hosts)
{
	struct Stat stat;
	zhandle_t *first = connect_to(hosts, NULL, 20000);
	zhandle_t *witness = connect_to(hosts, NULL, 20000);
	CHECK_INT(zoo_recv_timeout(first), 20000);
	CHECK_INT(zoo_create(first, "/e", "", 0, OPEN, ZOO_EPHEMERAL, NULL, 0), ZOK);
	CHECK_INT(zoo_wexists(witness, "/e", on_event, NULL, &stat), ZOK);
	clientid_t id = *zoo_client_id(first);
	CHECK_INT(zookeeper_close(first), ZOK);
	CHECK_EVENT(ZOO_DELETED_EVENT, "/e");
	CHECK_INT(zoo_exists(witness, "/e", 0, &stat), ZNONODE);
	CHECK_INT(zookeeper_close(witness), ZOK);

	/* A closed session: its handle learns that it has expired. */
	CHECK(!heard.expired);
	zhandle_t *late = zookeeper_init(hosts, on_event, 20000, &id, NULL, 0);
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&heard.lock);
	while (!heard.expired && pthread_cond_timedwait(&heard.changed, &heard.lock, &until) == 0)
		;
	pthread_mutex_unlock(&heard.lock);
	CHECK(heard.expired);
	CHECK(is_unrecoverable(late));
	zookeeper_close(late);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: zk_c_client HOST:PORT\n");
		return 1;
	}
	zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
	zhandle_t *zh = connect_to(argv[1], NULL, 20000);
	zhandle_t *other = connect_to(argv[1], NULL, 20000);
	basics(zh);
	lists_and_acls(zh);
	watches(zh);
	multi(zh);
	async(zh);
	reconnect(zh, other, argv[1]);
	CHECK_INT(zookeeper_close(zh), ZOK);
	CHECK_INT(zookeeper_close(other), ZOK);
	sessions(argv[1]);
	printf("%d passed, %d failed\n", n_passed, n_failed);
	return n_failed == 0 ? 0 : 1;
}
