#include "sidecar/telemetry/metrics.h"

#include <assert.h>
#include <strings.h>

#define GROUP_LABEL 2 /* of M_TLS_HANDSHAKES */

static_assert((int)DIRECTION_INBOUND == (int)ROUTE_INBOUND, "directions are counted by route");
static_assert((int)DIRECTION_OUTBOUND == (int)ROUTE_OUTBOUND, "directions are counted by route");

static bool holds(const err_t *errors, size_t count, err_t err)
{
    for (size_t i = 0; i < count; i++) {
        if (errors[i] == err)
            return true;
    }
    return false;
}

/* What can be wrong with a certificate: the values of one family's label, "other" aside. */
static bool is_certificate_error(err_t err)
{
    const struct metric_label *type = &sidecar_families[M_MTLS_VALIDATION_FAILURES].label[0];
    return holds(type->errors, type->count - 1, err);
}

void sidecar_count_handshake(struct metrics *m, enum metric_side side, enum metric_tls kind,
                             const char *group, uint64_t ns)
{
    size_t g = 0;
    const struct metric_label *known = &sidecar_families[M_TLS_HANDSHAKES].label[GROUP_LABEL];
    while (g + 1 < known->count && strcasecmp(group, known->values[g]) != 0)
        g++;
    metric_add(m, M_TLS_HANDSHAKES, side, 0, g, 1);
    metric_observe_ns(m, M_TLS_HANDSHAKE_DURATION, side, 0, 0, ns);
    if (kind == TLS_KIND_MUTUAL)
        metric_add(m, M_MTLS_CONNECTIONS, 0, 0, 0, 1);
}

void sidecar_count_handshake_failure(struct metrics *m, enum metric_side side, err_t err)
{
    bool certificate = is_certificate_error(err);
    metric_add(m, M_TLS_HANDSHAKE_FAILURES, side, metric_reason(m, M_TLS_HANDSHAKE_FAILURES, err),
               0, 1);
    metric_add(m, M_MTLS_CONNECTION_FAILURES, 0, 0, 0, 1);
    if (certificate) {
        metric_add(m, M_MTLS_VALIDATION_FAILURES, metric_reason(m, M_MTLS_VALIDATION_FAILURES, err),
                   0, 0, 1);
        metric_add(m, M_CERTIFICATE_VALIDATION_ERRORS, 0, 0, 0, 1);
    }
    if (err == ERR_TLS_LIMIT)
        metric_add(m, M_TLS_LIMIT_REFUSALS, 0, 0, 0, 1);
    if (certificate || err == ERR_PEER_NO_CERT || err == ERR_PEER_NOT_ALLOWED ||
        err == ERR_PEER_PROOF)
        metric_add(m, M_MTLS_PEER_VERIFICATION_FAILURES, 0, 0, 0, 1);
}

void sidecar_count_refused(struct metrics *m, enum route_direction direction, err_t err)
{
    metric_add(m, M_CONNECTIONS_REFUSED, direction, metric_reason(m, M_CONNECTIONS_REFUSED, err), 0,
               1);
}

/* What names end as has counters of its own; here they are one cause, as they ever were. */
static err_t connect_cause(err_t err)
{
    return err == ERR_RESOLVE_SERVER || err == ERR_RESOLVE_TIMEOUT ? ERR_RESOLVE : err;
}

void sidecar_count_closed(struct metrics *m, enum route_direction direction, err_t err)
{
    metric_add(m, M_CONNECTIONS_CLOSED, direction,
               metric_reason(m, M_CONNECTIONS_CLOSED, connect_cause(err)), 0, 1);
}

void sidecar_count_cut(struct metrics *m, enum route_direction direction, err_t err)
{
    metric_add(m, M_CONNECTIONS_CUT, direction, metric_reason(m, M_CONNECTIONS_CUT, err), 0, 1);
}

void sidecar_count_connect_failure(struct metrics *m, enum route_direction direction, err_t err)
{
    metric_add(m, M_CONNECT_FAILURES, direction,
               metric_reason(m, M_CONNECT_FAILURES, connect_cause(err)), 0, 1);
}

/* Errors of something that was offered; the others say that nothing came. */
static bool was_offered(err_t err)
{
    static const err_t refused[] = {ERR_KEY,       ERR_KEY_MISMATCH, ERR_PARSE,
                                    ERR_TOO_LARGE, ERR_SPIFFE_ID,    ERR_NOT_FOUND};
    return is_certificate_error(err) || holds(refused, METRIC_COUNT_OF(refused), err);
}

void sidecar_count_identity_failure(struct metrics *m, err_t err)
{
    if (was_offered(err))
        metric_add(m, M_SVID_ROTATIONS, RESULT_FAILURE, 0, 0, 1);
    metric_add(m, M_IDENTITY_FAILURES, metric_reason(m, M_IDENTITY_FAILURES, err), 0, 0, 1);
}
