/* The option engine: a program's configuration as one table of rows (option_table.h). From it come
 * the parser of the YAML file and of --set, the checks, --help, the reference page, and what a
 * reload may change. Config structs are zeroed before and own their strings. Pure but for reading
 * the file; any one thread. */
#ifndef SPINDLE_COMMON_CONFIG_OPTION_H
#define SPINDLE_COMMON_CONFIG_OPTION_H

#include "common/base/buf.h"
#include "common/base/why.h"
#include "common/config/option_table.h"

#include <stdio.h>

struct option_origins; /* opaque: where each value was written */

/* Fills the zeroed `config`. path NULL: no file; sets: NULL-terminated KEY=VALUE, or NULL. Every
 * problem is one line "FILE:LINE: key: what is wrong" of `report`, ERR_CONFIG then, `why` left
 * empty; warnings are lines too. *ret_origins is set even then, so that checks across keys can add
 * their lines, but not when the file could not be read or after any other error. */
err_t option_load(const struct option_table *t, const char *path, const char *const *sets,
                  void *config, struct buf *report, struct option_origins **ret_origins,
                  struct why *why) MUST_CHECK;
void option_free(const struct option_table *t, void *config);
void option_origins_free(struct option_origins *o);
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

/* May `to` take over from `from` in a running program? ERR_CONFIG with one line for each key that
 * only a restart can change. */
err_t option_check_reload(const struct option_table *t, const void *from, const void *to,
                          const struct option_origins *to_origins, struct buf *report) MUST_CHECK;

void option_help(const struct option_table *t, FILE *out);
void option_docs(const struct option_table *t, const char *name, FILE *out); /* markdown */
const char *option_table_flaw(const struct option_table *t); /* tests: NULL when it is sound */

#endif
