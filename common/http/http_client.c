#include "common/http/http_client.h"

#include "common/base/clock.h"

#include <errno.h>
#include <llhttp.h>
#include <poll.h>
#include <unistd.h>

struct exchange {
    int fd;
    uint64_t deadline_ns;
    struct http_answer *answer;
    err_t err; /* of the body's buffer */
    bool complete;
};

static err_t wait_for(const struct exchange *x, short events, struct why *why)
{
    for (;;) {
        uint64_t now = clock_mono_ns();
        if (now >= x->deadline_ns)
            return why_set(why, ERR_TIMEOUT, "no answer in time");
        struct pollfd p = {.fd = x->fd, .events = events};
        int rc = poll(&p, 1, (int)((x->deadline_ns - now) / 1000000) + 1);
        if (rc > 0)
            return ERR_OK;
        if (rc < 0 && errno != EINTR)
            return why_errno(why, ERR_IO, "poll");
    }
}

static err_t start_connect(struct exchange *x, const struct address *server, struct why *why)
{
    struct sockaddr_storage sa;
    socklen_t len = 0;
    err_t err = address_sockaddr(server, &sa, &len);
    if (err != ERR_OK)
        return why_set(why, err, "expected an IP address or a Unix socket");
    x->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (x->fd < 0)
        return why_errno(why, ERR_IO, "socket");
    if (connect(x->fd, (struct sockaddr *)&sa, len) == 0)
        return ERR_OK;
    if (errno != EINPROGRESS)
        return why_errno(why, ERR_CONNECT, "connect");
    err = wait_for(x, POLLOUT, why);
    if (err != ERR_OK)
        return err;
    int cause = 0;
    len = sizeof cause;
    if (getsockopt(x->fd, SOL_SOCKET, SO_ERROR, &cause, &len) != 0 || cause != 0) {
        errno = cause;
        return why_errno(why, ERR_CONNECT, "connect");
    }
    return ERR_OK;
}

static err_t send_all(const struct exchange *x, struct slice bytes, struct why *why)
{
    while (bytes.len > 0) {
        ssize_t n = send(x->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes = slice_of(bytes.data + n, bytes.len - (size_t)n);
        } else if (errno == EAGAIN) {
            err_t err = wait_for(x, POLLOUT, why);
            if (err != ERR_OK)
                return err;
        } else if (errno != EINTR) {
            return why_errno(why, ERR_PEER_CLOSED, "send");
        }
    }
    return ERR_OK;
}

static int on_body(llhttp_t *parser, const char *data, size_t len)
{
    struct exchange *x = parser->data;
    x->err = buf_append(&x->answer->body, data, len);
    return x->err == ERR_OK ? HPE_OK : HPE_USER;
}

static int on_complete(llhttp_t *parser)
{
    struct exchange *x = parser->data;
    x->answer->status = parser->status_code;
    x->complete = true;
    return HPE_PAUSED;
}

static err_t parse(struct exchange *x, llhttp_t *parser, struct slice bytes, struct why *why)
{
    enum llhttp_errno rc = bytes.len > 0
                               ? llhttp_execute(parser, (const char *)bytes.data, bytes.len)
                               : llhttp_finish(parser);
    if (x->complete)
        return ERR_OK;
    if (x->err != ERR_OK)
        return why_set(why, x->err, "the answer's body: %s", err_text(x->err));
    if (bytes.len == 0)
        return why_set(why, ERR_PEER_CLOSED, "closed before the answer was whole");
    if (rc != HPE_OK)
        return why_set(why, ERR_PARSE, "the answer is not HTTP: %s",
                       llhttp_get_error_reason(parser));
    return ERR_OK;
}

static err_t receive(struct exchange *x, struct why *why)
{
    llhttp_settings_t settings;
    llhttp_t parser;
    char chunk[16384];
    llhttp_settings_init(&settings);
    settings.on_body = on_body;
    settings.on_message_complete = on_complete;
    llhttp_init(&parser, HTTP_RESPONSE, &settings);
    parser.data = x;
    err_t err = ERR_OK;
    while (err == ERR_OK && !x->complete) {
        ssize_t n = recv(x->fd, chunk, sizeof chunk, 0);
        if (n >= 0)
            err = parse(x, &parser, slice_of(chunk, (size_t)n), why);
        else if (errno == EAGAIN)
            err = wait_for(x, POLLIN, why);
        else if (errno != EINTR)
            err = why_errno(why, ERR_PEER_CLOSED, "recv");
    }
    return err;
}

err_t http_client_call(const struct address *server, const char *method, const char *path,
                       int timeout_ms, struct http_answer *ret, struct why *why)
{
    struct http_answer answer = {0};
    struct buf request;
    struct exchange x = {.fd = -1,
                         .deadline_ns = clock_mono_ns() + (uint64_t)timeout_ms * 1000000u,
                         .answer = &answer};
    buf_init(&answer.body, HTTP_ANSWER_MAX);
    buf_init(&request, 8192);
    err_t err = buf_printf(&request,
                           "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                           "Content-Length: 0\r\n\r\n",
                           method, path);
    if (err != ERR_OK)
        why_set(why, err, "the request: %s", err_text(err));
    if (err == ERR_OK)
        err = start_connect(&x, server, why);
    if (err == ERR_OK)
        err = send_all(&x, buf_slice(&request), why);
    if (err == ERR_OK)
        err = receive(&x, why);
    if (x.fd >= 0)
        close(x.fd);
    buf_done(&request);
    if (err == ERR_OK) {
        *ret = answer;
        return ERR_OK;
    }
    char where[ADDRESS_TEXT_LEN];
    buf_done(&answer.body);
    return why_add(why, err, "%s", address_text(server, where));
}
