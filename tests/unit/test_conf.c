/* pandod's configuration: what a file or an option may say, and every kind of complaint about it.
 * Goal: an existing zoo.cfg is taken as ZooKeeper takes it, and whatever cannot be is named with
 * place and remedy. Most tests are rows of tables: a text, and what must come of it.
 * PANDO_SAMPLE_CONF is the path of the sample that is installed. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/base/limits.h"
#include "daemon/run/run_conf.h"
#include "schema/errors_gen.h"
#include "schema/runtime/rt_mem.h"
#include "schema/runtime/rt_rand.h"

static struct run_conf conf;
static struct rt_buf notices;
static struct rt_err err;

static void setup(void)
{
	run_conf_defaults(&conf);
	rt_buf_init(&notices, 1 << 20);
	memset(&err, 0, sizeof err);
}

static void teardown(void)
{
	run_conf_done(&conf);
	rt_buf_done(&notices);
}

static int parse(const char *text)
{
	return run_conf_parse_text(&conf, "zoo.cfg", text, strlen(text), &notices, &err);
}

static int parse_all(const char *text)
{
	int r = parse(text);
	return r < 0 ? r : run_conf_finish(&conf, &notices, &err);
}

/* The notices as one string, valid until the next one. */
static const char *noticed(void)
{
	rt_buf_char(&notices, '\0');
	notices.len--;
	return (const char *)notices.p;
}

/* One used key's value as it is printed. */
static char *value_of(const char *key)
{
	struct rt_buf b;
	rt_buf_init(&b, 1 << 20);
	const struct run_conf_key *row = run_conf_find(key);
	ck_assert_ptr_nonnull(row);
	run_conf_print_value(&conf, row, &b);
	rt_buf_char(&b, '\0');
	char *s = (char *)b.p;
	return s;
}

static void ck_value(const char *key, const char *expected)
{
	char *v = value_of(key);
	ck_assert_msg(strcmp(v, expected) == 0, "%s is '%s' and not '%s'", key, v, expected);
	rt_free(v);
}

/* --- the table */

START_TEST(test_each_key_is_found_by_all_its_names)
{
	size_t n;
	const struct run_conf_key *rows = run_conf_keys(&n);
	for (size_t i = 0; i < n; i++) {
		char name[200];
		snprintf(name, sizeof name, "%s", rows[i].name);
		size_t len = strlen(name);
		if (name[len - 1] == '*')
			name[len - 1] = 'x';
		if (len > 2 && strcmp(name + len - 2, ".N") == 0)
			name[len - 1] = '7';
		ck_assert_msg(run_conf_find(name) == &rows[i], "%s is hidden by another row", name);
		char prefixed[220];
		snprintf(prefixed, sizeof prefixed, "zookeeper.%s", name);
		ck_assert_ptr_eq(run_conf_find(prefixed), &rows[i]);
		char aliases[600];
		snprintf(aliases, sizeof aliases, "%s",
			rows[i].aliases != NULL ? rows[i].aliases : "");
		for (char *save, *a = strtok_r(aliases, " ", &save); a != NULL;
			a = strtok_r(NULL, " ", &save))
			ck_assert_msg(run_conf_find(a) == &rows[i],
				"alias %s is hidden by another row", a);
		ck_assert_ptr_nonnull(rows[i].text);
		ck_assert_uint_gt(strlen(rows[i].text), 10);
		ck_assert(rows[i].class != RUN_CONF_USED || rows[i].def != NULL);
	}
}
END_TEST

START_TEST(test_defaults_are_those_of_the_limits)
{
	ck_assert_int_eq(conf.jute_maxbuffer_bytes, LIMIT_FRAME_BYTES);
	ck_assert_int_eq(conf.max_reply_bytes, LIMIT_REPLY_BYTES);
	ck_assert_int_eq(conf.max_outstanding_per_connection, LIMIT_WRITES_IN_FLIGHT);
	ck_assert_int_eq(conf.global_outstanding_limit, LIMIT_WRITES_IN_FLIGHT_ALL);
}
END_TEST

START_TEST(test_nothing_given_is_loopback)
{
	ck_assert_int_eq(run_conf_finish(&conf, &notices, &err), 0);
	ck_assert_str_eq(conf.client_addr, "127.0.0.1");
	ck_assert_int_eq(conf.client_port, 2181);
	ck_assert_str_eq(conf.data_dir, "pando-data");
	ck_assert_str_eq(run_conf_log_dir(&conf), "pando-data");
	ck_assert_int_eq(conf.min_session_timeout_ms, 4000);
	ck_assert_int_eq(conf.max_session_timeout_ms, 40000);
	ck_assert_int_eq(conf.max_client_cnxns, 0);
	ck_assert(conf.data_dir_autocreate);
	ck_assert(!conf.unsafe_no_fsync);
	ck_assert_ptr_null(conf.super_digest);
	ck_assert_uint_eq(notices.len, 0);
}
END_TEST

