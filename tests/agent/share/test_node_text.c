/* One text for all sidecars of a node: a block a family, a bad page left out. */
#include "agent/share/node_text.h"
#include "agent/telemetry/metrics.h"
#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "common/share/sidecar_families.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WEB "spiffe://example.org/web"
enum { SIDECARS = 3 };

static struct metrics *m, *sidecar[SIDECARS];
static struct page_store *store;
static int page[SIDECARS];
static struct buf out;
static struct node_text text;

static size_t family_of(const char *name)
{
    size_t i = 0;
    while (strcmp(sidecar_families[i].name, name) != 0)
        i++;
    return i;
}

static void setup(void)
{
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "t_", &m, NULL), ERR_OK);
    ck_assert_int_eq(page_store_new(m, 8, &store, NULL), ERR_OK);
    buf_init(&out, 1u << 20);
    for (size_t i = 0; i < SIDECARS; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%zu", i);
        ck_assert_int_eq(
            metrics_new(sidecar_families, sidecar_families_count(), "s_", &sidecar[i], NULL),
            ERR_OK);
        page[i] = page_store_give(store, WEB, name, -1, 0);
        ck_assert_int_eq(metrics_adopt_page(sidecar[i], fcntl(page[i], F_DUPFD_CLOEXEC, 0), NULL),
                         ERR_OK);
        metric_set(sidecar[i], M_BUILD_INFO, 0, 0, 0, 1);
        metric_add(sidecar[i], family_of("mtls_connections_total"), 0, 0, 0, 10 + i);
    }
}

static void teardown(void)
{
    buf_done(&out);
    page_store_free(store);
    for (size_t i = 0; i < SIDECARS; i++)
        metrics_free(sidecar[i]);
    metrics_free(m);
}

static err_t start(enum metric_format format)
{
    struct page **held = NULL;
    size_t count = 0;
    ck_assert_int_eq(page_store_hold(store, 0, &held, &count, NULL), ERR_OK);
    struct node_page *pages = mem_array(count, sizeof *pages);
    for (size_t i = 0; i < count; i++) {
        pages[i] = (struct node_page){.page = held[i], .is_here = held[i]->users > 0};
        page_unref(held[i]); /* the store keeps it */
    }
    mem_free(held);
    return node_text_start(&text, m, format, pages, count, NULL);
}

static const char *scrape(enum metric_format format)
{
    buf_clear(&out);
    ck_assert_int_eq(start(format), ERR_OK);
    ck_assert_int_eq(node_text_write(&text, &out), ERR_OK);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    out.len--;
    node_text_done(&text);
    return (const char *)out.data;
}

static void check_has(const char *line, bool want)
{
    char whole[512];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    ck_assert_msg((strstr((const char *)out.data, whole) != NULL) == want, "%s %s", line,
                  want ? "is missing" : "is there");
}

static size_t count_of(const char *word)
{
    size_t n = 0;
    for (const char *at = strstr((const char *)out.data, word); at != NULL;
         at = strstr(at + 1, word))
        n++;
    return n;
}

START_TEST(test_each_family_is_one_block_with_all_sidecars)
{
    (void)scrape(METRIC_TEXT);
    ck_assert_uint_eq(count_of("# TYPE t_mtls_connections_total counter\n"
                               "t_mtls_connections_total{spiffe_id=\"" WEB "\",name=\"n0\"} 10\n"
                               "t_mtls_connections_total{spiffe_id=\"" WEB "\",name=\"n1\"} 11\n"
                               "t_mtls_connections_total{spiffe_id=\"" WEB "\",name=\"n2\"} 12\n"),
                      1);
    ck_assert_uint_eq(count_of("# TYPE t_mtls_connections_total "), 1);
}
END_TEST

/* What both programs have: the agent's series without labels of a sidecar, theirs behind it. */
START_TEST(test_families_of_both_programs_are_one_block)
{
    (void)scrape(METRIC_TEXT);
    ck_assert_uint_eq(count_of("# TYPE process_open_fds gauge\nprocess_open_fds 0\n"
                               "process_open_fds{spiffe_id=\"" WEB "\",name=\"n0\"} 0\n"),
                      1);
    ck_assert_uint_eq(count_of("# TYPE process_open_fds "), 1);
    ck_assert_uint_eq(count_of("\nt_build_info{spiffe_id=\"" WEB
                               "\",name=\"n1\",version=\"" SPINDLE_VERSION "\","),
                      1);
    ck_assert_uint_eq(count_of("component=\"sidecar\""), SIDECARS);
}
END_TEST

