/* How many connections the process may hold, from the descriptor limit, which is raised to what the
 * system allows. At start, before the sandbox. */
#ifndef SPINDLE_AGENT_DESCRIPTORS_H
#define SPINDLE_AGENT_DESCRIPTORS_H

#include "agent/connection.h"

/* per_user: of api.sock, as configured; 0: a quarter of all, and no fewer than 8192 where that
 * leaves room for others. */
struct descriptor_limits {
    struct connection_limits api;   /* api.sock */
    struct connection_limits share; /* share.sock */
};
struct descriptor_limits descriptors_raise(size_t per_user);

#endif
