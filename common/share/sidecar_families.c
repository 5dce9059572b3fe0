#include "common/share/sidecar_families.h"

#include "common/resolve/resolver.h"
#include "common/share/sidecar_family_ids.h"

#define METRICS_COMPONENT "sidecar"
#include "common/metric/metrics_table.h"

static const char *const direction_values[] = {
    [DIRECTION_INBOUND] = "inbound", [DIRECTION_OUTBOUND] = "outbound"};
static const char *const side_values[] = {[SIDE_SERVER] = "server", [SIDE_CLIENT] = "client"};
static const char *const tls_values[] = {
    [TLS_KIND_MUTUAL] = "mtls", [TLS_KIND_SERVER_ONLY] = "tls"};
static const char *const tls_version_values[] = {"1.3"};
/* As the TLS registry writes them. */
static const char *const group_values[] = {"X25519MLKEM768", "x25519", "secp256r1", "other"};
static const char *const decision_values[] = {[DECISION_ALLOW] = "allow", [DECISION_DENY] = "deny"};
static const char *const flow_values[] = {
    [FLOW_TO_DESTINATION] = "to_destination", [FLOW_TO_SOURCE] = "to_source"};
static const char *const bound_values[] = {[BOUND_SOURCE] = "source",
                                           [BOUND_UNAUTHENTICATED] = "unauthenticated",
                                           [BOUND_LISTENER] = "listener",
                                           [BOUND_TOTAL] = "total"};

/* What can be wrong with a certificate; part of several families. */
#define CERTIFICATE_ERRORS                                                                         \
    ERR_CERT_MALFORMED, ERR_CERT_EXPIRED, ERR_CERT_NOT_YET_VALID, ERR_CERT_SIGNATURE,              \
        ERR_CERT_UNKNOWN_CRITICAL, ERR_CERT_NAME_CONSTRAINTS, ERR_CERT_KEY_USAGE,                  \
        ERR_CERT_EXT_KEY_USAGE, ERR_CERT_ALGORITHM, ERR_CHAIN_TOO_LONG, ERR_CHAIN_ISSUER_NOT_CA,   \
        ERR_CHAIN_PATH_LENGTH, ERR_CHAIN_INCOMPLETE, ERR_CHAIN_FOREIGN_ROOT, ERR_LEAF_IS_CA,       \
        ERR_LEAF_NO_URI, ERR_LEAF_URI_COUNT, ERR_LEAF_ID_INVALID, ERR_LEAF_ID_ROOT_PATH,           \
        ERR_TRUST_DOMAIN_UNKNOWN, ERR_LIFETIME_TOO_LONG, ERR_CERT_REVOKED, ERR_REVOCATION_UNKNOWN
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
                                      ERR_NO_IDENTITY_YET,
                                      ERR_CERT_REVOKED,
                                      ERR_TRUST_REMOVED,
                                      ERR_CERT_EXPIRED};
static const err_t cut_errors[] = {ERR_CERT_REVOKED, ERR_PEER_NOT_ALLOWED, ERR_TRUST_REMOVED,
                                   ERR_CERT_EXPIRED};
static const err_t refused_errors[] = {ERR_LIMIT,     ERR_NO_IDENTITY_YET,    ERR_DRAINING,
                                       ERR_NO_MEMORY, ERR_CALLER_NOT_ALLOWED, ERR_IO};
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

static const double bounds_lookup[] = {.001, .005, .025, .1, .5, 1, 2.5, 10};

static const char *const root_values[] = {[ROOT_FIRST] = "first", [ROOT_LAST] = "last"};

static const char *const name_result_values[] = {
#define X(name, word, err, text) [NAME_##name] = (word),
    NAME_RESULTS(X)
#undef X
};
static const char *const name_source_values[] = {[RESOLVER_CACHE] = "cache",
                                                 [RESOLVER_LOOKUP] = "lookup",
                                                 [RESOLVER_STALE] = "stale",
                                                 [RESOLVER_NONE] = "none"};
static const char *const name_bound_values[] = {[RESOLVER_BOUND_NAMES] = "names",
                                                [RESOLVER_BOUND_LOOKUPS] = "lookups",
                                                [RESOLVER_BOUND_WAITING] = "waiting",
                                                [RESOLVER_BOUND_ADDRESSES] = "addresses"};

#define L_NAME_RESULT METRIC_VALUES("result", name_result_values)
#define L_NAME_SOURCE METRIC_VALUES("source", name_source_values)
#define L_NAME_BOUND METRIC_VALUES("bound", name_bound_values)
#define L_ROOT METRIC_VALUES("root", root_values)
#define L_PEER METRIC_OPEN("peer")
#define L_DIRECTION METRIC_VALUES("direction", direction_values)
#define L_TLS METRIC_VALUES("tls", tls_values)
#define L_SIDE METRIC_VALUES("side", side_values)
#define L_TLS_VERSION METRIC_VALUES("version", tls_version_values)
#define L_GROUP METRIC_VALUES("group", group_values)
#define L_DECISION METRIC_VALUES("decision", decision_values)
#define L_FLOW METRIC_VALUES("flow", flow_values)
#define L_HANDSHAKE_FAILURE METRIC_ERRORS("reason", handshake_errors)
#define L_CLOSED METRIC_ERRORS("reason", closed_errors)
#define L_BOUND METRIC_VALUES("bound", bound_values)
#define L_CUT METRIC_ERRORS("reason", cut_errors)
#define L_REFUSED METRIC_ERRORS("reason", refused_errors)
#define L_CONNECT_FAILURE METRIC_ERRORS("reason", connect_errors)
#define L_IDENTITY_FAILURE METRIC_ERRORS("reason", identity_errors)
#define L_VALIDATION METRIC_ERRORS("type", certificate_errors)

const struct metric_family sidecar_families[SIDECAR_METRIC_COUNT] = {
#include "common/metric/metrics.def"

#include "common/share/sidecar_families.def"
};

size_t sidecar_families_count(void)
{
    return SIDECAR_METRIC_COUNT;
}