START_TEST(test_a_family_name_stands_for_one_family)
{
    for (size_t i = 0; i < AGENT_METRIC_COUNT; i++) {
        for (size_t j = 0; j < sidecar_families_count(); j++) {
            if (strcmp(agent_metrics[i].name, sidecar_families[j].name) == 0)
                ck_assert_uint_eq(metric_fingerprint(&agent_metrics[i]),
                                  metric_fingerprint(&sidecar_families[j]));
        }
    }
}
END_TEST

START_TEST(test_openmetrics_ends_with_its_mark_and_names_units)
{
    const char *all = scrape(METRIC_OPENMETRICS);
    ck_assert_str_eq(all + strlen(all) - 6, "# EOF\n");
    ck_assert_uint_eq(count_of("# EOF"), 1);
    ck_assert_uint_eq(count_of("# TYPE t_mtls_connections counter\n"), 1);
    ck_assert_uint_eq(count_of("# UNIT t_sidecar_connect_duration_seconds seconds\n"), 1);
}
END_TEST

START_TEST(test_causes_that_never_happened_have_no_series)
{
    size_t refused = family_of("sidecar_connections_refused_total");
    size_t duration = family_of("sidecar_connect_duration_seconds");
    metric_add(sidecar[1], refused, 1, metric_reason(sidecar[1], refused, ERR_LIMIT), 0, 2);
    metric_observe_ns(sidecar[2], duration, 0, 0, 0, 1000);
    (void)scrape(METRIC_TEXT);
    ck_assert_uint_eq(count_of("\nt_sidecar_connections_refused_total{"), 1);
    check_has("t_sidecar_connections_refused_total{spiffe_id=\"" WEB
              "\",name=\"n1\",direction=\"outbound\",reason=\"limit\"} 2",
              true);
    ck_assert_uint_eq(count_of("\nt_sidecar_connect_duration_seconds_count{"), 1);
    check_has("t_mtls_connection_failures_total{spiffe_id=\"" WEB "\",name=\"n0\"} 0", true);
}
END_TEST

START_TEST(test_a_sidecar_that_has_gone_keeps_its_counters_alone)
{
    metric_set(sidecar[0], family_of("sidecar_connections"), 0, 0, 0, 5);
    (void)scrape(METRIC_TEXT);
    check_has("t_sidecar_up{spiffe_id=\"" WEB "\",name=\"n0\"} 1", true);
    check_has("t_sidecar_connections{spiffe_id=\"" WEB "\",name=\"n0\",direction=\"inbound\"} 5",
              true);
    page_store_left(store, page[0], 0);
    (void)scrape(METRIC_TEXT);
    check_has("t_sidecar_up{spiffe_id=\"" WEB "\",name=\"n0\"} 0", true);
    check_has("t_sidecar_up{spiffe_id=\"" WEB "\",name=\"n1\"} 1", true);
    check_has("t_sidecar_connections{spiffe_id=\"" WEB "\",name=\"n0\",direction=\"inbound\"} 5",
              false);
    check_has("t_mtls_connections_total{spiffe_id=\"" WEB "\",name=\"n0\"} 10", true);
}
END_TEST

START_TEST(test_a_bad_page_is_left_out_and_the_others_are_right)
{
    char noise[4096];
    memset(noise, 0x5a, sizeof noise);
    ck_assert_int_eq(pwrite(page[1], noise, sizeof noise, 0), (ssize_t)sizeof noise);
    ck_assert_int_eq(start(METRIC_TEXT), ERR_OK);
    ck_assert_int_eq(node_text_write(&text, &out), ERR_OK);
    ck_assert_int_eq(text.page[0].err, ERR_OK);
    ck_assert_int_eq(text.page[1].err, ERR_PARSE);
    ck_assert_int_eq(text.page[2].err, ERR_OK);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    node_text_done(&text);
    ck_assert_uint_eq(count_of("name=\"n1\""), 0);
    check_has("t_mtls_connections_total{spiffe_id=\"" WEB "\",name=\"n0\"} 10", true);
    check_has("t_mtls_connections_total{spiffe_id=\"" WEB "\",name=\"n2\"} 12", true);
}
END_TEST

