/* Reads the configuration anew when a file changed or when asked, off the loop, asks the store for
 * the entries, and hands both over when both are good, or says what is wrong. A hint that changed
 * nothing (by device, inode, size and times of the files) is silent. Loop thread only. */
#ifndef SPINDLE_AGENT_CONFIG_RELOAD_H
#define SPINDLE_AGENT_CONFIG_RELOAD_H

#include "agent/config/config.h"
#include "agent/store/store.h"

#include <uv.h>

struct reload; /* opaque */

struct reload_options {
    struct store *store;               /* borrowed; closed after it */
    const char *config_path;           /* borrowed; may be NULL */
    const char *const *sets;           /* borrowed; may be NULL */
    const struct agent_config *config; /* borrowed: what is in use now */
    /* Takes both. `report`: a warning a line. */
    void (*on_loaded)(void *arg, struct agent_config *config, struct entry_set *entries,
                      struct slice report);
    /* A problem or warning a line. What is in use stays. */
    void (*on_failed)(void *arg, struct slice report);
    void *arg;
};

err_t reload_open(uv_loop_t *loop, const struct reload_options *opt, struct reload **ret,
                  struct why *why) MUST_CHECK;
/* Reads now, changed or not (SIGHUP, a store whose entries may be others). */
void reload_now(struct reload *r);
/* After on_loaded: what is in use from here on, borrowed. */
void reload_set_config(struct reload *r, const struct agent_config *config);
/* Frees itself in the last close callback, then calls done. */
void reload_close(struct reload *r, void (*done)(void *arg), void *arg);

#endif
