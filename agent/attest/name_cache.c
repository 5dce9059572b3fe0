#include "agent/attest/name_cache.h"

#include "common/base/mem.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUCKETS = 256,
    KEPT_MS = 60 * 1000,
    KEPT_AFTER_FAILURE_MS = 5 * 1000,
    RECORD_FIRST = 4 * 1024,
    RECORD_MAX = 1024 * 1024, /* a group with very many members */
    BATCH_MAX = 16 * 1024,    /* ids; one waiter may go past it */
};

struct name {
    struct name *next;
    struct name_id id;
    uint64_t until;
    char *text; /* owned; NULL: has none */
};

struct answer {
    struct name_id id;
    char *text; /* owned */
    bool failed;
};

struct batch {
    uv_work_t work;
    struct name_cache *cache;
    struct answer *answers; /* owned */
    size_t count;
};

struct name_cache {
    uv_loop_t *loop;
    struct name *buckets[BUCKETS];
    size_t count;
    struct name_waiter *waiting; /* for a later batch, oldest first */
    struct name_waiter *served;  /* by the batch under way */
    struct batch *batch;
    struct closing closing; /* held by a work, and while waiters are called */
};

/* The thread pool's part. */

/* getpwuid_r and getgrgid_r with a buffer that fits. 0, or an errno value. */
static int ask_once(struct name_id id, char *room, size_t size, char **ret_text)
{
    const char *name = NULL;
    int code;
    if (id.is_group) {
        struct group g, *found = NULL;
        code = getgrgid_r(id.id, &g, room, size, &found);
        name = found != NULL ? g.gr_name : NULL;
    } else {
        struct passwd p, *found = NULL;
        code = getpwuid_r(id.id, &p, room, size, &found);
        name = found != NULL ? p.pw_name : NULL;
    }
    if (name == NULL)
        return code == ENOENT || code == ESRCH ? 0 : code;
    *ret_text = mem_strdup(name);
    return *ret_text != NULL ? 0 : ENOMEM;
}

static void ask(struct answer *a)
{
    int code = ERANGE;
    for (size_t size = RECORD_FIRST; code == ERANGE && size <= RECORD_MAX; size *= 4) {
        char *room = mem_alloc(size);
        code = room != NULL ? ask_once(a->id, room, size, &a->text) : ENOMEM;
        mem_free(room);
    }
    a->failed = code != 0;
}

static void on_work(uv_work_t *work)
{
    struct batch *b = work->data;
    for (size_t i = 0; i < b->count; i++)
        ask(&b->answers[i]);
}

/* The cache. */

static size_t bucket_of(struct name_id id)
{
    return (id.id * 2654435761u + (id.is_group ? 97u : 0u)) % BUCKETS;
}

static bool same(struct name_id a, struct name_id b)
{
    return a.id == b.id && a.is_group == b.is_group;
}

static struct name *lookup(const struct name_cache *c, struct name_id id)
{
    struct name *n = c->buckets[bucket_of(id)];
    while (n != NULL && !same(n->id, id))
        n = n->next;
    return n;
}

static void forget_all(struct name_cache *c)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        struct name *n = c->buckets[i];
        while (n != NULL) {
            struct name *next = n->next;
            mem_free(n->text);
            mem_free(n);
            n = next;
        }
        c->buckets[i] = NULL;
    }
    c->count = 0;
}

static struct name *add(struct name_cache *c, struct name_id id)
{
    if (c->count >= NAME_CACHE_MAX)
        forget_all(c);
    struct name *n = mem_alloc(sizeof *n);
    if (n == NULL)
        return NULL;
    n->id = id;
    n->next = c->buckets[bucket_of(id)];
    c->buckets[bucket_of(id)] = n;
    c->count++;
    return n;
}

/* Takes the answer's text. */
static void keep(struct name_cache *c, struct answer *a)
{
    struct name *n = lookup(c, a->id);
    if (n == NULL)
        n = add(c, a->id);
    if (n == NULL)
        return;
    n->until = uv_now(c->loop) + (a->failed ? KEPT_AFTER_FAILURE_MS : KEPT_MS);
    if (a->failed)
        return;
    mem_free(n->text);
    n->text = a->text;
    a->text = NULL;
}

static void batch_free(struct batch *b)
{
    for (size_t i = 0; b->answers != NULL && i < b->count; i++)
        mem_free(b->answers[i].text);
    mem_free(b->answers);
    mem_free(b);
}

bool name_cache_find(const struct name_cache *c, struct name_id id, const char **ret_name)
{
    const struct name *n = lookup(c, id);
    if (n == NULL || n->until <= uv_now(c->loop))
        return false;
    *ret_name = n->text;
    return true;
}

