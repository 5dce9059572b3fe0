/* A gRPC client over one Unix or TCP connection, on nghttp2 and the loop: no threads, no retries of
 * its own. Small enough for a program that runs in every pod (docs/adr has the figures). Loop
 * thread only. */
#ifndef SPINDLE_COMMON_RPC_CLIENT_H
#define SPINDLE_COMMON_RPC_CLIENT_H

#include "common/address.h"
#include "common/rpc_code.h"

#include <uv.h>

#define RPC_MESSAGE_MAX (4u * 1024u * 1024u) /* WA-9 */

struct rpc_client;
struct rpc_stream;

struct rpc_stream_events {
    /* A whole message; the slice lives for the call only. */
    void (*on_message)(void *arg, struct slice message);
    /* The end, exactly once: a gRPC status, or code RPC_UNAVAILABLE with our own words when the
     * connection failed. The stream is gone after it. */
    void (*on_end)(void *arg, int code, const char *message);
    void *arg;
};

/* Never fails for a peer that is not there: its streams end with RPC_UNAVAILABLE. */
err_t rpc_client_open(uv_loop_t *loop, const struct address *server, struct rpc_client **ret,
                      struct why *why) MUST_CHECK;
/* Ends all streams (RPC_CANCELLED), frees in the last close callback, then calls done. */
void rpc_client_close(struct rpc_client *c, void (*done)(void *arg), void *arg);

/* Starts a call, with the header `workload.spiffe.io: true` when spiffe_header. Connects when not
 * connected. timeout_ms 0: none. */
err_t rpc_client_call(struct rpc_client *c, const char *method, bool spiffe_header,
                      struct slice request, uint64_t timeout_ms,
                      const struct rpc_stream_events *events, struct rpc_stream **ret,
                      struct why *why) MUST_CHECK;
/* No more callbacks after it returns. */
void rpc_stream_cancel(struct rpc_stream *s);

#endif
