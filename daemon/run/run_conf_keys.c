/* The table of keys, and finding a key in it.
 *
 * Where ZooKeeper has a key that pando has no use for, the row says why. What decides between
 * accepted and refused is what the administrator would lose if the line were skipped: speed, an old
 * habit, or a port that nobody uses yet may be lost with a notice; durability, secrecy or a check
 * of who the client is may not.
 *
 * I1: the first row that matches wins, so an exact name stands before the pattern that would cover
 * it.
 *
 * I2: every used row has a default that its own parser accepts (tested). */
#include "daemon/run/run_conf_int.h"

#include <strings.h>

#define F(member) offsetof(struct run_conf, member)
#define INT_MAX64 INT64_C(2147483647)
#define HOUR_MS INT64_C(3600000)
#define USED(n, al, ty, fld, lo, hi, d, tx)                                                        \
	{                                                                                          \
		.name = n, .aliases = al, .type = RUN_CONF_T_##ty, .class = RUN_CONF_USED,         \
		.field = F(fld), .min = lo, .max = hi, .def = d, .text = tx                        \
	}
#define WORD(n, fld, d, w, tx)                                                                     \
	{                                                                                          \
		.name = n, .type = RUN_CONF_T_WORD, .class = RUN_CONF_USED, .field = F(fld),       \
		.def = d, .words = w, .text = tx                                                   \
	}
/* w: the values that ask for nothing, and so need no notice and no refusal; NULL when there are
 * none. */
#define IDLE(n, al, w, tx)                                                                         \
	{                                                                                          \
		.name = n, .aliases = al, .type = RUN_CONF_T_STRING, .class = RUN_CONF_ACCEPTED,   \
		.words = w, .text = tx                                                             \
	}
#define NOT(n, al, w, tx)                                                                          \
	{                                                                                          \
		.name = n, .aliases = al, .type = RUN_CONF_T_STRING, .class = RUN_CONF_REFUSED,    \
		.words = w, .text = tx                                                             \
	}

#define NO_ENSEMBLE "this version runs a single server, which has no peers"
#define NO_SNAPSHOTS "pando never writes a snapshot of the whole tree"
#define NO_TLS                                                                                     \
	"TLS is not supported by this version, and clients would talk in the clear; remove the "   \
	"key, or put a TLS proxy in front"
#define NO_SASL "SASL is not supported by this version"
#define NO_SASL_REFUSED                                                                            \
	"SASL is not supported by this version, so nobody would be asked for it; remove the key "  \
	"only if clients may do without"
#define JAVA "it tunes the inside of ZooKeeper's Java program"
#define NO_ADMIN "this version has no HTTP admin server; use the four-letter words"

