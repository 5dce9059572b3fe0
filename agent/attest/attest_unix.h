/* Selectors of a Unix process (AG-5): unix:uid and unix:gid always (effective ids, from the
 * subject); the others only when asked for by their SELECTOR_KIND_* bits. Names come from NSS and
 * are cached a minute; unix:path and unix:sha256 are found out on the thread pool, hashes cached by
 * the file's identity. One part that cannot be had (no name, unreadable or too large a program)
 * drops its selectors and is logged at debug; a process that has ended, and want of memory or
 * descriptors, fail the whole. Loop thread only. */
#ifndef SPINDLE_AGENT_ATTEST_ATTEST_UNIX_H
#define SPINDLE_AGENT_ATTEST_ATTEST_UNIX_H

#include "agent/attest/attestor.h"

#include <uv.h>

#define ATTEST_JOBS_MAX 4096 /* under way at once; more are ERR_LIMIT */

struct attest_unix; /* opaque: name cache, hash cache, jobs */

/* exe_max: bytes of the largest program that is hashed, 0: 256 MiB. */
err_t attest_unix_open(uv_loop_t *loop, off_t exe_max, struct attest_unix **ret,
                       struct why *why) MUST_CHECK;
/* Cancels what is under way, frees itself in the last callback, then calls done. */
void attest_unix_close(struct attest_unix *a, void (*done)(void *arg), void *arg);

/* As attestor.h says: at once when nothing costly is asked for and names are cached. */
uint64_t attest_unix_start(void *self, const struct attest_subject *who, unsigned kinds,
                           attestor_answer_fn *done, void *arg);
void attest_unix_cancel(void *self, uint64_t id);
struct attestor attest_unix_attestor(struct attest_unix *a);
/* Programs hashed so far. */
uint64_t attest_unix_files_read(const struct attest_unix *a);

#endif
