/* When SVIDs are renewed: half of the whole validity +- 10 %, never before a quarter of the TTL. */
#include "agent/svid/rotation.h"
#include "tests/support/runner.h"

enum { NOW = 1700000000, BACKDATE = 10 };

/* Seconds after issue, for the least, middle and greatest jitter. */
static const struct {
    int64_t ttl, early, middle, late;
} cases[] = {
    {2, 1, 1, 1},
    {6, 2, 2, 2},
    {12, 3, 3, 3},
    {20, 5, 5, 6},
    {60, 22, 25, 28},
    {3600, 1615, 1795, 1975},
    {604800, 272155, 302395, 332635},
};

/* AG-14: half of (notAfter - notBefore), the backdating counted, jitter +-10 % of that half. */
START_TEST(test_renewal_is_at_half_of_the_whole_validity)
{
    int64_t end = NOW + cases[_i].ttl;
    ck_assert_int_eq(rotation_time(NOW, NOW - BACKDATE, end, 0) - NOW, cases[_i].early);
    ck_assert_int_eq(rotation_time(NOW, NOW - BACKDATE, end, 500) - NOW, cases[_i].middle);
    ck_assert_int_eq(rotation_time(NOW, NOW - BACKDATE, end, 1000) - NOW, cases[_i].late);
}
END_TEST

START_TEST(test_no_jitter_leads_out_of_the_bounds)
{
    int64_t ttl = cases[_i].ttl, last = 0;
    for (unsigned jitter = 0; jitter <= 1000; jitter++) {
        int64_t after = rotation_time(NOW, NOW - BACKDATE, NOW + ttl, jitter) - NOW;
        ck_assert_int_ge(4 * after, ttl); /* never before a quarter */
        ck_assert_int_lt(after, ttl);     /* never a gap */
        ck_assert_int_ge(after, last);    /* more jitter is never earlier */
        last = after;
    }
}
END_TEST

START_TEST(test_one_that_ran_out_is_due_at_its_end)
{
    ck_assert_int_eq(rotation_time(NOW, NOW - BACKDATE, NOW, 500), NOW);
    ck_assert_int_eq(rotation_time(NOW, NOW - BACKDATE, NOW - 5, 500), NOW - 5);
    ck_assert_int_eq(rotation_time(NOW, NOW - BACKDATE, NOW + 1, 1000), NOW + 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rotation");
    TCase *t = tcase_create("rotation");
    int count = sizeof cases / sizeof cases[0];
    tcase_add_loop_test(t, test_renewal_is_at_half_of_the_whole_validity, 0, count);
    tcase_add_loop_test(t, test_no_jitter_leads_out_of_the_bounds, 0, count);
    tcase_add_test(t, test_one_that_ran_out_is_due_at_its_end);
    suite_add_tcase(s, t);
    return run_suite(s);
}
