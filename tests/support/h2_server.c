#include "tests/support/h2_server.h"

#include <check.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static struct h2_stream *find(struct h2_server *s, int id)
{
    for (size_t i = 0; i < H2_STREAMS_MAX; i++)
        if (s->streams[i].id == id)
            return &s->streams[i];
    return NULL;
}

static size_t put_status(nghttp2_nv *nv, size_t count, const struct h2_script *script)
{
    if (script->grpc_status != NULL)
        nv[count++] = header("grpc-status", script->grpc_status);
    if (script->grpc_message != NULL)
        nv[count++] = header("grpc-message", script->grpc_message);
    return count;
}

static ssize_t on_read(nghttp2_session *h2, int32_t id, uint8_t *out, size_t size, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    struct h2_stream *stream = source->ptr;
    (void)user;
    size_t part = stream->out.len < size ? stream->out.len : size;
    if (part == 0 && !stream->eof)
        return NGHTTP2_ERR_DEFERRED;
    if (part > 0)
        memcpy(out, stream->out.data, part);
    buf_consume(&stream->out, part);
    if (stream->out.len > 0 || !stream->eof)
        return (ssize_t)part;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->script.ending != H2_NO_TRAILERS) {
        nghttp2_nv nv[2];
        size_t count = put_status(nv, 0, &stream->script);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        ck_assert_int_eq(nghttp2_submit_trailer(h2, id, nv, count), 0);
    }
    return (ssize_t)part;
}

static void answer(struct h2_server *s, struct h2_stream *stream)
{
    const struct h2_script *script = &stream->script;
    nghttp2_nv nv[4] = {header(":status", script->status != NULL ? script->status : "200"),
                        header("content-type", script->content_type != NULL ? script->content_type
                                                                            : "application/grpc")};
    size_t count = 2;
    if (script->informational) {
        nghttp2_nv early = header(":status", "103");
        ck_assert_int_eq(nghttp2_submit_headers(s->h2, 0, stream->id, NULL, &early, 1, NULL), 0);
    }
    if (script->ending == H2_TRAILERS_ONLY) {
        count = put_status(nv, count, script);
        ck_assert_int_eq(nghttp2_submit_response(s->h2, stream->id, nv, count, NULL), 0);
        return;
    }
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = on_read};
    stream->eof = script->ending == H2_TRAILERS || script->ending == H2_NO_TRAILERS;
    ck_assert_int_eq(buf_append(&stream->out, script->body.data, script->body.len), ERR_OK);
    ck_assert_int_eq(nghttp2_submit_response(s->h2, stream->id, nv, count, &body), 0);
    if (script->ending == H2_RESET)
        nghttp2_submit_rst_stream(s->h2, 0, stream->id, script->reset_code);
}

static void respond(struct h2_server *s, struct h2_stream *stream)
{
    stream->script = *s->choose(s->arg, s->path);
    switch (stream->script.ending) {
    case H2_SILENT:
        return;
    case H2_REFUSE:
        nghttp2_submit_rst_stream(s->h2, 0, stream->id, stream->script.reset_code);
        return;
    case H2_GOAWAY:
        nghttp2_submit_goaway(s->h2, 0, 0, NGHTTP2_NO_ERROR, NULL, 0);
        return;
    case H2_TRAILERS:
    case H2_TRAILERS_ONLY:
    case H2_NO_TRAILERS:
    case H2_HOLD:
    case H2_RESET:
        answer(s, stream);
    }
}

static int on_begin(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct h2_server *s = user;
    (void)h2;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct h2_stream *stream = find(s, 0);
    ck_assert_ptr_nonnull(stream);
    *stream = (struct h2_stream){.id = frame->hd.stream_id};
    buf_init(&stream->out, 16u << 20);
    s->headers[0] = '\0';
    s->request_len = 0;
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct h2_server *s = user;
    (void)h2, (void)frame, (void)flags;
    size_t used = strlen(s->headers);
    snprintf(s->headers + used, sizeof s->headers - used, "%.*s: %.*s\n", (int)name_len,
             (const char *)name, (int)value_len, (const char *)value);
    if (slice_eq_str(slice_of(name, name_len), ":path"))
        snprintf(s->path, sizeof s->path, "%.*s", (int)value_len, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                   void *user)
{
    struct h2_server *s = user;
    (void)h2, (void)flags, (void)id;
    for (size_t i = 0; i < len && s->request_len < sizeof s->request; i++)
        s->request[s->request_len++] = data[i];
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct h2_server *s = user;
    (void)h2;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        s->resets++;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_stream *stream = find(s, frame->hd.stream_id);
    if (stream != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        s->requests++;
        respond(s, stream);
    }
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t error, void *user)
{
    struct h2_stream *stream = find(user, id);
    (void)h2, (void)error;
    if (stream != NULL) {
        buf_done(&stream->out);
        stream->id = 0;
    }
    return 0;
}

void h2_server_init(struct h2_server *s,
                    const struct h2_script *(*choose)(void *arg, const char *path), void *arg)
{
    *s = (struct h2_server){.choose = choose, .arg = arg};
    nghttp2_session_callbacks *callbacks = NULL;
    ck_assert_int_eq(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    ck_assert_int_eq(nghttp2_session_server_new(&s->h2, callbacks, s), 0);
    nghttp2_session_callbacks_del(callbacks);
    ck_assert_int_eq(nghttp2_submit_settings(s->h2, 0, NULL, 0), 0);
}

void h2_server_done(struct h2_server *s)
{
    nghttp2_session_del(s->h2);
    for (size_t i = 0; i < H2_STREAMS_MAX; i++)
        if (s->streams[i].id != 0)
            buf_done(&s->streams[i].out);
}

bool h2_server_receive(struct h2_server *s, struct slice bytes)
{
    return nghttp2_session_mem_recv(s->h2, bytes.data, bytes.len) == (ssize_t)bytes.len;
}

void h2_server_output(struct h2_server *s, struct buf *out)
{
    const uint8_t *data = NULL;
    for (;;) {
        ssize_t len = nghttp2_session_mem_send(s->h2, &data);
        ck_assert_int_ge(len, 0);
        if (len == 0)
            return;
        ck_assert_int_eq(buf_append(out, data, (size_t)len), ERR_OK);
    }
}

void h2_put_message(struct buf *out, struct slice message)
{
    size_t n = message.len;
    uint8_t prefix[5] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    ck_assert_int_eq(buf_append(out, prefix, sizeof prefix), ERR_OK);
    ck_assert_int_eq(buf_append(out, message.data, message.len), ERR_OK);
}

void h2_server_push(struct h2_server *s, struct slice message)
{
    for (size_t i = 0; i < H2_STREAMS_MAX; i++) {
        if (s->streams[i].id == 0)
            continue;
        h2_put_message(&s->streams[i].out, message);
        nghttp2_session_resume_data(s->h2, s->streams[i].id);
    }
}

void h2_server_finish(struct h2_server *s, const char *grpc_status, const char *grpc_message)
{
    for (size_t i = 0; i < H2_STREAMS_MAX; i++) {
        if (s->streams[i].id == 0)
            continue;
        s->streams[i].script.grpc_status = grpc_status;
        s->streams[i].script.grpc_message = grpc_message;
        s->streams[i].eof = true;
        nghttp2_session_resume_data(s->h2, s->streams[i].id);
    }
}
