/* The HTTP server over real loopback sockets, server and client on one loop, ports from the kernel.
 */
#include "common/base/mem.h"
#include "common/http/http_parser.h"
#include "tests/support/http_case.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t large; /* size of /large */
static char folder[] = "/tmp/http-XXXXXX";
static char path[64];

/* --- handlers --------------------------------------------------------------------------------- */

static void say_hello(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    if (buf_printf(&res->body, "hello %.*s %.*s\n", SLICE_ARG(req->query), SLICE_ARG(req->body)) !=
        ERR_OK)
        res->status = 500;
}

static void say_much(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    (void)req;
    if (buf_reserve(&res->body, large) == ERR_OK) {
        memset(res->body.data, 'x', large);
        res->body.len = large;
    }
}

static void quit(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    (void)req;
    res->status = buf_append_str(&res->body, "bye\n") == ERR_OK ? 200 : 500;
    http_server_close(http_case.server, http_case_closed, NULL);
}

static void say_who(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    ck_assert_int_eq(
        buf_printf(&res->body, "pid %d uid %u.", (int)req->caller.pid, (unsigned)req->caller.uid),
        ERR_OK);
}

static const struct http_route routes[] = {
    {"GET", "/hello", say_hello}, {"GET", "/who", say_who}, {"POST", "/hello2", say_hello},
    {"GET", "/large", say_much},  {"POST", "/quit", quit},
};

/* --- set-up --------------------------------------------------------------------------------------
 */

/* Sends, waits for the server to close, and the answer starts so. */
static void check_refused(const char *text, const char *want)
{
    struct client c;
    client_open(&c);
    client_send(&c, text);
    shutdown(c.fd, SHUT_WR);
    wait_eof(&c);
    ck_assert_msg(strncmp(text_of(&c), want, strlen(want)) == 0, "got %s", text_of(&c));
    ck_assert_ptr_nonnull(strstr(text_of(&c), "\r\nConnection: close\r\n"));
    client_close(&c);
}

static struct address unix_at(const char *name)
{
    struct address a;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_int_eq(address_parse(slice_str(path), &a, NULL), ERR_OK);
    return a;
}

static struct http_server_options options(void)
{
    return (struct http_server_options){
        .routes = routes, .route_count = sizeof routes / sizeof routes[0], .socket_mode = 0600};
}

static err_t open_at(struct address a, struct http_server_options opt, struct why *why)
{
    return http_server_open(&http_case.loop, &a, &opt, &http_case.server, why);
}

static void open_tcp_server(void)
{
    struct why why = {0};
    ck_assert_msg(open_at(tcp_any(), options(), &why) == ERR_OK, "%s", why_text(&why));
}

