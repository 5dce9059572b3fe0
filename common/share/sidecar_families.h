/* The families that a sidecar counts, and the agent shows for it: the contract of the metrics page
 * (common/metric/metric_page.h). Rows are in sidecar_families.def, label values in the .c file; ids
 * are in sidecar_family_ids.h, which the agent does not include: its own ids have the same names.
 * A family of a release never changes its name, type, buckets or label values; new ones come at the
 * end. */
#ifndef SPINDLE_COMMON_SHARE_SIDECAR_FAMILIES_H
#define SPINDLE_COMMON_SHARE_SIDECAR_FAMILIES_H

#include "common/metric/metric.h"

extern const struct metric_family sidecar_families[];
size_t sidecar_families_count(void);

#endif
