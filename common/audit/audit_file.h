/* The file behind an audit log: whole lines are appended, and when the next one would make it
 * larger than its bound it becomes .1, .1 becomes .2 and so on. A pipe with a reader will do as
 * well and is never rotated. For common/audit/audit.c alone; one thread at a time. Nothing here
 * blocks on a pipe; a disk may. */
#ifndef SPINDLE_COMMON_AUDIT_AUDIT_FILE_H
#define SPINDLE_COMMON_AUDIT_AUDIT_FILE_H

#include "common/base/why.h"

#include <stdint.h>

struct audit_file {
    char *path; /* owned */
    int64_t max_size;
    int64_t keep;      /* old files, at least 1 */
    int fd;            /* owned; -1: not open */
    bool regular;      /* no pipe */
    int64_t size;      /* as we know it */
    int64_t rotate_at; /* the size from which rotation is tried */
    bool torn;         /* a program that died left half a line at the end */
    err_t rotation;    /* why the last rotation failed, ERR_OK when it did not */
    struct why rotation_why;
};

/* Opens or makes (0600) the file and locks it. ERR_IO, also when others own it or may write it;
 * ERR_LOCKED when another program writes it. */
err_t audit_file_open(struct audit_file *f, const char *path, int64_t max_size, int64_t keep,
                      struct why *why) MUST_CHECK;
/* The path anew, after somebody else renamed the file; on failure the old one stays in use. */
err_t audit_file_reopen(struct audit_file *f, struct why *why) MUST_CHECK;
void audit_file_close(struct audit_file *f);

/* Appends some of these whole lines, after a rotation when it is time (a rotation that fails loses
 * nothing: the file grows past its bound). *ret_taken is more than 0, and for a regular file the
 * end of a line. ERR_LIMIT: a pipe is full. ERR_IO: nothing was taken. */
err_t audit_file_write(struct audit_file *f, const uint8_t *lines, size_t len, size_t *ret_taken,
                       struct why *why) MUST_CHECK;

#endif
