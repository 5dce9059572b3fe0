/* What falls due by the wall clock, a worker's connections one by one: a heap and one timer.
 * Nothing is walked while nothing is due; the clock is looked at again at least once a minute, as
 * it may be set. Worker thread only. */
#ifndef SPINDLE_SIDECAR_CONN_EXPIRY_H
#define SPINDLE_SIDECAR_CONN_EXPIRY_H

#include "common/base/heap.h"
#include "common/base/why.h"

#include <uv.h>

struct expiry_item {
    int64_t due_ms; /* Unix time */
    struct heap_place place;
};

struct expiry {
    uv_timer_t timer;
    struct heap heap; /* of items, the earliest first */
    void (*on_due)(struct expiry_item *item);
};

/* on_due: the item is out already; it may be set again, others may be set or removed. Many at once
 * are told in turns of some milliseconds, so that the loop stays responsive. */
void expiry_open(struct expiry *e, uv_loop_t *loop, void (*on_due)(struct expiry_item *item));
/* Closes the timer; the loop frees its handle, expiry_done the rest. */
void expiry_close(struct expiry *e);
void expiry_done(struct expiry *e);

/* Puts it in, or moves it. ERR_NO_MEMORY: it is not in. */
err_t expiry_set(struct expiry *e, struct expiry_item *item, int64_t due_ms) MUST_CHECK;
void expiry_remove(struct expiry *e, struct expiry_item *item); /* also when it is not in */

#endif