/* --- what a line may look like, and what comes of it */

static const struct good {
	const char *text;
	const char *key;
	const char *value;
} goods[] = {
	{ "tickTime=3000", "tickTime", "3000" },
	{ "tickTime = 3000  \n", "tickTime", "3000" },
	{ "tickTime: 3000\r\n", "tickTime", "3000" },
	{ "\t tickTime 3000\r", "tickTime", "3000" },
	{ "# tickTime=1\n! tickTime=2\\\ntickTime=3000", "tickTime", "3000" },
	{ "tick\\\n   Time=30\\\r\n  00\n", "tickTime", "3000" },
	{ "\n\n\r\n   \ntickTime=3000\n\n", "tickTime", "3000" },
	{ "\xef\xbb\xbftickTime=3000", "tickTime", "3000" },
	{ "zookeeper.tickTime=+3000", "tickTime", "3000" },
	{ "tickTime=3s", "tickTime", "3000" },
	{ "tickTime=0xbb8", "tickTime", "3000" },
	{ "tickTime=1000\ntickTime=3000", "tickTime", "3000" },
	{ "\\u0074ickTime=3000\\", "tickTime", "3000" },
	{ "dataDir=/srv/a b\\\\c\\=d=e # no comment", "dataDir", "/srv/a b\\c=d=e # no comment" },
	{ "dataDir=\\u00fc/\\u20ac/\\ud83c\\udf32", "dataDir",
		"\xc3\xbc/\xe2\x82\xac/\xf0\x9f\x8c\xb2" },
	{ "dataDir=\xc3\xbc", "dataDir", "\xc3\xbc" },
	{ "dataDir=a\\tb", "dataDir", "a\tb" },
	{ "dataLogDir=log", "dataLogDir", "log" },
	{ "clientPort=0", "clientPort", "0" },
	{ "clientPortAddress=[::1]", "clientPortAddress", "::1" },
	{ "clientPortAddress=zoo1.example.net", "clientPortAddress", "zoo1.example.net" },
	{ "clientPortAddress=*", "clientPortAddress", "*" },
	{ "clientPort=2182", "clientPortAddress", "*" },
	{ "clientPort=2182\nclientPortAddress=10.0.0.1", "clientPortAddress", "10.0.0.1" },
	{ "minSessionTimeout=-1\nmaxSessionTimeout=-1\ntickTime=100", "minSessionTimeout", "200" },
	{ "tickTime=100", "maxSessionTimeout", "2000" },
	{ "maxClientCnxns=60", "maxClientCnxns", "60" },
	{ "globalOutstandingLimit=1000", "globalOutstandingLimit", "1000" },
	{ "jute.maxbuffer=4194304", "jute.maxbuffer", "4194304" },
	{ "zookeeper.jute.maxbuffer=0xfffff", "jute.maxbuffer", "1048575" },
	{ "jute.maxbuffer=4m", "jute.maxbuffer", "4194304" },
	{ "jute.maxbuffer=100m", "maxReplyBytes", "134217728" },
	{ "jute.maxbuffer=100m", "logSegmentBytes", "134217728" },
	{ "logSegmentBytes=1G", "logSegmentBytes", "1073741824" },
	{ "4lw.commands.whitelist=ruok, srvr", "4lw.commands.whitelist", "ruok, srvr" },
	{ "4lw.commands.whitelist=", "4lw.commands.whitelist", "" },
	{ "skipACL=yes", "skipACL", "yes" },
	{ "skipACL=TRUE", "skipACL", "yes" },
	{ "skipACL=yes\nskipACL=false", "skipACL", "no" },
	{ "zookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
		"DigestAuthenticationProvider.superDigest", "***" },
	{ "znode.container.checkIntervalMs=500", "znode.container.checkIntervalMs", "500" },
	{ "zookeeper.fsync.warningthresholdms=20", "slowFsyncMs", "20" },
	{ "clientPortListenBacklog=-1", "listenBacklog", "1024" },
	{ "testingonly.initialZxid=0x100000000", "initialZxid", "4294967296" },
	{ "nio.sessionlessCnxnTimeout=5000", "handshakeTimeoutMs", "5000" },
	{ "myid=3", "serverId", "3" },
	{ "logLevel=Debug", "logLevel", "debug" },
	{ "logFormat=json", "logFormat", "json" },
	{ "server.1=zoo1:2888:3888;2190", "clientPort", "2190" },
	{ "server.1=zoo1:2888:3888:participant;[::1]:2190", "clientPortAddress", "::1" },
	{ "clientPort=2190\nserver.1=zoo1:2888:3888;2190", "clientPort", "2190" },
	{ "server.1=zoo1:2888:3888\nserver.1=zoo1:2889:3889", "clientPort", "2181" },
};

