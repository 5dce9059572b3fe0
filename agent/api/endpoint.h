/* The Workload Endpoint (SPIFFE_Workload_Endpoint): accepts on the socket, remembers who connected,
 * hands connections to gRPC, traces each call back to its peer, checks the security header (EP-2)
 * and routes the call to its service. Ends the calls of processes that end (AG-6). Loop thread
 * only. */
#ifndef SPINDLE_AGENT_API_ENDPOINT_H
#define SPINDLE_AGENT_API_ENDPOINT_H

#include "agent/api/service.h"

#define ENDPOINT_SERVICES_MAX 8

struct endpoint; /* opaque */
struct audit;

struct endpoint_options {
    const char *socket; /* path */
    struct service services[ENDPOINT_SERVICES_MAX];
    size_t service_count;
    struct audit *audit; /* borrowed, may be NULL */
    struct metrics *metrics;
    struct connection_limits limits;
    enum peer_mode peer_mode;
};

err_t endpoint_open(uv_loop_t *loop, const struct endpoint_options *opt, struct endpoint **ret,
                    struct why *why) MUST_CHECK;
/* Stops accepting, ends calls with Unavailable (WA-7), frees itself when all are gone, then calls
 * done. */
void endpoint_close(struct endpoint *e, void (*done)(void *arg), void *arg);

size_t endpoint_connections(struct endpoint *e);

#endif
