#include "sidecar/conn/expiry.h"

#include "common/base/clock.h"
#include "common/base/mem.h"

#define LOOK_AGAIN_MS 60000
#define TURN_NS 2000000u

/* --- the heap: the earliest is first ---------------------------------------------------------- */

static void put(struct expiry *e, uint32_t place, struct expiry_item *item)
{
    e->heap[place - 1] = item;
    item->place = place;
}

static struct expiry_item *at(const struct expiry *e, uint32_t place)
{
    return e->heap[place - 1];
}

static void rise(struct expiry *e, struct expiry_item *item, uint32_t place)
{
    for (; place > 1 && at(e, place / 2)->due_ms > item->due_ms; place /= 2)
        put(e, place, at(e, place / 2));
    put(e, place, item);
}

static void sink(struct expiry *e, struct expiry_item *item, uint32_t place)
{
    for (uint32_t child; (child = place * 2) <= e->count; place = child) {
        if (child < e->count && at(e, child + 1)->due_ms < at(e, child)->due_ms)
            child++;
        if (at(e, child)->due_ms >= item->due_ms)
            break;
        put(e, place, at(e, child));
    }
    put(e, place, item);
}

static void take_out(struct expiry *e, struct expiry_item *item)
{
    uint32_t place = item->place;
    struct expiry_item *last = at(e, e->count--);
    item->place = 0;
    if (last == item)
        return;
    if (last->due_ms < item->due_ms)
        rise(e, last, place);
    else
        sink(e, last, place);
}

/* --- the timer -------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void arm(struct expiry *e)
{
    if (e->count == 0) {
        uv_timer_stop(&e->timer);
        return;
    }
    int64_t wait = at(e, 1)->due_ms - clock_wall_ms();
    wait = wait < 0 ? 0 : wait > LOOK_AGAIN_MS ? LOOK_AGAIN_MS : wait;
    uv_update_time(e->timer.loop);
    uv_timer_start(&e->timer, on_timer, (uint64_t)wait, 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct expiry *e = timer->data;
    uint64_t end = clock_mono_ns() + TURN_NS;
    int64_t now = clock_wall_ms();
    while (e->count > 0 && at(e, 1)->due_ms <= now && clock_mono_ns() < end) {
        struct expiry_item *item = at(e, 1);
        take_out(e, item);
        e->on_due(item);
    }
    arm(e);
}

/* --- outside ---------------------------------------------------------------------------------- */

void expiry_open(struct expiry *e, uv_loop_t *loop, void (*on_due)(struct expiry_item *item))
{
    *e = (struct expiry){.on_due = on_due};
    uv_timer_init(loop, &e->timer);
    e->timer.data = e;
}

void expiry_close(struct expiry *e)
{
    uv_close((uv_handle_t *)&e->timer, NULL);
}

void expiry_done(struct expiry *e)
{
    mem_free(e->heap);
    e->heap = NULL;
}

static err_t make_room(struct expiry *e)
{
    if (e->count < e->room)
        return ERR_OK;
    uint32_t room = e->room == 0 ? 64 : e->room * 2;
    struct expiry_item **heap = mem_resize(e->heap, room * sizeof *heap);
    if (heap == NULL)
        return ERR_NO_MEMORY;
    e->heap = heap;
    e->room = room;
    return ERR_OK;
}

err_t expiry_set(struct expiry *e, struct expiry_item *item, int64_t due_ms)
{
    expiry_remove(e, item);
    err_t err = make_room(e);
    if (err != ERR_OK)
        return err;
    item->due_ms = due_ms;
    rise(e, item, ++e->count);
    if (item->place == 1)
        arm(e);
    return ERR_OK;
}

void expiry_remove(struct expiry *e, struct expiry_item *item)
{
    if (item->place != 0)
        take_out(e, item);
}
