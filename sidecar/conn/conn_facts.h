/* What a connection is made of and what is known of it: data alone. conn.c (the machine) writes it,
 * conn_verify.c judges its peer by it, conn_report.c tells of it; nobody else looks in here. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_FACTS_H
#define SPINDLE_SIDECAR_CONN_CONN_FACTS_H

#include "sidecar/conn/conn_home.h"
#include "sidecar/conn/conn_view.h"
#include "sidecar/conn/protocol.h"
#include "sidecar/conn/tunnel.h"
#include "sidecar/peer/peer_path.h"

/* What the log line of a refusal shows of a certificate. */
struct conn_shown {
    char serial[48], issuer[256];
};
/* What the verifier saw of the peer. */
struct conn_peer {
    _Atomic(char *) id;            /* owned; set once, so other threads may read it */
    struct conn_shown *shown;      /* owned; until the handshake is done */
    struct peer_path *path;        /* owned; NULL: not verified */
    int64_t not_before, not_after; /* 0: no certificate seen */
};

/* How it ends, from the first that is wrong on. */
struct conn_end {
    err_t err;              /* the cause; ERR_OK: nothing is wrong */
    bool begun;             /* it is over for both; what is queued is still taken, in ENDING */
    bool orderly;           /* nothing was under way: nobody is reset */
    uint64_t moved, queued; /* at the last look */
    uint64_t changed_ns;    /* when one of them last changed */
    uint64_t until_ns;      /* 0, or when patience ends in any case: this program leaves */
};

struct conn {
    struct conn_home *home; /* borrowed */
    struct conn_seat seat;
    struct sidecar_config *config;    /* shared; it was accepted under it */
    const struct route_config *route; /* borrowed from config */
    size_t route_index;
    uint64_t id;
    uint64_t opened_ns, state_ns;  /* monotonic */
    _Atomic int state;             /* enum conn_state; written by conn_enter alone */
    struct stream down, up;        /* accepted; dialled */
    struct stream *secure, *plain; /* the same two, by what they carry */
    struct protocol protocol;      /* what goes on between them */
    struct tunnel tunnel;          /* the way to `up` */
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

/* Its route as the configuration says now: the list may be shorter than when it was accepted. */
static inline const struct route_config *conn_route_now(const struct conn *c)
{
    return &c->home->config->routes[c->route_index];
}

#endif
