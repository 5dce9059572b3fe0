/* Cases of a configuration: the text of a file and the exact lines that loading it reports. */
#ifndef SPINDLE_TESTS_CONFIG_CASE_H
#define SPINDLE_TESTS_CONFIG_CASE_H

#include "common/base/buf.h"
#include "common/base/why.h"

struct config_case {
    const char *text;   /* of x.yaml; NULL: there is no such file */
    const char *set[4]; /* --set, NULL-terminated */
    const char *want;   /* the report; "" for none; $HERE stands for the working folder */
    err_t err;
};

/* Makes a folder of its own the working folder, so that files have short names. */
void config_case_folder(void);
/* Removes that folder and the files in it; returns `code`, for the end of main. */
int config_case_folder_done(int code);
/* Writes `text` to a file of the working folder with `mode`. */
void config_case_file(const char *name, const char *text, unsigned mode);
/* Writes the case's file, or sees to it that there is none. */
void config_case_write(const struct config_case *c);
/* Writes `want` with the working folder's name for each $HERE. */
void config_case_expand(const char *want, char *out, size_t size);
/* Fails the test when error or report are not those of the case. */
void config_case_check(const struct config_case *c, err_t err, const struct buf *report);

#endif
