/* What goes on between the two ends of a connection: the seam between conn.c, which has the states,
 * the deadlines and the end, and the kinds of protocol a route may speak. One kind so far: tcp, raw
 * bytes as they come.
 *
 * The connection embeds a struct protocol and calls its kind; the kind answers by the table of
 * answers, in the midst of such a call and at no other time, and never closes a stream: the
 * connection does, once the call has returned. All of it on the connection's thread.
 *
 * Whatever a kind makes of the bytes, it moves them by the two relays, so that they are counted in
 * one place and end by one rule: eof is set where a source has ended, fin_sent of a sink once that
 * was passed on. A kind that needs more of its own hangs it on the struct. */
#ifndef SPINDLE_SIDECAR_CONN_PROTOCOL_H
#define SPINDLE_SIDECAR_CONN_PROTOCOL_H

#include "sidecar/config/config.h"
#include "sidecar/conn/relay.h"

struct protocol;

struct protocol_answers {
    /* Something failed: from now on what is under way is brought home. why NULL: as `truncated`
     * said before. */
    void (*failed)(void *arg, const struct why *why);
    /* The source sent FIN without close_notify. The kind decides what its reader is told of it. */
    void (*truncated)(void *arg, const struct why *why);
    /* The peer has refused us: in TLS 1.3 a client is through with the handshake before the server
     * has judged it. `failed` follows. */
    void (*refused)(void *arg, const struct why *why);
};

/* Each may answer; none blocks. */
struct protocol_kind {
    /* Both ends are open; more may have come with the handshake. Wants what it needs. */
    void (*start)(struct protocol *p);
    /* `events` of stream.h on one of the two: reads it once at most, and passes on what came. Wants
     * what it needs next, unless it is through. The hot path: one call for each readiness. */
    void (*ready)(struct protocol *p, struct stream *s, int events);
    /* Registers both streams for what can be done: after the connection has changed something. */
    void (*want)(struct protocol *p);
    /* Nothing is under way, or nobody took it: what has arrived is passed on, then the ends. Called
     * until all is taken. False: somebody would take a part for the whole. */
    bool (*finish)(struct protocol *p);
    /* This program leaves: passes on what has arrived, and reads no more. Does not answer. */
    void (*leave)(struct protocol *p);
};

struct protocol {
    const struct protocol_kind *kind;
    const struct protocol_answers *answers;
    void *arg;
    const struct route_config *route; /* borrowed, as are the others */
    struct stream *secure;            /* of the two, the one with TLS */
    struct scratch *scratch;
    struct relay relays[2]; /* accepted to dialled, dialled to accepted */
};

/* One direction has ended. */
static inline bool protocol_is_half(const struct protocol *p)
{
    return p->relays[0].eof || p->relays[1].eof;
}
/* Both have, and were told so. */
static inline bool protocol_is_through(const struct protocol *p)
{
    const struct relay *a = &p->relays[0], *b = &p->relays[1];
    return a->eof && b->eof && a->to->fin_sent && b->to->fin_sent;
}
/* No byte will go either way any more. */
static inline bool protocol_is_over(const struct protocol *p)
{
    return relay_is_over(&p->relays[0]) && relay_is_over(&p->relays[1]);
}
/* Any thread. */
static inline uint64_t protocol_bytes(const struct protocol *p)
{
    return relay_bytes(&p->relays[0]) + relay_bytes(&p->relays[1]);
}

extern const struct protocol_kind protocol_tcp;

#endif
