/* Where each key was written, and the lines that a load reports. Part of the option engine
 * (option.h). One owner, one thread. */
#ifndef SPINDLE_COMMON_CONFIG_OPTION_REPORT_H
#define SPINDLE_COMMON_CONFIG_OPTION_REPORT_H

#include "common/base/buf.h"
#include "common/base/why.h"

struct option_origins; /* opaque: where each value was written */

/* NULL when memory is out. `file` is what error lines call the file; copied. */
struct option_origins *option_origins_new(const char *file);
void option_origins_free(struct option_origins *o); /* NULL is fine */
const char *option_origins_file(const struct option_origins *o);
/* A key, section or item was written there; of several the last counts. ERR_NO_MEMORY,
 * ERR_TOO_LARGE. */
err_t option_note(struct option_origins *o, const char *key, bool by_set, unsigned line) MUST_CHECK;

/* "sidecar.yaml:7: inbound[0].listen" (the line of its section when it was left out), "--set: ..."
 */
#define OPTION_WHERE_LEN 512
const char *option_where(const struct option_origins *o, const char *key,
                         char out[static OPTION_WHERE_LEN]);
/* Names the key because of which something could not be opened: ERR_IO becomes ERR_CONFIG with
 * option_where before it (for exit code 2); other errors pass as they are. */
err_t option_blame(const struct option_origins *o, const char *key, err_t err, struct why *why);
/* Was the key, or a section of this name, written in the file or by --set? */
bool option_given(const struct option_origins *o, const char *key);
/* For checks across keys: adds "WHERE: text" to the report. *err becomes ERR_CONFIG (a warning
 * leaves it), or ERR_NO_MEMORY. */
void option_problem(const struct option_origins *o, struct buf *report, err_t *err, const char *key,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void option_warning(const struct option_origins *o, struct buf *report, err_t *err, const char *key,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Keeps the worse: an error that ends the work over ERR_CONFIG over ERR_OK. */
void option_set_err(err_t *err, err_t next);
/* Adds "where: text" as one line whatever bytes are in it. A full report is no error: its first
 * lines are the ones to read. */
void option_report_line(struct buf *report, err_t *err, const char *where, const char *text);

/* What is behind "a." in "a.b", or NULL when `key` does not start so. */
const char *option_below(const char *key, const char *section, size_t len);

#endif
