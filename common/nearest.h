/* The known word nearest to one that is not known, for "did you mean". Pure, allocates nothing.
 * Borrows the words offered. */
#ifndef SPINDLE_COMMON_NEAREST_H
#define SPINDLE_COMMON_NEAREST_H

#include "common/slice.h"

struct nearest {
    struct slice text;
    const char *best;
    size_t distance;
};

struct nearest nearest_to(struct slice text);
void nearest_offer(struct nearest *n, const char *word);
/* NULL when nothing offered is near enough to be meant. */
const char *nearest_best(const struct nearest *n);

#endif
