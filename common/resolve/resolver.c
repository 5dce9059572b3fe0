/* One lock guards everything that more than one thread sees: the cache, the jobs' lists of asks,
 * the desks' lists of answers. It is held for copies of pointers, never over a call out. */
#include "common/resolve/resolver.h"

#include "common/base/clock.h"
#include "common/base/mem.h"

#include <netinet/in.h>
#include <pthread.h>
#include <string.h>

struct name_job {               /* a look-up, from the first who wants it until it has ended */
    TAILQ_ENTRY(name_job) link; /* of the queue, or of those running */
    struct resolver *resolver;
    struct name_entry *entry;
    struct name_lookup *lookup; /* NULL: not started; loop thread */
    uv_timer_t patience;        /* from the start on; loop thread */
    uint64_t since_ns;
    struct resolver_asks asks;
    struct ip_list *part; /* counted; what is told until the end, or NULL */
    bool part_is_stale;
};
TAILQ_HEAD(name_jobs, name_job);

struct resolver {
    uv_loop_t *loop;
    struct resolver_options options;
    struct ip_list *loopbacks;
    pthread_mutex_t lock;
    struct name_cache cache;
    struct name_jobs queued, running;
    size_t queued_count, running_count, waiting;
    uv_async_t bell; /* something is queued */
    bool closing;
    unsigned skip; /* servers that gave no answer, asked last now; loop thread */
};

static int64_t clock_now_ms(void)
{
    return (int64_t)(clock_mono_ns() / 1000000u);
}

/* --- telling ---------------------------------------------------------------------------------- */

static void tell_answers(struct resolver *r, enum resolver_source source, size_t count)
{
    if (r->options.watch.on_answer != NULL && count > 0)
        r->options.watch.on_answer(r->options.watch.arg, source, count);
}

static void tell_bound(struct resolver *r, enum resolver_bound bound, const char *name)
{
    if (r->options.watch.on_bound != NULL)
        r->options.watch.on_bound(r->options.watch.arg, bound, name);
}

static struct name_answer answer_of(enum name_result result, struct ip_list *list, bool last)
{
    struct name_answer a = {.result = result, .last = last};
    if (result == NAME_OK)
        a.list = ip_list_ref(list);
    return a;
}

/* Lays the answer at the ask's desk, in place of one that lies there. Locked. */
static void deliver(struct resolver_ask *a, struct name_answer answer)
{
    struct resolver_desk *d = a->desk;
    ip_list_unref(a->answer.list);
    a->answer = answer;
    if (!TAILQ_IS_IN(a, in_desk))
        TAILQ_INSERT_TAIL(&d->ready, a, in_desk);
    uv_async_send(&d->bell);
}

static void leave_job(struct resolver *r, struct resolver_ask *a)
{
    TAILQ_REMOVE(&a->job->asks, a, in_job);
    a->job = NULL;
    r->waiting--;
}

/* Locked. How many were told something for the first time. */
static size_t deliver_all(struct name_job *job, enum name_result result, struct ip_list *list,
                          bool last)
{
    size_t count = 0;
    struct resolver_ask *a, *next;
    TAILQ_FOREACH_SAFE(a, &job->asks, in_job, next) {
        count += !a->told;
        a->told = true;
        if (last)
            leave_job(job->resolver, a);
        deliver(a, answer_of(result, list, last));
    }
    return count;
}

/* --- a look-up's life ------------------------------------------------------------------------- */

static void on_patience_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

/* The job has left all lists; nobody waits for it. */
static void free_job(struct name_job *job, bool started)
{
    ip_list_unref(job->part);
    if (started)
        uv_close((uv_handle_t *)&job->patience, on_patience_closed);
    else
        mem_free(job);
}

static void start_queued(struct resolver *r);

