/* Counting: slots, labels, reasons, open labels and their cap. */
#define METRICS_COMPONENT "test"
#include "common/metric/metrics_table.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <stdio.h>

enum { M_CALLS = COMMON_METRIC_COUNT, M_TIME, M_LEVEL, M_PAIR, M_SPENT, TABLE_COUNT };

static const char *const color_values[] = {"red", "blue"};
static const char *const code_values[] = {"Fine", "Late", "Internal"};
static const err_t reason_errors[] = {ERR_OK, ERR_TIMEOUT};
static const double bounds[] = {.001, .1, 1};

/* clang-format off */
static const struct metric_family table[TABLE_COUNT] = {
#include "common/metric/metrics.def"
    METRIC(CALLS, COUNTER, "calls_total", "", "Calls.", NO_BUCKETS,
           METRIC_VALUES("color", color_values), METRIC_ERRORS("reason", reason_errors))
    METRIC(TIME, HISTOGRAM, "time_seconds", "seconds", "Time.", BUCKETS(bounds), L_RESULT)
    METRIC(LEVEL, GAUGE, "level", "", "Level.", NO_BUCKETS, L_TRUST_DOMAIN, L_RESULT)
    METRIC(PAIR, COUNTER, "pair_total", "", "Pair.", NO_BUCKETS, METRIC_VALUES("code", code_values),
           METRIC_TIED_ERRORS("reason", reason_errors))
    METRIC(SPENT, COUNTER, "spent_seconds_total", "seconds", "Spent.", NO_BUCKETS)
};
/* clang-format on */

static struct metrics *m;

static void setup(void)
{
    ck_assert_int_eq(metrics_new(table, TABLE_COUNT, "t_", &m, NULL), ERR_OK);
}

static void teardown(void)
{
    metrics_free(m);
}

START_TEST(test_each_combination_of_labels_counts_alone)
{
    for (size_t a = 0; a < 2; a++) {
        for (size_t b = 0; b < 3; b++)
            metric_add(m, M_CALLS, a, b, 0, 1 + a * 3 + b);
    }
    for (size_t a = 0; a < 2; a++) {
        for (size_t b = 0; b < 3; b++)
            ck_assert_uint_eq(metric_read(m, M_CALLS, a, b, 0), 1 + a * 3 + b);
    }
    ck_assert_uint_eq(metric_read(m, M_PAIR, 0, 0, 0), 0);
    ck_assert_uint_eq(metric_read(m, M_TIME, 0, 0, 0), 0);
}
END_TEST

START_TEST(test_a_gauge_is_set_and_moved_below_zero)
{
    size_t td = metric_dynamic(m, M_LEVEL, "example.org");
    metric_set(m, M_LEVEL, td, 0, 0, 1.5);
    metric_move(m, M_LEVEL, td, 0, 0, -3);
    ck_assert(metric_slot(m, M_LEVEL, (size_t[3]){td, 0, 0}, 0) == -1.5);
}
END_TEST

START_TEST(test_a_duration_falls_into_the_first_bucket_that_holds_it)
{
    static const uint64_t ns[] = {0, 1000000, 1000001, 100000000, 999999999, 1000000001};
    static const double want[] = {2, 2, 1, 1};
    for (size_t i = 0; i < METRIC_COUNT_OF(ns); i++)
        metric_observe_ns(m, M_TIME, 1, 0, 0, ns[i]);
    size_t index[3] = {1, 0, 0};
    for (size_t i = 0; i < 4; i++)
        ck_assert(metric_slot(m, M_TIME, index, i) == want[i]);
    ck_assert_double_eq_tol(metric_slot(m, M_TIME, index, 4), 2.102000001, 1e-9);
    ck_assert_uint_eq(metric_read(m, M_TIME, 1, 0, 0), 6);
    ck_assert_uint_eq(metric_read(m, M_TIME, 0, 0, 0), 0);
}
END_TEST

START_TEST(test_counters_of_seconds_count_nanoseconds)
{
    metric_mirror(m, M_SPENT, 0, 0, 0, 2500000000);
    ck_assert(metric_slot(m, M_SPENT, (size_t[3]){0}, 0) == 2.5);
}
END_TEST

START_TEST(test_an_error_outside_the_list_is_counted_as_other)
{
    ck_assert_uint_eq(metric_reason(m, M_CALLS, ERR_TIMEOUT), 1);
    ck_assert_uint_eq(metric_reason(m, M_CALLS, ERR_OK), 0);
    ck_assert_uint_eq(metric_reason(m, M_CALLS, ERR_KEY), 2);
    ck_assert_str_eq(metric_label_text(m, M_CALLS, 1, 1), "timeout");
    ck_assert_str_eq(metric_label_text(m, M_CALLS, 1, 2), "other");
    ck_assert_uint_eq(metric_reason(m, M_PAIR, ERR_KEY), 2);
}
END_TEST

