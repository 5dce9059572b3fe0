/* How many connections the process may hold, from the descriptor limit, which is raised to what the
 * system allows; a reserve is kept back for metrics, admin socket, files. At start, before the
 * sandbox. */
#ifndef SPINDLE_AGENT_API_DESCRIPTORS_H
#define SPINDLE_AGENT_API_DESCRIPTORS_H

#include "agent/caller/connection.h"

struct descriptor_limits {
    struct connection_limits api;   /* api.sock */
    struct connection_limits share; /* share.sock */
    size_t http_places;             /* of metrics and admin socket each */
};
/* per_user: of api.sock, as configured; 0: a quarter of all, and no fewer than 8192 where that
 * leaves room for others. ERR_CONFIG: the limit is too low to run at all, with the least. */
err_t descriptors_open(size_t per_user, struct descriptor_limits *ret, struct why *why) MUST_CHECK;
/* The same of so many; api.total 0: too few. Pure. */
struct descriptor_limits descriptors_share_out(size_t descriptors, size_t per_user);

#endif
