/* Numbers, durations and sizes: what is read and what is refused. */
#include "common/base/quantity.h"
#include "tests/support/runner.h"

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static const struct case_ {
    const char *text;
    int64_t want; /* -1: refused */
} durations[] = {
    {"0s", 0},         {"500ms", 500},      {"90s", 90000},
    {"10m", 600000},   {"60m", 3600000},    {"1h", 3600000},
    {"24h", 86400000}, {"7d", 604800000},   {"999999999d", INT64_C(86399999913600000)},
    {"", -1},          {"1", -1},           {"0", -1},
    {"s", -1},         {"1hour", -1},       {"1 h", -1},
    {" 1h", -1},       {"1h ", -1},         {"1H", -1},
    {"-1s", -1},       {"+1s", -1},         {"1.5h", -1},
    {"1h30m", -1},     {"9999999999s", -1},
};

START_TEST(test_duration_is_one_number_and_one_unit)
{
    int64_t ms = -7;
    struct why why = {0};
    err_t err = quantity_parse_duration(slice_str(durations[_i].text), &ms, &why);
    if (durations[_i].want < 0) {
        ck_assert_msg(err == ERR_PARSE, "%s", durations[_i].text);
        ck_assert_int_eq(ms, -7);
        ck_assert_str_eq(why_text(&why), "expected a duration such as 90s, 10m or 1h");
        return;
    }
    ck_assert_msg(err == ERR_OK, "%s", durations[_i].text);
    ck_assert_int_eq(ms, durations[_i].want);
}
END_TEST

static const struct case_ sizes[] = {
    {"0B", 0},  {"512B", 512}, {"64KiB", 65536}, {"1024KiB", 1048576}, {"1GiB", 1073741824},
    {"64", -1}, {"64K", -1},   {"64KB", -1},     {"64kib", -1},        {"KiB", -1},
};

START_TEST(test_size_is_one_number_and_one_unit)
{
    int64_t bytes = -7;
    struct why why = {0};
    err_t err = quantity_parse_size(slice_str(sizes[_i].text), &bytes, &why);
    if (sizes[_i].want < 0) {
        ck_assert_msg(err == ERR_PARSE, "%s", sizes[_i].text);
        ck_assert_str_eq(why_text(&why), "expected a size such as 512B, 64KiB or 1MiB");
        return;
    }
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_int_eq(bytes, sizes[_i].want);
}
END_TEST

static const struct {
    const char *text;
    uint64_t max, want;
    err_t err;
} numbers[] = {
    {"0", 9, 0, ERR_OK},
    {"007", 9, 7, ERR_OK},
    {"10", 10, 10, ERR_OK},
    {"11", 10, 0, ERR_PARSE},
    {"18446744073709551615", UINT64_MAX, UINT64_MAX, ERR_OK},
    {"18446744073709551616", UINT64_MAX, 0, ERR_PARSE},
    {"", 10, 0, ERR_PARSE},
    {"-1", 10, 0, ERR_PARSE},
    {"+1", 10, 0, ERR_PARSE},
    {" 1", 10, 0, ERR_PARSE},
    {"1x", 10, 0, ERR_PARSE},
    {"0x1", 10, 0, ERR_PARSE},
};

START_TEST(test_number_is_digits_within_a_bound)
{
    uint64_t got = 77;
    ck_assert_msg(quantity_parse_number(numbers[_i].text, numbers[_i].max, &got) == numbers[_i].err,
                  "%s", numbers[_i].text);
    ck_assert_uint_eq(got, numbers[_i].err == ERR_OK ? numbers[_i].want : 77);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("quantity");
    TCase *t = tcase_create("quantity");
    tcase_add_loop_test(t, test_duration_is_one_number_and_one_unit, 0, COUNT(durations));
    tcase_add_loop_test(t, test_size_is_one_number_and_one_unit, 0, COUNT(sizes));
    tcase_add_loop_test(t, test_number_is_digits_within_a_bound, 0, COUNT(numbers));
    suite_add_tcase(s, t);
    return run_suite(s);
}