static const struct run_conf_key table[] = {
	/* Where things are. */
	USED("dataDir", NULL, PATH, data_dir, 0, 0, "pando-data",
		"folder of the data; relative to the folder that pandod is started in"),
	USED("dataLogDir", NULL, PATH, data_log_dir, 0, 0, "",
		"folder of the log, if it is not to be in dataDir"),
	USED("datadir.autocreate", NULL, BOOL, data_dir_autocreate, 0, 0, "true",
		"create dataDir and dataLogDir when they do not exist"),
	USED("clientPort", NULL, INT, client_port, 0, 65535, "2181",
		"TCP port for clients; 0 lets the kernel choose one"),
	USED("clientPortAddress", NULL, STRING, client_addr, 0, 0, "127.0.0.1",
		"address or host name to listen on; * is all addresses, and the default once "
		"clientPort is given"),
	USED("listenBacklog", "clientPortListenBacklog", INT, listen_backlog, -1, 65535, "1024",
		"connections that may wait to be accepted; 0 and -1 mean the default"),
	USED("serverId", "myid", INT, server_id, 0, 255, "0", "number of this server"),
	USED("initialZxid", "testingonly.initialZxid", INT, initial_zxid, 0,
		INT64_C(0x3fffffffffffffff), "0",
		"zxid after which a new, empty data folder begins to count"),

	/* Sessions. */
	USED("tickTime", NULL, MS, tick_time_ms, 1, 107374182, "2000",
		"length of a tick, the unit of the session timeouts' defaults"),
	USED("minSessionTimeout", NULL, MS, min_session_timeout_ms, 1, INT_MAX64, "-1",
		"shortest session timeout that a client is given; -1 is 2 ticks"),
	USED("maxSessionTimeout", NULL, MS, max_session_timeout_ms, 1, INT_MAX64, "-1",
		"longest session timeout that a client is given; -1 is 20 ticks"),
	USED("handshakeTimeoutMs", "nio.sessionlessCnxnTimeout", MS, handshake_timeout_ms, 1,
		HOUR_MS, "10000", "time in which a new connection has to ask for a session"),

	/* Limits. */
	USED("maxClientCnxns", NULL, INT, max_client_cnxns, 0, INT_MAX64, "0",
		"connections from one address; 0 is no limit"),
	USED("maxCnxns", NULL, INT, max_cnxns, 0, INT_MAX64, "0",
		"connections altogether; 0 is no limit"),
	USED("globalOutstandingLimit", NULL, INT, global_outstanding_limit, 1, INT_MAX64, "100000",
		"requests in work altogether before the server stops reading from its clients"),
	USED("maxOutstandingPerConnection", NULL, INT, max_outstanding_per_connection, 1, 1000000,
		"1024",
		"writes in work for one connection before the server stops reading from it"),
	USED("jute.maxbuffer", NULL, BYTES, jute_maxbuffer_bytes, 1024, 128 << 20, "1048575",
		"largest request of a client"),
	USED("maxReplyBytes", NULL, BYTES, max_reply_bytes, 1 << 20, 1 << 30, "67108864",
		"largest reply; a request whose reply would be larger is answered with an error"),

	/* Access. */
	USED("4lw.commands.whitelist", NULL, LIST, four_letter_words, 0, 0, "*",
		"four-letter words that are answered; * is all of them"),
	USED("skipACL", NULL, BOOL, skip_acl, 0, 0, "no", "check no access control list at all"),
	{ .name = "DigestAuthenticationProvider.superDigest",
		.type = RUN_CONF_T_STRING,
		.class = RUN_CONF_USED,
		.field = F(super_digest),
		.def = "",
		.secret = true,
		.text = "super:DIGEST of the user whom no access control list binds" },

	/* Containers. */
	USED("znode.container.checkIntervalMs", NULL, MS, container_check_interval_ms, 0, INT_MAX64,
		"60000", "time between two searches for containers to remove; 0 removes none"),
	USED("znode.container.maxPerMinute", NULL, INT, container_max_per_minute, 1, INT_MAX64,
		"10000", "containers removed in a minute at most"),
	USED("znode.container.maxNeverUsedIntervalMs", NULL, MS, container_max_never_used_ms, 0,
		INT64_MAX, "0",
		"age at which a container that never had a child is removed; 0 keeps it"),

	/* The machine. */
	USED("ioThreads", NULL, INT, io_threads, 0, 64, "0",
		"threads that serve clients; 0 is one for each core, at most 8"),
	USED("logSegmentBytes", NULL, BYTES, log_segment_bytes, 1 << 20, 1 << 30, "67108864",
		"size of one file of the log"),
	USED("logRetainBytes", NULL, BYTES, log_retain_bytes, 0, INT64_C(1) << 40, "1073741824",
		"log kept behind what the state file has, for servers that come back"),
	USED("stateIntervalMs", NULL, MS, state_interval_ms, 10, 3600000, "2000",
		"longest time between a change and the state file's transaction that has it"),
	USED("diskReserveBytes", NULL, BYTES, disk_reserve_bytes, 0, INT64_C(1) << 40, "0",
		"free room on the disk below which the tree may not grow; 0 is what two files of the "
		"log take, and a quarter more"),
	USED("unsafeNoFsync", NULL, BOOL, unsafe_no_fsync, 0, 0, "no",
		"for tests: do not sync the log, so that a crash of the machine loses acknowledged "
		"writes"),
	USED("clientTcpKeepAlive", NULL, BOOL, client_tcp_keep_alive, 0, 0, "no",
		"set SO_KEEPALIVE on the connections of clients"),

	/* What is said. */
	WORD("logLevel", log_level, "info", "error|warn|info|debug",
		"least important kind of log line written"),
	WORD("logFormat", log_format, "text", "text|json", "form of a log line"),
	USED("slowFsyncMs", "fsync.warningthresholdms", MS, slow_fsync_ms, 0, HOUR_MS, "1000",
		"log a sync of the log that took longer; 0 logs none"),
	USED("slowTurnMs", NULL, MS, slow_turn_ms, 0, HOUR_MS, "100",
		"log a turn of an event loop that took longer; 0 logs none"),
	USED("slowApplyMs", NULL, MS, slow_apply_ms, 0, HOUR_MS, "100",
		"log the applying of a batch that took longer; 0 logs none"),
	USED("slowLockMs", NULL, MS, slow_lock_ms, 0, HOUR_MS, "100",
		"log a wait for the tree's lock that took longer; 0 logs none"),

	/* Refused: who the client is, and who may listen in. */
	NOT("secureClientPort", NULL, NULL, NO_TLS),
	NOT("secureClientPortAddress", NULL, NULL, NO_TLS),
	NOT("client.portUnification", "portUnification", "false", NO_TLS),
	NOT("sslQuorum", NULL, "false", NO_TLS),
	NOT("ssl.*", NULL, NULL, NO_TLS),
	NOT("X509AuthenticationProvider.superUser", NULL, NULL, NO_TLS),
	NOT("authProvider.*", NULL, NULL,
		"authentication providers are Java classes, and what this one checks would not be "
		"checked; remove the key only if clients may do without it"),
	NOT("sessionRequireClientSASLAuth", NULL, "false", NO_SASL_REFUSED),
	NOT("superUser", NULL, NULL, NO_SASL_REFUSED),
	NOT("SASLAuthenticationProvider.superPassword", NULL, NULL, NO_SASL_REFUSED),
	NOT("letAnySaslUserDoX", NULL, NULL, NO_SASL_REFUSED),
	NOT("enforce.auth.enabled", NULL, "false",
		"clients cannot yet be made to authenticate, and all would be let in; remove the "
		"key only if they may be"),
	NOT("ensembleAuthName", NULL, NULL,
		"clients cannot yet be checked for the ensemble that they mean; remove the key if "
		"that may go unchecked"),
	NOT("DigestAuthenticationProvider.enabled", NULL, "true",
		"the digest scheme cannot be turned off; remove the key"),
	NOT("DigestAuthenticationProvider.digestAlg", NULL, "SHA1|SHA-1",
		"SHA1 is the only digest here, and access control lists made with another would "
		"match nobody; write SHA1"),
	NOT("quorum.auth.enableSasl", NULL, "false", NO_SASL_REFUSED),
	NOT("quorum.auth.learnerRequireSasl", NULL, "false", NO_SASL_REFUSED),
	NOT("quorum.auth.serverRequireSasl", NULL, "false", NO_SASL_REFUSED),
	NOT("enforceQuota", NULL, "false",
		"quotas are not enforced by this version, and writes beyond them would succeed; "
		"write false"),
	NOT("audit.enable", NULL, "false", "this version writes no audit log; write false"),

	/* Refused: durability, and an ensemble that would silently be a lone server. */
	NOT("forceSync", NULL, "yes|true",
		"the log is always synced before a write is acknowledged; for a test that may lose "
		"data, write unsafeNoFsync=yes instead"),
	NOT("db.autocreate", NULL, "true",
		"an empty data folder always begins a new tree in this version; write "
		"datadir.autocreate=false to refuse a missing folder"),
	NOT("peerType", NULL, "participant",
		"this version runs a single server, which cannot be an observer; write "
		"participant"),
	NOT("dynamicConfigFile", NULL, NULL,
		"ensembles are not supported by this version, and that file names the servers of "
		"one; remove the key, and give clientPort and clientPortAddress here"),
	{ .name = "server.N",
		.type = RUN_CONF_T_STRING,
		.class = RUN_CONF_ACCEPTED,
		.text = "a single server needs no list of servers; only the client port behind its "
			"semicolon, if there is one, is used" },

	/* Accepted: peers. */
	IDLE("group.N", NULL, NULL, NO_ENSEMBLE),
	IDLE("weight.N", NULL, NULL, NO_ENSEMBLE),
	IDLE("version", NULL, NULL,
		"the version of a dynamic configuration has no use; " NO_ENSEMBLE),
	IDLE("initLimit", NULL, NULL, NO_ENSEMBLE),
	IDLE("syncLimit", NULL, NULL, NO_ENSEMBLE),
	IDLE("connectToLearnerMasterLimit", NULL, NULL, NO_ENSEMBLE),
	IDLE("electionAlg", NULL, "3", NO_ENSEMBLE),
	IDLE("electionPortBindRetry", NULL, NULL, NO_ENSEMBLE),
	IDLE("leaderServes", NULL, "yes", "a single server always serves its clients"),
	IDLE("standaloneEnabled", NULL, "true",
		"a single server runs the same way, whatever this says"),
	IDLE("reconfigEnabled", NULL, "false",
		"a single server cannot be reconfigured in this version"),
	IDLE("quorumListenOnAllIPs", NULL, "false", NO_ENSEMBLE),
	IDLE("cnxTimeout", NULL, NULL, NO_ENSEMBLE),
	IDLE("quorumCnxnTimeoutMs", NULL, NULL, NO_ENSEMBLE),
	IDLE("quorum.cnxn.threads.size", NULL, NULL, NO_ENSEMBLE),
	IDLE("leaderConnectDelayDuringRetryMs", NULL, NULL, NO_ENSEMBLE),
	IDLE("maxTimeToWaitForEpoch", NULL, NULL, NO_ENSEMBLE),
	IDLE("maxConcurrentSnapSyncs", NULL, NULL, NO_ENSEMBLE),
	IDLE("maxConcurrentDiffSyncs", NULL, NULL, NO_ENSEMBLE),
	IDLE("maxConcurrentSnapshots", NULL, NULL, NO_ENSEMBLE),
	IDLE("leader.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("learner.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("follower.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("fastleader.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("observer.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("observerMaster.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("observerMasterPort", NULL, NULL, NO_ENSEMBLE),
	IDLE("syncEnabled", NULL, NULL, NO_ENSEMBLE),
	IDLE("multiAddress.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("messageTracker.*", NULL, NULL, NO_ENSEMBLE),
	IDLE("tcpKeepAlive", NULL, "false", NO_ENSEMBLE "; for clients, write clientTcpKeepAlive"),
	IDLE("request.timeout", NULL, NULL, NO_ENSEMBLE),
	IDLE("forward_learner_requests_to_commit_processor_disabled", NULL, NULL, NO_ENSEMBLE),
	IDLE("readonlymode.enabled", NULL, "false",
		"a single server is never without its majority"),
	IDLE("localSessionsEnabled", NULL, "false", "every session here is a durable one"),
	IDLE("localSessionsUpgradingEnabled", NULL, NULL, "every session here is a durable one"),
	IDLE("ipReachableTimeout", NULL, NULL, NO_ENSEMBLE),
	IDLE("quorum.auth.*", NULL, NULL, NO_SASL),
	IDLE("sslQuorumReloadCertFiles", NULL, "false",
		"there are no certificates to read again without TLS"),
	IDLE("client.certReload", NULL, "false",
		"there are no certificates to read again without TLS"),

	/* Accepted: the disk. */
	IDLE("snapCount", NULL, NULL, NO_SNAPSHOTS),
	IDLE("snapSizeLimitInKb", NULL, NULL, NO_SNAPSHOTS),
	IDLE("snapshotSizeFactor", NULL, NULL, NO_SNAPSHOTS),
	IDLE("snapshot.*", NULL, NULL, NO_SNAPSHOTS),
	IDLE("forceSnapshotSync", NULL, NULL, NO_SNAPSHOTS),
	IDLE("autopurge.snapRetainCount", NULL, NULL, NO_SNAPSHOTS ", so there are none to purge"),
	IDLE("autopurge.purgeInterval", NULL, "0", NO_SNAPSHOTS ", so there are none to purge"),
	IDLE("preAllocSize", NULL, NULL,
		"the log is in files of one size; write logSegmentBytes to change it"),
	IDLE("txnLogSizeLimitInKb", NULL, NULL,
		"the log is in files of one size; write logSegmentBytes to change it"),
	IDLE("commitLogCount", NULL, NULL, NO_ENSEMBLE),
	IDLE("flushDelay", NULL, "0",
		"what arrives during one sync is the next one's batch; there is no delay to set"),
	IDLE("maxWriteQueuePollTime", NULL, NULL,
		"what arrives during one sync is the next one's batch"),
	IDLE("maxBatchSize", NULL, NULL, "what arrives during one sync is the next one's batch"),
	IDLE("digest.enabled", NULL, NULL,
		"every record of the log has its checksum, whatever this says"),
	IDLE("serializeLastProcessedZxid.enabled", NULL, NULL, NO_SNAPSHOTS),
	IDLE("closeSessionTxn.enabled", NULL, NULL,
		"the end of a session is always one entry of the log"),

	/* Accepted: nodes. */
	IDLE("extendedTypesEnabled", NULL, "false",
		"this version has no TTL nodes; asking for one is answered with an error"),
	IDLE("emulate353TTLNodes", NULL, "false",
		"there are no TTL nodes of ZooKeeper 3.5.3 to read"),
	IDLE("jute.maxbuffer.extrasize", NULL, NULL,
		"the room that a record needs besides the request is always there"),
	IDLE("enableEagerACLCheck", NULL, NULL,
		"access is judged once, where the write is applied"),

	/* Accepted: who the client is, as far as it asks for nothing more. */
	IDLE("enforce.auth.schemes", NULL, NULL,
		"it needs enforce.auth.enabled, which is not supported"),
	IDLE("allowSaslFailedClients", NULL, NULL, NO_SASL),
	IDLE("jaasLoginRenew", NULL, NULL, NO_SASL),
	IDLE("requireKerberosConfig", NULL, NULL, NO_SASL),
	IDLE("kerberos.*", NULL, NULL, NO_SASL),
	IDLE("kinit", NULL, NULL, NO_SASL),
	IDLE("security.auth_to_local", NULL, NULL, NO_SASL),
	IDLE("sasl.*", NULL, NULL, NO_SASL),
	IDLE("audit.impl.class", NULL, NULL, "this version writes no audit log"),

	/* Accepted: watching the server. */
	IDLE("admin.enableServer", NULL, "false", NO_ADMIN),
	IDLE("admin.*", NULL, NULL, NO_ADMIN),
	IDLE("metricsProvider.*", NULL, NULL,
		"metrics providers are Java classes; mntr gives the metrics"),
	IDLE("pathStats.*", NULL, NULL, "there are no statistics by path"),
	IDLE("jvm.pause.*", NULL, NULL,
		"there is no Java virtual machine that could pause; see slowTurnMs"),

	/* Accepted: threads, queues and caches of the Java program. */
	IDLE("serverCnxnFactory", NULL, NULL, "there is one way to serve connections"),
	IDLE("nio.*", NULL, NULL, JAVA "; write ioThreads to set the number of threads"),
	IDLE("netty.*", NULL, NULL, JAVA),
	IDLE("advancedFlowControlEnabled", NULL, NULL, JAVA),
	IDLE("outstandingHandshake.limit", NULL, NULL, JAVA),
	IDLE("commitProcessor.*", NULL, NULL, JAVA),
	IDLE("watchManagerName", "watchManaggerName", NULL, JAVA),
	IDLE("watcherClean*", NULL, NULL, JAVA),
	IDLE("maxInProcessingDeadWatchers", NULL, NULL, JAVA),
	IDLE("bitHashCacheSize", NULL, NULL, JAVA),
	IDLE("maxResponseCacheSize", NULL, NULL, JAVA),
	IDLE("maxGetChildrenResponseCacheSize", NULL, NULL, JAVA),
	IDLE("intBufferStartingSizeBytes", NULL, NULL, JAVA),
	IDLE("largeRequestMaxBytes", NULL, NULL,
		"requests in work are bounded by globalOutstandingLimit and "
		"maxOutstandingPerConnection"),
	IDLE("largeRequestThreshold", NULL, "-1",
		"requests in work are bounded by globalOutstandingLimit and "
		"maxOutstandingPerConnection"),
	IDLE("connection_throttle_*",
		"connectionMaxTokens connectionTokenFillTime connectionTokenFillCount "
		"connectionFreezeTime connectionDropIncrease connectionDropDecrease "
		"connectionDecreaseRatio",
		NULL,
		"new connections are not throttled; write maxCnxns or maxClientCnxns to bound "
		"them"),
	IDLE("request_throttle*",
		"requestThrottleLimit requestThrottleStallTime requestThrottleDropStale "
		"throttledOpWaitTime throttled_op_wait_time",
		NULL,
		"requests in work are bounded by globalOutstandingLimit and "
		"maxOutstandingPerConnection"),
	IDLE("request_stale_*", "requestStaleLatencyCheck requestStaleConnectionCheck", NULL,
		"no request is dropped for its age"),
};

#define TABLE_LEN (sizeof table / sizeof table[0])
_Static_assert(TABLE_LEN <= RUN_CONF_KEYS_MAX, "run_conf.set_at has one place for each key");

const struct run_conf_key *run_conf_keys(size_t *ret_n)
{
	*ret_n = TABLE_LEN;
	return table;
}

/* Whether a name of the table, which may be a pattern, covers the len bytes at name. */
static bool covers(const char *pattern, size_t plen, const char *name, size_t len)
{
	if (plen > 1 && pattern[plen - 1] == '*')
		return len >= plen && memcmp(pattern, name, plen - 1) == 0;
	if (plen > 2 && pattern[plen - 1] == 'N' && pattern[plen - 2] == '.') {
		if (len < plen || memcmp(pattern, name, plen - 1) != 0)
			return false;
		for (size_t i = plen - 1; i < len; i++)
			if (name[i] < '0' || name[i] > '9')
				return false;
		return true;
	}
	return plen == len && memcmp(pattern, name, len) == 0;
}

/* Takes the next word off a list separated by blanks; false at its end. */
static bool next_alias(const char **list, const char **ret_word, size_t *ret_len)
{
	const char *p = *list;
	if (p == NULL || *p == '\0')
		return false;
	size_t len = strcspn(p, " ");
	*ret_word = p;
	*ret_len = len;
	*list = p[len] == ' ' ? p + len + 1 : p + len;
	return true;
}

static void strip_prefix(const char **name, size_t *len)
{
	static const char prefix[] = "zookeeper.";
	size_t n = sizeof prefix - 1;
	if (*len > n && memcmp(*name, prefix, n) == 0) {
		*name += n;
		*len -= n;
	}
}

struct run_conf_match run_conf_lookup(const char *name, size_t len)
{
	strip_prefix(&name, &len);
	for (size_t i = 0; i < TABLE_LEN; i++) {
		if (covers(table[i].name, strlen(table[i].name), name, len))
			return (struct run_conf_match){ &table[i], i };
		const char *list = table[i].aliases;
		const char *word;
		size_t wlen;
		while (next_alias(&list, &word, &wlen))
			if (covers(word, wlen, name, len))
				return (struct run_conf_match){ &table[i], i };
	}
	return (struct run_conf_match){ NULL, 0 };
}

const struct run_conf_key *run_conf_find(const char *name)
{
	return run_conf_lookup(name, strlen(name)).row;
}

size_t run_conf_place(const char *name)
{
	for (size_t i = 0; i < TABLE_LEN; i++)
		if (strcmp(table[i].name, name) == 0)
			return i;
	UNREACHABLE("name of a row");
}

enum { NEAR_LEN_MAX = 64 };

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Edits (insert, delete, replace, swap of neighbours) from a to b, letters of either case being
 * equal. Both are at most NEAR_LEN_MAX long. */
static size_t edits(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t rows[3][NEAR_LEN_MAX + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];
	for (size_t j = 0; j <= blen; j++)
		last[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		now[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);
			size_t best = last[j - 1] + (same ? 0 : 1);
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
				lower(a[i - 2]) == lower(b[j - 1]) && before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		size_t *t = before;
		before = last;
		last = now;
		now = t;
	}
	return last[blen];
}

struct rt_slice run_conf_nearest(const char *name, size_t len)
{
	strip_prefix(&name, &len);
	if (len == 0 || len > NEAR_LEN_MAX)
		return (struct rt_slice){ NULL, 0 };
	struct rt_slice found = { NULL, 0 };
	size_t limit = (len < 6 ? 2 : len * 2 / 5) + 1; /* further away it is another word */
	for (size_t i = 0; i < TABLE_LEN; i++) {
		const char *list = table[i].aliases;
		const char *word = table[i].name;
		size_t wlen = strlen(word);
		do {
			size_t apart = wlen > len ? wlen - len : len - wlen;
			if (wlen > NEAR_LEN_MAX || apart >= limit)
				continue;
			size_t n = edits(name, len, word, wlen);
			if (n < limit) {
				limit = n;
				found = rt_slice_of(word, wlen);
			}
		} while (next_alias(&list, &word, &wlen));
	}
	return found;
}