/* Takes the outcome into the cache and tells everybody. `list` is counted and taken over. */
static void finish_job(struct name_job *job, enum name_result result, struct ip_list *list,
                       uint32_t ttl_s, bool started)
{
    struct resolver *r = job->resolver;
    struct name_entry *e = job->entry;
    char name[DNS_NAME_SIZE];
    int64_t now = r->options.now_ms();
    pthread_mutex_lock(&r->lock);
    memcpy(name, e->name, sizeof name);
    name_entry_answered(e, result, list, ttl_s, now);
    e->job = NULL;
    TAILQ_REMOVE(&r->running, job, link);
    r->running_count--;
    bool turned = e->failing != (result != NAME_OK);
    e->failing = result != NAME_OK;
    bool stale = result != NAME_OK && name_entry_has_stale(e, now);
    size_t told = deliver_all(job, stale ? NAME_OK : result, e->list, true);
    pthread_mutex_unlock(&r->lock);

    const struct resolver_watch *w = &r->options.watch;
    if (w->on_lookup != NULL)
        w->on_lookup(w->arg, name, result, clock_mono_ns() - job->since_ns);
    if (w->on_turn != NULL && turned)
        w->on_turn(w->arg, name, result, stale);
    enum resolver_source source = stale ? RESOLVER_STALE : RESOLVER_NONE;
    tell_answers(r, result == NAME_OK ? RESOLVER_LOOKUP : source, told);
    free_job(job, started);
    start_queued(r);
}

/* What there is for those who wait no longer: the list is not counted. */
static void give_part(struct name_job *job, struct ip_list *list, bool stale)
{
    struct resolver *r = job->resolver;
    pthread_mutex_lock(&r->lock);
    ip_list_unref(job->part);
    job->part = ip_list_ref(list);
    job->part_is_stale = stale;
    size_t told = deliver_all(job, NAME_OK, list, false);
    pthread_mutex_unlock(&r->lock);
    tell_answers(r, stale ? RESOLVER_STALE : RESOLVER_LOOKUP, told);
}

static void on_patience(uv_timer_t *timer)
{
    struct name_job *job = timer->data;
    struct resolver *r = job->resolver;
    pthread_mutex_lock(&r->lock);
    bool has = job->part == NULL && name_entry_has_stale(job->entry, r->options.now_ms());
    struct ip_list *old = has ? ip_list_ref(job->entry->list) : NULL;
    pthread_mutex_unlock(&r->lock);
    if (has)
        give_part(job, old, true);
    ip_list_unref(old);
}

static void on_found(void *arg, const struct name_found *found)
{
    struct name_job *job = arg;
    struct resolver *r = job->resolver;
    r->skip += found->part ? 0 : found->passed;
    if (found->left_out > 0 && !found->part)
        tell_bound(r, RESOLVER_BOUND_ADDRESSES, job->entry->name);
    if (found->part)
        give_part(job, found->list, false);
    else
        finish_job(job, found->result, found->list != NULL ? ip_list_ref(found->list) : NULL,
                   found->ttl_s, true);
}

static void start_job(struct name_job *job)
{
    struct resolver *r = job->resolver;
    struct name_lookup_options options = r->options.lookup;
    struct why ignored;
    options.skip = r->skip;
    uv_timer_init(r->loop, &job->patience);
    job->patience.data = job;
    if (name_lookup_start(r->loop, job->entry->name, &options, on_found, job, &job->lookup,
                          &ignored) != ERR_OK) {
        finish_job(job, NAME_FAILED, NULL, 0, true);
        return;
    }
    uv_timer_start(&job->patience, on_patience, RESOLVER_PATIENCE_MS, 0);
}

/* Loop thread. */
static void start_queued(struct resolver *r)
{
    for (;;) {
        pthread_mutex_lock(&r->lock);
        struct name_job *job =
            r->running_count < RESOLVER_LOOKUPS_MAX ? TAILQ_FIRST(&r->queued) : NULL;
        if (job != NULL) {
            TAILQ_REMOVE(&r->queued, job, link);
            TAILQ_INSERT_TAIL(&r->running, job, link);
            r->queued_count--;
            r->running_count++;
        }
        pthread_mutex_unlock(&r->lock);
        if (job == NULL)
            return;
        start_job(job);
    }
}

/* --- asks ------------------------------------------------------------------------------------- */

/* Puts a look-up of the entry into the queue. Locked. */
static struct name_job *queue_job(struct resolver *r, struct name_entry *e)
{
    struct name_job *job = mem_alloc(sizeof *job);
    if (job == NULL)
        return NULL;
    job->resolver = r;
    job->entry = e;
    job->since_ns = clock_mono_ns();
    TAILQ_INIT(&job->asks);
    TAILQ_INSERT_TAIL(&r->queued, job, link);
    r->queued_count++;
    e->job = job;
    uv_async_send(&r->bell);
    return job;
}

