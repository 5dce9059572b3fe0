#include "agent/minter.h"

#include "agent/metrics.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/rand.h"

#include <assert.h>

enum {
    LOOK_MS = 60 * 1000, /* the clock is looked at this often */
    CLOCK_SLACK_MS = 1000,
    RETRY_FIRST_MS = 1000,
    RETRY_CAP_MS = 60 * 1000,
    BUCKETS_FIRST = 64,
    JITTER_BOUND = 1001,
};

/* An entry with subscribers. */
struct live {
    struct live *next;  /* of the same bucket */
    struct entry entry; /* own copy: id, SPIFFE ID, TTL, DNS names, hint */
    unsigned subscribers;
    struct svid *svid; /* owned reference; NULL while there is none to serve */
    int64_t due_ms;    /* renewal, retry or expiry */
    size_t heap_at;
    struct backoff backoff;
    bool is_untold; /* the subscribers have not heard of what svid is now */
    bool is_gone;   /* the entry is no longer there */
};

struct minter {
    uv_timer_t timer;
    struct minter_options opt;
    struct live **buckets; /* owned, by hash of the entry id */
    size_t bucket_count, count;
    struct live **heap; /* owned, the earliest due first; as many as count */
    size_t heap_cap;
    size_t svid_count;
    int64_t last_ms;
    bool is_busy;    /* within on_change: nothing is freed */
    bool has_told;   /* in this round */
    bool has_unused; /* some lost their last subscriber meanwhile */
    bool is_closing;
    void (*closed)(void *arg);
    void *closed_arg;
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

/* The heap of due times. */

static void heap_put(struct minter *m, size_t at, struct live *l)
{
    m->heap[at] = l;
    l->heap_at = at;
}

static void heap_down(struct minter *m, struct live *l)
{
    size_t at = l->heap_at;
    for (size_t child; (child = 2 * at + 1) < m->count; at = child) {
        if (child + 1 < m->count && m->heap[child + 1]->due_ms < m->heap[child]->due_ms)
            child++;
        if (m->heap[child]->due_ms >= l->due_ms)
            break;
        heap_put(m, at, m->heap[child]);
    }
    heap_put(m, at, l);
}

static void heap_fix(struct minter *m, struct live *l)
{
    size_t at = l->heap_at;
    for (; at > 0 && m->heap[(at - 1) / 2]->due_ms > l->due_ms; at = (at - 1) / 2)
        heap_put(m, at, m->heap[(at - 1) / 2]);
    heap_put(m, at, l);
    heap_down(m, l);
}

/* After many due times changed. */
static void heap_rebuild(struct minter *m)
{
    for (size_t i = 0; i < m->count; i++)
        m->heap[i]->heap_at = i;
    for (size_t i = m->count / 2; i-- > 0;)
        heap_down(m, m->heap[i]);
}

static void set_due(struct minter *m, struct live *l, int64_t due_ms)
{
    l->due_ms = due_ms;
    heap_fix(m, l);
}

/* The table of live entries. */

static size_t hash(const char *id)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a; ids are the operator's, not a stranger's */
    for (; *id != '\0'; id++)
        h = (h ^ (uint8_t)*id) * 1099511628211u;
    return (size_t)(h ^ (h >> 32));
}

static struct live **slot(const struct minter *m, const char *id)
{
    struct live **at = &m->buckets[hash(id) & (m->bucket_count - 1)];
    while (*at != NULL && strcmp((*at)->entry.id, id) != 0)
        at = &(*at)->next;
    return at;
}

static void rehash(struct minter *m, struct live **buckets, size_t count)
{
    for (size_t i = 0; i < m->count; i++) {
        struct live **at = &buckets[hash(m->heap[i]->entry.id) & (count - 1)];
        m->heap[i]->next = *at;
        *at = m->heap[i];
    }
    mem_free(m->buckets);
    m->buckets = buckets;
    m->bucket_count = count;
}

