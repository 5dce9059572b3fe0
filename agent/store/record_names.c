#include "agent/store/record_names.h"

#include "common/base/mem.h"

enum { FIRST = 8 }; /* as mem_grow begins */

struct texts {
    struct slice id, entry;
};

static struct slice id_of(const struct record_name *name)
{
    return slice_of(name->spiffe_id, name->id_len);
}

static bool is_same(const void *item, const void *key)
{
    const struct record_name *name = item;
    const struct texts *t = key;
    return slice_eq(id_of(name), t->id) &&
           slice_eq(slice_of(name->entry_id, name->entry_len), t->entry);
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
    struct record_names names = {.count = 1,
                                 .by_texts = MAP_OF(struct record_name, by_texts, is_same)};
    names.items = mem_array(FIRST, sizeof *names.items);
    names.gone = mem_array(FIRST, sizeof *names.gone);
    if (names.items != NULL)
        names.items[0] = name_new(slice_str(""), slice_str(""));
    if (names.gone == NULL || names.items == NULL || names.items[0] == NULL) {
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
    map_done(&n->by_texts);
    *n = (struct record_names){0};
}

struct record_name *record_names_at(const struct record_names *n, uint32_t name)
{
    return n->items[name];
}

uint32_t record_names_find(const struct record_names *n, struct slice spiffe_id, uint32_t after)
{
    for (uint32_t at = after + 1; at < n->count; at++)
        if (n->items[at] != NULL && slice_eq(id_of(n->items[at]), spiffe_id))
            return at;
    return 0;
}

/* Room for one number more. Either array may be the larger one after a failure. */
static bool make_room(struct record_names *n)
{
    return n->free > 0 || (mem_grow(&n->items, n->count, sizeof *n->items) &&
                           mem_grow(&n->gone, n->count, sizeof *n->gone));
}

err_t record_names_take(struct record_names *n, struct slice spiffe_id, struct slice entry_id,
                        uint32_t *ret)
{
    if (spiffe_id.len > RECORD_ID_MAX || entry_id.len > RECORD_ENTRY_MAX)
        return ERR_TOO_LARGE;
    struct texts texts = {spiffe_id, entry_id};
    uint32_t key = map_hash_more(map_hash(spiffe_id), entry_id);
    struct record_name *name = map_find(&n->by_texts, key, &texts);
    if (name == NULL) {
        name = make_room(n) ? name_new(spiffe_id, entry_id) : NULL;
        if (name == NULL || map_add(&n->by_texts, name, key) != ERR_OK) {
            mem_free(name);
            return ERR_NO_MEMORY;
        }
        name->number = n->free > 0 ? n->gone[--n->free] : n->count++;
        n->items[name->number] = name;
    }
    name->uses++;
    *ret = name->number;
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
    map_remove(&n->by_texts, it);
    mem_free(it);
    n->items[name] = NULL;
    n->gone[n->free++] = name;
}
