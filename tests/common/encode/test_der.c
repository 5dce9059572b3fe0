/* DER: what the writer makes, what the reader takes, and all it must refuse (X.690, RFC 5280). */
#include "common/base/mem.h"
#include "common/encode/der.h"
#include "tests/support/runner.h"

static struct buf out;

static void start(void)
{
    buf_init(&out, 1 << 20);
}

static void stop(void)
{
    buf_done(&out);
}

static struct slice bytes(const char *text, size_t len)
{
    return slice_of(text, len);
}
#define B(literal) bytes(literal, sizeof(literal) - 1)

static void check_written(err_t err, struct slice want)
{
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_uint_eq(out.len, want.len);
    ck_assert_mem_eq(out.data, want.data, want.len);
}

START_TEST(test_nested_values_get_their_lengths_on_close)
{
    struct der_writer w;
    der_writer_init(&w, &out);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_uint(&w, 3);
    size_t inner = der_open(&w, DER_CONTEXT_CONSTRUCTED(0));
    der_put_bool(&w, true);
    der_close(&w, inner);
    der_close(&w, seq);
    check_written(der_writer_end(&w), B("\x30\x08\x02\x01\x03\xa0\x03\x01\x01\xff"));
}
END_TEST

START_TEST(test_lengths_have_their_shortest_form)
{
    static const size_t sizes[] = {0, 1, 127, 128, 255, 256, 65535, 65536, 70000};
    size_t size = sizes[_i];
    uint8_t *content = mem_alloc(size);
    struct der_writer w;
    der_writer_init(&w, &out);
    size_t mark = der_open(&w, DER_OCTET_STRING);
    der_put_raw(&w, slice_of(content, size));
    der_close(&w, mark);
    size_t first = out.len;
    der_put(&w, DER_OCTET_STRING, slice_of(content, size));
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
    ck_assert_uint_eq(out.len, 2 * first);
    ck_assert_mem_eq(out.data, out.data + first, first);
    struct der_reader r = der_reader_of(buf_slice(&out));
    ck_assert_uint_eq(der_get(&r, DER_OCTET_STRING).len, size);
    ck_assert_uint_eq(der_get(&r, DER_OCTET_STRING).len, size);
    ck_assert(der_at_end(&r));
    mem_free(content);
}
END_TEST

static const struct {
    uint64_t n;
    const char *der;
} integers[] = {
    {0, "\x02\x01\x00"},
    {127, "\x02\x01\x7f"},
    {128, "\x02\x02\x00\x80"},
    {256, "\x02\x02\x01\x00"},
    {UINT64_MAX, "\x02\x09\x00\xff\xff\xff\xff\xff\xff\xff\xff"},
};

START_TEST(test_integers_are_minimal_and_come_back)
{
    struct der_writer w;
    der_writer_init(&w, &out);
    der_put_uint(&w, integers[_i].n);
    check_written(der_writer_end(&w),
                  slice_of(integers[_i].der, 2u + (uint8_t)integers[_i].der[1]));
    struct der_reader r = der_reader_of(buf_slice(&out));
    ck_assert_uint_eq(der_get_uint(&r), integers[_i].n);
    ck_assert(der_at_end(&r));
}
END_TEST

static const struct {
    int64_t unix_s;
    const char *text; /* with its tag */
} times[] = {
    {0, "\x17\x0d"
        "700101000000Z"},
    {-631152000, "\x17\x0d"
                 "500101000000Z"},
    {951827696, "\x17\x0d"
                "000229123456Z"},
    {2524607999, "\x17\x0d"
                 "491231235959Z"},
    {2524608000, "\x18\x0f"
                 "20500101000000Z"},
    {253402300799, "\x18\x0f"
                   "99991231235959Z"},
};

START_TEST(test_times_change_their_form_in_2050)
{
    struct der_writer w;
    der_writer_init(&w, &out);
    der_put_time(&w, times[_i].unix_s);
    check_written(der_writer_end(&w), slice_str(times[_i].text));
    struct der_reader r = der_reader_of(buf_slice(&out));
    ck_assert_int_eq(der_get_time(&r), times[_i].unix_s);
    ck_assert(der_at_end(&r));
}
END_TEST

static const char *const bad_times[] = {
    "\x17\x0b"
    "7001010000Z",
    "\x17\x0d"
    "701301000000Z",
    "\x17\x0d"
    "700001000000Z",
    "\x17\x0d"
    "700132000000Z",
    "\x17\x0d"
    "700100000000Z",
    "\x17\x0d"
    "710229000000Z",
    "\x17\x0d"
    "700101240000Z",
    "\x17\x0d"
    "700101006000Z",
    "\x17\x0d"
    "700101000060Z",
    "\x17\x0d"
    "7001010000000",
    "\x17\x0d"
    "70010100000 Z",
    "\x17\x0d"
    "-00101000000Z",
    "\x17\x11"
    "700101000000+0100",
    "\x18\x0d"
    "700101000000Z",
    "\x18\x11"
    "20500101000000.5Z",
    "\x18\x0f"
    "21000229000000Z",
    "\x04\x0d"
    "700101000000Z",
};