/* Batches. */

static int by_id(const void *a, const void *b)
{
    const struct answer *x = a, *y = b;
    if (x->id.is_group != y->id.is_group)
        return x->id.is_group ? 1 : -1;
    return x->id.id < y->id.id ? -1 : x->id.id > y->id.id;
}

static void gather(struct batch *b, const struct name_waiter *waiters)
{
    const char *known;
    for (const struct name_waiter *w = waiters; w != NULL; w = w->next)
        for (size_t i = 0; i < w->count; i++)
            if (!name_cache_find(b->cache, w->ids[i], &known))
                b->answers[b->count++].id = w->ids[i];
    qsort(b->answers, b->count, sizeof *b->answers, by_id);
    size_t unique = 0;
    for (size_t i = 0; i < b->count; i++)
        if (unique == 0 || !same(b->answers[unique - 1].id, b->answers[i].id))
            b->answers[unique++] = b->answers[i];
    b->count = unique;
}

static struct batch *batch_new(struct name_cache *c, const struct name_waiter *waiters)
{
    size_t count = 0;
    for (const struct name_waiter *w = waiters; w != NULL; w = w->next)
        count += w->count;
    struct batch *b = mem_alloc(sizeof *b);
    if (b == NULL)
        return NULL;
    b->cache = c;
    b->work.data = b;
    b->answers = mem_array(count, sizeof *b->answers);
    if (b->answers == NULL) {
        mem_free(b);
        return NULL;
    }
    gather(b, waiters);
    return b;
}

/* Each done may wait anew or cancel others, so the list is taken one by one. */
static void tell_served(struct name_cache *c, err_t err)
{
    while (c->served != NULL) {
        struct name_waiter *w = c->served;
        c->served = w->next;
        w->done(w->arg, err);
    }
}

static void cache_free(void *arg)
{
    forget_all(arg);
    mem_free(arg);
}

/* Moves the oldest waiters over, as many as one batch may have. */
static void serve_oldest(struct name_cache *c)
{
    struct name_waiter **tail = &c->served;
    for (size_t count = 0; c->waiting != NULL && count < BATCH_MAX;) {
        struct name_waiter *w = c->waiting;
        c->waiting = w->next;
        count += w->count;
        w->next = NULL;
        *tail = w;
        tail = &w->next;
    }
}

static void after_work(uv_work_t *work, int status);

/* Starts the next batch. */
static void start(struct name_cache *c)
{
    closing_hold(&c->closing);
    while (c->batch == NULL && c->waiting != NULL && c->served == NULL) {
        serve_oldest(c);
        c->batch = batch_new(c, c->served);
        if (c->batch != NULL) {
            int code = uv_queue_work(c->loop, &c->batch->work, on_work, after_work);
            assert(code == 0);
            (void)code; /* fails without a callback only */
            closing_hold(&c->closing);
            break;
        }
        tell_served(c, ERR_NO_MEMORY);
    }
    closing_drop(&c->closing);
}

static void batch_ended(struct name_cache *c)
{
    for (size_t i = 0; i < c->batch->count; i++)
        keep(c, &c->batch->answers[i]);
    batch_free(c->batch);
    c->batch = NULL;
    tell_served(c, ERR_OK);
    start(c);
    closing_drop(&c->closing);
}

void name_cache_wait(struct name_cache *c, struct name_waiter *w)
{
    assert(!c->closing.begun);
    w->next = NULL;
    struct name_waiter **tail = &c->waiting;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = w;
    start(c);
}

static bool unlink_from(struct name_waiter **list, struct name_waiter *w)
{
    for (; *list != NULL; list = &(*list)->next) {
        if (*list == w) {
            *list = w->next;
            return true;
        }
    }
    return false;
}

void name_cache_cancel(struct name_cache *c, struct name_waiter *w)
{
    if (!unlink_from(&c->served, w))
        unlink_from(&c->waiting, w);
}

err_t name_cache_open(uv_loop_t *loop, struct name_cache **ret)
{
    struct name_cache *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->loop = loop;
    *ret = c;
    return ERR_OK;
}

void name_cache_close(struct name_cache *c, void (*done)(void *arg), void *arg)
{
    assert(c->waiting == NULL && c->served == NULL);
    if (!closing_begin(&c->closing, cache_free, c, done, arg))
        return;
    if (c->batch != NULL)
        uv_cancel((uv_req_t *)&c->batch->work);
    start(c); /* nothing: without a batch that is the end */
}

static void after_work(uv_work_t *work, int status)
{
    struct batch *b = work->data;
    if (status == UV_ECANCELED)
        b->count = 0;
    batch_ended(b->cache);
}
