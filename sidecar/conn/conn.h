/* One relayed connection: THE state machine (states.def), one writer of its state (conn_enter).
 * Owned by its worker; worker thread only, but for the fields that conn_describe reads under the
 * worker's lock. Frees itself after CLOSED when the last handle has closed. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_H
#define SPINDLE_SIDECAR_CONN_CONN_H

#include "sidecar/config/config.h"
#include "sidecar/conn/dial.h"
#include "sidecar/conn/expiry.h"
#include "sidecar/conn/relay.h"

enum conn_state {
#define S(name, deadline, text) CONN_##name,
#include "sidecar/conn/states.def"
#undef S
    CONN_STATES
};
const char *conn_state_name(enum conn_state state); /* "relay" */
const char *conn_state_text(enum conn_state state);

enum conn_event {
    CONN_EV_START,    /* accepted, or its worker has an identity now */
    CONN_EV_READY,    /* a socket is readable or writable */
    CONN_EV_DIALED,   /* the forward address answered: `fd` */
    CONN_EV_FAILED,   /* dialling failed: `why` */
    CONN_EV_DEADLINE, /* the state's time is over */
    CONN_EV_CUT,      /* ended from outside (quit, revoked): `why`, `cut` */
};

struct conn;
struct worker;

/* Takes fd on success. The connection is in the worker's list from then on. */
err_t conn_open(struct worker *w, size_t route, int fd, const struct sockaddr_storage *from,
                struct why *why) MUST_CHECK;
/* The worker has an identity: connections in HOLD go on. */
void conn_identity_ready(struct conn *c);
/* Ends it. A peer that is welcome no longer sees RST, without close_notify, and so does the app:
 * neither may take what it has for the whole. */
enum conn_cut {
    CONN_CUT_LEAVE,   /* within 250 ms, behind what is taken by then: docs/connection-ends.md */
    CONN_CUT_RESET,   /* at once, RST on both sides */
    CONN_CUT_ORDERLY, /* close_notify and FIN: nothing was under way */
};
void conn_cut(struct conn *c, const struct why *why, enum conn_cut how);

/* One that has ended but for an app that is silent makes room at a limit: it ends now, as its route
 * says. False: it is not one, or something of it is still to be taken. */
bool conn_ending_yield(struct conn *c);

/* What to ask about a live connection's peer; bits. */
enum recheck_what {
    RECHECK_REVOCATION = 1,
    RECHECK_ROUTE = 2,  /* is it on the list of its route? */
    RECHECK_TRUST = 4,  /* is its anchor in the bundle of its trust domain? */
    RECHECK_EXPIRY = 8, /* set the time of its end anew */
};
/* True: its peer is welcome no longer. Not a byte passes any more, conn_cut_doomed ends it. */
bool conn_recheck(struct conn *c, unsigned what, int64_t now);
/* True: a doomed connection was cut, with a line in the log if `loud`. */
bool conn_cut_doomed(struct conn *c, int64_t now, bool loud);
/* The peer's certificate has run out, or the look at one that drains is due. */
void conn_on_expiry(struct expiry_item *item);

/* What `conns` shows; a copy, so that it is safe to keep. */
struct conn_view {
    uint64_t id;
    enum route_direction direction;
    enum conn_state state;
    char from[ADDRESS_TEXT_LEN];
    char forward[ADDRESS_TEXT_LEN];
    char peer_id[SPIFFEID_MAX + 1]; /* "" before the handshake */
    uint64_t age_ms;
    uint64_t bytes_to_app, bytes_from_app; /* the app beside this sidecar */
};
/* Any thread that holds the worker's lock. */
void conn_describe(const struct conn *c, struct conn_view *ret);
/* The worker's list. */
struct conn *conn_next(const struct conn *c);

#endif
