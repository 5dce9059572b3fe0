/* How a connection that was accepted reaches its other end: the seam between conn.c, which has the
 * states and their deadlines, and the ways there are. One kind so far: direct, a connection of its
 * own to the route's forward address; outbound, that is the peer, and TLS is spoken on it.
 *
 * The connection embeds a struct tunnel and starts it once; the kind opens `stream` and answers
 * once, from the loop, never from within start. The TLS handshake on that stream is the
 * connection's to step, and so is its end. All of it on the connection's thread. */
#ifndef SPINDLE_SIDECAR_CONN_TUNNEL_H
#define SPINDLE_SIDECAR_CONN_TUNNEL_H

#include "sidecar/conn/conn_home.h"
#include "sidecar/conn/dial.h"

struct tunnel_answers {
    /* `stream` is open; outbound with a TLS session on it, which has said nothing yet. */
    void (*open)(void *arg);
    /* It is not. `reached`: the way there stood, and something of ours was lacking. */
    void (*failed)(void *arg, const struct why *why, bool reached);
};

struct tunnel;
struct tunnel_kind {
    /* After a failure there is no answer. */
    err_t (*start)(struct tunnel *t, struct why *why);
    /* The connection's patience is over, and it cancels: how far it came. */
    void (*too_late)(const struct tunnel *t, struct why *why);
    /* No answer any more. Also when there was one, or none was asked for. */
    void (*cancel)(struct tunnel *t);
};

/* Borrowed but for what the kind owns. */
struct tunnel {
    const struct tunnel_kind *kind;
    const struct tunnel_answers *answers;
    void *arg; /* of the answers, and for tls.h's `verify` */
    err_t (*verify)(void *arg, const struct slice *chain, size_t count, struct why *why);
    struct conn_home *home;
    const struct route_config *route;
    uint64_t timeout_ms; /* that the connection waits */
    struct stream *stream;
    struct dial *dial; /* owned by the kind while under way */
};

extern const struct tunnel_kind tunnel_direct;

#endif
