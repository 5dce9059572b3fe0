#include "agent/svid/minter.h"

#include "agent/svid/svid.h"
#include "agent/telemetry/metrics.h"
#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/heap.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/log/log.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <stddef.h>

enum {
    LOOK_MS = 60 * 1000, /* the clock is looked at this often */
    CLOCK_SLACK_MS = 1000,
    RETRY_FIRST_MS = 1000,
    RETRY_CAP_MS = 60 * 1000,
    JITTER_BOUND = 1001,
};

/* What the SVID of an entry with subscribers waits for. */
enum live_state {
    LIVE_WANTED,    /* its next try: there is none, or one that is to be replaced */
    LIVE_SIGNING,   /* the authority's answer */
    LIVE_ISSUED,    /* its renewal */
    LIVE_EXPIRED,   /* its next try: the last one ran out */
    LIVE_FRESH,     /* that its subscribers hear of the one that a newcomer got, or of its hint */
    LIVE_WITHDRAWN, /* that they hear of the next one, or that there is none: theirs is bad */
    LIVE_HELD,      /* minter_holds_changed: there may be none */
    LIVE_GONE,      /* that they leave: the entry is no longer there */
};

/* Whose turn it is, and whether there is an SVID. */
static const struct live_rule {
    enum { TURN_FIRST, TURN_IN_TIME, TURN_NEVER } turn;
    enum { SVID_NONE, SVID_ANY, SVID_ONE } svid;
} live_rules[] = {
    [LIVE_WANTED] = {TURN_IN_TIME, SVID_ANY}, [LIVE_SIGNING] = {TURN_IN_TIME, SVID_ANY},
    [LIVE_ISSUED] = {TURN_IN_TIME, SVID_ONE}, [LIVE_EXPIRED] = {TURN_IN_TIME, SVID_NONE},
    [LIVE_FRESH] = {TURN_FIRST, SVID_ONE},    [LIVE_WITHDRAWN] = {TURN_FIRST, SVID_NONE},
    [LIVE_HELD] = {TURN_NEVER, SVID_NONE},    [LIVE_GONE] = {TURN_NEVER, SVID_NONE},
};

/* What failed in one round, for one log line. */
struct failures {
    size_t count;
    char first[128]; /* an SPIFFE ID, perhaps cut */
    struct why why;
};

/* An entry with subscribers. */
struct live {
    struct map_node in_lives;
    struct heap_place in_dues;
    unsigned subscribers;
    struct entry entry;            /* own copy: id, SPIFFE ID, TTL, DNS names, hint */
    enum live_state state, before; /* before: it became LIVE_SIGNING, and is again if that fails */
    struct svid *svid;             /* owned reference; NULL while there is none to serve */
    int64_t due_ms, due_before_ms; /* of who has a turn in time */
    struct backoff backoff;
    struct minter *minter;
    struct svid_order order;
    enum svid_why because; /* of the order */
};

struct minter {
    uv_timer_t timer;
    struct minter_options opt;
    struct map lives; /* owned; by entry id */
    struct heap dues; /* the same, the earliest due first */
    size_t svid_count;
    int64_t last_ms;
    bool is_busy;    /* within on_change: nothing is freed */
    bool has_unused; /* some lost their last subscriber meanwhile */
    bool has_news;   /* in this round, which late answers leave to the loop's next turn to end */
    struct failures failures;
    LIST_HEAD(, minter_renewal) renewals; /* not answered yet */
    struct live *asking;                  /* until the authority has answered, or has taken it */
    struct why answer;
    struct closing closing;
};

static int64_t now_ms(const struct minter *m)
{
    return m->opt.wall_ms();
}

static bool live_is(const void *live, const void *entry_id)
{
    return strcmp(((const struct live *)live)->entry.id, entry_id) == 0;
}

static bool live_before(const void *one, const void *other)
{
    const struct live *a = one, *b = other;
    int order = (int)live_rules[a->state].turn - (int)live_rules[b->state].turn;
    return order < 0 || (order == 0 && a->due_ms < b->due_ms);
}

