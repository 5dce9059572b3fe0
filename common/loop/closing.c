#include "common/loop/closing.h"

#include <assert.h>

bool closing_begin(struct closing *c, void (*free_noun)(void *noun), void *noun,
                   void (*done)(void *arg), void *arg)
{
    if (c->begun)
        return false;
    c->begun = true;
    c->free_noun = free_noun;
    c->noun = noun;
    c->done = done;
    c->arg = arg;
    return true;
}

static void on_handle_closed(uv_handle_t *handle)
{
    closing_drop(handle->data);
}

void closing_handle(struct closing *c, void *handle)
{
    uv_handle_t *h = handle;
    assert(c->begun);
    h->data = closing_hold(c);
    uv_close(h, on_handle_closed);
}

struct closing *closing_hold(struct closing *c)
{
    c->held++;
    return c;
}

void closing_drop(void *c)
{
    struct closing *here = c;
    assert(here->held > 0);
    if (--here->held > 0 || !here->begun)
        return;
    struct closing end = *here; /* is freed with the noun */
    end.free_noun(end.noun);
    if (end.done != NULL)
        end.done(end.arg);
}
