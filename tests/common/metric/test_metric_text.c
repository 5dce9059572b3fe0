/* Exposition, byte for byte: text 0.0.4, OpenMetrics 1.0, and which one an Accept header gets. */
#define METRICS_COMPONENT "test"
#include "common/metric/metrics_table.h"

#include "common/base/mem.h"
#include "common/metric/metric_text.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <stdlib.h>

enum { M_CALLS = COMMON_METRIC_COUNT, M_TIME, M_LEVEL, M_PAIR, M_SPENT, TABLE_COUNT };

static const char *const side_values[] = {"server", "client"};
static const char *const code_values[] = {"Fine", "Internal"};
static const err_t reason_errors[] = {ERR_OK};
static const double bounds[] = {.0005, .25, 1};

/* clang-format off */
static const struct metric_family table[TABLE_COUNT] = {
#include "common/metric/metrics.def"
    METRIC(CALLS, COUNTER, "calls_total", "", "Calls \\ of \"us\"\nand them.", NO_BUCKETS,
           METRIC_VALUES("side", side_values))
    METRIC(TIME, HISTOGRAM, "time_seconds", "seconds", "Time.", BUCKETS(bounds))
    METRIC(LEVEL, GAUGE, "level_bytes", "bytes", "Level.", NO_BUCKETS, L_TRUST_DOMAIN)
    METRIC(PAIR, COUNTER, "pair_total", "", "Pair.", NO_BUCKETS, METRIC_VALUES("code", code_values),
           METRIC_TIED_ERRORS("reason", reason_errors))
    METRIC(SPENT, COUNTER, "spent_seconds_total", "seconds", "Spent.", NO_BUCKETS)
};
/* clang-format on */

static struct metrics *m;
static struct buf out;

static void setup(void)
{
    /* The families of this test only: the common ones have a test of their own. */
    ck_assert_int_eq(
        metrics_new(table + COMMON_METRIC_COUNT, TABLE_COUNT - COMMON_METRIC_COUNT, "t_", &m, NULL),
        ERR_OK);
    buf_init(&out, METRIC_TEXT_MAX);
    metric_add(m, 0, 1, 0, 0, 3);
    metric_observe_ns(m, 1, 0, 0, 0, 400000);
    metric_observe_ns(m, 1, 0, 0, 0, 250000000);
    metric_observe_ns(m, 1, 0, 0, 0, 7100000000);
    metric_set(m, 2, metric_dynamic(m, 2, "a\"b\\c\nd\xff"), 0, 0, -0.5);
    metric_add(m, 3, 1, 0, 0, 9);
    metric_mirror(m, 4, 0, 0, 0, 12345678901);
}

static void teardown(void)
{
    buf_done(&out);
    metrics_free(m);
}

static void check_page(enum metric_format format, const char *want)
{
    ck_assert_int_eq(metric_text_write(m, format, &out), ERR_OK);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    ck_assert_str_eq((const char *)out.data, want);
}

START_TEST(test_text_004_is_as_prometheus_documents_it)
{
    check_page(METRIC_TEXT, "# HELP t_calls_total Calls \\\\ of \"us\"\\nand them.\n"
                            "# TYPE t_calls_total counter\n"
                            "t_calls_total{side=\"server\"} 0\n"
                            "t_calls_total{side=\"client\"} 3\n"
                            "# HELP t_time_seconds Time.\n"
                            "# TYPE t_time_seconds histogram\n"
                            "t_time_seconds_bucket{le=\"0.0005\"} 1\n"
                            "t_time_seconds_bucket{le=\"0.25\"} 2\n"
                            "t_time_seconds_bucket{le=\"1.0\"} 2\n"
                            "t_time_seconds_bucket{le=\"+Inf\"} 3\n"
                            "t_time_seconds_sum 7.3504\n"
                            "t_time_seconds_count 3\n"
                            "# HELP t_level_bytes Level.\n"
                            "# TYPE t_level_bytes gauge\n"
                            "t_level_bytes{trust_domain=\"a\\\"b\\\\c\\nd?\"} -0.5\n"
                            "# HELP t_pair_total Pair.\n"
                            "# TYPE t_pair_total counter\n"
                            "t_pair_total{code=\"Fine\",reason=\"ok\"} 0\n"
                            "t_pair_total{code=\"Internal\",reason=\"other\"} 9\n"
                            "# HELP t_spent_seconds_total Spent.\n"
                            "# TYPE t_spent_seconds_total counter\n"
                            "t_spent_seconds_total 12.345678901\n");
}
END_TEST

