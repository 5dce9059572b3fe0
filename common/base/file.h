/* Files read whole, and files replaced whole. Everything here blocks on the disk; any thread. Where
 * a function sets `why`, its text does not name the file or folder: the caller adds what it calls
 * them. */
#ifndef SPINDLE_COMMON_BASE_FILE_H
#define SPINDLE_COMMON_BASE_FILE_H

#include "common/base/buf.h"
#include "common/base/why.h"

#include <sys/stat.h>
#include <sys/types.h>

/* Judges what was opened, not the path: what is checked is what is read. */
typedef err_t file_check_fn(const char *path, const struct stat *st, struct why *why);
/* ERR_IO for a folder, a pipe, a device. */
err_t file_check_regular(const char *path, const struct stat *st, struct why *why) MUST_CHECK;

/* Appends all of it to `out`, whose max bounds it; a secret belongs in a secret buf. Links are
 * followed. check may be NULL: then a pipe is read too, and each time that it has nothing its
 * writer is waited for, one second at most. ERR_IO: the system refuses, errno says why; or the pipe
 * is silent. ERR_TOO_LARGE, ERR_NO_MEMORY, what check answers. On failure out->len is as it was. */
err_t file_read(const char *path, file_check_fn *check, struct buf *out,
                struct why *why) MUST_CHECK;
/* The start of a small file of /proc, in one read, as text: at most size - 1 bytes, ended by NUL.
 * Returns their number; -1: errno says why, and the text is "". */
ssize_t file_peek(const char *path, char *out, size_t size);

/* Writes all of it at `at`, whatever pieces the system takes. ERR_IO: errno says why. */
err_t file_write_at(int fd, struct slice bytes, uint64_t at) MUST_CHECK;
/* Makes `name` in the open folder a file of these bytes and this mode, whatever it was (a link is
 * replaced, not followed), through ".NAME.new", fsync and a rename: a reader sees the old file or
 * the new one, and who has the old one open never sees the new bytes. What a crash left of an
 * earlier try goes. ERR_IO: the old file is as it was. That the new one stays after a power loss
 * takes an fsync of the folder, which is the caller's. ret_fd may be NULL; else the new file stays
 * open there, for reading and writing. */
err_t file_replace(int folder, const char *name, struct slice bytes, mode_t mode, int *ret_fd,
                   struct why *why) MUST_CHECK;

#endif
