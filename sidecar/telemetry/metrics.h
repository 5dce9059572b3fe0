/* The sidecar's metrics (common/share/sidecar_families.def): one function for each event that more
 * than one family counts. Thread-safe, as metric.h says. `direction` is enum route_direction. */
#ifndef SPINDLE_SIDECAR_TELEMETRY_METRICS_H
#define SPINDLE_SIDECAR_TELEMETRY_METRICS_H

#include "common/share/sidecar_families.h"
#include "common/share/sidecar_family_ids.h"
#include "sidecar/config/config.h"

/* Handshake completed after `ns`; group as tls_group_name says. */
void sidecar_count_handshake(struct metrics *m, enum metric_side side, enum metric_tls kind,
                             const char *group, uint64_t ns);
/* Handshake failed, the peer's refused certificate or ID included. */
void sidecar_count_handshake_failure(struct metrics *m, enum metric_side side, err_t err);
void sidecar_count_refused(struct metrics *m, enum route_direction direction, err_t err);
/* ERR_OK: both sides ended in order. */
void sidecar_count_closed(struct metrics *m, enum route_direction direction, err_t err);
/* A live connection whose peer is welcome no longer; sidecar_count_closed counts it too. */
void sidecar_count_cut(struct metrics *m, enum route_direction direction, err_t err);
void sidecar_count_connect_failure(struct metrics *m, enum route_direction direction, err_t err);

/* None could be had, or the one offered was refused: `err` tells which. */
void sidecar_count_identity_failure(struct metrics *m, err_t err);

#endif
