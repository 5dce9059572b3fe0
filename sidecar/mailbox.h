/* What a worker is told, newest only: any thread puts it in, the worker's loop takes it out. */
#ifndef SPINDLE_SIDECAR_MAILBOX_H
#define SPINDLE_SIDECAR_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct mail {
    bool has_identity, has_view, has_life_limit;
    struct identity *identity;     /* shared, may be NULL while has_identity */
    struct sidecar_config *config; /* shared, or NULL */
    struct revocation_view *view;  /* counted, may be NULL while has_view */
    int64_t life_limit_s;
    bool changed, stop, close;
};
struct mailbox {
    pthread_mutex_t lock;
    uv_async_t bell;
    struct mail mail;
};

#endif
