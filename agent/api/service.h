/* A gRPC service of the Workload Endpoint: a table of methods under one prefix. The endpoint is
 * given its services when it is opened and calls them on the loop thread alone:
 *
 *   serve(self, rpc, connection, method)   for each call of a method of the table
 *
 * The peer is pinned and, where the service asks for it, the security header is right; the request
 * (rpc_call_request) lives until serve returns. serve either enters the call (call_init) and ends
 * it when it likes, or refuses it at once (call_refuse): it has no failure of its own. When the
 * client goes, its process ends or the agent stops, the endpoint ends the call, and the call's
 * on_end comes as for any other end: there the service cancels what it waits for. A method that the
 * table does not name is refused by the endpoint. `self` outlives the endpoint. */
#ifndef SPINDLE_AGENT_API_SERVICE_H
#define SPINDLE_AGENT_API_SERVICE_H

#include "agent/caller/connection.h"
#include "agent/telemetry/metrics.h"

struct rpc_call;
struct method;

typedef void service_serve_fn(void *self, struct rpc_call *rpc, struct connection *connection,
                              const struct method *method);

struct method {
    const char *name;        /* "FetchX509SVID" */
    enum agent_method label; /* of the metrics */
    service_serve_fn *serve;
};
struct service {
    const char *prefix;           /* "/SpiffeWorkloadAPI/": all paths with it are the service's */
    bool needs_security_header;   /* EP-2 */
    const struct method *methods; /* static */
    size_t method_count;
    void *self;
};

/* Whose path it is, of `count` services; NULL: nobody's. *ret_method is NULL when the service has
 * no such method. */
const struct service *service_find(const struct service *services, size_t count, const char *path,
                                   const struct method **ret_method);

#endif
