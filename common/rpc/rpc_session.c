/* Life of a stream: live (in s->live, events go to the user) -> dying (user was told or does not
 * want to know; nghttp2 still has the stream) -> freed in on_stream_close or with the session.
 * Only end_stream and rpc_stream_cancel move it from live to dying. */
#include "common/rpc/rpc_session.h"

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/mem.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#define PREFIX_LEN 5u /* compressed flag, big-endian length */
#define HEADER_LIST_MAX (16u * 1024u)

/* What one header block says; filled while it arrives. */
struct head {
    int http_status; /* 0: none, so trailers */
    int grpc_status; /* -1: none */
    bool is_grpc;
    size_t text_len;
    char text[RPC_STATUS_TEXT_MAX + 1];
};

struct rpc_stream {
    LIST_ENTRY(rpc_stream) link;
    struct rpc_session *session;
    struct rpc_stream_events events;
    bool live;
    int32_t id;
    uint64_t deadline;
    int http_status;
    struct head *head; /* owned, only while a header block arrives */
    struct buf in;     /* a message that is not whole yet */
    struct buf out;    /* the request with its prefix */
    size_t sent;
};

LIST_HEAD(stream_list, rpc_stream);

struct rpc_session {
    nghttp2_session *h2;
    struct stream_list live, dying;
    void (*on_wake)(void *arg);
    void *wake_arg;
    struct why cause; /* what nghttp2 said last about a broken peer */
};

/* ---- memory: nghttp2 allocates through mem, so that tests can make it fail ---- */

static void *h2_malloc(size_t size, void *user)
{
    (void)user;
    return mem_resize(NULL, size);
}

static void h2_free(void *ptr, void *user)
{
    (void)user;
    mem_free(ptr);
}

static void *h2_calloc(size_t count, size_t size, void *user)
{
    (void)user;
    return mem_array(count, size);
}

static void *h2_realloc(void *ptr, size_t size, void *user)
{
    (void)user;
    return mem_resize(ptr, size);
}

/* ---- streams ---- */

static void free_stream(struct rpc_stream *stream)
{
    LIST_REMOVE(stream, link);
    mem_free(stream->head);
    buf_wipe(&stream->in);
    buf_done(&stream->out);
    mem_free(stream);
}

static void bury(struct rpc_stream *stream)
{
    assert(stream->live);
    stream->live = false;
    LIST_REMOVE(stream, link);
    LIST_INSERT_HEAD(&stream->session->dying, stream, link);
    buf_wipe(&stream->in);
}

static void end_stream(struct rpc_stream *stream, int code, const char *message)
{
    bury(stream);
    stream->events.on_end(stream->events.arg, code, message);
}

/* Tells the server that we are through with a stream it has not ended. */
static void reset_stream(struct rpc_stream *stream)
{
    struct rpc_session *s = stream->session;
    /* Fails only for want of memory; the stream then stays with nghttp2 until the session ends. */
    (void)nghttp2_submit_rst_stream(s->h2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_CANCEL);
    s->on_wake(s->wake_arg);
}

void rpc_stream_cancel(struct rpc_stream *stream)
{
    bury(stream);
    reset_stream(stream);
}

/* ---- status mapping ---- */

/* gRPC's doc/http-grpc-status-mapping.md */
static int code_of_http(int status)
{
    switch (status) {
    case 400:
        return RPC_INTERNAL;
    case 401:
        return RPC_UNAUTHENTICATED;
    case 403:
        return RPC_PERMISSION_DENIED;
    case 404:
        return RPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return RPC_UNAVAILABLE;
    default:
        return RPC_UNKNOWN;
    }
}

/* gRPC's PROTOCOL-HTTP2.md, "Errors" */
static int code_of_reset(uint32_t error)
{
    switch (error) {
    case NGHTTP2_REFUSED_STREAM:
        return RPC_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return RPC_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return RPC_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return RPC_PERMISSION_DENIED;
    default:
        return RPC_INTERNAL;
    }
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* grpc-message is percent-encoded; broken escapes stay as they are, control bytes do not. */
static void decode_text(struct slice in, struct head *head)
{
    head->text_len = 0;
    for (size_t i = 0; i < in.len && head->text_len < RPC_STATUS_TEXT_MAX; i++) {
        uint8_t c = in.data[i];
        if (c == '%' && i + 2 < in.len && hex_digit(in.data[i + 1]) >= 0 &&
            hex_digit(in.data[i + 2]) >= 0) {
            c = (uint8_t)(hex_digit(in.data[i + 1]) * 16 + hex_digit(in.data[i + 2]));
            i += 2;
        }
        head->text[head->text_len++] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
    }
    head->text[head->text_len] = '\0';
}

/* A decimal number of at most three digits, else -1. */
static int small_number(struct slice text)
{
    int n = 0;
    if (text.len == 0 || text.len > 3)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        n = n * 10 + (text.data[i] - '0');
    }
    return n;
}

