#include "common/http_server.h"

#include "common/http_parser.h"
#include "common/http_response.h"
#include "common/mem.h"
#include "common/unix_socket.h"

#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define READ_SIZE (16u * 1024)
#define HEAD_SIZE 512
#define LINGER_MS 1000 /* so that a peer still sending reads our answer, not a reset */

enum conn_state { CONN_READING, CONN_WAITING, CONN_ANSWERING, CONN_LINGERING, CONN_CLOSING };

union stream {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct conn {
    struct http_server *server;
    struct conn *prev, *next;
    union stream peer;
    uv_timer_t timer;
    unsigned open_handles;
    enum conn_state state;
    struct unix_peer caller;
    bool keep_alive;
    struct http_parser *parser; /* owned */
    struct buf rest;            /* bytes that came behind the request being answered */
    struct http_response response;
    struct http_deferred *deferred; /* whose answer is waited for; it frees itself */
    bool with_body;
    char head[HEAD_SIZE];
    uv_write_t write;
    uv_shutdown_t shutdown;
};

struct http_deferred {
    struct conn *conn; /* NULL: nobody waits any more */
    struct http_response response;
};

struct http_server {
    struct http_server_options opt;
    uv_loop_t *loop;
    union stream listener;
    bool is_unix;
    struct unix_socket file; /* of a Unix listener */
    struct address address;
    struct conn *conns;      /* newest first */
    struct conn *in_handler; /* whose handler runs now: it may close the server */
    union stream spare;      /* takes connections that there is no memory for */
    bool spare_busy, spare_took;
    bool closing, listener_closed;
    void (*done)(void *arg);
    void *done_arg;
    char input[READ_SIZE]; /* every read is consumed or copied before the next */
};

static void answer(struct conn *c, int status);
static void consume(struct conn *c, struct slice in);

/* --- closing ---------------------------------------------------------------------------------- */

static void server_free_when_done(struct http_server *s)
{
    if (!s->closing || !s->listener_closed || s->spare_busy || s->conns != NULL)
        return;
    void (*done)(void *) = s->done;
    void *arg = s->done_arg;
    mem_free(s);
    if (done != NULL)
        done(arg);
}

static void conn_free(struct conn *c)
{
    struct http_server *s = c->server;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    http_parser_free(c->parser);
    buf_done(&c->rest);
    buf_done(&c->response.body);
    mem_free(c);
    server_free_when_done(s);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    if (--c->open_handles == 0)
        conn_free(c);
}

static void forget_deferred(struct conn *c)
{
    if (c->deferred != NULL)
        c->deferred->conn = NULL;
    c->deferred = NULL;
}

static void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    forget_deferred(c);
    uv_close(&c->peer.handle, on_conn_closed);
    uv_close((uv_handle_t *)&c->timer, on_conn_closed);
}

/* --- time ------------------------------------------------------------------------------------- */

static void on_timeout(uv_timer_t *timer)
{
    struct conn *c = timer->data;
    if (c->state == CONN_READING && http_parser_started(c->parser))
        answer(c, 408);
    else if (c->state == CONN_WAITING)
        answer(c, 503);
    else
        conn_close(c);
}

static void set_deadline(struct conn *c, uint64_t ms)
{
    int e = uv_timer_start(&c->timer, on_timeout, ms, 0);
    assert(e == 0);
    (void)e;
}

static uint64_t or_default(uint64_t ms, uint64_t preset)
{
    return ms > 0 ? ms : preset;
}

/* --- answering -------------------------------------------------------------------------------- */