/* Room for one more in heap and table. */
static err_t make_room(struct minter *m)
{
    if (m->count == m->heap_cap) {
        size_t cap = m->heap_cap > 0 ? 2 * m->heap_cap : BUCKETS_FIRST;
        struct live **heap = mem_resize(m->heap, cap * sizeof *heap);
        if (heap == NULL)
            return ERR_NO_MEMORY;
        m->heap = heap;
        m->heap_cap = cap;
    }
    if (m->count < m->bucket_count)
        return ERR_OK;
    struct live **buckets = mem_array(2 * m->bucket_count, sizeof *buckets);
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    rehash(m, buckets, 2 * m->bucket_count);
    return ERR_OK;
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

static err_t live_new(struct minter *m, const struct entry *e, struct live **ret)
{
    struct live *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return ERR_NO_MEMORY;
    err_t err = copy_entry(e, &l->entry);
    if (err == ERR_OK)
        err = make_room(m);
    if (err != ERR_OK) {
        entry_done(&l->entry);
        mem_free(l);
        return err;
    }
    backoff_init(&l->backoff, RETRY_FIRST_MS, RETRY_CAP_MS);
    *slot(m, e->id) = l;
    l->due_ms = INT64_MAX;
    heap_put(m, m->count, l);
    m->count++;
    *ret = l;
    return ERR_OK;
}

static void set_svid(struct minter *m, struct live *l, struct svid *svid)
{
    m->svid_count += (svid != NULL) - (l->svid != NULL);
    svid_unref(l->svid);
    l->svid = svid;
    metric_set(m->opt.metrics, M_SVIDS, SVID_X509, 0, 0, (double)m->svid_count);
}

static void live_free(struct minter *m, struct live *l)
{
    set_svid(m, l, NULL);
    *slot(m, l->entry.id) = l->next;
    entry_done(&l->entry);
    mem_free(l);
}

static void remove_one(struct minter *m, struct live *l)
{
    struct live *last = m->heap[--m->count];
    if (last != l) {
        heap_put(m, l->heap_at, last);
        heap_fix(m, last);
    }
    live_free(m, l);
}

static void remove_unused(struct minter *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->heap[i]->subscribers > 0)
            m->heap[kept++] = m->heap[i];
        else
            live_free(m, m->heap[i]);
    }
    m->count = kept;
    heap_rebuild(m);
    m->has_unused = false;
}

static void remove_if_unused(struct minter *m, struct live *l)
{
    if (l->subscribers > 0)
        return;
    if (m->is_busy)
        m->has_unused = true;
    else
        remove_one(m, l);
}

/* The timer. */

static void on_timer(uv_timer_t *timer)
{
    minter_check(timer->data);
}