START_TEST(test_good_line)
{
	const struct good *g = &goods[_i];
	ck_assert_msg(parse_all(g->text) == 0, "%s: %s", g->text, err.text);
	ck_value(g->key, g->value);
}
END_TEST

static const struct bad {
	const char *text;
	const char *error; /* the whole of it, or its beginning if it ends in ... */
} bads[] = {
	/* unknown, and what was meant */
	{ "tickTme=1", "zoo.cfg:1: unknown key tickTme; did you mean tickTime?" },
	{ "\n\n# x\nDATADIR=x", "zoo.cfg:4: unknown key DATADIR; did you mean dataDir?" },
	{ "maxClientConnections=5",
		"zoo.cfg:1: unknown key maxClientConnections; did you mean maxClientCnxns?" },
	{ "jutemaxbuffer=5", "zoo.cfg:1: unknown key jutemaxbuffer; did you mean jute.maxbuffer?" },
	{ "zookeeper.skipAcls=yes",
		"zoo.cfg:1: unknown key zookeeper.skipAcls; did you mean skipACL?" },
	{ "server.one=a:1:2", "zoo.cfg:1: unknown key server.one; did you mean server.N?" },
	{ "requestThrottleLimits=5", "zoo.cfg:1: unknown key requestThrottleLimits; did you mean "
				     "requestThrottleLimit?" },
	{ "colour=blue",
		"zoo.cfg:1: unknown key colour; see pando.conf(5) for those that there are" },
	{ "tickTime\\u003d1", "zoo.cfg:1: unknown key tickTime=1; did you mean tickTime?" },
	/* values */
	{ "tickTime=soon",
		"zoo.cfg:1: tickTime=soon is not a number of milliseconds; write one from 1 to "
		"107374182 (default 2000)" },
	{ "tickTime=2m3", "zoo.cfg:1: tickTime=2m3 is not a number of milliseconds; ..." },
	{ "tickTime=-", "zoo.cfg:1: tickTime=- is not a number of ..." },
	{ "tickTime=0x", "zoo.cfg:1: tickTime=0x is not a number of ..." },
	{ "tickTime=2k", "zoo.cfg:1: tickTime=2k is not a number of ..." },
	{ "tickTime=0",
		"zoo.cfg:1: tickTime=0 is out of range; write a number of milliseconds from 1 to "
		"107374182 (default 2000)" },
	{ "tickTime=99999999999999999999999999",
		"zoo.cfg:1: tickTime=99999999999999999999999999 is out of range; ..." },
	{ "tickTime=9999999999999999h",
		"zoo.cfg:1: tickTime=9999999999999999h is out of range; ..." },
	{ "clientPort=70000",
		"zoo.cfg:1: clientPort=70000 is out of range; write a number from 0 to 65535 "
		"(default 2181)" },
	{ "clientPort=-1", "zoo.cfg:1: clientPort=-1 is out of range; ..." },
	{ "logSegmentBytes=4k",
		"zoo.cfg:1: logSegmentBytes=4k is out of range; write a number of bytes from "
		"1048576 to 1073741824 (default 67108864)" },
	{ "minSessionTimeout=-2", "zoo.cfg:1: minSessionTimeout=-2 is out of range; ..." },
	{ "tickTime",
		"zoo.cfg:1: tickTime has no value; write tickTime=VALUE, the default is 2000" },
	{ "dataDir=  ",
		"zoo.cfg:1: dataDir has no value; write dataDir=VALUE, the default is pando-data" },
	{ "skipACL=maybe",
		"zoo.cfg:1: skipACL=maybe is neither yes nor no; write yes, no, true or false "
		"(default no)" },
	{ "logLevel=chatty",
		"zoo.cfg:1: logLevel=chatty is unknown; write one of error|warn|info|debug "
		"(default info)" },
	{ "clientPortAddress=10.0.0.1/8",
		"zoo.cfg:1: clientPortAddress=10.0.0.1/8 is neither an address nor a host name; "
		"write one, or * for all addresses" },
	{ "DigestAuthenticationProvider.superDigest=super:secret",
		"zoo.cfg:1: DigestAuthenticationProvider.superDigest=*** is not a digest; write "
		"super: and the base64 form of the SHA-1 of super:PASSWORD" },
	/* form */
	{ "=1", "zoo.cfg:1: there is no key; write KEY=VALUE" },
	{ "dataDir=\\u12",
		"zoo.cfg:1: \\u needs four hexadecimal digits that make a character; write a "
		"backslash as \\\\" },
	{ "a=1\\\n\\ud800x", "zoo.cfg:2: \\u needs four ..." },
	{ "dataDir=\\udc00", "zoo.cfg:1: \\u needs four ..." },
	{ "dataDir=a\\nb",
		"zoo.cfg:1: the value holds a control character (byte 10); no key or value may" },
	{ "tick\\u0000Time=1",
		"zoo.cfg:1: the key holds a control character (byte 0); no key or value may" },
	/* refused */
	{ "secureClientPort=2281",
		"zoo.cfg:1: secureClientPort is refused: TLS is not supported by this version, "
		"..." },
	{ "zookeeper.ssl.keyStore.location=/k",
		"zoo.cfg:1: zookeeper.ssl.keyStore.location is refused: TLS ..." },
	{ "client.portUnification=true", "zoo.cfg:1: client.portUnification is refused: TLS ..." },
	{ "sslQuorum=true", "zoo.cfg:1: sslQuorum is refused: TLS ..." },
	{ "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
		"zoo.cfg:1: authProvider.1 is refused: authentication providers are Java classes, "
		"..." },
	{ "sessionRequireClientSASLAuth=true",
		"zoo.cfg:1: sessionRequireClientSASLAuth is refused: SASL ..." },
	{ "enforce.auth.enabled=true",
		"zoo.cfg:1: enforce.auth.enabled is refused: clients cannot yet be made to ..." },
	{ "quorum.auth.enableSasl=true", "zoo.cfg:1: quorum.auth.enableSasl is refused: SASL ..." },
	{ "enforceQuota=true",
		"zoo.cfg:1: enforceQuota is refused: quotas are not enforced by this version, "
		"..." },
	{ "audit.enable=true",
		"zoo.cfg:1: audit.enable is refused: this version writes no audit log; write "
		"false" },
	{ "DigestAuthenticationProvider.digestAlg=SHA-256",
		"zoo.cfg:1: DigestAuthenticationProvider.digestAlg is ..." },
	{ "forceSync=no",
		"zoo.cfg:1: forceSync is refused: the log is always synced before a write is "
		"acknowledged; for a test that may lose data, write unsafeNoFsync=yes instead" },
	{ "peerType=observer", "zoo.cfg:1: peerType is refused: ..." },
	{ "dynamicConfigFile=zoo.dyn",
		"zoo.cfg:1: dynamicConfigFile is refused: ensembles are not supported ..." },
	{ "server.1=a:2888:3888\nserver.2=b:2888:3888",
		"zoo.cfg:2: server.1 and server.2: ensembles are not supported by this version, "
		"which would run as a server of its own; leave one server line or none" },
	/* together */
	{ "minSessionTimeout=5000\nmaxSessionTimeout=4000",
		"minSessionTimeout is 5000 ms (zoo.cfg:1), more than maxSessionTimeout, 4000 ms "
		"(zoo.cfg:2); write minSessionTimeout not above maxSessionTimeout" },
	{ "minSessionTimeout=50000",
		"minSessionTimeout is 50000 ms (zoo.cfg:1), more than maxSessionTimeout, 40000 ms "
		"(20 ticks); ..." },
	{ "logSegmentBytes=1m",
		"zoo.cfg:1: logSegmentBytes=1048576 is too small for a jute.maxbuffer of 1048575; "
		"write at least 2097151" },
	{ "maxReplyBytes=2m\njute.maxbuffer=10m",
		"zoo.cfg:1: maxReplyBytes=2097152 is too small for ..." },
	{ "server.1=a:2888:3888:observer",
		"zoo.cfg:1: server.1 is an observer, and there is no ensemble that it could "
		"observe; remove the line" },
	{ "clientPort=2181\nserver.1=a:2888:3888;2182",
		"zoo.cfg:1: clientPort=2181 and the client port 2182 of server.1 (zoo.cfg:2) "
		"differ; remove one of them" },
	{ "server.1=a:2888:3888;port", "zoo.cfg:1: clientPort=port is not a number; ..." },
};

