#include "tests/support/http_case.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http_case http_case;

static void on_guard(uv_timer_t *t)
{
    (void)t;
    ck_abort_msg("nothing happened for 20 s");
}

void on_readable(uv_poll_t *poll, int status, int events)
{
    struct client *c = poll->data;
    char in[65536];
    (void)events;
    ssize_t n = status < 0 ? -1 : recv(c->fd, in, sizeof in, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n > 0) {
        ck_assert_int_eq(buf_append(&c->got, in, (size_t)n), ERR_OK);
        return;
    }
    c->eof = true;
    uv_poll_stop(poll);
}

void client_take(struct client *c, int fd)
{
    *c = (struct client){.fd = fd};
    buf_init(&c->got, 32u << 20);
    ck_assert_int_eq(uv_poll_init(&http_case.loop, &c->poll, fd), 0);
    c->poll.data = c;
    ck_assert_int_eq(uv_poll_start(&c->poll, UV_READABLE, on_readable), 0);
}

void client_open(struct client *c)
{
    struct address a;
    struct sockaddr_storage sa;
    socklen_t len;
    http_server_address(http_case.server, &a);
    ck_assert_int_eq(address_sockaddr(&a, &sa, &len), ERR_OK);
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, len), 0);
    client_take(c, fd);
}

void client_send(struct client *c, const char *text)
{
    ck_assert_int_eq(send(c->fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void on_poll_closed(uv_handle_t *h)
{
    struct client *c = h->data;
    close(c->fd);
    c->fd = -1;
}

void client_close(struct client *c)
{
    uv_close((uv_handle_t *)&c->poll, on_poll_closed);
    while (c->fd >= 0)
        uv_run(&http_case.loop, UV_RUN_ONCE);
    buf_done(&c->got);
}

const char *text_of(struct client *c)
{
    ck_assert_int_eq(buf_reserve(&c->got, 1), ERR_OK);
    c->got.data[c->got.len] = '\0';
    return (const char *)c->got.data;
}

size_t times_in(struct client *c, const char *word)
{
    size_t n = 0;
    for (const char *at = text_of(c); (at = strstr(at, word)) != NULL; at++)
        n++;
    return n;
}

void wait_for(struct client *c, const char *word, size_t count)
{
    while (times_in(c, word) < count) {
        ck_assert_msg(!c->eof, "ended with: %s", text_of(c));
        uv_run(&http_case.loop, UV_RUN_ONCE);
    }
}

void wait_eof(struct client *c)
{
    while (!c->eof)
        uv_run(&http_case.loop, UV_RUN_ONCE);
}

struct address tcp_any(void)
{
    struct address a;
    ck_assert_int_eq(address_parse(slice_str("127.0.0.1:0"), &a, NULL), ERR_OK);
    return a;
}

void http_case_closed(void *arg)
{
    (void)arg;
    http_case.closed = true;
}

void http_case_begin(void)
{
    http_case.server = NULL;
    http_case.closed = false;
    ck_assert_int_eq(uv_loop_init(&http_case.loop), 0);
    ck_assert_int_eq(uv_timer_init(&http_case.loop, &http_case.guard), 0);
    ck_assert_int_eq(uv_timer_start(&http_case.guard, on_guard, 20000, 0), 0);
    uv_unref((uv_handle_t *)&http_case.guard);
}

void http_case_end(void)
{
    if (http_case.server != NULL && !http_case.closed)
        http_server_close(http_case.server, http_case_closed, NULL);
    while (http_case.server != NULL && !http_case.closed)
        uv_run(&http_case.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&http_case.guard, NULL);
    uv_run(&http_case.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&http_case.loop), 0);
}
