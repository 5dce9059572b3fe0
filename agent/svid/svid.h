/* An X509-SVID as the agent hands it out: chain, private key, times. Immutable, counted; the key
 * lies apart (common/base/secret.h) and is wiped with the last reference. Loop thread only. */
#ifndef SPINDLE_AGENT_SVID_SVID_H
#define SPINDLE_AGENT_SVID_SVID_H

#include "agent/authority/authority.h"
#include "agent/entry/entries.h"

struct svid {
    unsigned refs;
    char *entry_id, *spiffe_id, *hint;
    uint8_t *chain;
    size_t chain_len; /* leaf first, concatenated DER */
    uint8_t *key;
    size_t key_len; /* PKCS#8, wiped on free */
    int64_t issued_at, not_before, not_after, renew_at;
    uint8_t serial[16];
    uint8_t issuer[X509_KEY_ID_LEN]; /* key identifier of who signed */
};
/* Why one was issued: "first", "renewal", "operator". */
enum svid_why { SVID_FIRST, SVID_RENEWAL, SVID_BY_OPERATOR };
const char *svid_why_name(enum svid_why why);

/* One that is being issued; embedded by who asks, zeroed at first. */
struct svid_order {
    const struct entry *entry; /* borrowed until the answer */
    int64_t now, ttl_s;
    unsigned jitter; /* 0 to 1000, see rotation.h */
    /* svid: with one reference, the callee's; NULL on failure: as authority.h. May free the order.
     */
    void (*done)(struct svid_order *o, err_t err, struct svid *svid, const struct why *why);
    struct key *key; /* until the answer; NULL: it is not under way */
    struct authority_job job;
};
/* A new key and a certificate for it (AG-13). Answers once, perhaps before it returns. */
void svid_issue(const struct authority *authority, struct svid_order *o);
/* `done` is not called any more; also when it is not under way. */
void svid_cancel(const struct authority *authority, struct svid_order *o);
/* The same SVID under another hint. */
err_t svid_with_hint(const struct svid *s, const char *hint, struct svid **ret) MUST_CHECK;
struct svid *svid_ref(struct svid *s);
void svid_unref(struct svid *s); /* NULL is fine */

#endif