static void ck_error(const char *expected)
{
	size_t n = strlen(expected);
	if (n > 3 && strcmp(expected + n - 3, "...") == 0)
		ck_assert_msg(strncmp(err.text, expected, n - 3) == 0, "'%s' and not '%s'",
			err.text, expected);
	else
		ck_assert_str_eq(err.text, expected);
}

START_TEST(test_bad_line)
{
	ck_assert_int_eq(parse_all(bads[_i].text), PANDO_EINVAL);
	ck_assert_int_eq(err.code, PANDO_EINVAL);
	ck_error(bads[_i].error);
}
END_TEST

/* --- notices */

static const struct notice_row {
	const char *text;
	const char *notice; /* all of them; NULL: none */
} notice_rows[] = {
	{ "snapCount=1",
		"zoo.cfg:1: snapCount has no effect: pando never writes a snapshot of the whole "
		"tree\n" },
	{ "metricsProvider.httpPort=7000",
		"zoo.cfg:1: metricsProvider.httpPort has no effect: metrics providers are Java "
		"classes; mntr gives the metrics\n" },
	{ "admin.serverPort=8080",
		"zoo.cfg:1: admin.serverPort has no effect: this version has no HTTP admin server; "
		"use the four-letter words\n" },
	{ "tickTime=1\n\ntickTime=2",
		"zoo.cfg:3: tickTime is given again; this line replaces the one at zoo.cfg:1\n" },
	{ "slowFsyncMs=1\nfsync.warningthresholdms=2",
		"zoo.cfg:2: slowFsyncMs is given again; this line replaces the one at "
		"zoo.cfg:1\n" },
	{ "clientPort=1",
		"zoo.cfg:1: clientPort without clientPortAddress: listening on all addresses\n" },
	{ "jute.maxbuffer=64m",
		"logSegmentBytes is raised to 134217728, for a jute.maxbuffer of "
		"67108864\nmaxReplyBytes is raised to 134217728, for a jute.maxbuffer of "
		"67108864\n" },
	{ "4lw.commands.whitelist=ruok,rouk",
		"zoo.cfg:1: 4lw.commands.whitelist: there is no command rouk\n" },
	{ "unsafeNoFsync=yes",
		"zoo.cfg:1: unsafeNoFsync=yes: THE LOG IS NOT SYNCED, a crash of the machine loses "
		"acknowledged writes; this is for tests only\n" },
	{ "skipACL=yes", "zoo.cfg:1: skipACL=yes: every client may read and change every node\n" },
	/* what asks for nothing needs no word */
	{ "electionAlg=3\nadmin.enableServer=false\nautopurge.purgeInterval=0\nstandaloneEnabled="
	  "true",
		NULL },
	{ "forceSync=yes\nsslQuorum=false\nenforceQuota=false\nDigestAuthenticationProvider."
	  "digestAlg=SHA1\npeerType=participant\naudit.enable=False\nquorum.auth.enableSasl=false",
		NULL },
};

