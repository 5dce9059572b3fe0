/* Is this chain an X509-SVID we trust, and whose? Pure: bytes, anchors and a clock in, a verdict
 * out; no I/O, no state, any thread. X509-SVID section 5, RFC 5280 section 6.
 *
 * Order of the checks, so that each failure has one reason: parse, leaf rules (CA bits, URI, ID,
 * key usage, critical extensions, key kind, extended key usage), trust domain, path (names, CA
 * bits, extensions, path length, name constraints, times, life), signatures last, because they cost
 * most. Of several paths the first that failed is reported; those whose key ids fit are tried
 * first. Of an anchor count its name, key, name constraints and times, and nothing else it says.
 * Work is bounded: 16 signatures, 128 candidate issuers. */
#ifndef SPINDLE_COMMON_SPIFFE_SVID_VERIFY_H
#define SPINDLE_COMMON_SPIFFE_SVID_VERIFY_H

#include "common/spiffe/bundle.h"
#include "common/spiffe/spiffeid.h"

#define SVID_CHAIN_MAX 8 /* certificates a peer may show */

enum svid_role { SVID_ROLE_CLIENT, SVID_ROLE_SERVER }; /* what the peer is */

struct svid_verify_options {
    const struct bundle_set *bundles;
    enum svid_role peer_role;
    int64_t now;
    int64_t max_lifetime_s;       /* 0: no limit; else refuse longer notAfter - notBefore */
    struct slice lifetime_domain; /* the one trust domain that the limit binds; empty: all */
};

/* One certificate of a verified path, as revocation asks for it. */
struct svid_link {
    struct slice serial;             /* borrows the chain */
    uint8_t issuer[X509_KEY_ID_LEN]; /* of the key that its signature was verified with */
    uint8_t at;                      /* its place in the chain as shown */
};

/* What the verifier found; filled as far as it got, also on failure, for the log line. Slices
 * borrow the chain. */
struct svid_peer {
    struct x509 leaf;
    bool leaf_parsed;
    struct spiffeid id;
    bool id_parsed;
    struct svid_link path[SVID_CHAIN_MAX]; /* leaf first, without the anchor */
    size_t path_len;                       /* 0: not verified */
    uint8_t anchor[X509_KEY_ID_LEN];       /* a root of the bundle of the ID's trust domain */
};

/* The leaf rules alone: those an X509-SVID keeps whoever looks at it (X5-12 to X5-14, X5-18). */
err_t svid_check_leaf(const struct x509 *leaf, struct spiffeid *ret_id, struct why *why) MUST_CHECK;

/* The limit of `opt` alone, for a peer that was verified before: ERR_LIFETIME_TOO_LONG. */
err_t svid_check_lifetime(const struct x509 *leaf, struct slice trust_domain,
                          const struct svid_verify_options *opt, struct why *why) MUST_CHECK;

/* chain[0] is the leaf, the rest may have any order. ERR_OK, or the reason. `ret_peer` is filled on
 * failure too. */
err_t svid_verify(const struct slice *chain, size_t count, const struct svid_verify_options *opt,
                  struct svid_peer *ret_peer, struct why *why) MUST_CHECK;

#endif
