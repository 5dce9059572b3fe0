/* One agent per data_dir: the folder (0700, made when its parent exists) and a lock file in it,
 * held for the life of the process. Loop thread only. AG-7. */
#ifndef SPINDLE_AGENT_STORE_DATA_LOCK_H
#define SPINDLE_AGENT_STORE_DATA_LOCK_H

#include "common/base/why.h"

/* ERR_LOCKED names the file and the process that holds it; ERR_FILE_MODE: others may write in the
 * folder; ERR_IO. *ret_fd is the caller's: the lock is held until it is closed. */
err_t data_lock_take(const char *data_dir, int *ret_fd, struct why *why) MUST_CHECK;

#endif
