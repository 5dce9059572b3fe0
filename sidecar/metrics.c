#include "sidecar/metrics.h"

#include "common/clock.h"

#define METRICS_COMPONENT "sidecar"
#include "common/metrics_table.h"

#include <strings.h>

static const char *const direction_values[] = {
    [ROUTE_INBOUND] = "inbound", [ROUTE_OUTBOUND] = "outbound"};
static const char *const side_values[] = {[SIDE_SERVER] = "server", [SIDE_CLIENT] = "client"};
static const char *const tls_values[] = {
    [TLS_KIND_MUTUAL] = "mtls", [TLS_KIND_SERVER_ONLY] = "tls"};
static const char *const tls_version_values[] = {"1.3"};
/* As the TLS registry writes them. */
static const char *const group_values[] = {"X25519MLKEM768", "x25519", "secp256r1", "other"};
static const char *const decision_values[] = {[DECISION_ALLOW] = "allow", [DECISION_DENY] = "deny"};
static const char *const flow_values[] = {
    [FLOW_TO_DESTINATION] = "to_destination", [FLOW_TO_SOURCE] = "to_source"};

/* What can be wrong with a certificate; part of several families. */
#define CERTIFICATE_ERRORS                                                                         \
    ERR_CERT_MALFORMED, ERR_CERT_EXPIRED, ERR_CERT_NOT_YET_VALID, ERR_CERT_SIGNATURE,              \
        ERR_CERT_UNKNOWN_CRITICAL, ERR_CERT_NAME_CONSTRAINTS, ERR_CERT_KEY_USAGE,                  \
        ERR_CERT_EXT_KEY_USAGE, ERR_CERT_ALGORITHM, ERR_CHAIN_TOO_LONG, ERR_CHAIN_ISSUER_NOT_CA,   \
        ERR_CHAIN_PATH_LENGTH, ERR_CHAIN_INCOMPLETE, ERR_CHAIN_FOREIGN_ROOT, ERR_LEAF_IS_CA,       \
        ERR_LEAF_NO_URI, ERR_LEAF_URI_COUNT, ERR_LEAF_ID_INVALID, ERR_LEAF_ID_ROOT_PATH,           \
        ERR_TRUST_DOMAIN_UNKNOWN, ERR_LIFETIME_TOO_LONG
/* What can go wrong with a TLS peer on the wire. */
#define TLS_ERRORS                                                                                 \
    ERR_TLS_VERSION, ERR_TLS_NOT_TLS, ERR_TLS_NO_COMMON, ERR_TLS_ALERT, ERR_TLS_PROTOCOL,          \
        ERR_TLS_TRUNCATED, ERR_PEER_CLOSED, ERR_PEER_RESET

static const err_t certificate_errors[] = {CERTIFICATE_ERRORS};
static const err_t handshake_errors[] = {CERTIFICATE_ERRORS, ERR_PEER_NO_CERT, ERR_PEER_NOT_ALLOWED,
                                         ERR_PEER_PROOF,     TLS_ERRORS,       ERR_TIMEOUT,
                                         ERR_DRAINING,       ERR_NO_MEMORY,    ERR_IO};
static const err_t closed_errors[] = {ERR_OK,
                                      ERR_PEER_CLOSED,
                                      ERR_PEER_RESET,
                                      ERR_TIMEOUT,
                                      ERR_TLS_TRUNCATED,
                                      ERR_TLS_PROTOCOL,
                                      ERR_TLS_ALERT,
                                      ERR_PEER_NOT_ALLOWED,
                                      ERR_CONNECT,
                                      ERR_RESOLVE,
                                      ERR_DRAINING,
                                      ERR_CANCELED,
                                      ERR_LIMIT,
                                      ERR_NO_MEMORY,
                                      ERR_IO,
                                      ERR_NO_IDENTITY_YET};
static const err_t refused_errors[] = {ERR_LIMIT, ERR_NO_IDENTITY_YET, ERR_DRAINING, ERR_NO_MEMORY,
                                       ERR_IO};
static const err_t connect_errors[] = {ERR_CONNECT, ERR_RESOLVE,   ERR_TIMEOUT,
                                       ERR_LIMIT,   ERR_NO_MEMORY, ERR_IO};
static const err_t identity_errors[] = {
    ERR_RPC,    ERR_CONNECT,      ERR_TIMEOUT,   ERR_NO_ENTRY,  ERR_NOT_SYNCED, ERR_ATTESTATION,
    ERR_SIGNER, ERR_PEER_CLOSED,  ERR_PARSE,     ERR_TOO_LARGE, ERR_NOT_FOUND,  ERR_SPIFFE_ID,
    ERR_KEY,    ERR_KEY_MISMATCH, ERR_FILE_MODE, ERR_IO,        ERR_NO_MEMORY,  CERTIFICATE_ERRORS};

static const double bounds_handshake[] = {.0005, .001, .0025, .005, .01, .025, .05,
                                          .1,    .25,  .5,    1,    2.5, 5};
static const double bounds_connect[] = {.0001, .00025, .0005, .001, .0025, .005, .01, .025,
                                        .05,   .1,     .25,   .5,   1,     2.5,  5,   10};