static bool live_is_timed(const struct live *l)
{
    return live_rules[l->state].turn == TURN_IN_TIME;
}

static struct live *live_find(const struct minter *m, const char *entry_id)
{
    return map_find(&m->lives, map_hash(slice_str(entry_id)), entry_id);
}

static err_t live_new(struct minter *m, const struct entry *e, struct live **ret)
{
    struct live *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return ERR_NO_MEMORY;
    err_t err = entry_copy_for_svid(e, &l->entry);
    if (err == ERR_OK)
        err = heap_add(&m->dues, l);
    if (err == ERR_OK)
        err = map_add(&m->lives, l, map_hash(slice_str(e->id)));
    if (err != ERR_OK) {
        heap_remove(&m->dues, l);
        entry_done(&l->entry);
        mem_free(l);
        return err;
    }
    l->minter = m;
    backoff_init(&l->backoff, RETRY_FIRST_MS, RETRY_CAP_MS);
    *ret = l;
    return ERR_OK;
}

/* All that is written of state, SVID and turn is written here. Takes `svid`, which may be the one
 * it has. */
static void live_set(struct minter *m, struct live *l, enum live_state state, struct svid *svid,
                     int64_t due_ms)
{
    assert(live_rules[state].svid != (svid != NULL ? SVID_NONE : SVID_ONE));
    if (state != LIVE_SIGNING && l->order.key != NULL) {
        svid_cancel(m->opt.authority, &l->order);
        m->has_news = true;
    }
    if (svid != l->svid) {
        m->svid_count += (svid != NULL) - (l->svid != NULL);
        svid_unref(l->svid);
        l->svid = svid;
        metric_set(m->opt.metrics, M_SVIDS, SVID_X509, 0, 0, (double)m->svid_count);
    }
    l->state = state;
    l->due_ms = due_ms;
    heap_moved(&m->dues, l);
}

static void live_free(struct minter *m, struct live *l)
{
    live_set(m, l, LIVE_GONE, NULL, 0);
    map_remove(&m->lives, l);
    heap_remove(&m->dues, l);
    entry_done(&l->entry);
    mem_free(l);
}

static void minter_remove_unused(struct minter *m)
{
    struct live *l, *next;
    MAP_FOREACH_SAFE(l, &m->lives, next)
        if (l->subscribers == 0)
            live_free(m, l);
    m->has_unused = false;
}

static void live_remove_if_unused(struct minter *m, struct live *l)
{
    if (l->subscribers > 0)
        return;
    if (m->is_busy)
        m->has_unused = true;
    else
        live_free(m, l);
}

/* The timer. */

static void on_timer(uv_timer_t *timer)
{
    minter_check(timer->data);
}

static void minter_arm(struct minter *m)
{
    if (m->closing.begun)
        return;
    const struct live *first = heap_first(&m->dues);
    if (first == NULL && !m->has_news) {
        uv_timer_stop(&m->timer);
        return;
    }
    int64_t wait = LOOK_MS;
    if (m->has_news || live_rules[first->state].turn == TURN_FIRST)
        wait = 0;
    else if (live_is_timed(first) && first->due_ms - now_ms(m) < LOOK_MS)
        wait = first->due_ms - now_ms(m);
    wait = wait > 0 ? wait : 0;
    uv_update_time(m->timer.loop);
    uv_timer_start(&m->timer, on_timer, (uint64_t)wait, 0);
}

/* Minting. */

static bool svid_is_valid(const struct svid *s, int64_t ms)
{
    return s != NULL && ms >= s->not_before * 1000 && ms < s->not_after * 1000;
}

static err_t live_may_issue(const struct live *l, struct why *why)
{
    const struct minter_options *opt = &l->minter->opt;
    return opt->may_issue != NULL ? opt->may_issue(opt->arg, &l->entry, why) : ERR_OK;
}

static bool live_is_meant(const struct live *l, const struct minter_renewal *r)
{
    return l->state != LIVE_GONE &&
           (r->spiffe_id == NULL || strcmp(l->entry.spiffe_id, r->spiffe_id) == 0) &&
           (r->entry_id == NULL || strcmp(l->entry.id, r->entry_id) == 0);
}

