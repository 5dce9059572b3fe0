#include "agent/record/record_names.h"

#include "common/base/mem.h"

enum { FIRST = 64 };

static uint32_t hash(struct slice text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a; IDs are the operator's, not a stranger's */
    for (size_t i = 0; i < text.len; i++)
        h = (h ^ text.data[i]) * 1099511628211u;
    return (uint32_t)(h ^ (h >> 32));
}

static struct slice id_of(const struct record_name *name)
{
    return slice_of(name->spiffe_id, name->id_len);
}

static struct record_name *name_new(struct slice id, struct slice entry)
{
    struct record_name *name = mem_alloc(sizeof *name + id.len + 1 + entry.len + 1);
    if (name == NULL)
        return NULL;
    name->in_segment = RECORD_NO_SEGMENT;
    name->id_len = (uint16_t)id.len;
    name->entry_len = (uint16_t)entry.len;
    name->entry_id = name->spiffe_id + id.len + 1;
    if (id.len > 0)
        memcpy(name->spiffe_id, id.data, id.len);
    if (entry.len > 0)
        memcpy(name->entry_id, entry.data, entry.len);
    return name;
}

err_t record_names_init(struct record_names *n)
{
    struct record_names names = {.count = 1, .cap = FIRST, .bucket_count = FIRST};
    names.items = mem_array(FIRST, sizeof *names.items);
    names.gone = mem_array(FIRST, sizeof *names.gone);
    names.buckets = mem_array(FIRST, sizeof *names.buckets);
    if (names.items != NULL)
        names.items[0] = name_new(slice_str(""), slice_str(""));
    if (names.gone == NULL || names.buckets == NULL || names.items == NULL ||
        names.items[0] == NULL) {
        record_names_done(&names);
        return ERR_NO_MEMORY;
    }
    *n = names;
    return ERR_OK;
}

void record_names_done(struct record_names *n)
{
    for (uint32_t i = 0; n->items != NULL && i < n->count; i++)
        mem_free(n->items[i]);
    mem_free(n->items);
    mem_free(n->gone);
    mem_free(n->buckets);
    *n = (struct record_names){0};
}

struct record_name *record_names_at(const struct record_names *n, uint32_t name)
{
    return n->items[name];
}

static uint32_t *bucket(const struct record_names *n, struct slice id)
{
    return &n->buckets[hash(id) & (n->bucket_count - 1)];
}

uint32_t record_names_find(const struct record_names *n, struct slice spiffe_id, uint32_t after)
{
    uint32_t at = after != 0 ? n->items[after]->next : *bucket(n, spiffe_id);
    while (at != 0 && !slice_eq(id_of(n->items[at]), spiffe_id))
        at = n->items[at]->next;
    return at;
}

static void rehash(struct record_names *n, uint32_t *buckets, uint32_t count)
{
    mem_free(n->buckets);
    n->buckets = buckets;
    n->bucket_count = count;
    for (uint32_t i = 1; i < n->count; i++) {
        if (n->items[i] == NULL)
            continue;
        uint32_t *first = bucket(n, id_of(n->items[i]));
        n->items[i]->next = *first;
        *first = i;
    }
}

/* Room for one number more. Either array may be the larger one after a failure. */
static err_t make_room(struct record_names *n)
{
    if (n->free > 0 || n->count < n->cap)
        return ERR_OK;
    uint32_t cap = 2 * n->cap;
    struct record_name **items = mem_resize(n->items, cap * sizeof *items);
    if (items == NULL)
        return ERR_NO_MEMORY;
    n->items = items;
    uint32_t *gone = mem_resize(n->gone, cap * sizeof *gone);
    if (gone == NULL)
        return ERR_NO_MEMORY;
    n->gone = gone;
    uint32_t *buckets = mem_array(cap, sizeof *buckets);
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    rehash(n, buckets, cap);
    n->cap = cap;
    return ERR_OK;
}

err_t record_names_take(struct record_names *n, struct slice spiffe_id, struct slice entry_id,
                        uint32_t *ret)
{
    if (spiffe_id.len > RECORD_ID_MAX || entry_id.len > RECORD_ENTRY_MAX)
        return ERR_TOO_LARGE;
    uint32_t at = record_names_find(n, spiffe_id, 0);
    while (at != 0 &&
           !slice_eq(slice_of(n->items[at]->entry_id, n->items[at]->entry_len), entry_id))
        at = record_names_find(n, spiffe_id, at);
    if (at == 0) {
        err_t err = make_room(n);
        struct record_name *name = err == ERR_OK ? name_new(spiffe_id, entry_id) : NULL;
        if (name == NULL)
            return ERR_NO_MEMORY;
        at = n->free > 0 ? n->gone[--n->free] : n->count++;
        n->items[at] = name;
        uint32_t *first = bucket(n, spiffe_id);
        name->next = *first;
        *first = at;
    }
    n->items[at]->uses++;
    *ret = at;
    return ERR_OK;
}

void record_names_use(struct record_names *n, uint32_t name)
{
    n->items[name]->uses++;
}

void record_names_release(struct record_names *n, uint32_t name, uint32_t uses)
{
    struct record_name *it = n->items[name];
    it->uses -= uses;
    if (it->uses > 0 || name == 0)
        return;
    uint32_t *link = bucket(n, id_of(it));
    while (*link != name)
        link = &n->items[*link]->next;
    *link = it->next;
    mem_free(it);
    n->items[name] = NULL;
    n->gone[n->free++] = name;
}