START_TEST(test_a_time_in_another_form_is_refused)
{
    struct der_reader r = der_reader_of(slice_str(bad_times[_i]));
    der_get_time(&r);
    ck_assert(r.bad);
}
END_TEST

START_TEST(test_a_time_out_of_range_is_not_written)
{
    static const int64_t bad[] = {INT64_MIN, -631152001, 253402300800, INT64_MAX};
    struct der_writer w;
    der_writer_init(&w, &out);
    der_put_time(&w, bad[_i]);
    ck_assert_int_eq(der_writer_end(&w), ERR_TOO_LARGE);
}
END_TEST

static const struct {
    const char *der;
    size_t len;
} bad_values[] = {
#define BAD(x)                                                                                     \
    {                                                                                              \
        x, sizeof(x) - 1                                                                           \
    }
    BAD(""),
    BAD("\x04"),
    BAD("\x04\x01"),         /* cut */
    BAD("\x04\x80\x00\x00"), /* indefinite */
    BAD("\x04\x81\x01x"),    /* long form for a short length */
    BAD("\x04\x82\x00\x80"), /* leading zero in a length */
    BAD("\x04\x85\x00\x00\x00\x00\x01x"),
    BAD("\x04\x84\xff\xff\xff\xff"),
    BAD("\x1f\x81\x01\x00"), /* a tag of several bytes */
    BAD("\x00\x00"),         /* end-of-contents */
    BAD("\x05\x00"),         /* another tag */
};

START_TEST(test_a_value_that_is_not_der_is_refused)
{
    struct der_reader r = der_reader_of(slice_of(bad_values[_i].der, bad_values[_i].len));
    ck_assert_uint_eq(der_get(&r, DER_OCTET_STRING).len, 0);
    ck_assert(r.bad);
    ck_assert(!der_at_end(&r));
    ck_assert_uint_eq(der_peek(&r), 0);
    struct der_reader any = der_reader_of(slice_of(bad_values[_i].der, bad_values[_i].len));
    der_get(&any, der_peek(&any));
    ck_assert(any.bad || _i == (int)(sizeof bad_values / sizeof bad_values[0]) - 1);
}
END_TEST

START_TEST(test_integers_that_are_negative_padded_or_empty_are_refused)
{
    static const struct {
        const char *der;
        size_t len;
    } bad[] = {BAD("\x02\x00"), BAD("\x02\x01\x80"), BAD("\x02\x02\x00\x7f"),
               BAD("\x02\x0a\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00")};
    struct der_reader r = der_reader_of(slice_of(bad[_i].der, bad[_i].len));
    der_get_uint(&r);
    ck_assert(r.bad);
}
END_TEST

START_TEST(test_booleans_have_two_values_only)
{
    struct der_reader r = der_reader_of(B("\x01\x01\x01"));
    ck_assert(!der_get_bool(&r));
    ck_assert(r.bad);
}
END_TEST

START_TEST(test_an_error_sticks)
{
    struct der_reader r = der_reader_of(B("\x30\x03\x02\x01\x05"));
    struct der_reader inner = der_enter(&r, DER_SET);
    ck_assert(r.bad && inner.bad);
    ck_assert_uint_eq(der_get(&r, DER_SEQUENCE).len, 0);
    struct slice skip;
    ck_assert(!der_get_optional(&r, DER_SEQUENCE, &skip));
}
END_TEST

START_TEST(test_a_full_buffer_is_said_at_the_end)
{
    struct buf small;
    buf_init(&small, 4);
    struct der_writer w;
    der_writer_init(&w, &small);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OCTET_STRING, B("12345"));
    der_close(&w, seq);
    ck_assert_int_eq(der_writer_end(&w), ERR_TOO_LARGE);
    buf_done(&small);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("der");
    TCase *t = tcase_create("der");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, test_nested_values_get_their_lengths_on_close);
    tcase_add_loop_test(t, test_lengths_have_their_shortest_form, 0, 9);
    tcase_add_loop_test(t, test_integers_are_minimal_and_come_back, 0, COUNT(integers));
    tcase_add_loop_test(t, test_times_change_their_form_in_2050, 0, COUNT(times));
    tcase_add_loop_test(t, test_a_time_in_another_form_is_refused, 0, COUNT(bad_times));
    tcase_add_loop_test(t, test_a_time_out_of_range_is_not_written, 0, 4);
    tcase_add_loop_test(t, test_a_value_that_is_not_der_is_refused, 0, COUNT(bad_values));
    tcase_add_loop_test(t, test_integers_that_are_negative_padded_or_empty_are_refused, 0, 4);
    tcase_add_test(t, test_booleans_have_two_values_only);
    tcase_add_test(t, test_an_error_sticks);
    tcase_add_test(t, test_a_full_buffer_is_said_at_the_end);
    suite_add_tcase(s, t);
    return run_suite(s);
}