static void head_field(struct head *head, struct slice name, struct slice value)
{
    if (slice_eq_str(name, ":status")) {
        head->http_status = small_number(value);
    } else if (slice_eq_str(name, "content-type")) {
        static const char want[] = "application/grpc";
        head->is_grpc = value.len >= sizeof want - 1 && memcmp(value.data, want, 16) == 0;
    } else if (slice_eq_str(name, "grpc-status")) {
        int code = small_number(value);
        head->grpc_status = code >= 0 ? code : RPC_UNKNOWN;
    } else if (slice_eq_str(name, "grpc-message")) {
        decode_text(value, head);
    }
}

/* The server has said its last word: `head` is the last header block, NULL after plain data. */
static void finish_stream(struct rpc_stream *stream, const struct head *head)
{
    char text[64];
    if (head != NULL && head->grpc_status > 0) {
        end_stream(stream, head->grpc_status, head->text);
    } else if (head != NULL && head->grpc_status == 0) {
        bool cut = stream->in.len > 0;
        end_stream(stream, cut ? RPC_INTERNAL : RPC_OK, cut ? "the last message is cut" : "");
    } else if (stream->http_status != 200) {
        snprintf(text, sizeof text, "HTTP status %d instead of a gRPC answer", stream->http_status);
        end_stream(stream, code_of_http(stream->http_status), text);
    } else {
        end_stream(stream, RPC_INTERNAL, "the server ended the stream without a status");
    }
}

/* ---- nghttp2's callbacks ---- */

static struct rpc_stream *find_stream(nghttp2_session *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2, id);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct rpc_stream *stream = find_stream(h2, frame->hd.stream_id);
    (void)user;
    if (stream == NULL || !stream->live)
        return 0;
    if (stream->head == NULL)
        stream->head = mem_alloc(sizeof *stream->head);
    if (stream->head == NULL)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    *stream->head = (struct head){.grpc_status = -1};
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct rpc_stream *stream = find_stream(h2, frame->hd.stream_id);
    (void)flags, (void)user;
    if (stream != NULL && stream->live && stream->head != NULL)
        head_field(stream->head, slice_of(name, name_len), slice_of(value, value_len));
    return 0;
}

static void on_headers_frame(struct rpc_stream *stream, bool is_last)
{
    struct head *head = stream->head;
    stream->head = NULL;
    if (head == NULL || (head->http_status >= 100 && head->http_status < 200)) {
        mem_free(head);
        return;
    }
    if (head->http_status != 0)
        stream->http_status = head->http_status;
    if (is_last) {
        finish_stream(stream, head);
    } else if (head->http_status == 200 && !head->is_grpc) {
        end_stream(stream, RPC_UNKNOWN, "the server's content-type is not application/grpc");
        reset_stream(stream);
    }
    mem_free(head);
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
    struct rpc_stream *stream = find_stream(h2, frame->hd.stream_id);
    bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    (void)user;
    if (stream == NULL || !stream->live)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
        on_headers_frame(stream, is_last);
    else if (frame->hd.type == NGHTTP2_DATA && is_last)
        finish_stream(stream, NULL);
    else
        return 0;
    /* Ended by the server while our request waits for its window: nobody will read it. */
    if (is_last && nghttp2_session_get_stream_local_close(h2, frame->hd.stream_id) == 0)
        reset_stream(stream);
    return 0;
}

