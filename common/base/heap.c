#include "common/base/heap.h"

#include "common/base/mem.h"

#define ROOM_FIRST 16u

static uint32_t *place_of(const struct heap *h, void *item)
{
    return &((struct heap_place *)(void *)((char *)item + h->at))->at;
}

static void *item_at(const struct heap *h, uint32_t place)
{
    return h->items[place - 1];
}

static void put(struct heap *h, void *item, uint32_t place)
{
    h->items[place - 1] = item;
    *place_of(h, item) = place;
}

/* From a gap at `place`. */
static void rise(struct heap *h, void *item, uint32_t place)
{
    for (; place > 1 && h->before(item, item_at(h, place / 2)); place /= 2)
        put(h, item_at(h, place / 2), place);
    put(h, item, place);
}

static void sink(struct heap *h, void *item, uint32_t place)
{
    for (uint32_t child; (child = 2 * place) <= h->count; place = child) {
        if (child < h->count && h->before(item_at(h, child + 1), item_at(h, child)))
            child++;
        if (!h->before(item_at(h, child), item))
            break;
        put(h, item_at(h, child), place);
    }
    put(h, item, place);
}

void heap_done(struct heap *h)
{
    mem_free(h->items);
    h->items = NULL;
    h->count = h->room = 0;
}

void *heap_first(const struct heap *h)
{
    return h->count > 0 ? h->items[0] : NULL;
}

err_t heap_add(struct heap *h, void *item)
{
    if (h->count == h->room) {
        uint32_t room = h->room > 0 ? 2 * h->room : ROOM_FIRST;
        void **items = mem_resize(h->items, room * sizeof *items);
        if (items == NULL)
            return ERR_NO_MEMORY;
        h->items = items;
        h->room = room;
    }
    rise(h, item, ++h->count);
    return ERR_OK;
}

void heap_moved(struct heap *h, void *item)
{
    rise(h, item, *place_of(h, item));
    sink(h, item, *place_of(h, item));
}

void heap_remove(struct heap *h, void *item)
{
    uint32_t place = *place_of(h, item);
    if (place == 0)
        return;
    void *last = item_at(h, h->count--);
    *place_of(h, item) = 0;
    if (last != item) {
        put(h, last, place);
        heap_moved(h, last);
    } else if (h->count == 0 && h->room > ROOM_FIRST) {
        heap_done(h); /* what a flood took */
    }
}
