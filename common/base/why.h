/* The cause of a failure in words: caller-owned, fixed size, never allocates.
 * The function that fails sets it; each layer above may prepend its context once. Not
 * thread-shared. */
#ifndef SPINDLE_COMMON_BASE_WHY_H
#define SPINDLE_COMMON_BASE_WHY_H

#include "common/base/err.h"

struct why {
    err_t err;
    char text[480]; /* one line; longer causes are cut and end in "..." */
};

/* Sets code and text (printf style; NULL `why` is fine), returns `err` for `return why_set(...)`.
 */
err_t why_set(struct why *why, err_t err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Prepends "context: " to the text. Returns why->err (or `err` if why is NULL). */
err_t why_add(struct why *why, err_t err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Sets from errno: "<fmt>: <strerror>". */
err_t why_errno(struct why *why, err_t err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The text, or the code's own text when nothing was set. Never NULL. */
const char *why_text(const struct why *why);

#endif
