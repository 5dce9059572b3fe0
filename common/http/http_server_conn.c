#include "common/http/http_server_internal.h"

#include "common/base/mem.h"

#include <assert.h>
#include <stdio.h>

#define LINGER_MS 1000 /* so that a peer still sending reads our answer, not a reset */

struct http_deferred {
    struct http_conn *conn; /* NULL: nobody waits any more */
    struct http_response response;
};

static void consume(struct http_conn *c, struct slice in);

/* --- closing ---------------------------------------------------------------------------------- */

static void conn_free(void *arg)
{
    struct http_conn *c = arg;
    struct http_server *s = c->server;
    LIST_REMOVE(c, in_conns);
    http_parser_free(c->parser);
    buf_done(&c->rest);
    buf_done(&c->response.body);
    mem_free(c);
    http_server_conn_gone(s);
}

static void forget_deferred(struct http_conn *c)
{
    if (c->deferred != NULL)
        c->deferred->conn = NULL;
    c->deferred = NULL;
}

void http_conn_close(struct http_conn *c)
{
    if (!closing_begin(&c->closing, conn_free, c, NULL, NULL))
        return;
    c->state = HTTP_CONN_CLOSING;
    forget_deferred(c);
    closing_handle(&c->closing, &c->peer);
    closing_handle(&c->closing, &c->timer);
}

/* --- time ------------------------------------------------------------------------------------- */

static void on_timeout(uv_timer_t *timer)
{
    struct http_conn *c = timer->data;
    if (c->state != HTTP_CONN_IDLE && c->state != HTTP_CONN_LINGERING)
        http_server_count_cut(c->server, HTTP_CUT_TIME);
    if (c->state == HTTP_CONN_READING && http_parser_started(c->parser))
        http_conn_fail(c, 408);
    else if (c->state == HTTP_CONN_WAITING)
        http_conn_fail(c, 503);
    else
        http_conn_close(c);
}

static void set_deadline(struct http_conn *c, uint64_t ms, uint64_t preset)
{
    int e = uv_timer_start(&c->timer, on_timeout, ms > 0 ? ms : preset, 0);
    assert(e == 0);
    (void)e;
}

/* The only writer of the state, but for http_conn_close. */
static void enter(struct http_conn *c, enum http_conn_state next)
{
    const struct http_server_options *opt = &c->server->opt;
    c->state = next;
    c->since = c->server->clock++;
    c->since_ms = uv_now(c->server->loop);
    switch (next) {
    case HTTP_CONN_LINGERING:
        set_deadline(c, LINGER_MS, 0);
        break;
    case HTTP_CONN_IDLE:
        set_deadline(c, opt->idle_ms, 75000);
        break;
    case HTTP_CONN_READING:
        c->has_head = false;
        set_deadline(c, opt->head_ms, 2000);
        break;
    case HTTP_CONN_ANSWERING:
    case HTTP_CONN_WAITING:
        set_deadline(c, opt->answer_ms, 30000);
        break;
    case HTTP_CONN_CLOSING:
        break;
    }
}

/* --- answering -------------------------------------------------------------------------------- */

