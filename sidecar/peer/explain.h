/* Would a peer with this SPIFFE ID be welcome, and if not, which rule comes nearest and what
 * differs? Pure: what is known is handed in. */
#ifndef SPINDLE_SIDECAR_PEER_EXPLAIN_H
#define SPINDLE_SIDECAR_PEER_EXPLAIN_H

#include "common/revocation/revocation.h"
#include "sidecar/config/config.h"
#include "sidecar/telemetry/refusals.h"

struct explain_rule {
    size_t admits;                  /* index of the rule that admits the ID, or rule_count */
    size_t nearest;                 /* of one that does not, when none admits; or rule_count */
    char differs[SPIFFEID_MAX * 2]; /* how the ID differs from the nearest; "" when admitted */
};
/* One route's list. */
void explain_rules(const struct route_config *route, const struct spiffeid *id,
                   struct explain_rule *ret);

enum explain_verdict {
    EXPLAIN_ACCEPTED,    /* by some routes at least */
    EXPLAIN_NO_IDENTITY, /* this sidecar has none: it accepts nobody */
    EXPLAIN_NO_TRUST,    /* no bundle for the peer's trust domain */
    EXPLAIN_HELD,        /* the ID is revoked */
    EXPLAIN_NOT_LISTED,  /* no route's list has it */
};
const char *explain_verdict_name(enum explain_verdict v); /* "not_listed" */

struct explain_peer {
    bool has_identity, is_trusted;
    bool checks_revocation; /* revocation.policy is not off */
    struct revocation_status held;
    size_t accepting; /* routes whose list has it */
    err_t last;       /* reason of its newest refusal, ERR_OK: none */
    const char *id;
    int own_pid;
};
enum explain_verdict explain_judge(const struct explain_peer *p);
/* What to do now, in words. */
err_t explain_next(const struct explain_peer *p, struct buf *out) MUST_CHECK;

#endif
