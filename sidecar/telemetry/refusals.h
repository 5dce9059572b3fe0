/* The last peers that were refused, for `explain`: what happened, to whom, how often. The same
 * peer refused for the same reason at the same place is one row with a count. Bounded; any thread
 * (a lock for a copy). */
#ifndef SPINDLE_SIDECAR_TELEMETRY_REFUSALS_H
#define SPINDLE_SIDECAR_TELEMETRY_REFUSALS_H

#include "common/loop/address.h"
#include "sidecar/telemetry/audit_events.h"

#define REFUSALS_MAX 64 /* rows; the oldest goes */

struct refusal {
    err_t reason;
    const char *direction; /* static */
    char listen[ADDRESS_TEXT_LEN];
    char address[ADDRESS_TEXT_LEN]; /* of the last one */
    char peer[SPIFFEID_MAX + 1];    /* as its certificate claims; "": none seen */
    char serial[48];                /* of the last one; "": none seen */
    char detail[sizeof((struct why *)0)->text];
    int64_t first, last; /* unix s */
    uint64_t count;
};

struct refusals; /* opaque */

struct refusals *refusals_new(void); /* NULL: no memory */
void refusals_free(struct refusals *r);
/* `r` may be NULL. */
void refusals_note(struct refusals *r, const struct audit_peer *p, err_t reason, const char *detail,
                   int64_t now);
/* Newest first; of this peer, or of all (NULL). fn runs under the lock. */
void refusals_each(struct refusals *r, const char *peer,
                   void (*fn)(void *arg, const struct refusal *row), void *arg);

#endif
