/* Where it is told what happens to peers: one for all workers, owned by the sidecar. */
#ifndef SPINDLE_SIDECAR_TELEMETRY_NOTES_H
#define SPINDLE_SIDECAR_TELEMETRY_NOTES_H

#include "common/log/log_limit.h"
#include "sidecar/telemetry/peer_tally.h"
#include "sidecar/telemetry/refusals.h"

enum {
    LINE_HANDSHAKE,
    LINE_CONNECTION,
    LINE_NAME,
    LINE_NEWCOMER
}; /* what log lines are limited by */

struct notes {
    struct audit *audit;       /* NULL: off */
    struct refusals *refusals; /* may be NULL */
    struct log_limits lines;   /* of refusals */
    struct peer_tally *peers;  /* NULL: not wanted */
};

#endif
