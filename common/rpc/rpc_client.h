/* A gRPC client over one Unix or TCP connection, on nghttp2 and the loop: no threads, no retries of
 * its own. Small enough for a program that runs in every pod (docs/adr has the figures). Loop
 * thread only. */
#ifndef SPINDLE_COMMON_RPC_RPC_CLIENT_H
#define SPINDLE_COMMON_RPC_RPC_CLIENT_H

#include "common/loop/address.h"
#include "common/rpc/rpc_session.h"

#include <uv.h>

struct rpc_client; /* opaque */

/* Never fails for a peer that is not there: its streams end with RPC_UNAVAILABLE. */
err_t rpc_client_open(uv_loop_t *loop, const struct address *server, struct rpc_client **ret,
                      struct why *why) MUST_CHECK;
/* Ends all streams (RPC_CANCELLED), frees in the last close callback, then calls done. */
void rpc_client_close(struct rpc_client *c, void (*done)(void *arg), void *arg);

/* Starts a call, with the header `workload.spiffe.io: true` when spiffe_header. Connects when not
 * connected. timeout_ms 0: none. Events come from the loop, never from here; rpc_stream_cancel
 * ends it early. A server that said it goes away (GOAWAY) finishes what it has; calls made
 * meanwhile end with RPC_UNAVAILABLE. */
err_t rpc_client_call(struct rpc_client *c, const char *method, bool spiffe_header,
                      struct slice request, uint64_t timeout_ms,
                      const struct rpc_stream_events *events, struct rpc_stream **ret,
                      struct why *why) MUST_CHECK;

#endif
