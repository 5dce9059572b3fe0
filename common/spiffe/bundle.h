/* Trust bundles: the roots of each trust domain, never merged (X509-SVID section 5, FD-13).
 * A bundle_set is immutable once shared: built by one owner, then shared by reference. */
#ifndef SPINDLE_COMMON_SPIFFE_BUNDLE_H
#define SPINDLE_COMMON_SPIFFE_BUNDLE_H

#include "common/x509/x509.h"

#define BUNDLE_ROOTS_MAX 64    /* roots of one trust domain */
#define BUNDLE_DOMAINS_MAX 256 /* trust domains of one set */
#define BUNDLE_SKIPS_KEPT 4    /* reasons kept of roots that were left out */

/* A root that we cannot use (a key of a kind that we do not know, no certificate at all) is left
 * out and the others stand: it cannot vouch for anybody, and must not take those with it that can.
 */
struct bundle {
    char *trust_domain; /* owned */
    uint8_t *der;       /* owned, concatenated */
    size_t der_len;
    struct x509 *roots;                  /* owned, parsed, borrowing der */
    uint8_t (*key_ids)[X509_KEY_ID_LEN]; /* owned; of each root */
    size_t root_count;
    struct why *skips; /* owned; why the first of them was left out, and so on */
    size_t skip_count; /* roots left out; skips has the first BUNDLE_SKIPS_KEPT of them */
};

struct bundle_set {
    struct bundle *items; /* owned, sorted by trust domain */
    size_t count;
};

void bundle_set_init(struct bundle_set *set);
void bundle_set_done(struct bundle_set *set);
/* Adds or replaces the bundle of a trust domain. `ders` is concatenated DER, copied; it may be
 * empty (a known domain that trusts nothing). ERR_SPIFFE_ID for the name; ERR_CERT_MALFORMED when
 * it is no list, the reason of the first root when none of them can be used; ERR_LIMIT. */
err_t bundle_set_put(struct bundle_set *set, struct slice trust_domain, struct slice ders,
                     struct why *why) MUST_CHECK;
/* As bundle_set_put, but a bundle of which no root can be used is kept, trusting nobody: what
 * another trust domain sends must not cost us our own identity. */
err_t bundle_set_put_foreign(struct bundle_set *set, struct slice trust_domain, struct slice ders,
                             struct why *why) MUST_CHECK;
err_t bundle_set_copy(const struct bundle_set *from, struct bundle_set *ret_copy) MUST_CHECK;
/* Borrowed, NULL when there is none. */
const struct bundle *bundle_set_find(const struct bundle_set *set, struct slice trust_domain);
/* Is there a root with this key? */
bool bundle_has_key(const struct bundle *b, const uint8_t key_id[static X509_KEY_ID_LEN]);
bool bundle_set_eq(const struct bundle_set *a, const struct bundle_set *b);

#endif
