/* The sidecar's metrics: ids and label indexes for sidecar/metrics.def, and one function for each
 * event that more than one family counts. Thread-safe, as metric.h says. */
#ifndef SPINDLE_SIDECAR_METRICS_H
#define SPINDLE_SIDECAR_METRICS_H

#include "common/process_metrics.h"
#include "sidecar/config.h"

enum sidecar_metric {
    M_SIDECAR_BEFORE = COMMON_METRIC_COUNT - 1,
#define METRIC(id, ...) M_##id,
#include "sidecar/metrics.def"
#undef METRIC
    SIDECAR_METRIC_COUNT
};
extern const struct metric_family sidecar_metrics[SIDECAR_METRIC_COUNT];

/* `direction` is enum route_direction. */
enum metric_side { SIDE_SERVER, SIDE_CLIENT }; /* in the order of tls.h's enum tls_side */
enum metric_tls { TLS_KIND_MUTUAL, TLS_KIND_SERVER_ONLY };
enum metric_decision { DECISION_ALLOW, DECISION_DENY };
enum metric_flow { FLOW_TO_DESTINATION, FLOW_TO_SOURCE }; /* the source is who connected to us */

/* Handshake completed after `ns`; group as tls_group_name says. */
void sidecar_count_handshake(struct metrics *m, enum metric_side side, enum metric_tls kind,
                             const char *group, uint64_t ns);
/* Handshake failed, the peer's refused certificate or ID included. */
void sidecar_count_handshake_failure(struct metrics *m, enum metric_side side, err_t err);
void sidecar_count_refused(struct metrics *m, enum route_direction direction, err_t err);
/* ERR_OK: both sides ended in order. */
void sidecar_count_closed(struct metrics *m, enum route_direction direction, err_t err);
void sidecar_count_connect_failure(struct metrics *m, enum route_direction direction, err_t err);

/* An identity with this validity is in use now. The first one is no rotation, nor is one with new
 * bundles alone. */
void sidecar_count_identity(struct metrics *m, int64_t not_before_s, int64_t not_after_s);
/* None could be had, or the one offered was refused: `err` tells which. */
void sidecar_count_identity_failure(struct metrics *m, err_t err);

/* Hook for metrics_on_scrape, `arg` the struct metrics: certificate age and time to expiry. */
void sidecar_metrics_scrape(void *arg);

#endif
