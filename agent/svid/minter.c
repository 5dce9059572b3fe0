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

enum {
    LOOK_MS = 60 * 1000, /* the clock is looked at this often */
    CLOCK_SLACK_MS = 1000,
    RETRY_FIRST_MS = 1000,
    RETRY_CAP_MS = 60 * 1000,
    JITTER_BOUND = 1001,
};

/* An entry with subscribers. */
struct live {
    struct map_node in_lives;
    struct heap_place in_dues;
    unsigned subscribers;
    struct entry entry; /* own copy: id, SPIFFE ID, TTL, DNS names, hint */
    struct svid *svid;  /* owned reference; NULL while there is none to serve */
    int64_t due_ms;     /* renewal, retry or expiry */
    struct backoff backoff;
    bool is_untold;   /* the subscribers have not heard of what svid is now */
    bool is_gone;     /* the entry is no longer there */
    bool is_held;     /* it may have no SVID */
    bool has_run_out; /* svid is NULL because it expired and no new one could be had */
};

struct minter {
    uv_timer_t timer;
    struct minter_options opt;
    struct map lives; /* owned; by entry id */
    struct heap dues; /* the same, the earliest due first */
    size_t svid_count;
    int64_t last_ms;
    bool is_busy;    /* within on_change: nothing is freed */
    bool has_told;   /* in this round */
    bool has_unused; /* some lost their last subscriber meanwhile */
    struct closing closing;
};

/* What failed in one round, for one log line. */
struct failures {
    size_t count;
    char first[128]; /* an SPIFFE ID, perhaps cut */
    struct why why;
};

static int64_t now_ms(const struct minter *m)
{
    return m->opt.wall_ms();
}

/* A copy of what stands in an SVID. */
static err_t copy_entry(const struct entry *from, struct entry *ret)
{
    struct entry e = {.x509_ttl_s = from->x509_ttl_s};
    size_t names = 0;
    while (from->dns_names != NULL && from->dns_names[names] != NULL)
        names++;
    e.id = mem_strdup(from->id);
    e.spiffe_id = mem_strdup(from->spiffe_id);
    e.hint = mem_strdup(from->hint);
    if (names > 0)
        e.dns_names = mem_array(names + 1, sizeof *e.dns_names);
    bool ok = e.id != NULL && e.spiffe_id != NULL && e.hint != NULL &&
              (names == 0 || e.dns_names != NULL);
    for (size_t i = 0; ok && i < names; i++) {
        e.dns_names[i] = mem_strdup(from->dns_names[i]);
        ok = e.dns_names[i] != NULL;
    }
    if (!ok) {
        entry_done(&e);
        return ERR_NO_MEMORY;
    }
    *ret = e;
    return ERR_OK;
}

static bool live_is(const void *live, const void *entry_id)
{
    return strcmp(((const struct live *)live)->entry.id, entry_id) == 0;
}

static bool live_before(const void *a, const void *b)
{
    return ((const struct live *)a)->due_ms < ((const struct live *)b)->due_ms;
}

static struct live *live_find(const struct minter *m, const char *entry_id)
{
    return map_find(&m->lives, map_hash(slice_str(entry_id)), entry_id);
}

/* Due never. */
static err_t live_add(struct minter *m, struct live *l)
{
    l->due_ms = INT64_MAX;
    err_t err = map_add(&m->lives, l, map_hash(slice_str(l->entry.id)));
    if (err != ERR_OK)
        return err;
    err = heap_add(&m->dues, l);
    if (err != ERR_OK)
        map_remove(&m->lives, l);
    return err;
}

static err_t live_new(struct minter *m, const struct entry *e, struct live **ret)
{
    struct live *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return ERR_NO_MEMORY;
    err_t err = copy_entry(e, &l->entry);
    if (err == ERR_OK)
        err = live_add(m, l);
    if (err != ERR_OK) {
        entry_done(&l->entry);
        mem_free(l);
        return err;
    }
    backoff_init(&l->backoff, RETRY_FIRST_MS, RETRY_CAP_MS);
    *ret = l;
    return ERR_OK;
}

static void set_svid(struct minter *m, struct live *l, struct svid *svid)
{
    m->svid_count += (svid != NULL) - (l->svid != NULL);
    svid_unref(l->svid);
    l->svid = svid;
    l->has_run_out = false;
    metric_set(m->opt.metrics, M_SVIDS, SVID_X509, 0, 0, (double)m->svid_count);
}

static void set_due(struct minter *m, struct live *l, int64_t due_ms)
{
    l->due_ms = due_ms;
    heap_moved(&m->dues, l);
}

