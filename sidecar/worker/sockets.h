/* The listening sockets of all routes and workers, bound before privileges are given up and before
 * any thread starts. The first worker's sockets settle the ports that the kernel picks; the others
 * share them (SO_REUSEPORT; Unix sockets are the first worker's alone). Main thread only. */
#ifndef SPINDLE_SIDECAR_WORKER_SOCKETS_H
#define SPINDLE_SIDECAR_WORKER_SOCKETS_H

#include "sidecar/config/config.h"

struct sockets {
    int *fds; /* owned: worker w, route r at [w * routes + r]; -1 once taken, or none */
    size_t routes;
    unsigned workers;
};

/* Logs `listening` for each route. ERR_CONFIG with key, address and cause (port taken, ...). */
err_t sockets_open(const struct sidecar_config *config, struct sockets *ret,
                   struct why *why) MUST_CHECK;
/* The row of one worker, to take from. */
int *sockets_of(struct sockets *s, unsigned worker);
/* Closes what nobody took. */
void sockets_done(struct sockets *s);

#endif
