#include "agent/attest/name_cache.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/loop/closing.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT_MS = 60 * 1000,
    KEPT_AFTER_FAILURE_MS = 5 * 1000,
    RECORD_FIRST = 4 * 1024,
    RECORD_MAX = 1024 * 1024, /* a group with very many members */
    BATCH_MAX = 16 * 1024,    /* ids; one waiter may go past it */
};

struct name {
    struct map_node in_names;
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

TAILQ_HEAD(name_waiters, name_waiter);

struct name_cache {
    uv_loop_t *loop;
    struct map names;            /* owned; by id */
    struct name_waiters waiting; /* for a later batch, oldest first */
    struct name_waiters served;  /* by the batch under way */
    struct batch *batch;
    struct closing closing; /* held by a work, and while waiters are called */
};

/* The thread pool's part. */

/* getpwuid_r and getgrgid_r with a buffer that fits. 0, or an errno value. */
static int answer_ask_once(struct name_id id, char *room, size_t size, char **ret_text)
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

static void answer_ask(struct answer *a)
{
    int code = ERANGE;
    for (size_t size = RECORD_FIRST; code == ERANGE && size <= RECORD_MAX; size *= 4) {
        char *room = mem_alloc(size);
        code = room != NULL ? answer_ask_once(a->id, room, size, &a->text) : ENOMEM;
        mem_free(room);
    }
    a->failed = code != 0;
}

static void on_work(uv_work_t *work)
{
    struct batch *b = work->data;
    for (size_t i = 0; i < b->count; i++)
        answer_ask(&b->answers[i]);
}

/* The cache. */

static uint32_t hash_of(struct name_id id)
{
    return map_hash_more(id.is_group, slice_of(&id.id, sizeof id.id));
}

static bool name_id_eq(struct name_id a, struct name_id b)
{
    return a.id == b.id && a.is_group == b.is_group;
}

static bool name_is(const void *name, const void *id)
{
    return name_id_eq(((const struct name *)name)->id, *(const struct name_id *)id);
}

static struct name *name_cache_lookup(const struct name_cache *c, struct name_id id)
{
    return map_find(&c->names, hash_of(id), &id);
}

static void name_cache_forget_all(struct name_cache *c)
{
    struct name *n, *next;
    MAP_FOREACH_SAFE(n, &c->names, next) {
        mem_free(n->text);
        mem_free(n);
    }
    map_done(&c->names);
}

static struct name *name_cache_add(struct name_cache *c, struct name_id id)
{
    if (c->names.count >= NAME_CACHE_MAX)
        name_cache_forget_all(c);
    struct name *n = mem_alloc(sizeof *n);
    if (n == NULL)
        return NULL;
    n->id = id;
    if (map_add(&c->names, n, hash_of(id)) == ERR_OK)
        return n;
    mem_free(n);
    return NULL;
}

/* Takes the answer's text. */
static void name_cache_keep(struct name_cache *c, struct answer *a)
{
    struct name *n = name_cache_lookup(c, a->id);
    if (n == NULL)
        n = name_cache_add(c, a->id);
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
    const struct name *n = name_cache_lookup(c, id);
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

static void batch_gather(struct batch *b)
{
    const char *known;
    const struct name_waiter *w;
    TAILQ_FOREACH(w, &b->cache->served, link)
        for (size_t i = 0; i < w->count; i++)
            if (!name_cache_find(b->cache, w->ids[i], &known))
                b->answers[b->count++].id = w->ids[i];
    qsort(b->answers, b->count, sizeof *b->answers, by_id);
    size_t unique = 0;
    for (size_t i = 0; i < b->count; i++)
        if (unique == 0 || !name_id_eq(b->answers[unique - 1].id, b->answers[i].id))
            b->answers[unique++] = b->answers[i];
    b->count = unique;
}

/* For those that are served. */
static struct batch *batch_new(struct name_cache *c)
{
    size_t count = 0;
    const struct name_waiter *w;
    TAILQ_FOREACH(w, &c->served, link)
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
    batch_gather(b);
    return b;
}

/* Each done may wait anew or cancel others, so the list is taken one by one. */
static void name_cache_tell_served(struct name_cache *c, err_t err)
{
    for (struct name_waiter *w; (w = TAILQ_FIRST(&c->served)) != NULL;) {
        TAILQ_LEAVE(&c->served, w, link);
        w->done(w->arg, err);
    }
}

static void name_cache_free(void *arg)
{
    name_cache_forget_all(arg);
    mem_free(arg);
}

/* Moves the oldest waiters over, as many as one batch may have. */
static void name_cache_serve_oldest(struct name_cache *c)
{
    struct name_waiter *w;
    for (size_t count = 0; count < BATCH_MAX && (w = TAILQ_FIRST(&c->waiting)) != NULL;) {
        count += w->count;
        TAILQ_REMOVE(&c->waiting, w, link);
        TAILQ_INSERT_TAIL(&c->served, w, link);
        w->is_served = true;
    }
}

static void after_work(uv_work_t *work, int status);

/* Starts the next batch. */
static void name_cache_start(struct name_cache *c)
{
    closing_hold(&c->closing);
    while (c->batch == NULL && !TAILQ_EMPTY(&c->waiting) && TAILQ_EMPTY(&c->served)) {
        name_cache_serve_oldest(c);
        c->batch = batch_new(c);
        if (c->batch != NULL) {
            int code = uv_queue_work(c->loop, &c->batch->work, on_work, after_work);
            assert(code == 0);
            (void)code; /* fails without a callback only */
            closing_hold(&c->closing);
            break;
        }
        name_cache_tell_served(c, ERR_NO_MEMORY);
    }
    closing_drop(&c->closing);
}

static void batch_ended(struct name_cache *c)
{
    for (size_t i = 0; i < c->batch->count; i++)
        name_cache_keep(c, &c->batch->answers[i]);
    batch_free(c->batch);
    c->batch = NULL;
    name_cache_tell_served(c, ERR_OK);
    name_cache_start(c);
    closing_drop(&c->closing);
}

void name_cache_wait(struct name_cache *c, struct name_waiter *w)
{
    assert(!c->closing.begun);
    w->is_served = false;
    TAILQ_INSERT_TAIL(&c->waiting, w, link);
    name_cache_start(c);
}

void name_cache_cancel(struct name_cache *c, struct name_waiter *w)
{
    TAILQ_LEAVE(w->is_served ? &c->served : &c->waiting, w, link);
}

err_t name_cache_open(uv_loop_t *loop, struct name_cache **ret)
{
    struct name_cache *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->loop = loop;
    c->names = (struct map)MAP_OF(struct name, in_names, name_is);
    TAILQ_INIT(&c->waiting);
    TAILQ_INIT(&c->served);
    *ret = c;
    return ERR_OK;
}

void name_cache_close(struct name_cache *c, void (*done)(void *arg), void *arg)
{
    assert(TAILQ_EMPTY(&c->waiting) && TAILQ_EMPTY(&c->served));
    if (!closing_begin(&c->closing, name_cache_free, c, done, arg))
        return;
    if (c->batch != NULL)
        uv_cancel((uv_req_t *)&c->batch->work);
    closing_drop(closing_hold(&c->closing)); /* the end, if nothing is under way */
}

static void after_work(uv_work_t *work, int status)
{
    struct batch *b = work->data;
    if (status == UV_ECANCELED)
        b->count = 0;
    batch_ended(b->cache);
}
