/* A batch of the feed: what it holds lives until it is cleared, and no longer. */
#include "tests/unit/unit.h"

#include <signal.h>

#include "daemon/base/feed.h"

static struct feed_batch b;

static void begin(void) { feed_init(&b); }
static void end(void) { feed_done(&b); }

static struct change *node_change(enum change_kind kind, struct rt_blob *data)
{
	struct change *ch = feed_change(&b);
	*ch = (struct change){ .kind = kind, .zxid = 1 };
	ch->node.data = rt_blob_ref(data);
	return ch;
}

START_TEST(test_new_batch_is_empty)
{
	ck_assert_uint_eq(b.change_count, 0);
	ck_assert_int_eq(b.last_zxid, 0);
	for (uint32_t i = 0; i < LIMIT_IO_THREADS; i++)
		ck_assert_uint_eq(b.results[i].count, 0);
}
END_TEST

START_TEST(test_clear_lets_go_of_data)
{
	struct rt_blob *data = rt_blob_new(rt_slice_str("data"));
	for (int i = 0; i < 200; i++)
		node_change(CHANGE_DATA, data);
	ck_assert_uint_eq(data->refs, 201);
	b.last_zxid = 9;
	feed_clear(&b);
	ck_assert_uint_eq(data->refs, 1);
	ck_assert_uint_eq(b.change_count, 0);
	ck_assert_int_eq(b.last_zxid, 0);
	rt_blob_unref(data);
}
END_TEST

START_TEST(test_truncate_lets_go_of_what_it_takes_back_only)
{
	struct rt_blob *data = rt_blob_new(rt_slice_str("data"));
	for (int i = 0; i < 10; i++)
		node_change(CHANGE_CREATED, data);
	feed_truncate(&b, 4);
	ck_assert_uint_eq(b.change_count, 4);
	ck_assert_uint_eq(data->refs, 5);
	feed_truncate(&b, 4);
	ck_assert_uint_eq(b.change_count, 4);
	feed_clear(&b);
	ck_assert_uint_eq(data->refs, 1);
	rt_blob_unref(data);
}
END_TEST

START_TEST(test_sessions_and_lists_hold_no_data)
{
	for (int kind = CHANGE_SESSION_OPENED; kind <= CHANGE_LIST_DROPPED; kind++) {
		struct change *ch = feed_change(&b);
		memset(ch, 0xff, sizeof *ch); /* where a node has its data stands something else */
		ch->kind = (enum change_kind)kind;
	}
	feed_clear(&b);
}
END_TEST

START_TEST(test_every_kind_is_a_nodes_or_a_sessions_or_a_lists)
{
	for (int kind = CHANGE_CREATED; kind <= CHANGE_LIST_DROPPED; kind++) {
		struct change ch = { .kind = (enum change_kind)kind };
		bool list = kind == CHANGE_LIST_ADDED || kind == CHANGE_LIST_DROPPED;
		ck_assert_int_eq(change_is_node(&ch) + change_is_session(&ch) + list, 1);
	}
}
END_TEST

START_TEST(test_stat_holds_data_as_any_node_does)
{
	struct rt_blob *data = rt_blob_new(rt_slice_str("data"));
	node_change(CHANGE_STAT, data);
	feed_change(&b)->kind = CHANGE_SESSION_NUMBER;
	node_change(CHANGE_STAT, NULL);
	b.mark.zxid = b.last_time_ms = 4;
	feed_clear(&b);
	ck_assert_uint_eq(data->refs, 1);
	ck_assert_int_eq(b.mark.zxid, 0);
	ck_assert_int_eq(b.last_time_ms, 0);
	rt_blob_unref(data);
}
END_TEST

START_TEST(test_truncate_cannot_add) { feed_truncate(&b, 1); }
END_TEST

