#include "sidecar/conn/stream.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PENDING_MAX (2u * SCRATCH_READ)

/* --- scratch --------------------------------------------------------------------------------- */

err_t scratch_init(struct scratch *s)
{
    size_t plain_max =
        SCRATCH_READ + 2 * TLS_RECORD_MAX; /* and what waited for the rest of a record */
    buf_init(&s->wire, SCRATCH_READ);
    buf_init(&s->plain, plain_max);
    buf_init(&s->sealed, tls_sealed_max(plain_max) + TLS_RECORD_MAX);
    err_t err = buf_reserve(&s->wire, s->wire.max);
    if (err == ERR_OK)
        err = buf_reserve(&s->plain, s->plain.max);
    if (err == ERR_OK)
        err = buf_reserve(&s->sealed, s->sealed.max);
    if (err != ERR_OK)
        scratch_done(s);
    return err;
}

void scratch_done(struct scratch *s)
{
    buf_done(&s->wire);
    buf_done(&s->plain);
    buf_done(&s->sealed);
}

/* --- the socket ------------------------------------------------------------------------------ */

/* The first error tells what it was, and the kernel tells it once: EPIPE that the other side had
 * closed in order, ECONNRESET that it had not. */
static enum stream_result io_error(struct stream *s, const char *what, struct why *why)
{
    bool closed = errno == EPIPE;
    if (closed || errno == ECONNRESET)
        why_errno(why, ERR_PEER_RESET, "%s", what);
    else
        why_errno(why, ERR_IO, "%s", what);
    s->was_reset = s->was_reset || (!s->broken && !closed);
    s->broken = true;
    buf_done(&s->pending);
    return STREAM_ERROR;
}

/* One read: a short one means that the socket is empty, so no second call just to hear EAGAIN. */
static enum stream_result read_wire(struct stream *s, struct buf *into, size_t room,
                                    struct why *why)
{
    for (;;) {
        ssize_t n = read(s->fd, into->data + into->len, room);
        if (n > 0) {
            into->len += (size_t)n;
            return STREAM_OK;
        }
        if (n == 0 && s->was_reset) {
            why_set(why, ERR_PEER_RESET, "reset");
            return STREAM_ERROR;
        }
        if (n == 0)
            return STREAM_EOF;
        if (errno == EAGAIN)
            return STREAM_AGAIN;
        if (errno != EINTR)
            return io_error(s, "read", why);
    }
}

static enum stream_result write_wire(struct stream *s, struct slice bytes, size_t *ret_written,
                                     struct why *why)
{
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t n = send(s->fd, bytes.data + done, bytes.len - done, MSG_NOSIGNAL);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            return io_error(s, "write", why);
        }
    }
    *ret_written = done;
    return done == bytes.len ? STREAM_OK : STREAM_AGAIN;
}

/* Writes, or queues behind what is queued already. */
static enum stream_result write_or_queue(struct stream *s, struct slice bytes, struct why *why)
{
    size_t written = 0;
    if (s->broken) {
        why_set(why, ERR_PEER_RESET, "write (earlier)");
        return STREAM_ERROR;
    }
    if (s->pending.len == 0 && write_wire(s, bytes, &written, why) == STREAM_ERROR)
        return STREAM_ERROR;
    if (written < bytes.len) {
        err_t err = buf_append(&s->pending, bytes.data + written, bytes.len - written);
        if (err != ERR_OK) {
            why_set(why, err, "bytes that wait for the peer");
            return STREAM_ERROR;
        }
    }
    return STREAM_OK;
}

static enum stream_result send_fin(struct stream *s, struct why *why)
{
    if (!s->fin_wanted || s->fin_sent || s->broken || s->pending.len > 0)
        return STREAM_OK;
    if (shutdown(s->fd, SHUT_WR) != 0 && errno != ENOTCONN)
        return io_error(s, "shutdown", why);
    s->fin_sent = true;
    return STREAM_OK;
}

/* --- life ------------------------------------------------------------------------------------ */

