/* What a program gives up after start: capabilities, paths (landlock), syscalls (seccomp, every
 * thread). Each program lists what it needs in one table; docs/privileges.md has the lists in
 * words. Where the kernel lacks a part, that is a line in `notes`, not a failure.
 *
 * Call once, before threads are started and after opening what needs privilege: capabilities and
 * landlock hold for the calling thread and those that it starts from then on. */
#ifndef SPINDLE_COMMON_SANDBOX_SANDBOX_H
#define SPINDLE_COMMON_SANDBOX_SANDBOX_H

#include "common/base/buf.h"
#include "common/base/why.h"

struct sandbox_path {
    const char *path; /* NULL ends the list; missing paths are skipped */
    bool write;       /* else read only; for a folder, all that is below it */
};
struct sandbox_rules {
    /* Beside what libc, libuv and malloc need; SYSCALL_END ends the list. Others: EPERM. */
    const int *syscalls;
    const struct sandbox_path *paths;
    const int *keep_capabilities; /* CAP_*, -1 ends the list */
    /* Runs between capabilities and landlock, or NULL: threads started here escape landlock alone.
     */
    void (*before_landlock)(void *arg);
    void *arg;
};
#define SYSCALL_END (-1)

/* Appends one line to notes for each part the kernel (or this build) lacks. ERR_INTERNAL when a
 * part that is there cannot be set up: do not go on then. */
err_t sandbox_enter(const struct sandbox_rules *rules, struct buf *notes,
                    struct why *why) MUST_CHECK;

#endif