#define L_DIRECTION METRIC_VALUES("direction", direction_values)
#define L_TLS METRIC_VALUES("tls", tls_values)
#define L_SIDE METRIC_VALUES("side", side_values)
#define L_TLS_VERSION METRIC_VALUES("version", tls_version_values)
#define L_GROUP METRIC_VALUES("group", group_values)
#define L_DECISION METRIC_VALUES("decision", decision_values)
#define L_FLOW METRIC_VALUES("flow", flow_values)
#define L_HANDSHAKE_FAILURE METRIC_ERRORS("reason", handshake_errors)
#define L_CLOSED METRIC_ERRORS("reason", closed_errors)
#define L_REFUSED METRIC_ERRORS("reason", refused_errors)
#define L_CONNECT_FAILURE METRIC_ERRORS("reason", connect_errors)
#define L_IDENTITY_FAILURE METRIC_ERRORS("reason", identity_errors)
#define L_VALIDATION METRIC_ERRORS("type", certificate_errors)

const struct metric_family sidecar_metrics[SIDECAR_METRIC_COUNT] = {
#include "common/metrics.def"

#include "sidecar/metrics.def"
};

static bool holds(const err_t *errors, size_t count, err_t err)
{
    for (size_t i = 0; i < count; i++) {
        if (errors[i] == err)
            return true;
    }
    return false;
}

void sidecar_count_handshake(struct metrics *m, enum metric_side side, enum metric_tls kind,
                             const char *group, uint64_t ns)
{
    size_t g = 0;
    while (g + 1 < METRIC_COUNT_OF(group_values) && strcasecmp(group, group_values[g]) != 0)
        g++;
    metric_add(m, M_TLS_HANDSHAKES, side, 0, g, 1);
    metric_observe_ns(m, M_TLS_HANDSHAKE_DURATION, side, 0, 0, ns);
    if (kind == TLS_KIND_MUTUAL)
        metric_add(m, M_MTLS_CONNECTIONS, 0, 0, 0, 1);
}

void sidecar_count_handshake_failure(struct metrics *m, enum metric_side side, err_t err)
{
    bool certificate = holds(certificate_errors, METRIC_COUNT_OF(certificate_errors), err);
    metric_add(m, M_TLS_HANDSHAKE_FAILURES, side, metric_reason(m, M_TLS_HANDSHAKE_FAILURES, err),
               0, 1);
    metric_add(m, M_MTLS_CONNECTION_FAILURES, 0, 0, 0, 1);
    if (certificate)
        metric_add(m, M_MTLS_VALIDATION_FAILURES, metric_reason(m, M_MTLS_VALIDATION_FAILURES, err),
                   0, 0, 1);
    if (certificate || err == ERR_PEER_NO_CERT || err == ERR_PEER_NOT_ALLOWED ||
        err == ERR_PEER_PROOF)
        metric_add(m, M_MTLS_PEER_VERIFICATION_FAILURES, 0, 0, 0, 1);
}

void sidecar_count_refused(struct metrics *m, enum route_direction direction, err_t err)
{
    metric_add(m, M_CONNECTIONS_REFUSED, direction, metric_reason(m, M_CONNECTIONS_REFUSED, err), 0,
               1);
}

void sidecar_count_closed(struct metrics *m, enum route_direction direction, err_t err)
{
    metric_add(m, M_CONNECTIONS_CLOSED, direction, metric_reason(m, M_CONNECTIONS_CLOSED, err), 0,
               1);
}

void sidecar_count_connect_failure(struct metrics *m, enum route_direction direction, err_t err)
{
    metric_add(m, M_CONNECT_FAILURES, direction, metric_reason(m, M_CONNECT_FAILURES, err), 0, 1);
}

void sidecar_count_identity(struct metrics *m, int64_t not_before_s, int64_t not_after_s)
{
    int64_t before = (int64_t)metric_read(m, M_SVID_NOT_BEFORE, 0, 0, 0);
    int64_t after = (int64_t)metric_read(m, M_SVID_NOT_AFTER, 0, 0, 0);
    if (before == not_before_s && after == not_after_s)
        return;
    if (after != 0)
        metric_add(m, M_MTLS_CERTIFICATE_ROTATIONS, 0, 0, 0, 1);
    metric_add(m, M_SVID_ROTATIONS, RESULT_SUCCESS, 0, 0, 1);
    metric_set(m, M_SVID_NOT_BEFORE, 0, 0, 0, (double)not_before_s);
    metric_set(m, M_SVID_NOT_AFTER, 0, 0, 0, (double)not_after_s);
}

/* Errors of something that was offered; the others say that nothing came. */
static bool was_offered(err_t err)
{
    static const err_t refused[] = {CERTIFICATE_ERRORS, ERR_KEY,       ERR_KEY_MISMATCH, ERR_PARSE,
                                    ERR_TOO_LARGE,      ERR_SPIFFE_ID, ERR_NOT_FOUND};
    return holds(refused, METRIC_COUNT_OF(refused), err);
}

void sidecar_count_identity_failure(struct metrics *m, err_t err)
{
    if (was_offered(err))
        metric_add(m, M_SVID_ROTATIONS, RESULT_FAILURE, 0, 0, 1);
    metric_add(m, M_IDENTITY_FAILURES, metric_reason(m, M_IDENTITY_FAILURES, err), 0, 0, 1);
}

void sidecar_metrics_scrape(void *arg)
{
    struct metrics *m = arg;
    int64_t not_after = (int64_t)metric_read(m, M_SVID_NOT_AFTER, 0, 0, 0);
    if (not_after == 0)
        return;
    int64_t now = clock_wall_s();
    int64_t not_before = (int64_t)metric_read(m, M_SVID_NOT_BEFORE, 0, 0, 0);
    metric_set(m, M_MTLS_CERTIFICATE_EXPIRY, 0, 0, 0, (double)(not_after - now));
    metric_set(m, M_MTLS_CERTIFICATE_AGE, 0, 0, 0, (double)(now - not_before));
}
