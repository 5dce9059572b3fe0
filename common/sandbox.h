/* What a program gives up after start: capabilities, syscalls (seccomp, every thread), paths
 * (landlock). Each program lists what it needs in one table. Where the kernel lacks a part, that is
 * a warning in `notes`, not a failure. Call once, after opening what needs privilege. */
#ifndef SPINDLE_COMMON_SANDBOX_H
#define SPINDLE_COMMON_SANDBOX_H

#include "common/buf.h"
#include "common/why.h"

struct sandbox_path {
    const char *path; /* NULL ends the list; missing paths are skipped */
    bool write;       /* else read only */
};
struct sandbox_rules {
    const int *syscalls; /* allowed, SYSCALL_END ends the list; others fail with EPERM */
    const struct sandbox_path *paths;
    const int *keep_capabilities; /* CAP_*, -1 ends the list */
};
#define SYSCALL_END (-1)

/* Syscalls that libc, libuv and malloc need at run time. SYSCALL_END ends it. */
extern const int sandbox_base_syscalls[];

/* Appends one line to notes for each part the kernel lacks. */
err_t sandbox_enter(const struct sandbox_rules *rules, struct buf *notes, struct why *why) MUST_CHECK;

#endif
