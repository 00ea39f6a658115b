/* Values of the configuration: setting them one by one, checking them together, printing them.
 *
 * I1: a field is only ever written by the parser of its row's type, so it is always within its
 * range.
 *
 * I2: set_at[i] is not NULL exactly when row i was given by somebody (or has been derived from
 * such).
 *
 * I3: strings from outside hold no NUL byte and no line break, so that what is printed can be read
 * back. */
#include "daemon/run/run_conf_int.h"

#include <strings.h>

#include "schema/errors_gen.h"
#include "schema/runtime/rt_mem.h"

enum { SAY_BYTES_MAX = 60 };

char *run_conf_copy(const char *p, size_t len)
{
	char *s = rt_alloc(len + 1);
	if (len != 0)
		memcpy(s, p, len);
	s[len] = '\0';
	return s;
}

void run_conf_replace(char **where, const char *text)
{
	rt_free(*where);
	*where = text == NULL ? NULL : run_conf_copy(text, strlen(text));
}

void run_conf_say(struct rt_buf *out, struct rt_slice bytes)
{
	size_t n = bytes.len < SAY_BYTES_MAX ? bytes.len : SAY_BYTES_MAX;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = bytes.p[i];
		if (c < 0x20 || c == 0x7f)
			rt_buf_fmt(out, "\\x%02x", (unsigned)c);
		else
			rt_buf_char(out, (char)c);
	}
	if (bytes.len > n)
		rt_buf_str(out, "...");
}

static void *field_of(struct run_conf *conf, const struct run_conf_key *row)
{
	return (char *)conf + row->field;
}

static const void *field_in(const struct run_conf *conf, const struct run_conf_key *row)
{
	return (const char *)conf + row->field;
}

/* The rest of an error: "key=value" cut and escaped, then what is wrong with it. */
__attribute__((format(printf, 5, 6))) static int bad_value(const struct run_conf_key *row,
	const char *where, const char *value, struct rt_err *ret_err, const char *fmt, ...)
{
	struct rt_buf b;
	rt_buf_init(&b, 4096);
	rt_buf_fmt(&b, "%s: %s=", where, row->name);
	run_conf_say(&b, row->secret ? rt_slice_str("***") : rt_slice_str(value));
	rt_buf_char(&b, ' ');
	va_list ap;
	va_start(ap, fmt);
	rt_buf_vfmt(&b, fmt, ap);
	va_end(ap);
	int r = rt_err_set(ret_err, PANDO_EINVAL, "%.*s", (int)b.len, (const char *)b.p);
	rt_buf_done(&b);
	return r;
}

__attribute__((format(printf, 2, 3))) static void notice(
	struct rt_buf *notices, const char *fmt, ...)
{
	if (notices == NULL)
		return;
	va_list ap;
	va_start(ap, fmt);
	rt_buf_vfmt(notices, fmt, ap);
	va_end(ap);
	rt_buf_char(notices, '\n');
}

bool run_conf_is_word(const char *words, const char *text, int *ret_at)
{
	size_t len = strlen(text);
	int at = 0;
	for (const char *p = words; p != NULL && len != 0; at++) {
		size_t n = strcspn(p, "|");
		if (n == len && strncasecmp(p, text, n) == 0) {
			if (ret_at != NULL)
				*ret_at = at;
			return true;
		}
		p = p[n] == '|' ? p + n + 1 : NULL;
	}
	return false;
}

/* A suffix's factor, or 0 for one that the type does not have. */
static int64_t unit_of(enum run_conf_type type, const char *suffix)
{
	static const struct {
		enum run_conf_type type;
		const char *name;
		int64_t factor;
	} units[] = {
		{ RUN_CONF_T_MS, "ms", 1 },
		{ RUN_CONF_T_MS, "s", 1000 },
		{ RUN_CONF_T_MS, "m", 60 * 1000 },
		{ RUN_CONF_T_MS, "h", 3600 * 1000 },
		{ RUN_CONF_T_BYTES, "k", 1 << 10 },
		{ RUN_CONF_T_BYTES, "m", 1 << 20 },
		{ RUN_CONF_T_BYTES, "g", 1 << 30 },
	};
	if (*suffix == '\0')
		return 1;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (units[i].type == type && strcasecmp(units[i].name, suffix) == 0)
			return units[i].factor;
	return 0;
}