static void setup(void)
{
    large = 1000;
    strcpy(folder, "/tmp/http-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    http_case_begin();
}

static void teardown(void)
{
    http_case_end();
    ck_assert_int_eq(rmdir(folder), 0);
}

/* --- requests --------------------------------------------------------------------------------- */

START_TEST(test_a_get_is_answered_with_length_and_type)
{
    struct client c;
    open_tcp_server();
    client_open(&c);
    client_send(&c, "GET /hello?a=b HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&c, "hello a=b ", 1);
    const char *got = text_of(&c);
    ck_assert_ptr_eq(strstr(got, "HTTP/1.1 200 OK\r\nDate: "), got);
    ck_assert_ptr_nonnull(strstr(got, " GMT\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    ck_assert_ptr_nonnull(strstr(got, "\r\nContent-Length: 11\r\n"));
    ck_assert_ptr_null(strstr(got, "Connection: close"));
    client_close(&c);
}
END_TEST

START_TEST(test_head_is_a_get_without_the_body)
{
    struct client c;
    open_tcp_server();
    client_open(&c);
    client_send(&c, "HEAD /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    wait_eof(&c);
    ck_assert_ptr_nonnull(strstr(text_of(&c), "\r\nContent-Length: 8\r\n"));
    ck_assert_ptr_null(strstr(text_of(&c), "hello"));
    client_close(&c);
}
END_TEST

START_TEST(test_pipelined_requests_are_answered_in_order_on_one_connection)
{
    struct client c;
    open_tcp_server();
    client_open(&c);
    client_send(&c, "POST /hello2?1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nb1"
                    "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
                    "GET /hello?3 HTTP/1.1\r\nHost: x\r\n\r\nGET /hel");
    wait_for(&c, "HTTP/1.1 ", 3);
    client_send(&c, "lo?4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    wait_eof(&c);
    const char *first = strstr(text_of(&c), "hello 1 b1");
    const char *second = strstr(text_of(&c), "HTTP/1.1 404 Not Found");
    const char *third = strstr(text_of(&c), "hello 3 ");
    const char *fourth = strstr(text_of(&c), "hello 4 ");
    ck_assert_ptr_nonnull(first);
    ck_assert(first < second && second < third && third < fourth);
    client_close(&c);
}
END_TEST

START_TEST(test_a_wrong_method_is_told_the_right_one)
{
    struct client c;
    open_tcp_server();
    client_open(&c);
    client_send(&c,
                "POST /hello HTTP/1.1\r\nHost: x\r\n\r\nGET /hello2 HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&c, "HTTP/1.1 405 Method Not Allowed\r\n", 2);
    ck_assert_uint_eq(times_in(&c, "\r\nAllow: GET, HEAD\r\n"), 1);
    ck_assert_uint_eq(times_in(&c, "\r\nAllow: POST\r\n"), 1);
    client_close(&c);
}
END_TEST

START_TEST(test_bad_requests_get_their_status_and_an_end)
{
    char big[HTTP_HEAD_MAX + 200];
    open_tcp_server();
    check_refused("\x16\x03\x01\x02\x01\x01", "HTTP/1.1 400 ");
    check_refused("GET /hello HTTP/1.1\r\n\r\n", "HTTP/1.1 400 ");
    check_refused("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 ");
    check_refused("POST /hello2 HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\nabc",
                  "HTTP/1.1 413 ");
    memset(big, 'a', sizeof big - 1);
    memcpy(big, "GET /", 5);
    big[sizeof big - 1] = '\0';
    check_refused(big, "HTTP/1.1 431 ");
}
END_TEST

START_TEST(test_a_large_answer_arrives_whole)
{
    struct client c;
    large = HTTP_RESPONSE_MAX;
    open_tcp_server();
    client_open(&c);
    client_send(&c, "GET /large HTTP/1.0\r\n\r\n");
    wait_eof(&c);
    const char *body = strstr(text_of(&c), "\r\n\r\n");
    ck_assert_uint_eq(strlen(body + 4), large);
    client_close(&c);
}
END_TEST

START_TEST(test_a_handler_may_close_the_server_and_still_answer)
{
    struct client c, idle;
    open_tcp_server();
    client_open(&idle);
    client_open(&c);
    client_send(&c, "POST /quit HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_eof(&c);
    ck_assert_ptr_nonnull(strstr(text_of(&c), "bye\n"));
    wait_eof(&idle);
    client_close(&c);
    client_close(&idle);
}
END_TEST

START_TEST(test_without_memory_a_request_fails_and_the_next_one_is_served)
{
    struct client c;
    open_tcp_server();
    for (long n = 0;; n++) {
        client_open(&c);
        client_send(&c, "POST /hello2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                        "Content-Length: 3\r\n\r\nabc");
        mem_fail_after(n);
        /* The client's own memory must not fail: it waits with its poll handle stopped. */
        uv_poll_stop(&c.poll);
        for (int turn = 0; turn < 6; turn++)
            uv_run(&http_case.loop, UV_RUN_NOWAIT);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(uv_poll_start(&c.poll, UV_READABLE, on_readable), 0);
        wait_eof(&c);
        bool served = times_in(&c, "hello  abc") == 1;
        client_close(&c);
        if (!failed && served)
            break;
        ck_assert_int_lt(n, 100);
    }
}
END_TEST

/* --- listening -------------------------------------------------------------------------------- */

START_TEST(test_a_port_that_is_taken_is_named)
{
    struct why why = {0};
    struct address a;
    char text[ADDRESS_TEXT_LEN];
    open_tcp_server();
    http_server_address(http_case.server, &a);
    ck_assert_int_ne(a.port, 0);
    struct http_server_options opt = options();
    struct http_server *second = NULL;
    ck_assert_int_eq(http_server_open(&http_case.loop, &a, &opt, &second, &why), ERR_IO);
    ck_assert_ptr_null(second);
    ck_assert_ptr_nonnull(strstr(why_text(&why), address_text(&a, text)));
    ck_assert_ptr_nonnull(strstr(why_text(&why), "in use"));
}
END_TEST

START_TEST(test_a_unix_socket_has_its_mode_and_goes_with_the_server)
{
    struct stat st;
    struct client c;
    struct http_server_options opt = options();
    opt.owner_only = true;
    mode_t old = umask(0);
    ck_assert_int_eq(open_at(unix_at("a.sock"), opt, NULL), ERR_OK);
    umask(old);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    client_open(&c);
    client_send(&c, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for(&c, "hello", 1);
    client_close(&c);
    http_server_close(http_case.server, http_case_closed, NULL);
    ck_assert_int_ne(stat(path, &st), 0);
}
END_TEST

START_TEST(test_a_handler_is_told_who_asks)
{
    struct client c;
    char want[64] = "pid 0 uid 0.";
    if (_i == 0)
        open_tcp_server();
    else
        ck_assert_int_eq(open_at(unix_at("a.sock"), options(), NULL), ERR_OK);
    if (_i != 0)
        snprintf(want, sizeof want, "pid %d uid %u.", (int)getpid(), (unsigned)getuid());
    client_open(&c);
    for (int request = 1; request <= 2; request++) {
        client_send(&c, "GET /who HTTP/1.1\r\nHost: a\r\n\r\n");
        wait_for(&c, want, request);
    }
    client_close(&c);
}
END_TEST

START_TEST(test_a_left_over_socket_is_replaced_and_a_live_one_is_not)
{
    struct why why = {0};
    struct http_server *second = NULL;
    struct http_server_options opt = options();
    struct address a = unix_at("a.sock");
    struct sockaddr_storage sa;
    socklen_t len;
    ck_assert_int_eq(address_sockaddr(&a, &sa, &len), ERR_OK);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, len), 0);
    close(fd); /* as after kill -9 */
    ck_assert_msg(open_at(a, opt, &why) == ERR_OK, "%s", why_text(&why));
    ck_assert_int_eq(http_server_open(&http_case.loop, &a, &opt, &second, &why), ERR_LOCKED);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "another process listens there"));
}
END_TEST

START_TEST(test_a_file_that_is_no_socket_is_left_alone)
{
    struct why why = {0};
    struct address a = unix_at("a.sock");
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fclose(f);
    struct http_server_options opt = options();
    ck_assert_int_eq(http_server_open(&http_case.loop, &a, &opt, &http_case.server, &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "is not a socket"));
    ck_assert_int_eq(unlink(path), 0);
}
END_TEST

START_TEST(test_another_users_process_is_refused)
{
    struct http_server_options opt = options();
    if (geteuid() != 0)
        return; /* only root can be somebody else */
    opt.owner_only = true;
    opt.socket_mode = 0666;
    ck_assert_int_eq(chmod(folder, 0755), 0);
    ck_assert_int_eq(open_at(unix_at("a.sock"), opt, NULL), ERR_OK);
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        char in[512] = "";
        strcpy(sun.sun_path, path);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (setresuid(65534, 65534, 65534) != 0 ||
            connect(fd, (struct sockaddr *)&sun, sizeof sun) != 0)
            _exit(2);
        ssize_t n = recv(fd, in, sizeof in - 1, 0);
        _exit(n > 0 && strncmp(in, "HTTP/1.1 403 ", 13) == 0 ? 0 : 1);
    }
    int status = -1;
    while (waitpid(child, &status, WNOHANG) == 0)
        uv_run(&http_case.loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_server");
    TCase *t = tcase_create("http_server");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_get_is_answered_with_length_and_type);
    tcase_add_test(t, test_head_is_a_get_without_the_body);
    tcase_add_test(t, test_pipelined_requests_are_answered_in_order_on_one_connection);
    tcase_add_test(t, test_a_wrong_method_is_told_the_right_one);
    tcase_add_test(t, test_bad_requests_get_their_status_and_an_end);
    tcase_add_test(t, test_a_large_answer_arrives_whole);
    tcase_add_test(t, test_a_handler_may_close_the_server_and_still_answer);
    tcase_add_test(t, test_without_memory_a_request_fails_and_the_next_one_is_served);
    tcase_add_test(t, test_a_port_that_is_taken_is_named);
    tcase_add_test(t, test_a_unix_socket_has_its_mode_and_goes_with_the_server);
    tcase_add_loop_test(t, test_a_handler_is_told_who_asks, 0, 2);
    tcase_add_test(t, test_a_left_over_socket_is_replaced_and_a_live_one_is_not);
    tcase_add_test(t, test_a_file_that_is_no_socket_is_left_alone);
    tcase_add_test(t, test_another_users_process_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
