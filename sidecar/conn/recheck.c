#include "sidecar/conn/recheck.h"

#include "common/base/clock.h"
#include "common/log/log.h"

#define TURN_NS 2000000u
#define WATCH_MS 1000
#define LINES_MAX 16 /* of a walk; the last one tells how many there were */

static void on_turn(uv_idle_t *turn);

void recheck_open(struct recheck *r, const struct conn_home *h, const struct conn_list *conns)
{
    *r = (struct recheck){.home = h, .conns = conns};
    uv_idle_init(h->loop, &r->turn);
    r->turn.data = r;
    uv_timer_init(h->loop, &r->watch);
    r->watch.data = r;
}

void recheck_close(struct recheck *r)
{
    r->what = r->again = 0;
    uv_close((uv_handle_t *)&r->turn, NULL);
    uv_close((uv_handle_t *)&r->watch, NULL);
}

/* Those doomed by the walk before and not cut yet are counted again. */
static void begin(struct recheck *r, unsigned what)
{
    r->what = what;
    r->again = 0;
    r->cutting = false;
    r->at = LIST_FIRST(r->conns);
    r->kept = r->doomed = 0;
    if ((what & RECHECK_REVOCATION) != 0)
        r->generation = revocation_view_generation(r->home->view);
}

void recheck_start(struct recheck *r, unsigned what)
{
    if (r->what != 0) {
        r->again |= what;
        return;
    }
    begin(r, what);
    r->started_ns = clock_mono_ns();
    r->cut = r->told = 0;
    uv_idle_start(&r->turn, on_turn);
}

void recheck_changed(struct recheck *r)
{
    if (revocation_view_generation(r->home->view) != r->generation)
        recheck_start(r, RECHECK_REVOCATION);
}

static void on_watch(uv_timer_t *watch)
{
    recheck_changed(watch->data);
}

void recheck_cache(struct recheck *r)
{
    if (r->home->view == NULL) {
        uv_timer_stop(&r->watch);
        return;
    }
    recheck_start(r, RECHECK_REVOCATION);
    uv_timer_start(&r->watch, on_watch, WATCH_MS, WATCH_MS);
}

void recheck_forget(struct recheck *r, struct conn *c)
{
    if (r->at == conn_seat(c))
        r->at = LIST_NEXT(r->at, link);
}

bool recheck_cut(struct recheck *r, struct conn *c)
{
    if (!conn_cut_doomed(c, clock_wall_s(), r->told < LINES_MAX))
        return false;
    r->cut++;
    r->told++;
    return true;
}

static void finish(struct recheck *r)
{
    uint64_t now = clock_mono_ns();
    if (r->cut > 0)
        log_warn("connections_cut", log_int("worker", r->home->index), log_int("cut", r->cut),
                 log_int("kept", r->kept),
                 log_int("judged_ms", (r->judged_ns - r->started_ns) / 1000000u),
                 log_int("ms", (now - r->started_ns) / 1000000u));
    r->what = 0;
    uv_idle_stop(&r->turn);
}

static void look_at(struct recheck *r, struct conn *c, int64_t now)
{
    if (r->cutting)
        (void)recheck_cut(r, c);
    else if (conn_recheck(c, r->what, now))
        r->doomed++;
    else
        r->kept++;
}

static void on_turn(uv_idle_t *turn)
{
    struct recheck *r = turn->data;
    uint64_t end = clock_mono_ns() + TURN_NS;
    int64_t now = clock_wall_s();
    while (r->at != NULL && clock_mono_ns() < end) {
        struct conn *c = conn_of_seat(r->at);
        r->at = LIST_NEXT(r->at, link);
        look_at(r, c, now);
    }
    if (r->at == NULL && !r->cutting) {
        r->cutting = true;
        r->judged_ns = clock_mono_ns();
        r->at = r->doomed > 0 ? LIST_FIRST(r->conns) : NULL;
    } else if (r->cutting && r->again != 0) { /* judging goes before cutting */
        begin(r, r->again);
    } else if (r->at == NULL) {
        finish(r);
    }
}
