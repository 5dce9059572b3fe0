/* How many connections a configuration and a descriptor limit make. */
#include "sidecar/config/places.h"

#include "common/loop/descriptors.h"
#include "tests/support/descriptors.h"
#include "tests/support/runner.h"

#include <sys/resource.h>
#include <unistd.h>

static struct place_wishes wishes(size_t routes, size_t workers)
{
    return (struct place_wishes){.routes = routes, .workers = workers};
}

START_TEST(test_all_connections_stay_within_the_limit_and_a_reserve_is_kept)
{
    static const size_t limits[] = {64, 100, 256, 1024, 4096, 20000, 65536, 1u << 20};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (size_t routes = 1; routes <= 3; routes++) {
            struct place_wishes w = wishes(routes, 1);
            struct place_limits p = place_limits_of(w, limits[i]);
            ck_assert_uint_ge(p.total, 2);
            size_t taken = PLACES_PER_CONNECTION * p.total + 2 * descriptors_http_places(limits[i]);
            ck_assert_uint_le(taken + 40, limits[i]);
            ck_assert_uint_ge(p.total, limits[i] > 200 ? limits[i] / 4 : 2);
            ck_assert_uint_le(p.per_listener, p.total);
            ck_assert(routes == 1 || p.per_listener < p.total || p.total < 4);
            ck_assert_uint_le(p.newcomers, p.total);
            ck_assert(p.newcomers < p.total || p.total <= 16);
            ck_assert_uint_ge(p.newcomers, 1);
            ck_assert_uint_ge(p.per_source, 1);
            ck_assert_uint_le(p.per_source, p.newcomers);
        }
    }
}
END_TEST

START_TEST(test_what_is_configured_is_held_and_never_more_than_the_descriptors_allow)
{
    struct place_wishes w = wishes(2, 1);
    w.total = 100;
    struct place_limits p = place_limits_of(w, 20000);
    ck_assert_uint_eq(p.total, 100);
    ck_assert_uint_eq(p.per_listener, 75);
    ck_assert_uint_eq(p.newcomers, 75);
    ck_assert_uint_eq(p.per_source, 38);
    w.per_listener = 90;
    w.per_source = 7;
    p = place_limits_of(w, 20000);
    ck_assert_uint_eq(p.per_listener, 90);
    ck_assert_uint_eq(p.per_source, 7);
    w.total = 1000000;
    w.per_listener = 2000000;
    w.per_source = 3000000;
    p = place_limits_of(w, 1024);
    ck_assert_uint_eq(p.total, places_within(w, 1024));
    ck_assert_uint_eq(p.per_listener, p.total);
    ck_assert_uint_eq(p.per_source, p.newcomers);
    ck_assert_uint_le(PLACES_PER_CONNECTION * p.total, 1024);
}
END_TEST

START_TEST(test_handshakes_under_way_have_a_bound_however_many_descriptors_there_are)
{
    struct place_wishes w = wishes(1, 1);
    ck_assert_uint_eq(place_limits_of(w, 1u << 20).newcomers, PLACES_NEWCOMERS_MAX);
}
END_TEST

START_TEST(test_each_worker_has_its_part_of_the_newcomers)
{
    struct place_wishes w = wishes(1, 4);
    w.total = 1000;
    w.per_source = 10;
    struct place_limits p = place_limits_of(w, 20000);
    ck_assert_uint_eq(p.total, 1000); /* counted by all together */
    ck_assert_uint_eq(p.newcomers, 188);
    ck_assert_uint_eq(p.per_source, 3);
}
END_TEST

START_TEST(test_what_is_needed_is_just_enough)
{
    for (size_t workers = 1; workers <= 64; workers *= 4) {
        for (size_t wanted = 0; wanted < 9000; wanted = wanted * 3 + 1) {
            struct place_wishes w = wishes(3, workers);
            size_t need = places_need(w, wanted);
            ck_assert_uint_ge(places_within(w, need), wanted);
            ck_assert_uint_gt(places_within(w, need), 0);
            ck_assert(places_within(w, need - 1) < wanted || places_within(w, need - 1) == 0);
        }
    }
    struct place_wishes w = wishes(1, 1);
    ck_assert_uint_le(places_need(w, 0), 64);
}
END_TEST

START_TEST(test_the_limit_goes_up_to_what_the_system_allows_less_what_was_left_open)
{
    struct rlimit files;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = 300;
    files.rlim_max = 500;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &files), 0);
    ck_assert_uint_eq(descriptors_limit(), 500);
    size_t before = descriptors_raise();
    ck_assert_uint_eq(before, 500 - (open_descriptors() - 3));
    int left_open = dup(0);
    ck_assert_uint_eq(descriptors_raise(), before - 1);
    close(left_open);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &files), 0);
    ck_assert_uint_eq(files.rlim_cur, 500);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("places");
    TCase *t = tcase_create("places");
    tcase_add_test(t, test_all_connections_stay_within_the_limit_and_a_reserve_is_kept);
    tcase_add_test(t, test_what_is_configured_is_held_and_never_more_than_the_descriptors_allow);
    tcase_add_test(t, test_handshakes_under_way_have_a_bound_however_many_descriptors_there_are);
    tcase_add_test(t, test_each_worker_has_its_part_of_the_newcomers);
    tcase_add_test(t, test_what_is_needed_is_just_enough);
    tcase_add_test(t, test_the_limit_goes_up_to_what_the_system_allows_less_what_was_left_open);
    suite_add_tcase(s, t);
    return run_suite(s);
}
