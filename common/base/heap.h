/* Who is first of many: a binary heap of what its owner holds. Items bear their place, so that they
 * can be moved and taken out; the heap allocates one array of pointers. The heap's thread. */
#ifndef SPINDLE_COMMON_BASE_HEAP_H
#define SPINDLE_COMMON_BASE_HEAP_H

#include "common/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_place {
    uint32_t at; /* from 1; zeroed: in no heap */
};

struct heap {
    bool (*before)(const void *a, const void *b);
    size_t at;    /* of the place in the item */
    void **items; /* owned; items[0] is first; a walk over them needs no order */
    uint32_t count, room;
};
#define HEAP_OF(type, place, is_before)                                                            \
    {                                                                                              \
        .at = offsetof(type, place), .before = (is_before)                                         \
    }

/* Gives the array back; items are left alone. */
void heap_done(struct heap *h);
/* NULL: it is empty. */
void *heap_first(const struct heap *h);
/* ERR_NO_MEMORY: it is not in, all else is as before. */
err_t heap_add(struct heap *h, void *item) MUST_CHECK;
/* Also when it is not in. The last one takes a large array with it. */
void heap_remove(struct heap *h, void *item);
/* Its order has changed; it is in. */
void heap_moved(struct heap *h, void *item);
/* All, in no order; the body adds none and takes none out. */
#define HEAP_FOREACH(item, heap, i)                                                                \
    for (uint32_t i = 0; i < (heap)->count && ((item) = (heap)->items[i]) != NULL; i++)

#endif
