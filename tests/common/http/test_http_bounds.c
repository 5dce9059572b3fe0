/* The HTTP server's bounds: time, places, memory and descriptors that hostile clients may take, and
 * who makes room for whom. Over real loopback sockets, as in test_http_server.c. */
#define METRICS_COMPONENT "test"
#include "common/metric/metrics_table.h"
#include "tests/support/descriptors.h"
#include "tests/support/http_case.h"
#include "tests/support/runner.h"

#include <string.h>

static const struct metric_family families[COMMON_METRIC_COUNT] = {
#include "common/metric/metrics.def"
};
static struct metrics *metrics;
static size_t large; /* size of /large */

static void say_hello(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    (void)req;
    ck_assert_int_eq(buf_append_str(&res->body, "hello\n"), ERR_OK);
}

static void say_much(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    (void)req;
    ck_assert_int_eq(buf_reserve(&res->body, large), ERR_OK);
    memset(res->body.data, 'x', large);
    res->body.len = large;
}

static const struct http_route routes[] = {
    {"GET", "/hello", say_hello}, {"POST", "/hello2", say_hello}, {"GET", "/large", say_much}};

static struct http_server_options options(void)
{
    return (struct http_server_options){
        .routes = routes, .route_count = sizeof routes / sizeof routes[0], .metrics = metrics};
}

static uint64_t cut_for(enum http_cut why)
{
    return metric_read(metrics, M_HTTP_CUT, why, 0, 0);
}

static void wait_cut(enum http_cut why, uint64_t count)
{
    while (cut_for(why) < count)
        uv_run(&http_case.loop, UV_RUN_ONCE);
}

static err_t open_at(struct address a, struct http_server_options opt, struct why *why)
{
    return http_server_open(&http_case.loop, &a, &opt, &http_case.server, why);
}

static void open_tcp_server(void)
{
    ck_assert_int_eq(open_at(tcp_any(), options(), NULL), ERR_OK);
}

static void setup(void)
{
    large = 1000;
    ck_assert_int_eq(metrics_new(families, COMMON_METRIC_COUNT, "", &metrics, NULL), ERR_OK);
    http_case_begin();
}

static void teardown(void)
{
    http_case_end();
    metrics_free(metrics);
}

START_TEST(test_a_slow_request_is_cut_off)
{
    struct client c;
    struct http_server_options opt = options();
    opt.head_ms = 50;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    client_open(&c);
    client_send(&c, "GET /hello HTTP/1.1\r\nHos");
    wait_eof(&c);
    ck_assert_ptr_nonnull(strstr(text_of(&c), "HTTP/1.1 408 Request Timeout\r\n"));
    client_close(&c);
    client_open(&c); /* says nothing at all */
    wait_eof(&c);
    ck_assert_uint_eq(c.got.len, 0);
    client_close(&c);
}
END_TEST

