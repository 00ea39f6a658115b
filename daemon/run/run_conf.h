/* pandod's configuration: one table of keys, one struct of values, one parser for files and
 *options.
 *
 * A configuration file is a Java properties file with ZooKeeper's keys, so that an existing zoo.cfg
 *works. A key is known in one of three ways: it is *used*; it is *accepted*, because it has no
 *meaning here, with a notice that says why; or it is *refused*, because ignoring it would give the
 *administrator less than was asked for. Any other key is an error that names the nearest known one.
 *pando.conf(5) describes them all.
 *
 *	struct run_conf conf;
 *	enum run_conf_todo todo;
 *	run_conf_defaults(&conf);
 *	if (run_conf_args(argc, argv, &conf, &notices, &todo, &err) < 0)
 *		...print err.text, exit 1...
 *	...print each line of notices, do what todo says...
 *	run_conf_done(&conf);
 *
 * Values come in the order file, then options from left to right; the last one wins. Strings belong
 *to the conf. Notices are whole lines, each with its place in front, appended to the caller's
 *buffer, which may be NULL. Not thread-safe while it is being filled; constant, and so free to
 *share, afterwards. */
#ifndef PANDO_RUN_CONF_H
#define PANDO_RUN_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/runtime/rt_buf.h"
#include "schema/runtime/rt_err.h"

enum run_conf_level { RUN_CONF_ERROR, RUN_CONF_WARN, RUN_CONF_INFO, RUN_CONF_DEBUG };
enum run_conf_format { RUN_CONF_TEXT, RUN_CONF_JSON };

enum run_conf_todo {
	RUN_CONF_SERVE,
	RUN_CONF_CHECK,      /* --check: the configuration is good, say so and end */
	RUN_CONF_CHECK_DATA, /* --check-data: verify data_dir and end */
	RUN_CONF_DUMP_DATA,  /* --dump-data: print data_dir and end */
	RUN_CONF_VERSION,    /* --version */
	RUN_CONF_HELP,       /* --help: print run_conf_help() */
};

enum {
	RUN_CONF_FILE_BYTES_MAX = 16 << 20, /* a larger file is not a configuration */
	RUN_CONF_LINE_BYTES_MAX = 64 << 10, /* key and value after unescaping, each */
	RUN_CONF_KEYS_MAX = 320,
};

/* Numbers are int64_t throughout; the table's range is what bounds them. */
struct run_conf {
	/* where */
	char *data_dir;
	char *data_log_dir;  /* NULL: the log lives in data_dir; use run_conf_log_dir() */
	char *client_addr;   /* name or address without brackets; NULL: all addresses, IPv4 and IPv6
			      */
	int64_t client_port; /* 0: the kernel chooses */
	int64_t listen_backlog;
	int64_t server_id;
	int64_t initial_zxid;
	bool data_dir_autocreate;

	/* sessions and time; both limits are set after run_conf_finish */
	int64_t tick_time_ms;
	int64_t min_session_timeout_ms;
	int64_t max_session_timeout_ms;
	int64_t handshake_timeout_ms;

	/* limits */
	int64_t max_client_cnxns; /* one address; 0: no limit */
	int64_t max_cnxns;        /* all together; 0: no limit */
	int64_t global_outstanding_limit;
	int64_t max_outstanding_per_connection;
	int64_t jute_maxbuffer_bytes;
	int64_t max_reply_bytes;

	/* access */
	char *four_letter_words; /* as written; ask run_conf_allows_word() */
	char *super_digest;      /* NULL: no super user */
	bool skip_acl;

	/* containers */
	int64_t container_check_interval_ms; /* 0: they are never removed */
	int64_t container_max_per_minute;
	int64_t container_max_never_used_ms; /* 0: one that never had a child stays */

	/* the machine */
	int64_t io_threads; /* 0: one a core, at most 8 */
	int64_t log_segment_bytes;
	int64_t log_retain_bytes;
	int64_t state_interval_ms;
	int64_t disk_reserve_bytes; /* 0: follows from log_segment_bytes */
	bool unsafe_no_fsync;
	bool client_tcp_keep_alive;

	/* what is said */
	int log_level;         /* enum run_conf_level */
	int log_format;        /* enum run_conf_format */
	int64_t slow_fsync_ms; /* these four: 0 says nothing */
	int64_t slow_turn_ms;
	int64_t slow_apply_ms;
	int64_t slow_lock_ms;

	char *file; /* the file that was read, or NULL */

	/* Private from here. Where each key was last given ("zoo.cfg:12", "--set"), by its place in
	 * the table; the one server.N line, if any. */
	char *set_at[RUN_CONF_KEYS_MAX];
	char *server_line;
	char *server_key;
	bool finished;
};

