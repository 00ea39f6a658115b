/* A start: the state file's rows, then the log's entries behind them, through the same apply as live ones. */
#include "daemon/run/run_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "schema/runtime/rt_mem.h"

#define PROGRESS_MS 2000
#define TICK_MIN_MS 20

struct loading {
	struct run *run;
	struct state *state;
	struct rt_err *ret_err;
	int64_t said_ms;
	uint64_t rows;
};

static void progress(int64_t *said_ms, const char *what, uint64_t n, uint64_t index)
{
	if (run_now_ms() - *said_ms < PROGRESS_MS)
		return;
	*said_ms = run_now_ms();
	say(RUN_CONF_INFO, "%s: %llu so far, at 0x%llx", what, (unsigned long long)n,
		(unsigned long long)index);
}

static int row_refused(struct loading *v, const char *table, int64_t id)
{
	return rt_err_set(v->ret_err, PANDO_ECORRUPT,
		"state.db: row %lld of table %s contradicts the others, although its checksum is right; keep the "
		"folder, and restore the whole of it from one backup",
		(long long)id, table);
}

static int load_list(void *arg, const struct disk_acls *row)
{
	struct loading *v = arg;
	return state_load_list(v->state, row) ? 0 : row_refused(v, "acls", row->id);
}

static int load_session(void *arg, const struct disk_sessions *row)
{
	struct loading *v = arg;
	return state_load_session(v->state, row) ? 0 : row_refused(v, "sessions", row->id);
}

static int load_node(void *arg, const struct disk_nodes *row)
{
	struct loading *v = arg;
	if (++v->rows % 8192 == 0)
		progress(&v->said_ms, "reading the state file, nodes", v->rows, (uint64_t)row->id);
	return state_load_node(v->state, row) ? 0 : row_refused(v, "nodes", row->id);
}

static int load_state(struct run *r, const struct disk_meta *meta, uint64_t hash_seed,
	struct state **ret, struct rt_err *ret_err)
{
	struct loading v = { .run = r,
		.state = state_new_empty(hash_seed),
		.ret_err = ret_err,
		.said_ms = run_now_ms() };
	struct store_db_visitor visitor = { load_list, load_session, load_node };
	struct store_db_counts counts;
	int rc = store_db_load(r->db, &visitor, &v, &counts, ret_err);
	if (rc == 0 && !state_loaded(v.state, (int64_t)meta->applied_index, meta->next_node_id,
			       meta->digest))
		rc = rt_err_set(ret_err, PANDO_ECORRUPT,
			"state.db: rows are missing or are too many: the digest of its %llu nodes, %llu sessions and "
			"%llu lists is not the one that it says (index %llu); restore the whole folder from one backup",
			(unsigned long long)counts.nodes, (unsigned long long)counts.sessions,
			(unsigned long long)counts.lists, (unsigned long long)meta->applied_index);
	if (rc != 0)
		state_free(v.state);
	else
		*ret = v.state;
	return rc;
}

/* Reading the log back. */
struct recovery {
	struct run *run;
	struct rt_err *ret_err;
	int64_t said_ms;
	uint64_t entries;
	struct feed_batch batch;
};

static void recovery_flush(struct recovery *v)
{
	if (node_applied_index(v->run->node) == 0)
		return; /* nothing yet: what every new tree has goes with the first entry */
	node_seal(v->run->node, &v->batch);
	store_fold_add(v->run->fold, &v->batch);
	feed_clear(&v->batch);
}

static int recover_record(void *arg, const struct store_log_record *record)
{
	struct recovery *v = arg;
	if (record->kind != DISK_RECORD_KIND_ENTRY)
		return 0;
	int rc = node_recover(
		v->run->node, record->index, record->term, record->payload, &v->batch, v->ret_err);
	if (rc == 0 && ++v->entries % LIMIT_APPLY_ENTRIES == 0) {
		recovery_flush(v);
		progress(&v->said_ms, "reading the log back, entries", v->entries, record->index);
	}
	return rc;
}

static int random_bytes(void *p, size_t n, struct rt_err *ret_err)
{
	if (getrandom(p, n, 0) == (ssize_t)n)
		return 0;
	return rt_err_set(
		ret_err, PANDO_EIO, "the kernel gives no random bytes: %s", strerror(errno));
}

