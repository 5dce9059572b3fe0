/* Answers that come after their handler. */
#include "tests/support/http_case.h"
#include "tests/support/runner.h"

static struct http_deferred *later;

static void finish(struct http_deferred *d, const char *text)
{
    struct http_response *res = http_deferred_response(d);
    ck_assert_int_eq(res->status, 200);
    res->status = 409;
    ck_assert_int_eq(buf_printf(&res->body, "deferred %s\n", text), ERR_OK);
    http_deferred_finish(d);
}

static void finish_later(const char *text)
{
    struct http_deferred *d = later;
    later = NULL;
    finish(d, text);
}

static void say_later(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    (void)req;
    later = http_defer(res);
    ck_assert_ptr_nonnull(later);
}

static void say_now(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    (void)req;
    struct http_deferred *d = http_defer(res);
    ck_assert_ptr_nonnull(d);
    finish(d, "now");
}

static void say_and_quit(void *arg, const struct http_request *req, struct http_response *res)
{
    say_later(arg, req, res);
    http_server_close(http_case.server, http_case_closed, NULL);
}

static const struct http_route routes[] = {
    {"GET", "/later", say_later},
    {"GET", "/now", say_now},
    {"GET", "/quit", say_and_quit},
};

static void open_server(uint64_t answer_ms)
{
    struct http_server_options opt = {
        .routes = routes, .route_count = sizeof routes / sizeof routes[0], .answer_ms = answer_ms};
    struct address a = tcp_any();
    ck_assert_int_eq(http_server_open(&http_case.loop, &a, &opt, &http_case.server, NULL), ERR_OK);
}

static void setup(void)
{
    later = NULL;
    http_case_begin();
}

/* --- deferred answers --------------------------------------------------------------------------
 */

static void wait_deferred(void)
{
    while (later == NULL)
        uv_run(&http_case.loop, UV_RUN_ONCE);
}

START_TEST(test_a_deferred_answer_comes_when_it_is_finished_and_others_meanwhile)
{
    struct client c, other;
    open_server(0);
    client_open(&c);
    client_send(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /now?behind HTTP/1.1\r\n");
    wait_deferred();
    client_open(&other);
    client_send(&other, "GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&other, "deferred now", 1);
    ck_assert_uint_eq(c.got.len, 0);
    finish_later("once");
    wait_for(&c, "deferred once\n", 1);
    ck_assert_ptr_eq(strstr(text_of(&c), "HTTP/1.1 409 Conflict\r\n"), text_of(&c));
    client_send(&c, "Host: x\r\n\r\nGET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&c, "deferred now", 1); /* kept alive; what was behind it comes after it */
    wait_deferred();
    finish_later("twice");
    wait_for(&c, "deferred twice\n", 1);
    client_close(&c);
    client_close(&other);
}
END_TEST

START_TEST(test_a_deferred_head_has_no_body)
{
    struct client c;
    open_server(0);
    client_open(&c);
    client_send(&c, "HEAD /later HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    wait_deferred();
    finish_later("x");
    wait_eof(&c);
    ck_assert_ptr_nonnull(strstr(text_of(&c), "\r\nContent-Length: 11\r\n"));
    ck_assert_ptr_null(strstr(text_of(&c), "deferred"));
    client_close(&c);
}
END_TEST

START_TEST(test_a_deferred_answer_may_be_finished_in_its_handler)
{
    struct client c;
    open_server(0);
    client_open(&c);
    client_send(&c, "GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    wait_eof(&c);
    ck_assert_uint_eq(times_in(&c, "HTTP/1.1 "), 1);
    ck_assert_ptr_nonnull(strstr(text_of(&c), "deferred now\n"));
    client_close(&c);
}
END_TEST

START_TEST(test_a_client_that_has_gone_gets_no_deferred_answer)
{
    struct client c;
    open_server(0);
    client_open(&c);
    client_send(&c, "GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_deferred();
    client_close(&c);
    finish_later("nobody");
    client_open(&c);
    client_send(&c, "GET /now HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&c, "deferred now", 1);
    client_close(&c);
}
END_TEST

START_TEST(test_a_server_closes_without_waiting_for_deferred_answers)
{
    struct client c;
    open_server(0);
    client_open(&c);
    client_send(&c, _i == 0 ? "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
                            : "GET /quit HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_deferred();
    if (_i == 0) /* else its handler did */
        http_server_close(http_case.server, http_case_closed, NULL);
    while (!http_case.closed)
        uv_run(&http_case.loop, UV_RUN_ONCE);
    finish_later("too late");
    wait_eof(&c);
    ck_assert_uint_eq(c.got.len, 0);
    client_close(&c);
}
END_TEST

START_TEST(test_a_deferred_answer_that_does_not_come_is_503)
{
    struct client c;
    open_server(50);
    client_open(&c);
    client_send(&c, _i == 0 ? "GET /later HTTP/1.1\r\nHost: x\r\n\r\n"
                            : "HEAD /later HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_eof(&c);
    ck_assert_ptr_eq(strstr(text_of(&c), "HTTP/1.1 503 Service Unavailable\r\n"), text_of(&c));
    ck_assert_uint_eq(times_in(&c, "Service Unavailable"), _i == 0 ? 2 : 1);
    finish_later("too late");
    client_close(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_deferred");
    TCase *t = tcase_create("http_deferred");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, http_case_end);
    tcase_add_test(t, test_a_deferred_answer_comes_when_it_is_finished_and_others_meanwhile);
    tcase_add_test(t, test_a_deferred_head_has_no_body);
    tcase_add_test(t, test_a_deferred_answer_may_be_finished_in_its_handler);
    tcase_add_test(t, test_a_client_that_has_gone_gets_no_deferred_answer);
    tcase_add_loop_test(t, test_a_server_closes_without_waiting_for_deferred_answers, 0, 2);
    tcase_add_loop_test(t, test_a_deferred_answer_that_does_not_come_is_503, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}
