/* What a request to revoke or to lift means, and what it would change. Reads the record and the
 * entries. Loop thread only. */
#ifndef SPINDLE_AGENT_REVOKE_REVOKER_PLAN_H
#define SPINDLE_AGENT_REVOKE_REVOKER_PLAN_H

#include "agent/entry/entries.h"
#include "agent/revoke/revocation_set.h"

struct record;

struct revoker_request {
    const char *target; /* a SPIFFE ID, "serial:HEX" or "entry:ID" */
    const char *reason; /* a name of RFC 5280; NULL: unspecified, or as it was */
    bool lift;
    uint32_t by_uid, by_pid;
};

/* What is known. All borrowed. */
struct revoker_sources {
    struct revocation_set *set;
    struct record *record;
    const struct entry_set *(*entries)(void *arg); /* in use now; NULL: none yet */
    void *arg;
};

struct revoker_plan {
    enum revoke_kind kind;
    char *text;                         /* owned; what was asked for */
    const char *target;                 /* of it; of "entry:ID" the ID; of a serial its digits */
    uint8_t serial[REVOKED_SERIAL_LEN]; /* of REVOKE_SERIAL */
    bool lift, has_reason;
    enum revocation_reason reason;
    uint32_t by_uid, by_pid;
    struct buf row; /* of the journal; empty when nothing changes */
    size_t count;
    const char *note;
};

/* Kind, target and reason of a request. ERR_USAGE with what is expected, ERR_NO_MEMORY. */
err_t revoker_plan_parse(const struct revoker_request *req, struct revoker_plan *ret,
                         struct why *why) MUST_CHECK;
/* What it changes now: fills row, count, note and the reason in force; the set has room for it. */
err_t revoker_plan_make(struct revoker_plan *p, const struct revoker_sources *from, int64_t now,
                        struct why *why) MUST_CHECK;
void revoker_plan_done(struct revoker_plan *p);

#endif
