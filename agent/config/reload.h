/* Reads configuration and entries anew when a file changed or when asked, off the loop, and hands
 * both over when both are good, or says what is wrong. A hint that changed nothing (by device,
 * inode, size and times of the files) is silent. Loop thread only. */
#ifndef SPINDLE_AGENT_CONFIG_RELOAD_H
#define SPINDLE_AGENT_CONFIG_RELOAD_H

#include "agent/config/config.h"
#include "agent/entry/entries.h"

#include <uv.h>

struct reload; /* opaque */

struct reload_options {
    const char *config_path;           /* borrowed; may be NULL */
    const char *const *sets;           /* borrowed; may be NULL */
    const struct agent_config *config; /* borrowed: what is in use now */
    /* Takes both. `entries` is NULL when the configuration names none. */
    void (*on_loaded)(void *arg, struct agent_config *config, struct entry_set *entries);
    /* One problem a line. What is in use stays. */
    void (*on_failed)(void *arg, struct slice report);
    void *arg;
};

/* Entries as the configuration says: an empty set when it names none. */
err_t reload_read_entries(const struct agent_config *c, struct buf *report, struct entry_set **ret,
                          struct why *why) MUST_CHECK;

err_t reload_open(uv_loop_t *loop, const struct reload_options *opt, struct reload **ret,
                  struct why *why) MUST_CHECK;
/* Reads now, changed or not (SIGHUP). */
void reload_now(struct reload *r);
/* After on_loaded: what is in use from here on, borrowed. */
void reload_set_config(struct reload *r, const struct agent_config *config);
/* Frees itself in the last close callback, then calls done. */
void reload_close(struct reload *r, void (*done)(void *arg), void *arg);

#endif
