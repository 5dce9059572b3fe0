/* The error table: names, texts, retry classes; and what `why` does with them. */
#include "common/base/why.h"
#include "tests/support/runner.h"

#include <string.h>

START_TEST(test_every_row_has_a_stable_lower_case_name_and_a_text)
{
    for (size_t i = 0; i < err_count(); i++) {
        const char *name = err_name(err_at(i));
        ck_assert_uint_gt(strlen(name), 1);
        ck_assert_uint_eq(strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789"), strlen(name));
        ck_assert_uint_gt(strlen(err_text(err_at(i))), 5);
        ck_assert_uint_eq(err_index(err_at(i)), i);
    }
}
END_TEST

START_TEST(test_names_are_the_words_users_see_in_metrics)
{
    ck_assert_str_eq(err_name(ERR_LEAF_URI_COUNT), "leaf_uri_count");
    ck_assert_str_eq(err_name(ERR_OK), "ok");
    ck_assert_str_eq(err_name((err_t)7), "unknown");
}
END_TEST

START_TEST(test_a_cause_gathers_context_from_each_layer)
{
    struct why why = {0};
    ck_assert_int_eq(why_set(&why, ERR_PARSE, "found %d", 3), ERR_PARSE);
    ck_assert_int_eq(why_add(&why, ERR_CONFIG, "line %d", 7), ERR_CONFIG);
    ck_assert_str_eq(why_text(&why), "line 7: found 3");
    ck_assert_int_eq(why.err, ERR_CONFIG);
}
END_TEST

START_TEST(test_a_cause_too_long_is_cut_and_says_so)
{
    char word[1000];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    struct why why = {0};
    why_set(&why, ERR_PARSE, "%s", word);
    ck_assert_uint_eq(strlen(why.text), sizeof why.text - 1);
    ck_assert_str_eq(why.text + strlen(why.text) - 3, "...");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("err");
    TCase *t = tcase_create("err");
    tcase_add_test(t, test_every_row_has_a_stable_lower_case_name_and_a_text);
    tcase_add_test(t, test_names_are_the_words_users_see_in_metrics);
    tcase_add_test(t, test_a_cause_gathers_context_from_each_layer);
    tcase_add_test(t, test_a_cause_too_long_is_cut_and_says_so);
    suite_add_tcase(s, t);
    return run_suite(s);
}
