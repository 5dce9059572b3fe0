/* Connections by the peer's SPIFFE ID, for those who ask for it (metrics.peers): the first so many
 * peers have a series each, all others share one. Counting is for any thread. */
#ifndef SPINDLE_SIDECAR_TELEMETRY_PEER_TALLY_H
#define SPINDLE_SIDECAR_TELEMETRY_PEER_TALLY_H

#include "sidecar/telemetry/metrics.h"

#define PEER_TALLY_MAX 16 /* peers told apart; see docs/metrics.md for the sum of series */

struct peer_tally; /* opaque */

/* Shows its counts in sidecar_peers_total at each scrape of `m`, borrowed until the last one. */
err_t peer_tally_new(struct metrics *m, struct peer_tally **ret, struct why *why) MUST_CHECK;
void peer_tally_free(struct peer_tally *t); /* NULL is fine */
/* A connection with this peer was established. t NULL: counts nothing. */
void peer_tally_count(struct peer_tally *t, enum route_direction direction, const char *spiffe_id);

#endif
