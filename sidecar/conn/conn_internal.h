/* What conn.c (the machine), conn_relay.c (bytes under way), conn_end.c (the end), conn_verify.c
 * (judges the peer) and conn_report.c (words and numbers) share. Nobody else. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_INTERNAL_H
#define SPINDLE_SIDECAR_CONN_CONN_INTERNAL_H

#include "common/base/crowd.h"
#include "sidecar/conn/conn.h"
#include "sidecar/conn/conn_end.h"
#include "sidecar/conn/conn_report.h"
#include "sidecar/peer/peer_path.h"
#include "sidecar/worker/worker.h"

/* What an event brings along. */
struct conn_input {
    enum conn_event kind;
    struct stream *stream; /* READY */
    int events;            /* READY: UV_READABLE | UV_WRITABLE */
    int fd;                /* DIALED */
    const struct why *why; /* FAILED, CUT */
    enum conn_cut cut;     /* CUT */
};

struct conn {
    struct worker *worker;
    struct conn *next, *prev;         /* the worker's list */
    struct sidecar_config *config;    /* shared */
    const struct route_config *route; /* borrowed from config */
    size_t route_index;
    struct crowd_member newcomer; /* until it has shown who it is; for admission.c */
    uint64_t id;
    uint64_t opened_ns, state_ns;  /* monotonic */
    _Atomic int state;             /* enum conn_state; written by conn_enter alone */
    struct stream down, up;        /* accepted; dialled */
    struct stream *secure, *plain; /* the same two, by what they carry */
    struct relay relays[2];        /* down to up, up to down */
    struct dial *dial;             /* owned while dialling */
    uv_timer_t timer;
    unsigned closing;    /* handles to close before the memory may go */
    err_t failure;       /* LINGER: why the handshake failed */
    bool heard;          /* the TLS peer has said something */
    uint8_t doomed;      /* enum recheck_what that speaks against it: cut as soon as it stirs */
    uint64_t counted[2]; /* bytes of each relay that the metric has already */
    struct conn_end end;
    uint64_t idle_mark; /* bytes seen when the deadline was last set */
    struct sockaddr_storage from;
    struct conn_peer peer;
    struct expiry_item expiry; /* when the peer's certificate runs out, if that matters */
    int64_t drain_limit_ms;    /* 0: it does not drain */
    uint64_t drain_mark;       /* bytes seen at the last look */
};

static inline enum conn_state conn_state_of(const struct conn *c)
{
    return (enum conn_state)atomic_load_explicit(&c->state, memory_order_relaxed);
}

/* conn.c */
/* The only writer of the state. */
void conn_enter(struct conn *c, enum conn_state next);
/* Starts the time of its state anew. */
void conn_set_deadline(struct conn *c);

/* conn_relay.c */
void conn_enter_relay(struct conn *c);
void conn_step_relay(struct conn *c, const struct conn_input *in);
/* Bytes come and go in ENDING as in RELAY. */
void conn_relay_ready(struct conn *c, struct stream *s, int events);
void conn_update_interest(struct conn *c);

/* For tls.h's `verify`, with the connection as arg. */
err_t conn_verify_peer(void *arg, const struct slice *chain, size_t count, struct why *why);
/* Its route in the worker's configuration of now. */
const struct route_config *conn_route_now(const struct conn *c);
/* As its route's peer_expiry says. ERR_NO_MEMORY */
err_t conn_watch_expiry(struct conn *c, struct why *why);
uint64_t conn_bytes_moved(const struct conn *c);

#endif