START_TEST(test_notice)
{
	ck_assert_msg(parse_all(notice_rows[_i].text) == 0, "%s", err.text);
	ck_assert_str_eq(noticed(), notice_rows[_i].notice != NULL ? notice_rows[_i].notice : "");
}
END_TEST

START_TEST(test_notices_may_be_left_out)
{
	static const char text[] = "snapCount=1\nsnapCount=2\nskipACL=yes\nclientPort=1\njute."
				   "maxbuffer=100m\n4lw.commands.whitelist=abcde";
	ck_assert_int_eq(run_conf_parse_text(&conf, "x", text, strlen(text), NULL, NULL), 0);
	ck_assert_int_eq(run_conf_finish(&conf, NULL, NULL), 0);
	ck_assert_int_eq(
		run_conf_set(&(struct run_conf){ 0 }, "nonsense", NULL, NULL), PANDO_EINVAL);
}
END_TEST

/* --- whole files */

START_TEST(test_file_of_debian_zookeeper)
{
	ck_assert_int_eq(parse_all("# ticks\ntickTime=2000\ninitLimit=10\n# some "
				   "more\nsyncLimit=5\n\ndataDir=/var/lib/"
				   "zookeeper\nclientPort=2181\n#maxClientCnxns=60\n#autopurge."
				   "snapRetainCount=3\n\n## "
				   "Metrics\n#metricsProvider.httpPort=7000\n"),
		0);
	ck_assert_str_eq(conf.data_dir, "/var/lib/zookeeper");
	ck_assert_int_eq(conf.tick_time_ms, 2000);
	ck_assert_int_eq(conf.client_port, 2181);
	ck_assert_ptr_null(conf.client_addr);
	ck_assert_int_eq(conf.max_client_cnxns, 0);
	ck_assert_ptr_nonnull(strstr(
		noticed(), "zoo.cfg:3: initLimit has no effect: this version runs a single"));
	ck_assert_ptr_nonnull(strstr(
		noticed(), "zoo.cfg:5: syncLimit has no effect: this version runs a single"));
}
END_TEST

START_TEST(test_sample_is_good_and_complete)
{
	ck_assert_msg(
		run_conf_load_file(&conf, PANDO_SAMPLE_CONF, &notices, &err) == 0, "%s", err.text);
	ck_assert_int_eq(run_conf_finish(&conf, &notices, &err), 0);
	ck_assert_str_eq(conf.file, PANDO_SAMPLE_CONF);
	ck_assert_uint_eq(notices.len, 0);

	/* Each used key stands there, and what stands behind it is accepted. */
	FILE *f = fopen(PANDO_SAMPLE_CONF, "r");
	ck_assert_ptr_nonnull(f);
	static char text[1 << 16];
	size_t n = fread(text, 1, sizeof text - 1, f);
	fclose(f);
	text[n] = '\0';
	size_t rows_n;
	const struct run_conf_key *rows = run_conf_keys(&rows_n);
	for (size_t i = 0; i < rows_n; i++) {
		if (rows[i].class != RUN_CONF_USED)
			continue;
		char start[100];
		snprintf(start, sizeof start, "\n#%s=", rows[i].name);
		const char *at = strstr(text, start);
		ck_assert_msg(at != NULL, "%s is not in the sample", rows[i].name);
		char line[200];
		snprintf(line, sizeof line, "%.*s", (int)strcspn(at + 2, "\n"), at + 2);
		if (strstr(line, "super:DIGEST") != NULL)
			continue;
		struct run_conf own, fresh;
		run_conf_defaults(&own);
		run_conf_defaults(&fresh);
		ck_assert_msg(run_conf_set(&own, line, NULL, &err) == 0, "%s", err.text);
		struct rt_buf a, b;
		rt_buf_init(&a, 1 << 16);
		rt_buf_init(&b, 1 << 16);
		run_conf_print(&own, true, &a);
		run_conf_print(&fresh, true, &b);
		if (strcmp(rows[i].name, "dataLogDir") != 0)
			ck_assert_msg(a.len == b.len && memcmp(a.p, b.p, a.len) == 0,
				"%s is not the default", line);
		rt_buf_done(&a);
		rt_buf_done(&b);
		run_conf_done(&own);
		run_conf_done(&fresh);
	}
}
END_TEST

