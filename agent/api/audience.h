/* Callers with the same selectors, and what they are entitled to: the entries that match, their
 * SVIDs, the encoded messages. One audience however many streams: they share its messages. SVIDs
 * are asked of the minter while someone wants them and for a minute after, so that clients that
 * come and go do not cost a signature each. Loop thread only. */
#ifndef SPINDLE_AGENT_API_AUDIENCE_H
#define SPINDLE_AGENT_API_AUDIENCE_H

#include "agent/svid/minter.h"
#include "common/base/list.h"
#include "common/rpc/rpc_message.h"

#define AUDIENCE_ENTRIES_MAX 4096 /* identities of one caller; more are left out and logged */
#define AUDIENCE_LINGER_S 60
#define AUDIENCE_LINGERING_MAX 1024

struct audiences; /* opaque */
struct audience;  /* opaque */

struct audience_options {
    struct minter *minter;       /* borrowed */
    struct authority *authority; /* borrowed */
    const char *trust_domain;    /* borrowed */
    /* What the audience is entitled to has changed; ask for its messages again. */
    void (*on_change)(void *arg, struct audience *a);
    void *arg;
};
err_t audiences_new(const struct audience_options *opt, struct audiences **ret,
                    struct why *why) MUST_CHECK;
/* No audience may be held any more. */
void audiences_free(struct audiences *all);

/* Borrows the set until the next call; NULL: not loaded. Passes it to the minter, matches every
 * audience anew and calls on_change for each; then the old set is used no more. */
void audiences_set_entries(struct audiences *all, const struct entry_set *entries);
/* From the minter's on_change, and from its on_settled: an audience with several SVIDs that are
 * renewed in one round hears of them once. */
void audiences_svid_changed(struct audiences *all, const char *entry_id, struct svid *svid);
void audiences_settled(struct audiences *all);
/* The trust domain has other roots now. */
void audiences_bundle_changed(struct audiences *all);
/* Forgets what nobody has wanted for a while; call it every few seconds. */
void audiences_tick(struct audiences *all, int64_t now_s);
/* The audience of these selectors, which are taken (emptied) on success; counted. */
err_t audience_get(struct audiences *all, struct selector_set *selectors, struct audience **ret,
                   struct why *why) MUST_CHECK;
void audience_release(struct audience *a, int64_t now_s);

/* Borrowed. ERR_NOT_SYNCED: no entries yet; ERR_NO_ENTRY: none matches; ERR_SIGNER: no SVID could
 * be had; ERR_REVOKED: each was revoked; ERR_NO_MEMORY. */
err_t audience_svids(struct audience *a, struct rpc_message **ret, struct why *why) MUST_CHECK;
err_t audience_bundles(struct audience *a, struct rpc_message **ret, struct why *why) MUST_CHECK;

/* Who holds it; kept by the user of audiences. */
LIST_HEAD(subscribers, subscriber);
struct subscribers *audience_subscribers(struct audience *a);
/* Of its callers; borrowed. */
const struct selector_set *audience_selectors(const struct audience *a);

#endif
