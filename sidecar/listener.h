/* The accepting end of one route in one worker: keeps the cap, gives each connection to conn.h.
 * Running out of descriptors pauses accepting for a moment; it never ends the program. */
#ifndef SPINDLE_SIDECAR_LISTENER_H
#define SPINDLE_SIDECAR_LISTENER_H

#include "sidecar/worker.h"

struct listener;

/* A bound, listening, non-blocking socket for `address`; port 0 lets the kernel pick. With
 * `shared` several may be bound to one port (a worker each). A stale Unix socket is removed, one
 * that answers is not. ERR_IO names the address and the cause. Any thread. */
err_t listener_bind(const struct address *address, bool shared, int *ret_fd,
                    struct why *why) MUST_CHECK;

/* Takes fd. */
err_t listener_open(struct worker *w, size_t route, int fd, struct listener **ret,
                    struct why *why) MUST_CHECK;
/* Frees itself in its last close callback. NULL is fine. */
void listener_close(struct listener *l);

#endif
