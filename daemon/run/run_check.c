/* pandod --check-data and --dump-data: a data folder looked at, not touched; a copy will do as well. */
#include "daemon/run/run_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "schema/runtime/rt_mem.h"

/* Exit statuses. */
enum { WELL = 0, DAMAGED = 1, UNREADABLE = 2 };

struct check {
	const struct run_conf *conf;
	char *log_dir;
	struct store_db *db;
	struct store_db_meta meta;
	struct state *state; /* NULL once something contradicts */
	struct node *node;
	struct feed_batch batch;
	struct rt_err err;
	uint64_t entries;
	bool damaged;
};

static int say_damage(struct check *c, const char *what)
{
	printf("DAMAGED %s\n", what);
	c->damaged = true;
	return DAMAGED;
}

static void db_damage(void *arg, const struct store_db_damage *damage)
{
	say_damage(arg, damage->text);
}

static int load_list(void *arg, const struct disk_acls *row)
{
	return state_load_list(((struct check *)arg)->state, row) ? 0 : PANDO_ECORRUPT;
}

static int load_session(void *arg, const struct disk_sessions *row)
{
	return state_load_session(((struct check *)arg)->state, row) ? 0 : PANDO_ECORRUPT;
}

static int load_node(void *arg, const struct disk_nodes *row)
{
	return state_load_node(((struct check *)arg)->state, row) ? 0 : PANDO_ECORRUPT;
}

static int open_state(struct check *c)
{
	char *path = folder_join(c->conf->data_dir, STORE_DB_NAME);
	struct store_db_options o = { .inspect = true, .read_only = true };
	int rc = store_db_open(path, &o, &c->db, &c->meta, &c->err);
	free(path);
	return rc;
}

/* The state file: SQLite's own check, every row's checksum, the digest of the whole. */
static int check_state(struct check *c)
{
	struct store_db_counts counts = { 0 };
	int rc = open_state(c);
	if (rc == PANDO_ECORRUPT || rc == PANDO_EFORMAT)
		return say_damage(c, c->err.text);
	if (rc != 0) {
		printf("%s\n", c->err.text);
		return UNREADABLE;
	}
	if (!c->meta.found) {
		printf("state file: none yet\n");
		c->state = state_new(0);
		return WELL;
	}
	const struct disk_meta *m = &c->meta.meta;
	if (m->format > DISK_STATE_FORMAT || m->level > DISK_LEVEL)
		return say_damage(c,
			"state.db: written by a newer pandod, in a format or for a level that this one "
			"does not know: look at it with that one");
	rc = store_db_verify(c->db, db_damage, c, &counts, &c->err);
	if (rc != 0 && rc != PANDO_ECORRUPT) {
		printf("%s\n", c->err.text);
		return UNREADABLE;
	}
	printf("state file: index 0x%llx, %llu nodes, %llu sessions, %llu lists, digest %016llx\n",
		(unsigned long long)m->applied_index, (unsigned long long)counts.nodes,
		(unsigned long long)counts.sessions, (unsigned long long)counts.lists,
		(unsigned long long)m->digest);
	if (rc != 0)
		return DAMAGED;
	struct store_db_visitor visitor = { load_list, load_session, load_node };
	c->state = state_new_empty(0);
	rc = store_db_load(c->db, &visitor, c, &counts, &c->err);
	if (rc == 0 &&
		state_loaded(c->state, (int64_t)m->applied_index, m->next_node_id, m->digest))
		return WELL;
	state_free(c->state);
	c->state = NULL;
	return say_damage(c,
		"state.db: its rows contradict each other or their digest: some are missing, or too many");
}

static void log_report(void *arg, const struct store_log_report *r)
{
	struct check *c = arg;
	if (r->kind == STORE_LOG_REPORT_SEGMENT)
		printf("log: %s: entries 0x%llx to 0x%llx, %llu records, %llu bytes of %llu\n",
			r->file, (unsigned long long)r->first_index,
			(unsigned long long)r->last_index, (unsigned long long)r->records,
			(unsigned long long)r->bytes, (unsigned long long)r->file_bytes);
	else if (r->kind == STORE_LOG_REPORT_SPARE)
		printf("log: %s: spare, %llu bytes\n", r->file, (unsigned long long)r->file_bytes);
	else if (r->kind == STORE_LOG_REPORT_TORN)
		printf("log: %s: offset %llu: %llu bytes were written but not confirmed before the end; a start "
		       "cuts them off\n",
			r->file, (unsigned long long)r->offset, (unsigned long long)r->torn_bytes);
	else if (r->code == PANDO_EIO || r->code == PANDO_EACCES)
		printf("%s\n",
			r->text); /* the same comes back as the result: it could not be read */
	else
		say_damage(c, r->text);
}

