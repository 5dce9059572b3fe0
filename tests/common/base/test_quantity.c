/* Durations and sizes: what is read, what is refused, and the text that goes back. */
#include "common/base/quantity.h"
#include "tests/support/runner.h"

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static const struct case_ {
    const char *text;
    int64_t want; /* -1: refused */
    const char *again;
} durations[] = {
    {"0s", 0, "0s"},
    {"500ms", 500, "500ms"},
    {"90s", 90000, "90s"},
    {"10m", 600000, "10m"},
    {"60m", 3600000, "1h"},
    {"1h", 3600000, "1h"},
    {"24h", 86400000, "24h"},
    {"7d", 604800000, "7d"},
    {"999999999d", INT64_C(86399999913600000), "23999999976h"},
    {"", -1, NULL},
    {"1", -1, NULL},
    {"0", -1, NULL},
    {"s", -1, NULL},
    {"1hour", -1, NULL},
    {"1 h", -1, NULL},
    {" 1h", -1, NULL},
    {"1h ", -1, NULL},
    {"1H", -1, NULL},
    {"-1s", -1, NULL},
    {"+1s", -1, NULL},
    {"1.5h", -1, NULL},
    {"1h30m", -1, NULL},
    {"9999999999s", -1, NULL},
};

START_TEST(test_duration_is_one_number_and_one_unit)
{
    int64_t ms = -7;
    char out[QUANTITY_TEXT_LEN];
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
    ck_assert_str_eq(quantity_format_duration(ms, out), durations[_i].again);
}
END_TEST

static const struct case_ sizes[] = {
    {"0B", 0, "0B"},
    {"512B", 512, "512B"},
    {"64KiB", 65536, "64KiB"},
    {"1024KiB", 1048576, "1MiB"},
    {"1GiB", 1073741824, "1GiB"},
    {"64", -1, NULL},
    {"64K", -1, NULL},
    {"64KB", -1, NULL},
    {"64kib", -1, NULL},
    {"KiB", -1, NULL},
};

START_TEST(test_size_is_one_number_and_one_unit)
{
    int64_t bytes = -7;
    char out[QUANTITY_TEXT_LEN];
    struct why why = {0};
    err_t err = quantity_parse_size(slice_str(sizes[_i].text), &bytes, &why);
    if (sizes[_i].want < 0) {
        ck_assert_msg(err == ERR_PARSE, "%s", sizes[_i].text);
        ck_assert_str_eq(why_text(&why), "expected a size such as 512B, 64KiB or 1MiB");
        return;
    }
    ck_assert_int_eq(err, ERR_OK);
    ck_assert_int_eq(bytes, sizes[_i].want);
    ck_assert_str_eq(quantity_format_size(bytes, out), sizes[_i].again);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("quantity");
    TCase *t = tcase_create("quantity");
    tcase_add_loop_test(t, test_duration_is_one_number_and_one_unit, 0, COUNT(durations));
    tcase_add_loop_test(t, test_size_is_one_number_and_one_unit, 0, COUNT(sizes));
    suite_add_tcase(s, t);
    return run_suite(s);
}