static void live_free(struct minter *m, struct live *l)
{
    map_remove(&m->lives, l);
    heap_remove(&m->dues, l);
    set_svid(m, l, NULL);
    entry_done(&l->entry);
    mem_free(l);
}

static void remove_unused(struct minter *m)
{
    struct live *l, *next;
    MAP_FOREACH_SAFE(l, &m->lives, next)
        if (l->subscribers == 0)
            live_free(m, l);
    m->has_unused = false;
}

static void remove_if_unused(struct minter *m, struct live *l)
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

static void arm(struct minter *m)
{
    if (m->closing.begun)
        return;
    const struct live *first = heap_first(&m->dues);
    if (first == NULL) {
        uv_timer_stop(&m->timer);
        return;
    }
    int64_t wait = first->due_ms;
    int64_t now = now_ms(m);
    wait = wait < now ? 0 : wait - now < LOOK_MS ? wait - now : LOOK_MS;
    uv_update_time(m->timer.loop);
    uv_timer_start(&m->timer, on_timer, (uint64_t)wait, 0);
}

/* Minting. */

static bool is_valid(const struct svid *s, int64_t ms)
{
    return s != NULL && ms >= s->not_before * 1000 && ms < s->not_after * 1000;
}

static err_t mint(struct minter *m, struct live *l, int64_t ms, enum svid_why because,
                  struct why *why)
{
    if (m->opt.may_issue != NULL) {
        err_t refused = m->opt.may_issue(m->opt.arg, &l->entry, why);
        if (refused != ERR_OK)
            return refused;
    }
    int64_t ttl = l->entry.x509_ttl_s > 0 ? l->entry.x509_ttl_s : m->opt.x509_ttl_s;
    struct svid *svid = NULL;
    unsigned jitter = (unsigned)rand_below(JITTER_BOUND);
    err_t err = svid_issue(m->opt.authority, &l->entry, ttl, ms / 1000, jitter, &svid, why);
    if (err == ERR_SIGNER && m->opt.on_no_signer != NULL && m->opt.on_no_signer(m->opt.arg))
        err = svid_issue(m->opt.authority, &l->entry, ttl, ms / 1000, jitter, &svid, why);
    if (err == ERR_OK && m->opt.on_issued != NULL)
        err = m->opt.on_issued(m->opt.arg, svid, because, why);
    metric_add(m->opt.metrics, M_SVIDS_ISSUED, SVID_X509,
               err == ERR_OK ? RESULT_SUCCESS : RESULT_FAILURE, 0, 1);
    if (err != ERR_OK) {
        svid_unref(svid);
        return err;
    }
    set_svid(m, l, svid);
    l->is_held = false;
    backoff_reset(&l->backoff);
    set_due(m, l, svid->renew_at * 1000);
    return ERR_OK;
}

/* Keeps the old SVID while it is valid; looks again at the next try or at its end. What is held has
 * none, and waits for minter_holds_changed. */
static void minting_failed(struct minter *m, struct live *l, err_t err, int64_t ms)
{
    uint64_t random;
    l->is_held = err == ERR_REVOKED;
    if (l->is_held) {
        set_svid(m, l, NULL);
        set_due(m, l, INT64_MAX);
        return;
    }
    rand_bytes(&random, sizeof random);
    int64_t again = ms + (int64_t)backoff_next(&l->backoff, random);
    if (l->svid != NULL && again > l->svid->not_after * 1000)
        again = l->svid->not_after * 1000;
    set_due(m, l, again);
}

static void tell(struct minter *m, struct live *l)
{
    l->is_untold = false;
    m->has_told = true;
    m->opt.on_change(m->opt.arg, l->entry.id, l->svid);
}

static void note_failure(struct failures *f, const struct live *l, const struct why *why)
{
    if (f->count++ > 0)
        return;
    size_t len = strlen(l->entry.spiffe_id);
    size_t n = len < sizeof f->first - 1 ? len : sizeof f->first - 1;
    memcpy(f->first, l->entry.spiffe_id, n);
    f->first[n] = '\0';
    f->why = *why;
}

