/* The messages of the Workload API's X.509 profile, encoded. Pure. WA-10 to WA-15, WA-20. */
#ifndef SPINDLE_AGENT_API_X509_MESSAGE_H
#define SPINDLE_AGENT_API_X509_MESSAGE_H

#include "agent/svid/minter.h"
#include "common/rpc/rpc_message.h"

#define X509_MESSAGE_CLIENT_MAX (4u * 1024u * 1024u) /* what clients take by default (WA-9) */

/* Hints are unique in a response: the first entry that has one keeps it, later ones are left out
 * whole (WA-14). Moves the kept ones to the front, in order, and returns how many they are. */
size_t entries_drop_same_hints(const struct entry **entries, size_t count);

/* X509SVIDResponse: one svid for each entry that has one (svids[i] may be NULL), in order; `bundle`
 * is the roots of the trust domain. NULL on no memory. */
struct rpc_message *x509_svid_message(const struct entry *const *entries, struct svid *const *svids,
                                      size_t count, struct slice bundle);
/* X509BundlesResponse with the agent's own trust domain. NULL on no memory. */
struct rpc_message *x509_bundles_message(const char *trust_domain, struct slice bundle);

#endif
