/* The group of one: what is proposed is persisted, then durable, then committed, then handed out; never out of
 * that order. */
#include "tests/unit/unit.h"

#include <signal.h>

#include "daemon/raft/raft.h"
#include "schema/disk_gen.h"

static struct raft *r;
static int released;
static struct raft_chunk chunk;
static const struct feed_origin nobody = { .shard = FEED_NO_SHARD };

static void count_release(struct raft_chunk *c) { released++; }

static void begin(void)
{
	released = 0;
	chunk = (struct raft_chunk){ .refs = 1, .release = count_release };
	r = raft_new(3, (struct raft_hard_state){ .term = 7 }, 100, 6);
}

static void end(void) { raft_free(r); }

static uint64_t propose(void) { return raft_propose(r, rt_slice_str("payload"), &chunk, nobody); }

/* All that was not yet given to the log is; returns how many. */
static uint64_t persist_all(void)
{
	uint64_t first, n = raft_unpersisted(r, &first);
	raft_persisting(r);
	return n;
}

START_TEST(test_what_was_read_back_is_committed_and_applied)
{
	ck_assert_uint_eq(raft_committed(r), 100);
	ck_assert_uint_eq(raft_last_index(r), 100);
	ck_assert(!raft_is_leader(r));
	struct raft_hard_state hs;
	ck_assert(!raft_hard_state_dirty(r, &hs));
}
END_TEST

START_TEST(test_start_is_a_new_term_a_vote_for_itself_and_a_noop)
{
	struct raft_hard_state hs;
	uint64_t first;
	raft_start(r);
	ck_assert(raft_is_leader(r));
	ck_assert(raft_hard_state_dirty(r, &hs));
	ck_assert_uint_eq(hs.term, 8);
	ck_assert_uint_eq(hs.vote, 4);
	ck_assert_uint_eq(raft_unpersisted(r, &first), 1);
	ck_assert_uint_eq(first, 101);
	const struct raft_entry *e = raft_entry_at(r, 101);
	ck_assert_uint_eq(e->term, 8);
	ck_assert_uint_eq(e->origin.shard, FEED_NO_SHARD);
	ck_assert_uint_eq(e->payload.len, DISK_ENTRY_HEADER_BYTES);
	ck_assert_uint_eq(e->payload.p[0], DISK_ENTRY_KIND_NOOP);
	raft_persisting(r);
	ck_assert(!raft_hard_state_dirty(r, &hs));
	ck_assert_uint_eq(raft_unpersisted(r, &first), 0);
}
END_TEST

START_TEST(test_nothing_is_committed_before_it_is_durable)
{
	raft_start(r);
	for (uint64_t i = 102; i <= 110; i++)
		ck_assert_uint_eq(propose(), i);
	ck_assert_uint_eq(persist_all(), 10);
	ck_assert_uint_eq(raft_committed(r), 100);
	raft_durable(r, 105);
	ck_assert_uint_eq(raft_committed(r), 105);
	ck_assert_uint_eq(propose(), 111);
	raft_durable(r, 110);
	ck_assert_uint_eq(raft_committed(r), 110);
	ck_assert_uint_eq(persist_all(), 1);
	raft_durable(r, 111);
	ck_assert_uint_eq(raft_committed(r), 111);
	raft_applied(r, 111);
}
END_TEST

START_TEST(test_entries_are_held_until_they_are_applied)
{
	raft_start(r);
	for (int i = 0; i < 10; i++)
		propose();
	uint64_t bytes = raft_bytes(r);
	ck_assert_uint_eq(bytes, DISK_ENTRY_HEADER_BYTES + 10 * strlen("payload"));
	ck_assert_uint_eq(chunk.refs, 11);
	persist_all();
	raft_durable(r, 111);
	raft_applied(r, 106);
	ck_assert_uint_eq(chunk.refs, 6);
	raft_applied(r, 106);
	raft_applied(r, 111);
	ck_assert_uint_eq(raft_bytes(r), 0);
	ck_assert_uint_eq(chunk.refs, 1);
	ck_assert_int_eq(released, 0);
	raft_chunk_unref(&chunk);
	ck_assert_int_eq(released, 1);
}
END_TEST

START_TEST(test_many_entries_in_memory)
{
	raft_start(r);
	for (uint64_t i = 102; i < 10000; i++) {
		propose();
		if (i % 3000 == 0) {
			persist_all();
			raft_durable(r, i - 1000);
			raft_applied(r, i - 2000);
		}
	}
	for (uint64_t i = 7001; i < 10000; i++)
		ck_assert_uint_eq(raft_entry_at(r, i)->index, i);
}
END_TEST

START_TEST(test_end_lets_everything_go)
{
	raft_start(r);
	for (int i = 0; i < 10; i++)
		propose();
	raft_free(r);
	ck_assert_uint_eq(chunk.refs, 1);
	r = NULL;
}
END_TEST

START_TEST(test_only_a_leader_proposes) { propose(); }
END_TEST

START_TEST(test_what_was_not_written_cannot_be_durable)
{
	raft_start(r);
	raft_durable(r, 101);
}
END_TEST

START_TEST(test_what_is_not_committed_cannot_be_applied)
{
	raft_start(r);
	persist_all();
	raft_applied(r, 101);
}
END_TEST

START_TEST(test_durable_never_goes_back)
{
	raft_start(r);
	propose();
	persist_all();
	raft_durable(r, 102);
	raft_durable(r, 101);
}
END_TEST

START_TEST(test_what_was_let_go_cannot_be_had)
{
	raft_start(r);
	persist_all();
	raft_durable(r, 101);
	raft_applied(r, 101);
	raft_entry_at(r, 101);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("raft");
	TCase *t = tcase_create("raft");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, test_what_was_read_back_is_committed_and_applied);
	tcase_add_test(t, test_start_is_a_new_term_a_vote_for_itself_and_a_noop);
	tcase_add_test(t, test_nothing_is_committed_before_it_is_durable);
	tcase_add_test(t, test_entries_are_held_until_they_are_applied);
	tcase_add_test(t, test_many_entries_in_memory);
	tcase_add_test(t, test_end_lets_everything_go);
	tcase_add_test_raise_signal(t, test_only_a_leader_proposes, SIGABRT);
	tcase_add_test_raise_signal(t, test_what_was_not_written_cannot_be_durable, SIGABRT);
	tcase_add_test_raise_signal(t, test_what_is_not_committed_cannot_be_applied, SIGABRT);
	tcase_add_test_raise_signal(t, test_durable_never_goes_back, SIGABRT);
	tcase_add_test_raise_signal(t, test_what_was_let_go_cannot_be_had, SIGABRT);
	suite_add_tcase(s, t);
	return unit_run(s);
}