/* False when the text is no number of this type; one that is too large becomes INT64_MAX. */
static bool number_of(enum run_conf_type type, const char *text, int64_t *ret)
{
	bool minus = *text == '-';
	const char *p = minus || *text == '+' ? text + 1 : text;
	unsigned base = 10;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	const char *first = p;
	int64_t v = 0;
	bool huge = false;
	for (;; p++) {
		unsigned d;
		if (*p >= '0' && *p <= '9')
			d = (unsigned)(*p - '0');
		else if (base == 16 && *p != '\0' && strchr("abcdefABCDEF", *p) != NULL)
			d = (unsigned)((*p | 0x20) - 'a') + 10;
		else
			break;
		huge = huge || __builtin_mul_overflow(v, (int64_t)base, &v) ||
		       __builtin_add_overflow(v, (int64_t)d, &v);
	}
	int64_t factor = unit_of(type, p);
	if (p == first || factor == 0)
		return false;
	huge = huge || __builtin_mul_overflow(v, factor, &v);
	if (huge)
		v = INT64_MAX;
	*ret = minus ? -v : v;
	return true;
}

static int set_number(struct run_conf *conf, const struct run_conf_key *row, const char *value,
	const char *where, struct rt_err *ret_err)
{
	static const char *const nouns[] = {
		[RUN_CONF_T_INT] = "number",
		[RUN_CONF_T_MS] = "number of milliseconds",
		[RUN_CONF_T_BYTES] = "number of bytes",
	};
	const char *noun = nouns[row->type];
	int64_t v;
	int64_t def = 0;
	bool has_def = number_of(row->type, row->def, &def);
	ASSERT(has_def);
	if (!number_of(row->type, value, &v))
		return bad_value(row, where, value, ret_err,
			"is not a %s; write one from %ld to %ld (default %s)", noun, (long)row->min,
			(long)row->max, row->def);
	/* The default may lie outside: a -1 that stands for something else. */
	if (v != def && (v < row->min || v > row->max))
		return bad_value(row, where, value, ret_err,
			"is out of range; write a %s from %ld to %ld (default %s)", noun,
			(long)row->min, (long)row->max, row->def);
	*(int64_t *)field_of(conf, row) = v;
	return 0;
}

