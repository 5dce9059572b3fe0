/* Rules that every program's table of metrics keeps. */
#ifndef SPINDLE_TESTS_METRIC_CHECK_H
#define SPINDLE_TESTS_METRIC_CHECK_H

#include "common/metric/metric.h"

/* Asserts names, units, help, labels, buckets; and at most `series_max` series, so that a label set
 * that grew is noticed. */
void check_metric_table(const struct metric_family *table, size_t count, size_t series_max);

#endif