/* Through the same apply as a start's. */
static int apply_record(void *arg, const struct store_log_record *record)
{
	struct check *c = arg;
	if (record->kind != DISK_RECORD_KIND_ENTRY || c->node == NULL || c->damaged)
		return 0;
	int rc = node_recover(
		c->node, record->index, record->term, record->payload, &c->batch, &c->err);
	if (rc != 0)
		say_damage(c, c->err.text);
	if (++c->entries % LIMIT_APPLY_ENTRIES == 0) {
		node_seal(c->node, &c->batch);
		feed_clear(&c->batch);
	}
	return 0;
}

static int check_log(struct check *c)
{
	struct store_log_tail tail;
	struct store_log_options o = { .visit = apply_record, .arg = c };
	if (c->meta.found) {
		memcpy(o.ids.ensemble_id, c->meta.meta.ensemble_id, sizeof o.ids.ensemble_id);
		memcpy(o.ids.folder_id, c->meta.meta.folder_id, sizeof o.ids.folder_id);
		o.have_index = c->meta.meta.applied_index;
		o.have_term = c->meta.meta.applied_term;
	}
	int rc = store_log_verify(&store_fs_posix, c->log_dir, &o, log_report, c, &tail, &c->err);
	if (rc != 0 && !c->meta.found)
		printf("there is no state.db in %s, or an empty one\n", c->conf->data_dir);
	if (rc == 0 || c->damaged)
		return c->damaged ? DAMAGED : WELL;
	printf("%s\n", c->err.text);
	return rc == PANDO_ECORRUPT ? DAMAGED : UNREADABLE;
}

static void check_done(struct check *c)
{
	feed_done(&c->batch);
	if (c->node != NULL)
		node_free(c->node);
	else
		state_free(c->state);
	store_db_close(c->db);
	free(c->log_dir);
}

static void check_init(struct check *c, const struct run_conf *conf)
{
	*c = (struct check){ .conf = conf, .log_dir = folder_join(run_conf_log_dir(conf), "log") };
	feed_init(&c->batch);
}

/* A descriptor that keeps a server from starting on the folder meanwhile; -1 and a word when it cannot be looked at. */
static int look(const struct run_conf *conf, FILE *out)
{
	struct rt_err err;
	if (access(conf->data_dir, R_OK | X_OK) != 0) {
		fprintf(out, "%s: no data folder that can be read\n", conf->data_dir);
		return -1;
	}
	int fd = folder_look(conf, &err);
	if (fd < 0)
		fprintf(out, "%s\n", err.text);
	return fd;
}

int check_data(const struct run_conf *conf)
{
	struct check c;
	int lock_fd = look(conf, stdout);
	if (lock_fd < 0)
		return UNREADABLE;
	check_init(&c, conf);
	int status = check_state(&c);
	if (c.state != NULL)
		c.node = node_new(&(struct node_config){ .tick_ms = 1000 }, c.state);
	int log_status = check_log(&c);
	status = log_status > status ? log_status : status;
	if (status == WELL) {
		struct state_counts n;
		node_seal(c.node, &c.batch);
		state_counts(node_state(c.node), &n);
		printf("all is well: up to index 0x%llx, %llu nodes, digest %016llx\n",
			(unsigned long long)node_applied_index(c.node), (unsigned long long)n.nodes,
			(unsigned long long)c.batch.mark.digest);
	} else {
		printf(status == DAMAGED
				? "this folder is damaged: keep it, and restore the whole of it from one backup\n"
				: "this folder could not be read\n");
	}
	check_done(&c);
	close(lock_fd);
	return status;
}

static int dump_line(void *arg, struct rt_slice line)
{
	fwrite(line.p, 1, line.len, stdout);
	putchar('\n');
	return ferror(stdout) ? PANDO_EIO : 0;
}

