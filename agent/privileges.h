/* What the agent keeps of its privileges once it runs: docs/privileges.md in code. */
#ifndef SPINDLE_AGENT_PRIVILEGES_H
#define SPINDLE_AGENT_PRIVILEGES_H

#include "agent/config/config.h"

#include <uv.h>

/* Enters the sandbox that `config` (read from config_path, may be NULL) needs, unless it says
 * sandbox: false; says in `notes`, a line each, what is missing. Call once, on the main thread,
 * with data_dir and the sockets' folders made and before gRPC or anything else starts a thread. It
 * starts the thread pool of libuv itself: reading /proc/PID/exe is denied to whoever is under
 * landlock, so the pool is not. */
err_t agent_privileges_enter(const struct agent_config *config, const char *config_path,
                             uv_loop_t *loop, struct buf *notes, struct why *why) MUST_CHECK;

#endif
