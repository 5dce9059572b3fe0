/* Scrapes of the node over HTTP: off the loop, one after the other, none lost at the end. */
#include "agent/share/node_scrape.h"
#include "agent/telemetry/metrics.h"
#include "common/base/clock.h"
#include "common/log/log.h"
#include "common/metric/metric_page.h"
#include "common/share/sidecar_families.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WEB "spiffe://example.org/web"
enum { POOL = 4, CLIENTS = NODE_SCRAPES_WAITING + 4 };

static uv_loop_t loop;
static struct metrics *m, *sidecar;
static struct page_store *pages;
static struct node_scrape *scrape;
static struct http_server *server;
static int page;
static size_t closed, lines;
static uv_work_t blocker[POOL];
static uv_sem_t blocked, release;

static const struct http_route routes[] = {{"GET", "/metrics", node_scrape_answer}};

static void on_closed(void *arg)
{
    (void)arg;
    closed++;
}

static void on_line(void *arg, const char *line)
{
    (void)arg;
    lines += strstr(line, "metrics_page_bad") != NULL;
}

static void setup(void)
{
    struct address any;
    closed = lines = 0;
    log_capture(on_line, NULL);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "t_", &m, NULL), ERR_OK);
    ck_assert_int_eq(page_store_new(m, 8, &pages, NULL), ERR_OK);
    ck_assert_int_eq(node_scrape_new(&loop, m, pages, &scrape, NULL), ERR_OK);
    ck_assert_int_eq(address_parse(slice_str("127.0.0.1:0"), &any, NULL), ERR_OK);
    const struct http_server_options opt = {.routes = routes, .route_count = 1, .arg = scrape};
    ck_assert_int_eq(http_server_open(&loop, &any, &opt, &server, NULL), ERR_OK);
    ck_assert_int_eq(metrics_new(sidecar_families, sidecar_families_count(), "", &sidecar, NULL),
                     ERR_OK);
    page = page_store_give(pages, WEB, "web", -1, 0);
    ck_assert_int_eq(metrics_adopt_page(sidecar, fcntl(page, F_DUPFD_CLOEXEC, 0), NULL), ERR_OK);
    ck_assert_int_eq(uv_sem_init(&blocked, 0), 0);
    ck_assert_int_eq(uv_sem_init(&release, 0), 0);
}

static void close_all(void)
{
    http_server_close(server, on_closed, NULL);
    node_scrape_close(scrape, on_closed, NULL);
}

static void teardown(void)
{
    if (closed == 0)
        close_all();
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(closed, 2);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    page_store_free(pages);
    metrics_free(sidecar);
    metrics_free(m);
    uv_sem_destroy(&blocked);
    uv_sem_destroy(&release);
    log_capture(NULL, NULL);
}

static void on_blocker(uv_work_t *work)
{
    (void)work;
    uv_sem_post(&blocked);
    uv_sem_wait(&release);
}

static void on_unblocked(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
}

/* No thread of the pool is free until unblock(). */
static void block(void)
{
    for (size_t i = 0; i < POOL; i++)
        ck_assert_int_eq(uv_queue_work(&loop, &blocker[i], on_blocker, on_unblocked), 0);
    for (size_t i = 0; i < POOL; i++)
        uv_sem_wait(&blocked);
}

static void unblock(void)
{
    for (size_t i = 0; i < POOL; i++)
        uv_sem_post(&release);
}

static int ask(void)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct address a;
    struct sockaddr_storage sa;
    socklen_t len;
    http_server_address(server, &a);
    ck_assert_int_eq(address_sockaddr(&a, &sa, &len), ERR_OK);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
    ck_assert_int_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    return fd;
}

/* The whole answer, in a static buffer. Closes fd. */
static const char *hear(int fd)
{
    static char got[1 << 18];
    size_t have = 0;
    ssize_t n = -1;
    while (n != 0) {
        uv_run(&loop, UV_RUN_NOWAIT);
        n = recv(fd, got + have, sizeof got - 1 - have, MSG_DONTWAIT);
        have += n > 0 ? (size_t)n : 0;
    }
    got[have] = '\0';
    close(fd);
    return got;
}

