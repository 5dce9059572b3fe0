/* Walks a worker's live connections and cuts those whose peer is welcome no longer: revoked, off
 * the list of its route, its anchor gone. In turns of some milliseconds, so that the loop stays
 * responsive; what changes while a walk is under way is looked at in a walk right behind it, so
 * none starves and none is forgotten. Worker thread only. */
#ifndef SPINDLE_SIDECAR_RECHECK_H
#define SPINDLE_SIDECAR_RECHECK_H

#include "sidecar/conn.h"

struct recheck {
    uv_idle_t turn;
    uv_timer_t watch; /* while there is a cache */
    struct worker *worker;
    struct conn *at;     /* the next to look at */
    unsigned what;       /* enum recheck_what of this walk; 0: none is under way */
    unsigned again;      /* of the walk behind it */
    uint64_t generation; /* of the revocation cache, as it was before the last look at it */
    uint64_t started_ns;
    size_t seen, cut, told; /* told: log lines of this walk */
};

void recheck_open(struct recheck *r, struct worker *w);
void recheck_close(struct recheck *r); /* the loop frees its handles */
void recheck_start(struct recheck *r, unsigned what);
/* The cache says that it changed: a walk, unless one has begun since. */
void recheck_changed(struct recheck *r);
/* The worker has another cache now, or none: a walk. The cache is asked every second from now on
 * whether it changed: a sidecar that lost its identity, or its agent, is told nothing. */
void recheck_cache(struct recheck *r);
/* c leaves the worker's list, still linked. */
void recheck_forget(struct recheck *r, const struct conn *c);

#endif
