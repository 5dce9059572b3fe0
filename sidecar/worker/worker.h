/* A thread's worth of data path: loop, listeners, connections, TLS contexts, scratch room. Worker 0
 * runs on the main thread's loop, others have their own. What a worker is told lies in its mailbox,
 * newest only: any thread posts, the worker's loop takes. */
#ifndef SPINDLE_SIDECAR_WORKER_WORKER_H
#define SPINDLE_SIDECAR_WORKER_WORKER_H

#include "sidecar/conn/recheck.h"
#include "sidecar/worker/admission.h"

#include <pthread.h>

struct identity;
struct listener;

/* What all workers of a sidecar use at once. */
struct worker_shared {
    struct metrics *metrics;
    struct notes *notes;
    struct resolver *resolver; /* NULL: names do not resolve */
    struct places *places;
};

/* What it is told and has not taken yet; worker.c alone touches it. */
struct mail {
    bool has_identity, has_view, has_life_limit, has_hold;
    struct identity *identity;     /* shared, may be NULL while has_identity */
    struct sidecar_config *config; /* shared, or NULL */
    struct revocation_view *view;  /* counted, may be NULL while has_view */
    int64_t life_limit_s;
    bool hold, changed, stop, close;
};
struct mailbox {
    pthread_mutex_t lock;
    uv_async_t bell;
    struct mail mail;
};

struct worker {
    struct conn_home home; /* loop, configuration, contexts: what its connections go by */
    uv_loop_t own_loop;    /* worker 0: none, its home's is borrowed */
    pthread_t thread;      /* others */
    struct recheck recheck;
    struct listener **listeners; /* one a route; NULL when closed */
    size_t route_count;
    struct admission admission;
    bool closing;
    pthread_mutex_t lock;   /* guards `refused` and the list for other threads */
    struct conn_list conns; /* newest first */
    _Atomic size_t conn_count;
    struct why refused; /* why the newest identity cannot be used; ERR_OK: it can */
    bool serves;        /* with the one before, then */
    struct mailbox box;
};

/* Takes the listening sockets, one a route. Index 0 works on `loop`, by the caller's thread; other
 * indexes start a thread of their own and ignore `loop`. Sockets taken are set to -1; on failure
 * the others stay the caller's. */
err_t worker_open(struct worker *w, unsigned index, uv_loop_t *loop, struct sidecar_config *config,
                  const struct worker_shared *shared, int *listen_fds, struct why *why) MUST_CHECK;

/* From any thread. NULL takes the identity away: new connections wait for the next. */
void worker_post_identity(struct worker *w, struct identity *identity);
void worker_post_config(struct worker *w, struct sidecar_config *config); /* of the same routes */
/* The revocation cache, counted; NULL: there is none. Live connections are held against it. */
void worker_post_view(struct worker *w, struct revocation_view *view);
void worker_post_changed(struct worker *w);
/* What the agent's SVIDs live at most; 0: no limit. Binds handshakes from now on. */
void worker_post_life_limit(struct worker *w, int64_t seconds);
/* Stops accepting, live connections go on; and ends all of them, and an own thread then. */
void worker_post_stop(struct worker *w);
void worker_post_close(struct worker *w);
/* After worker_post_close, and for worker 0 once its loop has run dry: joins, frees. */
void worker_done(struct worker *w);
/* A view of each connection, newest first, at most max. Any thread. */
void worker_each(struct worker *w, size_t max, void (*fn)(void *arg, const struct conn_view *view),
                 void *arg);
/* Could it not take the newest identity? Any thread. */
struct worker_refusal {
    struct why why;
    bool serves; /* with the one before */
};
bool worker_refused_identity(struct worker *w, struct worker_refusal *ret);
/* New connections wait though there is an identity: what is revoked is not here yet. */
void worker_post_hold(struct worker *w, bool hold);

#endif
