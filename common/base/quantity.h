/* Numbers, durations (500ms 90s 10m 1h 7d) and sizes (512B 64KiB 8MiB 1GiB) as users write them.
 * Pure. Of the latter two one whole number and one unit; the unit is never left out, so that nobody
 * guesses it. */
#ifndef SPINDLE_COMMON_BASE_QUANTITY_H
#define SPINDLE_COMMON_BASE_QUANTITY_H

#include "common/base/slice.h"
#include "common/base/why.h"

/* Digits alone. ERR_PARSE: anything else, or more than `max` (9 at least). */
err_t quantity_parse_number(const char *text, uint64_t max, uint64_t *ret) MUST_CHECK;
/* ERR_PARSE with "expected a duration such as 90s, 10m or 1h"; the caller adds what it found. */
err_t quantity_parse_duration(struct slice text, int64_t *ret_ms, struct why *why) MUST_CHECK;
/* ERR_PARSE with "expected a size such as 512B, 64KiB or 1MiB". */
err_t quantity_parse_size(struct slice text, int64_t *ret_bytes, struct why *why) MUST_CHECK;

#endif