enum run_conf_type {
	RUN_CONF_T_BOOL,  /* true, false, yes, no */
	RUN_CONF_T_INT,   /* decimal, or hexadecimal after 0x */
	RUN_CONF_T_MS,    /* milliseconds; may end in ms, s, m or h */
	RUN_CONF_T_BYTES, /* bytes; may end in k, m or g, as powers of 1024 */
	RUN_CONF_T_WORD,  /* one of the words in `words` */
	RUN_CONF_T_STRING,
	RUN_CONF_T_PATH,
	RUN_CONF_T_LIST, /* separated by commas */
};

enum run_conf_class { RUN_CONF_USED, RUN_CONF_ACCEPTED, RUN_CONF_REFUSED };

/* One row of the table. A name may end in ".*" (any rest) or ".N" (a number): then it stands for
 * all of them. */
struct run_conf_key {
	const char *name;
	const char *aliases; /* separated by blanks, or NULL */
	enum run_conf_type type;
	enum run_conf_class class;
	size_t field; /* offset in struct run_conf, of used keys */
	int64_t min;  /* numbers: the range, both ends included */
	int64_t max;
	const char *def;   /* the default as one would write it; "" for none; of used keys */
	const char *words; /* T_WORD: "error|warn"; accepted and refused: the values that ask for
			      nothing */
	const char
		*text; /* used: what it means; else why it is ignored or refused, and what to do */
	bool secret;   /* never printed */
};

/* The table, in the order of the manual. Static. */
const struct run_conf_key *run_conf_keys(size_t *ret_n);

/* The row of a key as it stands in a file (a leading "zookeeper." is optional, aliases are known),
 * or NULL. */
const struct run_conf_key *run_conf_find(const char *name);

/* Every key at its default. The conf needs run_conf_done afterwards. */
void run_conf_defaults(struct run_conf *conf);

/* Frees what the conf owns; NULL and a zeroed one are fine. */
void run_conf_done(struct run_conf *conf);

/* Reads the text of a configuration file, any bytes; `name` is what messages call it. 0 or
 * PANDO_EINVAL with *ret_err filled; what stood before the bad line has been taken then. */
__attribute__((warn_unused_result)) int run_conf_parse_text(struct run_conf *conf, const char *name,
	const void *text, size_t len, struct rt_buf *notices, struct rt_err *ret_err);

/* The same from a file: also PANDO_ENOENT, PANDO_EACCES, PANDO_EIO, PANDO_ELIMIT (too large). */
__attribute__((warn_unused_result)) int run_conf_load_file(
	struct run_conf *conf, const char *path, struct rt_buf *notices, struct rt_err *ret_err);

/* One "key=value", as after --set. 0 or PANDO_EINVAL. */
__attribute__((warn_unused_result)) int run_conf_set(struct run_conf *conf, const char *assignment,
	struct rt_buf *notices, struct rt_err *ret_err);

/* "ADDR:PORT", "[V6]:PORT", ":PORT" or "*:PORT" (all addresses), as after --listen. 0 or
 * PANDO_EINVAL. */
__attribute__((warn_unused_result)) int run_conf_listen(
	struct run_conf *conf, const char *where, struct rt_err *ret_err);

/* Fills what follows from other keys and checks keys against each other. Once, after the last
 * setting. 0 or PANDO_EINVAL. */
__attribute__((warn_unused_result)) int run_conf_finish(
	struct run_conf *conf, struct rt_buf *notices, struct rt_err *ret_err);

/* The whole command line: the file first, then the options from left to right, then run_conf_finish
 * (not for --version and --help, which win over everything and read no file). 0 or what the parts
 * return. */
__attribute__((warn_unused_result)) int run_conf_args(int argc, char **argv, struct run_conf *conf,
	struct rt_buf *notices, enum run_conf_todo *ret_todo, struct rt_err *ret_err);

/* What --help prints. Static. */
const char *run_conf_help(void);

/* The folder of the log: dataLogDir if given, else dataDir. */
const char *run_conf_log_dir(const struct run_conf *conf);

/* Whether the whitelist lets this four-letter word be answered. `word` has at least four bytes. */
bool run_conf_allows_word(const struct run_conf *conf, const char *word);

/* Appends the value of a used key as it would be written in a file, unescaped; a secret as "***"
 * (nothing when it is not set); "" for a key that is not used. */
void run_conf_print_value(
	const struct run_conf *conf, const struct run_conf_key *key, struct rt_buf *out);

/* Appends one "key=value" line for each used key, escaped so that run_conf_parse_text reads back
 * the same conf. Secrets only when asked for; keys that have no value are left out. */
void run_conf_print(const struct run_conf *conf, bool with_secrets, struct rt_buf *out);

#endif
