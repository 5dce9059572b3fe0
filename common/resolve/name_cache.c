#include "common/resolve/name_cache.h"

#include "common/base/mem.h"

#include <string.h>

/* --- the cache -------------------------------------------------------------------------------- */

static bool entry_is(const void *entry, const void *name)
{
    return strcmp(((const struct name_entry *)entry)->name, name) == 0;
}

void name_cache_init(struct name_cache *c)
{
    *c = (struct name_cache){.map = MAP_OF(struct name_entry, in_map, entry_is)};
    TAILQ_INIT(&c->entries);
}

static void drop(struct name_cache *c, struct name_entry *e)
{
    map_remove(&c->map, e);
    TAILQ_REMOVE(&c->entries, e, in_use);
    ip_list_unref(e->list);
    mem_free(e);
}

/* False: every name is being looked up. */
static bool make_room(struct name_cache *c)
{
    struct name_entry *e;
    TAILQ_FOREACH_REVERSE(e, &c->entries, name_entries, in_use)
        if (e->job == NULL)
            break;
    if (e != NULL)
        drop(c, e);
    return e != NULL;
}

static struct name_entry *add(struct name_cache *c, const char *folded, uint32_t hash)
{
    if (c->map.count >= NAME_CACHE_MAX && !make_room(c))
        return NULL;
    struct name_entry *e = mem_alloc(sizeof *e);
    if (e == NULL || map_add(&c->map, e, hash) != ERR_OK) {
        mem_free(e);
        return NULL;
    }
    memcpy(e->name, folded, strlen(folded) + 1);
    TAILQ_INSERT_HEAD(&c->entries, e, in_use);
    return e;
}

struct name_entry *name_cache_find(struct name_cache *c, const char *name)
{
    char folded[DNS_NAME_SIZE];
    dns_name_fold(name, folded);
    uint32_t hash = map_hash(slice_str(folded));
    struct name_entry *e = map_find(&c->map, hash, folded);
    if (e == NULL)
        return add(c, folded, hash);
    TAILQ_REMOVE(&c->entries, e, in_use);
    TAILQ_INSERT_HEAD(&c->entries, e, in_use);
    return e;
}

void name_cache_done(struct name_cache *c)
{
    while (!TAILQ_EMPTY(&c->entries))
        drop(c, TAILQ_FIRST(&c->entries));
    map_done(&c->map);
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