/* What an ask comes to under the lock; what is to be told of it outside. */
struct outcome {
    struct name_answer answer;
    bool answered, has_bound;
    enum resolver_source source;
    enum resolver_bound bound;
};

static struct outcome denied(enum name_result why)
{
    return (struct outcome){
        .answer = {.result = why, .last = true}, .answered = true, .source = RESOLVER_NONE};
}

static struct outcome denied_by(enum resolver_bound bound)
{
    struct outcome o = denied(NAME_LIMIT);
    o.has_bound = true;
    o.bound = bound;
    return o;
}

static struct outcome wait_for_job(struct resolver *r, struct name_entry *e, struct resolver_ask *a)
{
    if (r->waiting >= RESOLVER_ASKS_MAX)
        return denied_by(RESOLVER_BOUND_WAITING);
    bool full = e->job == NULL && r->running_count >= RESOLVER_LOOKUPS_MAX;
    struct name_job *job = e->job != NULL ? e->job : queue_job(r, e);
    if (job == NULL)
        return denied(NAME_FAILED);
    a->job = job;
    TAILQ_INSERT_TAIL(&job->asks, a, in_job);
    r->waiting++;
    struct outcome o = {.has_bound = full, .bound = RESOLVER_BOUND_LOOKUPS};
    if (job->part != NULL) {
        a->told = o.answered = true;
        o.answer = answer_of(NAME_OK, job->part, false);
        o.source = job->part_is_stale ? RESOLVER_STALE : RESOLVER_LOOKUP;
    }
    return o;
}

static struct outcome decide(struct resolver *r, const char *name, struct resolver_ask *a)
{
    if (r->closing)
        return (struct outcome){.answered = false};
    struct name_entry *e = name_cache_find(&r->cache, name);
    if (e == NULL)
        return denied_by(RESOLVER_BOUND_NAMES);
    int64_t now = r->options.now_ms();
    enum name_use use = name_entry_use(e, now);
    if (use == NAME_WAIT)
        return wait_for_job(r, e, a);
    if (use == NAME_DENY)
        return denied(e->last);
    if (use == NAME_REFRESH && e->job == NULL)
        (void)queue_job(r, e); /* no memory: the next one tries again */
    return (struct outcome){.answer = answer_of(NAME_OK, e->list, true),
                            .answered = true,
                            .source = now < e->fresh_until ? RESOLVER_CACHE : RESOLVER_STALE};
}

bool resolver_ask(struct resolver_desk *d, struct resolver_ask *a, const char *name,
                  resolver_done done, void *arg, struct name_answer *ret)
{
    struct resolver *r = d->resolver;
    *a = (struct resolver_ask){.desk = d, .done = done, .arg = arg};
    if (r == NULL) {
        *ret = (struct name_answer){.result = NAME_FAILED, .last = true};
        return true;
    }
    if (dns_name_is_localhost(name)) {
        *ret = answer_of(NAME_OK, r->loopbacks, true);
        return true;
    }
    pthread_mutex_lock(&r->lock);
    struct outcome o = decide(r, name, a);
    pthread_mutex_unlock(&r->lock);
    if (o.has_bound)
        tell_bound(r, o.bound, name);
    if (o.answered) {
        tell_answers(r, o.source, 1);
        *ret = o.answer;
    }
    return o.answered;
}

void resolver_forget(struct resolver_ask *a)
{
    struct resolver *r = a->desk != NULL ? a->desk->resolver : NULL;
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    if (a->job != NULL)
        leave_job(r, a);
    TAILQ_LEAVE(&a->desk->ready, a, in_desk);
    pthread_mutex_unlock(&r->lock);
    ip_list_unref(a->answer.list);
    a->answer.list = NULL;
    a->desk = NULL;
}

/* --- desks ------------------------------------------------------------------------------------ */