/* For the operators who asked. */
static void live_note(const struct live *l, err_t err, const struct why *why)
{
    struct minter_renewal *r;
    LIST_FOREACH(r, &l->minter->renewals, in_renewals) {
        if (!live_is_meant(l, r))
            continue;
        if (err == ERR_OK)
            r->count++;
        else if (r->failed.err == ERR_OK)
            why_set(&r->failed, err, "%s", why_text(why));
    }
}

static void live_answered(struct live *l, err_t err, const struct why *why);

/* It may have been revoked since it was asked for. */
static void on_order(struct svid_order *o, err_t err, struct svid *svid, const struct why *why)
{
    struct live *l = (struct live *)(void *)((char *)o - offsetof(struct live, order));
    struct minter *m = l->minter;
    struct why own = *why;
    if (err == ERR_OK)
        err = live_may_issue(l, &own);
    if (err == ERR_OK && m->opt.on_issued != NULL)
        err = m->opt.on_issued(m->opt.arg, svid, l->because, &own);
    metric_add(m->opt.metrics, M_SVIDS_ISSUED, SVID_X509,
               err == ERR_OK ? RESULT_SUCCESS : RESULT_FAILURE, 0, 1);
    own.err = err;
    live_note(l, err, &own);
    if (err == ERR_OK) {
        backoff_reset(&l->backoff);
        live_set(m, l, LIVE_ISSUED, svid, svid->renew_at * 1000);
    } else {
        svid_unref(svid);
        live_set(m, l, l->before, l->svid, l->due_before_ms);
    }
    if (m->asking == l) {
        m->asking = NULL;
        m->answer = own;
    } else {
        live_answered(l, err, &own);
    }
}

/* While the authority is asked: looked at when the old one ends; at once when it is no good now. */
static void live_set_signing(struct minter *m, struct live *l, struct svid *svid, int64_t ms)
{
    int64_t due_ms = svid == NULL ? ms + LOOK_MS : svid->not_after * 1000;
    live_set(m, l, LIVE_SIGNING, svid, svid == NULL || svid_is_valid(svid, ms) ? due_ms : ms);
}

/* ERR_OK: it is there, or the state is LIVE_SIGNING. On failure the state is as before. */
static err_t live_mint(struct minter *m, struct live *l, int64_t ms, enum svid_why because,
                       struct why *why)
{
    struct why own = {.err = ERR_OK};
    err_t refused = live_may_issue(l, &own);
    if (refused != ERR_OK) {
        live_note(l, refused, &own);
        return why_set(why, refused, "%s", why_text(&own));
    }
    if (l->state == LIVE_SIGNING)
        return ERR_OK;
    l->before = l->state;
    l->due_before_ms = l->due_ms;
    l->because = because;
    l->order = (struct svid_order){
        .entry = &l->entry,
        .now = ms / 1000,
        .ttl_s = l->entry.x509_ttl_s > 0 ? l->entry.x509_ttl_s : m->opt.x509_ttl_s,
        .jitter = (unsigned)rand_below(JITTER_BOUND),
        .done = on_order,
    };
    live_set_signing(m, l, l->svid, ms);
    m->asking = l;
    svid_issue(m->opt.authority, &l->order);
    bool is_later = m->asking == l;
    m->asking = NULL;
    if (is_later || m->answer.err == ERR_OK)
        return ERR_OK;
    return why_set(why, m->answer.err, "%s", why_text(&m->answer));
}

/* Keeps the old SVID unless that ran out; looks again at the next try or at its end. */
static void live_mint_failed(struct minter *m, struct live *l, err_t err, int64_t ms, bool ran_out)
{
    uint64_t random;
    if (err == ERR_REVOKED) {
        live_set(m, l, LIVE_HELD, NULL, 0);
        return;
    }
    rand_bytes(&random, sizeof random);
    int64_t again = ms + (int64_t)backoff_next(&l->backoff, random);
    if (!ran_out && l->svid != NULL && again > l->svid->not_after * 1000)
        again = l->svid->not_after * 1000;
    live_set(m, l, ran_out ? LIVE_EXPIRED : LIVE_WANTED, ran_out ? NULL : l->svid, again);
}

