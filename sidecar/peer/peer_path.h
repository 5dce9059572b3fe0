/* The verified path of a peer as a live connection keeps it, to be asked about later: is one of its
 * certificates revoked, is its anchor still trusted? One small block, for there are many: 21 bytes
 * and 41 for each certificate. Immutable. */
#ifndef SPINDLE_SIDECAR_PEER_PEER_PATH_H
#define SPINDLE_SIDECAR_PEER_PEER_PATH_H

#include "common/revocation/revocation.h"
#include "common/spiffe/svid_verify.h"

#define PEER_SERIAL_MAX 20 /* RFC 5280 4.1.2.2; x509_parse lets no longer one pass */

struct peer_link {
    uint8_t issuer[X509_KEY_ID_LEN];
    uint8_t serial_len, serial[PEER_SERIAL_MAX];
};

struct peer_path {
    struct revocation_id id; /* of the SPIFFE ID */
    uint8_t count;           /* at least 1 */
    struct peer_link link[]; /* leaf first, without the anchor */
};

void peer_link_set(struct peer_link *link, const struct svid_link *from);
/* Of a peer that svid_verify admitted; NULL: no memory. */
struct peer_path *peer_path_new(const struct svid_peer *seen);
void peer_path_free(struct peer_path *path); /* NULL is fine */

/* The key of the anchor: it signed the last one. */
static inline const uint8_t *peer_path_anchor(const struct peer_path *path)
{
    return path->link[path->count - 1].issuer;
}
static inline struct slice peer_link_serial(const struct peer_link *link)
{
    return slice_of(link->serial, link->serial_len);
}

#endif