START_TEST(test_file_that_cannot_be_read)
{
	ck_assert_int_eq(
		run_conf_load_file(&conf, "/nonexistent/zoo.cfg", &notices, &err), PANDO_ENOENT);
	ck_error("/nonexistent/zoo.cfg: the configuration file cannot be opened: No such file or "
		 "directory");
	ck_assert_int_eq(run_conf_load_file(&conf, "/", &notices, &err), PANDO_EIO);
	ck_error("/: cannot be read: Is a directory");
	ck_assert_int_eq(run_conf_load_file(&conf, "/dev/zero", &notices, &err), PANDO_ELIMIT);
	ck_error("/dev/zero: larger than 16777216 bytes, so this is hardly a configuration file");
	ck_assert_int_eq(run_conf_load_file(&conf, "/dev/null", &notices, &err), 0);
}
END_TEST

START_TEST(test_long_lines)
{
	enum { LEN = 10 << 20 };
	char *text = rt_alloc(LEN + 100);
	memset(text, 'a', LEN);
	ck_assert_int_eq(
		run_conf_parse_text(&conf, "zoo.cfg", text, LEN, &notices, &err), PANDO_EINVAL);
	ck_error("zoo.cfg:1: the line is longer than 65536 bytes");
	memcpy(text, "\n\ndataDir=", 10);
	ck_assert_int_eq(
		run_conf_parse_text(&conf, "zoo.cfg", text, LEN, &notices, &err), PANDO_EINVAL);
	ck_error("zoo.cfg:3: the line is longer than 65536 bytes");
	memset(text, '\\', LEN);
	ck_assert_int_eq(
		run_conf_parse_text(&conf, "zoo.cfg", text, LEN, &notices, &err), PANDO_EINVAL);
	text[0] = '#';
	memcpy(text + LEN, "\ntickTime=7", 11);
	ck_assert_int_eq(run_conf_parse_text(&conf, "zoo.cfg", text, LEN + 11, &notices, &err), 0);
	ck_assert_int_eq(conf.tick_time_ms, 7);
	/* A long value that is refused is cut in the message, and the remedy is still there. */
	memcpy(text, "tickTime=", 9);
	memset(text + 9, '9', 60000);
	ck_assert_int_eq(
		run_conf_parse_text(&conf, "zoo.cfg", text, 60000, &notices, &err), PANDO_EINVAL);
	ck_assert_ptr_nonnull(strstr(
		err.text, "999... is out of range; write a number of milliseconds from 1 to"));
	rt_free(text);
}
END_TEST

/* Whatever the bytes are, the answer is yes or no; the sanitizers watch. The text ends where its
 * block does. */
START_TEST(test_random_bytes)
{
	static const char *const pieces[] = { "tickTime", "=", ":", "\\", "\n", "\r", " ", "#",
		"\\u", "00e9", "server.", "1", "ssl.", "-", "9", "x", "clientPort", "dataDir",
		"zookeeper.", "forceSync", "yes", ";", "[", "]" };
	struct rt_rand rnd;
	rt_rand_seed(&rnd, (uint64_t)_i);
	char text[400];
	size_t len = 0;
	while (len < 300) {
		if (rt_rand_u64(&rnd) % 8 == 0) {
			text[len++] = (char)rt_rand_u64(&rnd);
			continue;
		}
		const char *p = pieces[rt_rand_below(&rnd, sizeof pieces / sizeof pieces[0])];
		memcpy(text + len, p, strlen(p));
		len += strlen(p);
	}
	for (size_t n = 0; n <= len; n += 7) {
		char *copy = rt_alloc(n);
		if (n != 0)
			memcpy(copy, text, n);
		struct run_conf c;
		run_conf_defaults(&c);
		int r = run_conf_parse_text(&c, "zoo.cfg", copy, n, &notices, &err);
		if (r == 0)
			r = run_conf_finish(&c, &notices, &err);
		ck_assert(r == 0 || r == PANDO_EINVAL);
		run_conf_done(&c);
		rt_free(copy);
	}
}
END_TEST

