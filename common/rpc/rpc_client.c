/* A client has at most one connection that takes calls; one that failed is cut loose, closes by
 * itself, and the next call makes a new one. */
#include "common/rpc/rpc_client.h"

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/loop/closing.h"

#include <stdio.h>

#define READ_SIZE (16u * 1024u)
#define WRITE_MAX (64u * 1024u) /* gathered for one write; a chunk of nghttp2's fits in twice */

struct rpc_conn {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tcp_t tcp;
    } io;
    struct rpc_client *client;
    struct rpc_session *session; /* owned */
    uv_connect_t connect;
    uv_write_t write;
    struct buf out; /* what the running write sends */
    int failed;     /* a uv error met where no callback may be made */
    bool connected, heard, writing, closing;
};

struct rpc_client {
    uv_loop_t *loop;
    struct address address;
    struct sockaddr_storage sockaddr;
    uv_timer_t timer;
    struct rpc_conn *conn; /* NULL: the next call connects */
    struct closing closing;
};

static void on_timer(uv_timer_t *timer);
static void on_connected(uv_connect_t *req, int status);
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);
static void on_written(uv_write_t *req, int status);
static void on_conn_closed(uv_handle_t *handle);

/* Cuts the connection loose first: the ends of its streams may start new calls. */
static void rpc_conn_end(struct rpc_conn *conn, int code, const char *message)
{
    struct rpc_client *c = conn->client;
    if (conn->closing)
        return;
    conn->closing = true;
    if (c->conn == conn)
        c->conn = NULL;
    uv_close(&conn->io.handle, on_conn_closed);
    rpc_session_fail(conn->session, code, message);
}

static void rpc_conn_fail(struct rpc_conn *conn, const char *what, const char *cause)
{
    char where[ADDRESS_TEXT_LEN];
    char text[ADDRESS_TEXT_LEN + 512];
    snprintf(text, sizeof text, "%s %s: %s", what, address_text(&conn->client->address, where),
             cause);
    rpc_conn_end(conn, RPC_UNAVAILABLE, text);
}

/* What the socket of another purpose answers is worth a word. */
static const char *connect_cause(int rc)
{
    if (rc == UV_EPROTOTYPE)
        return "it is no stream socket, so not the Workload API's: share.sock beside it is for "
               "sidecars alone";
    return uv_strerror(rc);
}

/* The admin socket and /metrics speak HTTP/1. */
static bool is_http1(struct rpc_conn *conn, struct slice first)
{
    bool begins = !conn->heard;
    conn->heard = true;
    return begins && first.len >= 5 && memcmp(first.data, "HTTP/", 5) == 0;
}

static void rpc_conn_pump(struct rpc_conn *conn)
{
    struct why why = {0};
    if (!conn->connected || conn->writing || conn->closing)
        return;
    buf_clear(&conn->out);
    while (conn->out.len < WRITE_MAX) {
        struct slice chunk = {0};
        err_t err = rpc_session_output(conn->session, &chunk, &why);
        if (err == ERR_OK && chunk.len == 0)
            break;
        if (err == ERR_OK)
            err = buf_append(&conn->out, chunk.data, chunk.len);
        if (err != ERR_OK) {
            rpc_conn_fail(conn, "writing to", why.err != ERR_OK ? why_text(&why) : err_text(err));
            return;
        }
    }
    if (conn->out.len == 0) {
        if (rpc_session_is_done(conn->session))
            rpc_conn_fail(conn, "the session with", "ended by the server");
        return;
    }
    uv_buf_t bytes = uv_buf_init((char *)conn->out.data, (unsigned)conn->out.len);
    int rc = uv_write(&conn->write, &conn->io.stream, &bytes, 1, on_written);
    if (rc != 0)
        rpc_conn_fail(conn, "writing to", uv_strerror(rc));
    else
        conn->writing = true;
}

/* Something to send, or another deadline: looked at from the loop, never from within an event. */
static void rpc_conn_wake(void *arg)
{
    struct rpc_conn *conn = arg;
    if (!conn->closing && conn->client->conn == conn)
        uv_timer_start(&conn->client->timer, on_timer, 0, 0);
}

static int rpc_conn_connect(struct rpc_conn *conn)
{
    struct rpc_client *c = conn->client;
    if (c->address.kind == ADDRESS_UNIX) {
        uv_pipe_connect(&conn->connect, &conn->io.pipe, c->address.host, on_connected);
        return 0;
    }
    uv_tcp_nodelay(&conn->io.tcp, 1);
    return uv_tcp_connect(&conn->connect, &conn->io.tcp, (const struct sockaddr *)&c->sockaddr,
                          on_connected);
}

