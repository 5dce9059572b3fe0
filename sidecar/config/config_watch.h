/* Reads the configuration anew when its file has changed, or when asked: on the thread pool, for no
 * loop waits for a file. What is read is checked against the configuration in use, all or nothing.
 * A file that is away for a while is none that changed; who asks is told. Loop thread only. */
#ifndef SPINDLE_SIDECAR_CONFIG_CONFIG_WATCH_H
#define SPINDLE_SIDECAR_CONFIG_CONFIG_WATCH_H

#include "sidecar/config/config.h"

#include <uv.h>

/* What was read; borrowed. */
struct config_read {
    err_t err;                     /* an error in it, or a change that needs a restart */
    struct sidecar_config *config; /* shared; in use from now on. NULL after an error */
    struct slice report;           /* lines, as of sidecar_config_load */
    const struct why *why;
};
struct config_watch_options {
    const char *path;           /* borrowed, as are sets; NULL: read when asked alone */
    const char *const *sets;    /* as of sidecar_config_load */
    struct sidecar_config *now; /* in use */
    void (*on_read)(void *arg, const struct config_read *read);
    void *arg;
};

struct config_watch; /* opaque */

/* The file as it is now is the one that was read. ERR_NO_MEMORY */
err_t config_watch_open(uv_loop_t *loop, const struct config_watch_options *opt,
                        struct config_watch **ret, struct why *why) MUST_CHECK;
/* Changed or not. While it is being read: once more behind that. */
void config_watch_read(struct config_watch *w);
/* No on_read any more; frees itself in the last callback, then calls done (may be NULL). */
void config_watch_close(struct config_watch *w, void (*done)(void *arg), void *arg);

#endif
