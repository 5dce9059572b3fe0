/* What conn.c (the machine), conn_verify.c (judges the peer) and conn_report.c (words and numbers)
 * share. Nobody else. */
#ifndef SPINDLE_SIDECAR_CONN_INTERNAL_H
#define SPINDLE_SIDECAR_CONN_INTERNAL_H

#include "sidecar/conn.h"
#include "sidecar/peer_path.h"
#include "sidecar/worker.h"

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

struct conn {
    struct worker *worker;
    struct conn *next, *prev;         /* the worker's list */
    struct sidecar_config *config;    /* shared */
    const struct route_config *route; /* borrowed from config */
    size_t route_index;
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
    uint64_t idle_mark;  /* bytes seen when the deadline was last set */
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

void conn_peer_note(struct conn_peer *p, const struct svid_peer *seen);
/* For as long as it lives; false: no memory. */
bool conn_peer_keep(struct conn_peer *p, const struct svid_peer *seen);
void conn_peer_done(struct conn_peer *p);

/* For tls.h's `verify`, with the connection as arg. */
err_t conn_verify_peer(void *arg, const struct slice *chain, size_t count, struct why *why);
/* Its route in the worker's configuration of now. */
const struct route_config *conn_route_now(const struct conn *c);
/* As its route's peer_expiry says. ERR_NO_MEMORY */
err_t conn_watch_expiry(struct conn *c, struct why *why);
uint64_t conn_bytes_moved(const struct conn *c);

/* One line, and the counters. */
/* Before it enters `next`. */
void conn_report_state(struct conn *c, enum conn_state next);
void conn_report_handshake(struct conn *c);
void conn_report_dialed(struct conn *c);
void conn_report_handshake_failure(struct conn *c, err_t err, const struct why *why);
void conn_report_connect_failure(struct conn *c, err_t err, const struct why *why);
void conn_report_open(struct conn *c);
/* Adds what moved since the last call to the metric. */
void conn_count_bytes(struct conn *c);
/* Before conn_cut. */
void conn_report_cut(struct conn *c, const struct why *why, enum log_level level);
void conn_report_closed(struct conn *c, err_t err, const struct why *why);

#endif
