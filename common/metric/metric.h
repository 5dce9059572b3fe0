/* Counters, gauges and histograms from one table per program (metrics.def), in one flat array of
 * 64-bit slots whose layout follows from the table alone. Counting is one relaxed atomic add, from
 * any thread, and never allocates. All series of closed label sets exist from start with 0.
 * Exposition is in metric_text.h. */
#ifndef SPINDLE_COMMON_METRIC_METRIC_H
#define SPINDLE_COMMON_METRIC_METRIC_H

#include "common/base/why.h"

#include <stdint.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
#define METRIC_LABELS_MAX 4
#define METRIC_DYNAMIC_MAX 64 /* values of an open label; more are counted as dropped */

/* A closed label has `count` values, texts or error names (then "other"), in index order. An open
 * one (count 0) gets its texts at run time (metric_dynamic); at most one a family, the first.
 * A tied label has no index of its own: it says more about the label before it. */
struct metric_label {
    const char *name;
    const char *const *values;
    const err_t *errors;
    size_t count;
    bool tied;
};
#define METRIC_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
struct metric_family {
    const char *name; /* without prefix; counters with _total */
    enum metric_type type;
    const char *unit;      /* "seconds", "bytes" or ""; counters of seconds count nanoseconds */
    const char *help;      /* a sentence */
    const double *buckets; /* histograms: upper bounds in the unit, ascending, without +Inf */
    size_t bucket_count;
    struct metric_label label[METRIC_LABELS_MAX]; /* with more than one value: at most 3 untied */
};

struct metrics; /* opaque */

/* Borrows the table for life. prefix such as "spindle_" or "", copied. */
err_t metrics_new(const struct metric_family *table, size_t count, const char *prefix,
                  struct metrics **ret, struct why *why) MUST_CHECK;
void metrics_free(struct metrics *m);
/* a, b, c: indexes of the untied labels, in order; 0 where there is no such label. `m` may be NULL
 * (counts nothing), so that pure code is tested without. */
void metric_add(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t n);
void metric_set(struct metrics *m, size_t family, size_t a, size_t b, size_t c, double value);
/* Gauges that go up and down by whole numbers. */
void metric_move(struct metrics *m, size_t family, size_t a, size_t b, size_t c, int64_t delta);
/* Histogram of durations: value in nanoseconds. */
void metric_observe_ns(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t ns);
/* A counter whose total somebody else keeps; counts what came to it since the last call. Loop
 * thread only. */
void metric_mirror(struct metrics *m, size_t family, size_t a, size_t b, size_t c, uint64_t total);
/* Counters: the count. Gauges: the value, whole. Histograms: how many were observed. */
uint64_t metric_read(const struct metrics *m, size_t family, size_t a, size_t b, size_t c);
/* Index of `err` in the family's label of errors; that of "other" when it is not listed. */
size_t metric_reason(const struct metrics *m, size_t family, err_t err);
/* Index of an open label's value, registering it; past METRIC_DYNAMIC_MAX, or for a text of 256
 * bytes and more, the index of "other", and metrics_series_dropped_total counts. Loop thread only.
 */
size_t metric_dynamic(struct metrics *m, size_t family, const char *value);
/* The index of "other" in an open label, shown from now on. Loop thread only. */
size_t metric_other(struct metrics *m, size_t family);
/* Forgets the values of an open label, with what was counted of them: for gauges that are set anew
 * at each exposition. Loop thread only. */
void metric_forget_values(struct metrics *m, size_t family);
/* Called before each exposition, to set gauges that depend on the clock. At most 8, else
 * ERR_LIMIT. */
err_t metrics_on_scrape(struct metrics *m, void (*fn)(void *arg), void *arg,
                        struct why *why) MUST_CHECK;

/* For exposition and docs. */
size_t metrics_count(const struct metrics *m);
const struct metric_family *metrics_family(const struct metrics *m, size_t family);
const char *metrics_prefix(const struct metrics *m);
void metrics_scrape(const struct metrics *m); /* runs the hooks of metrics_on_scrape */
size_t metric_label_count(const struct metric_family *f);
/* Of all by which metric_page.h knows a family. */
uint64_t metric_fingerprint(const struct metric_family *f);
/* How many values the label has now; open ones grow. */
size_t metric_label_values(const struct metrics *m, size_t family, size_t label);
/* NULL for what no value of an open label has. */
const char *metric_label_text(const struct metrics *m, size_t family, size_t label, size_t index);
/* The slots of one series: a counter or gauge has one; a histogram its buckets, +Inf (each counted
 * alone, not cumulated) and the sum. In unit. */
double metric_slot(const struct metrics *m, size_t family, const size_t index[static 3],
                   size_t slot);

#endif