static bool starts_linger(const struct conn *c)
{
    return c->state == CONN_ANSWERING && !c->keep_alive;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
    struct conn *c = handle->data;
    (void)wanted;
    *ret = uv_buf_init(c->server->input, READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
    struct conn *c = stream->data;
    if (n < 0)
        conn_close(c);
    else if (n > 0 && c->state == CONN_READING)
        consume(c, slice_of(in->base, (size_t)n));
}

static void start_reading(struct conn *c)
{
    int e = uv_read_start(&c->peer.stream, on_alloc, on_read);
    if (e != 0 && e != UV_EALREADY)
        conn_close(c);
}

static void on_shut(uv_shutdown_t *req, int status)
{
    struct conn *c = req->handle->data;
    if (status < 0)
        conn_close(c);
}

/* Reads on and throws away until the peer ends, for a moment. */
static void linger(struct conn *c)
{
    c->state = CONN_LINGERING;
    set_deadline(c, LINGER_MS);
    if (uv_shutdown(&c->shutdown, &c->peer.stream, on_shut) != 0)
        conn_close(c);
    else
        start_reading(c);
}

static void next_request(struct conn *c)
{
    buf_done(&c->response.body);
    http_parser_reset(c->parser);
    c->state = CONN_READING;
    set_deadline(c, or_default(c->server->opt.idle_ms, 75000));
    struct buf rest = c->rest;
    buf_init(&c->rest, READ_SIZE);
    if (rest.len > 0)
        consume(c, buf_slice(&rest));
    buf_done(&rest);
    if (c->state == CONN_READING)
        start_reading(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->handle->data;
    if (c->state == CONN_CLOSING)
        return;
    if (status < 0 || c->server->closing)
        conn_close(c);
    else if (starts_linger(c))
        linger(c);
    else
        next_request(c);
}

/* `more`: header lines of this answer alone, each with its line end. */
static void send_response(struct conn *c, const char *more)
{
    int len = http_response_head(&c->response, c->keep_alive, more, c->head, sizeof c->head);
    assert(len > 0 && (size_t)len < sizeof c->head);
    uv_buf_t out[2] = {uv_buf_init(c->head, (unsigned)len),
                       uv_buf_init((char *)c->response.body.data, (unsigned)c->response.body.len)};
    uv_read_stop(&c->peer.stream);
    c->state = CONN_ANSWERING;
    set_deadline(c, or_default(c->server->opt.answer_ms, 30000));
    unsigned count = c->with_body && c->response.body.len > 0 ? 2 : 1;
    if (uv_write(&c->write, &c->peer.stream, out, count, on_written) != 0)
        conn_close(c);
}

static void reset_response(struct conn *c, int status)
{
    buf_done(&c->response.body);
    http_response_init(&c->response, status);
}

/* A one-line answer of our own. Without memory for the line the status says enough. */
static void fill_line(struct conn *c, int status)
{
    reset_response(c, status);
    if (buf_printf(&c->response.body, "%s\n", http_status_text(status)) != ERR_OK)
        buf_clear(&c->response.body);
}

/* An error after which the connection ends: the rest of the peer's bytes cannot be understood, or
 * the answer to them does not come. */
static void answer(struct conn *c, int status)
{
    forget_deferred(c);
    c->keep_alive = false;
    if (c->state != CONN_WAITING)
        c->with_body = true;
    fill_line(c, status);
    send_response(c, "");
}

/* --- requests --------------------------------------------------------------------------------- */

static const struct http_route *find_route(const struct http_server *s,
                                           const struct http_request *req, const char **ret_allow)
{
    bool head = strcmp(req->method, "HEAD") == 0;
    const char *method = head ? "GET" : req->method;
    *ret_allow = NULL;
    for (size_t i = 0; i < s->opt.route_count; i++) {
        const struct http_route *r = &s->opt.routes[i];
        if (!slice_eq_str(req->path, r->path))
            continue;
        if (strcmp(method, r->method) == 0)
            return r;
        *ret_allow = r->method;
    }
    return NULL;
}

/* Nothing is read meanwhile: a client that leaves is noticed when it is answered. */
static void wait_for_deferred(struct conn *c)
{
    uv_read_stop(&c->peer.stream);
    c->state = CONN_WAITING;
    set_deadline(c, or_default(c->server->opt.answer_ms, 30000));
    if (c->server->closing)
        conn_close(c);
}

static void respond(struct conn *c)
{
    struct http_request req;
    const char *allow = NULL;
    char more[64] = "";
    http_parser_request(c->parser, &req);
    req.caller = c->caller;
    c->keep_alive = http_parser_keep_alive(c->parser);
    const struct http_route *route = find_route(c->server, &req, &allow);
    c->with_body = strcmp(req.method, "HEAD") != 0;
    if (route != NULL) {
        reset_response(c, 200);
        c->server->in_handler = c;
        route->handler(c->server->opt.arg, &req, &c->response);
        c->server->in_handler = NULL;
        c->keep_alive = c->keep_alive && !c->server->closing;
    } else if (allow != NULL) {
        fill_line(c, 405);
        snprintf(more, sizeof more, "Allow: %s%s\r\n", allow,
                 strcmp(allow, "GET") == 0 ? ", HEAD" : "");
    } else {
        fill_line(c, 404);
    }
    if (c->deferred != NULL)
        wait_for_deferred(c);
    else
        send_response(c, more);
}

struct http_deferred *http_defer(struct http_response *res)
{
    struct conn *c = (struct conn *)((char *)res - offsetof(struct conn, response));
    assert(c == c->server->in_handler && c->deferred == NULL);
    struct http_deferred *d = mem_alloc(sizeof *d);
    if (d == NULL)
        return NULL;
    d->conn = c;
    http_response_init(&d->response, 200);
    c->deferred = d;
    return d;
}

struct http_response *http_deferred_response(struct http_deferred *d)
{
    return &d->response;
}

void http_deferred_finish(struct http_deferred *d)
{
    struct conn *c = d->conn;
    if (c == NULL) {
        buf_done(&d->response.body);
    } else {
        buf_done(&c->response.body);
        c->response = d->response;
        c->deferred = NULL;
    }
    mem_free(d);
    if (c != NULL && c->state == CONN_WAITING) /* else its handler still runs */
        send_response(c, "");
}

/* One request at a time: what is behind it waits in `rest`, so that answers cannot pile up. */
static void consume(struct conn *c, struct slice in)
{
    size_t used = 0;
    if (!http_parser_started(c->parser))
        set_deadline(c, or_default(c->server->opt.request_ms, 10000));
    switch (http_parser_feed(c->parser, in, &used)) {
    case HTTP_PARSER_MORE:
        break;
    case HTTP_PARSER_BAD:
        answer(c, http_parser_status(c->parser));
        break;
    case HTTP_PARSER_REQUEST:
        if (buf_append(&c->rest, in.data + used, in.len - used) != ERR_OK)
            answer(c, 500);
        else
            respond(c);
        break;
    }
}

/* --- accepting -------------------------------------------------------------------------------- */

static int stream_init(uv_loop_t *loop, union stream *s, bool is_unix)
{
    return is_unix ? uv_pipe_init(loop, &s->pipe, 0) : uv_tcp_init(loop, &s->tcp);
}

/* Room for one more at the cap: the connection that has been between requests the longest goes. */
static bool make_room(struct http_server *s)
{
    struct conn *oldest = NULL;
    size_t open = 0;
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        open += c->state != CONN_CLOSING;
        if (c->state == CONN_READING && !http_parser_started(c->parser))
            oldest = c;
    }
    if (open < s->opt.max_connections)
        return true;
    if (oldest != NULL)
        conn_close(oldest);
    return oldest != NULL;
}

static struct conn *conn_new(struct http_server *s)
{
    struct conn *c = mem_alloc(sizeof *c);
    if (c == NULL || http_parser_new(&c->parser) != ERR_OK) {
        mem_free(c);
        return NULL;
    }
    c->server = s;
    c->next = s->conns;
    if (s->conns != NULL)
        s->conns->prev = c;
    s->conns = c;
    buf_init(&c->rest, READ_SIZE);
    reset_response(c, 200);
    int e = stream_init(s->loop, &c->peer, s->is_unix);
    if (e == 0)
        e = uv_timer_init(s->loop, &c->timer);
    assert(e == 0); /* neither allocates nor calls the kernel */
    (void)e;
    c->peer.handle.data = c->timer.data = c;
    c->open_handles = 2;
    return c;
}

static bool may_use(struct conn *c)
{
    uv_os_fd_t fd;
    if (!c->server->is_unix)
        return true;
    bool known = uv_fileno(&c->peer.handle, &fd) == 0 && unix_socket_peer(fd, &c->caller);
    return !c->server->opt.owner_only ||
           (known && (c->caller.uid == 0 || c->caller.uid == geteuid()));
}

/* Without memory the connection must still be taken off libuv's hands, or it never offers another.
 */
static void on_spare_closed(uv_handle_t *handle);

static void drop_connection(struct http_server *s)
{
    if (s->spare_busy)
        return;
    int e = stream_init(s->loop, &s->spare, s->is_unix);
    assert(e == 0);
    (void)e;
    s->spare.handle.data = s;
    s->spare_busy = true;
    s->spare_took = !s->closing && uv_accept(&s->listener.stream, &s->spare.stream) == 0;
    uv_close(&s->spare.handle, on_spare_closed);
}

static void on_spare_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    s->spare_busy = false;
    if (s->spare_took && !s->closing)
        drop_connection(s); /* another may have come while the spare was closing */
    else
        server_free_when_done(s);
}

