#include "agent/authority/issuer.h"

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
};

struct issuer {
    struct issuer_options opt;
    struct authority *authority;
    uv_timer_t timer;
    uint64_t failed_ns; /* when a new intermediate could not be made; 0: not since the last one */
    struct closing closing;
};

static void on_due(uv_timer_t *timer);

static void schedule(struct issuer *i)
{
    int64_t ms = (authority_next_tick(i->authority) - clock_wall_s()) * 1000;
    ms = ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
    uv_timer_start(&i->timer, on_due, (uint64_t)ms, 0);
}

/* A new intermediate changes nothing for those who have an SVID: bundles hold roots alone. */
static bool renew(struct issuer *i)
{
    struct why why = {.err = ERR_OK};
    bool renewed = false;
    err_t err = authority_tick(i->authority, clock_wall_s(), &renewed, &why);
    int64_t not_after = authority_issuer_not_after(i->authority);
    if (err != ERR_OK)
        log_error("issuer_renewal_failed", log_err("reason", err), log_str("cause", why_text(&why)),
                  log_time("keeping_until", not_after));
    else if (renewed)
        log_info("issuer_renewed", log_time("not_after", not_after));
    if (err != ERR_OK)
        audit_issuer_renewal_failed(i->opt.audit, err, not_after, why_text(&why));
    else if (renewed)
        audit_issuer_renewed(i->opt.audit, not_after);
    enum result result = err == ERR_OK ? RESULT_SUCCESS : RESULT_FAILURE;
    if (err != ERR_OK || renewed)
        metric_add(i->opt.metrics, M_ISSUER_ROTATIONS, result, 0, 0, 1);
    i->failed_ns = err == ERR_OK ? 0 : clock_mono_ns();
    schedule(i);
    return renewed;
}

static void on_due(uv_timer_t *timer)
{
    struct issuer *i = timer->data;
    if (renew(i))
        i->opt.on_renewed(i->opt.arg);
}

bool issuer_renew_now(struct issuer *i)
{
    if (i->failed_ns != 0 && clock_mono_ns() - i->failed_ns < RENEWAL_PAUSE_NS)
        return false;
    return renew(i);
}

struct authority *issuer_authority(const struct issuer *i)
{
    return i->authority;
}

err_t issuer_open(uv_loop_t *loop, const struct issuer_options *opt, struct issuer **ret,
                  struct why *why)
{
    char dir[PATH_MAX];
    if (snprintf(dir, sizeof dir, "%s/authority", opt->data_dir) >= (int)sizeof dir)
        return why_set(why, ERR_CONFIG, "data_dir is longer than a path may be");
    struct issuer *i = mem_alloc(sizeof *i);
    if (i == NULL)
        return why_set(why, ERR_NO_MEMORY, "authority");
    i->opt = *opt;
    err_t err =
        authority_open(dir, opt->trust_domain, opt->ttl_s, clock_wall_s(), &i->authority, why);
    if (err != ERR_OK) {
        mem_free(i);
        return err;
    }
    int rc = uv_timer_init(loop, &i->timer);
    assert(rc == 0);
    (void)rc;
    i->timer.data = i;
    schedule(i);
    *ret = i;
    return ERR_OK;
}

static void issuer_free(void *arg)
{
    struct issuer *i = arg;
    authority_close(i->authority);
    mem_free(i);
}

void issuer_close(struct issuer *i, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&i->closing, issuer_free, i, done, arg))
        closing_handle(&i->closing, &i->timer);
}
