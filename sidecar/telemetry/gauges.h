/* The sidecar's gauges that follow the clock and the identity in use, and those of its process.
 * They are set before each scrape, and every five seconds while the agent reads them from the
 * metrics page. Loop thread only. */
#ifndef SPINDLE_SIDECAR_TELEMETRY_GAUGES_H
#define SPINDLE_SIDECAR_TELEMETRY_GAUGES_H

#include "common/spiffe/identity.h"
#include "sidecar/telemetry/metrics.h"

#include <uv.h>

#define GAUGES_TICK_MS 5000

struct gauges; /* opaque */

err_t gauges_open(uv_loop_t *loop, struct metrics *m, struct gauges **ret,
                  struct why *why) MUST_CHECK;
/* This identity is in use now. A certificate that is another than the last one counts as a
 * rotation, the first one and new bundles alone do not. Roots that its bundles hold in vain are
 * told of (skipped_roots.h). */
void gauges_set_identity(struct gauges *g, const struct identity *id);
/* Closes the timer; scrapes may still come. NULL is fine, as for the next. */
void gauges_stop(struct gauges *g);
/* When the loop has run dry and no scrape can come. */
void gauges_free(struct gauges *g);

#endif