/* ZooKeeper compares the digest as a whole, so a password in its place would just never match. */
static bool is_super_digest(const char *value)
{
	const char *colon = strchr(value, ':');
	if (colon == NULL || colon == value || strlen(colon + 1) != 28 || colon[28] != '=')
		return false;
	return strspn(colon + 1,
		       "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 27;
}

static int set_text(struct run_conf *conf, const struct run_conf_key *row, const char *value,
	const char *where, struct rt_err *ret_err)
{
	char **field = field_of(conf, row);
	if (field == &conf->client_addr) {
		size_t len = strlen(value);
		if (strcmp(value, "*") == 0) {
			run_conf_replace(field, NULL);
			return 0;
		}
		if (len > 2 && value[0] == '[' && value[len - 1] == ']') {
			char *inner = run_conf_copy(value + 1, len - 2);
			run_conf_replace(field, inner);
			rt_free(inner);
			return 0;
		}
		if (strpbrk(value, " \t[]/") != NULL)
			return bad_value(row, where, value, ret_err,
				"is neither an address nor a host name; write one, or * for all "
				"addresses");
	}
	if (field == &conf->super_digest && !is_super_digest(value))
		return bad_value(row, where, value, ret_err,
			"is not a digest; write super: and the base64 form of the SHA-1 of "
			"super:PASSWORD");
	run_conf_replace(field, value);
	return 0;
}

static int set_used(struct run_conf *conf, const struct run_conf_key *row, const char *value,
	const char *where, struct rt_err *ret_err)
{
	if (*value == '\0' && row->type != RUN_CONF_T_LIST)
		return rt_err_set(ret_err, PANDO_EINVAL, "%s: %s has no value; write %s=VALUE%s%s",
			where, row->name, row->name, *row->def != '\0' ? ", the default is " : "",
			row->def);
	int at;
	switch (row->type) {
	case RUN_CONF_T_BOOL:
		if (!run_conf_is_word("no|yes|false|true", value, &at))
			return bad_value(row, where, value, ret_err,
				"is neither yes nor no; write yes, no, true or false (default %s)",
				row->def);
		*(bool *)field_of(conf, row) = at % 2 == 1;
		return 0;
	case RUN_CONF_T_WORD:
		if (!run_conf_is_word(row->words, value, &at))
			return bad_value(row, where, value, ret_err,
				"is unknown; write one of %s (default %s)", row->words, row->def);
		*(int *)field_of(conf, row) = at;
		return 0;
	case RUN_CONF_T_INT:
	case RUN_CONF_T_MS:
	case RUN_CONF_T_BYTES:
		return set_number(conf, row, value, where, ret_err);
	case RUN_CONF_T_STRING:
	case RUN_CONF_T_PATH:
	case RUN_CONF_T_LIST:
		return set_text(conf, row, value, where, ret_err);
	}
	UNREACHABLE("type of key");
}

static int unknown_key(struct rt_slice key, const char *where, struct rt_err *ret_err)
{
	struct rt_buf b;
	rt_buf_init(&b, 4096);
	rt_buf_fmt(&b, "%s: unknown key ", where);
	run_conf_say(&b, key);
	struct rt_slice near = run_conf_nearest((const char *)key.p, key.len);
	if (near.p != NULL)
		rt_buf_fmt(&b, "; did you mean %.*s?", (int)near.len, (const char *)near.p);
	else
		rt_buf_str(&b, "; see pando.conf(5) for those that there are");
	int r = rt_err_set(ret_err, PANDO_EINVAL, "%.*s", (int)b.len, (const char *)b.p);
	rt_buf_done(&b);
	return r;
}

/* One server line is what ZooKeeper takes for standalone, too; a second one is an ensemble. */
static int take_server(struct run_conf *conf, const char *key, const char *value, const char *where,
	struct rt_err *ret_err)
{
	const char *number = strrchr(key, '.') + 1;
	if (conf->server_key != NULL && strcmp(conf->server_key, number) != 0)
		return rt_err_set(ret_err, PANDO_EINVAL,
			"%s: server.%.*s and server.%.*s: ensembles are not supported by this "
			"version, which would run as a server of its own; leave one server line or "
			"none",
			where, CUT(conf->server_key), CUT(number));
	run_conf_replace(&conf->server_key, number);
	run_conf_replace(&conf->server_line, value);
	return 0;
}

static bool starts_same(const char *a, const char *b)
{
	const char *ca = strrchr(a, ':');
	const char *cb = strrchr(b, ':');
	return ca != NULL && cb != NULL && ca - a == cb - b && strncmp(a, b, (size_t)(ca - a)) == 0;
}

/* Both come from the same file: one of them was a mistake. ZooKeeper takes the last. */
static void note_twice(const struct run_conf *conf, struct run_conf_match m, const char *where,
	struct rt_buf *notices)
{
	const char *first = conf->set_at[m.at];
	size_t n = strlen(m.row->name);
	if (first == NULL || m.row->name[n - 1] == '*' || m.row->name[n - 1] == 'N')
		return;
	if (starts_same(first, where))
		notice(notices, "%s: %s is given again; this line replaces the one at %s", where,
			m.row->name, first);
}

static int assign_text(struct run_conf *conf, const char *key, const char *value, const char *where,
	struct rt_buf *notices, struct rt_err *ret_err)
{
	struct run_conf_match m = run_conf_lookup(key, strlen(key));
	if (m.row == NULL)
		return unknown_key(rt_slice_str(key), where, ret_err);
	note_twice(conf, m, where, notices);
	int r = 0;
	if (m.row->class == RUN_CONF_USED) {
		r = set_used(conf, m.row, value, where, ret_err);
	} else if (m.row->class == RUN_CONF_REFUSED) {
		if (!run_conf_is_word(m.row->words, value, NULL))
			return rt_err_set(ret_err, PANDO_EINVAL, "%s: %.*s is refused: %s", where,
				CUT(key), m.row->text);
	} else {
		if (strcmp(m.row->name, "server.N") == 0)
			r = take_server(conf, key, value, where, ret_err);
		if (r == 0 && !run_conf_is_word(m.row->words, value, NULL))
			notice(notices, "%s: %.*s has no effect: %s", where, CUT(key), m.row->text);
	}
	if (r == 0)
		run_conf_replace(&conf->set_at[m.at], where);
	return r;
}

int run_conf_assign(struct run_conf *conf, struct rt_slice key, struct rt_slice value,
	const char *where, struct rt_buf *notices, struct rt_err *ret_err)
{
	ASSERT(!conf->finished);
	for (size_t i = 0; i < (size_t)key.len + value.len; i++) {
		uint8_t c = i < key.len ? key.p[i] : value.p[i - key.len];
		if (c < 0x20 && c != '\t')
			return rt_err_set(ret_err, PANDO_EINVAL,
				"%s: the %s holds a control character (byte %u); no key or value "
				"may",
				where, i < key.len ? "key" : "value", (unsigned)c);
	}
	if (key.len == 0)
		return rt_err_set(
			ret_err, PANDO_EINVAL, "%s: there is no key; write KEY=VALUE", where);
	char *k = run_conf_copy((const char *)key.p, key.len);
	char *v = run_conf_copy((const char *)value.p, value.len);
	int r = assign_text(conf, k, v, where, notices, ret_err);
	rt_free(k);
	rt_free(v);
	return r;
}

int run_conf_set(struct run_conf *conf, const char *assignment, struct rt_buf *notices,
	struct rt_err *ret_err)
{
	const char *eq = strchr(assignment, '=');
	if (eq == NULL) {
		struct rt_buf b;
		rt_buf_init(&b, 4096);
		run_conf_say(&b, rt_slice_str(assignment));
		int r = rt_err_set(ret_err, PANDO_EINVAL,
			"--set %.*s: there is no value; write --set KEY=VALUE", (int)b.len,
			(const char *)b.p);
		rt_buf_done(&b);
		return r;
	}
	const char *key = assignment;
	const char *key_end = eq;
	const char *value = eq + 1;
	size_t vlen = strlen(value);
	if (vlen > RUN_CONF_LINE_BYTES_MAX || eq - key > RUN_CONF_LINE_BYTES_MAX)
		return rt_err_set(ret_err, PANDO_EINVAL,
			"--set: key or value is longer than %d bytes", RUN_CONF_LINE_BYTES_MAX);
	while (key < key_end && (*key == ' ' || *key == '\t'))
		key++;
	while (key_end > key && (key_end[-1] == ' ' || key_end[-1] == '\t'))
		key_end--;
	while (*value == ' ' || *value == '\t')
		value++;
	vlen = strlen(value);
	while (vlen > 0 && (value[vlen - 1] == ' ' || value[vlen - 1] == '\t'))
		vlen--;
	return run_conf_assign(conf, rt_slice_of(key, (size_t)(key_end - key)),
		rt_slice_of(value, vlen), "--set", notices, ret_err);
}

int run_conf_listen(struct run_conf *conf, const char *where, struct rt_err *ret_err)
{
	const char *colon = strrchr(where, ':');
	const char *wrong = NULL;
	size_t len = colon == NULL ? 0 : (size_t)(colon - where);
	if (colon == NULL)
		wrong = "there is no port";
	else if (memchr(where, ':', len) != NULL && !(where[0] == '[' && where[len - 1] == ']'))
		wrong = "an IPv6 address stands in brackets";
	if (wrong != NULL)
		return rt_err_set(ret_err, PANDO_EINVAL,
			"--listen %.*s: %s; write ADDR:PORT, [V6ADDR]:PORT or *:PORT", CUT(where),
			wrong);
	struct run_conf_match addr = run_conf_lookup("clientPortAddress", 17);
	struct run_conf_match port = run_conf_lookup("clientPort", 10);
	char *a = len == 0 ? run_conf_copy("*", 1) : run_conf_copy(where, len);
	int r = set_used(conf, addr.row, a, "--listen", ret_err);
	rt_free(a);
	if (r == 0)
		r = set_used(conf, port.row, colon + 1, "--listen", ret_err);
	if (r == 0) {
		run_conf_replace(&conf->set_at[addr.at], "--listen");
		run_conf_replace(&conf->set_at[port.at], "--listen");
	}
	return r;
}

void run_conf_defaults(struct run_conf *conf)
{
	memset(conf, 0, sizeof *conf);
	size_t n;
	const struct run_conf_key *rows = run_conf_keys(&n);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].class != RUN_CONF_USED || *rows[i].def == '\0')
			continue;
		int r = set_used(conf, &rows[i], rows[i].def, "default", NULL);
		ASSERT(r == 0);
	}
}

