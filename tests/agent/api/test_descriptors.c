/* How the agent shares out its descriptors. */
#include "agent/api/descriptors.h"

#include "common/loop/descriptors.h"
#include "tests/support/runner.h"

START_TEST(test_all_sockets_stay_within_the_limit_and_a_reserve_is_kept)
{
    static const size_t limits[] = {62, 64, 100, 256, 1024, 20000, 1u << 20};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct descriptor_limits d = descriptors_share_out(limits[i], 0);
        ck_assert_uint_ge(d.api.total, 2);
        ck_assert_uint_ge(d.share.total, 1);
        size_t taken = 2 * d.api.total + 3 * d.share.total + 2 * d.http_places;
        ck_assert_uint_le(taken + 48, limits[i]);
        ck_assert_uint_le(d.api.per_user, d.api.total);
        ck_assert(d.api.per_user < d.api.total || d.api.total < 16); /* others have some */
    }
    ck_assert_uint_eq(descriptors_share_out(20000, 0).api.per_user, 8099);
    ck_assert_uint_eq(descriptors_share_out(20000, 7).api.per_user, 7);
}
END_TEST

START_TEST(test_too_few_to_run_are_no_connections)
{
    ck_assert_uint_eq(descriptors_share_out(61, 0).api.total, 0);
    ck_assert_uint_eq(descriptors_share_out(0, 0).api.total, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("descriptors");
    TCase *t = tcase_create("descriptors");
    tcase_add_test(t, test_all_sockets_stay_within_the_limit_and_a_reserve_is_kept);
    tcase_add_test(t, test_too_few_to_run_are_no_connections);
    suite_add_tcase(s, t);
    return run_suite(s);
}
