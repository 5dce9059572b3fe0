#include "sidecar/telemetry/refusals.h"

#include "common/base/mem.h"

#include <pthread.h>
#include <stdio.h>

struct refusals {
    pthread_mutex_t lock;
    struct refusal rows[REFUSALS_MAX]; /* newest first */
    size_t count;
};

struct refusals *refusals_new(void)
{
    struct refusals *r = mem_alloc(sizeof *r);
    if (r != NULL && pthread_mutex_init(&r->lock, NULL) != 0) {
        mem_free(r);
        return NULL;
    }
    return r;
}

void refusals_free(struct refusals *r)
{
    if (r == NULL)
        return;
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

static const char *or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* Without the port: a client has a new one each time. */
static size_t host_len(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon != NULL ? (size_t)(colon - address) : strlen(address);
}

static bool same_host(const char *a, const char *b)
{
    size_t len = host_len(a);
    return len == host_len(b) && memcmp(a, b, len) == 0;
}

static bool is_same(const struct refusal *row, const struct audit_peer *p, err_t reason)
{
    return row->reason == reason && strcmp(row->direction, p->direction) == 0 &&
           strcmp(row->peer, or_empty(p->id)) == 0 && strcmp(row->listen, p->listen) == 0 &&
           same_host(row->address, p->address);
}

/* The row to be filled, in front of all others. */
static struct refusal *to_front(struct refusals *r, const struct audit_peer *p, err_t reason)
{
    size_t i = 0;
    while (i < r->count && !is_same(&r->rows[i], p, reason))
        i++;
    struct refusal row = {.reason = reason};
    if (i < r->count)
        row = r->rows[i];
    else if (r->count < REFUSALS_MAX)
        r->count++;
    else
        i = REFUSALS_MAX - 1;
    memmove(&r->rows[1], &r->rows[0], i * sizeof r->rows[0]);
    r->rows[0] = row;
    return &r->rows[0];
}

void refusals_note(struct refusals *r, const struct audit_peer *p, err_t reason, const char *detail,
                   int64_t now)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    struct refusal *row = to_front(r, p, reason);
    row->direction = p->direction;
    snprintf(row->listen, sizeof row->listen, "%s", p->listen);
    snprintf(row->address, sizeof row->address, "%s", p->address);
    snprintf(row->peer, sizeof row->peer, "%s", or_empty(p->id));
    snprintf(row->serial, sizeof row->serial, "%s", or_empty(p->serial));
    snprintf(row->detail, sizeof row->detail, "%s", or_empty(detail));
    row->first = row->count > 0 ? row->first : now;
    row->last = now;
    row->count++;
    pthread_mutex_unlock(&r->lock);
}

void refusals_each(struct refusals *r, const char *peer,
                   void (*fn)(void *arg, const struct refusal *row), void *arg)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->count; i++)
        if (peer == NULL || strcmp(peer, r->rows[i].peer) == 0)
            fn(arg, &r->rows[i]);
    pthread_mutex_unlock(&r->lock);
}