static bool is_string(const struct run_conf_key *row)
{
	return row->class == RUN_CONF_USED &&
	       (row->type == RUN_CONF_T_STRING || row->type == RUN_CONF_T_PATH ||
		       row->type == RUN_CONF_T_LIST);
}

void run_conf_done(struct run_conf *conf)
{
	if (conf == NULL)
		return;
	size_t n;
	const struct run_conf_key *rows = run_conf_keys(&n);
	for (size_t i = 0; i < n; i++) {
		if (is_string(&rows[i]))
			rt_free(*(char **)field_of(conf, &rows[i]));
		rt_free(conf->set_at[i]);
	}
	rt_free(conf->file);
	rt_free(conf->server_line);
	rt_free(conf->server_key);
	memset(conf, 0, sizeof *conf);
}

static const char *given_at(const struct run_conf *conf, const char *name)
{
	return conf->set_at[run_conf_place(name)];
}

static int finish_sessions(struct run_conf *conf, struct rt_err *ret_err)
{
	if (conf->min_session_timeout_ms == -1)
		conf->min_session_timeout_ms = 2 * conf->tick_time_ms;
	if (conf->max_session_timeout_ms == -1)
		conf->max_session_timeout_ms = 20 * conf->tick_time_ms;
	if (conf->min_session_timeout_ms <= conf->max_session_timeout_ms)
		return 0;
	const char *min_at = given_at(conf, "minSessionTimeout");
	const char *max_at = given_at(conf, "maxSessionTimeout");
	return rt_err_set(ret_err, PANDO_EINVAL,
		"minSessionTimeout is %ld ms (%s), more than maxSessionTimeout, %ld ms (%s); write "
		"minSessionTimeout not above maxSessionTimeout",
		(long)conf->min_session_timeout_ms, min_at != NULL ? min_at : "2 ticks",
		(long)conf->max_session_timeout_ms, max_at != NULL ? max_at : "20 ticks");
}