START_TEST(test_openmetrics_has_units_short_family_names_and_an_end)
{
    check_page(METRIC_OPENMETRICS, "# TYPE t_calls counter\n"
                                   "# HELP t_calls Calls \\\\ of \\\"us\\\"\\nand them.\n"
                                   "t_calls_total{side=\"server\"} 0\n"
                                   "t_calls_total{side=\"client\"} 3\n"
                                   "# TYPE t_time_seconds histogram\n"
                                   "# UNIT t_time_seconds seconds\n"
                                   "# HELP t_time_seconds Time.\n"
                                   "t_time_seconds_bucket{le=\"0.0005\"} 1\n"
                                   "t_time_seconds_bucket{le=\"0.25\"} 2\n"
                                   "t_time_seconds_bucket{le=\"1.0\"} 2\n"
                                   "t_time_seconds_bucket{le=\"+Inf\"} 3\n"
                                   "t_time_seconds_sum 7.3504\n"
                                   "t_time_seconds_count 3\n"
                                   "# TYPE t_level_bytes gauge\n"
                                   "# UNIT t_level_bytes bytes\n"
                                   "# HELP t_level_bytes Level.\n"
                                   "t_level_bytes{trust_domain=\"a\\\"b\\\\c\\nd?\"} -0.5\n"
                                   "# TYPE t_pair counter\n"
                                   "# HELP t_pair Pair.\n"
                                   "t_pair_total{code=\"Fine\",reason=\"ok\"} 0\n"
                                   "t_pair_total{code=\"Internal\",reason=\"other\"} 9\n"
                                   "# TYPE t_spent_seconds counter\n"
                                   "# UNIT t_spent_seconds seconds\n"
                                   "# HELP t_spent_seconds Spent.\n"
                                   "t_spent_seconds_total 12.345678901\n"
                                   "# EOF\n");
}
END_TEST

START_TEST(test_build_info_and_process_names_follow_their_own_rules)
{
    struct metrics *common = NULL;
    ck_assert_int_eq(metrics_new(table, COMMON_METRIC_COUNT, "t_", &common, NULL), ERR_OK);
    metric_set(common, M_BUILD_INFO, 0, 0, 0, 1);
    ck_assert_int_eq(metric_text_write(common, METRIC_OPENMETRICS, &out), ERR_OK);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    const char *page = (const char *)out.data;
    ck_assert_ptr_nonnull(strstr(page, "# TYPE t_build info\n"));
    ck_assert_ptr_nonnull(strstr(page, "t_build_info{version=\"" SPINDLE_VERSION "\",revision=\""));
    ck_assert_ptr_nonnull(strstr(page, "component=\"test\",tls=\"wolfSSL 5."));
    ck_assert_ptr_nonnull(strstr(page, "\nprocess_open_fds 0\n"));
    ck_assert_ptr_null(strstr(page, "t_process_"));
    metrics_free(common);
}
END_TEST