/* One entry that is due. */
static void renew(struct minter *m, struct live *l, int64_t ms, struct failures *failures)
{
    struct why why = {0};
    if (l->is_untold && is_valid(l->svid, ms)) {
        set_due(m, l, l->svid->renew_at * 1000);
        tell(m, l);
        return;
    }
    err_t err = mint(m, l, ms, l->svid != NULL ? SVID_RENEWAL : SVID_FIRST, &why);
    if (err == ERR_OK) {
        tell(m, l);
        return;
    }
    if (err != ERR_REVOKED)
        note_failure(failures, l, &why);
    bool had_one = l->svid != NULL;
    bool has_run_out = l->has_run_out || (had_one && !is_valid(l->svid, ms));
    if (!is_valid(l->svid, ms))
        set_svid(m, l, NULL);
    minting_failed(m, l, err, ms);
    l->has_run_out = has_run_out && !l->is_held;
    if ((had_one && l->svid == NULL) || l->is_untold)
        tell(m, l);
}

/* The clock went back: due times count anew, what is not valid yet is minted anew. */
static void look_at_clock(struct minter *m, int64_t ms)
{
    bool went_back = ms + CLOCK_SLACK_MS < m->last_ms;
    m->last_ms = ms;
    if (!went_back)
        return;
    struct live *l;
    HEAP_FOREACH(l, &m->dues, i) {
        if (!l->is_gone)
            l->due_ms = is_valid(l->svid, ms) ? l->svid->renew_at * 1000 : ms;
    }
    heap_rebuild(&m->dues);
}

/* The end of a round. */
static void settle(struct minter *m)
{
    if (m->has_told && m->opt.on_settled != NULL)
        m->opt.on_settled(m->opt.arg);
    m->is_busy = m->has_told = false;
    if (m->has_unused)
        remove_unused(m);
    arm(m);
}

void minter_check(struct minter *m)
{
    if (m->closing.begun || m->is_busy)
        return;
    struct failures failures = {0};
    int64_t ms = now_ms(m);
    look_at_clock(m, ms);
    m->is_busy = true;
    for (size_t i = 0; i < MINTER_BATCH && !m->closing.begun; i++) {
        struct live *first = heap_first(&m->dues);
        if (first == NULL || first->due_ms > ms)
            break;
        renew(m, first, ms, &failures);
    }
    settle(m);
    if (failures.count > 0)
        log_warn("svid_renewal_failed", log_str("spiffe_id", failures.first),
                 log_int("entries", failures.count), log_err("reason", failures.why.err),
                 log_str("cause", why_text(&failures.why)),
                 log_str("next", "keeping what is valid, trying again within a minute"));
}

void minter_retry(struct minter *m)
{
    int64_t ms = now_ms(m);
    struct live *l;
    HEAP_FOREACH(l, &m->dues, i) {
        if (!l->is_gone && (l->svid == NULL || ms >= l->svid->renew_at * 1000))
            l->due_ms = ms;
    }
    heap_rebuild(&m->dues);
    minter_check(m);
}

/* An operator's wish. */

static bool is_meant(const struct live *l, const char *spiffe_id, const char *entry_id)
{
    return !l->is_gone && (spiffe_id == NULL || strcmp(l->entry.spiffe_id, spiffe_id) == 0) &&
           (entry_id == NULL || strcmp(l->entry.id, entry_id) == 0);
}

err_t minter_renew(struct minter *m, const char *spiffe_id, const char *entry_id, size_t *ret_count,
                   struct why *why)
{
    struct live *l, *meant[MINTER_BATCH];
    size_t count = 0;
    err_t err = ERR_OK;
    assert(!m->closing.begun && !m->is_busy);
    *ret_count = 0;
    HEAP_FOREACH(l, &m->dues, i)
        if (count < MINTER_BATCH && is_meant(l, spiffe_id, entry_id))
            meant[count++] = l;
    if (count == 0)
        return why_set(why, ERR_NOT_FOUND,
                       "no workload uses an SVID of it now: one is made when a workload asks");
    m->is_busy = true;
    for (size_t i = 0; i < count; i++) {
        err_t one = mint(m, meant[i], now_ms(m), SVID_BY_OPERATOR, err == ERR_OK ? why : NULL);
        err = err == ERR_OK ? one : err;
        if (one != ERR_OK)
            continue;
        ++*ret_count;
        tell(m, meant[i]);
    }
    settle(m);
    return err;
}

/* Subscribers. */

static err_t take_entry(struct live *l, const struct entry *e)
{
    struct entry copy;
    err_t err = copy_entry(e, &copy);
    if (err != ERR_OK)
        return err;
    entry_done(&l->entry);
    l->entry = copy;
    return ERR_OK;
}

/* Is what we hold for the entry good to serve as it is? */
static bool is_current(const struct live *l, const struct entry *e, int64_t ms)
{
    return !l->is_gone && is_valid(l->svid, ms) && entry_same_svid(&l->entry, e);
}

