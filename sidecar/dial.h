/* Opens a connection to a forward address: resolves names off the loop, tries the addresses in the
 * resolver's order, one after the other; one that does not answer gets 2 s while there are more.
 * One dial at a time per struct; worker thread only. The caller has the deadline. */
#ifndef SPINDLE_SIDECAR_DIAL_H
#define SPINDLE_SIDECAR_DIAL_H

#include "common/address.h"

#include <uv.h>

#define DIAL_ADDRESSES_MAX 8

struct dial; /* opaque; heap, because a resolver's answer may outlive the connection */

/* Answers once, never before it returns: fd >= 0 (the callee's, connected, non-blocking), or -1
 * with `why` (ERR_CONNECT, ERR_RESOLVE). */
typedef void (*dial_done)(void *arg, int fd, const struct why *why);
err_t dial_start(uv_loop_t *loop, const struct address *to, dial_done done, void *arg,
                 struct dial **ret, struct why *why) MUST_CHECK;
/* done is not called any more. */
void dial_cancel(struct dial *d);

#endif
