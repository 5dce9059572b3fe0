#include "common/base/backoff.h"

#include <assert.h>

void backoff_init(struct backoff *b, uint64_t first, uint64_t cap)
{
    assert(first > 0 && first <= cap);
    *b = (struct backoff){.first = first, .cap = cap, .next = first};
}

void backoff_reset(struct backoff *b)
{
    b->next = b->first;
}

uint64_t backoff_next(struct backoff *b, uint64_t random)
{
    uint64_t half = b->next / 2;
    uint64_t wait = b->next - half + random % (half + 1);
    b->next = b->next > b->cap / 2 ? b->cap : b->next * 2;
    return wait;
}
