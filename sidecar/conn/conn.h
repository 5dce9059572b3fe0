/* One relayed connection: THE state machine (states.def), one writer of its state (conn_enter), and
 * how it ends (docs/connection-ends.md). Of its home's thread alone, but for conn_describe. Frees
 * itself after CLOSED when the last handle has closed. */
#ifndef SPINDLE_SIDECAR_CONN_CONN_H
#define SPINDLE_SIDECAR_CONN_CONN_H

#include "sidecar/conn/conn_home.h"
#include "sidecar/conn/conn_verify.h"
#include "sidecar/conn/conn_view.h"

/* Takes fd on success. ERR_NO_MEMORY, ERR_IO. Nothing happens before conn_start, which may end it;
 * in between its home gives it its seat. */
err_t conn_open(struct conn_home *h, size_t route, int fd, const struct sockaddr_storage *from,
                struct conn **ret, struct why *why) MUST_CHECK;
void conn_start(struct conn *c);
/* There is an identity: one in HOLD goes on. */
void conn_identity_ready(struct conn *c);
/* Ends it. A peer that is welcome no longer sees RST, without close_notify, and so does the app:
 * neither may take what it has for the whole. */
enum conn_cut {
    CONN_CUT_LEAVE,   /* within 250 ms, behind what is taken by then */
    CONN_CUT_RESET,   /* at once, RST on both sides */
    CONN_CUT_ORDERLY, /* close_notify and FIN: nothing was under way */
};
void conn_cut(struct conn *c, const struct why *why, enum conn_cut how);

/* Two that make room at a limit. One that has ended but for an app that is silent: it ends now, as
 * its route says. False: it is not one, or something of it is still to be taken. */
bool conn_ending_yield(struct conn *c);
bool conn_is_ending(const struct conn *c);
/* A newcomer: one line, and it is reset. */
void conn_newcomer_cut(struct conn *c, const struct why *why);
/* It was answered, and has been in its state for less than a second. */
bool conn_is_at_work(const struct conn *c);

/* True: its peer is welcome no longer. Not a byte passes any more, conn_cut_doomed ends it. `what`:
 * enum recheck_what. */
bool conn_recheck(struct conn *c, unsigned what, int64_t now);
/* True: a doomed connection was cut, with a line in the log if `loud`. */
bool conn_cut_doomed(struct conn *c, int64_t now, bool loud);
/* For the home's `expiry`. */
void conn_on_expiry(struct expiry_item *item);

/* Any thread, while its home keeps it from ending. */
void conn_describe(const struct conn *c, struct conn_view *ret);
/* That it was accepted for, in the configuration of then; the index is the same in all. */
const struct route_config *conn_route(const struct conn *c);
size_t conn_route_index(const struct conn *c);
/* Of its own, for its home. */
struct conn_seat *conn_seat(struct conn *c);
struct conn *conn_of_seat(struct conn_seat *seat);

#endif
