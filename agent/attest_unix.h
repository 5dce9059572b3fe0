/* Selectors of a Unix process (AG-5): unix:uid, user, gid, group, supplementary_gid,
 * supplementary_group; unix:path and unix:sha256 only when an entry uses them (costly, done off the
 * loop and cached by the file's identity). Effective ids. */
#ifndef SPINDLE_AGENT_ATTEST_UNIX_H
#define SPINDLE_AGENT_ATTEST_UNIX_H

#include "agent/selector.h"

#include <sys/types.h>
#include <uv.h>

struct attest_unix; /* opaque: name cache, hash cache */

struct attest_subject {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};
err_t attest_unix_open(uv_loop_t *loop, struct attest_unix **ret, struct why *why) MUST_CHECK;
void attest_unix_close(struct attest_unix *a, void (*done)(void *arg), void *arg);

/* Answers through `done`, exactly once: at once (before this returns) when nothing costly is asked
 * for and names are cached, else from the loop. `selectors` is the callee's to take (it is emptied
 * when taken with a plain struct copy and selector_set_init) and valid only during the call. The caller re-checks
 * that the process is still the one it pinned after `done` (peer.h). Returns an id for
 * attest_unix_cancel, or 0 when `done` has been called already. */
uint64_t attest_unix_start(struct attest_unix *a, const struct attest_subject *who, unsigned kinds,
                           void (*done)(void *arg, err_t err, struct selector_set *selectors,
                                        const struct why *why),
                           void *arg);
void attest_unix_cancel(struct attest_unix *a, uint64_t id); /* done is not called any more */

#endif