static bool has(const char *text, const char *word)
{
    return strstr(text, word) != NULL;
}

START_TEST(test_a_scrape_shows_agent_and_sidecars)
{
    const char *got = hear(ask());
    ck_assert(has(got, "HTTP/1.1 200 OK\r\n"));
    ck_assert(has(got, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    ck_assert(has(got, "\nt_agent_metrics_pages{state=\"connected\"} 1\n"));
    ck_assert(has(got, "\nt_sidecar_up{spiffe_id=\"" WEB "\",name=\"web\"} 1\n"));
    page_store_left(pages, page, clock_mono_ns());
    got = hear(ask());
    ck_assert(has(got, "\nt_agent_metrics_pages{state=\"gone\"} 1\n"));
    ck_assert(has(got, "\nt_agent_node_scrape_duration_seconds_count 1\n"));
}
END_TEST

START_TEST(test_a_bad_page_is_counted_each_time_and_told_once)
{
    char noise[64];
    memset(noise, 0x77, sizeof noise);
    ck_assert_int_eq(pwrite(page, noise, sizeof noise, 0), (ssize_t)sizeof noise);
    for (int i = 0; i < 3; i++)
        ck_assert(!has(hear(ask()), "name=\"web\""));
    ck_assert(has(hear(ask()), "\nt_agent_metrics_pages_bad_total 3\n"));
    ck_assert_uint_eq(lines, 1);
}
END_TEST

START_TEST(test_the_loop_runs_on_while_a_scrape_is_made)
{
    block();
    int waiting = ask();
    char byte;
    for (int i = 0; i < 50; i++) {
        uv_run(&loop, UV_RUN_NOWAIT); /* returns: nothing on the loop waits for the pool */
        ck_assert_int_eq(recv(waiting, &byte, 1, MSG_DONTWAIT), -1);
    }
    unblock();
    ck_assert(has(hear(waiting), "\nt_sidecar_up{"));
}
END_TEST

START_TEST(test_scrapes_past_the_bound_are_refused_and_the_others_answered)
{
    int client[CLIENTS];
    size_t answered = 0, refused = 0;
    block();
    for (size_t i = 0; i < CLIENTS; i++) {
        client[i] = ask();
        for (int turn = 0; turn < 20; turn++)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    unblock();
    for (size_t i = 0; i < CLIENTS; i++) {
        const char *got = hear(client[i]);
        answered += has(got, "\nt_sidecar_up{");
        refused += has(got, " 503 ");
    }
    ck_assert_uint_eq(answered, NODE_SCRAPES_WAITING + 1);
    ck_assert_uint_eq(refused, CLIENTS - NODE_SCRAPES_WAITING - 1);
}
END_TEST

START_TEST(test_a_close_waits_for_the_scrapes_that_were_begun)
{
    int client[3];
    block();
    for (size_t i = 0; i < 3; i++) {
        client[i] = ask();
        for (int turn = 0; turn < 20; turn++)
            uv_run(&loop, UV_RUN_NOWAIT);
    }
    page_store_left(pages, page, clock_mono_ns());
    close_all();
    for (int turn = 0; turn < 20; turn++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(closed, 1); /* the server alone */
    unblock();
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(closed, 2);
    for (size_t i = 0; i < 3; i++)
        close(client[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("node_scrape");
    TCase *t = tcase_create("node_scrape");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_scrape_shows_agent_and_sidecars);
    tcase_add_test(t, test_a_bad_page_is_counted_each_time_and_told_once);
    tcase_add_test(t, test_the_loop_runs_on_while_a_scrape_is_made);
    tcase_add_test(t, test_scrapes_past_the_bound_are_refused_and_the_others_answered);
    tcase_add_test(t, test_a_close_waits_for_the_scrapes_that_were_begun);
    suite_add_tcase(s, t);
    return run_suite(s);
}