/* A request of jute.maxbuffer has to fit into one file of the log, and its data into one reply. */
static int finish_sizes(struct run_conf *conf, struct rt_buf *notices, struct rt_err *ret_err)
{
	enum { ROOM = 1 << 20 }; /* far above what an entry or a reply adds */
	struct {
		const char *name;
		int64_t *bytes;
		int64_t least;
	} sizes[] = {
		{ "logSegmentBytes", &conf->log_segment_bytes, conf->jute_maxbuffer_bytes + ROOM },
		{ "maxReplyBytes", &conf->max_reply_bytes, conf->jute_maxbuffer_bytes + ROOM },
	};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		const char *at = given_at(conf, sizes[i].name);
		if (*sizes[i].bytes >= sizes[i].least)
			continue;
		if (at != NULL)
			return rt_err_set(ret_err, PANDO_EINVAL,
				"%s: %s=%ld is too small for a jute.maxbuffer of %ld; write at "
				"least %ld",
				at, sizes[i].name, (long)*sizes[i].bytes,
				(long)conf->jute_maxbuffer_bytes, (long)sizes[i].least);
		while (*sizes[i].bytes < sizes[i].least)
			*sizes[i].bytes *= 2;
		notice(notices, "%s is raised to %ld, for a jute.maxbuffer of %ld", sizes[i].name,
			(long)*sizes[i].bytes, (long)conf->jute_maxbuffer_bytes);
	}
	return 0;
}

