#include "common/sandbox/process_guard.h"

#include <sys/prctl.h>
#include <sys/resource.h>

/* Not dumpable is what counts: a core_pattern that starts a program does not ask for the limit. The
 * limit holds where somebody makes the process dumpable again. */
err_t process_guard_enter(struct why *why)
{
    const struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return why_errno(why, ERR_INTERNAL, "cannot keep debuggers out (PR_SET_DUMPABLE)");
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return why_errno(why, ERR_INTERNAL, "cannot turn core files off (RLIMIT_CORE)");
    return ERR_OK;
}