void stream_init(struct stream *s, void (*on_ready)(void *arg, struct stream *s, int events),
                 void *arg)
{
    *s = (struct stream){.fd = -1, .on_ready = on_ready, .arg = arg};
    buf_init(&s->pending, PENDING_MAX);
}

err_t stream_open(struct stream *s, uv_loop_t *loop, int fd, struct why *why)
{
    int code = uv_poll_init(loop, &s->poll, fd);
    if (code != 0)
        return why_set(why, ERR_IO, "cannot watch a socket: %s", uv_strerror(code));
    s->poll.data = s;
    s->fd = fd;
    return ERR_OK;
}

err_t stream_secure(struct stream *s, struct tls_context *context, const struct tls_events *events,
                    struct why *why)
{
    return tls_new(context, events, &s->tls, why);
}

/* --- reading and writing --------------------------------------------------------------------- */

/* Sends what a TLS call left in x->sealed, also after a failure: it may be the alert. */
static enum stream_result send_sealed(struct stream *s, struct scratch *x, struct why *why)
{
    enum stream_result result = STREAM_OK;
    if (x->sealed.len > 0)
        result = write_or_queue(s, buf_slice(&x->sealed), why);
    s->spoke = s->spoke || x->sealed.len > 0;
    buf_clear(&x->sealed);
    return result;
}

static enum stream_result handshake_with(struct stream *s, struct slice in, struct scratch *x,
                                         struct why *why)
{
    enum tls_progress progress = tls_handshake(s->tls, in, &x->sealed, why);
    struct why ignored;
    enum stream_result sent = send_sealed(s, x, progress == TLS_PROGRESS_ERROR ? &ignored : why);
    if (progress == TLS_PROGRESS_ERROR)
        return STREAM_ERROR;
    if (sent != STREAM_OK)
        return sent;
    if (progress == TLS_PROGRESS_DONE) {
        s->more_inside = true;
        return STREAM_OK;
    }
    return STREAM_AGAIN;
}

enum stream_result stream_handshake(struct stream *s, struct scratch *x, struct why *why)
{
    buf_clear(&x->wire);
    buf_clear(&x->sealed);
    enum stream_result result = read_wire(s, &x->wire, x->wire.cap, why);
    if (result == STREAM_EOF) {
        why_set(why, ERR_PEER_CLOSED, "the peer hung up during the handshake");
        return STREAM_ERROR;
    }
    if (result == STREAM_ERROR)
        return result;
    return handshake_with(s, buf_slice(&x->wire), x, why);
}

/* Small records take long for what they bring: others have their turn in between. */
static size_t wire_room(const struct stream *s, const struct scratch *x)
{
    size_t room = tls_read_room(s->tls);
    return room < x->wire.cap ? room : x->wire.cap;
}

static enum stream_result read_tls(struct stream *s, struct scratch *x, struct why *why)
{
    enum stream_result wire = STREAM_OK;
    buf_clear(&x->wire);
    buf_clear(&x->sealed);
    if (s->more_inside) /* alone: with a read on top it might not fit into x->plain */
        s->more_inside = false;
    else
        wire = read_wire(s, &x->wire, wire_room(s, x), why);
    if (wire == STREAM_ERROR || wire == STREAM_AGAIN)
        return wire;
    enum tls_progress progress = tls_get(s->tls, buf_slice(&x->wire), &x->plain, &x->sealed, why);
    struct why ignored;
    (void)send_sealed(s, x, &ignored); /* broken for writing is no reason to read no further */
    if (progress == TLS_PROGRESS_ERROR) {
        s->mute = true;
        return STREAM_ERROR;
    }
    if (progress == TLS_PROGRESS_EOF)
        return STREAM_EOF;
    if (wire != STREAM_EOF)
        return STREAM_OK;
    why_set(why, ERR_TLS_TRUNCATED, "FIN without close_notify");
    return STREAM_TRUNCATED;
}

enum stream_result stream_read(struct stream *s, struct scratch *x, struct why *why)
{
    if (s->tls != NULL)
        return read_tls(s, x, why);
    return read_wire(s, &x->plain, SCRATCH_READ, why);
}

