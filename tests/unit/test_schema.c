/* The generated codecs: every record of every module holds against random values, truncations and flipped
 * bits, and some records look as other people's programs expect them. Encodings stand at the end of a block
 * of exactly their size, so that the address sanitizer sees a read beyond them. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "schema/disk_gen_random.h"
#include "schema/runtime/rt_mem.h"
#include "schema/sample_gen_random.h"
#include "schema/wire_gen_random.h"

/* The record at hand, which a failed assertion names. */
static const struct schema_kind *current;

static void name_current(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s: %s:%d: %s\n", current ? current->name : "no record", file, line, what);
}

/* Does something with each record of the module numbered, with random numbers of its own. */
static void each_record(
	int module, void (*act)(const struct schema_kind *kind, struct rt_rand *rnd))
{
	static const struct schema_kind *const kinds[] = { wire_random_kinds, disk_random_kinds,
		sample_random_kinds };
	const size_t counts[] = { wire_random_kind_count, disk_random_kind_count,
		sample_random_kind_count };
	rt_set_panic_hook(name_current);
	ck_assert_uint_gt(counts[module], 5);
	for (size_t i = 0; i < counts[module]; i++) {
		struct rt_rand rnd;
		rt_rand_seed(&rnd, i);
		current = &kinds[module][i];
		act(current, &rnd);
	}
}

/* Checks a copy that ends where its block does. */
static int check_exactly(
	const struct schema_kind *kind, const uint8_t *bytes, size_t len, size_t *ret_used)
{
	static struct rt_buf text = { .max = 1 << 20 };
	rt_buf_clear(&text);
	uint8_t *copy = rt_alloc(len);
	if (len != 0)
		memcpy(copy, bytes, len);
	int rc = kind->check(copy, len, &text, ret_used);
	ck_assert(rc == 0 || rc == PANDO_EPROTO);
	if (rc == 0) {
		ck_assert_uint_le(*ret_used, len);
		ck_assert_uint_gt(text.len, 0);
		ck_assert(!text.overflow);
		ck_assert(memchr(text.p, '\n', text.len) == NULL);
	}
	rt_free(copy);
	return rc;
}

static void come_back(const struct schema_kind *kind, struct rt_rand *rnd)
{
	struct rt_buf b;
	size_t used;
	rt_buf_init(&b, 1 << 20);
	for (int i = 0; i < 400; i++) {
		rt_buf_clear(&b);
		kind->make(rnd, &b);
		if (kind->fixed_bytes != 0)
			ck_assert_uint_eq(b.len, kind->fixed_bytes);
		ck_assert_int_eq(check_exactly(kind, b.p, b.len, &used), 0);
		ck_assert_uint_eq(used, b.len);
	}
	rt_buf_done(&b);
}

START_TEST(test_random_values_come_back) { each_record(_i, come_back); }
END_TEST

static void cut_short(const struct schema_kind *kind, struct rt_rand *rnd)
{
	struct rt_buf b;
	size_t used;
	rt_buf_init(&b, 1 << 20);
	for (int i = 0; i < 10; i++) {
		rt_buf_clear(&b);
		kind->make(rnd, &b);
		for (size_t len = 0; len < b.len; len++) {
			int rc = check_exactly(kind, b.p, len, &used);
			if (kind->fixed_bytes != 0)
				ck_assert_int_eq(rc, PANDO_EPROTO);
		}
	}
	rt_buf_done(&b);
}

START_TEST(test_truncations_decode_or_fail) { each_record(_i, cut_short); }
END_TEST

