#include "sidecar/peer/verify_cache.h"

#define CHAIN_BYTES_MAX 16384u /* longer chains are verified each time */

void verify_cache_clear(struct verify_cache *c)
{
    *c = (struct verify_cache){0};
}

/* Lengths go in too, so that no two chains are the same bytes. */
static bool hash_chain(const struct slice *chain, size_t count, enum svid_role role,
                       uint8_t out[static SHA256_LEN])
{
    uint8_t bytes[CHAIN_BYTES_MAX];
    size_t len = 0;
    bytes[len++] = (uint8_t)role;
    for (size_t i = 0; i < count; i++) {
        if (chain[i].len > sizeof bytes - 4 || len > sizeof bytes - 4 - chain[i].len)
            return false;
        for (unsigned shift = 0; shift < 32; shift += 8)
            bytes[len++] = (uint8_t)(chain[i].len >> shift);
        memcpy(bytes + len, chain[i].data, chain[i].len);
        len += chain[i].len;
    }
    sha256_of(slice_of(bytes, len), out);
    return true;
}

static void narrow(int64_t *from, int64_t *until, const struct x509 *cert)
{
    if (cert->not_before > *from)
        *from = cert->not_before;
    if (cert->not_after < *until)
        *until = cert->not_after;
}

/* When the verdict of now stops to hold: all of the chain must be valid, and no anchor that is
 * valid now may have run out. */
static void window_of(const struct slice *chain, size_t count,
                      const struct svid_verify_options *opt, const struct svid_peer *peer,
                      int64_t *ret_from, int64_t *ret_until)
{
    int64_t from = peer->leaf.not_before, until = peer->leaf.not_after;
    for (size_t i = 1; i < count; i++) {
        struct x509 cert;
        if (x509_parse(chain[i], &cert, NULL) == ERR_OK)
            narrow(&from, &until, &cert);
    }
    const struct bundle *anchors = bundle_set_find(opt->bundles, peer->id.trust_domain);
    for (size_t i = 0; anchors != NULL && i < anchors->root_count; i++) {
        if (anchors->roots[i].not_after >= opt->now && anchors->roots[i].not_after < until)
            until = anchors->roots[i].not_after;
    }
    *ret_from = from;
    *ret_until = until;
}

/* The peer again, without its signatures: what svid_verify would have filled. */
static err_t peer_of(const struct verify_slot *slot, const struct slice *chain,
                     const struct svid_verify_options *opt, struct svid_peer *ret_peer,
                     struct why *why)
{
    struct svid_peer peer = {.leaf_parsed = true, .id_parsed = true};
    struct x509 cert;
    err_t err = x509_parse(chain[0], &peer.leaf, why);
    if (err == ERR_OK)
        err = spiffeid_parse(peer.leaf.uri[0], &peer.id, why);
    if (err != ERR_OK)
        return err;
    peer.path[0].serial = peer.leaf.serial;
    for (size_t i = 1; err == ERR_OK && i < slot->links; i++) {
        peer.path[i].at = slot->order[i];
        err = x509_parse(chain[slot->order[i]], &cert, why);
        if (err == ERR_OK)
            err = x509_key_id(cert.spki, peer.path[i - 1].issuer);
        peer.path[i].serial = cert.serial;
    }
    memcpy(peer.anchor, slot->anchor, sizeof peer.anchor);
    memcpy(peer.path[slot->links - 1].issuer, slot->anchor, sizeof slot->anchor);
    peer.path_len = slot->links;
    *ret_peer = peer;
    return err == ERR_OK ? svid_check_lifetime(&peer.leaf, peer.id.trust_domain, opt, why) : err;
}

static void remember(struct verify_slot *slot, const uint8_t hash[static SHA256_LEN],
                     const struct svid_peer *peer)
{
    memcpy(slot->hash, hash, SHA256_LEN);
    memcpy(slot->anchor, peer->anchor, sizeof slot->anchor);
    slot->links = (uint8_t)peer->path_len;
    for (size_t i = 0; i < peer->path_len; i++)
        slot->order[i] = peer->path[i].at;
}

err_t verify_cache_check(struct verify_cache *c, const struct slice *chain, size_t count,
                         const struct svid_verify_options *opt, struct svid_peer *ret_peer,
                         struct why *why)
{
    uint8_t hash[SHA256_LEN];
    if (count == 0 || count > SVID_CHAIN_MAX || !hash_chain(chain, count, opt->peer_role, hash))
        return svid_verify(chain, count, opt, ret_peer, why);
    struct verify_slot *slot = &c->slot[(size_t)(hash[0] | hash[1] << 8) % VERIFY_CACHE_SLOTS];
    if (memcmp(slot->hash, hash, sizeof hash) == 0 && opt->now >= slot->from &&
        opt->now < slot->until)
        return peer_of(slot, chain, opt, ret_peer, why);
    err_t err = svid_verify(chain, count, opt, ret_peer, why);
    if (err == ERR_OK) {
        remember(slot, hash, ret_peer);
        window_of(chain, count, opt, ret_peer, &slot->from, &slot->until);
    }
    return err;
}
