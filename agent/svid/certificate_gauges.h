/* How near to their end the certificates are that workloads use now: certificates_expiring_*,
 * certificates_expired and cert_expiry_days. Those that nobody uses any more do not count: they are
 * meant to expire. Loop thread only. */
#ifndef SPINDLE_AGENT_SVID_CERTIFICATE_GAUGES_H
#define SPINDLE_AGENT_SVID_CERTIFICATE_GAUGES_H

#include "agent/svid/minter.h"
#include "agent/telemetry/metrics.h"

/* `metrics` may be NULL, now is in Unix seconds. */
void certificate_gauges_set(struct metrics *metrics, const struct minter *minter, int64_t now);
/* cert_expiry_days alone. */
void certificate_gauges_set_days(struct metrics *metrics, const struct minter *minter, int64_t now);

#endif
