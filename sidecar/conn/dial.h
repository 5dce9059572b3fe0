/* Opens a connection to a forward address. Of a name all addresses are tried within the time given,
 * each a moment after the one before, or as soon as that has failed (RFC 8305); the first that
 * connects is taken, the others are closed. One dial at a time per struct; worker thread only. */
#ifndef SPINDLE_SIDECAR_CONN_DIAL_H
#define SPINDLE_SIDECAR_CONN_DIAL_H

#include "common/loop/address.h"
#include "common/resolve/resolver.h"

#include <uv.h>

#define DIAL_ATTEMPTS_MAX 16 /* under way at once; the oldest gives way to a further one */

struct dial; /* opaque; heap, because libuv has handles of it after its end */

struct dial_from {
    uv_loop_t *loop;
    struct resolver_desk *desk; /* of the loop; used for names alone */
    uint64_t timeout_ms;        /* the caller's deadline, which is the caller's to watch */
};

/* Answers once, never before dial_start has returned: fd >= 0 (the callee's, connected,
 * non-blocking), or -1 with `why` (ERR_CONNECT, ERR_RESOLVE and its kin, ERR_NO_MEMORY). */
typedef void (*dial_done)(void *arg, int fd, const struct why *why);
err_t dial_start(const struct dial_from *from, const struct address *to, dial_done done, void *arg,
                 struct dial **ret, struct why *why) MUST_CHECK;
/* At the caller's deadline: how far it came. ERR_TIMEOUT, or ERR_RESOLVE_TIMEOUT while the name's
 * addresses are awaited. */
err_t dial_too_late(const struct dial *d, struct why *why);
/* done is not called any more. */
void dial_cancel(struct dial *d);

#endif
