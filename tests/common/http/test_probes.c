/* /metrics, /live and /ready as a scraper gets them, and the process's own figures. */
#define METRICS_COMPONENT "test"
#include "common/metric/metrics_table.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/http/probes.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const struct metric_family table[] = {
#include "common/metric/metrics.def"
};
static const struct metric_label open_label[] = {L_RESULT, L_TRUST_DOMAIN}; /* not used here */

static uv_loop_t loop;
static struct metrics *m;
static struct process_metrics *process;
static struct probes *probes;
static bool ready, closed;
static const char *reason;

static bool is_ready(void *arg, struct buf *text)
{
    ck_assert_ptr_eq(arg, &ready);
    if (reason != NULL)
        ck_assert_int_eq(buf_append_str(text, reason), ERR_OK);
    return ready;
}

static void on_closed(void *arg)
{
    (void)arg;
    closed = true;
}

static void setup(void)
{
    struct address any;
    struct why why = {0};
    const struct probes_options opt = {.is_ready = is_ready, .arg = &ready};
    closed = ready = false;
    reason = NULL;
    ck_assert_uint_eq(METRIC_COUNT_OF(open_label), 2);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(metrics_new(table, COMMON_METRIC_COUNT, "spindle_", &m, NULL), ERR_OK);
    ck_assert_int_eq(process_metrics_new(m, &process, &why), ERR_OK);
    ck_assert_int_eq(address_parse(slice_str("127.0.0.1:0"), &any, NULL), ERR_OK);
    struct probes_options with = opt;
    with.metrics = m;
    ck_assert_msg(probes_open(&loop, &any, &with, &probes, &why) == ERR_OK, "%s", why_text(&why));
}

static void teardown(void)
{
    probes_close(probes, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    process_metrics_free(process);
    metrics_free(m);
}

/* The whole answer to one request, in a static buffer. */
static const char *get(const char *request)
{
    static char got[65536];
    struct address a;
    struct sockaddr_storage sa;
    socklen_t len;
    size_t have = 0;
    ssize_t n = -1;
    probes_address(probes, &a);
    ck_assert_int_eq(address_sockaddr(&a, &sa, &len), ERR_OK);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    shutdown(fd, SHUT_WR);
    while (n != 0) {
        uv_run(&loop, UV_RUN_NOWAIT);
        n = recv(fd, got + have, sizeof got - 1 - have, MSG_DONTWAIT);
        have += n > 0 ? (size_t)n : 0;
    }
    got[have] = '\0';
    close(fd);
    return got;
}

START_TEST(test_live_is_200_as_long_as_the_loop_runs)
{
    const char *got = get("GET /live HTTP/1.0\r\n\r\n");
    ck_assert_ptr_eq(strstr(got, "HTTP/1.1 200 OK\r\n"), got);
    ck_assert_ptr_nonnull(strstr(got, "\r\n\r\nlive\n"));
}
END_TEST

START_TEST(test_ready_says_yes_or_no_and_why)
{
    ck_assert_ptr_nonnull(
        strstr(get("GET /ready HTTP/1.0\r\n\r\n"), " 503 Service Unavailable\r\n"));
    reason = "no identity yet\n";
    ck_assert_ptr_nonnull(strstr(get("GET /ready HTTP/1.0\r\n\r\n"), "\r\n\r\nno identity yet\n"));
    ready = true;
    reason = NULL;
    const char *got = get("GET /ready HTTP/1.0\r\n\r\n");
    ck_assert_ptr_eq(strstr(got, "HTTP/1.1 200 OK\r\n"), got);
    ck_assert_ptr_nonnull(strstr(got, "\r\n\r\nready\n"));
}
END_TEST

START_TEST(test_metrics_come_in_the_format_asked_for)
{
    const char *got = get("GET /metrics HTTP/1.0\r\n\r\n");
    ck_assert_ptr_nonnull(
        strstr(got, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    ck_assert_ptr_nonnull(strstr(got, "\nspindle_log_dropped_total 0\n"));
    got = get("GET /metrics HTTP/1.0\r\nAccept: application/openmetrics-text\r\n\r\n");
    ck_assert_ptr_nonnull(strstr(
        got, "\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    ck_assert_str_eq(got + strlen(got) - 6, "# EOF\n");
}
END_TEST

START_TEST(test_the_process_figures_are_true)
{
    metrics_scrape(m);
    double fds = metric_slot(m, M_PROCESS_OPEN_FDS, (size_t[3]){0}, 0);
    int one = open("/dev/null", O_RDONLY | O_CLOEXEC);
    metrics_scrape(m);
    ck_assert(metric_slot(m, M_PROCESS_OPEN_FDS, (size_t[3]){0}, 0) == fds + 1);
    close(one);
    ck_assert_uint_eq(metric_read(m, M_BUILD_INFO, 0, 0, 0), 1);
    ck_assert_uint_gt(metric_read(m, M_PROCESS_RESIDENT_MEMORY, 0, 0, 0), 100000);
    ck_assert_uint_gt(metric_read(m, M_PROCESS_CPU, 0, 0, 0), 10000);
    ck_assert_uint_ge(metric_read(m, M_PROCESS_MAX_FDS, 0, 0, 0), 64);
    /* This very test started a moment ago: boot time and ticks were put together rightly. */
    double age = (double)clock_wall_s() - metric_slot(m, M_PROCESS_START_TIME, (size_t[3]){0}, 0);
    ck_assert_msg(age > -3 && age < 600, "started %f s ago", age);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    struct process_metrics *one = NULL;
    struct metrics *other = NULL;
    ck_assert_int_eq(metrics_new(table, COMMON_METRIC_COUNT, "", &other, NULL), ERR_OK);
    mem_fail_after(0);
    ck_assert_int_eq(process_metrics_new(other, &one, NULL), ERR_NO_MEMORY);
    mem_fail_after(-1);
    process_metrics_free(NULL);
    metrics_free(other);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("probes");
    TCase *t = tcase_create("probes");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_live_is_200_as_long_as_the_loop_runs);
    tcase_add_test(t, test_ready_says_yes_or_no_and_why);
    tcase_add_test(t, test_metrics_come_in_the_format_asked_for);
    tcase_add_test(t, test_the_process_figures_are_true);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}
