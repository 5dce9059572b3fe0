/* A gRPC server over sockets that we accepted ourselves; gRPC core C stays inside rpc_server.c and
 * rpc_settings.c.
 * gRPC's own thread only turns completions into messages for the loop: every callback below runs on
 * the loop thread, and every function is called there.
 *
 * Life of a call: on_call -> any number of rpc_call_send (one at a time, next after on_sent)
 * -> rpc_call_finish -> on_end. on_end comes exactly once for each on_call, also when the client
 * goes away first; after it the call is gone. Calls whose message does not come are not shown, and
 * past some thousands of them the oldest is ended (UNAVAILABLE). */
#ifndef SPINDLE_COMMON_RPC_RPC_SERVER_H
#define SPINDLE_COMMON_RPC_RPC_SERVER_H

#include "common/base/slice.h"
#include "common/base/why.h"
#include "common/rpc/rpc_code.h"
#include "common/rpc/rpc_message.h"

#include <uv.h>

struct rpc_server;
struct rpc_call;

struct rpc_server_events {
    /* A whole request message is here (empty when the client sent none). */
    void (*on_call)(void *arg, struct rpc_call *call);
    /* The message given to rpc_call_send is taken by the transport: the next may be sent. */
    void (*on_sent)(void *arg, struct rpc_call *call);
    void (*on_end)(void *arg, struct rpc_call *call);
    void *arg;
};

err_t rpc_server_open(uv_loop_t *loop, const struct rpc_server_events *events,
                      size_t max_request_bytes, struct rpc_server **ret,
                      struct why *why) MUST_CHECK;
/* Takes `fd`, connected and non-blocking. */
void rpc_server_add(struct rpc_server *s, int fd);
/* Ends calls with UNAVAILABLE (WA-7), lets what was written leave, then frees and calls done. */
void rpc_server_close(struct rpc_server *s, void (*done)(void *arg), void *arg);

/* What came with the call; valid until on_call returns. */
const char *rpc_call_method(const struct rpc_call *call); /* "/SpiffeWorkloadAPI/FetchX509SVID" */
/* The n-th value of a request header (lower-case name); false when there are fewer. */
bool rpc_call_header(const struct rpc_call *call, const char *name, size_t n, struct slice *ret);
struct slice rpc_call_request(const struct rpc_call *call);

int rpc_call_fd(const struct rpc_call *call); /* number the connection had; -1 unknown */
void rpc_call_set_user(struct rpc_call *call, void *user);
void *rpc_call_user(const struct rpc_call *call); /* NULL until set */

/* ERR_LIMIT while the last one is still being sent. Takes a reference of its own. */
err_t rpc_call_send(struct rpc_call *call, struct rpc_message *m) MUST_CHECK;
/* Ends the call, after what was sent; later calls do nothing. */
void rpc_call_finish(struct rpc_call *call, enum rpc_code code, const char *message);

#endif
