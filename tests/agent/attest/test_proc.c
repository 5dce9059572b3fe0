/* What /proc says of a process. */
#include "agent/attest/proc.h"
#include "tests/support/runner.h"

static const struct {
    const char *text;
    err_t err;
    size_t count;
    gid_t last;
} status_cases[] = {
    {"Name:\tx\nGroups:\t4 24 27 \nNStgid:\t1\n", ERR_OK, 3, 27},
    {"Name:\tx\nGroups:\t \nNStgid:\t1\n", ERR_OK, 0, 0},
    {"Name:\tx\nGroups:\n", ERR_OK, 0, 0},
    {"Name:\tGroups: 7\nGroups:\t1\n", ERR_OK, 1, 1},
    {"Name:\tx\nGroups:\t4294967295 4294967296\n", ERR_PARSE, 0, 0},
    {"Name:\tx\nGroups:\t4,5\n", ERR_PARSE, 0, 0},
    {"Name:\tx\nGroups:\t4 5", ERR_PARSE, 0, 0},
    {"Name:\tx\n", ERR_PARSE, 0, 0},
    {"", ERR_PARSE, 0, 0},
};

START_TEST(test_the_status_file_is_read_strictly)
{
    gid_t groups[8];
    size_t count = 99;
    struct why why = {0};
    err_t err = proc_parse_groups(slice_str(status_cases[_i].text), groups, 8, &count, &why);
    ck_assert_int_eq(err, status_cases[_i].err);
    if (err == ERR_OK) {
        ck_assert_uint_eq(count, status_cases[_i].count);
        ck_assert(count == 0 || groups[count - 1] == status_cases[_i].last);
    } else {
        ck_assert_uint_eq(count, 99);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("proc");
    TCase *t = tcase_create("status");
    tcase_add_loop_test(t, test_the_status_file_is_read_strictly, 0,
                        sizeof status_cases / sizeof status_cases[0]);
    suite_add_tcase(s, t);
    return run_suite(s);
}