static void start_first_request(struct conn *c)
{
    set_deadline(c, or_default(c->server->opt.request_ms, 10000));
    start_reading(c);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_server *s = listener->data;
    if (status < 0 || s->closing)
        return;
    bool room = make_room(s);
    struct conn *c = conn_new(s);
    if (c == NULL)
        drop_connection(s);
    else if (uv_accept(listener, &c->peer.stream) != 0 || !room)
        conn_close(c);
    else if (!may_use(c))
        answer(c, 403);
    else
        start_first_request(c);
}

/* --- the server ------------------------------------------------------------------------------- */

static void on_listener_closed(uv_handle_t *handle)
{
    struct http_server *s = handle->data;
    s->listener_closed = true;
    server_free_when_done(s);
}

static err_t open_tcp(const struct address *listen_on, int *ret_fd, struct why *why)
{
    char text[ADDRESS_TEXT_LEN];
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (address_sockaddr(listen_on, &sa, &len) != ERR_OK)
        return why_set(why, ERR_CONFIG, "%s: expected an IP address and a port to listen on",
                       address_text(listen_on, text));
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, SOMAXCONN) != 0) {
        err_t err = why_errno(why, ERR_IO, "cannot listen on %s", address_text(listen_on, text));
        if (fd >= 0)
            close(fd);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}

