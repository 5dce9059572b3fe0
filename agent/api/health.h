/* grpc.health.v1.Health on the Workload API socket. The empty service is SERVING once entries are
 * in use; a named one is InvalidArgument, as with SPIRE (AG-9). No security header, no attestation.
 * Loop thread only. */
#ifndef SPINDLE_AGENT_API_HEALTH_H
#define SPINDLE_AGENT_API_HEALTH_H

#include "agent/api/call.h"

struct health; /* opaque */

err_t health_new(struct metrics *metrics, struct health **ret, struct why *why) MUST_CHECK;
void health_free(struct health *h); /* no call may be left */
/* Tells those who watch. */
void health_set(struct health *h, bool serving);
struct service health_service(struct health *h);

#endif
