/* The app behind the proxies when bench_load measures them: one thread, as little work as can be,
 * so that it never is what limits the proxies. A connection's first byte says what follows:
 *   'E'  every further byte comes back
 *   'B'  eight bytes of length (big endian), then that many bytes, which are dropped; 'k' comes
 *        back when all have arrived */
#ifndef SPINDLE_TESTS_BENCH_SINK_H
#define SPINDLE_TESTS_BENCH_SINK_H

#include <stdint.h>

#define SINK_ECHO 'E'
#define SINK_BULK 'B'
#define SINK_DONE 'k'

/* Listens on a port of the kernel's choice, prints "address=127.0.0.1:PORT", serves until killed.
 * Returns only on failure, with errno set. */
int sink_run(void);
/* A loopback connection to `port` with TCP_NODELAY; -1 and errno. */
int sink_dial(uint16_t port);

#endif