static bool starts_linger(const struct http_conn *c)
{
    return c->state == HTTP_CONN_ANSWERING && !c->keep_alive;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
    struct http_conn *c = handle->data;
    (void)wanted;
    *ret = uv_buf_init(c->server->input, HTTP_READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *in)
{
    struct http_conn *c = stream->data;
    if (n < 0)
        http_conn_close(c);
    else if (n > 0 && c->state != HTTP_CONN_LINGERING)
        consume(c, slice_of(in->base, (size_t)n));
}

static void start_reading(struct http_conn *c)
{
    int e = uv_read_start(&c->peer.stream, on_alloc, on_read);
    if (e != 0 && e != UV_EALREADY)
        http_conn_close(c);
}

static void on_shut(uv_shutdown_t *req, int status)
{
    struct http_conn *c = req->data;
    if (status < 0)
        http_conn_close(c);
}

/* Reads on and throws away until the peer ends, for a moment. */
static void linger(struct http_conn *c)
{
    buf_done(&c->response.body);
    enter(c, HTTP_CONN_LINGERING);
    if (uv_shutdown(&c->shutdown, &c->peer.stream, on_shut) != 0)
        http_conn_close(c);
    else
        start_reading(c);
}

static void next_request(struct http_conn *c)
{
    buf_done(&c->response.body);
    http_parser_reset(c->parser);
    enter(c, HTTP_CONN_IDLE);
    struct buf rest = c->rest;
    buf_init(&c->rest, HTTP_READ_SIZE);
    if (rest.len > 0)
        consume(c, buf_slice(&rest));
    buf_done(&rest);
    if (c->state == HTTP_CONN_IDLE || c->state == HTTP_CONN_READING)
        start_reading(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct http_conn *c = req->data;
    if (c->state == HTTP_CONN_CLOSING)
        return;
    if (status < 0 || c->server->closing.begun)
        http_conn_close(c);
    else if (starts_linger(c))
        linger(c);
    else
        next_request(c);
}

/* `more`: header lines of this answer alone, each with its line end. */
static void send_response(struct http_conn *c, const char *more)
{
    int len = http_response_head(&c->response, c->keep_alive, more, c->head, sizeof c->head);
    assert(len > 0 && (size_t)len < sizeof c->head);
    uv_buf_t out[2] = {uv_buf_init(c->head, (unsigned)len),
                       uv_buf_init((char *)c->response.body.data, (unsigned)c->response.body.len)};
    uv_read_stop(&c->peer.stream);
    enter(c, HTTP_CONN_ANSWERING);
    http_server_bound_answers(c->server, c);
    unsigned count = c->with_body && c->response.body.len > 0 ? 2 : 1;
    if (uv_write(&c->write, &c->peer.stream, out, count, on_written) != 0)
        http_conn_close(c);
}

static void reset_response(struct http_conn *c, int status)
{
    buf_done(&c->response.body);
    http_response_init(&c->response, status);
}

/* A one-line answer of our own. Without memory for the line the status says enough. */
static void fill_line(struct http_conn *c, int status)
{
    reset_response(c, status);
    if (buf_printf(&c->response.body, "%s\n", http_status_text(status)) != ERR_OK)
        buf_clear(&c->response.body);
}

void http_conn_fail(struct http_conn *c, int status)
{
    forget_deferred(c);
    c->keep_alive = false;
    if (c->state != HTTP_CONN_WAITING)
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
static void wait_for_deferred(struct http_conn *c)
{
    uv_read_stop(&c->peer.stream);
    enter(c, HTTP_CONN_WAITING);
    if (c->server->closing.begun)
        http_conn_close(c);
}

static void respond(struct http_conn *c)
{
    struct http_request req;
    const char *allow = NULL;
    char more[64] = "";
    http_parser_request(c->parser, &req);
    req.caller = c->caller;
    c->keep_alive = http_parser_keep_alive(c->parser);
    bool foreign = http_server_is_foreign(c->server, &req);
    const struct http_route *route = foreign ? NULL : find_route(c->server, &req, &allow);
    c->with_body = strcmp(req.method, "HEAD") != 0;
    if (route != NULL) {
        reset_response(c, 200);
        c->server->in_handler = c;
        route->handler(c->server->opt.arg, &req, &c->response);
        c->server->in_handler = NULL;
        c->keep_alive = c->keep_alive && !c->server->closing.begun;
    } else if (foreign) {
        fill_line(c, 421);
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
    struct http_conn *c = (struct http_conn *)((char *)res - offsetof(struct http_conn, response));
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
    struct http_conn *c = d->conn;
    if (c == NULL) {
        buf_done(&d->response.body);
    } else {
        buf_done(&c->response.body);
        c->response = d->response;
        c->deferred = NULL;
    }
    mem_free(d);
    if (c != NULL && c->state == HTTP_CONN_WAITING) /* else its handler still runs */
        send_response(c, "");
}

/* A body that is still to come has its own time. */
static void await_body(struct http_conn *c)
{
    if (c->has_head || !http_parser_has_head(c->parser))
        return;
    c->has_head = true;
    set_deadline(c, c->server->opt.body_ms, 10000);
}

/* One request at a time: what is behind it waits in `rest`, so that answers cannot pile up. */
static void consume(struct http_conn *c, struct slice in)
{
    size_t used = 0;
    if (c->state == HTTP_CONN_IDLE)
        enter(c, HTTP_CONN_READING);
    switch (http_parser_feed(c->parser, in, &used)) {
    case HTTP_PARSER_MORE:
        await_body(c);
        break;
    case HTTP_PARSER_BAD:
        http_conn_fail(c, http_parser_status(c->parser));
        break;
    case HTTP_PARSER_REQUEST:
        if (buf_append(&c->rest, in.data + used, in.len - used) != ERR_OK)
            http_conn_fail(c, 500);
        else
            respond(c);
        break;
    }
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* Closing frees it, and closes the descriptor once the stream has it. */
static struct http_conn *conn_new(struct http_server *s)
{
    struct http_conn *c = mem_alloc(sizeof *c);
    if (c == NULL || http_parser_new(&c->parser) != ERR_OK) {
        mem_free(c);
        return NULL;
    }
    c->server = s;
    LIST_INSERT_HEAD(&s->conns, c, in_conns);
    buf_init(&c->rest, HTTP_READ_SIZE);
    reset_response(c, 200);
    int e =
        s->is_unix ? uv_pipe_init(s->loop, &c->peer.pipe, 0) : uv_tcp_init(s->loop, &c->peer.tcp);
    if (e == 0)
        e = uv_timer_init(s->loop, &c->timer);
    assert(e == 0); /* neither allocates nor calls the kernel */
    (void)e;
    c->peer.handle.data = c->timer.data = c->write.data = c->shutdown.data = c;
    closing_hold(&s->closing);
    return c;
}

err_t http_conn_open(struct http_server *s, int fd, struct http_conn **ret)
{
    struct http_conn *c = conn_new(s);
    if (c == NULL)
        return ERR_NO_MEMORY;
    enter(c, HTTP_CONN_READING);
    int e = s->is_unix ? uv_pipe_open(&c->peer.pipe, fd) : uv_tcp_open(&c->peer.tcp, fd);
    if (e != 0) {
        http_conn_close(c);
        return ERR_IO;
    }
    start_reading(c);
    *ret = c;
    return ERR_OK;
}
