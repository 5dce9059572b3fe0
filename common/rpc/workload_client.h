/* A watch on the SPIFFE Workload API, X.509 profile: one stream, opened again with backoff for as
 * long as it makes sense (EP-8): Unavailable, PermissionDenied and an endpoint that is not there
 * are tried again, InvalidArgument and Unimplemented are final. Never logs. Loop thread only. */
#ifndef SPINDLE_COMMON_RPC_WORKLOAD_CLIENT_H
#define SPINDLE_COMMON_RPC_WORKLOAD_CLIENT_H

#include "common/loop/address.h"
#include "common/rpc/rpc_code.h"
#include "common/rpc/workload_message.h"

#include <uv.h>

#define WORKLOAD_RETRY_FIRST_MS 100
#define WORKLOAD_RETRY_CAP_MS 10000

enum workload_profile { WORKLOAD_X509_SVIDS, WORKLOAD_X509_BUNDLES };

struct workload_trouble {
    int code;              /* gRPC status that ended the stream; RPC_OK: a message was discarded
                              (WA-5) and the stream goes on */
    const struct why *why; /* ERR_NO_ENTRY for PermissionDenied, ERR_RPC, or the message's fault */
    bool is_final;         /* it is not tried again before workload_client_retry */
    uint64_t retry_ms;     /* else when */
};

struct workload_events {
    /* The full new state each time, borrowed for the call; only the profile's own is called. */
    void (*on_svids)(void *arg, const struct workload_svids *svids);
    void (*on_bundles)(void *arg, const struct bundle_set *bundles);
    void (*on_trouble)(void *arg, const struct workload_trouble *trouble);
    void *arg;
};

struct workload_client; /* opaque */

/* Events come from the loop, never from here. */
err_t workload_client_open(uv_loop_t *loop, const struct address *endpoint,
                           enum workload_profile profile, const struct workload_events *events,
                           struct workload_client **ret, struct why *why) MUST_CHECK;
/* Now rather than after the wait; also after a final trouble. */
void workload_client_retry(struct workload_client *c);
/* No events after it returns; frees in the last close callback, then calls done (may be NULL). */
void workload_client_close(struct workload_client *c, void (*done)(void *arg), void *arg);

#endif
