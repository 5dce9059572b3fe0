/* What /ready answers, and why. Main loop. */
#ifndef SPINDLE_SIDECAR_ADMIN_READINESS_H
#define SPINDLE_SIDECAR_ADMIN_READINESS_H

#include "sidecar/worker/worker.h"

struct readiness {
    const struct sidecar_config *config;
    struct worker *workers; /* the first runs on this loop */
    unsigned worker_count;
    const struct places *places;
    bool leaving; /* told to end */
    bool has_identity, has_view;
    const struct why *problem; /* why there is no identity, ERR_OK: nobody has said */
    bool is_denied;            /* the agent is there and does not tell what is revoked */
};

/* False: not ready, 503. The first line of *words is the verdict with its reason; further ones say
 * what is wrong though it serves ("degraded: ..."). No memory for the words: not ready. */
bool readiness_tell(const struct readiness *r, struct buf *words);

#endif
