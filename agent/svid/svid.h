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

/* A new key and a certificate for it (AG-13), with one reference. jitter: 0 to 1000, see
 * rotation.h. ERR_SIGNER, ERR_NO_MEMORY. */
err_t svid_issue(struct authority *authority, const struct entry *e, int64_t ttl_s, int64_t now,
                 unsigned jitter, struct svid **ret, struct why *why) MUST_CHECK;
/* The same SVID under another hint. */
err_t svid_with_hint(const struct svid *s, const char *hint, struct svid **ret) MUST_CHECK;
struct svid *svid_ref(struct svid *s);
void svid_unref(struct svid *s); /* NULL is fine */

#endif
