/* Whether a file is still the one that was read: the watch only says that something happened in its
 * folder, and a log beside it is enough for that. */
#ifndef SPINDLE_SIDECAR_IDENTITY_FILE_STAMP_H
#define SPINDLE_SIDECAR_IDENTITY_FILE_STAMP_H

#include <stdbool.h>
#include <sys/stat.h>

struct file_stamp { /* zeroed: of no file */
    struct stat at;
};

/* Takes the file's stamp of now. False: it is the one before, or there is no file: between two
 * versions, and the next hint comes. */
bool file_stamp_renew(struct file_stamp *s, const char *path);

#endif