enum stream_result stream_write(struct stream *s, struct slice plain, struct scratch *x,
                                struct why *why)
{
    if (s->tls == NULL)
        return write_or_queue(s, plain, why);
    buf_clear(&x->sealed);
    if (tls_put(s->tls, plain, &x->sealed, why) == TLS_PROGRESS_ERROR) {
        s->mute = true;
        return STREAM_ERROR;
    }
    return send_sealed(s, x, why);
}

enum stream_result stream_check(struct stream *s, struct why *why)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0) {
        s->hung_up = true;
        return STREAM_OK;
    }
    errno = error != 0 ? error : errno;
    return io_error(s, "connection", why);
}

enum stream_result stream_flush(struct stream *s, struct why *why)
{
    size_t written = 0;
    enum stream_result result = STREAM_OK;
    if (s->pending.len > 0) {
        result = write_wire(s, buf_slice(&s->pending), &written, why);
        buf_consume(&s->pending, written);
        if (s->pending.len == 0)
            buf_done(&s->pending);
    }
    return result == STREAM_OK ? send_fin(s, why) : result;
}

enum stream_result stream_close_write(struct stream *s, struct scratch *x, struct why *why)
{
    if (s->fin_wanted)
        return STREAM_OK;
    s->fin_wanted = true;
    if (s->tls != NULL && !s->mute) {
        buf_clear(&x->sealed);
        if (tls_close_write(s->tls, &x->sealed, why) == TLS_PROGRESS_ERROR ||
            send_sealed(s, x, why) == STREAM_ERROR)
            return STREAM_ERROR;
    }
    return send_fin(s, why);
}

/* The kernel keeps the count of a connection that was reset, though nobody will take it. */
size_t stream_queued(const struct stream *s)
{
    struct tcp_info info = {.tcpi_state = TCP_CLOSE};
    int kernel = 0;
    socklen_t len = sizeof info.tcpi_state;
    if (s->fd < 0 || s->broken)
        return 0;
    if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return s->pending.len; /* a Unix socket */
    if (info.tcpi_state == TCP_CLOSE)
        return 0;
    (void)ioctl(s->fd, SIOCOUTQ, &kernel);
    return s->pending.len + (size_t)kernel;
}

bool stream_abandon(struct stream *s)
{
    struct why ignored;
    tls_free(s->tls);
    s->tls = NULL;
    s->fin_wanted = true;
    return stream_flush(s, &ignored) != STREAM_ERROR;
}

/* --- loop glue ------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct stream *s = handle->data;
    if (status < 0) {
        s->interest = 0; /* libuv has stopped the handle; the next read or write names the error */
        events = UV_READABLE | UV_WRITABLE | STREAM_HANGUP;
    }
    s->on_ready(s->arg, s, events);
}

void stream_want(struct stream *s, int events)
{
    if (s->hung_up)
        events &= ~STREAM_HANGUP;
    if (s->pending.len > 0)
        events |= UV_WRITABLE;
    if (s->fd < 0 || events == s->interest)
        return;
    if (events == 0)
        uv_poll_stop(&s->poll);
    else if (uv_poll_start(&s->poll, events, on_poll) != 0)
        events = 0; /* cannot happen with an open handle; the state's deadline ends it then */
    s->interest = events;
}

static void on_closed(uv_handle_t *handle)
{
    struct stream *s = handle->data;
    s->on_closed(s->arg);
}

bool stream_close(struct stream *s, bool reset, void (*on_close)(void *arg))
{
    if (s->tls != NULL)
        tls_free(s->tls);
    s->tls = NULL;
    buf_done(&s->pending);
    if (s->fd < 0)
        return false;
    if (reset) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard); /* else a FIN: milder */
    }
    s->on_closed = on_close;
    uv_close((uv_handle_t *)&s->poll, on_closed);
    close(s->fd); /* libuv has let go of it: uv_close took it out of epoll */
    s->fd = -1;
    return true;
}
