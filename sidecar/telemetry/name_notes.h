/* What is told of names: the resolver's counters and log lines. */
#ifndef SPINDLE_SIDECAR_TELEMETRY_NAME_NOTES_H
#define SPINDLE_SIDECAR_TELEMETRY_NAME_NOTES_H

#include "common/metric/metric.h"
#include "common/resolve/resolver.h"
#include "sidecar/telemetry/notes.h"

struct name_notes; /* opaque */

/* A resolver on the loop that tells what it does. Borrows metrics and notes for life. After a
 * failure *ret may be set all the same, and is to be closed then. */
err_t name_notes_new(uv_loop_t *loop, struct metrics *m, struct notes *notes,
                     struct name_notes **ret, struct why *why) MUST_CHECK;
struct resolver *name_notes_resolver(struct name_notes *n);
/* NULL is fine for both; resolver.h says when. */
void name_notes_close(struct name_notes *n);
void name_notes_free(struct name_notes *n);

#endif