static void live_tell(struct minter *m, struct live *l)
{
    m->has_news = true;
    m->opt.on_change(m->opt.arg, l->entry.id, l->svid);
}

static void failures_note(struct failures *f, const struct live *l, const struct why *why)
{
    if (f->count++ > 0)
        return;
    size_t len = strlen(l->entry.spiffe_id);
    size_t n = len < sizeof f->first - 1 ? len : sizeof f->first - 1;
    memcpy(f->first, l->entry.spiffe_id, n);
    f->first[n] = '\0';
    f->why = *why;
}

static void failures_log(struct failures *f)
{
    if (f->count > 0)
        log_warn("svid_renewal_failed", log_str("spiffe_id", f->first),
                 log_int("entries", f->count), log_err("reason", f->why.err),
                 log_str("cause", why_text(&f->why)),
                 log_str("next", "keeping what is valid, trying again within a minute"));
    f->count = 0;
}

/* After a try: what it was before tells what its failure means. is_awaited: somebody may have none
 * and wait to hear of it. */
static void live_tried(struct minter *m, struct live *l, err_t err, const struct why *why,
                       bool is_awaited)
{
    int64_t ms = now_ms(m);
    bool had_one = l->svid != NULL;
    bool must_tell = err == ERR_OK || is_awaited || live_rules[l->state].turn == TURN_FIRST;
    bool ran_out = l->state == LIVE_EXPIRED || (had_one && !svid_is_valid(l->svid, ms));
    if (err != ERR_OK)
        live_mint_failed(m, l, err, ms, ran_out);
    if (err != ERR_OK && err != ERR_REVOKED)
        failures_note(&m->failures, l, why);
    if (must_tell || (had_one && l->svid == NULL))
        live_tell(m, l);
}

/* One entry whose turn it is. */
static void live_renew(struct minter *m, struct live *l, int64_t ms)
{
    struct why why = {0};
    bool is_valid = svid_is_valid(l->svid, ms);
    if (l->state == LIVE_SIGNING) { /* never serve one that ran out */
        bool ran_out = l->svid != NULL && !is_valid;
        l->before = ran_out ? LIVE_EXPIRED : l->before;
        live_set_signing(m, l, is_valid ? l->svid : NULL, ms);
        if (ran_out)
            live_tell(m, l);
        return;
    }
    if (l->state == LIVE_FRESH && is_valid) {
        live_set(m, l, LIVE_ISSUED, l->svid, l->svid->renew_at * 1000);
        live_tell(m, l);
        return;
    }
    err_t err = live_mint(m, l, ms, l->svid != NULL ? SVID_RENEWAL : SVID_FIRST, &why);
    if (err != ERR_OK || l->state != LIVE_SIGNING)
        live_tried(m, l, err, &why, false);
}

/* The clock went back: due times count anew, what is not valid yet is minted anew. */
static void minter_look_at_clock(struct minter *m, int64_t ms)
{
    bool went_back = ms + CLOCK_SLACK_MS < m->last_ms;
    m->last_ms = ms;
    if (!went_back)
        return;
    struct live *l;
    MAP_FOREACH(l, &m->lives)
        if (live_is_timed(l))
            live_set(m, l, l->state, l->svid,
                     svid_is_valid(l->svid, ms) ? l->svid->renew_at * 1000 : ms);
}

static void renewal_end(struct minter_renewal *r)
{
    LIST_REMOVE(r, in_renewals);
    r->done(r, r->failed.err, &r->failed);
}

/* Is none under way any more? */
static void minter_end_renewal(struct minter *m, struct minter_renewal *r)
{
    size_t meant = 0;
    const struct live *l;
    HEAP_FOREACH(l, &m->dues, i) {
        if (!live_is_meant(l, r))
            continue;
        if (l->state == LIVE_SIGNING)
            return;
        meant++;
    }
    if (meant == 0 && r->count == 0 && r->failed.err == ERR_OK)
        why_set(&r->failed, ERR_NOT_FOUND,
                "no workload uses an SVID of it now: one is made when a workload asks");
    else if (r->count == 0 && r->failed.err == ERR_OK)
        why_set(&r->failed, ERR_CANCELED, "its entry has changed meanwhile");
    renewal_end(r);
}

