/* What the sidecar keeps of its privileges once it runs: docs/privileges.md in code. */
#ifndef SPINDLE_SIDECAR_PRIVILEGES_H
#define SPINDLE_SIDECAR_PRIVILEGES_H

#include "sidecar/config/config.h"

/* Enters the sandbox that `config` (read from config_path, may be NULL) needs, unless it says
 * sandbox: false; says in `notes`, a line each, what is missing. Call once, on the main thread,
 * with all listeners bound and before any thread is started. No capability is kept. */
err_t sidecar_privileges_enter(const struct sidecar_config *config, const char *config_path,
                               struct buf *notes, struct why *why) MUST_CHECK;

#endif
