/* Ids of the rows of sidecar_families.def, the common ones first; and of the label values that are
 * no errors. */
#ifndef SPINDLE_COMMON_SHARE_SIDECAR_FAMILY_IDS_H
#define SPINDLE_COMMON_SHARE_SIDECAR_FAMILY_IDS_H

#include "common/metric/process_metrics.h"

enum sidecar_metric {
    M_SIDECAR_BEFORE = COMMON_METRIC_COUNT - 1,
#define METRIC(id, ...) M_##id,
#include "common/share/sidecar_families.def"
#undef METRIC
    SIDECAR_METRIC_COUNT
};

enum metric_direction { DIRECTION_INBOUND, DIRECTION_OUTBOUND };
enum metric_side { SIDE_SERVER, SIDE_CLIENT }; /* in the order of tls.h's enum tls_side */
enum metric_tls { TLS_KIND_MUTUAL, TLS_KIND_SERVER_ONLY };
enum metric_bound { BOUND_SOURCE, BOUND_UNAUTHENTICATED, BOUND_LISTENER, BOUND_TOTAL };
enum metric_decision { DECISION_ALLOW, DECISION_DENY };
enum metric_root { ROOT_FIRST, ROOT_LAST };               /* of a bundle, by their end */
enum metric_flow { FLOW_TO_DESTINATION, FLOW_TO_SOURCE }; /* the source is who connected to us */

#endif
