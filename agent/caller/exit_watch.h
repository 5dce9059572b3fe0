/* Tells when processes end, by their pidfds: one epoll descriptor inside the loop, so that adding
 * and removing is one syscall and takes effect at once. Loop thread only. AG-6. */
#ifndef SPINDLE_AGENT_CALLER_EXIT_WATCH_H
#define SPINDLE_AGENT_CALLER_EXIT_WATCH_H

#include "common/base/why.h"

#include <uv.h>

struct exit_watch; /* opaque */

/* on_exit: the process of `subject` has ended; called until the subject is removed, so remove it.
 */
err_t exit_watch_open(uv_loop_t *loop, void (*on_exit)(void *arg, void *subject), void *arg,
                      struct exit_watch **ret, struct why *why) MUST_CHECK;
/* Frees itself in the close callback, then calls done. */
void exit_watch_close(struct exit_watch *w, void (*done)(void *arg), void *arg);

err_t exit_watch_add(struct exit_watch *w, int pidfd, void *subject, struct why *why) MUST_CHECK;
void exit_watch_remove(struct exit_watch *w, int pidfd);

#endif