/* Takes whole messages off the front; false when the stream has been ended over them. */
static bool take_messages(struct rpc_stream *stream)
{
    while (stream->live && stream->in.len >= PREFIX_LEN) {
        const uint8_t *p = stream->in.data;
        uint32_t len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
        if (p[0] != 0) {
            end_stream(stream, RPC_INTERNAL,
                       "the server sent a compressed message; none was asked "
                       "for");
            return false;
        }
        if (len > RPC_MESSAGE_MAX) {
            char text[80];
            snprintf(text, sizeof text, "a message of %u bytes, at most %u are taken", len,
                     RPC_MESSAGE_MAX);
            end_stream(stream, RPC_RESOURCE_EXHAUSTED, text);
            return false;
        }
        if (stream->in.len < PREFIX_LEN + len)
            return true;
        /* Moved aside: the event may cancel the stream, which wipes its buffer. */
        struct buf message = stream->in;
        buf_init_secret(&stream->in, PREFIX_LEN + RPC_MESSAGE_MAX);
        size_t used = PREFIX_LEN + len;
        err_t err = buf_append(&stream->in, message.data + used, message.len - used);
        if (err == ERR_OK)
            stream->events.on_message(stream->events.arg, slice_of(message.data + PREFIX_LEN, len));
        else
            end_stream(stream, RPC_UNAVAILABLE, "out of memory");
        buf_wipe(&message);
    }
    return stream->live;
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct rpc_stream *stream = find_stream(h2, id);
    (void)flags, (void)user;
    if (stream == NULL || !stream->live || stream->http_status != 200)
        return 0;
    while (len > 0 && stream->live) {
        /* In parts, so that the buffer's cap holds whatever follows a message in the chunk. */
        size_t room = stream->in.max - stream->in.len;
        size_t part = len < room ? len : room;
        if (buf_append(&stream->in, data, part) != ERR_OK) {
            end_stream(stream, RPC_UNAVAILABLE, "out of memory");
            reset_stream(stream);
            return 0;
        }
        data += part;
        len -= part;
        if (!take_messages(stream)) {
            reset_stream(stream); /* once more is harmless after a cancel */
            return 0;
        }
    }
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t id, uint32_t error, void *user)
{
    struct rpc_stream *stream = find_stream(h2, id);
    (void)user;
    if (stream == NULL)
        return 0;
    if (stream->live) {
        char text[80];
        snprintf(text, sizeof text, "the server reset the stream (%s)",
                 nghttp2_http2_strerror(error));
        end_stream(stream, code_of_reset(error), text);
    }
    free_stream(stream);
    return 0;
}

/* A request that may not leave any more, after a GOAWAY; nghttp2 has no stream for it. */
static int on_frame_not_send(nghttp2_session *h2, const nghttp2_frame *frame, int error, void *user)
{
    struct rpc_stream *stream = find_stream(h2, frame->hd.stream_id);
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS || stream == NULL || !stream->live)
        return 0;
    end_stream(stream, RPC_UNAVAILABLE, nghttp2_strerror(error));
    return 0;
}

static int on_error(nghttp2_session *h2, int code, const char *text, size_t len, void *user)
{
    struct rpc_session *s = user;
    (void)h2, (void)code;
    why_set(&s->cause, ERR_RPC, "%.*s", (int)(len < 200 ? len : 200), text);
    return 0;
}

static ssize_t on_read_request(nghttp2_session *h2, int32_t id, uint8_t *out, size_t size,
                               uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct rpc_stream *stream = source->ptr;
    (void)h2, (void)id, (void)user;
    size_t left = stream->out.len - stream->sent;
    size_t part = left < size ? left : size;
    memcpy(out, stream->out.data + stream->sent, part);
    stream->sent += part;
    if (stream->sent == stream->out.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        buf_done(&stream->out);
        stream->sent = 0;
    }
    return (ssize_t)part;
}

/* ---- public ---- */

static int make_h2(struct rpc_session *s)
{
    nghttp2_mem mem = {NULL, h2_malloc, h2_free, h2_calloc, h2_realloc};
    nghttp2_session_callbacks *callbacks = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);
    if (rc != 0)
        return rc;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_error);
    rc = nghttp2_session_client_new3(&s->h2, callbacks, s, NULL, &mem);
    nghttp2_session_callbacks_del(callbacks);
    if (rc != 0)
        return rc;
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX},
    };
    return nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof settings[0]);
}

err_t rpc_session_new(void (*on_wake)(void *arg), void *arg, struct rpc_session **ret,
                      struct why *why)
{
    struct rpc_session *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a session");
    LIST_INIT(&s->live);
    LIST_INIT(&s->dying);
    s->on_wake = on_wake;
    s->wake_arg = arg;
    if (make_h2(s) != 0) {
        rpc_session_free(s);
        return why_set(why, ERR_NO_MEMORY, "no memory for a session");
    }
    *ret = s;
    return ERR_OK;
}

void rpc_session_free(struct rpc_session *s)
{
    if (s == NULL)
        return;
    nghttp2_session_del(s->h2); /* no callbacks */
    while (!LIST_EMPTY(&s->live))
        free_stream(LIST_FIRST(&s->live));
    while (!LIST_EMPTY(&s->dying))
        free_stream(LIST_FIRST(&s->dying));
    mem_free(s);
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name, /* nghttp2 copies and never writes */
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static int submit(struct rpc_stream *stream, const char *method, bool spiffe_header)
{
    const nghttp2_nv headers[] = {
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":path", method),
        header(":authority", "localhost"),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
        header("user-agent", "spindle/" SPINDLE_VERSION),
        header("workload.spiffe.io", "true"), /* EP-2 */
    };
    size_t count = sizeof headers / sizeof headers[0] - (spiffe_header ? 0 : 1);
    nghttp2_data_provider body = {.source.ptr = stream, .read_callback = on_read_request};
    return nghttp2_submit_request(stream->session->h2, NULL, headers, count, &body, stream);
}