static const struct {
    const char *accept;
    enum metric_format want;
} accepts[] = {
    {"", METRIC_TEXT},
    {"*/*", METRIC_TEXT},
    {"text/html,application/xhtml+xml,*/*;q=0.8", METRIC_TEXT},
    {"text/plain", METRIC_TEXT},
    {"application/openmetrics-text", METRIC_OPENMETRICS},
    {"application/openmetrics-text; version=1.0.0", METRIC_OPENMETRICS},
    {"Application/OpenMetrics-Text; Version=1.0.0; Q=0.1", METRIC_OPENMETRICS},
    {"application/openmetrics-text;version=0.0.1", METRIC_TEXT},
    {"application/openmetrics-text;version=2.0.0", METRIC_TEXT},
    {"application/openmetrics-text;q=0", METRIC_TEXT},
    {"application/openmetrics-text;q=2", METRIC_TEXT},
    {"application/openmetrics-text;q=nan", METRIC_TEXT},
    {"application/openmetrics-text;q=", METRIC_TEXT},
    {"application/openmetrics-text;q=0.2,text/plain;version=0.0.4;q=0.9", METRIC_TEXT},
    {"text/plain;q=0.5, application/openmetrics-text;q=0.75", METRIC_OPENMETRICS},
    {",,;;,=", METRIC_TEXT},
    /* Prometheus 2.42 */
    {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
     METRIC_OPENMETRICS},
    /* Prometheus 3 */
    {"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
     "application/openmetrics-text;version=0.0.1;q=0.5,text/"
     "plain;version=1.0.0;escaping=allow-utf-8;"
     "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
     METRIC_OPENMETRICS},
};

START_TEST(test_an_accept_header_gets_what_it_asks_for)
{
    ck_assert_msg(metric_format_of(slice_str(accepts[_i].accept)) == accepts[_i].want, "%s",
                  accepts[_i].accept);
}
END_TEST

START_TEST(test_content_types_are_those_prometheus_3_insists_on)
{
    ck_assert_str_eq(metric_format_type(METRIC_TEXT), "text/plain; version=0.0.4; charset=utf-8");
    ck_assert_str_eq(metric_format_type(METRIC_OPENMETRICS),
                     "application/openmetrics-text; version=1.0.0; charset=utf-8");
}
END_TEST

START_TEST(test_a_page_past_its_cap_is_an_error)
{
    struct buf small;
    buf_init(&small, 100);
    ck_assert_int_eq(metric_text_write(m, METRIC_TEXT, &small), ERR_TOO_LARGE);
    buf_done(&small);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    for (long n = 0;; n++) {
        buf_done(&out);
        mem_fail_after(n);
        err_t err = metric_text_write(m, METRIC_TEXT, &out);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        if (!failed)
            break;
    }
}
END_TEST

static void set_level(void *arg)
{
    metric_set(arg, 2, 0, 0, 0, 42);
}

START_TEST(test_hooks_run_before_each_page)
{
    ck_assert_int_eq(metrics_on_scrape(m, set_level, m, NULL), ERR_OK);
    ck_assert_int_eq(metric_text_write(m, METRIC_TEXT, &out), ERR_OK);
    ck_assert_uint_eq(metric_read(m, 2, 0, 0, 0), 42);
    for (int i = 0; i < 7; i++)
        ck_assert_int_eq(metrics_on_scrape(m, set_level, m, NULL), ERR_OK);
    ck_assert_int_eq(metrics_on_scrape(m, set_level, m, NULL), ERR_LIMIT);
}
END_TEST

START_TEST(test_the_reference_page_lists_families_labels_and_buckets)
{
    ck_assert_int_eq(metric_docs_write(m, "Metrics of test", &out), ERR_OK);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    const char *page = (const char *)out.data;
    ck_assert_ptr_nonnull(strstr(page, "# Metrics of test\n"));
    ck_assert_ptr_nonnull(strstr(page, "| `t_time_seconds` | histogram |  | Time. |\n"));
    ck_assert_ptr_nonnull(strstr(page, "| `t_pair_total` | counter | code, reason | Pair. |\n"));
    ck_assert_ptr_nonnull(strstr(page, "| `calls_total` | side | server, client |\n"));
    ck_assert_ptr_nonnull(strstr(page, "| `time_seconds` | 0.0005 0.25 1 |\n"));
}
END_TEST

