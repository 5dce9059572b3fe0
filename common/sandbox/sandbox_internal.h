/* The parts of sandbox_enter that have a file each. For common/sandbox*.c alone. */
#ifndef SPINDLE_COMMON_SANDBOX_SANDBOX_INTERNAL_H
#define SPINDLE_COMMON_SANDBOX_SANDBOX_INTERNAL_H

#include "common/base/sanitizer.h"
#include "common/sandbox/sandbox.h"

err_t sandbox_restrict_paths(const struct sandbox_path *paths, struct buf *notes,
                             struct why *why) MUST_CHECK;
err_t sandbox_restrict_syscalls(const int *extra, struct buf *notes, struct why *why) MUST_CHECK;

#endif
