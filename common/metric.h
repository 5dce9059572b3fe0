/* Counters, gauges and histograms from one table per program (metrics.def), in one flat array of
 * 64-bit slots whose layout follows from the table alone. Counting is one relaxed atomic add, from
 * any thread, and never allocates. All series of closed label sets exist from start with 0.
 * Exposition is in metric_text.h. */
#ifndef SPINDLE_COMMON_METRIC_H
#define SPINDLE_COMMON_METRIC_H

#include "common/why.h"

#include <stdint.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
#define METRIC_LABELS_MAX 3
#define METRIC_DYNAMIC_MAX 64 /* values of an open label; more are counted as dropped */

/* A closed label: its values, in index order. count 0 makes it open (text given at run time,
 * metric_dynamic). At most one open label a family, and it stands first. */
struct metric_label {
    const char *name;
    const char *const *values;
    size_t count;
};
struct metric_family {
    const char *name; /* without prefix; counters with _total */
    enum metric_type type;
    const char *unit; /* "seconds", "bytes" or "" */
    const char *help;
    struct metric_label label[METRIC_LABELS_MAX];
    size_t label_count;
    const double *buckets; /* histograms: upper bounds in the unit, ascending, without +Inf */
    size_t bucket_count;
};

struct metrics; /* opaque */

/* Borrows the table for life. prefix such as "spindle_" or "". */
err_t metrics_new(const struct metric_family *table, size_t count, const char *prefix,
                  struct metrics **ret, struct why *why) MUST_CHECK;
void metrics_free(struct metrics *m);

/* Label indexes in table order; pass 0 where there is no such label. `m` may be NULL (counts
 * nothing), so that pure code is tested without. */
void metric_add(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t n);
void metric_set(struct metrics *m, size_t family, size_t a, size_t b, size_t c, double value);
/* Gauges that go up and down by whole numbers. */
void metric_move(struct metrics *m, size_t family, size_t a, size_t b, size_t c, int64_t delta);
/* Histogram of durations: value in nanoseconds. */
void metric_observe_ns(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t ns);
uint64_t metric_read(const struct metrics *m, size_t family, size_t a, size_t b, size_t c);
/* Index of an open label's value, registering it; past METRIC_DYNAMIC_MAX the index of "other", and
 * metrics_series_dropped_total counts. Loop thread only. */
size_t metric_dynamic(struct metrics *m, size_t family, const char *value);

/* Called before each exposition, to set gauges that depend on the clock. At most 8. */
err_t metrics_on_scrape(struct metrics *m, void (*fn)(void *arg), void *arg) MUST_CHECK;

#endif
