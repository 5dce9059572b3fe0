/* The agent's metrics: ids and label indexes for agent/telemetry/metrics.def.
 * Counting is thread-safe (metric.h); open labels (trust_domain) on the loop thread only. */
#ifndef SPINDLE_AGENT_TELEMETRY_METRICS_H
#define SPINDLE_AGENT_TELEMETRY_METRICS_H

#include "common/metric/process_metrics.h"
#include "common/revocation/revocation.h"

enum agent_metric {
    M_AGENT_BEFORE = COMMON_METRIC_COUNT - 1,
#define METRIC(id, ...) M_##id,
#include "agent/telemetry/metrics.def"
#undef METRIC
    AGENT_METRIC_COUNT
};
extern const struct metric_family agent_metrics[AGENT_METRIC_COUNT];

enum agent_method {
    METHOD_FETCH_X509_SVID,
    METHOD_FETCH_X509_BUNDLES,
    METHOD_HEALTH_CHECK,
    METHOD_HEALTH_WATCH,
    METHOD_OTHER,
};
enum life_fraction { LIFE_HALF, LIFE_QUARTER, LIFE_TENTH };
enum svid_type { SVID_X509 };
enum attestor_label { ATTESTOR_UNIX };
enum page_state { PAGE_CONNECTED, PAGE_GONE };

/* A call ended: agent_workload_api_requests_total. */
void agent_count_request(struct metrics *m, enum agent_method method, err_t err);
/* The label's index. */
unsigned agent_revocation_reason(enum revocation_reason reason);
/* A connection closed at accept. */
void agent_count_refused(struct metrics *m, err_t err);

#endif