START_TEST(test_printed_conf_reads_back)
{
	ck_assert_int_eq(parse_all("dataDir=/a\\\\b "
				   "c=#\ndataLogDir=!x\nclientPort=77\nskipACL=yes\nlogLevel="
				   "warn\nDigestAuthenticationProvider.superDigest=super:D/"
				   "InIHSb7yEEbrWz8b9l71RjZJU=\n4lw.commands.whitelist="
				   "\nminSessionTimeout=1\ninitialZxid="
				   "0x3fffffffffffffff\nslowLockMs=0"),
		0);
	struct rt_buf first, second;
	rt_buf_init(&first, 1 << 20);
	rt_buf_init(&second, 1 << 20);
	run_conf_print(&conf, true, &first);
	struct run_conf again;
	run_conf_defaults(&again);
	ck_assert_int_eq(run_conf_parse_text(&again, "x", first.p, first.len, NULL, &err), 0);
	ck_assert_int_eq(run_conf_finish(&again, NULL, &err), 0);
	run_conf_print(&again, true, &second);
	ck_assert_uint_eq(first.len, second.len);
	ck_assert_int_eq(memcmp(first.p, second.p, first.len), 0);
	ck_assert_str_eq(again.data_dir, "/a\\b c=#");
	ck_assert_str_eq(again.data_log_dir, "!x");
	ck_assert_str_eq(again.super_digest, conf.super_digest);
	ck_assert_ptr_null(again.client_addr);
	rt_buf_clear(&first);
	run_conf_print(&conf, false, &first);
	rt_buf_char(&first, '\0');
	ck_assert_ptr_null(strstr((char *)first.p, "super"));
	run_conf_done(&again);
	rt_buf_done(&first);
	rt_buf_done(&second);
}
END_TEST

START_TEST(test_whitelist)
{
	ck_assert(run_conf_allows_word(&conf, "ruok"));
	ck_assert_int_eq(parse("4lw.commands.whitelist=ruok , srvr,mntrx"), 0);
	ck_assert(run_conf_allows_word(&conf, "ruok"));
	ck_assert(run_conf_allows_word(&conf, "srvr\n"));
	ck_assert(!run_conf_allows_word(&conf, "mntr"));
	ck_assert(!run_conf_allows_word(&conf, "stat"));
	ck_assert_int_eq(parse("4lw.commands.whitelist="), 0);
	ck_assert(!run_conf_allows_word(&conf, "ruok"));
}
END_TEST

/* --- the command line */

static char config_path[64];

static const struct args_row {
	const char *args; /* separated by |; @ is a file that says tickTime=111, clientPort=5,
			     dataDir=/f */
	const char *error;
	enum run_conf_todo todo;
	const char *key;
	const char *value;
} args_rows[] = {
	{ "", NULL, RUN_CONF_SERVE, "clientPort", "2181" },
	{ "-c|@", NULL, RUN_CONF_SERVE, "tickTime", "111" },
	{ "-c@", NULL, RUN_CONF_SERVE, "tickTime", "111" },
	{ "--config=@|--check", NULL, RUN_CONF_CHECK, "clientPortAddress", "*" },
	{ "--set|tickTime=222|-c|@", NULL, RUN_CONF_SERVE, "tickTime", "222" },
	{ "--set|tickTime=1|--set=tickTime = 333 ", NULL, RUN_CONF_SERVE, "tickTime", "333" },
	{ "--data|/d|-c|@", NULL, RUN_CONF_SERVE, "dataDir", "/d" },
	{ "--data|/d|--set|dataDir=/e", NULL, RUN_CONF_SERVE, "dataDir", "/e" },
	{ "--listen|10.0.0.1:0|-c|@", NULL, RUN_CONF_SERVE, "clientPort", "0" },
	{ "--listen|10.0.0.1:0|-c|@", NULL, RUN_CONF_SERVE, "clientPortAddress", "10.0.0.1" },
	{ "--listen|[::1]:99", NULL, RUN_CONF_SERVE, "clientPortAddress", "::1" },
	{ "--listen|:99", NULL, RUN_CONF_SERVE, "clientPortAddress", "*" },
	{ "--listen|*:99|--set|clientPortAddress=::", NULL, RUN_CONF_SERVE, "clientPortAddress",
		"::" },
	{ "--set|server.1=a:1:2;44|--listen|localhost:55", NULL, RUN_CONF_SERVE, "clientPort",
		"55" },
	{ "--version|-c|/nonexistent", NULL, RUN_CONF_VERSION, NULL, NULL },
	{ "--check|-h", NULL, RUN_CONF_HELP, NULL, NULL },
	{ "-c|/nonexistent",
		"/nonexistent: the configuration file cannot be opened: No such file or directory",
		0, NULL, NULL },
	{ "-c|@|-c|/x", "-c /tmp/...", 0, NULL, NULL },
	{ "-c", "--config has no value; write --config FILE", 0, NULL, NULL },
	{ "--check=yes", "--check takes no value", 0, NULL, NULL },
	{ "zoo.cfg",
		"zoo.cfg: pandod takes options only; for a configuration file write -c zoo.cfg", 0,
		NULL, NULL },
	{ "--lisen|x", "--lisen: unknown option; see pandod --help", 0, NULL, NULL },
	{ "-x", "-x: unknown option; see pandod --help", 0, NULL, NULL },
	{ "--set|tickTime", "--set tickTime: there is no value; write --set KEY=VALUE", 0, NULL,
		NULL },
	{ "--set|tickTme=1", "--set: unknown key tickTme; did you mean tickTime?", 0, NULL, NULL },
	{ "--set|forceSync=no", "--set: forceSync is refused: ...", 0, NULL, NULL },
	{ "--data=", "--data: dataDir has no value; ...", 0, NULL, NULL },
	{ "--listen|2181",
		"--listen 2181: there is no port; write ADDR:PORT, [V6ADDR]:PORT or *:PORT", 0,
		NULL, NULL },
	{ "--listen|::1:2181", "--listen ::1:2181: an IPv6 address stands in brackets; ...", 0,
		NULL, NULL },
	{ "--listen|a:99999", "--listen: clientPort=99999 is out of range; ...", 0, NULL, NULL },
	{ "--listen|a:", "--listen: clientPort has no value; ...", 0, NULL, NULL },
	{ "--listen|a b:1", "--listen: clientPortAddress=a b is neither ...", 0, NULL, NULL },
};

