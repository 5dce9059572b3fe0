/* Says that something may have changed about a few files: inotify on their folders (so that a
 * rename over a file and Kubernetes' swap of its `..data` link are seen), gathered for a moment,
 * plus a slow tick for what inotify cannot tell (folders that come later, network file systems).
 * Where the kernel has no inotify instance or watch left for this user (fs.inotify.*), the tick
 * alone looks: one line in the log says so, another when inotify is back. Only a hint: the owner
 * reads the files and compares. Loop thread only. */
#ifndef SPINDLE_COMMON_LOOP_FILE_WATCH_H
#define SPINDLE_COMMON_LOOP_FILE_WATCH_H

#include "common/base/why.h"

#include <uv.h>

#define FILE_WATCH_PATHS_MAX 8
#define FILE_WATCH_SETTLE_MS 100 /* several files are seldom replaced in one instant */
#define FILE_WATCH_TICK_MS 10000

struct file_watch; /* opaque */

/* ERR_NO_MEMORY, ERR_LIMIT for too many paths. `paths` are copied; on_hint is called from the loop,
 * never from here. A path that is a folder itself is watched as such. */
err_t file_watch_open(uv_loop_t *loop, const char *const *paths, size_t count,
                      void (*on_hint)(void *arg), void *arg, struct file_watch **ret,
                      struct why *why) MUST_CHECK;
/* Frees itself in the last close callback, then calls done (may be NULL). */
void file_watch_close(struct file_watch *w, void (*done)(void *arg), void *arg);

#endif