static err_t put_request(struct buf *out, struct slice request)
{
    size_t n = request.len;
    uint8_t prefix[PREFIX_LEN] = {0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                                  (uint8_t)n};
    err_t err = buf_append(out, prefix, sizeof prefix);
    return err == ERR_OK ? buf_append(out, request.data, request.len) : err;
}

err_t rpc_session_call(struct rpc_session *s, const char *method, bool spiffe_header,
                       struct slice request, uint64_t deadline,
                       const struct rpc_stream_events *events, struct rpc_stream **ret,
                       struct why *why)
{
    if (request.len > RPC_MESSAGE_MAX)
        return why_set(why, ERR_TOO_LARGE, "a request of %zu bytes, at most %u", request.len,
                       RPC_MESSAGE_MAX);
    struct rpc_stream *stream = mem_alloc(sizeof *stream);
    if (stream == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for a call");
    stream->session = s;
    stream->events = *events;
    stream->deadline = deadline;
    stream->live = true;
    buf_init_secret(&stream->in, PREFIX_LEN + RPC_MESSAGE_MAX);
    buf_init(&stream->out, PREFIX_LEN + RPC_MESSAGE_MAX);
    LIST_INSERT_HEAD(&s->live, stream, link);
    err_t err = put_request(&stream->out, request);
    if (err == ERR_OK) {
        stream->id = submit(stream, method, spiffe_header);
        if (stream->id < 0)
            err = stream->id == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_RPC;
    }
    if (err != ERR_OK) {
        const char *text = stream->id < 0 ? nghttp2_strerror(stream->id) : err_text(err);
        free_stream(stream);
        return why_set(why, err, "calling %s: %s", method, text);
    }
    s->on_wake(s->wake_arg);
    *ret = stream;
    return ERR_OK;
}

err_t rpc_session_receive(struct rpc_session *s, struct slice bytes, struct why *why)
{
    ssize_t rc = nghttp2_session_mem_recv(s->h2, bytes.data, bytes.len);
    if (rc >= 0)
        return ERR_OK;
    if (rc == NGHTTP2_ERR_NOMEM || rc == NGHTTP2_ERR_CALLBACK_FAILURE)
        return why_set(why, ERR_NO_MEMORY, "out of memory while reading");
    const char *text = s->cause.err != ERR_OK ? s->cause.text : nghttp2_strerror((int)rc);
    return why_set(why, ERR_RPC, "the server does not speak HTTP/2 as it should: %s", text);
}

err_t rpc_session_output(struct rpc_session *s, struct slice *ret, struct why *why)
{
    const uint8_t *data = NULL;
    ssize_t len = nghttp2_session_mem_send(s->h2, &data);
    if (len < 0)
        return why_set(why, len == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_RPC, "sending: %s",
                       nghttp2_strerror((int)len));
    *ret = slice_of(data, (size_t)len);
    return ERR_OK;
}

void rpc_session_fail(struct rpc_session *s, int code, const char *message)
{
    while (!LIST_EMPTY(&s->live))
        end_stream(LIST_FIRST(&s->live), code, message);
}

void rpc_session_expire(struct rpc_session *s, uint64_t now)
{
    for (;;) {
        struct rpc_stream *stream = NULL;
        LIST_FOREACH(stream, &s->live, link) {
            if (stream->deadline != 0 && stream->deadline <= now)
                break;
        }
        if (stream == NULL)
            return;
        end_stream(stream, RPC_DEADLINE_EXCEEDED, "no answer in time");
        reset_stream(stream);
    }
}

uint64_t rpc_session_next_deadline(const struct rpc_session *s)
{
    uint64_t nearest = 0;
    const struct rpc_stream *stream = NULL;
    LIST_FOREACH(stream, &s->live, link) {
        if (stream->deadline != 0 && (nearest == 0 || stream->deadline < nearest))
            nearest = stream->deadline;
    }
    return nearest;
}

bool rpc_session_is_done(const struct rpc_session *s)
{
    return nghttp2_session_want_read(s->h2) == 0 && nghttp2_session_want_write(s->h2) == 0;
}
