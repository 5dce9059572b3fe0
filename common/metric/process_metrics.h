/* The families of common/metric/metrics.def: build, log and the process itself. They come first in
 * each program's table, so one enum serves both. Loop thread only. */
#ifndef SPINDLE_COMMON_METRIC_PROCESS_METRICS_H
#define SPINDLE_COMMON_METRIC_PROCESS_METRICS_H

#include "common/metric/metric.h"

enum common_metric {
#define METRIC(id, ...) M_##id,
#include "common/metric/metrics.def"
#undef METRIC
    COMMON_METRIC_COUNT
};

/* Values of the label `result`. */
enum result { RESULT_SUCCESS, RESULT_FAILURE };

/* Why the metrics or the admin socket cut a client off. */
enum http_cut {
    HTTP_CUT_ROOM,        /* for another one: it took longest */
    HTTP_CUT_TIME,        /* its request, or its taking of the answer, took too long */
    HTTP_CUT_DESCRIPTORS, /* for another one, as there was no descriptor left */
};

struct process_metrics; /* opaque */

/* Sets what never changes and hooks the rest into each scrape; reads /proc/self only, by
 * descriptors opened here, so that it works inside the sandbox. M_CONFIG_RELOADED is 1
 * until the program sets it. Free it after `m`'s last scrape. */
err_t process_metrics_new(struct metrics *m, struct process_metrics **ret,
                          struct why *why) MUST_CHECK;
void process_metrics_free(struct process_metrics *p);

#endif