/* Gauges are any 64 bits. */
START_TEST(test_numbers_that_are_none_are_written_as_the_format_says)
{
    size_t connections = family_of("sidecar_connections");
    metric_set(sidecar[0], connections, 0, 0, 0, 0.0 / 0.0);
    metric_set(sidecar[1], connections, 0, 0, 0, 1.0 / 0.0);
    metric_set(sidecar[2], connections, 0, 0, 0, -1.0 / 0.0);
    metric_add(sidecar[2], family_of("mtls_connection_failures_total"), 0, 0, 0, UINT64_MAX);
    (void)scrape(METRIC_TEXT);
    check_has("t_sidecar_connections{spiffe_id=\"" WEB "\",name=\"n0\",direction=\"inbound\"} NaN",
              true);
    check_has("t_sidecar_connections{spiffe_id=\"" WEB "\",name=\"n1\",direction=\"inbound\"} +Inf",
              true);
    check_has("t_sidecar_connections{spiffe_id=\"" WEB "\",name=\"n2\",direction=\"inbound\"} -Inf",
              true);
    ck_assert_uint_eq(count_of("t_mtls_connection_failures_total{spiffe_id=\"" WEB
                               "\",name=\"n2\"} 1.8446744073709552e+19\n"),
                      1);
}
END_TEST

START_TEST(test_sidecars_for_which_there_is_no_room_are_left_out_whole)
{
    size_t all = strlen(scrape(METRIC_TEXT));
    buf_done(&out);
    buf_init(&out, all - 1000);
    ck_assert_int_eq(start(METRIC_TEXT), ERR_OK);
    ck_assert_int_eq(node_text_write(&text, &out), ERR_OK);
    ck_assert_uint_eq(text.dropped, 1);
    node_text_done(&text);
    ck_assert_int_eq(buf_append(&out, "", 1), ERR_OK);
    ck_assert_uint_eq(count_of("name=\"n2\""), 0);
    check_has("t_mtls_connections_total{spiffe_id=\"" WEB "\",name=\"n1\"} 11", true);
    ck_assert_uint_eq(count_of("# TYPE t_sidecar_up "), 1);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error_or_a_page_left_out)
{
    size_t wanted = strlen(scrape(METRIC_TEXT));
    for (long n = 0;; n++) {
        err_t err = ERR_NO_MEMORY;
        bool failed = false;
        buf_done(&out);
        mem_fail_after(n + 2); /* those of start() in this file */
        if (start(METRIC_TEXT) == ERR_OK)
            err = node_text_write(&text, &out);
        failed = mem_did_fail() != 0;
        mem_fail_after(-1);
        node_text_done(&text);
        if (!failed) {
            ck_assert_int_eq(err, ERR_OK);
            ck_assert_uint_eq(out.len, wanted);
            break;
        }
        ck_assert(err == ERR_NO_MEMORY || out.len < wanted);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("node_text");
    TCase *t = tcase_create("node_text");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_each_family_is_one_block_with_all_sidecars);
    tcase_add_test(t, test_families_of_both_programs_are_one_block);
    tcase_add_test(t, test_a_family_name_stands_for_one_family);
    tcase_add_test(t, test_openmetrics_ends_with_its_mark_and_names_units);
    tcase_add_test(t, test_causes_that_never_happened_have_no_series);
    tcase_add_test(t, test_a_sidecar_that_has_gone_keeps_its_counters_alone);
    tcase_add_test(t, test_a_bad_page_is_left_out_and_the_others_are_right);
    tcase_add_test(t, test_numbers_that_are_none_are_written_as_the_format_says);
    tcase_add_test(t, test_sidecars_for_which_there_is_no_room_are_left_out_whole);
    tcase_add_test(t, test_every_failed_allocation_is_an_error_or_a_page_left_out);
    suite_add_tcase(s, t);
    return run_suite(s);
}