START_TEST(test_results_are_of_their_shard_in_order)
{
	for (uint32_t i = 0; i < 300; i++) {
		struct feed_origin to = { i % LIMIT_IO_THREADS, i };
		struct result *r = feed_result(&b, to, RESULT_REQUEST, i + 1);
		ck_assert_int_eq(r->err, 0);
		ck_assert_ptr_null(r->body.p);
		r->err = -1; /* no trace of it in the next one there */
	}
	for (uint32_t s = 0; s < LIMIT_IO_THREADS; s++)
		for (uint32_t i = 0; i < b.results[s].count; i++) {
			ck_assert_uint_eq(b.results[s].v[i].conn % LIMIT_IO_THREADS, s);
			ck_assert_int_eq(
				b.results[s].v[i].zxid, (int64_t)b.results[s].v[i].conn + 1);
			ck_assert(i == 0 || b.results[s].v[i].zxid > b.results[s].v[i - 1].zxid);
		}
	feed_clear(&b);
	ck_assert_uint_eq(b.results[0].count, 0);
	ck_assert_int_eq(feed_result(&b, (struct feed_origin){ 0, 1 }, RESULT_SESSION, 1)->err, 0);
}
END_TEST

START_TEST(test_result_for_nobody_is_a_mistake)
{
	feed_result(&b, (struct feed_origin){ .shard = FEED_NO_SHARD }, RESULT_REQUEST, 1);
}
END_TEST

START_TEST(test_bytes_stay_where_they_are_until_clear)
{
	static uint8_t *at[2000];
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 2000; i++) {
			at[i] = feed_alloc(&b, i + 1);
			memset(at[i], (int)(i % 251), i + 1);
		}
		for (size_t i = 0; i < 2000; i++)
			for (size_t k = 0; k <= i; k += i / 4 + 1)
				ck_assert_uint_eq(at[i][k], i % 251);
		feed_clear(&b);
	}
}
END_TEST

START_TEST(test_large_bytes_have_their_own_place)
{
	uint8_t *small = feed_alloc(&b, 8), *large = feed_alloc(&b, 3u << 20),
		*next = feed_alloc(&b, 8);
	memset(small, 1, 8);
	memset(large, 2, 3u << 20);
	memset(next, 3, 8);
	ck_assert_uint_eq(small[7], 1);
	ck_assert_uint_eq(large[(3u << 20) - 1], 2);
	feed_clear(&b);
	feed_clear(&b);
}
END_TEST

START_TEST(test_copy_keeps_null_and_empty_apart)
{
	ck_assert_ptr_null(feed_copy(&b, (struct rt_slice){ 0 }).p);
	struct rt_slice empty = feed_copy(&b, rt_slice_str(""));
	ck_assert_ptr_nonnull(empty.p);
	ck_assert_uint_eq(empty.len, 0);
	char text[] = "text";
	struct rt_slice copy = feed_copy(&b, rt_slice_str(text));
	text[0] = '?';
	ck_assert(rt_slice_is(copy, "text"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("feed");
	TCase *t = tcase_create("feed");
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, test_new_batch_is_empty);
	tcase_add_test(t, test_clear_lets_go_of_data);
	tcase_add_test(t, test_truncate_lets_go_of_what_it_takes_back_only);
	tcase_add_test(t, test_sessions_and_lists_hold_no_data);
	tcase_add_test(t, test_every_kind_is_a_nodes_or_a_sessions_or_a_lists);
	tcase_add_test(t, test_stat_holds_data_as_any_node_does);
	tcase_add_test_raise_signal(t, test_truncate_cannot_add, SIGABRT);
	tcase_add_test(t, test_results_are_of_their_shard_in_order);
	tcase_add_test_raise_signal(t, test_result_for_nobody_is_a_mistake, SIGABRT);
	tcase_add_test(t, test_bytes_stay_where_they_are_until_clear);
	tcase_add_test(t, test_large_bytes_have_their_own_place);
	tcase_add_test(t, test_copy_keeps_null_and_empty_apart);
	suite_add_tcase(s, t);
	return unit_run(s);
}