/* The port the kernel picked. */
static void learn_port(struct http_server *s, int fd)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    if (s->is_unix || getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return;
    if (sa.ss_family == AF_INET)
        s->address.port = ntohs(((struct sockaddr_in *)&sa)->sin_port);
    else
        s->address.port = ntohs(((struct sockaddr_in6 *)&sa)->sin6_port);
}

static err_t open_socket(struct http_server *s, int *ret_fd, struct why *why)
{
    if (!s->is_unix)
        return open_tcp(&s->address, ret_fd, why);
    err_t err = unix_socket_open(s->address.host, SOCK_STREAM, s->opt.socket_mode, &s->file, why);
    if (err == ERR_OK)
        *ret_fd = s->file.fd;
    return err;
}

/* Hands the descriptor to libuv. After a failure the loop frees the server. */
static err_t attach(struct http_server *s, int fd, struct why *why)
{
    int e = stream_init(s->loop, &s->listener, s->is_unix);
    assert(e == 0);
    s->listener.handle.data = s;
    e = s->is_unix ? uv_pipe_open(&s->listener.pipe, fd) : uv_tcp_open(&s->listener.tcp, fd);
    if (e != 0)
        close(fd);
    else
        e = uv_listen(&s->listener.stream, SOMAXCONN, on_connection);
    if (e == 0)
        return ERR_OK;
    http_server_close(s, NULL, NULL);
    return why_set(why, ERR_IO, "cannot listen: %s", uv_strerror(e));
}

err_t http_server_open(uv_loop_t *loop, const struct address *listen_on,
                       const struct http_server_options *opt, struct http_server **ret,
                       struct why *why)
{
    int fd = -1;
    struct http_server *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "HTTP server");
    s->opt = *opt;
    if (s->opt.max_connections == 0)
        s->opt.max_connections = 64;
    s->loop = loop;
    s->is_unix = listen_on->kind == ADDRESS_UNIX;
    s->address = *listen_on;
    err_t err = open_socket(s, &fd, why);
    if (err != ERR_OK) {
        mem_free(s);
        return err;
    }
    learn_port(s, fd);
    err = attach(s, fd, why);
    if (err == ERR_OK)
        *ret = s;
    return err;
}

void http_server_address(const struct http_server *s, struct address *ret)
{
    *ret = s->address;
}

void http_server_close(struct http_server *s, void (*done)(void *arg), void *arg)
{
    if (s->closing)
        return;
    s->closing = true;
    s->done = done;
    s->done_arg = arg;
    if (s->is_unix)
        unix_socket_unlink(&s->file);
    for (struct conn *c = s->conns; c != NULL; c = c->next) {
        if (c != s->in_handler)
            conn_close(c);
    }
    uv_close(&s->listener.handle, on_listener_closed);
}