/* The end of a round. */
static void minter_settle(struct minter *m)
{
    if (m->has_news && m->opt.on_settled != NULL)
        m->opt.on_settled(m->opt.arg);
    m->is_busy = m->has_news = false;
    if (m->has_unused)
        minter_remove_unused(m);
    struct minter_renewal *r, *next;
    LIST_FOREACH_SAFE(r, &m->renewals, in_renewals, next)
        minter_end_renewal(m, r);
    minter_arm(m);
    failures_log(&m->failures);
}

void minter_check(struct minter *m)
{
    if (m->closing.begun || m->is_busy)
        return;
    int64_t ms = now_ms(m);
    minter_look_at_clock(m, ms);
    m->is_busy = true;
    for (size_t i = 0; i < MINTER_BATCH && !m->closing.begun; i++) {
        struct live *first = heap_first(&m->dues);
        enum live_state state = first != NULL ? first->state : LIVE_GONE;
        if (live_rules[state].turn == TURN_NEVER || (live_is_timed(first) && first->due_ms > ms))
            break;
        live_renew(m, first, ms);
    }
    minter_settle(m);
}

/* Later than it was asked for. Answers come together: the timer ends one round for all of them. */
static void live_answered(struct live *l, err_t err, const struct why *why)
{
    struct minter *m = l->minter;
    bool within = m->is_busy;
    m->is_busy = m->has_news = true;
    live_tried(m, l, err, why, l->svid == NULL);
    m->is_busy = within;
    if (!within)
        minter_arm(m);
}

void minter_retry(struct minter *m)
{
    int64_t ms = now_ms(m);
    struct live *l;
    MAP_FOREACH(l, &m->lives)
        if (live_is_timed(l) && (l->svid == NULL || ms >= l->svid->renew_at * 1000))
            live_set(m, l, l->state, l->svid, ms);
    minter_check(m);
}

void minter_renew(struct minter *m, struct minter_renewal *r)
{
    struct live *l, *meant[MINTER_BATCH];
    size_t count = 0;
    assert(!m->closing.begun && !m->is_busy);
    r->count = 0;
    r->failed = (struct why){.err = ERR_OK};
    LIST_INSERT_HEAD(&m->renewals, r, in_renewals);
    HEAP_FOREACH(l, &m->dues, i)
        if (count < MINTER_BATCH && live_is_meant(l, r))
            meant[count++] = l;
    m->is_busy = true;
    for (size_t i = 0; i < count && !m->closing.begun; i++)
        if (live_mint(m, meant[i], now_ms(m), SVID_BY_OPERATOR, NULL) == ERR_OK &&
            meant[i]->state != LIVE_SIGNING)
            live_tell(m, meant[i]);
    minter_settle(m);
}

/* Subscribers. */

static err_t live_take_entry(struct minter *m, struct live *l, const struct entry *e)
{
    struct entry copy;
    err_t err = entry_copy_for_svid(e, &copy);
    if (err != ERR_OK)
        return err;
    if (l->state == LIVE_SIGNING) /* by what the entry was */
        live_set(m, l, l->before, l->svid, now_ms(m));
    entry_done(&l->entry);
    l->entry = copy;
    return ERR_OK;
}

/* Is what we hold for the entry good to serve as it is? */
static bool live_is_current(const struct live *l, const struct entry *e, int64_t ms)
{
    return l->state != LIVE_GONE && svid_is_valid(l->svid, ms) && entry_same_svid(&l->entry, e);
}

