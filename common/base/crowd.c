#include "common/base/crowd.h"

#include "common/base/mem.h"

#include <assert.h>
#include <netinet/in.h>

enum source_kind { SOURCE_NONE, SOURCE_IPV4, SOURCE_IPV6, SOURCE_USER };

/* What one source has; there as long as it has something. */
struct crowd_group {
    struct map_node in_groups;
    struct heap_place in_order;
    uint32_t count;
    struct crowd_source source;
    struct age { /* [0]: not answered yet, [1]: answered; the oldest first */
        TAILQ_HEAD(crowd_age, crowd_member) members;
        size_t count;
    } by_age[2];
};

/* --- sources ---------------------------------------------------------------------------------- */

static struct crowd_source ipv4(const void *address)
{
    uint32_t bits;
    memcpy(&bits, address, sizeof bits);
    return (struct crowd_source){.kind = SOURCE_IPV4, .value = bits};
}

static struct crowd_source ipv6(const struct in6_addr *a)
{
    static const uint8_t translated[12] = {0x00, 0x64, 0xff, 0x9b};
    struct crowd_source source = {.kind = SOURCE_IPV6};
    if (IN6_IS_ADDR_V4MAPPED(a) || memcmp(a, translated, sizeof translated) == 0)
        return ipv4(&a->s6_addr[12]);
    memcpy(&source.value, a, sizeof source.value);
    return source;
}

struct crowd_source crowd_user(uid_t uid)
{
    return (struct crowd_source){.kind = SOURCE_USER, .value = uid};
}

struct crowd_source crowd_source_of(const struct sockaddr_storage *from, uid_t uid)
{
    switch (from->ss_family) {
    case AF_INET:
        return ipv4(&((const struct sockaddr_in *)from)->sin_addr);
    case AF_INET6:
        return ipv6(&((const struct sockaddr_in6 *)from)->sin6_addr);
    case AF_UNIX:
        return crowd_user(uid);
    default:
        return (struct crowd_source){.kind = SOURCE_NONE};
    }
}

/* --- groups ----------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct crowd_source *source)
{
    return map_hash_more(source->kind, slice_of(&source->value, sizeof source->value));
}

static bool group_is(const void *group, const void *key)
{
    const struct crowd_source *a = &((const struct crowd_group *)group)->source, *b = key;
    return a->value == b->value && a->kind == b->kind;
}

static struct crowd_group *find(const struct crowd *t, const struct crowd_source *source)
{
    return map_find(&t->groups, hash_of(source), source);
}

static struct crowd_member *first_in(const struct crowd_group *g)
{
    return TAILQ_FIRST(&g->by_age[g->by_age[1].count > g->by_age[0].count].members);
}

static bool goes_before(const void *one, const void *other)
{
    const struct crowd_group *a = one, *b = other;
    return a->count > b->count ||
           (a->count == b->count && first_in(a)->number < first_in(b)->number);
}

/* Without a newcomer yet, so not in order. */
static struct crowd_group *group_new(struct crowd *t, const struct crowd_source *source)
{
    struct crowd_group *g = mem_alloc(sizeof *g);
    if (g == NULL)
        return NULL;
    g->source = *source;
    TAILQ_INIT(&g->by_age[0].members);
    TAILQ_INIT(&g->by_age[1].members);
    if (heap_add(&t->order, g) == ERR_OK && map_add(&t->groups, g, hash_of(source)) == ERR_OK)
        return g;
    heap_remove(&t->order, g);
    mem_free(g);
    return NULL;
}

static void group_free(struct crowd *t, struct crowd_group *g)
{
    map_remove(&t->groups, g);
    heap_remove(&t->order, g);
    mem_free(g);
}

/* --- members ---------------------------------------------------------------------------------- */

void crowd_init(struct crowd *t)
{
    *t = (struct crowd){.groups = MAP_OF(struct crowd_group, in_groups, group_is),
                        .order = HEAP_OF(struct crowd_group, in_order, goes_before)};
}

void crowd_done(struct crowd *t)
{
    assert(t->count == 0);
    map_done(&t->groups);
    heap_done(&t->order);
}

static void append(struct crowd *t, struct crowd_group *g, struct crowd_member *n, bool answered)
{
    *n = (struct crowd_member){.group = g, .number = t->next_number++, .answered = answered};
    TAILQ_INSERT_TAIL(&g->by_age[answered].members, n, in_age);
    g->by_age[answered].count++;
    heap_moved(&t->order, g);
}

static void take_out(struct crowd_member *n)
{
    struct age *age = &n->group->by_age[n->answered];
    TAILQ_REMOVE(&age->members, n, in_age);
    age->count--;
}

err_t crowd_add(struct crowd *t, const struct crowd_source *source, struct crowd_member *n)
{
    struct crowd_group *g = find(t, source);
    assert(n->group == NULL);
    if (g == NULL)
        g = group_new(t, source);
    if (g == NULL)
        return ERR_NO_MEMORY;
    t->count++;
    g->count++;
    append(t, g, n, false);
    return ERR_OK;
}

void crowd_answered(struct crowd *t, struct crowd_member *n)
{
    struct crowd_group *g = n->group;
    if (g == NULL || n->answered)
        return;
    take_out(n);
    append(t, g, n, true);
}

void crowd_remove(struct crowd *t, struct crowd_member *n)
{
    struct crowd_group *g = n->group;
    if (g == NULL)
        return;
    take_out(n);
    *n = (struct crowd_member){.group = NULL};
    t->count--;
    if (--g->count > 0)
        heap_moved(&t->order, g);
    else
        group_free(t, g);
}

size_t crowd_count_of(const struct crowd *t, const struct crowd_source *source)
{
    const struct crowd_group *g = find(t, source);
    return g != NULL ? g->count : 0;
}

struct crowd_member *crowd_first_of(const struct crowd *t, const struct crowd_source *source)
{
    const struct crowd_group *g = find(t, source);
    return g != NULL ? first_in(g) : NULL;
}

struct crowd_member *crowd_first_to_go(const struct crowd *t)
{
    const struct crowd_group *first = heap_first(&t->order);
    return first != NULL ? first_in(first) : NULL;
}
