/* A folder under /tmp with files in it, gone at the end. Failures abort the test. */
#ifndef SPINDLE_TESTS_TEMP_DIR_H
#define SPINDLE_TESTS_TEMP_DIR_H

#include "common/base/slice.h"

#include <sys/types.h>

struct temp_dir {
    char path[64];
};
#define TEMP_PATH_MAX 160

void temp_dir_make(struct temp_dir *d);
/* With everything in it, one level of folders deep. */
void temp_dir_remove(struct temp_dir *d);
/* path of `name` in it; returns out. */
const char *temp_path(const struct temp_dir *d, const char *name, char out[static TEMP_PATH_MAX]);
/* Writes beside and renames over, as careful programs do. */
void temp_put(const struct temp_dir *d, const char *name, struct slice content, mode_t mode);
void temp_folder(const struct temp_dir *d, const char *name);
/* A symbolic link, replaced in one step when it is there. */
void temp_link(const struct temp_dir *d, const char *name, const char *target);

#endif