/* "host:2888:3888:participant;[addr:]port": ours to listen on is what follows the semicolon. */
static int finish_server(struct run_conf *conf, struct rt_buf *notices, struct rt_err *ret_err)
{
	if (conf->server_line == NULL)
		return 0;
	const char *at = given_at(conf, "server.N");
	if (strstr(conf->server_line, ":observer") != NULL)
		return rt_err_set(ret_err, PANDO_EINVAL,
			"%s: server.%.*s is an observer, and there is no ensemble that it could "
			"observe; remove the line",
			at, CUT(conf->server_key));
	const char *client = strrchr(conf->server_line, ';');
	if (client == NULL || client[1] == '\0')
		return 0;
	client++;
	struct run_conf_match addr = run_conf_lookup("clientPortAddress", 17);
	struct run_conf_match port = run_conf_lookup("clientPort", 10);
	const char *colon = strrchr(client, ':');
	const char *port_text = colon == NULL ? client : colon + 1;
	bool port_given = conf->set_at[port.at] != NULL;
	int64_t before = conf->client_port;
	int r = set_used(conf, port.row, port_text, at, ret_err);
	if (r < 0)
		return r;
	if (port_given && before != conf->client_port) {
		/* An option may well ask for another port than the file does. */
		bool option = strncmp(conf->set_at[port.at], "--", 2) == 0;
		int64_t asked = conf->client_port;
		conf->client_port = before;
		return option ? 0
			      : rt_err_set(ret_err, PANDO_EINVAL,
					"%s: clientPort=%ld and the client port %ld of server.%.*s "
					"(%s) differ; remove one of them",
					conf->set_at[port.at], (long)before, (long)asked,
					CUT(conf->server_key), at);
	}
	if (!port_given)
		run_conf_replace(&conf->set_at[port.at], at);
	if (colon == NULL || conf->set_at[addr.at] != NULL)
		return 0;
	char *text = run_conf_copy(client, (size_t)(colon - client));
	r = set_used(conf, addr.row, text, at, ret_err);
	rt_free(text);
	if (r == 0)
		run_conf_replace(&conf->set_at[addr.at], at);
	notice(notices, "%s: listening on the client address of server.%.*s", at,
		CUT(conf->server_key));
	return r;
}

static void note_words(const struct run_conf *conf, struct rt_buf *notices)
{
	static const char *const words[] = { "*", "conf", "cons", "crst", "dirs", "dump", "envi",
		"gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr", "stat", "stmk", "wchc",
		"wchp", "wchs" };
	const char *at = given_at(conf, "4lw.commands.whitelist");
	for (const char *p = conf->four_letter_words; *p != '\0';) {
		size_t n = strcspn(p, ", \t");
		bool known = n == 0;
		for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
			known = known || (strlen(words[i]) == n && memcmp(words[i], p, n) == 0);
		if (!known)
			notice(notices, "%s: 4lw.commands.whitelist: there is no command %.*s",
				at != NULL ? at : "default", (int)(n < 20 ? n : 20), p);
		p += n + (p[n] != '\0');
	}
}

static void note_dangers(const struct run_conf *conf, struct rt_buf *notices)
{
	if (conf->unsafe_no_fsync)
		notice(notices,
			"%s: unsafeNoFsync=yes: THE LOG IS NOT SYNCED, a crash of the machine "
			"loses acknowledged writes; this is for tests only",
			given_at(conf, "unsafeNoFsync"));
	if (conf->skip_acl)
		notice(notices, "%s: skipACL=yes: every client may read and change every node",
			given_at(conf, "skipACL"));
}

