/* When to renew (AG-14). Pure; two clocks in, a time out. Half of the whole validity, jitter of
 * +-10 % of that half drawn once per SVID, never before a quarter of the TTL after issue, never
 * after it ran out. */
#ifndef SPINDLE_AGENT_SVID_ROTATION_H
#define SPINDLE_AGENT_SVID_ROTATION_H

#include <stdint.h>

/* jitter: 0 to 1000, uniform, drawn once. All times unix seconds; returns when to renew. */
int64_t rotation_time(int64_t issued_at, int64_t not_before, int64_t not_after, unsigned jitter);

#endif
