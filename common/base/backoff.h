/* How long to wait before the next try: doubles from `first` to `cap`, each wait drawn evenly from
 * its upper half, so that a thousand clients of one restarted server do not come back together.
 * Pure: randomness comes in as a number. */
#ifndef SPINDLE_COMMON_BASE_BACKOFF_H
#define SPINDLE_COMMON_BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
    uint64_t first, cap; /* any unit; 0 < first <= cap */
    uint64_t next;       /* the coming wait, before jitter */
};

void backoff_init(struct backoff *b, uint64_t first, uint64_t cap);
/* After a success: the next wait is short again. */
void backoff_reset(struct backoff *b);
/* The wait in [next / 2, next]; `random` is any 64 bits. */
uint64_t backoff_next(struct backoff *b, uint64_t random);

#endif