static void flip_bits(const struct schema_kind *kind, struct rt_rand *rnd)
{
	struct rt_buf b;
	size_t used;
	rt_buf_init(&b, 1 << 20);
	for (int i = 0; i < 8; i++) {
		rt_buf_clear(&b);
		kind->make(rnd, &b);
		/* each bit; of the long ones some, so that the test stays quick */
		bool each = b.len <= 200;
		for (size_t k = 0; k < (each ? 8 * b.len : 500); k++) {
			size_t bit = each ? k : rt_rand_below(rnd, 8 * b.len);
			b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
			(void)check_exactly(kind, b.p, b.len, &used);
			b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
	rt_buf_done(&b);
}

START_TEST(test_flipped_bits_decode_or_fail) { each_record(_i, flip_bits); }
END_TEST

static void decode_noise(const struct schema_kind *kind, struct rt_rand *rnd)
{
	size_t used;
	for (int i = 0; i < 500; i++) {
		uint8_t bytes[120];
		size_t len = rt_rand_below(rnd, sizeof bytes + 1);
		for (size_t k = 0; k < len;
			k++) /* mostly small numbers, so that lengths are believable */
			bytes[k] = rt_rand_below(rnd, 4) ? (uint8_t)(rt_rand_below(rnd, 3))
							 : (uint8_t)rt_rand_u64(rnd);
		(void)check_exactly(kind, bytes, len, &used);
	}
}

START_TEST(test_noise_decodes_or_fails) { each_record(_i, decode_noise); }
END_TEST

/* --- records as others write them */

START_TEST(test_sizes_of_the_protocol)
{
	ck_assert_uint_eq(WIRE_STAT_BYTES, 68);
	ck_assert_uint_eq(WIRE_REPLY_HEADER_BYTES, 16);
	ck_assert_uint_eq(WIRE_REQUEST_HEADER_BYTES, 8);
	ck_assert_uint_eq(WIRE_MULTI_HEADER_BYTES, 9);
	ck_assert_uint_eq(DISK_RECORD_HEADER_BYTES, 25);
	ck_assert_uint_eq(DISK_BATCH_HEADER_BYTES, 40);
	ck_assert_uint_eq(DISK_ENTRY_HEADER_BYTES, 12);
	ck_assert_uint_eq(DISK_HARD_STATE_BYTES, 28);
}
END_TEST

START_TEST(test_reply_header_bytes)
{
	static const uint8_t expected[16] = { 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff,
		0x9b };
	struct wire_reply_header v = { .xid = 7, .zxid = 0x100000002, .err = ZK_NO_NODE };
	uint8_t bytes[16];
	struct rt_writer w = rt_writer_of(bytes, sizeof bytes);
	wire_reply_header_encode(&w, &v);
	ck_assert(!w.full && w.p == w.end);
	ck_assert_mem_eq(bytes, expected, 16);
}
END_TEST

/* A session's first frame, as clients before and after 3.4 write it. */
static const uint8_t connect_bytes[45] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x75, 0x30, 0,
	0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, [44] = 1 };

START_TEST(test_optional_flag_absent)
{
	struct wire_connect_request v;
	struct rt_reader r = rt_reader_of(connect_bytes, 44);
	ck_assert_int_eq(wire_connect_request_decode(&r, &v), 0);
	ck_assert(!v.has_read_only && !v.read_only);
	ck_assert_int_eq(v.last_zxid_seen, 9);
	ck_assert_int_eq(v.timeout_ms, 30000);
	ck_assert_uint_eq(v.passwd.len, 16);
	ck_assert_uint_eq(wire_connect_request_size(&v), 44);
}
END_TEST

START_TEST(test_optional_flag_present)
{
	struct wire_connect_request v;
	struct rt_reader r = rt_reader_of(connect_bytes, 45);
	ck_assert_int_eq(wire_connect_request_decode(&r, &v), 0);
	ck_assert(v.has_read_only && v.read_only);
	ck_assert_uint_eq(wire_connect_request_size(&v), 45);
}
END_TEST

START_TEST(test_bytes_behind_a_record_stay)
{
	static const uint8_t bytes[] = { 0, 0, 0, 1, 0, 0, 0, 11, 'x', 'y' };
	struct wire_request_header v;
	struct rt_reader r = rt_reader_of(bytes, sizeof bytes);
	ck_assert_int_eq(wire_request_header_decode(&r, &v), 0);
	ck_assert_int_eq(v.op, WIRE_OP_PING);
	ck_assert_uint_eq(rt_left(&r), 2);
	ck_assert_uint_eq(*r.p, 'x');
}
END_TEST

START_TEST(test_vector_counts)
{
	static const struct {
		uint8_t bytes[12];
		int rc;
		int32_t count;
	} cases[] = {
		{ { 0xff, 0xff, 0xff, 0xff }, 0, -1 }, { { 0, 0, 0, 0 }, 0, 0 },
		{ { 0, 0, 0, 1, 0, 0, 0, 4, 'n', 'a', 'm', 'e' }, 0, 1 },
		{ { 0, 0, 0, 2, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff }, 0, 2 },
		{ { 0, 0, 0, 2, 0, 0, 0, 4, 'n', 'a', 'm', 'e' }, PANDO_EPROTO, 0 },
		{ { 0, 0, 0, 1, 0, 0, 0, 5, 'n', 'a', 'm', 'e' }, PANDO_EPROTO, 0 },
		{ { 0xff, 0xff, 0xff, 0xfe }, PANDO_EPROTO, 0 },
		{ { 0x80, 0, 0, 0 }, PANDO_EPROTO, 0 },
		{ { 0x7f, 0xff, 0xff, 0xff }, PANDO_EPROTO, 0 },
		{ { 0x3b, 0x9a, 0xca, 0 }, PANDO_EPROTO, 0 }, /* a claimed billion */
	};
	ck_assert_uint_gt(sizeof cases / sizeof *cases, (size_t)_i);
	struct wire_get_children_response v;
	struct rt_reader r = rt_reader_of(cases[_i].bytes, sizeof cases[_i].bytes);
	ck_assert_int_eq(wire_get_children_response_decode(&r, &v), cases[_i].rc);
	ck_assert_int_eq(r.bad, cases[_i].rc != 0);
	if (cases[_i].rc == 0) {
		ck_assert_int_eq(v.children.count, cases[_i].count);
		ck_assert_uint_eq(rt_left(&r), v.children.count > 0 ? 0 : 8);
		ck_assert_int_eq(v.children.p != NULL, v.children.count >= 0);
	}
}
END_TEST

/* A create as kazoo sends it, taken apart, printed, and put together again. */
START_TEST(test_create_request_by_hand)
{
	static const char bytes[] =
		"\0\0\0\2/a\xff\xff\xff\xff\0\0\0\1\0\0\0\x1f\0\0\0\5world\0\0\0\6anyone\0\0\0\2";
	struct wire_create_request v;
	struct rt_reader r = rt_reader_of(bytes, sizeof bytes - 1);
	ck_assert_int_eq(wire_create_request_decode(&r, &v), 0);
	ck_assert_uint_eq(rt_left(&r), 0);
	ck_assert(rt_slice_is(v.path, "/a"));
	ck_assert(v.data.p == NULL);
	ck_assert_int_eq(v.flags, WIRE_CREATE_MODE_PERSISTENT_SEQUENTIAL);
	ck_assert_int_eq(v.acl.count, 1);

	struct wire_acl acl;
	r = rt_reader_of_vec(v.acl);
	ck_assert_int_eq(wire_acl_decode(&r, &acl), 0);
	ck_assert(rt_slice_is(acl.id.scheme, "world") && rt_slice_is(acl.id.id, "anyone"));
	ck_assert_int_eq(acl.perms, 31);
	ck_assert_uint_eq(rt_left(&r), 0);

	struct rt_buf text;
	rt_buf_init(&text, 1000);
	wire_create_request_dump(&text, &v);
	rt_buf_char(&text, '\0');
	ck_assert_str_eq((const char *)text.p,
		"create_request{path=\"/a\" data=null acl=[{perms=31 id={scheme=\"world\" id=\"anyone\"}}] flags=2}");
	rt_buf_done(&text);

	uint8_t again[sizeof bytes - 1];
	struct rt_writer w = rt_writer_of(again, sizeof again);
	wire_create_request_encode(&w, &v);
	ck_assert(!w.full && w.p == w.end);
	ck_assert_mem_eq(again, bytes, sizeof again);
}
END_TEST

START_TEST(test_dump_of_bytes_flags_and_empty_vectors)
{
	struct rt_buf text;
	rt_buf_init(&text, 1000);
	struct disk_entry_session_open open = { 1, -2, { 0x00, 0x0f, 0xa5 }, 7 };
	disk_entry_session_open_dump(&text, &open);
	struct wire_get_children_response children = { { (const uint8_t *)"", 0, 0 } };
	wire_get_children_response_dump(&text, &children);
	children.children = (struct rt_vec){ NULL, 0, -1 };
	wire_get_children_response_dump(&text, &children);
	struct sample_with_flag flag = { rt_slice_str("p"), true, false };
	sample_with_flag_dump(&text, &flag);
	flag.has_read_only = false;
	sample_with_flag_dump(&text, &flag);
	rt_buf_char(&text, '\0');
	ck_assert_str_eq((const char *)text.p,
		"entry_session_open{server_id=1 timeout_ms=-2 passwd=000fa500000000000000000000000000 nonce=7}"
		"get_children_response{children=[]}get_children_response{children=null}"
		"with_flag{path=\"p\" read_only=false}with_flag{path=\"p\"}");
	rt_buf_done(&text);
}
END_TEST

START_TEST(test_equal_sees_each_difference)
{
	struct disk_entry_session_attach a = { 1, rt_slice_str("x"), 2, 3, 4 }, b = a;
	ck_assert(disk_entry_session_attach_equal(&a, &b));
	b.session_id = 2;
	ck_assert(!disk_entry_session_attach_equal(&a, &b));
	b = a;
	b.passwd = rt_slice_str("y");
	ck_assert(!disk_entry_session_attach_equal(&a, &b));
	b = a;
	b.server_id = 4;
	ck_assert(!disk_entry_session_attach_equal(&a, &b));
	b = a;
	b.nonce ^= UINT64_C(1) << 63;
	ck_assert(!disk_entry_session_attach_equal(&a, &b));
	struct wire_get_children_response c = { { (const uint8_t *)"\0\0\0\1a", 5, 1 } }, d = c;
	d.children.p = (const uint8_t *)"\0\0\0\1a";
	ck_assert(wire_get_children_response_equal(&c, &d));
	d.children.p = (const uint8_t *)"\0\0\0\1b";
	ck_assert(!wire_get_children_response_equal(&c, &d));
	d.children = (struct rt_vec){ NULL, 0, -1 };
	ck_assert(!wire_get_children_response_equal(&c, &d));
}
END_TEST

START_TEST(test_enum_names)
{
	ck_assert_str_eq(wire_op_name(WIRE_OP_SET_WATCHES2), "SET_WATCHES2");
	ck_assert_str_eq(wire_op_name(-11), "CLOSE_SESSION");
	ck_assert_ptr_null(wire_op_name(10));
	ck_assert_str_eq(disk_entry_kind_name(DISK_ENTRY_KIND_REQUEST), "REQUEST");
	ck_assert_str_eq(sample_colour_name(-1), "NONE");
}
END_TEST

START_TEST(test_fuzz_entry_takes_anything)
{
	struct rt_rand rnd;
	rt_rand_seed(&rnd, 4);
	ck_assert_int_eq(wire_fuzz_one(NULL, 0), 0);
	for (int i = 0; i < 2000; i++) {
		size_t len = rt_rand_below(&rnd, 64);
		uint8_t *p = rt_alloc(len);
		for (size_t k = 0; k < len; k++)
			p[k] = (uint8_t)(rt_rand_u64(&rnd) & (k < 1 ? 0xff : 3));
		ck_assert_int_eq(wire_fuzz_one(p, len), 0);
		ck_assert_int_eq(disk_fuzz_one(p, len), 0);
		ck_assert_int_eq(sample_fuzz_one(p, len), 0);
		rt_free(p);
	}
}
END_TEST

static Suite *schema_suite(void)
{
	Suite *suite = suite_create("schema");
	TCase *tc = tcase_create("every record");
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, test_random_values_come_back, 0, 3);
	tcase_add_loop_test(tc, test_truncations_decode_or_fail, 0, 3);
	tcase_add_loop_test(tc, test_flipped_bits_decode_or_fail, 0, 3);
	tcase_add_loop_test(tc, test_noise_decodes_or_fails, 0, 3);
	suite_add_tcase(suite, tc);
	tc = tcase_create("known records");
	tcase_add_test(tc, test_sizes_of_the_protocol);
	tcase_add_test(tc, test_reply_header_bytes);
	tcase_add_test(tc, test_optional_flag_absent);
	tcase_add_test(tc, test_optional_flag_present);
	tcase_add_test(tc, test_bytes_behind_a_record_stay);
	tcase_add_loop_test(tc, test_vector_counts, 0, 10);
	tcase_add_test(tc, test_create_request_by_hand);
	tcase_add_test(tc, test_dump_of_bytes_flags_and_empty_vectors);
	tcase_add_test(tc, test_equal_sees_each_difference);
	tcase_add_test(tc, test_enum_names);
	tcase_add_test(tc, test_fuzz_entry_takes_anything);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void) { return unit_run(schema_suite()); }