static err_t mint_for(struct minter *m, struct live *l, const struct entry *e, int64_t ms,
                      struct why *why)
{
    bool same_id = strcmp(l->entry.spiffe_id, e->spiffe_id) == 0;
    err_t err = take_entry(l, e);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for an SVID");
    if (!same_id)
        set_svid(m, l, NULL);
    l->is_gone = false;
    err = mint(m, l, ms, l->svid != NULL ? SVID_RENEWAL : SVID_FIRST, why);
    if (err != ERR_OK)
        minting_failed(m, l, err, ms);
    l->is_untold = l->subscribers > 0 && (err == ERR_OK || !same_id);
    if (err == ERR_OK && l->is_untold)
        set_due(m, l, ms);
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
    if (!is_current(l, e, ms))
        err = mint_for(m, l, e, ms, why);
    if (err == ERR_REVOKED)
        err = ERR_OK; /* without an SVID until it is lifted */
    if (err == ERR_OK) {
        l->subscribers++;
        *ret = l->svid;
    }
    remove_if_unused(m, l);
    if (!m->is_busy)
        arm(m);
    return err;
}

void minter_release(struct minter *m, const char *entry_id)
{
    struct live *l = live_find(m, entry_id);
    assert(l != NULL && l->subscribers > 0);
    l->subscribers--;
    remove_if_unused(m, l);
    if (!m->is_busy)
        arm(m);
}

/* Reloads. */

static void entry_changed(struct minter *m, struct live *l, const struct entry *e, int64_t ms)
{
    bool same_svid = !l->is_gone && entry_same_svid(&l->entry, e);
    bool same_id = strcmp(l->entry.spiffe_id, e->spiffe_id) == 0;
    struct svid *hinted = NULL;
    if (same_svid && strcmp(l->entry.hint, e->hint) == 0)
        return;
    if (take_entry(l, e) != ERR_OK)
        return; /* the next reload finds the difference again */
    l->is_gone = false;
    if (same_svid && l->svid != NULL && svid_with_hint(l->svid, e->hint, &hinted) == ERR_OK)
        set_svid(m, l, hinted);
    else if (!same_id)
        set_svid(m, l, NULL); /* never serve an ID that is not the entry's any more */
    l->is_untold = hinted != NULL || !same_id;
    l->due_ms = ms;
}

static void entry_gone(struct minter *m, struct live *l)
{
    set_svid(m, l, NULL);
    l->is_gone = true;
    l->is_untold = false;
    l->due_ms = INT64_MAX;
}

void minter_entries_changed(struct minter *m, const struct entry_set *entries)
{
    int64_t ms = now_ms(m);
    struct live *l;
    HEAP_FOREACH(l, &m->dues, i) {
        const struct entry *e = entries_find(entries, l->entry.id);
        if (e != NULL)
            entry_changed(m, l, e, ms);
        else
            entry_gone(m, l);
    }
    heap_rebuild(&m->dues);
    minter_check(m);
}

/* Holds. */

/* Its SVID is not served from here on; subscribers hear of it, or of the next one, in minter_check.
 */
static void drop_svid(struct minter *m, struct live *l)
{
    set_svid(m, l, NULL);
    l->is_untold = true;
    l->due_ms = INT64_MIN; /* before what is merely due */
}

void minter_holds_changed(struct minter *m)
{
    int64_t ms = now_ms(m);
    struct live *l;
    HEAP_FOREACH(l, &m->dues, i) {
        if (l->is_gone || m->opt.may_issue == NULL)
            continue;
        bool held = m->opt.may_issue(m->opt.arg, &l->entry, NULL) == ERR_REVOKED;
        if (held && l->svid != NULL)
            drop_svid(m, l);
        else if (!held && l->svid == NULL)
            l->due_ms = ms;
    }
    heap_rebuild(&m->dues);
    minter_check(m);
}

bool minter_is_held(const struct minter *m, const char *entry_id)
{
    const struct live *l = live_find(m, entry_id);
    return l != NULL && l->is_held;
}

void minter_discard(struct minter *m, const uint8_t serial[static 16])
{
    struct live *l;
    HEAP_FOREACH(l, &m->dues, i) {
        if (l->svid != NULL && memcmp(l->svid->serial, serial, sizeof l->svid->serial) == 0)
            drop_svid(m, l);
    }
    heap_rebuild(&m->dues);
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
        count += l->has_run_out;
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
    if (closing_begin(&m->closing, minter_free, m, done, arg))
        closing_handle(&m->closing, &m->timer);
}
