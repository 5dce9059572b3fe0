/* Answers of the SPIFFE Workload API, X.509 profile, from wire bytes to checked values. Pure.
 * A message is taken whole or discarded whole (WA-5). Redacted parts are simply not in the result,
 * so whoever replaces its old state by it drops them (WA-4). Bounded in bytes and counts; what held
 * keys is wiped. */
#ifndef SPINDLE_COMMON_RPC_WORKLOAD_MESSAGE_H
#define SPINDLE_COMMON_RPC_WORKLOAD_MESSAGE_H

#include "common/spiffe/identity.h"

#define WORKLOAD_SVIDS_MAX 1024                  /* SVIDs of one answer */
#define WORKLOAD_STATE_MAX (64u * 1024u * 1024u) /* bytes of bundles over all identities */

/* In the order of the answer; the first is the default identity (WA-13). */
struct workload_svids {
    struct identity **items; /* shared */
    size_t count;
};
void workload_svids_done(struct workload_svids *s);

/* X509SVIDResponse. Each identity has the bundles of all SVIDs of the answer and the federated
 * ones. Every SVID must pass identity_new and be the one its spiffe_id names; of two with the same
 * hint the first counts, the second is left out (WA-14). ERR_PARSE and the certificate errors,
 * naming the SVID and the field. */
err_t workload_svids_decode(struct slice message, struct workload_svids *ret,
                            struct why *why) MUST_CHECK;

/* X509BundlesResponse (WA-20); `ret` is initialised here. */
err_t workload_bundles_decode(struct slice message, struct bundle_set *ret,
                              struct why *why) MUST_CHECK;

#endif
