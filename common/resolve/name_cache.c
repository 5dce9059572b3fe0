#include "common/resolve/name_cache.h"

#include "common/base/mem.h"

#include <string.h>

/* --- the list --------------------------------------------------------------------------------- */

static void cut_out(struct name_cache *c, struct name_entry *e)
{
    *(e->prev != NULL ? &e->prev->next : &c->first) = e->next;
    *(e->next != NULL ? &e->next->prev : &c->last) = e->prev;
    c->count--;
}

static void put_first(struct name_cache *c, struct name_entry *e)
{
    e->prev = NULL;
    e->next = c->first;
    *(c->first != NULL ? &c->first->prev : &c->last) = e;
    c->first = e;
    c->count++;
}

static void drop(struct name_cache *c, struct name_entry *e)
{
    cut_out(c, e);
    ip_list_unref(e->list);
    mem_free(e);
}

/* False: every name is being looked up. */
static bool make_room(struct name_cache *c)
{
    struct name_entry *e = c->last;
    while (e != NULL && e->job != NULL)
        e = e->prev;
    if (e != NULL)
        drop(c, e);
    return e != NULL;
}

static struct name_entry *add(struct name_cache *c, const char *folded)
{
    if (c->count >= NAME_CACHE_MAX && !make_room(c))
        return NULL;
    struct name_entry *e = mem_alloc(sizeof *e);
    if (e == NULL)
        return NULL;
    memcpy(e->name, folded, strlen(folded) + 1);
    put_first(c, e);
    return e;
}

struct name_entry *name_cache_find(struct name_cache *c, const char *name)
{
    char folded[DNS_NAME_SIZE];
    dns_name_fold(name, folded);
    struct name_entry *e = c->first;
    while (e != NULL && strcmp(e->name, folded) != 0)
        e = e->next;
    if (e == NULL)
        return add(c, folded);
    if (e != c->first) {
        cut_out(c, e);
        put_first(c, e);
    }
    return e;
}

void name_cache_done(struct name_cache *c)
{
    while (c->first != NULL)
        drop(c, c->first);
}

/* --- one entry -------------------------------------------------------------------------------- */

bool name_entry_has_stale(const struct name_entry *e, int64_t now)
{
    return e->list != NULL && now < e->stale_until;
}

/* The first to come after the TTL waits for the newer answer; once one could not be had, nobody
 * waits for the next attempts. */
enum name_use name_entry_use(const struct name_entry *e, int64_t now)
{
    bool may_ask = !e->asked || now >= e->retry_at;
    if (e->list != NULL && now < e->fresh_until)
        return NAME_USE;
    if (e->asked && e->last != NAME_OK && name_entry_has_stale(e, now))
        return may_ask ? NAME_REFRESH : NAME_USE;
    return may_ask ? NAME_WAIT : NAME_DENY;
}

static int64_t believed_ms(uint32_t ttl_s)
{
    int64_t ms = (int64_t)ttl_s * 1000;
    if (ms < NAME_TTL_MIN_MS)
        return NAME_TTL_MIN_MS;
    return ms < NAME_TTL_MAX_MS ? ms : NAME_TTL_MAX_MS;
}

void name_entry_answered(struct name_entry *e, enum name_result result, struct ip_list *list,
                         uint32_t ttl_s, int64_t now)
{
    e->asked = true;
    e->last = result;
    e->retry_at = now + (result == NAME_OK ? 0 : NAME_RETRY_MS);
    if (name_result_is_final(result)) { /* a denial ends the old answer as a newer one does */
        ip_list_unref(e->list);
        e->list = list;
    }
    if (result == NAME_OK) {
        e->fresh_until = now + believed_ms(ttl_s);
        e->stale_until = e->fresh_until + NAME_STALE_MAX_MS;
    }
}
