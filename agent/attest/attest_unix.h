/* Selectors of a Unix process (AG-5): unix:uid and unix:gid always (effective ids, from the
 * subject); the others only when asked for by their SELECTOR_KIND_* bits. Names come from NSS and
 * are cached a minute; unix:path and unix:sha256 are found out on the thread pool, hashes cached by
 * the file's identity. One part that cannot be had (no name, unreadable or too large a program)
 * drops its selectors and is logged at debug; a process that has ended, and want of memory or
 * descriptors, fail the whole. Loop thread only. */
#ifndef SPINDLE_AGENT_ATTEST_ATTEST_UNIX_H
#define SPINDLE_AGENT_ATTEST_ATTEST_UNIX_H

#include "agent/attest/selector.h"

#include <sys/types.h>
#include <uv.h>

#define ATTEST_JOBS_MAX 4096 /* under way at once; more are ERR_LIMIT */

struct attest_unix; /* opaque: name cache, hash cache, jobs */

struct attest_subject {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    /* A part whose selectors were dropped, with `arg`, before done; NULL: nobody is told. */
    void (*on_problem)(void *arg, const char *part, err_t err, const struct why *why);
};
/* exe_max: bytes of the largest program that is hashed, 0: 256 MiB. */
err_t attest_unix_open(uv_loop_t *loop, off_t exe_max, struct attest_unix **ret,
                       struct why *why) MUST_CHECK;
/* Cancels what is under way, frees itself in the last callback, then calls done. */
void attest_unix_close(struct attest_unix *a, void (*done)(void *arg), void *arg);

/* Answers through `done`, exactly once: at once (before this returns) when nothing costly is asked
 * for and names are cached, else from the loop. `selectors` (NULL on failure) is the callee's to
 * take (it is emptied when taken with a plain struct copy and selector_set_init) and valid only
 * during the call. ERR_ATTESTATION when the process has ended. The caller re-checks that the
 * process is still the one it pinned after `done` (peer.h). Returns an id for attest_unix_cancel,
 * or 0 when `done` has been called already. */
uint64_t attest_unix_start(struct attest_unix *a, const struct attest_subject *who, unsigned kinds,
                           void (*done)(void *arg, err_t err, struct selector_set *selectors,
                                        const struct why *why),
                           void *arg);
void attest_unix_cancel(struct attest_unix *a, uint64_t id); /* done is not called any more */
/* Programs hashed so far. */
uint64_t attest_unix_files_read(const struct attest_unix *a);

#endif
