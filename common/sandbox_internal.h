/* The three parts of sandbox_enter, one file each. For common/sandbox*.c alone. */
#ifndef SPINDLE_COMMON_SANDBOX_INTERNAL_H
#define SPINDLE_COMMON_SANDBOX_INTERNAL_H

#include "common/sandbox.h"

/* Leak checks stop and read all threads, by calls and across borders that a sandbox is there for.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANDBOX_SANITIZED true
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED false
#endif

err_t sandbox_drop_capabilities(const int *keep, struct why *why) MUST_CHECK;
err_t sandbox_restrict_paths(const struct sandbox_path *paths, struct buf *notes,
                             struct why *why) MUST_CHECK;
err_t sandbox_restrict_syscalls(const int *extra, struct buf *notes, struct why *why) MUST_CHECK;

#endif
