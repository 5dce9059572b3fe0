/* /metrics, /live and /ready of a program, on one HTTP listener. Loop thread only. */
#ifndef SPINDLE_COMMON_PROBES_H
#define SPINDLE_COMMON_PROBES_H

#include "common/address.h"
#include "common/buf.h"
#include "common/metric.h"

#include <uv.h>

struct probes; /* opaque */

/* Says whether the program is ready, and appends why (a few lines) to `words`. */
typedef bool (*probes_ready)(void *arg, struct buf *words);

/* Logs `listening kind=metrics address=...`. Borrows `metrics`. ERR_IO naming the address. */
err_t probes_open(uv_loop_t *loop, const struct address *listen, struct metrics *metrics,
                  probes_ready ready, void *arg, struct probes **ret, struct why *why) MUST_CHECK;
/* Frees itself in the last close callback, then calls done (may be NULL). */
void probes_close(struct probes *p, void (*done)(void *arg), void *arg);

#endif
