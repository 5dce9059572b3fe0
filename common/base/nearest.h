/* The known word nearest to one that is not known, for "did you mean". Pure, allocates nothing.
 * Keeps a copy of the best word and borrows the text. */
#ifndef SPINDLE_COMMON_BASE_NEAREST_H
#define SPINDLE_COMMON_BASE_NEAREST_H

#include "common/base/slice.h"

#define NEAREST_WORD_MAX 64 /* longer words are never near */

struct nearest {
    struct slice text;
    char best[NEAREST_WORD_MAX + 1];
    size_t distance;
};

struct nearest nearest_to(struct slice text);
void nearest_offer(struct nearest *n, const char *word);
/* NULL when nothing offered is near enough to be meant. Borrowed from `n`. */
const char *nearest_best(const struct nearest *n);

#endif
