/* What revoker.c (when things happen) and revoker_plan.c (what a request means) share. */
#ifndef SPINDLE_AGENT_REVOKE_REVOKER_INTERNAL_H
#define SPINDLE_AGENT_REVOKE_REVOKER_INTERNAL_H

#include "agent/revoke/revocation_feed.h"
#include "agent/revoke/revoker.h"
#include "common/base/list.h"
#include "common/loop/closing.h"

/* One request. */
struct revoker_op {
    STAILQ_ENTRY(revoker_op) in_ops;
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
    revoker_done *done;
    void *arg;
};

struct revoker {
    struct revoker_options opt;
    struct revocation_set *set;
    struct revocation_feed *feed;
    uv_timer_t timer;
    STAILQ_HEAD(, revoker_op) ops; /* the first one is under way */
    size_t waiting;
    bool is_working;     /* the store has the first one's row, or the set */
    bool is_rewriting;   /* what it does: the whole file, or a row */
    uint64_t rewrite_at; /* length from which on that is tried (again) */
    struct closing closing;
};

/* Kind, target and reason of a request. ERR_USAGE with what is expected, ERR_NO_MEMORY. */
err_t revoker_op_parse(const struct revoker_request *req, struct revoker_op *ret,
                       struct why *why) MUST_CHECK;
/* What it changes now: fills row, count, note and the reason in force. */
err_t revoker_op_plan(struct revoker *r, struct revoker_op *op, int64_t now,
                      struct why *why) MUST_CHECK;
void revoker_op_done(struct revoker_op *op);

#endif
