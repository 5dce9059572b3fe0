/* The accepting end of one route in one worker. Running out of descriptors pauses accepting for a
 * moment; it never ends the program. */
#ifndef SPINDLE_SIDECAR_WORKER_LISTENER_H
#define SPINDLE_SIDECAR_WORKER_LISTENER_H

#include "sidecar/config/config.h"

#include <uv.h>

struct listener;

/* A bound, listening, non-blocking socket for `address`, which is the route's but for the port,
 * that the kernel may have picked. With `shared` several may be bound to one port (a worker each).
 * A stale Unix socket is removed, one that answers is not; the file has the route's mode and owner.
 * ERR_IO names the address and the cause. Main thread, at start. */
err_t listener_bind(const struct route_config *route, const struct address *address, bool shared,
                    int *ret_fd, struct why *why) MUST_CHECK;

struct listener_events {
    /* A connection, non-blocking; the callee's to close. It may close the listener. */
    void (*on_accept)(void *arg, size_t route, int fd, const struct sockaddr_storage *from);
    /* None could be taken: ERR_LIMIT out of descriptors or memory, ERR_IO else. */
    void (*on_refused)(void *arg, size_t route, err_t err, const char *detail);
    void *arg;
};
/* Takes fd on success; a Unix socket's file is removed with the listener's close. Loop thread. */
err_t listener_open(uv_loop_t *loop, size_t route, int fd, const struct listener_events *events,
                    struct listener **ret, struct why *why) MUST_CHECK;
/* Frees itself in its last close callback. NULL is fine. */
void listener_close(struct listener *l);

#endif