/* The new connection becomes the client's own. */
static err_t rpc_conn_new(struct rpc_client *c, struct rpc_conn **ret, struct why *why)
{
    struct rpc_conn *conn = mem_alloc(sizeof *conn);
    if (conn == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a connection");
    conn->client = c;
    buf_init(&conn->out, (size_t)2 * WRITE_MAX);
    err_t err = rpc_session_new(rpc_conn_wake, conn, &conn->session, why);
    if (err != ERR_OK) {
        mem_free(conn);
        return err;
    }
    int rc = c->address.kind == ADDRESS_UNIX ? uv_pipe_init(c->loop, &conn->io.pipe, 0)
                                             : uv_tcp_init(c->loop, &conn->io.tcp);
    if (rc != 0) {
        rpc_session_free(conn->session);
        mem_free(conn);
        return why_set(why, ERR_IO, "a socket: %s", uv_strerror(rc));
    }
    conn->io.handle.data = conn;
    closing_hold(&c->closing);
    c->conn = conn;
    conn->failed = rpc_conn_connect(conn);
    *ret = conn;
    return ERR_OK;
}

err_t rpc_client_open(uv_loop_t *loop, const struct address *server, struct rpc_client **ret,
                      struct why *why)
{
    struct rpc_client *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a client");
    socklen_t len = 0;
    err_t err = address_sockaddr(server, &c->sockaddr, &len);
    if (err != ERR_OK) {
        mem_free(c);
        return why_set(why, err, "%s: expected an IP address or a Unix socket", server->host);
    }
    c->loop = loop;
    c->address = *server;
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    *ret = c;
    return ERR_OK;
}

err_t rpc_client_call(struct rpc_client *c, const char *method, bool spiffe_header,
                      struct slice request, uint64_t timeout_ms,
                      const struct rpc_stream_events *events, struct rpc_stream **ret,
                      struct why *why)
{
    if (c->closing.begun)
        return why_set(why, ERR_CANCELED, "the client is closing");
    struct rpc_conn *conn = c->conn;
    if (conn == NULL) {
        err_t err = rpc_conn_new(c, &conn, why);
        if (err != ERR_OK)
            return err;
    }
    uint64_t deadline = timeout_ms > 0 ? uv_now(c->loop) + timeout_ms : 0;
    return rpc_session_call(conn->session, method, spiffe_header, request, deadline, events, ret,
                            why);
}

void rpc_client_close(struct rpc_client *c, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&c->closing, mem_free, c, done, arg))
        return;
    closing_handle(&c->closing, &c->timer);
    if (c->conn != NULL)
        rpc_conn_end(c->conn, RPC_CANCELLED, "canceled");
}

/* ---- loop glue ---- */

static void on_timer(uv_timer_t *timer)
{
    struct rpc_client *c = timer->data;
    if (c->conn != NULL && c->conn->failed != 0)
        rpc_conn_fail(c->conn, "connecting to", connect_cause(c->conn->failed));
    if (c->conn != NULL)
        rpc_session_expire(c->conn->session, uv_now(c->loop));
    if (c->conn != NULL)
        rpc_conn_pump(c->conn);
    if (c->closing.begun || c->conn == NULL)
        return;
    uint64_t next = rpc_session_next_deadline(c->conn->session);
    uint64_t now = uv_now(c->loop);
    if (next != 0)
        uv_timer_start(&c->timer, on_timer, next > now ? next - now : 0, 0);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct rpc_conn *conn = req->handle->data;
    if (conn->closing)
        return;
    int rc = status != 0 ? status : uv_read_start(&conn->io.stream, on_alloc, on_read);
    if (rc != 0) {
        rpc_conn_fail(conn, "connecting to", connect_cause(rc));
        return;
    }
    conn->connected = true;
    rpc_conn_pump(conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle, (void)suggested;
    buf->base = mem_alloc(READ_SIZE); /* NULL makes libuv report UV_ENOBUFS to on_read */
    buf->len = buf->base != NULL ? READ_SIZE : 0;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct rpc_conn *conn = stream->data;
    struct why why = {0};
    if (n < 0) {
        rpc_conn_fail(conn, "reading from",
                      n == UV_EOF ? "the server closed the connection" : uv_strerror((int)n));
    } else if (n > 0 && !conn->closing && is_http1(conn, slice_of(buf->base, (size_t)n))) {
        rpc_conn_fail(
            conn, "reading from",
            "it answers HTTP/1, so it is no Workload API (the admin socket does that): expected "
            "the socket of workload_api.socket, api.sock");
    } else if (n > 0 && !conn->closing) {
        err_t err = rpc_session_receive(conn->session, slice_of(buf->base, (size_t)n), &why);
        if (err != ERR_OK)
            rpc_conn_fail(conn, "reading from", why_text(&why));
        else
            rpc_conn_pump(conn);
    }
    mem_wipe(buf->base, n > 0 ? (size_t)n : 0); /* answers carry private keys */
    mem_free(buf->base);
}

static void on_written(uv_write_t *req, int status)
{
    struct rpc_conn *conn = req->handle->data;
    conn->writing = false;
    if (conn->closing)
        return;
    if (status != 0)
        rpc_conn_fail(conn, "writing to", uv_strerror(status));
    else
        rpc_conn_pump(conn);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct rpc_conn *conn = handle->data;
    struct rpc_client *c = conn->client;
    rpc_session_free(conn->session);
    buf_done(&conn->out);
    mem_free(conn);
    closing_drop(&c->closing);
}
