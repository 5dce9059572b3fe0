/* Does revocation speak against this peer? Pure: a view of the cache, a path, a policy and a clock
 * in, a verdict out. Asked at the handshake and again while the connection lives. */
#ifndef SPINDLE_SIDECAR_PEER_REVOCATION_CHECK_H
#define SPINDLE_SIDECAR_PEER_REVOCATION_CHECK_H

#include "common/revocation/revocation_cache.h"
#include "sidecar/config/config.h"
#include "sidecar/peer/peer_path.h"

/* Who we are, as a peer of another node cannot know it. */
struct revocation_self {
    struct revocation_id id;
    struct peer_link leaf; /* serial_len 0: not known */
};

/* ERR_CERT_REVOKED: our own SPIFFE ID or certificate. */
err_t revocation_check_self(const struct revocation_view *view, enum revocation_policy policy,
                            const struct revocation_self *self, int64_t now,
                            struct why *why) MUST_CHECK;
/* ERR_CERT_REVOKED: a certificate of the path, or the SPIFFE ID. Otherwise, when nothing is known
 * of some certificate: ERR_REVOCATION_UNKNOWN with the hard policy, and with the soft one ERR_OK
 * and *ret_unknown. Policy off asks nothing. view may be NULL: nothing is known. */
err_t revocation_check(const struct revocation_view *view, enum revocation_policy policy,
                       const struct peer_path *path, int64_t now, bool *ret_unknown,
                       struct why *why) MUST_CHECK;

#endif
