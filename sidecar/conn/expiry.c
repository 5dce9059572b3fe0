#include "sidecar/conn/expiry.h"

#include "common/base/clock.h"

#define LOOK_AGAIN_MS 60000
#define TURN_NS 2000000u

static bool is_earlier(const void *a, const void *b)
{
    return ((const struct expiry_item *)a)->due_ms < ((const struct expiry_item *)b)->due_ms;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct expiry *e)
{
    const struct expiry_item *first = heap_first(&e->heap);
    if (first == NULL) {
        uv_timer_stop(&e->timer);
        return;
    }
    int64_t wait = first->due_ms - clock_wall_ms();
    wait = wait < 0 ? 0 : wait > LOOK_AGAIN_MS ? LOOK_AGAIN_MS : wait;
    uv_update_time(e->timer.loop);
    uv_timer_start(&e->timer, on_timer, (uint64_t)wait, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct expiry *e = timer->data;
    uint64_t end = clock_mono_ns() + TURN_NS;
    int64_t now = clock_wall_ms();
    struct expiry_item *item;
    while ((item = heap_first(&e->heap)) != NULL && item->due_ms <= now && clock_mono_ns() < end) {
        heap_remove(&e->heap, item);
        e->on_due(item);
    }
    arm(e);
}

void expiry_open(struct expiry *e, uv_loop_t *loop, void (*on_due)(struct expiry_item *item))
{
    *e = (struct expiry){.heap = HEAP_OF(struct expiry_item, place, is_earlier), .on_due = on_due};
    uv_timer_init(loop, &e->timer);
    e->timer.data = e;
}

void expiry_close(struct expiry *e)
{
    uv_close((uv_handle_t *)&e->timer, NULL);
}

void expiry_done(struct expiry *e)
{
    heap_done(&e->heap);
}

err_t expiry_set(struct expiry *e, struct expiry_item *item, int64_t due_ms)
{
    err_t err = ERR_OK;
    item->due_ms = due_ms;
    if (item->place.at != 0)
        heap_moved(&e->heap, item);
    else
        err = heap_add(&e->heap, item);
    if (err == ERR_OK && heap_first(&e->heap) == item)
        arm(e);
    return err;
}

void expiry_remove(struct expiry *e, struct expiry_item *item)
{
    heap_remove(&e->heap, item);
}
