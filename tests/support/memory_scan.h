/* Looks for bytes in the memory of this process as a core file would hold it: all that may be read
 * and written, but for what is left out of dumps. */
#ifndef SPINDLE_TESTS_MEMORY_SCAN_H
#define SPINDLE_TESTS_MEMORY_SCAN_H

#include "common/base/slice.h"

#define MEMORY_PATTERN_MAX 4096u

/* The bytes to look for, masked: the pattern itself is not found. */
struct memory_pattern {
    uint8_t masked[MEMORY_PATTERN_MAX];
    size_t len;
};
void memory_pattern_of(struct slice bytes, struct memory_pattern *ret);
/* The same bytes from the last to the first, as little-endian machines keep large numbers. */
void memory_pattern_turn(struct memory_pattern *p);

/* How often the pattern stands there. */
size_t memory_count(const struct memory_pattern *p);
/* Has the mapping of `ptr` this flag of /proc/PID/smaps ("dd": left out of dumps, "lo": locked)? */
bool memory_has_flag(const void *ptr, const char *flag);

#endif
