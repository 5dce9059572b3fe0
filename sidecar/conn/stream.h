/* One end of a connection: a socket, with or without TLS on it; above it that makes no difference.
 * Readiness comes through one callback; reads and writes never block. What the socket does not take
 * at once waits here (`pending`), and the one rule of back-pressure is in relay.h: nobody reads for
 * a stream that has bytes pending. Worker thread only. */
#ifndef SPINDLE_SIDECAR_CONN_STREAM_H
#define SPINDLE_SIDECAR_CONN_STREAM_H

#include "common/tls/tls.h"

#include <uv.h>

/* Borrowed per-thread room that reads and writes go through; contents live for one call only. */
struct scratch {
    struct buf wire;   /* as it came from a socket */
    struct buf plain;  /* what the relay moves */
    struct buf sealed; /* as it goes to a socket */
};
#define SCRATCH_READ (512u * 1024u) /* bytes asked for in one read */
err_t scratch_init(struct scratch *s) MUST_CHECK;
void scratch_done(struct scratch *s);

enum stream_result {
    STREAM_OK,        /* some bytes (maybe none of the app's yet) */
    STREAM_AGAIN,     /* nothing there now */
    STREAM_EOF,       /* the other side sends no more */
    STREAM_TRUNCATED, /* it sends no more, and has not said so in TLS: see `why` */
    STREAM_ERROR,     /* broken; see `why` */
};

struct stream {
    uv_poll_t poll;
    int fd;             /* owned; -1 when closed */
    int interest;       /* UV_READABLE | UV_WRITABLE as registered */
    struct tls *tls;    /* owned, or NULL */
    struct buf pending; /* bytes for the wire */
    bool spoke;         /* bytes of TLS were sent */
    bool fin_wanted;    /* stream_close_write was called */
    bool fin_sent;
    bool more_inside; /* the TLS session holds bytes that no readiness will announce */
    bool broken;      /* the socket takes nothing more */
    bool was_reset;   /* by a reset that we were told of: the EOF that comes now is none */
    bool mute;        /* TLS has failed: what is pending may go out, no more can be sealed */
    bool hung_up;     /* told so once, without an error: STREAM_HANGUP would be told for ever */
    /* events: as registered; all of them after a socket error: try, and learn which */
    void (*on_ready)(void *arg, struct stream *s, int events);
    void (*on_closed)(void *arg);
    void *arg;
};

/* Nothing opened yet: fd is -1. */
void stream_init(struct stream *s, void (*on_ready)(void *arg, struct stream *s, int events),
                 void *arg);
/* Takes fd (connected, connecting, non-blocking). On failure fd stays the caller's. */
err_t stream_open(struct stream *s, uv_loop_t *loop, int fd, struct why *why) MUST_CHECK;
/* A TLS session on it, that has said nothing yet. As tls_new. */
err_t stream_secure(struct stream *s, struct tls_context *context, const struct tls_events *events,
                    struct why *why) MUST_CHECK;
/* Registers for readiness: UV_READABLE, UV_WRITABLE, both or 0; or STREAM_HANGUP, to hear of a
 * reset where nothing is to be read. Cheap when nothing changes. UV_WRITABLE is added by itself
 * while bytes are pending. */
#define STREAM_HANGUP UV_PRIORITIZED /* comes with any error, and not with a FIN */
void stream_want(struct stream *s, int events);

/* Steps the handshake with what is there. OK: done. AGAIN: waits for the peer. */
enum stream_result stream_handshake(struct stream *s, struct scratch *x, struct why *why);
/* Appends plaintext to x->plain: also when it ends or fails, what was good before. A stream that is
 * broken for writing is read to its end: what the peer sent before is in the kernel. */
enum stream_result stream_read(struct stream *s, struct scratch *x, struct why *why);
/* Takes all of `plain`; what the socket refuses becomes pending. OK or ERROR. */
enum stream_result stream_write(struct stream *s, struct slice plain, struct scratch *x,
                                struct why *why);
/* After STREAM_HANGUP. ERROR: reset, see `why`. OK: no error; the stream is not watched for one any
 * more. */
enum stream_result stream_check(struct stream *s, struct why *why);
/* Writes pending bytes, then the FIN if one is wanted. OK: nothing pending. AGAIN: some left. */
enum stream_result stream_flush(struct stream *s, struct why *why);
/* We send no more: close_notify where there is TLS, then FIN, behind what is pending. */
enum stream_result stream_close_write(struct stream *s, struct scratch *x, struct why *why);
/* What we took and its peer has not: pending, and what the kernel holds unacknowledged; of a Unix
 * socket only the former, as its reader gets the latter in any case. 0 when broken, reset or
 * closed. */
size_t stream_queued(const struct stream *s);
/* Can it still be given anything? */
static inline bool stream_is_spent(const struct stream *s)
{
    return s->broken || s->mute;
}
/* Gives up TLS after a failure: the alert that is pending goes out, then FIN. False: broken. */
bool stream_abandon(struct stream *s) MUST_CHECK;
static inline bool stream_is_full(const struct stream *s)
{
    return s->pending.len > 0;
}

/* With `reset` the peer sees RST instead of FIN. True: on_close(arg) comes from the loop, once, and
 * the stream's memory is the caller's again. False: nothing was open, nothing comes. */
bool stream_close(struct stream *s, bool reset, void (*on_close)(void *arg));

#endif
