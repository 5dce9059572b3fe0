/* Waits between tries: doubling, capped, jittered downwards by half at most. EP-8 */
#include "common/base/backoff.h"
#include "tests/support/runner.h"

START_TEST(test_waits_double_up_to_the_cap)
{
    static const uint64_t want[] = {100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000};
    struct backoff b;
    backoff_init(&b, 100, 10000);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        uint64_t half = want[i] / 2;
        ck_assert_uint_eq(backoff_next(&b, half), want[i]); /* random % (half + 1) is the most */
    }
}
END_TEST

START_TEST(test_jitter_stays_in_the_upper_half)
{
    for (uint64_t random = 0; random < 1000; random++) {
        struct backoff b;
        backoff_init(&b, 100, 10000);
        uint64_t wait = backoff_next(&b, random * 7919);
        ck_assert_uint_ge(wait, 50);
        ck_assert_uint_le(wait, 100);
    }
}
END_TEST

START_TEST(test_reset_makes_the_next_wait_short)
{
    struct backoff b;
    backoff_init(&b, 1, 10);
    for (int i = 0; i < 6; i++)
        (void)backoff_next(&b, 0);
    backoff_reset(&b);
    ck_assert_uint_eq(backoff_next(&b, 0), 1);
}
END_TEST

START_TEST(test_huge_caps_do_not_overflow)
{
    struct backoff b;
    backoff_init(&b, 1, UINT64_MAX);
    for (int i = 0; i < 200; i++)
        ck_assert_uint_gt(backoff_next(&b, UINT64_MAX), 0);
    ck_assert_uint_eq(b.next, UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("backoff");
    TCase *t = tcase_create("backoff");
    tcase_add_test(t, test_waits_double_up_to_the_cap);
    tcase_add_test(t, test_jitter_stays_in_the_upper_half);
    tcase_add_test(t, test_reset_makes_the_next_wait_short);
    tcase_add_test(t, test_huge_caps_do_not_overflow);
    suite_add_tcase(s, t);
    return run_suite(s);
}
