/* Chains that were verified before: a peer that connects again costs no signature check. Belongs to
 * one identity snapshot (its bundles) and dies with it; never holds a refusal. A hit is as good as
 * a new verification: entries end with the first certificate, shown or anchor, that runs out, and a
 * limit of life is held against each hit. Neither policy nor revocation is cached. Fixed size,
 * allocates nothing after birth. Worker thread only. */
#ifndef SPINDLE_SIDECAR_PEER_VERIFY_CACHE_H
#define SPINDLE_SIDECAR_PEER_VERIFY_CACHE_H

#include "common/spiffe/svid_verify.h"

#define VERIFY_CACHE_SLOTS 256

struct verify_slot {
    uint8_t hash[SHA256_LEN];             /* of role and chain */
    int64_t from, until;                  /* unix seconds; 0 and 0: empty */
    uint8_t order[SVID_CHAIN_MAX], links; /* the path, as places in the chain */
    uint8_t anchor[X509_KEY_ID_LEN];
};
struct verify_cache {
    struct verify_slot slot[VERIFY_CACHE_SLOTS];
};

void verify_cache_clear(struct verify_cache *c);
/* As svid_verify. */
err_t verify_cache_check(struct verify_cache *c, const struct slice *chain, size_t count,
                         const struct svid_verify_options *opt, struct svid_peer *ret_peer,
                         struct why *why) MUST_CHECK;

#endif
