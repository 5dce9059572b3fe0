#include "agent/telemetry/metrics.h"

#define METRICS_COMPONENT "agent"
#include "common/metric/metrics_table.h"

static const char *const method_values[] = {
    [METHOD_FETCH_X509_SVID] = "FetchX509SVID",
    [METHOD_FETCH_X509_BUNDLES] = "FetchX509Bundles",
    [METHOD_HEALTH_CHECK] = "Health.Check",
    [METHOD_HEALTH_WATCH] = "Health.Watch",
    [METHOD_OTHER] = "other",
};
static const char *const fraction_values[] = {
    [LIFE_HALF] = "half", [LIFE_QUARTER] = "quarter", [LIFE_TENTH] = "tenth"};
static const char *const svid_type_values[] = {[SVID_X509] = "x509"};
static const char *const page_state_values[] = {
    [PAGE_CONNECTED] = "connected", [PAGE_GONE] = "gone"};
static const char *const attestor_values[] = {[ATTESTOR_UNIX] = "unix"};

/* In the order of enum revoke_kind, from 1 on. */
static const char *const revoked_values[] = {"spiffe_id", "entry", "serial"};
static const char *const held_values[] = {"spiffe_id", "entry"};
static const char *const revocation_reason_values[] = {
#define X(id, number, name) name,
#include "common/revocation/revocation_reasons.def"
#undef X
};

/* The table of outcomes in two columns; the last row is every other error. */
static const err_t outcome_errors[] = {
#define OUTCOME(error, code, name) ERR_##error,
#include "agent/telemetry/outcomes.def"
#undef OUTCOME
};
static const char *const code_values[] = {
#define OUTCOME(error, code, name) name,
#include "agent/telemetry/outcomes.def"
#undef OUTCOME
    "Internal",
};
static const err_t refused_errors[] = {ERR_LIMIT, ERR_ATTESTATION, ERR_DRAINING, ERR_NO_MEMORY,
                                       ERR_IO};

static const err_t share_errors[] = {ERR_LIMIT,     ERR_ATTESTATION, ERR_NO_ENTRY,  ERR_NOT_SYNCED,
                                     ERR_TIMEOUT,   ERR_PARSE,       ERR_TOO_LARGE, ERR_UNSUPPORTED,
                                     ERR_NO_MEMORY, ERR_IO};

static const double bounds_attestation[] = {.0001, .00025, .0005, .001, .0025, .005, .01,
                                            .025,  .05,    .1,    .25,  1,     5};

static const double bounds_scrape[] = {.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1};

#define L_PAGE_STATE METRIC_VALUES("state", page_state_values)
#define L_METHOD METRIC_VALUES("method", method_values)
#define L_CODE METRIC_VALUES("code", code_values)
#define L_OUTCOME METRIC_TIED_ERRORS("reason", outcome_errors)
#define L_REFUSED METRIC_ERRORS("reason", refused_errors)
#define L_SHARE_REFUSED METRIC_ERRORS("reason", share_errors)
#define L_ATTESTOR METRIC_VALUES("attestor", attestor_values)
#define L_REVOKED METRIC_VALUES("kind", revoked_values)
#define L_HELD METRIC_VALUES("kind", held_values)
#define L_REVOCATION_REASON METRIC_VALUES("reason", revocation_reason_values)
#define L_FRACTION METRIC_VALUES("fraction", fraction_values)
#define L_SERVICE METRIC_OPEN("service")
#define L_SVID_TYPE METRIC_VALUES("type", svid_type_values)

const struct metric_family agent_metrics[AGENT_METRIC_COUNT] = {
#include "common/metric/metrics.def"

#include "agent/telemetry/metrics.def"
};

void agent_count_request(struct metrics *m, enum agent_method method, err_t err)
{
    metric_add(m, M_WORKLOAD_API_REQUESTS, method, metric_reason(m, M_WORKLOAD_API_REQUESTS, err),
               0, 1);
}

void agent_count_refused(struct metrics *m, err_t err)
{
    metric_add(m, M_CONNECTIONS_REFUSED, metric_reason(m, M_CONNECTIONS_REFUSED, err), 0, 0, 1);
}

unsigned agent_revocation_reason(enum revocation_reason reason)
{
    unsigned i = 0;
    while (i + 1 < revocation_reason_count() && revocation_reason_at(i) != reason)
        i++;
    return i;
}