START_TEST(test_open_labels_past_the_cap_become_other_and_are_counted)
{
    char name[32];
    for (size_t i = 0; i < METRIC_DYNAMIC_MAX; i++) {
        snprintf(name, sizeof name, "td-%zu.test", i);
        ck_assert_uint_eq(metric_dynamic(m, M_LEVEL, name), i);
        ck_assert_uint_eq(metric_dynamic(m, M_LEVEL, name), i);
    }
    ck_assert_uint_eq(metric_label_values(m, M_LEVEL, 0), METRIC_DYNAMIC_MAX);
    ck_assert_uint_eq(metric_dynamic(m, M_LEVEL, "one.more"), METRIC_DYNAMIC_MAX);
    ck_assert_str_eq(metric_label_text(m, M_LEVEL, 0, METRIC_DYNAMIC_MAX), "other");
    ck_assert_uint_eq(metric_label_values(m, M_LEVEL, 0), METRIC_DYNAMIC_MAX + 1);
    ck_assert_uint_eq(metric_read(m, M_METRICS_SERIES_DROPPED, 0, 0, 0), 1);
    metric_set(m, M_LEVEL, METRIC_DYNAMIC_MAX, 1, 0, 7);
    ck_assert_uint_eq(metric_read(m, M_LEVEL, METRIC_DYNAMIC_MAX, 1, 0), 7);
}
END_TEST

START_TEST(test_without_metrics_nothing_is_counted_and_nothing_breaks)
{
    metric_add(NULL, M_CALLS, 0, 0, 0, 1);
    metric_set(NULL, M_LEVEL, 0, 0, 0, 1);
    metric_move(NULL, M_LEVEL, 0, 0, 0, 1);
    metric_observe_ns(NULL, M_TIME, 0, 0, 0, 1);
    metric_mirror(NULL, M_SPENT, 0, 0, 0, 1);
    ck_assert_uint_eq(metric_read(NULL, M_CALLS, 0, 0, 0), 0);
    ck_assert_uint_eq(metric_reason(NULL, M_CALLS, ERR_KEY), 0);
    ck_assert_uint_eq(metric_dynamic(NULL, M_LEVEL, "x"), 0);
}
END_TEST

static void *count_many(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < 20000; i++) {
        metric_add(m, M_CALLS, 0, 0, 0, 1);
        metric_move(m, M_LEVEL, 0, 0, 0, i % 2 == 0 ? 2 : -1);
        metric_observe_ns(m, M_TIME, 0, 0, 0, 5);
    }
    return NULL;
}

START_TEST(test_threads_that_count_together_lose_nothing)
{
    pthread_t thread[3];
    ck_assert_uint_eq(metric_dynamic(m, M_LEVEL, "example.org"), 0);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&thread[i], NULL, count_many, NULL), 0);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_join(thread[i], NULL), 0);
    ck_assert_uint_eq(metric_read(m, M_CALLS, 0, 0, 0), 60000);
    ck_assert_uint_eq(metric_read(m, M_LEVEL, 0, 0, 0), 30000);
    ck_assert_uint_eq(metric_read(m, M_TIME, 0, 0, 0), 60000);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    struct metrics *one = NULL;
    for (long n = 0;; n++) {
        mem_fail_after(n);
        err_t err = metrics_new(table, TABLE_COUNT, "t_", &one, NULL);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        if (failed == 0) {
            ck_assert_int_eq(err, ERR_OK);
            break;
        }
        ck_assert_int_eq(err, ERR_NO_MEMORY);
        ck_assert_ptr_null(one);
    }
    mem_fail_after(0);
    ck_assert_uint_eq(metric_dynamic(one, M_LEVEL, "example.org"), METRIC_DYNAMIC_MAX);
    mem_fail_after(-1);
    metrics_free(one);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metric");
    TCase *t = tcase_create("metric");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_each_combination_of_labels_counts_alone);
    tcase_add_test(t, test_a_gauge_is_set_and_moved_below_zero);
    tcase_add_test(t, test_a_duration_falls_into_the_first_bucket_that_holds_it);
    tcase_add_test(t, test_counters_of_seconds_count_nanoseconds);
    tcase_add_test(t, test_an_error_outside_the_list_is_counted_as_other);
    tcase_add_test(t, test_open_labels_past_the_cap_become_other_and_are_counted);
    tcase_add_test(t, test_without_metrics_nothing_is_counted_and_nothing_breaks);
    tcase_add_test(t, test_threads_that_count_together_lose_nothing);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}
