/* Tells of roots that a bundle holds and we cannot use: when they are others than those told of
 * last, one line for each root whose reason the bundle kept, and a counter of all. Loop thread
 * only. */
#ifndef SPINDLE_SIDECAR_TELEMETRY_SKIPPED_ROOTS_H
#define SPINDLE_SIDECAR_TELEMETRY_SKIPPED_ROOTS_H

#include "common/spiffe/bundle.h"
#include "sidecar/telemetry/metrics.h"

struct skipped_roots {
    uint8_t told[SHA256_LEN]; /* of the bundles that were told of; zero at birth */
};

void skipped_roots_tell(struct skipped_roots *s, struct metrics *m, const struct bundle_set *now);

#endif