static void dump_json_text(const uint8_t *p, size_t n)
{
	putchar('"');
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '"' || p[i] == '\\')
			printf("\\%c", p[i]);
		else if (p[i] < 0x20 || p[i] >= 0x7f)
			printf("\\u%04x", p[i]);
		else
			putchar(p[i]);
	}
	putchar('"');
}

/* The entry's own fields as text, from the schema; a request's body as its bytes. */
static void dump_entry(struct rt_slice payload, struct rt_buf *out)
{
	struct rt_reader r = rt_reader_of(payload.p, payload.len);
	struct disk_entry_header h;
	union {
		struct disk_entry_session_open open;
		struct disk_entry_session_attach attach;
		struct disk_entry_session_expire expire;
		struct disk_entry_request request;
	} q;
	if (disk_entry_header_decode(&r, &h) != 0) {
		rt_buf_str(out, "undecodable");
		return;
	}
	disk_entry_header_dump(out, &h);
	rt_buf_char(out, ' ');
	if (h.kind == DISK_ENTRY_KIND_SESSION_OPEN &&
		disk_entry_session_open_decode(&r, &q.open) == 0) {
		memset(q.open.passwd, 0,
			sizeof q.open.passwd); /* a password is nobody's business */
		disk_entry_session_open_dump(out, &q.open);
	} else if (h.kind == DISK_ENTRY_KIND_SESSION_ATTACH &&
		   disk_entry_session_attach_decode(&r, &q.attach) == 0) {
		q.attach.passwd = (struct rt_slice){ NULL, 0 };
		disk_entry_session_attach_dump(out, &q.attach);
	} else if (h.kind == DISK_ENTRY_KIND_SESSION_EXPIRE &&
		   disk_entry_session_expire_decode(&r, &q.expire) == 0) {
		disk_entry_session_expire_dump(out, &q.expire);
	} else if (h.kind == DISK_ENTRY_KIND_REQUEST &&
		   disk_entry_request_decode(&r, &q.request) == 0) {
		disk_entry_request_dump(out, &q.request);
		rt_buf_str(out, " body ");
		rt_buf_quoted(out, rt_slice_of(r.p, rt_left(&r)));
	}
}

static int dump_record(void *arg, const struct store_log_record *record)
{
	struct rt_buf text;
	rt_buf_init(&text, 1u << 30);
	printf("{\"log\":\"%s\",\"term\":%llu,\"index\":%llu,\"record\":",
		record->kind == DISK_RECORD_KIND_ENTRY ? "entry" : "hard_state",
		(unsigned long long)record->term, (unsigned long long)record->index);
	if (record->kind == DISK_RECORD_KIND_ENTRY)
		dump_entry(record->payload, &text);
	else
		rt_buf_fmt(&text, "term %llu", (unsigned long long)record->term);
	dump_json_text(text.p, text.len);
	printf("}\n");
	rt_buf_done(&text);
	return ferror(stdout) ? PANDO_EIO : 0;
}

static void dump_report(void *arg, const struct store_log_report *r)
{
	if (r->kind == STORE_LOG_REPORT_DAMAGE)
		fprintf(stderr, "DAMAGED %s\n", r->text);
}

int dump_data(const struct run_conf *conf)
{
	struct check c;
	struct store_log_tail tail;
	struct store_log_options o = { .visit = dump_record };
	int lock_fd = look(conf, stderr);
	if (lock_fd < 0)
		return UNREADABLE;
	check_init(&c, conf);
	int status = WELL;
	int rc = open_state(&c);
	if (rc == 0)
		rc = store_db_dump_rows(c.db, dump_line, NULL, &c.err);
	if (rc != 0) {
		fprintf(stderr, "%s\n", c.err.text);
		status = rc == PANDO_ECORRUPT || rc == PANDO_EFORMAT ? DAMAGED : UNREADABLE;
	}
	rc = store_log_verify(&store_fs_posix, c.log_dir, &o, dump_report, NULL, &tail, &c.err);
	if (rc != 0 && status == WELL) {
		fprintf(stderr, "%s\n", c.err.text);
		status = rc == PANDO_ECORRUPT || rc == PANDO_EFORMAT ? DAMAGED : UNREADABLE;
	}
	check_done(&c);
	close(lock_fd);
	return fflush(stdout) == 0 ? status : UNREADABLE;
}
