/* The option engine: a program's configuration as one table of rows (option_table.h). From it come
 * the parser of the YAML file and of --set, the checks, --help, the reference page, and what a
 * reload may change. Config structs are zeroed before and own their strings. Pure but for reading
 * the file; any one thread. */
#ifndef SPINDLE_COMMON_CONFIG_OPTION_H
#define SPINDLE_COMMON_CONFIG_OPTION_H

#include "common/config/option_report.h"
#include "common/config/option_table.h"

#include <stdio.h>

/* Fills the zeroed `config`. path NULL: no file; sets: NULL-terminated KEY=VALUE, or NULL. Every
 * problem is one line "FILE:LINE: key: what is wrong" of `report`, ERR_CONFIG then, `why` left
 * empty; warnings are lines too. *ret_origins is set even then, so that checks across keys can add
 * their lines, but not when the file could not be read or after any other error. */
err_t option_load(const struct option_table *t, const char *path, const char *const *sets,
                  void *config, struct buf *report, struct option_origins **ret_origins,
                  struct why *why) MUST_CHECK;
void option_free(const struct option_table *t, void *config);
/* May `to` take over from `from` in a running program? ERR_CONFIG with one line for each key that
 * only a restart can change. */
err_t option_check_reload(const struct option_table *t, const void *from, const void *to,
                          const struct option_origins *to_origins, struct buf *report) MUST_CHECK;

void option_help(const struct option_table *t, FILE *out);
void option_docs(const struct option_table *t, const char *name, FILE *out); /* markdown */

#endif
