/* What a worker is told and has not taken yet, newest only. worker.c alone touches it; see
 * worker.h. */
#ifndef SPINDLE_SIDECAR_WORKER_MAILBOX_H
#define SPINDLE_SIDECAR_WORKER_MAILBOX_H

#include "sidecar/config/config.h"

#include <pthread.h>
#include <uv.h>

struct identity;
struct revocation_view;

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

#endif
