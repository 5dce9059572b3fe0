/* The SPIFFE Workload API, X.509 profile: FetchX509SVID and FetchX509Bundles. Each call is attested
 * (AG-4), gets its first message at once (WA-2) and a new one when what it is entitled to changes,
 * until it is entitled to nothing (WA-6) or the agent stops (WA-7). Loop thread only. */
#ifndef SPINDLE_AGENT_API_WORKLOAD_API_H
#define SPINDLE_AGENT_API_WORKLOAD_API_H

#include "agent/api/call.h"
#include "agent/api/entitlement.h"
#include "agent/attest/attestation.h"

struct workload_api; /* opaque */
struct audit;

struct workload_api_options {
    const struct attestors *attestors; /* borrowed, all of them */
    struct minter *minter;
    const struct authority *authority;
    const char *trust_domain;
    struct audit *audit; /* may be NULL */
    struct metrics *metrics;
};
err_t workload_api_open(uv_loop_t *loop, const struct workload_api_options *opt,
                        struct workload_api **ret, struct why *why) MUST_CHECK;
/* No call may be left. Frees itself in the last close callback, then calls done. */
void workload_api_close(struct workload_api *w, void (*done)(void *arg), void *arg);

/* Entries are in use from here on; borrowed until the next call. */
void workload_api_set_entries(struct workload_api *w, const struct entry_set *entries);
/* From the minter's on_change and on_settled. */
void workload_api_svid_changed(struct workload_api *w, const char *entry_id, struct svid *svid);
void workload_api_svids_settled(struct workload_api *w);
void workload_api_bundle_changed(struct workload_api *w);

struct service workload_api_service(struct workload_api *w);

#endif
