/* The agent as a whole: builds its parts in order, runs the loop, reloads, drains the parts in
 * reverse. */
#ifndef SPINDLE_AGENT_AGENT_H
#define SPINDLE_AGENT_AGENT_H

#include "common/base/why.h"

/* Runs until SIGTERM or SIGINT, then drains; ERR_OK then. Problems of configuration and entries at
 * start are logged one by one (ERR_CONFIG, `why` empty); any other failure is in `why`. config_path
 * may be NULL; sets: NULL-terminated "key.path=value", or NULL. The main thread's, once. */
err_t agent_run(const char *config_path, const char *const *sets, struct why *why) MUST_CHECK;

#endif
