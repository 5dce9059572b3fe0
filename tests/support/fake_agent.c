#include "tests/support/fake_agent.h"

#include "common/base/mem.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct reply {
    uv_write_t req;
    struct buf bytes;
};

static const struct h2_script *count_call(void *arg, const char *path)
{
    struct fake_agent *a = arg;
    a->calls++;
    return a->choose(a->arg, path);
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct fake_conn *c = handle->data;
    h2_server_done(&c->h2);
    mem_free(c);
}

static void close_conn(struct fake_conn *c)
{
    if (!c->open)
        return;
    c->open = false;
    for (size_t i = 0; i < FAKE_AGENT_CONNS_MAX; i++)
        if (c->agent->conns[i] == c)
            c->agent->conns[i] = NULL;
    uv_close((uv_handle_t *)&c->pipe, on_conn_closed);
}

static void on_written(uv_write_t *req, int status)
{
    struct reply *reply = (struct reply *)req;
    (void)status; /* the client may be gone */
    buf_done(&reply->bytes);
    mem_free(reply);
}

static void flush(struct fake_conn *c)
{
    struct reply *reply = mem_alloc(sizeof *reply);
    ck_assert_ptr_nonnull(reply);
    buf_init(&reply->bytes, 64u << 20);
    h2_server_output(&c->h2, &reply->bytes);
    uv_buf_t bytes = uv_buf_init((char *)reply->bytes.data, (unsigned)reply->bytes.len);
    if (bytes.len == 0 ||
        uv_write(&reply->req, (uv_stream_t *)&c->pipe, &bytes, 1, on_written) != 0)
        on_written(&reply->req, 0);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)handle;
    *buf = uv_buf_init(mem_alloc(suggested), (unsigned)suggested);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fake_conn *c = stream->data;
    if (n < 0)
        close_conn(c);
    else if (c->open && h2_server_receive(&c->h2, slice_of(buf->base, (size_t)n)))
        flush(c);
    mem_free(buf->base);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct fake_agent *a = listener->data;
    ck_assert_int_eq(status, 0);
    struct fake_conn *c = mem_alloc(sizeof *c);
    ck_assert_ptr_nonnull(c);
    c->agent = a;
    c->open = true;
    c->pipe.data = c;
    ck_assert_int_eq(uv_pipe_init(a->loop, &c->pipe, 0), 0);
    ck_assert_int_eq(uv_accept(listener, (uv_stream_t *)&c->pipe), 0);
    h2_server_init(&c->h2, count_call, a);
    a->accepted++;
    size_t i = 0;
    while (i < FAKE_AGENT_CONNS_MAX && a->conns[i] != NULL)
        i++;
    ck_assert_uint_lt(i, FAKE_AGENT_CONNS_MAX);
    a->conns[i] = c;
    ck_assert_int_eq(uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read), 0);
    flush(c);
}

void fake_agent_init(struct fake_agent *a, uv_loop_t *loop,
                     const struct h2_script *(*choose)(void *arg, const char *path), void *arg)
{
    *a = (struct fake_agent){
        .loop = loop, .dir = "/tmp/spindle-agent-XXXXXX", .choose = choose, .arg = arg};
    ck_assert_ptr_nonnull(mkdtemp(a->dir));
    snprintf(a->path, sizeof a->path, "%s/api.sock", a->dir);
}

void fake_agent_start(struct fake_agent *a)
{
    ck_assert(!a->listening);
    ck_assert_int_eq(uv_pipe_init(a->loop, &a->listener, 0), 0);
    a->listener.data = a;
    ck_assert_int_eq(uv_pipe_bind(&a->listener, a->path), 0);
    ck_assert_int_eq(uv_listen((uv_stream_t *)&a->listener, 16, on_connection), 0);
    a->listening = true;
}

void fake_agent_stop(struct fake_agent *a)
{
    if (!a->listening)
        return;
    a->listening = false;
    for (size_t i = 0; i < FAKE_AGENT_CONNS_MAX; i++)
        if (a->conns[i] != NULL)
            close_conn(a->conns[i]);
    uv_close((uv_handle_t *)&a->listener, NULL);
    unlink(a->path);
}

void fake_agent_done(struct fake_agent *a)
{
    unlink(a->path);
    rmdir(a->dir);
}

void fake_agent_push(struct fake_agent *a, struct slice message)
{
    for (size_t i = 0; i < FAKE_AGENT_CONNS_MAX; i++) {
        if (a->conns[i] == NULL)
            continue;
        h2_server_push(&a->conns[i]->h2, message);
        flush(a->conns[i]);
    }
}

void fake_agent_finish(struct fake_agent *a, const char *grpc_status, const char *grpc_message)
{
    for (size_t i = 0; i < FAKE_AGENT_CONNS_MAX; i++) {
        if (a->conns[i] == NULL)
            continue;
        h2_server_finish(&a->conns[i]->h2, grpc_status, grpc_message);
        flush(a->conns[i]);
    }
}
