/* Takes connections off a listening socket, some a turn, so that a flood of them starves nobody
 * else on the loop. Out of descriptors or memory it never spins and never gives up: the connections
 * wait in the kernel's queue and it looks again after a pause. Loop thread only. */
#ifndef SPINDLE_COMMON_LOOP_ACCEPTOR_H
#define SPINDLE_COMMON_LOOP_ACCEPTOR_H

#include "common/base/why.h"

#include <sys/socket.h>
#include <uv.h>

#define ACCEPTOR_PAUSE_MS 100

struct acceptor; /* opaque */

struct acceptor_options {
    int fd;            /* listening, non-blocking */
    unsigned per_turn; /* connections; 0: 64 */
    /* Keeps a descriptor back: when the process has none left, connections are taken one after
     * another all the same. For what must answer in any case. */
    bool spare;
    /* A connection, non-blocking, O_CLOEXEC; the callee's to close. Of a Unix socket `from`
     * tells the family alone. It may close the acceptor. */
    void (*on_accept)(void *arg, int fd, const struct sockaddr_storage *from);
    /* None could be taken, once a pause: ERR_LIMIT out of descriptors or memory, ERR_IO else. */
    void (*on_error)(void *arg, err_t err, const struct why *why);
    void *arg;
};

/* Takes fd on success. ERR_NO_MEMORY, ERR_IO */
err_t acceptor_open(uv_loop_t *loop, const struct acceptor_options *opt, struct acceptor **ret,
                    struct why *why) MUST_CHECK;
/* A descriptor was given back: a pause ends now. */
void acceptor_retry(struct acceptor *a);
/* Closes the socket at once, frees itself in the last close callback, then calls done (may be
 * NULL). */
void acceptor_close(struct acceptor *a, void (*done)(void *arg), void *arg);

#endif