/* False: nothing lies there. The ask may be gone once its done has been called. */
static bool hand_over_one(struct resolver_desk *d)
{
    struct resolver *r = d->resolver;
    pthread_mutex_lock(&r->lock);
    struct resolver_ask *a = TAILQ_FIRST(&d->ready);
    struct name_answer answer = {.result = NAME_FAILED};
    if (a != NULL) {
        TAILQ_LEAVE(&d->ready, a, in_desk);
        answer = a->answer;
        a->answer.list = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    if (a != NULL)
        a->done(a->arg, answer);
    return a != NULL;
}

static void on_desk_bell(uv_async_t *bell)
{
    struct resolver_desk *d = bell->data;
    while (hand_over_one(d)) {
    }
}

err_t resolver_desk_open(struct resolver_desk *d, struct resolver *r, uv_loop_t *loop,
                         struct why *why)
{
    *d = (struct resolver_desk){.resolver = r};
    TAILQ_INIT(&d->ready);
    if (r == NULL)
        return ERR_OK;
    if (uv_async_init(loop, &d->bell, on_desk_bell) != 0)
        return why_set(why, ERR_NO_MEMORY, "desk of the resolver");
    d->bell.data = d;
    d->open = true;
    return ERR_OK;
}

void resolver_desk_close(struct resolver_desk *d)
{
    if (d->open)
        uv_close((uv_handle_t *)&d->bell, NULL);
    d->open = false;
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_bell(uv_async_t *bell)
{
    start_queued(bell->data);
}

err_t resolver_new(uv_loop_t *loop, const struct resolver_options *options, struct resolver **ret,
                   struct why *why)
{
    const struct in_addr v4 = {.s_addr = htonl(INADDR_LOOPBACK)};
    const struct ip loopbacks[] = {ip_of(AF_INET6, &in6addr_loopback), ip_of(AF_INET, &v4)};
    struct resolver *r = mem_alloc(sizeof *r);
    struct ip_list *list = ip_list_new(loopbacks, 2);
    if (r == NULL || list == NULL || uv_async_init(loop, &r->bell, on_bell) != 0) {
        mem_free(r);
        ip_list_unref(list);
        return why_set(why, ERR_NO_MEMORY, "resolver");
    }
    r->bell.data = r;
    r->loop = loop;
    r->options = *options;
    r->loopbacks = list;
    if (r->options.now_ms == NULL)
        r->options.now_ms = clock_now_ms;
    name_cache_init(&r->cache);
    TAILQ_INIT(&r->queued);
    TAILQ_INIT(&r->running);
    pthread_mutex_init(&r->lock, NULL);
    *ret = r;
    return ERR_OK;
}

/* The next job to be ended, its asks left alone; NULL: none. */
static struct name_job *cancel_next(struct resolver *r)
{
    pthread_mutex_lock(&r->lock);
    struct name_job *job = TAILQ_FIRST(&r->running);
    struct name_jobs *jobs = job != NULL ? &r->running : &r->queued;
    job = TAILQ_FIRST(jobs);
    if (job != NULL) {
        TAILQ_REMOVE(jobs, job, link);
        job->entry->job = NULL;
        while (!TAILQ_EMPTY(&job->asks))
            leave_job(r, TAILQ_FIRST(&job->asks));
    }
    pthread_mutex_unlock(&r->lock);
    return job;
}

void resolver_close(struct resolver *r)
{
    if (r == NULL || r->closing)
        return;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_mutex_unlock(&r->lock);
    for (struct name_job *job = cancel_next(r); job != NULL; job = cancel_next(r)) {
        bool started = job->lookup != NULL;
        if (started)
            name_lookup_cancel(job->lookup);
        free_job(job, started);
    }
    r->running_count = r->queued_count = 0;
    uv_close((uv_handle_t *)&r->bell, NULL);
}

void resolver_free(struct resolver *r)
{
    if (r == NULL)
        return;
    name_cache_done(&r->cache);
    ip_list_unref(r->loopbacks);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

struct resolver_counts resolver_counts(struct resolver *r)
{
    pthread_mutex_lock(&r->lock);
    struct resolver_counts c = {.names = r->cache.map.count,
                                .running = r->running_count,
                                .queued = r->queued_count,
                                .waiting = r->waiting};
    int64_t now = r->options.now_ms();
    const struct name_entry *e;
    TAILQ_FOREACH(e, &r->cache.entries, in_use)
        c.failing += e->failing && now - e->retry_at < RESOLVER_FAILING_MS;
    pthread_mutex_unlock(&r->lock);
    return c;
}
