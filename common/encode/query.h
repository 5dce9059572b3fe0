/* Queries of URLs, "name=value&name=value" with percent-encoding, as admin routes take them. Pure.
 */
#ifndef SPINDLE_COMMON_ENCODE_QUERY_H
#define SPINDLE_COMMON_ENCODE_QUERY_H

#include "common/base/buf.h"

/* Appends "name=value", after "?" when `path` has none yet, else after "&". */
err_t query_add(struct buf *path, const char *name, const char *value) MUST_CHECK;
/* The decoded value of the first `name`, appended to `out` with a NUL behind it that counts (so
 * that out->data is text). ERR_NOT_FOUND: no such name, nothing is appended. ERR_PARSE: a bad
 * escape, or a NUL within. */
err_t query_find(struct slice query, const char *name, struct buf *out) MUST_CHECK;

#endif
