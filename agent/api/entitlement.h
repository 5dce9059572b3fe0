/* What callers with the same selectors are entitled to: the entries that match, their SVIDs, the
 * encoded messages. One however many streams hold it: they share its messages. SVIDs are asked of
 * the minter while someone wants them and for a minute after, so that clients that come and go do
 * not cost a signature each. Loop thread only. */
#ifndef SPINDLE_AGENT_API_ENTITLEMENT_H
#define SPINDLE_AGENT_API_ENTITLEMENT_H

#include "agent/svid/minter.h"
#include "common/base/list.h"
#include "common/rpc/rpc_message.h"

#define ENTITLEMENT_ENTRIES_MAX 4096 /* identities of one caller; more are left out and logged */
#define ENTITLEMENT_LINGER_S 60
#define ENTITLEMENT_LINGERING_MAX 1024

struct entitlements; /* opaque */
struct entitlement;  /* opaque */

/* Embedded by who holds one. */
struct entitlement_holder {
    LIST_ENTRY(entitlement_holder) in_entitlement;
    struct entitlement *entitlement; /* NULL: none */
};

struct entitlement_options {
    struct minter *minter;             /* borrowed */
    const struct authority *authority; /* borrowed */
    const char *trust_domain;          /* borrowed */
    /* What the holder is entitled to has changed; it asks for the messages again. It may leave, and
     * no other one. */
    void (*on_change)(void *arg, struct entitlement_holder *h);
    void *arg;
};
err_t entitlements_new(const struct entitlement_options *opt, struct entitlements **ret,
                       struct why *why) MUST_CHECK;
/* Nobody may hold one any more. */
void entitlements_free(struct entitlements *all);

/* Borrows the set until the next call; NULL: not loaded. Passes it to the minter, matches all anew
 * and calls on_change for each holder; then the old set is used no more. */
void entitlements_set_entries(struct entitlements *all, const struct entry_set *entries);
/* From the minter's on_change, and from its on_settled: who has several SVIDs that are renewed in
 * one round hears of them once. */
void entitlements_svid_changed(struct entitlements *all, const char *entry_id, struct svid *svid);
void entitlements_settled(struct entitlements *all);
/* The trust domain has other roots now. */
void entitlements_bundle_changed(struct entitlements *all);
/* Forgets what nobody has wanted for a while; call it every few seconds. */
void entitlements_tick(struct entitlements *all);

/* From here on `h` holds the one of these selectors alone; they are taken (emptied) on success. On
 * failure it holds what it held. */
err_t entitlement_hold(struct entitlements *all, struct selector_set *selectors,
                       struct entitlement_holder *h, struct why *why) MUST_CHECK;
void entitlement_leave(struct entitlement_holder *h); /* also when it holds none */

/* Borrowed; no SVIDs, NULL: some are about to be there, on_change follows. ERR_NOT_SYNCED: no
 * entries yet; ERR_NO_ENTRY: none matches; ERR_SIGNER: no SVID could be had; ERR_REVOKED: each was
 * revoked; ERR_NO_MEMORY. */
err_t entitlement_svids(struct entitlement *e, struct rpc_message **ret,
                        struct why *why) MUST_CHECK;
err_t entitlement_bundles(struct entitlement *e, struct rpc_message **ret,
                          struct why *why) MUST_CHECK;
/* Of its callers; borrowed. */
const struct selector_set *entitlement_selectors(const struct entitlement *e);

#endif
