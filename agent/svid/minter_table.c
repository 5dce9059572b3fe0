#include "agent/svid/minter_table.h"

#include "common/base/mem.h"

enum { BUCKETS_FIRST = 64 };

static void heap_put(struct minter_table *t, size_t at, struct live *l)
{
    t->heap[at] = l;
    l->heap_at = at;
}

static void heap_down(struct minter_table *t, struct live *l)
{
    size_t at = l->heap_at;
    for (size_t child; (child = 2 * at + 1) < t->count; at = child) {
        if (child + 1 < t->count && t->heap[child + 1]->due_ms < t->heap[child]->due_ms)
            child++;
        if (t->heap[child]->due_ms >= l->due_ms)
            break;
        heap_put(t, at, t->heap[child]);
    }
    heap_put(t, at, l);
}

static void heap_fix(struct minter_table *t, struct live *l)
{
    size_t at = l->heap_at;
    for (; at > 0 && t->heap[(at - 1) / 2]->due_ms > l->due_ms; at = (at - 1) / 2)
        heap_put(t, at, t->heap[(at - 1) / 2]);
    heap_put(t, at, l);
    heap_down(t, l);
}

void minter_table_rebuild(struct minter_table *t)
{
    for (size_t i = 0; i < t->count; i++)
        t->heap[i]->heap_at = i;
    for (size_t i = t->count / 2; i-- > 0;)
        heap_down(t, t->heap[i]);
}

void minter_table_set_due(struct minter_table *t, struct live *l, int64_t due_ms)
{
    l->due_ms = due_ms;
    heap_fix(t, l);
}

static size_t hash(const char *id)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a; ids are the operator's, not a stranger's */
    for (; *id != '\0'; id++)
        h = (h ^ (uint8_t)*id) * 1099511628211u;
    return (size_t)(h ^ (h >> 32));
}

static struct live **slot(const struct minter_table *t, const char *id)
{
    struct live **at = &t->buckets[hash(id) & (t->bucket_count - 1)];
    while (*at != NULL && strcmp((*at)->entry.id, id) != 0)
        at = &(*at)->next;
    return at;
}

static void rehash(struct minter_table *t, struct live **buckets, size_t count)
{
    for (size_t i = 0; i < t->count; i++) {
        struct live **at = &buckets[hash(t->heap[i]->entry.id) & (count - 1)];
        t->heap[i]->next = *at;
        *at = t->heap[i];
    }
    mem_free(t->buckets);
    t->buckets = buckets;
    t->bucket_count = count;
}

/* Room for one more in heap and table. */
static err_t make_room(struct minter_table *t)
{
    if (t->count == t->heap_cap) {
        size_t cap = t->heap_cap > 0 ? 2 * t->heap_cap : BUCKETS_FIRST;
        struct live **heap = mem_resize(t->heap, cap * sizeof *heap);
        if (heap == NULL)
            return ERR_NO_MEMORY;
        t->heap = heap;
        t->heap_cap = cap;
    }
    if (t->count < t->bucket_count)
        return ERR_OK;
    struct live **buckets = mem_array(2 * t->bucket_count, sizeof *buckets);
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    rehash(t, buckets, 2 * t->bucket_count);
    return ERR_OK;
}

struct live *minter_table_find(const struct minter_table *t, const char *entry_id)
{
    return *slot(t, entry_id);
}

err_t minter_table_add(struct minter_table *t, struct live *l)
{
    if (make_room(t) != ERR_OK)
        return ERR_NO_MEMORY;
    *slot(t, l->entry.id) = l;
    l->due_ms = INT64_MAX;
    heap_put(t, t->count, l);
    t->count++;
    return ERR_OK;
}

void minter_table_remove(struct minter_table *t, struct live *l)
{
    struct live *last = t->heap[--t->count];
    *slot(t, l->entry.id) = l->next;
    if (last == l)
        return;
    heap_put(t, l->heap_at, last);
    heap_fix(t, last);
}

err_t minter_table_init(struct minter_table *t)
{
    *t = (struct minter_table){.bucket_count = BUCKETS_FIRST};
    t->buckets = mem_array(BUCKETS_FIRST, sizeof *t->buckets);
    return t->buckets != NULL ? ERR_OK : ERR_NO_MEMORY;
}

void minter_table_done(struct minter_table *t)
{
    mem_free(t->heap);
    mem_free(t->buckets);
}
