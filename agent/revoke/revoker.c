#include "agent/revoke/revoker.h"

#include "agent/record/record.h"
#include "agent/revoke/revocation_feed.h"
#include "agent/telemetry/audit_events.h"
#include "agent/telemetry/metrics.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>

enum {
    TICK_MS = 1000,
    EXPIRE_SOME = 4096,        /* certificates looked at in one tick */
    KEEP_EXPIRED_S = 300,      /* the peers' clocks may be behind */
    REWRITE_MIN = 1024 * 1024, /* a journal of this length is rewritten when half of it is dead */
};

/* One request. */
struct revoker_op {
    STAILQ_ENTRY(revoker_op) in_ops;
    struct revoker_plan plan;
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

static void revoker_start_next(struct revoker *r);

static int64_t now_s(const struct revoker *r)
{
    return r->opt.wall_s();
}

static void count_state(const struct revoker *r)
{
    struct metrics *m = r->opt.metrics;
    metric_set(m, M_REVOCATION_HOLDS, REVOKE_ID - 1, 0, 0,
               (double)revocation_set_holds(r->set, REVOKE_ID));
    metric_set(m, M_REVOCATION_HOLDS, REVOKE_ENTRY - 1, 0, 0,
               (double)revocation_set_holds(r->set, REVOKE_ENTRY));
    metric_set(m, M_REVOKED_CERTIFICATES, 0, 0, 0, (double)revocation_set_certificates(r->set));
    metric_set(m, M_REVOCATION_JOURNAL_BYTES, 0, 0, 0, (double)r->opt.store->revocations_len);
}

/* --- what is asked ---------------------------------------------------------------------------- */

static bool is_held(const struct revoker *r, const char *spiffe_id, const char *entry_id,
                    struct revocation_hold *ret)
{
    return revocation_set_held(r->set, REVOKE_ID, slice_str(spiffe_id), ret) ||
           revocation_set_held(r->set, REVOKE_ENTRY, slice_str(entry_id), ret);
}

/* Its certificates have been counted, so no more may come. */
static bool is_being_revoked(const struct revoker *r, const char *spiffe_id, const char *entry_id)
{
    if (!r->is_working || r->is_rewriting)
        return false;
    const struct revoker_plan *op = &STAILQ_FIRST(&r->ops)->plan;
    if (op->lift || op->kind == REVOKE_SERIAL)
        return false;
    return strcmp(op->target, op->kind == REVOKE_ID ? spiffe_id : entry_id) == 0;
}

err_t revoker_may_issue(const struct revoker *r, const char *spiffe_id, const char *entry_id,
                        struct why *why)
{
    struct revocation_hold hold;
    if (is_held(r, spiffe_id, entry_id, &hold))
        return why_set(why, ERR_REVOKED, "%s %s was revoked (%s) and is held until it is lifted",
                       hold.kind == REVOKE_ID ? "SPIFFE ID" : "entry", hold.target,
                       revocation_reason_name(hold.reason));
    if (is_being_revoked(r, spiffe_id, entry_id))
        return why_set(why, ERR_CANCELED, "%s is being revoked",
                       STAILQ_FIRST(&r->ops)->plan.target);
    return ERR_OK;
}

struct revocation_status revoker_held(const struct revoker *r, const char *spiffe_id,
                                      const char *entry_id)
{
    struct revocation_hold hold;
    if (!is_held(r, spiffe_id, entry_id, &hold))
        return (struct revocation_status){.state = REVOCATION_GOOD, .at = INT64_MAX};
    return (struct revocation_status){
        .state = REVOCATION_REVOKED, .reason = hold.reason, .at = hold.at, .held = true};
}

struct revocation_status revoker_status(const struct revoker *r, const uint8_t issuer[static 20],
                                        const uint8_t serial[static REVOKED_SERIAL_LEN])
{
    struct revocation_certificate c;
    if (!revocation_set_find(r->set, serial, &c) ||
        (memcmp(c.issuer, issuer, 20) != 0 && !revocation_issuer_is_lost(c.issuer)))
        return (struct revocation_status){.state = REVOCATION_GOOD, .at = INT64_MAX};
    return (struct revocation_status){.state = REVOCATION_REVOKED, .reason = c.reason, .at = c.at};
}

const struct revocation_set *revoker_set(const struct revoker *r)
{
    return r->set;
}

int revoker_cache(const struct revoker *r)
{
    return revocation_feed_fd(r->feed);
}

uint64_t revoker_generation(const struct revoker *r)
{
    return revocation_feed_generation(r->feed);
}

void revoker_issuer(struct revoker *r, const uint8_t issuer[static 20], int64_t until)
{
    revocation_feed_issuer(r->feed, issuer, until, now_s(r));
}

/* --- ending a request ------------------------------------------------------------------------- */

const char *revoker_kind_name(enum revoke_kind kind)
{
    static const char *const names[] = {
        [REVOKE_ID] = "spiffe_id", [REVOKE_ENTRY] = "entry", [REVOKE_SERIAL] = "serial"};
    return names[kind];
}

static void log_end(const struct revoker_plan *op, err_t err, const struct revoker_result *res,
                    const struct why *why)
{
    if (err == ERR_OK && res->changed)
        log_info(op->lift ? "revocation_lifted" : "revoked",
                 log_str("kind", revoker_kind_name(op->kind)), log_str("target", op->target),
                 log_str("reason", revocation_reason_name(op->reason)),
                 log_int("certificates", op->count), log_int("by_uid", op->by_uid),
                 log_int("by_pid", op->by_pid), log_int("generation", res->generation),
                 log_int("sidecars", res->sidecars));
    else if (err != ERR_OK)
        log_warn(op->lift ? "lift_failed" : "revoke_failed",
                 log_str("kind", revoker_kind_name(op->kind)), log_str("target", op->target),
                 log_err("reason", err), log_int("by_uid", op->by_uid),
                 log_int("by_pid", op->by_pid), log_str("cause", why_text(why)));
}

static void audit_end(const struct revoker *r, const struct revoker_plan *op, err_t err,
                      const struct revoker_result *res, const struct why *why)
{
    struct audit_revocation event = {
        .target = op->text,
        .reason = op->lift ? NULL : revocation_reason_name(op->reason),
        .certificates = op->count,
        .generation = res->generation,
        .by = {.pid = (pid_t)op->by_pid, .uid = op->by_uid},
    };
    if (err != ERR_OK)
        audit_revocation_failed(r->opt.audit, &event, err, why_text(why));
    else if (res->changed && op->lift)
        audit_lifted(r->opt.audit, &event);
    else if (res->changed)
        audit_revoked(r->opt.audit, &event);
}

static void count_end(struct revoker *r, const struct revoker_plan *op, err_t err, bool changed)
{
    struct metrics *m = r->opt.metrics;
    if (err == ERR_OK && changed && op->lift)
        metric_add(m, M_REVOCATIONS_LIFTED, op->kind - 1, 0, 0, 1);
    else if (err == ERR_OK && changed)
        metric_add(m, M_REVOCATIONS, op->kind - 1, agent_revocation_reason(op->reason), 0, 1);
    if (err == ERR_OK)
        metric_set(m, M_REVOCATION_LAST_SUCCESS, 0, 0, 0, (double)now_s(r));
    count_state(r);
}

/* The first one leaves the queue. */
static void revoker_finish(struct revoker *r, err_t err, const struct why *why)
{
    struct revoker_op *op = STAILQ_FIRST(&r->ops);
    struct revoker_plan *plan = &op->plan;
    struct revoker_result res = {.kind = plan->kind,
                                 .target = plan->text,
                                 .lift = plan->lift,
                                 .reason = plan->reason,
                                 .changed = err == ERR_OK && plan->row.len > 0,
                                 .certificates = plan->count,
                                 .generation = revocation_feed_generation(r->feed),
                                 .sidecars = r->opt.sidecars(r->opt.arg),
                                 .note = plan->note};
    STAILQ_REMOVE_HEAD(&r->ops, in_ops);
    r->waiting--;
    log_end(plan, err, &res, why);
    audit_end(r, plan, err, &res, why);
    count_end(r, plan, err, res.changed);
    op->done(op->arg, err, &res, why);
    revoker_plan_done(plan);
    mem_free(op);
}

/* --- the disk --------------------------------------------------------------------------------- */

static void journal_failed(const struct revoker *r)
{
    metric_add(r->opt.metrics, M_REVOCATION_JOURNAL_FAILURES, 0, 0, 0, 1);
}

static void appended(struct revoker *r, err_t err, const struct why *cause)
{
    struct revoker_op *op = STAILQ_FIRST(&r->ops);
    struct revocation_change change;
    struct why why = *cause;
    if (err != ERR_OK) {
        journal_failed(r);
        why_add(&why, err, "not recorded, nothing was changed");
        revoker_finish(r, err, &why);
        return;
    }
    revocation_row_parse(buf_slice(&op->plan.row), &change);
    revocation_set_apply(r->set, &change);
    err = revocation_feed_change(r->feed, &change, now_s(r), &why);
    if (err != ERR_OK)
        why_add(&why, err, "recorded, but sidecars do not see all of it yet");
    if (!r->closing.begun)
        r->opt.on_change(r->opt.arg, &change);
    revoker_finish(r, err, &why);
}

static void rewritten(struct revoker *r, err_t err, const struct why *why)
{
    if (err == ERR_OK) {
        r->rewrite_at = 0;
        return;
    }
    journal_failed(r);
    r->rewrite_at = r->opt.store->revocations_len + REWRITE_MIN;
    log_warn("revocation_journal_not_rewritten", log_err("reason", err),
             log_str("cause", why_text(why)), log_str("next", "the longer one stays in use"));
}

static void revoker_close_now(struct revoker *r);

static void on_kept(void *arg, err_t err, const struct why *why)
{
    struct revoker *r = arg;
    bool was_awaited = r->closing.begun; /* a close that an answer begins does not wait */
    r->is_working = false;
    if (r->is_rewriting)
        rewritten(r, err, why);
    else
        appended(r, err, why);
    if (was_awaited)
        revoker_close_now(r);
    else
        revoker_start_next(r);
}

/* The set does not change meanwhile. */
static err_t write_set(void *arg, struct buf *out)
{
    const struct revoker *r = arg;
    return revocation_set_write(r->set, out);
}

static void revoker_start_work(struct revoker *r, bool is_rewriting)
{
    struct store *store = r->opt.store;
    r->is_working = true;
    r->is_rewriting = is_rewriting;
    if (is_rewriting)
        store->kind->rewrite(store, write_set, on_kept, r);
    else
        store->kind->revoke(store, buf_slice(&STAILQ_FIRST(&r->ops)->plan.row), on_kept, r);
}

static bool wants_rewrite(const struct revoker *r)
{
    uint64_t len = r->opt.store->revocations_len;
    return len > REWRITE_MIN && len >= r->rewrite_at &&
           len / 2 > revocation_set_written_len(r->set);
}

/* --- requests --------------------------------------------------------------------------------- */

static void revoker_start_next(struct revoker *r)
{
    while (!r->is_working && !STAILQ_EMPTY(&r->ops)) {
        struct why why = {.err = ERR_OK};
        struct revoker_plan *plan = &STAILQ_FIRST(&r->ops)->plan;
        struct revoker_sources known = {
            .set = r->set, .record = r->opt.record, .entries = r->opt.entries, .arg = r->opt.arg};
        err_t err = revoker_plan_make(plan, &known, now_s(r), &why);
        if (err == ERR_OK && plan->row.len > 0)
            revoker_start_work(r, false);
        else
            revoker_finish(r, err, &why);
    }
    if (!r->is_working && !r->closing.begun && wants_rewrite(r))
        revoker_start_work(r, true);
}

static err_t revoker_enqueue(struct revoker *r, const struct revoker_request *req,
                             revoker_done *done, void *arg, struct why *why)
{
    struct revoker_op *op = mem_alloc(sizeof *op);
    if (op == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory to revoke; nothing was changed");
    err_t err = r->closing.begun ? why_set(why, ERR_DRAINING, "the agent is stopping") : ERR_OK;
    if (err == ERR_OK && r->waiting >= REVOKER_WAITING_MAX)
        err = why_set(why, ERR_LIMIT, "%d revocations wait for the disk already; try again",
                      REVOKER_WAITING_MAX);
    if (err == ERR_OK)
        err = revoker_plan_parse(req, &op->plan, why);
    if (err != ERR_OK) {
        mem_free(op);
        return err;
    }
    op->done = done;
    op->arg = arg;
    STAILQ_INSERT_TAIL(&r->ops, op, in_ops);
    r->waiting++;
    return ERR_OK;
}

void revoker_do(struct revoker *r, const struct revoker_request *req, revoker_done *done, void *arg)
{
    struct why why = {.err = ERR_OK};
    err_t err = revoker_enqueue(r, req, done, arg, &why);
    if (err != ERR_OK)
        done(arg, err, &(struct revoker_result){.target = req->target, .lift = req->lift}, &why);
    else
        revoker_start_next(r);
}

/* --- time ------------------------------------------------------------------------------------- */

static void on_expired(void *arg, const struct revocation_certificate *c)
{
    struct revoker *r = arg;
    revocation_feed_forget(r->feed, c);
}

static void on_tick(uv_timer_t *timer)
{
    struct revoker *r = timer->data;
    int64_t now = now_s(r);
    if (!r->is_working) /* the pool may be reading the set */
        revocation_set_expire(r->set, now - KEEP_EXPIRED_S, EXPIRE_SOME, on_expired, r);
    revocation_feed_tick(r->feed, now);
    count_state(r);
}

/* --- opening ---------------------------------------------------------------------------------- */

struct replay {
    struct revocation_set *set;
    int64_t since;   /* what expired before is passed over: a journal holds more than a set may */
    struct buf kept; /* certificates of the row */
    struct why *why;
};

static err_t keep_unexpired(struct replay *replay, struct revocation_change *change)
{
    err_t err = ERR_OK;
    buf_clear(&replay->kept);
    for (size_t i = 0; i < change->count && err == ERR_OK; i++)
        if (revoked_not_after(&change->revoked[i]) >= replay->since)
            err = buf_append(&replay->kept, &change->revoked[i], sizeof change->revoked[i]);
    change->revoked = (const struct revoked *)replay->kept.data;
    change->count = replay->kept.len / sizeof *change->revoked;
    return err == ERR_OK ? err : why_set(replay->why, err, "no memory for revocations");
}

static err_t on_row(void *arg, const struct revocation_change *row)
{
    struct replay *replay = arg;
    struct revocation_change change = *row;
    err_t err = change.lift ? ERR_OK : keep_unexpired(replay, &change);
    if (err == ERR_OK)
        err = revocation_set_reserve(replay->set, &change, replay->why);
    if (err == ERR_OK)
        revocation_set_apply(replay->set, &change);
    return err;
}

static err_t replay(struct revoker *r, struct why *why)
{
    struct store *store = r->opt.store;
    struct replay replay = {.set = r->set, .since = now_s(r) - KEEP_EXPIRED_S, .why = why};
    buf_init(&replay.kept, REVOCATION_JOURNAL_MAX);
    err_t err = store->kind->load_revocations(store, on_row, &replay, why);
    buf_done(&replay.kept);
    return err;
}

/* What it signed has expired by then, at the latest. */
static void on_recorded_issuer(void *arg, const uint8_t issuer[RECORD_ISSUER_LEN])
{
    struct revoker *r = arg;
    int64_t now = now_s(r);
    revocation_feed_issuer(r->feed, issuer, now + ENTRY_TTL_MAX_S, now);
}

static void free_all(void *arg)
{
    struct revoker *r = arg;
    revocation_feed_free(r->feed);
    revocation_set_free(r->set);
    mem_free(r);
}

static err_t open_all(struct revoker *r, struct why *why)
{
    err_t err = revocation_set_new(&r->set);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for revocations");
    err = replay(r, why);
    if (err != ERR_OK)
        return err;
    struct revocation_feed_options opt = {.set = r->set,
                                          .metrics = r->opt.metrics,
                                          .on_replaced = r->opt.on_cache,
                                          .on_changed = r->opt.on_cache_changed,
                                          .arg = r->opt.arg};
    err = revocation_feed_new(&opt, &r->feed, why);
    if (err == ERR_OK)
        record_each_issuer(r->opt.record, on_recorded_issuer, r);
    return err;
}

err_t revoker_open(uv_loop_t *loop, const struct revoker_options *opt, struct revoker **ret,
                   struct why *why)
{
    struct revoker *r = mem_alloc(sizeof *r);
    if (r == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for revocations");
    r->opt = *opt;
    STAILQ_INIT(&r->ops);
    if (r->opt.wall_s == NULL)
        r->opt.wall_s = clock_wall_s;
    err_t err = open_all(r, why);
    if (err != ERR_OK) {
        free_all(r);
        return err;
    }
    int e = uv_timer_init(loop, &r->timer);
    assert(e == 0);
    r->timer.data = r;
    e = uv_timer_start(&r->timer, on_tick, 0, TICK_MS);
    assert(e == 0);
    (void)e;
    count_state(r);
    *ret = r;
    return ERR_OK;
}

/* --- closing ---------------------------------------------------------------------------------- */

static void revoker_close_now(struct revoker *r)
{
    struct why why = {.err = ERR_OK};
    why_set(&why, ERR_DRAINING, "the agent is stopping; nothing was changed");
    while (!STAILQ_EMPTY(&r->ops))
        revoker_finish(r, ERR_DRAINING, &why);
    closing_handle(&r->closing, &r->timer);
}

void revoker_close(struct revoker *r, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&r->closing, free_all, r, done, arg) && !r->is_working)
        revoker_close_now(r);
}
