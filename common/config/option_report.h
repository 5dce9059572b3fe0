/* Where each key was written, and the lines that a load reports. Part of the option engine
 * (option.h). One owner, one thread. */
#ifndef SPINDLE_COMMON_CONFIG_OPTION_REPORT_H
#define SPINDLE_COMMON_CONFIG_OPTION_REPORT_H

#include "common/config/option.h"

/* NULL when memory is out. `file` is what error lines call the file; copied. */
struct option_origins *option_origins_new(const char *file);
const char *option_origins_file(const struct option_origins *o);
/* A key, section or item was written there; of several the last counts. ERR_NO_MEMORY,
 * ERR_TOO_LARGE. */
err_t option_note(struct option_origins *o, const char *key, bool by_set, unsigned line) MUST_CHECK;

/* Keeps the worse: an error that ends the work over ERR_CONFIG over ERR_OK. */
void option_set_err(err_t *err, err_t next);
/* Adds "where: text" as one line whatever bytes are in it. A full report is no error: its first
 * lines are the ones to read. */
void option_report_line(struct buf *report, err_t *err, const char *where, const char *text);

/* What is behind "a." in "a.b", or NULL when `key` does not start so. */
const char *option_below(const char *key, const char *section, size_t len);

#endif
