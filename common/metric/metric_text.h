/* Exposition of metrics: Prometheus text 0.0.4 and OpenMetrics 1.0, and a page of documentation
 * from the same table. Loop thread, where nothing else is said; allocates nothing but the buffer's
 * growth. */
#ifndef SPINDLE_COMMON_METRIC_METRIC_TEXT_H
#define SPINDLE_COMMON_METRIC_METRIC_TEXT_H

#include "common/base/buf.h"
#include "common/metric/metric.h"

enum metric_format { METRIC_TEXT, METRIC_OPENMETRICS };
#define METRIC_TEXT_MAX (4u << 20) /* a cap that a page of all series stays far below */

/* From an Accept header (RFC 9110 section 12.5.1), which may be empty. OpenMetrics 1.0 only when it
 * is named and not liked less than text. */
enum metric_format metric_format_of(struct slice accept);
/* For the Content-Type header; Prometheus 3 fails a scrape without it. */
const char *metric_format_type(enum metric_format format);

/* Runs the hooks of metrics_on_scrape, then appends every family. ERR_TOO_LARGE, ERR_NO_MEMORY. */
err_t metric_text_write(const struct metrics *m, enum metric_format format,
                        struct buf *out) MUST_CHECK;

/* The parts of it, for pages that show several processes: each family has one head, then series,
 * and the last comes the end. Any thread, on metrics that no other thread registers label values
 * in. */
enum metric_leave_out {
    METRIC_LEAVE_NONE = 0,
    METRIC_LEAVE_IDLE = 1,  /* histograms and counters by error or open label at 0 */
    METRIC_LEAVE_GAUGES = 2 /* what a process that has gone says no more */
};
err_t metric_text_head(const struct metrics *m, size_t family, enum metric_format format,
                       struct buf *out) MUST_CHECK;
/* `labels`: put before those of the family, as they stand in the text, such as `name="web"`; "" for
 * none. `leave_out`: bits of the above. */
err_t metric_text_series(const struct metrics *m, size_t family, const char *labels,
                         unsigned leave_out, struct buf *out) MUST_CHECK;
err_t metric_text_end(enum metric_format format, struct buf *out) MUST_CHECK;
/* Escapes a label's value; what is not printable ASCII becomes a question mark. */
err_t metric_text_value(const char *text, struct buf *out) MUST_CHECK;

/* Markdown: a table of families, then the values of their closed labels. `title` is the heading. */
err_t metric_docs_write(const struct metrics *m, const char *title, struct buf *out) MUST_CHECK;

#endif
