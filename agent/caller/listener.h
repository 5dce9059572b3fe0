/* A Unix socket that workloads connect to: makes its folder (0755) and itself, removes a stale one,
 * accepts. It survives running out of descriptors: it pauses, counts, and goes on. Loop thread
 * only. AG-7. */
#ifndef SPINDLE_AGENT_CALLER_LISTENER_H
#define SPINDLE_AGENT_CALLER_LISTENER_H

#include "common/base/why.h"

#include <uv.h>

struct listener; /* opaque */

struct listener_options {
    const char *path;  /* borrowed for the call */
    int type;          /* SOCK_STREAM or SOCK_SEQPACKET */
    mode_t mode;       /* of the socket */
    unsigned per_turn; /* as acceptor.h says */
    /* A connection, non-blocking, O_CLOEXEC; the callee's to close. */
    void (*on_accept)(void *arg, int fd);
    /* accept failed: out of descriptors or memory. */
    void (*on_error)(void *arg, err_t err, const struct why *why);
    void *arg;
};

/* Makes the socket's folder if it is not there; its parent must be. */
err_t listener_make_folder(const char *path, struct why *why) MUST_CHECK;
/* ERR_LOCKED when another process answers on the socket, ERR_IO naming the path. */
err_t listener_open(uv_loop_t *loop, const struct listener_options *opt, struct listener **ret,
                    struct why *why) MUST_CHECK;
/* Removes the socket, frees itself in the last close callback, then calls done. */
void listener_close(struct listener *l, void (*done)(void *arg), void *arg);

#endif
