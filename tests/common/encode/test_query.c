/* Queries of admin routes. */
#include "common/encode/query.h"
#include "tests/support/runner.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const char *const values[] = {"",          "plain",        "spiffe://example.org/a b",
                                     "100%&=?#+", "\x01\x7f\xff", "entry:e1"};

START_TEST(test_value_survives_a_query)
{
    struct buf path, out;
    buf_init(&path, 1024);
    buf_init(&out, 1024);
    ck_assert_int_eq(buf_append_str(&path, "/v1/svids"), ERR_OK);
    ck_assert_int_eq(query_add(&path, "first", "1"), ERR_OK);
    ck_assert_int_eq(query_add(&path, "target", values[_i]), ERR_OK);
    ck_assert_int_eq(query_add(&path, "last", "2"), ERR_OK);
    for (size_t i = 0; i < path.len; i++)
        ck_assert(path.data[i] > ' ' && path.data[i] < 0x7f);
    const char *query = strchr((const char *)path.data, '?') + 1;
    struct slice q = slice_of(query, path.len - (size_t)(query - (const char *)path.data));
    ck_assert_int_eq(query_find(q, "target", &out), ERR_OK);
    ck_assert_str_eq((const char *)out.data, values[_i]);
    buf_clear(&out);
    ck_assert_int_eq(query_find(q, "last", &out), ERR_OK);
    ck_assert_str_eq((const char *)out.data, "2");
    ck_assert_int_eq(query_find(q, "arget", &out), ERR_NOT_FOUND);
    buf_done(&path);
    buf_done(&out);
}
END_TEST

static const struct {
    const char *query;
    err_t want;
} bad[] = {
    {"", ERR_NOT_FOUND},      {"a", ERR_NOT_FOUND}, {"ab=1", ERR_NOT_FOUND},
    {"b=a=1", ERR_NOT_FOUND}, {"a=%", ERR_PARSE},   {"a=%1", ERR_PARSE},
    {"a=%1&b=2", ERR_PARSE},  {"a=%zz", ERR_PARSE}, {"b=1&a=%00", ERR_PARSE},
    {"&&a=%2", ERR_PARSE},
};

START_TEST(test_bad_query_gives_nothing)
{
    struct buf out;
    buf_init(&out, 1024);
    ck_assert_int_eq(query_find(slice_str(bad[_i].query), "a", &out), bad[_i].want);
    ck_assert_uint_eq(out.len, 0);
    buf_done(&out);
}
END_TEST

START_TEST(test_value_larger_than_its_buffer_is_refused)
{
    struct buf out;
    buf_init(&out, 4);
    ck_assert_int_eq(query_find(slice_str("a=1234"), "a", &out), ERR_TOO_LARGE);
    ck_assert_uint_eq(out.len, 0);
    ck_assert_int_eq(query_find(slice_str("a=123"), "a", &out), ERR_OK);
    buf_done(&out);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("query");
    TCase *t = tcase_create("query");
    tcase_add_loop_test(t, test_value_survives_a_query, 0, COUNT(values));
    tcase_add_loop_test(t, test_bad_query_gives_nothing, 0, COUNT(bad));
    tcase_add_test(t, test_value_larger_than_its_buffer_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
