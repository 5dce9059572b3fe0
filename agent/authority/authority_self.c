#include "agent/authority/authority_self.h"

#include "agent/authority/ca.h"
#include "agent/telemetry/audit_events.h"
#include "agent/telemetry/metrics.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>

#define RENEWAL_PAUSE_NS UINT64_C(10000000000)

enum {
    TICK_MAX_MS = 60 * 1000, /* the wall clock may jump */
    TICK_MIN_MS = 1000,
    CHAIN_MAX = 256 * 1024,
    CHAIN_USUAL = 2048,
};

struct authority_self {
    struct authority_self_options opt;
    struct ca *ca;
    uv_timer_t timer;
    TAILQ_HEAD(, authority_job) waiting; /* until the renewal is over */
    uint64_t failed_ns; /* when a new intermediate could not be made; 0: not since the last one */
    struct closing closing;

    bool is_renewing; /* the thread pool has what follows */
    uv_work_t work;
    struct authority_cert next;
    err_t err;
    struct why why;
};

static void on_due(uv_timer_t *timer);

static void self_schedule(struct authority_self *s)
{
    int64_t ms = (ca_next_at(s->ca) - s->opt.wall_s()) * 1000;
    ms = ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
    if (!s->closing.begun)
        uv_timer_start(&s->timer, on_due, (uint64_t)ms, 0);
}

/* --- renewing --------------------------------------------------------------------------------- */

/* A new intermediate changes nothing for those who have an SVID: bundles hold roots alone. */
static void self_report(struct authority_self *s)
{
    int64_t not_after = ca_times(s->ca).issuer_not_after;
    metric_add(s->opt.metrics, M_ISSUER_ROTATIONS,
               s->err == ERR_OK ? RESULT_SUCCESS : RESULT_FAILURE, 0, 0, 1);
    if (s->err == ERR_OK) {
        log_info("issuer_renewed", log_time("not_after", not_after));
        audit_issuer_renewed(s->opt.audit, not_after);
        return;
    }
    log_error("issuer_renewal_failed", log_err("reason", s->err),
              log_str("cause", why_text(&s->why)), log_time("keeping_until", not_after));
    audit_issuer_renewal_failed(s->opt.audit, s->err, not_after, why_text(&s->why));
}

static void self_renewed(struct authority_self *s)
{
    bool was_due = s->err != ERR_OK || s->next.keys != NULL;
    ca_renewed(s->ca, &s->next, s->err, s->opt.wall_s());
    s->failed_ns = s->err == ERR_OK ? 0 : clock_mono_ns();
    if (was_due)
        self_report(s);
    self_schedule(s);
}

static void self_answer(struct authority_self *s, struct authority_job *job);

static void on_store(uv_work_t *work)
{
    struct authority_self *s = work->data;
    s->err = ca_store(s->ca, &s->next, &s->why);
}

static void on_stored(uv_work_t *work, int status)
{
    struct authority_self *s = work->data;
    (void)status;       /* nobody cancels it */
    err_t err = s->err; /* a job's `done` may begin the next renewal */
    s->is_renewing = false;
    self_renewed(s);
    struct authority_job *job;
    while (!s->is_renewing && (job = TAILQ_FIRST(&s->waiting)) != NULL) {
        TAILQ_LEAVE(&s->waiting, job, in_waiting);
        self_answer(s, job);
    }
    if (err == ERR_OK && !s->is_renewing && !s->closing.begun)
        s->opt.events.on_renewed(s->opt.events.arg);
    closing_drop(&s->closing);
}

/* Begins what is due. True: a renewal is under way. */
static bool self_renew(struct authority_self *s)
{
    if (s->is_renewing)
        return true;
    s->why = (struct why){.err = ERR_OK};
    s->err = ca_next(s->ca, s->opt.wall_s(), &s->next, &s->why);
    if (s->next.keys == NULL) {
        self_renewed(s);
        return false;
    }
    s->is_renewing = true;
    s->work.data = s;
    closing_hold(&s->closing);
    int rc = uv_queue_work(s->timer.loop, &s->work, on_store, on_stored);
    assert(rc == 0);
    (void)rc; /* fails without a callback only */
    return true;
}

static void on_due(uv_timer_t *timer)
{
    (void)self_renew(timer->data);
}

/* --- the table -------------------------------------------------------------------------------- */

static void self_answer(struct authority_self *s, struct authority_job *job)
{
    struct why why = {.err = ERR_OK};
    struct authority_answer answer;
    struct buf chain;
    buf_init(&chain, CHAIN_MAX);
    err_t err = buf_reserve(&chain, CHAIN_USUAL);
    if (err != ERR_OK)
        why_set(&why, err, "no memory for a certificate");
    else
        err = ca_issue(s->ca, &job->request, &chain, &answer, &why);
    job->done(job, err, err == ERR_OK ? &answer : NULL, &why);
    buf_done(&chain);
}

/* The clock left the issuer's validity, and the asker saw it before the timer did? Another issuer
 * is made, unless that failed moments ago. */
static void self_sign(void *self, struct authority_job *job)
{
    struct authority_self *s = self;
    struct authority_times t = ca_times(s->ca);
    int64_t now = job->request.now;
    bool is_past = now < t.issuer_not_before || now + 1 >= t.issuer_not_after;
    bool may_renew = s->failed_ns == 0 || clock_mono_ns() - s->failed_ns >= RENEWAL_PAUSE_NS;
    if (is_past && may_renew && self_renew(s))
        TAILQ_INSERT_TAIL(&s->waiting, job, in_waiting);
    else
        self_answer(s, job);
}

static void self_cancel(void *self, struct authority_job *job)
{
    struct authority_self *s = self;
    TAILQ_LEAVE(&s->waiting, job, in_waiting);
}

static struct slice self_bundle(void *self)
{
    return ca_bundle(((struct authority_self *)self)->ca);
}

static struct authority_times self_times(void *self)
{
    return ca_times(((struct authority_self *)self)->ca);
}

/* --- life ------------------------------------------------------------------------------------- */

err_t authority_self_open(uv_loop_t *loop, const struct authority_self_options *opt,
                          struct authority_self **ret, struct authority *ret_table, struct why *why)
{
    char dir[PATH_MAX];
    if (snprintf(dir, sizeof dir, "%s/authority", opt->data_dir) >= (int)sizeof dir)
        return why_set(why, ERR_CONFIG, "data_dir is longer than a path may be");
    struct authority_self *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "authority");
    s->opt = *opt;
    if (s->opt.wall_s == NULL)
        s->opt.wall_s = clock_wall_s;
    TAILQ_INIT(&s->waiting);
    err_t err = ca_open(dir, opt->trust_domain, opt->ttl_s, &key_store_memory, s->opt.wall_s(),
                        &s->ca, why);
    if (err != ERR_OK) {
        mem_free(s);
        return err;
    }
    int rc = uv_timer_init(loop, &s->timer);
    assert(rc == 0);
    (void)rc;
    s->timer.data = s;
    self_schedule(s);
    *ret = s;
    *ret_table = (struct authority){.self = s,
                                    .sign = self_sign,
                                    .cancel = self_cancel,
                                    .bundle = self_bundle,
                                    .times = self_times};
    return ERR_OK;
}

static void self_free(void *arg)
{
    struct authority_self *s = arg;
    assert(TAILQ_EMPTY(&s->waiting));
    ca_close(s->ca);
    mem_free(s);
}

void authority_self_close(struct authority_self *s, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&s->closing, self_free, s, done, arg))
        closing_handle(&s->closing, &s->timer);
}