int run_conf_finish(struct run_conf *conf, struct rt_buf *notices, struct rt_err *ret_err)
{
	ASSERT(!conf->finished);
	int r = finish_server(conf, notices, ret_err);
	if (r == 0)
		r = finish_sessions(conf, ret_err);
	if (r == 0)
		r = finish_sizes(conf, notices, ret_err);
	if (r < 0)
		return r;
	if (conf->listen_backlog <= 0)
		conf->listen_backlog = 1024;
	/* ZooKeeper: a clientPort alone is bound on every address. Nothing at all is our own
	 * default, and that is the loopback address, since nobody asked to be reached from
	 * elsewhere. */
	const char *port_at = given_at(conf, "clientPort");
	if (port_at != NULL && given_at(conf, "clientPortAddress") == NULL) {
		run_conf_replace(&conf->client_addr, NULL);
		notice(notices,
			"%s: clientPort without clientPortAddress: listening on all addresses",
			port_at);
	}
	note_words(conf, notices);
	note_dangers(conf, notices);
	conf->finished = true;
	return 0;
}

const char *run_conf_log_dir(const struct run_conf *conf)
{
	return conf->data_log_dir != NULL ? conf->data_log_dir : conf->data_dir;
}

bool run_conf_allows_word(const struct run_conf *conf, const char *word)
{
	for (const char *p = conf->four_letter_words; *p != '\0';) {
		size_t n = strcspn(p, ", \t");
		if ((n == 1 && *p == '*') || (n == 4 && memcmp(p, word, 4) == 0))
			return true;
		p += n + (p[n] != '\0');
	}
	return false;
}

static void print_value(const struct run_conf *conf, const struct run_conf_key *row, bool secrets,
	struct rt_buf *out)
{
	const void *field = field_in(conf, row);
	switch (row->type) {
	case RUN_CONF_T_BOOL:
		rt_buf_str(out, *(const bool *)field ? "yes" : "no");
		return;
	case RUN_CONF_T_INT:
	case RUN_CONF_T_MS:
	case RUN_CONF_T_BYTES:
		rt_buf_i64(out, *(const int64_t *)field);
		return;
	case RUN_CONF_T_WORD: {
		const char *p = row->words;
		for (int i = *(const int *)field; i > 0; i--)
			p = strchr(p, '|') + 1;
		rt_buf_put(out, p, strcspn(p, "|"));
		return;
	}
	case RUN_CONF_T_STRING:
	case RUN_CONF_T_PATH:
	case RUN_CONF_T_LIST: {
		const char *s = *(char *const *)field;
		if (field == (const void *)&conf->client_addr && s == NULL)
			s = "*";
		if (s != NULL)
			rt_buf_str(out, row->secret && !secrets ? "***" : s);
		return;
	}
	}
}

void run_conf_print_value(
	const struct run_conf *conf, const struct run_conf_key *key, struct rt_buf *out)
{
	if (key->class == RUN_CONF_USED)
		print_value(conf, key, false, out);
}

void run_conf_print(const struct run_conf *conf, bool with_secrets, struct rt_buf *out)
{
	size_t n;
	const struct run_conf_key *rows = run_conf_keys(&n);
	struct rt_buf value;
	rt_buf_init(&value, 4 * RUN_CONF_LINE_BYTES_MAX);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].class != RUN_CONF_USED || (rows[i].secret && !with_secrets))
			continue;
		rt_buf_clear(&value);
		print_value(conf, &rows[i], true, &value);
		if (value.len == 0 && rows[i].type != RUN_CONF_T_LIST)
			continue;
		rt_buf_fmt(out, "%s=", rows[i].name);
		for (size_t j = 0; j < value.len; j++) {
			if (value.p[j] == '\\')
				rt_buf_char(out, '\\');
			rt_buf_char(out, (char)value.p[j]);
		}
		rt_buf_char(out, '\n');
	}
	rt_buf_done(&value);
}