static void arm(struct minter *m)
{
    if (m->is_closing)
        return;
    if (m->count == 0) {
        uv_timer_stop(&m->timer);
        return;
    }
    int64_t wait = m->heap[0]->due_ms;
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

static err_t mint(struct minter *m, struct live *l, int64_t ms, struct why *why)
{
    int64_t ttl = l->entry.x509_ttl_s > 0 ? l->entry.x509_ttl_s : m->opt.x509_ttl_s;
    struct svid *svid = NULL;
    unsigned jitter = (unsigned)rand_below(JITTER_BOUND);
    err_t err = svid_issue(m->opt.authority, &l->entry, ttl, ms / 1000, jitter, &svid, why);
    if (err == ERR_SIGNER && m->opt.on_no_signer != NULL && m->opt.on_no_signer(m->opt.arg))
        err = svid_issue(m->opt.authority, &l->entry, ttl, ms / 1000, jitter, &svid, why);
    metric_add(m->opt.metrics, M_SVIDS_ISSUED, SVID_X509,
               err == ERR_OK ? RESULT_SUCCESS : RESULT_FAILURE, 0, 1);
    if (err != ERR_OK)
        return err;
    set_svid(m, l, svid);
    backoff_reset(&l->backoff);
    set_due(m, l, svid->renew_at * 1000);
    return ERR_OK;
}

/* Keeps the old SVID while it is valid; looks again at the next try or at its end. */
static void renewal_failed(struct minter *m, struct live *l, int64_t ms)
{
    uint64_t random;
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
    if (mint(m, l, ms, &why) == ERR_OK) {
        tell(m, l);
        return;
    }
    note_failure(failures, l, &why);
    bool ran_out = l->svid != NULL && !is_valid(l->svid, ms);
    if (ran_out)
        set_svid(m, l, NULL);
    renewal_failed(m, l, ms);
    if (ran_out || l->is_untold)
        tell(m, l);
}

/* The clock went back: due times count anew, what is not valid yet is minted anew. */
static void look_at_clock(struct minter *m, int64_t ms)
{
    bool went_back = ms + CLOCK_SLACK_MS < m->last_ms;
    m->last_ms = ms;
    if (!went_back)
        return;
    for (size_t i = 0; i < m->count; i++) {
        struct live *l = m->heap[i];
        if (!l->is_gone)
            l->due_ms = is_valid(l->svid, ms) ? l->svid->renew_at * 1000 : ms;
    }
    heap_rebuild(m);
}

void minter_check(struct minter *m)
{
    if (m->is_closing || m->is_busy)
        return;
    struct failures failures = {0};
    int64_t ms = now_ms(m);
    look_at_clock(m, ms);
    m->is_busy = true;
    for (size_t i = 0; i < MINTER_BATCH && !m->is_closing; i++) {
        if (m->count == 0 || m->heap[0]->due_ms > ms)
            break;
        renew(m, m->heap[0], ms, &failures);
    }
    if (m->has_told && m->opt.on_settled != NULL)
        m->opt.on_settled(m->opt.arg);
    m->is_busy = m->has_told = false;
    if (failures.count > 0)
        log_warn("svid_renewal_failed", log_str("spiffe_id", failures.first),
                 log_int("entries", failures.count), log_err("reason", failures.why.err),
                 log_str("cause", why_text(&failures.why)),
                 log_str("next", "keeping what is valid, trying again within a minute"));
    if (m->has_unused)
        remove_unused(m);
    arm(m);
}

void minter_retry(struct minter *m)
{
    int64_t ms = now_ms(m);
    for (size_t i = 0; i < m->count; i++) {
        struct live *l = m->heap[i];
        if (!l->is_gone && (l->svid == NULL || ms >= l->svid->renew_at * 1000))
            l->due_ms = ms;
    }
    heap_rebuild(m);
    minter_check(m);
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
    err = mint(m, l, ms, why);
    if (err != ERR_OK)
        renewal_failed(m, l, ms);
    l->is_untold = l->subscribers > 0 && (err == ERR_OK || !same_id);
    if (err == ERR_OK && l->is_untold)
        set_due(m, l, ms);
    return err;
}

err_t minter_acquire(struct minter *m, const struct entry *e, struct svid **ret, struct why *why)
{
    assert(!m->is_closing);
    int64_t ms = now_ms(m);
    struct live *l = *slot(m, e->id);
    err_t err = ERR_OK;
    if (l == NULL)
        err = live_new(m, e, &l);
    if (err != ERR_OK)
        return why_set(why, err, "no memory for an SVID");
    if (!is_current(l, e, ms))
        err = mint_for(m, l, e, ms, why);
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
    struct live *l = *slot(m, entry_id);
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
    for (size_t i = 0; i < m->count; i++) {
        struct live *l = m->heap[i];
        const struct entry *e = entries_find(entries, l->entry.id);
        if (e != NULL)
            entry_changed(m, l, e, ms);
        else
            entry_gone(m, l);
    }
    heap_rebuild(m);
    minter_check(m);
}

void minter_set_ttl(struct minter *m, int64_t x509_ttl_s)
{
    m->opt.x509_ttl_s = x509_ttl_s;
}

void minter_each(struct minter *m,
                 void (*fn)(void *arg, const struct svid *s, unsigned subscribers), void *arg)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->heap[i]->svid != NULL)
            fn(arg, m->heap[i]->svid, m->heap[i]->subscribers);
}

int64_t minter_min_not_after(const struct minter *m)
{
    int64_t first = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct svid *s = m->heap[i]->svid;
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
    struct live **buckets = mem_array(BUCKETS_FIRST, sizeof *buckets);
    if (m == NULL || buckets == NULL) {
        mem_free(m);
        mem_free(buckets);
        return why_set(why, ERR_NO_MEMORY, "no memory for the minter");
    }
    m->opt = *opt;
    if (m->opt.wall_ms == NULL)
        m->opt.wall_ms = clock_wall_ms;
    m->buckets = buckets;
    m->bucket_count = BUCKETS_FIRST;
    m->last_ms = now_ms(m);
    uv_timer_init(loop, &m->timer);
    m->timer.data = m;
    *ret = m;
    return ERR_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct minter *m = handle->data;
    void (*closed)(void *arg) = m->closed;
    void *arg = m->closed_arg;
    for (size_t i = 0; i < m->count; i++)
        live_free(m, m->heap[i]);
    mem_free(m->heap);
    mem_free(m->buckets);
    mem_free(m);
    closed(arg);
}

void minter_close(struct minter *m, void (*done)(void *arg), void *arg)
{
    if (m->is_closing)
        return;
    m->is_closing = true;
    m->closed = done;
    m->closed_arg = arg;
    uv_close((uv_handle_t *)&m->timer, on_closed);
}