/* Any double reads back as itself, in the fewest digits that do. */
START_TEST(test_numbers_read_back_as_themselves)
{
    static const double values[] = {0,
                                    -0.5,
                                    7.3504,
                                    1e-9,
                                    1.5e-10,
                                    0.1 + 0.2,
                                    1790000000.5,
                                    12345678.901234567,
                                    123456789012345.6,
                                    999999999999999,
                                    1e15,
                                    1.8446744073709552e19,
                                    -1e300,
                                    5e-324};
    for (size_t i = 0; i < METRIC_COUNT_OF(values); i++) {
        char want[64];
        metric_set(m, 2, 0, 0, 0, values[i]);
        buf_clear(&out);
        ck_assert_int_eq(metric_text_series(m, 2, "", METRIC_LEAVE_NONE, &out), ERR_OK);
        ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
        const char *got = strrchr((const char *)out.data, ' ') + 1;
        ck_assert_msg(strtod(got, NULL) == values[i], "%.17g became %s", values[i], got);
        snprintf(want, sizeof want, "%.17g", values[i]);
        ck_assert_msg(strlen(got) <= strlen(want) + 5, "%s is written as %s", want, got);
    }
}
END_TEST

START_TEST(test_short_decimals_stay_short)
{
    static const struct {
        double value;
        const char *want;
    } cases[] = {{.0005, "0.0005"},
                 {-2.5, "-2.5"},
                 {1790000000.25, "1790000000.25"},
                 {.1, "0.1"},
                 {.000000001, "0.000000001"},
                 {0.0 / 0.0, "NaN"},
                 {1.0 / 0.0, "+Inf"},
                 {-1.0 / 0.0, "-Inf"}};
    for (size_t i = 0; i < METRIC_COUNT_OF(cases); i++) {
        metric_set(m, 2, 0, 0, 0, cases[i].value);
        buf_clear(&out);
        ck_assert_int_eq(metric_text_series(m, 2, "", METRIC_LEAVE_NONE, &out), ERR_OK);
        out.data[out.len - 1] = '\0';
        ck_assert_str_eq(strrchr((const char *)out.data, ' ') + 1, cases[i].want);
    }
}
END_TEST

START_TEST(test_labels_of_the_caller_stand_before_those_of_the_family)
{
    ck_assert_int_eq(metric_text_series(m, 0, "name=\"web\"", METRIC_LEAVE_NONE, &out), ERR_OK);
    ck_assert_int_eq(metric_text_series(m, 4, "name=\"web\"", METRIC_LEAVE_NONE, &out), ERR_OK);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    ck_assert_str_eq((const char *)out.data, "t_calls_total{name=\"web\",side=\"server\"} 0\n"
                                             "t_calls_total{name=\"web\",side=\"client\"} 3\n"
                                             "t_spent_seconds_total{name=\"web\"} 12.345678901\n");
}
END_TEST

START_TEST(test_other_is_one_series_however_few_there_are_before_it)
{
    metric_set(m, 2, metric_other(m, 2), 0, 0, 4);
    ck_assert_int_eq(metric_text_series(m, 2, "", METRIC_LEAVE_NONE, &out), ERR_OK);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    ck_assert_str_eq((const char *)out.data,
                     "t_level_bytes{trust_domain=\"a\\\"b\\\\c\\nd?\"} -0.5\n"
                     "t_level_bytes{trust_domain=\"other\"} 4\n");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metric_text");
    TCase *t = tcase_create("metric_text");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_text_004_is_as_prometheus_documents_it);
    tcase_add_test(t, test_openmetrics_has_units_short_family_names_and_an_end);
    tcase_add_test(t, test_build_info_and_process_names_follow_their_own_rules);
    tcase_add_loop_test(t, test_an_accept_header_gets_what_it_asks_for, 0,
                        METRIC_COUNT_OF(accepts));
    tcase_add_test(t, test_numbers_read_back_as_themselves);
    tcase_add_test(t, test_short_decimals_stay_short);
    tcase_add_test(t, test_labels_of_the_caller_stand_before_those_of_the_family);
    tcase_add_test(t, test_other_is_one_series_however_few_there_are_before_it);
    tcase_add_test(t, test_content_types_are_those_prometheus_3_insists_on);
    tcase_add_test(t, test_a_page_past_its_cap_is_an_error);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    tcase_add_test(t, test_hooks_run_before_each_page);
    tcase_add_test(t, test_the_reference_page_lists_families_labels_and_buckets);
    suite_add_tcase(s, t);
    return run_suite(s);
}