static err_t live_mint_for(struct minter *m, struct live *l, const struct entry *e, int64_t ms,
                           struct why *why)
{
    bool same_id = strcmp(l->entry.spiffe_id, e->spiffe_id) == 0;
    if (l->state == LIVE_SIGNING && entry_same_svid(&l->entry, e))
        return ERR_OK;
    err_t err = live_take_entry(m, l, e);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for an SVID");
    bool ran_out = same_id && l->state == LIVE_EXPIRED;
    bool is_awaited = l->subscribers > 0 && (!same_id || l->state == LIVE_WITHDRAWN);
    enum live_state from = is_awaited ? LIVE_WITHDRAWN : ran_out ? LIVE_EXPIRED : LIVE_WANTED;
    live_set(m, l, from, same_id ? l->svid : NULL, ms); /* it may have been gone */
    err = live_mint(m, l, ms, l->svid != NULL ? SVID_RENEWAL : SVID_FIRST, why);
    if (err != ERR_OK)
        live_mint_failed(m, l, err, ms, ran_out);
    if (l->subscribers > 0 && l->state == LIVE_ISSUED)
        live_set(m, l, LIVE_FRESH, l->svid, ms);
    else if (is_awaited && l->state == LIVE_WANTED)
        live_set(m, l, LIVE_WITHDRAWN, NULL, ms);
    return err;
}

err_t minter_acquire(struct minter *m, const struct entry *e, struct svid **ret, struct why *why)
{
    assert(!m->closing.begun);
    int64_t ms = now_ms(m);
    struct live *l = live_find(m, e->id);
    err_t err = ERR_OK;
    if (l == NULL)
        err = live_new(m, e, &l);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for an SVID");
    if (!live_is_current(l, e, ms))
        err = live_mint_for(m, l, e, ms, why);
    if (err == ERR_REVOKED)
        err = ERR_OK; /* without an SVID until it is lifted */
    if (err == ERR_OK) {
        l->subscribers++;
        *ret = svid_is_valid(l->svid, ms) ? l->svid : NULL;
    }
    live_remove_if_unused(m, l);
    if (!m->is_busy)
        minter_arm(m);
    return err;
}

void minter_release(struct minter *m, const char *entry_id)
{
    struct live *l = live_find(m, entry_id);
    assert(l != NULL && l->subscribers > 0);
    l->subscribers--;
    live_remove_if_unused(m, l);
    if (!m->is_busy)
        minter_arm(m);
}

/* Reloads. */

static void live_entry_changed(struct minter *m, struct live *l, const struct entry *e, int64_t ms)
{
    bool is_back = l->state == LIVE_GONE;
    bool same_svid = !is_back && entry_same_svid(&l->entry, e);
    bool same_id = strcmp(l->entry.spiffe_id, e->spiffe_id) == 0;
    struct svid *hinted = NULL;
    if (same_svid && strcmp(l->entry.hint, e->hint) == 0)
        return;
    if (live_take_entry(m, l, e) != ERR_OK)
        return; /* the next reload finds the difference again */
    if (same_svid && l->svid != NULL && svid_with_hint(l->svid, e->hint, &hinted) == ERR_OK)
        live_set(m, l, LIVE_FRESH, hinted, ms);
    else if (!same_id)
        live_set(m, l, LIVE_WITHDRAWN, NULL, ms); /* never serve an ID that is not the entry's */
    else if (is_back || l->svid != NULL)
        live_set(m, l, LIVE_WANTED, l->svid, ms);
    else if (live_is_timed(l))
        live_set(m, l, l->state, NULL, ms);
}

void minter_entries_changed(struct minter *m, const struct entry_set *entries)
{
    int64_t ms = now_ms(m);
    struct live *l;
    MAP_FOREACH(l, &m->lives) {
        const struct entry *e = entries_find(entries, l->entry.id);
        if (e != NULL)
            live_entry_changed(m, l, e, ms);
        else
            live_set(m, l, LIVE_GONE, NULL, 0);
    }
    minter_check(m);
}

/* Holds. */

