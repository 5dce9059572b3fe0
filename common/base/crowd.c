#include "common/base/crowd.h"

#include "common/base/mem.h"

#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#define BUCKETS_FIRST 16 /* a power of two, as all that follow */

enum source_kind { SOURCE_NONE, SOURCE_IPV4, SOURCE_IPV6, SOURCE_USER };

/* What one source has; there as long as it has something. */
struct crowd_group {
    struct crowd_source source;
    struct crowd_group *next; /* in its bucket */
    struct age {              /* [0]: not answered yet, [1]: answered */
        struct crowd_member *oldest, *newest;
        size_t count;
    } by_age[2];
    size_t count, at; /* at: in the heap */
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

static struct crowd_group **bucket_of(const struct crowd *t, const struct crowd_source *source)
{
    uint64_t x = source->value ^ ((uint64_t)source->kind << 56) ^ t->seed;
    x = (x ^ (x >> 33)) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ (x >> 33) ^ t->seed) * UINT64_C(0xc4ceb9fe1a85ec53);
    return &t->buckets[(x ^ (x >> 33)) & (t->bucket_count - 1)];
}

static struct crowd_group *find(const struct crowd *t, const struct crowd_source *source)
{
    if (t->bucket_count == 0)
        return NULL;
    struct crowd_group *g = *bucket_of(t, source);
    while (g != NULL && (g->source.value != source->value || g->source.kind != source->kind))
        g = g->next;
    return g;
}

/* --- the heap: on top who makes room first ---------------------------------------------------- */

static struct crowd_member *first_in(const struct crowd_group *g)
{
    return g->by_age[g->by_age[1].count > g->by_age[0].count].oldest;
}

static bool goes_before(const struct crowd_group *a, const struct crowd_group *b)
{
    return a->count > b->count ||
           (a->count == b->count && first_in(a)->number < first_in(b)->number);
}

static void put(struct crowd *t, struct crowd_group *g, size_t at)
{
    t->heap[at] = g;
    g->at = at;
}

static void settle(struct crowd *t, struct crowd_group *g)
{
    size_t at = g->at;
    for (; at > 0 && goes_before(g, t->heap[(at - 1) / 2]); at = (at - 1) / 2)
        put(t, t->heap[(at - 1) / 2], at);
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < t->groups && goes_before(t->heap[child + 1], t->heap[child]))
            child++;
        if (child >= t->groups || !goes_before(t->heap[child], g))
            break;
        put(t, t->heap[child], at);
        at = child;
    }
    put(t, g, at);
}

/* --- groups ----------------------------------------------------------------------------------- */

/* More buckets make it quicker, nothing else: without memory it goes on as it is. */
static void spread(struct crowd *t)
{
    size_t count = t->bucket_count > 0 ? 2 * t->bucket_count : BUCKETS_FIRST;
    if (t->groups < t->bucket_count)
        return;
    struct crowd_group **buckets = mem_array(count, sizeof(struct crowd_group *));
    if (buckets == NULL)
        return;
    mem_free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = count;
    for (size_t i = 0; i < t->groups; i++) {
        struct crowd_group **bucket = bucket_of(t, &t->heap[i]->source);
        t->heap[i]->next = *bucket;
        *bucket = t->heap[i];
    }
}

static bool has_room(struct crowd *t)
{
    if (t->groups < t->heap_room)
        return true;
    size_t room = t->heap_room > 0 ? 2 * t->heap_room : BUCKETS_FIRST;
    struct crowd_group **heap = mem_resize(t->heap, room * sizeof(struct crowd_group *));
    if (heap == NULL)
        return false;
    t->heap = heap;
    t->heap_room = room;
    return true;
}

/* Without a newcomer yet, so not in order. */
static struct crowd_group *group_new(struct crowd *t, const struct crowd_source *source)
{
    spread(t);
    if (t->bucket_count == 0 || !has_room(t))
        return NULL;
    struct crowd_group *g = mem_alloc(sizeof *g);
    if (g == NULL)
        return NULL;
    struct crowd_group **bucket = bucket_of(t, source);
    g->source = *source;
    g->next = *bucket;
    *bucket = g;
    put(t, g, t->groups++);
    return g;
}

static void shrink(struct crowd *t)
{
    mem_free(t->buckets);
    mem_free(t->heap);
    t->buckets = t->heap = NULL;
    t->bucket_count = t->heap_room = 0;
}

static void group_free(struct crowd *t, struct crowd_group *g)
{
    struct crowd_group **at = bucket_of(t, &g->source);
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    struct crowd_group *last = t->heap[--t->groups];
    if (last != g) {
        put(t, last, g->at);
        settle(t, last);
    }
    mem_free(g);
    if (t->groups == 0 && t->bucket_count > BUCKETS_FIRST)
        shrink(t); /* what a flood took */
}

/* --- members ---------------------------------------------------------------------------------- */

void crowd_done(struct crowd *t)
{
    assert(t->count == 0);
    shrink(t);
}

static void append(struct crowd *t, struct crowd_group *g, struct crowd_member *n, bool answered)
{
    struct age *age = &g->by_age[answered];
    *n = (struct crowd_member){
        .older = age->newest, .group = g, .number = t->next_number++, .answered = answered};
    if (age->newest != NULL)
        age->newest->newer = n;
    else
        age->oldest = n;
    age->newest = n;
    age->count++;
}

static void take_out(struct crowd_member *n)
{
    struct age *age = &n->group->by_age[n->answered];
    age->count--;
    if (n->older != NULL)
        n->older->newer = n->newer;
    else
        age->oldest = n->newer;
    if (n->newer != NULL)
        n->newer->older = n->older;
    else
        age->newest = n->older;
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
    settle(t, g);
    return ERR_OK;
}

void crowd_answered(struct crowd *t, struct crowd_member *n)
{
    struct crowd_group *g = n->group;
    if (g == NULL || n->answered)
        return;
    take_out(n);
    append(t, g, n, true);
    settle(t, g);
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
        settle(t, g);
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
    return t->groups > 0 ? first_in(t->heap[0]) : NULL;
}
