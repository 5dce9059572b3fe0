/* The two clocks. Pure code takes `now` as a parameter; only loops and glue read it here. */
#ifndef SPINDLE_COMMON_BASE_CLOCK_H
#define SPINDLE_COMMON_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Unix time in whole seconds / milliseconds. */
int64_t clock_wall_s(void);
int64_t clock_wall_ms(void);
/* Monotonic nanoseconds; for durations only. */
uint64_t clock_mono_ns(void);
/* "2026-11-21T08:00:00Z" into out; returns out. */
#define CLOCK_TEXT_LEN 32
const char *clock_format_s(int64_t unix_s, char out[static CLOCK_TEXT_LEN]);

#endif