static int open_log(struct run *r, const struct store_db_meta *state, struct recovery *v,
	struct store_log_tail *ret_tail, struct rt_err *ret_err)
{
	const struct run_conf *conf = r->conf;
	struct store_log_options o = {
		.segment_bytes = (uint64_t)conf->log_segment_bytes,
		.unsafe_no_sync = conf->unsafe_no_fsync,
		.ids.server_id = (uint32_t)conf->server_id,
		.begin_index = (uint64_t)conf->initial_zxid,
		.visit = recover_record,
		.arg = v,
	};
	if (state->found) {
		memcpy(o.ids.ensemble_id, state->meta.ensemble_id, sizeof o.ids.ensemble_id);
		memcpy(o.ids.folder_id, state->meta.folder_id, sizeof o.ids.folder_id);
		o.have_index = state->meta.applied_index;
		o.have_term = state->meta.applied_term;
	}
	int rc = random_bytes(&o.seed, sizeof o.seed, ret_err);
	if (rc != 0)
		return rc;
	rc = store_log_open(r->fs, r->log_dir, &o, &r->log, ret_tail, ret_err);
	if (rc != PANDO_ENOENT || state->found)
		return rc;
	/* a new server: an ensemble of its own, and a folder that is like no other */
	o.create = true;
	rc = random_bytes(o.ids.ensemble_id, sizeof o.ids.ensemble_id, ret_err);
	if (rc == 0)
		rc = random_bytes(o.ids.folder_id, sizeof o.ids.folder_id, ret_err);
	return rc != 0 ? rc : store_log_open(r->fs, r->log_dir, &o, &r->log, ret_tail, ret_err);
}

/* SQLite would say no more than "I/O error". */
static int may_use(const char *path, const char *suffix, struct rt_err *ret_err)
{
	struct rt_buf b;
	rt_buf_init(&b, 64u << 10);
	rt_buf_fmt(&b, "%s%s", path, suffix);
	rt_buf_char(&b, '\0');
	const char *file = (const char *)b.p;
	int rc = 0;
	struct stat st;
	/* who looks with --check-data, perhaps as root, may leave an empty WAL that is not this user's */
	if (*suffix != '\0' && stat(file, &st) == 0 && st.st_size == 0)
		(void)unlink(file);
	if (access(file, F_OK) == 0 && access(file, R_OK | W_OK) != 0)
		rc = rt_err_set(ret_err, PANDO_EACCES,
			"%s: %s; make it readable and writable for user %u, who runs pandod", file,
			strerror(errno), (unsigned)geteuid());
	rt_buf_done(&b);
	return rc;
}

/* Opened only to be read: who it belongs to is known only after the log, when there is no state file yet. */
static int open_state(struct run *r, const struct store_log_ids *ids, struct store_db_meta *ret,
	struct rt_err *ret_err)
{
	const struct run_conf *conf = r->conf;
	char *path = folder_join(conf->data_dir, STORE_DB_NAME);
	struct store_db_options o = {
		.create = ids != NULL,
		.unsafe_no_sync = conf->unsafe_no_fsync,
		.ids.server_id = (uint32_t)conf->server_id,
		.pace = store_pace,
		.pace_arg = r,
	};
	if (ids != NULL)
		o.ids = *ids;
	int rc = may_use(path, "", ret_err);
	if (rc == 0)
		rc = may_use(path, "-wal", ret_err);
	if (rc == 0)
		rc = store_db_open(path, &o, &r->db, ret, ret_err);
	free(path);
	return rc;
}

int start_recover(struct run *r, struct store_log_tail *ret_tail, struct rt_err *ret_err)
{
	const struct run_conf *conf = r->conf;
	struct node_config config = {
		.server_id = (uint32_t)conf->server_id,
		.tick_ms = conf->tick_time_ms / 10 < TICK_MIN_MS
				   ? TICK_MIN_MS
				   : (uint32_t)(conf->tick_time_ms / 10),
	};
	struct store_db_meta meta;
	struct state *state = NULL;
	int rc = random_bytes(&config.hash_seed, sizeof config.hash_seed, ret_err);
	if (rc == 0)
		rc = open_state(r, NULL, &meta, ret_err);
	if (rc == 0 && meta.found)
		rc = load_state(r, &meta.meta, config.hash_seed, &state, ret_err);
	else if (rc == 0)
		state = state_new(config.hash_seed);
	if (rc != 0)
		return rc;
	config.wall_ms = meta.found ? meta.meta.time_ms : 0;
	r->node = node_new(&config, state);
	r->fold = store_fold_new();
	struct recovery v = { .run = r, .ret_err = ret_err, .said_ms = run_now_ms() };
	feed_init(&v.batch);
	rc = open_log(r, &meta, &v, ret_tail, ret_err);
	if (rc == PANDO_ECORRUPT && !meta.found) {
		struct rt_err log_err = *ret_err;
		rt_err_set(ret_err, rc, "%s (there is no state.db in %s, or an empty one)",
			log_err.text, conf->data_dir);
	}
	if (rc == 0)
		recovery_flush(&v);
	feed_done(&v.batch);
	if (rc != 0 || meta.found)
		return rc;
	/* the state file that is to be made belongs to the log's ensemble */
	store_db_close(r->db);
	r->db = NULL;
	return open_state(r, &ret_tail->ids, &meta, ret_err);
}