void minter_holds_changed(struct minter *m)
{
    int64_t ms = now_ms(m);
    struct live *l;
    MAP_FOREACH(l, &m->lives) {
        if (l->state == LIVE_GONE)
            continue;
        bool held = live_may_issue(l, NULL) == ERR_REVOKED;
        if (held && (l->svid != NULL || l->state == LIVE_SIGNING))
            live_set(m, l, LIVE_WITHDRAWN, NULL, ms);
        else if (!held && l->state == LIVE_HELD)
            live_set(m, l, LIVE_WANTED, NULL, ms);
        else if (!held && l->svid == NULL)
            live_set(m, l, l->state, NULL, ms);
    }
    minter_check(m);
}

bool minter_is_held(const struct minter *m, const char *entry_id)
{
    const struct live *l = live_find(m, entry_id);
    return l != NULL && l->state == LIVE_HELD;
}

bool minter_is_awaited(const struct minter *m, const char *entry_id)
{
    int64_t ms = now_ms(m);
    const struct live *l = live_find(m, entry_id);
    if (l == NULL || svid_is_valid(l->svid, ms))
        return false;
    return l->state == LIVE_SIGNING || l->state == LIVE_WITHDRAWN ||
           (l->svid != NULL && l->due_ms <= ms);
}

void minter_discard(struct minter *m, const uint8_t serial[static 16])
{
    struct live *l;
    MAP_FOREACH(l, &m->lives)
        if (l->svid != NULL && memcmp(l->svid->serial, serial, sizeof l->svid->serial) == 0)
            live_set(m, l, LIVE_WITHDRAWN, NULL, now_ms(m));
    minter_check(m);
}

void minter_set_ttl(struct minter *m, int64_t x509_ttl_s)
{
    m->opt.x509_ttl_s = x509_ttl_s;
}

void minter_each(const struct minter *m,
                 void (*fn)(void *arg, const struct svid *s, unsigned subscribers), void *arg)
{
    const struct live *l;
    HEAP_FOREACH(l, &m->dues, i)
        if (l->svid != NULL)
            fn(arg, l->svid, l->subscribers);
}

const struct svid *minter_find(const struct minter *m, const char *entry_id,
                               unsigned *ret_subscribers)
{
    const struct live *l = live_find(m, entry_id);
    if (l == NULL || l->svid == NULL)
        return NULL;
    *ret_subscribers = l->subscribers;
    return l->svid;
}

size_t minter_run_out(const struct minter *m)
{
    size_t count = 0;
    const struct live *l;
    HEAP_FOREACH(l, &m->dues, i)
        count += l->state == LIVE_EXPIRED;
    return count;
}

int64_t minter_min_not_after(const struct minter *m)
{
    int64_t first = 0;
    const struct live *l;
    HEAP_FOREACH(l, &m->dues, i) {
        const struct svid *s = l->svid;
        if (s != NULL && (first == 0 || s->not_after < first))
            first = s->not_after;
    }
    return first;
}

/* Opening and closing. */

err_t minter_open(uv_loop_t *loop, const struct minter_options *opt, struct minter **ret,
                  struct why *why)
{
    struct minter *m = mem_alloc(sizeof *m);
    if (m == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the minter");
    m->lives = (struct map)MAP_OF(struct live, in_lives, live_is);
    m->dues = (struct heap)HEAP_OF(struct live, in_dues, live_before);
    m->opt = *opt;
    if (m->opt.wall_ms == NULL)
        m->opt.wall_ms = clock_wall_ms;
    m->last_ms = now_ms(m);
    uv_timer_init(loop, &m->timer);
    m->timer.data = m;
    *ret = m;
    return ERR_OK;
}

static void minter_free(void *arg)
{
    struct minter *m = arg;
    for (struct live *l; (l = heap_first(&m->dues)) != NULL;)
        live_free(m, l);
    map_done(&m->lives);
    heap_done(&m->dues);
    mem_free(m);
}

void minter_close(struct minter *m, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&m->closing, minter_free, m, done, arg))
        return;
    struct live *l;
    MAP_FOREACH(l, &m->lives)
        svid_cancel(m->opt.authority, &l->order);
    for (struct minter_renewal *r; (r = LIST_FIRST(&m->renewals)) != NULL;) {
        why_set(&r->failed, ERR_CANCELED, "the agent stops");
        renewal_end(r);
    }
    closing_handle(&m->closing, &m->timer);
}
