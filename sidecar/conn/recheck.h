/* Walks the live connections of a home and cuts those whose peer is welcome no longer: revoked, off
 * the list of its route, its anchor gone. First all are judged, which takes a microsecond each: not
 * a byte passes the doomed from then on. Then they are closed, which takes the kernel far longer.
 * In turns of some milliseconds, so that the loop stays responsive; what changes meanwhile is
 * looked at in a walk right behind, so none starves and none is forgotten. Of the home's thread
 * alone. */
#ifndef SPINDLE_SIDECAR_CONN_RECHECK_H
#define SPINDLE_SIDECAR_CONN_RECHECK_H

#include "sidecar/conn/conn.h"

struct recheck {
    uv_idle_t turn;
    uv_timer_t watch;              /* while there is a cache */
    const struct conn_home *home;  /* borrowed */
    const struct conn_list *conns; /* borrowed: all of them */
    struct conn_seat *at;          /* the next to look at */
    unsigned what;                 /* enum recheck_what of this walk; 0: none is under way */
    unsigned again;                /* of the walk behind it */
    bool cutting;                  /* all have been judged */
    uint64_t generation; /* of the revocation cache, as it was before the last look at it */
    uint64_t started_ns, judged_ns;
    size_t kept, doomed, cut, told; /* told: log lines */
};

void recheck_open(struct recheck *r, const struct conn_home *h, const struct conn_list *conns);
void recheck_close(struct recheck *r); /* the loop frees its handles */
void recheck_start(struct recheck *r, unsigned what);
/* The cache says that it changed: a walk, unless one has begun since. */
void recheck_changed(struct recheck *r);
/* The home has another cache now, or none: a walk. The cache is asked every second from now on
 * whether it changed: a sidecar that lost its identity, or its agent, is told nothing. */
void recheck_cache(struct recheck *r);
/* For the home's `doomed`: a doomed connection stirred, its turn is now. */
bool recheck_cut(struct recheck *r, struct conn *c);
/* c leaves the list, still linked. */
void recheck_forget(struct recheck *r, struct conn *c);

#endif