START_TEST(test_args)
{
	const struct args_row *row = &args_rows[_i];
	snprintf(config_path, sizeof config_path, "/tmp/pando-conf-XXXXXX");
	int fd = mkstemp(config_path);
	ck_assert_int_ge(fd, 0);
	static const char text[] = "tickTime=111\nclientPort=5\ndataDir=/f\n";
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	char args[400];
	size_t n = 0;
	for (const char *p = row->args; *p != '\0'; p++)
		n += (size_t)snprintf(args + n, sizeof args - n, "%.*s", *p == '@' ? 64 : 1,
			*p == '@' ? config_path : p);
	args[n] = '\0';
	char *argv[20] = { args + n };
	int argc = 1;
	for (char *save, *a = strtok_r(args, "|", &save); a != NULL; a = strtok_r(NULL, "|", &save))
		argv[argc++] = a;
	enum run_conf_todo todo = RUN_CONF_SERVE;
	int r = run_conf_args(argc, argv, &conf, &notices, &todo, &err);
	unlink(config_path);
	if (row->error != NULL) {
		ck_assert_int_lt(r, 0);
		ck_error(row->error);
		return;
	}
	ck_assert_msg(r == 0, "%s", err.text);
	ck_assert_int_eq(todo, row->todo);
	if (row->key != NULL)
		ck_value(row->key, row->value);
}
END_TEST

START_TEST(test_help_names_the_options)
{
	static const char *const names[] = { "-c", "--config", "--data", "--listen", "--set",
		"--check", "--version", "--help" };
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		ck_assert_ptr_nonnull(strstr(run_conf_help(), names[i]));
}
END_TEST

static Suite *conf_suite(void)
{
	Suite *suite = suite_create("conf");
	TCase *t = tcase_create("conf");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_each_key_is_found_by_all_its_names);
	tcase_add_test(t, test_defaults_are_those_of_the_limits);
	tcase_add_test(t, test_nothing_given_is_loopback);
	tcase_add_loop_test(t, test_good_line, 0, (int)(sizeof goods / sizeof goods[0]));
	tcase_add_loop_test(t, test_bad_line, 0, (int)(sizeof bads / sizeof bads[0]));
	tcase_add_loop_test(t, test_notice, 0, (int)(sizeof notice_rows / sizeof notice_rows[0]));
	tcase_add_test(t, test_notices_may_be_left_out);
	tcase_add_test(t, test_file_of_debian_zookeeper);
	tcase_add_test(t, test_sample_is_good_and_complete);
	tcase_add_test(t, test_file_that_cannot_be_read);
	tcase_add_test(t, test_long_lines);
	tcase_add_loop_test(t, test_random_bytes, 0, 50);
	tcase_add_test(t, test_printed_conf_reads_back);
	tcase_add_test(t, test_whitelist);
	tcase_add_loop_test(t, test_args, 0, (int)(sizeof args_rows / sizeof args_rows[0]));
	tcase_add_test(t, test_help_names_the_options);
	suite_add_tcase(suite, t);
	return suite;
}

int main(void) { return unit_run(conf_suite()); }
