/* The blocking HTTP client, against answers written out by hand. */
#include "common/http/http_client.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

/* One connection: reads the request's head, answers, closes when told to. */
struct server {
    int listener;
    const char *answer; /* NULL: nothing */
    bool hold;          /* keeps the connection open until the client leaves */
    char request[512];
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    size_t len = 0;
    while (fd >= 0 && len + 1 < sizeof s->request && strstr(s->request, "\r\n\r\n") == NULL) {
        ssize_t n = read(fd, s->request + len, sizeof s->request - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (s->answer != NULL && write(fd, s->answer, strlen(s->answer)) < 0)
        s->request[0] = '\0';
    char last;
    while (s->hold && read(fd, &last, 1) > 0) {
    }
    close(fd);
    return NULL;
}

static err_t ask(struct server *s, int timeout_ms, struct http_answer *ret, struct why *why)
{
    struct temp_dir dir;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct address address;
    char path[TEMP_PATH_MAX];
    temp_dir_make(&dir);
    temp_path(&dir, "s", path);
    snprintf(sa.sun_path, sizeof sa.sun_path, "%.100s", path);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(s->listener, (struct sockaddr *)&sa, sizeof sa), 0);
    ck_assert_int_eq(listen(s->listener, 1), 0);
    ck_assert_int_eq(address_parse(slice_str(path), &address, NULL), ERR_OK);
    ck_assert_int_eq(pthread_create(&s->thread, NULL, serve, s), 0);
    err_t err = http_client_call(&address, "GET", "/v1/things", timeout_ms, ret, why);
    pthread_join(s->thread, NULL);
    close(s->listener);
    temp_dir_remove(&dir);
    return err;
}

static const struct {
    const char *answer;
    bool hold;
    err_t err;
    int status;
    const char *body;
} cases[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, ERR_OK, 200, "hello"},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", false, ERR_OK, 200, "to the end"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", true,
     ERR_OK, 200, "abcde"},
    {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", true, ERR_OK, 404, ""},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", false, ERR_PEER_CLOSED, 0, NULL},
    {"", false, ERR_PEER_CLOSED, 0, NULL},
    {"SSH-2.0-OpenSSH_9.2\r\n", true, ERR_PARSE, 0, NULL},
    {NULL, true, ERR_TIMEOUT, 0, NULL},
};

START_TEST(test_each_answer_is_taken_or_refused)
{
    struct server server = {.answer = cases[_i].answer, .hold = cases[_i].hold};
    struct http_answer answer = {0};
    struct why why = {0};
    err_t err = ask(&server, cases[_i].err == ERR_TIMEOUT ? 30 : 10000, &answer, &why);
    ck_assert_msg(err == cases[_i].err, "%s: %s", err_name(err), why.text);
    ck_assert_ptr_nonnull(strstr(server.request, "GET /v1/things HTTP/1.1\r\n"));
    if (err != ERR_OK) {
        ck_assert_msg(strstr(why.text, "unix:/tmp/") == why.text, "%s", why.text);
        return;
    }
    ck_assert_int_eq(answer.status, cases[_i].status);
    ck_assert(slice_eq_str(buf_slice(&answer.body), cases[_i].body));
    buf_done(&answer.body);
}
END_TEST

START_TEST(test_nobody_there_is_told_with_the_address)
{
    struct address address;
    struct http_answer answer;
    struct why why = {0};
    ck_assert_int_eq(address_parse(slice_str("/nonexistent/s"), &address, NULL), ERR_OK);
    ck_assert_int_eq(http_client_call(&address, "GET", "/", 1000, &answer, &why), ERR_CONNECT);
    ck_assert_ptr_nonnull(strstr(why.text, "/nonexistent/s"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_client");
    TCase *t = tcase_create("http_client");
    tcase_add_loop_test(t, test_each_answer_is_taken_or_refused, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(t, test_nobody_there_is_told_with_the_address);
    suite_add_tcase(s, t);
    return run_suite(s);
}
