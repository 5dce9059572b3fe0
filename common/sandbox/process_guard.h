/* Keeps what a process knows to itself: no core file, and nobody but root looks into its memory or
 * attaches a debugger. Both programs hold private keys, their commands too (api fetch), so main()
 * calls it first of all, before anything is read. docs/privileges.md says what follows from it. */
#ifndef SPINDLE_COMMON_SANDBOX_PROCESS_GUARD_H
#define SPINDLE_COMMON_SANDBOX_PROCESS_GUARD_H

#include "common/base/why.h"

/* Not dumpable (PR_SET_DUMPABLE 0), RLIMIT_CORE 0 soft and hard. ERR_INTERNAL: the system refuses;
 * do not go on then. Main thread, before others are started. */
err_t process_guard_enter(struct why *why) MUST_CHECK;

#endif
