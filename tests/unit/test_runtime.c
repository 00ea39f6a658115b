/* The runtime floor: what every module stands on. One behaviour a test. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>

#include "schema/errors_gen.h"
#include "schema/runtime/rt_assert.h"
#include "schema/runtime/rt_blob.h"
#include "schema/runtime/rt_buf.h"
#include "schema/runtime/rt_crc32c.h"
#include "schema/runtime/rt_err.h"
#include "schema/runtime/rt_hash.h"
#include "schema/runtime/rt_list.h"
#include "schema/runtime/rt_mem.h"
#include "schema/runtime/rt_rand.h"

/* Under the address sanitizer, too, an allocation that cannot be is our own failure. */
__attribute__((used, visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

/* What out holds is exactly this text. */
#define ck_text(out, expected)                                                                     \
	do {                                                                                       \
		rt_buf_char(out, '\0');                                                            \
		ck_assert_str_eq((const char *)(out)->p, expected);                                \
		ck_assert_uint_eq((out)->len, strlen(expected) + 1);                               \
		rt_buf_clear(out);                                                                 \
	} while (0)

/* --- assertions */

START_TEST(test_assert_holds)
{
	int calls = 0;
	ASSERT(++calls == 1);
	ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(test_assert_fires) { ASSERT(_i != 0); }
END_TEST

START_TEST(test_unreachable_fires) { UNREACHABLE("by test"); }
END_TEST

static void hook_exits(const char *file, int line, const char *what)
{
	bool ok = strstr(file, "test_runtime.c") != NULL && line > 0 && strcmp(what, "1 == 2") == 0;
	_exit(ok ? 7 : 8);
}

START_TEST(test_panic_hook_is_told_where_and_what)
{
	rt_set_panic_hook(hook_exits);
	ASSERT(1 == 2);
}
END_TEST

static void hook_fails(const char *file, int line, const char *what) { ASSERT(file == NULL); }

START_TEST(test_panic_in_the_hook_ends_the_process)
{
	rt_set_panic_hook(hook_fails);
	ASSERT(1 == 2);
}
END_TEST

/* --- reader and writer */

START_TEST(test_numbers_are_big_endian)
{
	uint8_t bytes[27];
	static const uint8_t expected[27] = { 1, 0, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef, 0xff, 0xff,
		0xff, 0xfe, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	struct rt_writer w = rt_writer_of(bytes, sizeof bytes);
	rt_put_bool(&w, true);
	rt_put_u8(&w, 0);
	rt_put_u16(&w, 0x1234);
	rt_put_u32(&w, 0xdeadbeef);
	rt_put_i32(&w, -2);
	rt_put_u64(&w, 0x0102030405060708);
	rt_put_bytes(&w, "\xff\xff\xff\xff\xff\xff\xff", 7);
	ck_assert(!w.full && w.p == w.end);
	ck_assert_mem_eq(bytes, expected, sizeof expected);

	struct rt_reader r = rt_reader_of(bytes, sizeof bytes);
	ck_assert(rt_get_bool(&r));
	ck_assert_uint_eq(rt_get_u8(&r), 0);
	ck_assert_uint_eq(rt_get_u16(&r), 0x1234);
	ck_assert_uint_eq(rt_get_u32(&r), 0xdeadbeef);
	ck_assert_int_eq(rt_get_i32(&r), -2);
	ck_assert_uint_eq(rt_get_u64(&r), 0x0102030405060708);
	ck_assert_uint_eq(rt_left(&r), 7);
	ck_assert(!r.bad);
}
END_TEST

START_TEST(test_reader_stops_for_good_at_the_first_lack)
{
	uint8_t *bytes = rt_calloc(1, 3);
	bytes[0] = 9;
	struct rt_reader r = rt_reader_of(bytes, 3);
	ck_assert_uint_eq(rt_get_u32(&r), 0);
	ck_assert(r.bad);
	ck_assert_uint_eq(rt_left(&r), 3);
	ck_assert_uint_eq(rt_get_u8(&r), 0); /* would fit, but the reader is bad */
	ck_assert(rt_get_slice(&r).p == NULL);
	uint8_t out[2] = { 1, 1 };
	rt_get_bytes(&r, out, 2);
	ck_assert_uint_eq(out[0] + out[1], 0);
	rt_free(bytes);
}
END_TEST

START_TEST(test_writer_stops_for_good_when_full)
{
	uint8_t *bytes = rt_calloc(1, 3);
	struct rt_writer w = rt_writer_of(bytes, 3);
	rt_put_u32(&w, UINT32_MAX);
	ck_assert(w.full);
	rt_put_u8(&w, 1);
	ck_assert(w.p == bytes);
	ck_assert_mem_eq(bytes, "\0\0\0", 3);
	rt_free(bytes);
}
END_TEST

START_TEST(test_nothing_can_be_read_and_written)
{
	struct rt_reader r = rt_reader_of(NULL, 0);
	ck_assert_uint_eq(rt_left(&r), 0);
	ck_assert_uint_eq(rt_get_u8(&r), 0);
	ck_assert(r.bad);
	r = rt_reader_of_vec((struct rt_vec){ NULL, 0, -1 });
	ck_assert_uint_eq(rt_left(&r), 0);
	struct rt_writer w = rt_writer_of(NULL, 0);
	rt_put_bytes(&w, NULL, 0);
	rt_put_u8(&w, 0);
	ck_assert(w.full);
}
END_TEST

START_TEST(test_slice_null_and_empty_differ)
{
	uint8_t bytes[8];
	struct rt_writer w = rt_writer_of(bytes, sizeof bytes);
	rt_put_slice(&w, (struct rt_slice){ NULL, 0 });
	rt_put_slice(&w, rt_slice_str(""));
	ck_assert_mem_eq(bytes, "\xff\xff\xff\xff\0\0\0\0", 8);
	struct rt_reader r = rt_reader_of(bytes, sizeof bytes);
	struct rt_slice null = rt_get_slice(&r), empty = rt_get_slice(&r);
	ck_assert(!r.bad && null.p == NULL && empty.p != NULL && empty.len == 0);
	ck_assert(!rt_slice_eq(null, empty) && rt_slice_eq(null, null) && rt_slice_is(empty, ""));
	ck_assert_uint_eq(rt_slice_size(null), 4);
	ck_assert_uint_eq(rt_slice_size(rt_slice_str("abc")), 7);
}
END_TEST

START_TEST(test_slice_length_is_checked)
{
	static const struct {
		const char *bytes;
		bool ok;
	} cases[] = {
		{ "\0\0\0\2ab", true },
		{ "\0\0\0\1ab", true },
		{ "\0\0\0\3ab", false },
		{ "\xff\xff\xff\xfe"
		  "ab",
			false },
		{ "\x7f\xff\xff\xff"
		  "ab",
			false },
		{ "\x80\0\0\0ab", false },
	};
	struct rt_reader r = rt_reader_of(cases[_i].bytes, 6);
	struct rt_slice s = rt_get_slice(&r);
	ck_assert_int_eq(!r.bad, cases[_i].ok);
	ck_assert_int_eq(s.p != NULL, cases[_i].ok);
	if (r.bad)
		ck_assert_uint_eq(s.len, 0);
}
END_TEST

START_TEST(test_slices_compare_by_bytes)
{
	ck_assert(rt_slice_is(rt_slice_of("abcdef", 3), "abc"));
	ck_assert(!rt_slice_is(rt_slice_str("abd"), "abc"));
	ck_assert(!rt_slice_is(rt_slice_str("ab"), "abc"));
	ck_assert(rt_slice_eq(rt_slice_of("a\0b", 3), rt_slice_of("a\0b", 3)));
	ck_assert(!rt_slice_eq(rt_slice_of("a\0b", 3), rt_slice_of("a\0c", 3)));
}
END_TEST

/* --- buffers */

START_TEST(test_buf_grows_and_keeps)
{
	struct rt_buf b;
	rt_buf_init(&b, 100000);
	for (unsigned i = 0; i < 50000; i++)
		rt_buf_put(&b, &(uint8_t){ (uint8_t)(i * 7) }, 1);
	ck_assert_uint_eq(b.len, 50000);
	for (unsigned i = 0; i < 50000; i++)
		ck_assert_uint_eq(b.p[i], (uint8_t)(i * 7));
	rt_buf_done(&b);
	ck_assert(b.p == NULL && b.len == 0 && b.max == 100000);
}
END_TEST

START_TEST(test_buf_fills_to_its_maximum_and_not_beyond)
{
	struct rt_buf b;
	rt_buf_init(&b, 10);
	rt_buf_str(&b, "0123456789");
	ck_assert(!b.overflow && b.len == 10 && b.cap == 10);
	rt_buf_char(&b, 'x');
	ck_assert(b.overflow && b.len == 10);
	ck_assert_mem_eq(b.p, "0123456789", 10);
	rt_buf_clear(&b);
	rt_buf_str(&b, "again");
	ck_assert(!b.overflow && b.len == 5);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_refuses_everything_behind_what_did_not_fit)
{
	struct rt_buf b;
	rt_buf_init(&b, 100);
	rt_buf_str(&b, "kept");
	ck_assert(rt_buf_grow(&b, 97) == NULL);
	ck_assert(b.overflow);
	ck_assert(rt_buf_grow(&b, SIZE_MAX) == NULL);
	ck_assert(!rt_buf_reserve(&b, 96));
	ck_assert_uint_eq(b.len, 4);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_takes_nothing_while_empty)
{
	struct rt_buf b;
	rt_buf_init(&b, 100);
	rt_buf_str(&b, "");
	rt_buf_put(&b, NULL, 0);
	rt_buf_slice(&b, (struct rt_slice){ NULL, 0 });
	rt_buf_fmt(&b, "%s", "");
	rt_buf_drop(&b, 0);
	ck_assert(!b.overflow && b.len == 0);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_drop)
{
	struct rt_buf b;
	rt_buf_init(&b, 100);
	rt_buf_str(&b, "abcdef");
	rt_buf_drop(&b, 2);
	rt_buf_drop(&b, 0);
	rt_buf_str(&b, "g");
	ck_text(&b, "cdefg");
	rt_buf_str(&b, "abc");
	rt_buf_drop(&b, 3);
	ck_assert_uint_eq(b.len, 0);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_drop_of_too_much_fires)
{
	struct rt_buf b;
	rt_buf_init(&b, 100);
	rt_buf_str(&b, "abc");
	rt_buf_drop(&b, 4);
}
END_TEST

START_TEST(test_buf_numbers)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	rt_buf_u64(&b, 0);
	rt_buf_char(&b, ' ');
	rt_buf_u64(&b, UINT64_MAX);
	rt_buf_char(&b, ' ');
	rt_buf_i64(&b, INT64_MIN);
	rt_buf_char(&b, ' ');
	rt_buf_i64(&b, INT64_MAX);
	ck_text(&b, "0 18446744073709551615 -9223372036854775808 9223372036854775807");
	rt_buf_hex(&b, 0);
	rt_buf_char(&b, ' ');
	rt_buf_hex(&b, 0xdeadbeef01);
	rt_buf_char(&b, ' ');
	rt_buf_hex(&b, UINT64_MAX);
	ck_text(&b, "0 deadbeef01 ffffffffffffffff");
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_fixed_point)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	rt_buf_fixed(&b, 0, 3);
	rt_buf_char(&b, ' ');
	rt_buf_fixed(&b, 7, 3);
	rt_buf_char(&b, ' ');
	rt_buf_fixed(&b, 12345, 3);
	rt_buf_char(&b, ' ');
	rt_buf_fixed(&b, 12, 0);
	rt_buf_char(&b, ' ');
	rt_buf_fixed(&b, UINT64_MAX, 19);
	ck_text(&b, "0.000 0.007 12.345 12 1.8446744073709551615");
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_quoted)
{
	struct rt_buf b;
	rt_buf_init(&b, 1000);
	rt_buf_quoted(&b, (struct rt_slice){ NULL, 0 });
	rt_buf_quoted(&b, rt_slice_str(""));
	rt_buf_quoted(&b, rt_slice_of("a \"b\\\0\n\x7f\xc3\xa4~", 11));
	ck_text(&b, "null\"\"\"a \\x22b\\x5c\\x00\\x0a\\x7f\\xc3\\xa4~\"");
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_fmt_agrees_with_printf)
{
	static const long long numbers[] = { 0, 1, -1, 42, -4711, INT32_MAX, INT32_MIN, INT64_MAX,
		INT64_MIN };
	struct rt_buf b;
	rt_buf_init(&b, 10000);
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		char expected[1000];
		long long v = numbers[i];
#define FORMAT                                                                                     \
	"%d|%5d|%05d|%u|%x|%08x|%ld|%lu|%lx|%lld|%20lld|%020lld|%llu|%016llx|%zu|%s|%.*s|%c|%%|"
#define ARGUMENTS                                                                                  \
	(int)v, (int)v, (int)v, (unsigned)v, (unsigned)v, (unsigned)v, (long)v, (unsigned long)v,  \
		(unsigned long)v, v, v, v, (unsigned long long)v, (unsigned long long)v,           \
		(size_t)v, "text", 2, "cut off", 'c'
		snprintf(expected, sizeof expected, FORMAT, ARGUMENTS);
		rt_buf_fmt(&b, FORMAT, ARGUMENTS);
		ck_text(&b, expected);
	}
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_fmt_reads_no_further_than_told)
{
	struct rt_buf b;
	rt_buf_init(&b, 100);
	char *text = rt_alloc(3);
	memcpy(text, "abc", 3); /* not ended by a zero byte */
	rt_buf_fmt(&b, "<%.*s>", 3, text);
	ck_text(&b, "<abc>");
	rt_free(text);
	rt_buf_done(&b);
}
END_TEST

START_TEST(test_buf_fmt_panics_on_what_it_does_not_know)
{
	struct rt_buf b;
	rt_buf_init(&b, 100);
	rt_buf_fmt(&b, "%f", 1.0);
}
END_TEST

/* --- errors, blobs, memory */

START_TEST(test_err_set)
{
	struct rt_err err;
	ck_assert_int_eq(rt_err_set(&err, PANDO_EIO, "%s: %d", "/x", 5), PANDO_EIO);
	ck_assert_int_eq(err.code, PANDO_EIO);
	ck_assert_str_eq(err.text, "/x: 5");
	ck_assert_int_eq(rt_err_set(NULL, PANDO_ELIMIT, "unheard"), PANDO_ELIMIT);
	char text[2001];
	memset(text, 'y', 2000);
	text[2000] = '\0';
	rt_err_set(&err, PANDO_EIO, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
	rt_err_set(&err, PANDO_EIO, "%s", "");
	ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(test_error_names_and_texts)
{
	ck_assert_str_eq(zk_err_text(ZK_NO_NODE), "node does not exist");
	ck_assert_str_eq(zk_err_name(-101), "NO_NODE");
	ck_assert_str_eq(zk_err_name(0), "OK");
	ck_assert_str_eq(zk_err_text(-9999), "unknown error");
	ck_assert_str_eq(pando_err_name(PANDO_ECORRUPT), "ECORRUPT");
	ck_assert_str_eq(pando_err_text(PANDO_EBUSY), "in use by another process");
	ck_assert_str_eq(pando_err_text(0), "no error");
	ck_assert_str_eq(pando_err_name(1), "unknown error");
}
END_TEST

START_TEST(test_blob_counts)
{
	ck_assert(rt_blob_new((struct rt_slice){ NULL, 0 }) == NULL);
	ck_assert(rt_blob_ref(NULL) == NULL);
	ck_assert(rt_blob_slice(NULL).p == NULL);
	rt_blob_unref(NULL);
	struct rt_blob *b = rt_blob_new(rt_slice_str("data"));
	ck_assert(rt_blob_ref(b) == b);
	ck_assert_uint_eq(b->refs, 2);
	rt_blob_unref(b);
	ck_assert(rt_slice_is(rt_blob_slice(b), "data"));
	rt_blob_unref(b);
	b = rt_blob_new(rt_slice_str(""));
	ck_assert(b != NULL && rt_blob_slice(b).p != NULL);
	rt_blob_unref(b);
}
END_TEST

START_TEST(test_calloc_of_too_much_is_fatal)
{
	volatile size_t half = SIZE_MAX / 2;
	rt_free(rt_calloc(half, 4));
}
END_TEST

START_TEST(test_memory_of_no_bytes)
{
	void *p = rt_alloc(0);
	ck_assert(p != NULL);
	p = rt_realloc(p, 0);
	ck_assert(p != NULL);
	rt_free(p);
	rt_free(NULL);
}
END_TEST

/* --- lists */

struct item {
	int value;
	struct rt_list link;
};

START_TEST(test_list_keeps_order_and_bears_removal_while_walking)
{
	struct rt_list head;
	struct item items[10];
	rt_list_init(&head);
	ck_assert(rt_list_empty(&head));
	for (int i = 0; i < 10; i++) {
		items[i].value = i;
		rt_list_append(&head, &items[i].link);
	}
	int expected = 0;
	rt_list_each (&head, it, next) {
		struct item *item = rt_list_entry(it, struct item, link);
		ck_assert_int_eq(item->value, expected++);
		if (item->value % 2)
			rt_list_remove(it);
	}
	ck_assert_int_eq(expected, 10);
	expected = 0;
	rt_list_each (&head, it, next) {
		ck_assert_int_eq(rt_list_entry(it, struct item, link)->value, expected);
		expected += 2;
	}
	ck_assert_int_eq(expected, 10);
	rt_list_remove(&items[1].link); /* in no list any more: nothing happens */
	for (int i = 0; i < 10; i += 2)
		rt_list_remove(&items[i].link);
	ck_assert(rt_list_empty(&head) && head.prev == &head);
}
END_TEST

/* --- CRC, hash, random numbers */

START_TEST(test_crc32c_known_values)
{
	/* RFC 3720, B.4, and the usual check value */
	uint8_t bytes[32];
	ck_assert_uint_eq(rt_crc32c(0, NULL, 0), 0);
	ck_assert_uint_eq(rt_crc32c(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof bytes);
	ck_assert_uint_eq(rt_crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
	memset(bytes, 0xff, sizeof bytes);
	ck_assert_uint_eq(rt_crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	ck_assert_uint_eq(rt_crc32c(0, bytes, sizeof bytes), 0x46dd794e);
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	ck_assert_uint_eq(rt_crc32c(0, bytes, sizeof bytes), 0x113fdb5c);
}
END_TEST

START_TEST(test_crc32c_ways_agree_at_every_length_and_place)
{
	uint8_t bytes[300];
	struct rt_rand rnd;
	rt_rand_seed(&rnd, 3);
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)rt_rand_u64(&rnd);
	for (size_t start = 0; start < 9; start++) {
		for (size_t len = 0; len < sizeof bytes - start; len++) {
			uint32_t crc = (uint32_t)rt_rand_u64(&rnd);
			ck_assert_uint_eq(rt_crc32c(crc, bytes + start, len),
				rt_crc32c_portable(crc, bytes + start, len));
		}
	}
}
END_TEST

START_TEST(test_crc32c_chains)
{
	static const char text[] = "one record, then another, then a third";
	uint32_t whole = rt_crc32c(0, text, sizeof text);
	for (size_t cut = 0; cut <= sizeof text; cut++) {
		uint32_t crc = rt_crc32c(0, text, cut);
		ck_assert_uint_eq(rt_crc32c(crc, text + cut, sizeof text - cut), whole);
		crc = rt_crc32c_portable(0, text, cut);
		ck_assert_uint_eq(rt_crc32c_portable(crc, text + cut, sizeof text - cut), whole);
	}
}
END_TEST

/* Keys as trees have them, into 4096 buckets by the low bits: no bucket far above the mean of 16, which a
 * binomial distribution passes by 32 with a probability below 1e-9 over all buckets. */
static void check_spread(const unsigned *buckets)
{
	for (unsigned i = 0; i < 4096; i++)
		ck_assert_uint_le(buckets[i], 48);
}

START_TEST(test_hash_spreads_names)
{
	static unsigned low[4096], high[4096];
	for (unsigned i = 0; i < 65536; i++) {
		char name[40];
		int len = snprintf(name, sizeof name, "/service/node-%010u", i);
		uint64_t h = rt_hash(name, (size_t)len, (uint64_t)_i * 0x123456789abcdef);
		low[h & 4095]++;
		high[h >> 52]++;
	}
	check_spread(low);
	check_spread(high);
}
END_TEST

START_TEST(test_hash_spreads_numbers)
{
	static unsigned low[4096], high[4096];
	for (uint64_t i = 0; i < 65536; i++) {
		uint64_t h = rt_hash_u64(i << (8 * _i), 99);
		low[h & 4095]++;
		high[h >> 52]++;
	}
	check_spread(low);
	check_spread(high);
}
END_TEST

START_TEST(test_hash_depends_on_length_bytes_and_seed)
{
	static const uint8_t zeros[64];
	uint64_t seen[65];
	for (size_t len = 0; len <= 64; len++) {
		seen[len] = rt_hash(zeros, len, 5);
		ck_assert_uint_eq(seen[len], rt_hash(zeros, len, 5));
		for (size_t i = 0; i < len; i++)
			ck_assert_uint_ne(seen[i], seen[len]);
		ck_assert_uint_ne(seen[len], rt_hash(zeros, len, 6));
		for (size_t i = 0; i < len; i++) {
			uint8_t bytes[64] = { 0 };
			bytes[i] = 1;
			ck_assert_uint_ne(seen[len], rt_hash(bytes, len, 5));
		}
	}
}
END_TEST

START_TEST(test_rand_repeats_by_seed_and_stays_below)
{
	struct rt_rand a, b, c;
	rt_rand_seed(&a, 1);
	rt_rand_seed(&b, 1);
	rt_rand_seed(&c, 2);
	ck_assert_uint_ne(rt_rand_u64(&a), rt_rand_u64(&c));
	rt_rand_u64(&b);
	unsigned count[7] = { 0 };
	for (int i = 0; i < 7000; i++) {
		uint64_t v = rt_rand_below(&a, 7);
		ck_assert_uint_eq(v, rt_rand_below(&b, 7));
		ck_assert_uint_lt(v, 7);
		count[v]++;
	}
	for (int i = 0; i < 7; i++)
		ck_assert(count[i] > 800 && count[i] < 1200);
	ck_assert_uint_eq(rt_rand_below(&a, 1), 0);
}
END_TEST

START_TEST(test_rand_below_nothing_fires)
{
	struct rt_rand r;
	rt_rand_seed(&r, 1);
	rt_rand_below(&r, 0);
}
END_TEST

static void add_codec(Suite *suite)
{
	TCase *tc = tcase_create("codec");
	tcase_add_test(tc, test_numbers_are_big_endian);
	tcase_add_test(tc, test_reader_stops_for_good_at_the_first_lack);
	tcase_add_test(tc, test_writer_stops_for_good_when_full);
	tcase_add_test(tc, test_nothing_can_be_read_and_written);
	tcase_add_test(tc, test_slice_null_and_empty_differ);
	tcase_add_loop_test(tc, test_slice_length_is_checked, 0, 6);
	tcase_add_test(tc, test_slices_compare_by_bytes);
	suite_add_tcase(suite, tc);
}

static void add_buf(Suite *suite)
{
	TCase *tc = tcase_create("buf");
	tcase_add_test(tc, test_buf_grows_and_keeps);
	tcase_add_test(tc, test_buf_fills_to_its_maximum_and_not_beyond);
	tcase_add_test(tc, test_buf_refuses_everything_behind_what_did_not_fit);
	tcase_add_test(tc, test_buf_takes_nothing_while_empty);
	tcase_add_test(tc, test_buf_drop);
	tcase_add_test_raise_signal(tc, test_buf_drop_of_too_much_fires, SIGABRT);
	tcase_add_test(tc, test_buf_numbers);
	tcase_add_test(tc, test_buf_fixed_point);
	tcase_add_test(tc, test_buf_quoted);
	tcase_add_test(tc, test_buf_fmt_agrees_with_printf);
	tcase_add_test(tc, test_buf_fmt_reads_no_further_than_told);
	tcase_add_test_raise_signal(tc, test_buf_fmt_panics_on_what_it_does_not_know, SIGABRT);
	suite_add_tcase(suite, tc);
}

static Suite *runtime_suite(void)
{
	Suite *suite = suite_create("runtime");
	TCase *tc = tcase_create("assert");
	tcase_add_test(tc, test_assert_holds);
	tcase_add_loop_test_raise_signal(tc, test_assert_fires, SIGABRT, 0, 1);
	tcase_add_test_raise_signal(tc, test_unreachable_fires, SIGABRT);
	tcase_add_exit_test(tc, test_panic_hook_is_told_where_and_what, 7);
	tcase_add_test_raise_signal(tc, test_panic_in_the_hook_ends_the_process, SIGABRT);
	suite_add_tcase(suite, tc);
	add_codec(suite);
	add_buf(suite);
	tc = tcase_create("memory");
	tcase_add_test(tc, test_err_set);
	tcase_add_test(tc, test_error_names_and_texts);
	tcase_add_test(tc, test_blob_counts);
	tcase_add_test_raise_signal(tc, test_calloc_of_too_much_is_fatal, SIGABRT);
	tcase_add_test(tc, test_memory_of_no_bytes);
	tcase_add_test(tc, test_list_keeps_order_and_bears_removal_while_walking);
	suite_add_tcase(suite, tc);
	tc = tcase_create("numbers");
	tcase_add_test(tc, test_crc32c_known_values);
	tcase_add_test(tc, test_crc32c_ways_agree_at_every_length_and_place);
	tcase_add_test(tc, test_crc32c_chains);
	tcase_add_loop_test(tc, test_hash_spreads_names, 0, 4);
	tcase_add_loop_test(tc, test_hash_spreads_numbers, 0, 6);
	tcase_add_test(tc, test_hash_depends_on_length_bytes_and_seed);
	tcase_add_test(tc, test_rand_repeats_by_seed_and_stays_below);
	tcase_add_test_raise_signal(tc, test_rand_below_nothing_fires, SIGABRT);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void) { return unit_run(runtime_suite()); }
