/* Judges the peer of a connection: at the handshake, again while it lives, and when its certificate
 * runs out. conn.c asks, and does what follows from the answer. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_VERIFY_H
#define SPINDLE_SIDECAR_CONN_CONN_VERIFY_H

#include "common/base/slice.h"
#include "common/base/why.h"

struct conn;

/* What to ask about a live connection's peer; bits. */
enum recheck_what {
    RECHECK_REVOCATION = 1,
    RECHECK_ROUTE = 2,  /* is it on the list of its route? */
    RECHECK_TRUST = 4,  /* is its anchor in the bundle of its trust domain? */
    RECHECK_EXPIRY = 8, /* set the time of its end anew */
};

/* For tls.h's `verify`, with the connection as arg. What was seen of the peer is kept. */
err_t conn_verify_peer(void *arg, const struct slice *chain, size_t count,
                       struct why *why) MUST_CHECK;
/* Of a peer that was admitted. why may be NULL. */
err_t conn_verify_again(struct conn *c, unsigned what, int64_t now, struct why *why) MUST_CHECK;
/* Notes when its certificate runs out, as its route's peer_expiry says. ERR_NO_MEMORY */
err_t conn_watch_expiry(struct conn *c, struct why *why) MUST_CHECK;
/* That time has come, or the look at one that drains. */
enum conn_due {
    CONN_DUE_LATER, /* or never */
    CONN_DUE_IDLE,  /* now, and nothing is under way */
    CONN_DUE_BUSY,  /* now */
};
enum conn_due conn_verify_due(struct conn *c, struct why *why);

/* What is kept of the peer: what only a refusal shows, and all of it. */
void conn_peer_forget_shown(struct conn *c);
void conn_peer_done(struct conn *c);

#endif
