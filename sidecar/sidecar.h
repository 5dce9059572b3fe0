/* The program: builds the parts in order, runs them, drains them. Main thread only.
 *
 * Life: RUNNING -> (SIGTERM, SIGINT, `drain`) LEAVING: not ready, still accepting for drain_delay
 * -> DRAINING: listeners closed, until the last connection or drain_limit -> CLOSING. `quit` goes
 * to CLOSING at once. Exit is clean when every handle has closed. */
#ifndef SPINDLE_SIDECAR_SIDECAR_H
#define SPINDLE_SIDECAR_SIDECAR_H

#include "common/base/why.h"

/* Runs until told to end. ERR_CONFIG (exit 2) for a configuration that is not valid or cannot be
 * opened (port taken), after one line for each problem; else what failed. */
err_t sidecar_run(const char *config_path, const char *const *sets, struct why *why) MUST_CHECK;

#endif