START_TEST(test_an_idle_connection_ends)
{
    struct client c;
    struct http_server_options opt = options();
    opt.idle_ms = 50;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    client_open(&c);
    client_send(&c, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_eof(&c);
    ck_assert_uint_eq(times_in(&c, "HTTP/1.1 "), 1);
    client_close(&c);
}
END_TEST

START_TEST(test_a_slow_body_has_its_own_time)
{
    struct client c;
    struct http_server_options opt = options();
    opt.head_ms = 3600 * 1000;
    opt.body_ms = 50;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    client_open(&c);
    client_send(&c, "POST /hello2 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow");
    wait_eof(&c);
    ck_assert_ptr_nonnull(strstr(text_of(&c), "HTTP/1.1 408 Request Timeout\r\n"));
    client_close(&c);
}
END_TEST

START_TEST(test_the_first_byte_gives_a_new_connection_no_more_time)
{
    struct client c;
    struct http_server_options opt = options();
    opt.head_ms = 100;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    client_open(&c);
    for (int i = 0; !c.eof && i < 100; i++) {
        (void)send(c.fd, &"GET /hello?drip"[i % 8], 1, MSG_NOSIGNAL);
        uint64_t until = uv_hrtime() + 40 * 1000000u;
        while (!c.eof && uv_hrtime() < until)
            uv_run(&http_case.loop, UV_RUN_NOWAIT);
    }
    ck_assert(c.eof); /* it has dripped for four seconds else */
    client_close(&c);
}
END_TEST

START_TEST(test_a_peer_that_takes_no_answer_is_cut_off)
{
    struct client c;
    struct http_server_options opt = options();
    opt.answer_ms = 50;
    large = HTTP_RESPONSE_MAX;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    client_open(&c);
    uv_poll_stop(&c.poll);
    client_send(&c, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_cut(HTTP_CUT_TIME, 1);
    ck_assert_int_eq(uv_poll_start(&c.poll, UV_READABLE, on_readable), 0);
    wait_eof(&c);
    ck_assert_uint_lt(c.got.len, large);
    client_close(&c);
}
END_TEST

START_TEST(test_at_the_cap_an_idle_connection_makes_room_first)
{
    struct client unfinished, idle, third;
    struct http_server_options opt = options();
    opt.max_connections = 2;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    client_open(&unfinished);
    client_send(&unfinished, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nGET");
    wait_for(&unfinished, "hello", 1);
    client_open(&idle);
    client_send(&idle, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&idle, "hello", 1);
    client_open(&third);
    wait_eof(&idle);
    ck_assert(!unfinished.eof);
    ck_assert_uint_eq(cut_for(HTTP_CUT_ROOM), 0); /* it lost nothing */
    client_close(&idle);
    client_close(&unfinished);
    client_close(&third);
}
END_TEST

START_TEST(test_at_the_cap_the_oldest_unfinished_request_makes_room)
{
    struct client slow[3], good;
    struct http_server_options opt = options();
    opt.max_connections = 3;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    for (int i = 0; i < 3; i++) {
        client_open(&slow[i]);
        client_send(&slow[i], "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nG");
        wait_for(&slow[i], "hello", 1);
    }
    for (int i = 0; i < 2; i++) {
        client_open(&good);
        client_send(&good, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for(&good, "hello", 1);
        ck_assert_int_eq(slow[0].eof, true);
        ck_assert_int_eq(slow[1].eof || slow[2].eof, false); /* the next ones take its place */
        client_close(&good);
    }
    ck_assert_uint_eq(cut_for(HTTP_CUT_ROOM), 1);
    for (int i = 0; i < 3; i++)
        client_close(&slow[i]);
}
END_TEST

START_TEST(test_at_the_cap_who_takes_no_answer_makes_room)
{
    struct client deaf[2], good;
    struct http_server_options opt = options();
    opt.max_connections = 2;
    large = HTTP_RESPONSE_MAX;
    ck_assert_int_eq(open_at(tcp_any(), opt, NULL), ERR_OK);
    for (int i = 0; i < 2; i++) {
        client_open(&deaf[i]);
        uv_poll_stop(&deaf[i].poll);
        client_send(&deaf[i], "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    client_open(&good);
    client_send(&good, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&good, "hello", 1);
    ck_assert_uint_eq(cut_for(HTTP_CUT_ROOM), 1);
    client_close(&good);
    for (int i = 0; i < 2; i++)
        client_close(&deaf[i]);
}
END_TEST

START_TEST(test_answers_that_nobody_takes_have_a_bound_in_all)
{
    struct client deaf[8];
    size_t whole = 0;
    large = HTTP_RESPONSE_MAX;
    open_tcp_server();
    for (int i = 0; i < 8; i++) {
        client_open(&deaf[i]);
        uv_poll_stop(&deaf[i].poll);
        client_send(&deaf[i], "GET /large HTTP/1.0\r\n\r\n");
    }
    wait_cut(HTTP_CUT_ROOM, 4);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(uv_poll_start(&deaf[i].poll, UV_READABLE, on_readable), 0);
        wait_eof(&deaf[i]);
        whole += deaf[i].got.len > large;
        ck_assert_int_eq(deaf[i].got.len > large, i >= 4); /* the oldest went */
        client_close(&deaf[i]);
    }
    ck_assert_uint_eq(whole, 4);
    ck_assert_uint_eq(cut_for(HTTP_CUT_ROOM), 4);
}
END_TEST

START_TEST(test_out_of_descriptors_one_after_another_is_answered)
{
    struct client c[20];
    open_tcp_server();
    for (int i = 0; i < 20; i++)
        client_open(&c[i]);
    leave_no_descriptor();
    for (int i = 0; i < 20; i++)
        client_send(&c[i], "GET /hello HTTP/1.0\r\n\r\n");
    for (int i = 0; i < 20; i++)
        wait_for(&c[i], "hello", 1);
    give_descriptors_back();
    for (int i = 0; i < 20; i++)
        client_close(&c[i]);
}
END_TEST

START_TEST(test_out_of_descriptors_the_slowest_makes_room)
{
    struct client slow, more, good;
    open_tcp_server();
    client_open(&slow);
    client_send(&slow, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\nG");
    wait_for(&slow, "hello", 1);
    client_open(&more);
    client_open(&good);
    leave_no_descriptor();
    client_send(&more, "G"); /* with the descriptor that was kept back */
    client_send(&good, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&good, "hello", 1);
    ck_assert(slow.eof);
    ck_assert_uint_ge(cut_for(HTTP_CUT_DESCRIPTORS), 1);
    give_descriptors_back();
    client_close(&slow);
    client_close(&more);
    client_close(&good);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_bounds");
    TCase *t = tcase_create("http_bounds");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_slow_request_is_cut_off);
    tcase_add_test(t, test_an_idle_connection_ends);
    tcase_add_test(t, test_a_slow_body_has_its_own_time);
    tcase_add_test(t, test_the_first_byte_gives_a_new_connection_no_more_time);
    tcase_add_test(t, test_a_peer_that_takes_no_answer_is_cut_off);
    tcase_add_test(t, test_at_the_cap_an_idle_connection_makes_room_first);
    tcase_add_test(t, test_at_the_cap_the_oldest_unfinished_request_makes_room);
    tcase_add_test(t, test_at_the_cap_who_takes_no_answer_makes_room);
    tcase_add_test(t, test_answers_that_nobody_takes_have_a_bound_in_all);
    tcase_add_test(t, test_out_of_descriptors_one_after_another_is_answered);
    tcase_add_test(t, test_out_of_descriptors_the_slowest_makes_room);
    suite_add_tcase(s, t);
    return run_suite(s);
}
