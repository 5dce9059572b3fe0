/* Error codes. One table (errors.def) gives the codes, their stable names and texts.
 * Every fallible function returns err_t, ERR_OK (0) on success, and leaves its ret_ outputs
 * untouched on failure. Details travel in a caller-owned `struct why` (why.h). */
#ifndef SPINDLE_COMMON_BASE_ERR_H
#define SPINDLE_COMMON_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

#define MUST_CHECK __attribute__((warn_unused_result))

typedef enum err {
    ERR_OK = 0,
#define X(name, code, retry, text) ERR_##name = (code),
#include "common/base/errors.def"
#undef X
} err_t;

/* Stable lower-case name, "ok" for ERR_OK, "unknown" for a number outside the table. */
const char *err_name(err_t err);
/* One sentence without a full stop. */
const char *err_text(err_t err);
/* Worth trying again later with the same input. */
bool err_is_transient(err_t err);

/* The table by position, for docs and closed metric label sets: err_at(i), i < err_count(). */
size_t err_count(void);
err_t err_at(size_t index);
/* Position of `err` in the table; the position of ERR_INTERNAL for a number outside it. */
size_t err_index(err_t err);

#endif
