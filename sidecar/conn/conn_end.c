/* How a connection ends. What has arrived is carried to whom it is for before the end is told:
 * ENDING waits for that. Who is told, and how, is one function (is_reset). */
#include "sidecar/conn/conn_internal.h"

#include "common/base/clock.h"
#include "common/base/mem.h"

#define LOOK_MS 20          /* between looks at what the kernel has queued: nobody tells */
#define LEAVE_NS 250000000u /* patience with what is queued when this program leaves */
#define MS_NS 1000000u

static void on_timer_closed(uv_handle_t *handle)
{
    conn_handle_closed(handle->data);
}

static void end(struct conn *c, err_t err, const struct why *why, bool reset_down, bool reset_up)
{
    conn_report_closed(c, err, why);
    conn_enter(c, CONN_CLOSED);
    expiry_remove(&c->worker->expiry, &c->expiry);
    if (c->dial != NULL)
        dial_cancel(c->dial);
    c->dial = NULL;
    c->closing += stream_close(&c->down, reset_down, conn_handle_closed);
    c->closing += stream_close(&c->up, reset_up, conn_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    worker_remove(c->worker, c);
}

void conn_close(struct conn *c, err_t err, const struct why *why, struct stream *reset)
{
    end(c, err, why, reset == &c->down, reset == &c->up);
}

void conn_handle_closed(void *arg)
{
    struct conn *c = arg;
    if (--c->closing > 0)
        return;
    conn_peer_done(&c->peer);
    sidecar_config_unref(c->config);
    mem_free(c);
}

/* --- ENDING ----------------------------------------------------------------------------------- */

/* An alert says more than the reset that comes with it, and may be heard later. */
void conn_end_note(struct conn *c, const struct why *why)
{
    bool better =
        c->end.err == ERR_PEER_RESET && (why->err == ERR_TLS_ALERT || why->err == ERR_TLS_VERSION);
    if (c->end.err == ERR_OK || better)
        c->end.err = why->err;
}

void conn_end_begin(struct conn *c)
{
    if (c->end.begun)
        return;
    c->end.begun = true;
    c->end.changed_ns = clock_mono_ns();
}

static bool is_over(const struct conn *c)
{
    return relay_is_over(&c->relays[0]) && relay_is_over(&c->relays[1]);
}

/* Does this end see a reset? It must not take what it got for the whole, nor what it sent for
 * carried. An alert has told a TLS peer; FIN alone tells one that this program leaves. */
static bool is_reset(const struct conn *c, const struct stream *s)
{
    if (c->end.orderly)
        return false;
    if (s == c->secure) /* after our FIN it knows all, unless the app took not all of its bytes */
        return !s->mute && c->end.err != ERR_DRAINING && (!s->fin_sent || c->plain->broken);
    bool unclean = c->end.err == ERR_TLS_TRUNCATED || c->end.err == ERR_DRAINING;
    return !unclean || c->route->unclean_close == UNCLEAN_CLOSE_RESET;
}

static uint64_t queued(const struct conn *c)
{
    return stream_queued(&c->down) + stream_queued(&c->up);
}

static void note_progress(struct conn *c)
{
    uint64_t moved = conn_bytes_moved(c), waits = queued(c);
    if (moved == c->end.moved && waits == c->end.queued)
        return;
    c->end.moved = moved;
    c->end.queued = waits;
    c->end.changed_ns = clock_mono_ns();
}

/* How long nothing may change: the rest is taken, or the app's own direction goes on. */
static uint64_t bound_ns(const struct conn *c)
{
    int64_t ms =
        c->end.queued > 0 ? c->config->flush_timeout_ms : c->config->unclean_close_timeout_ms;
    return (uint64_t)ms * MS_NS;
}

/* When patience ends, unless something changes. */
static uint64_t due_ns(const struct conn *c)
{
    uint64_t due = c->end.changed_ns + bound_ns(c);
    return c->end.until_ns != 0 && c->end.until_ns < due ? c->end.until_ns : due;
}

uint64_t conn_ending_look_ms(const struct conn *c)
{
    uint64_t now = clock_mono_ns(), due = due_ns(c);
    uint64_t left = due > now ? (due - now) / MS_NS + 1 : 1;
    return c->end.queued > 0 && left > LOOK_MS ? LOOK_MS : left;
}

static void close_if_taken(struct conn *c, struct stream *s)
{
    if (s->fd >= 0 && stream_queued(s) == 0)
        c->closing += stream_close(s, is_reset(c, s), conn_handle_closed);
}

/* An app that does not get all must not see a FIN, whatever the cause was. */
static bool is_reset_late(const struct conn *c, const struct stream *s)
{
    return is_reset(c, s) || (s == c->plain && stream_queued(s) > 0);
}

static void give_up(struct conn *c)
{
    if (c->end.queued > 0)
        conn_report_untaken(c, c->end.queued);
    end(c, c->end.err, NULL, is_reset_late(c, &c->down), is_reset_late(c, &c->up));
}

bool conn_ending_yield(struct conn *c)
{
    if (conn_state_of(c) != CONN_ENDING || queued(c) > 0)
        return false;
    give_up(c);
    return true;
}

/* A reader was slow: what arrived meanwhile, unread, is carried before the FIN. */
static void carry_rest(struct conn *c, struct relay *r)
{
    struct why why = {0};
    if (relay_is_over(r) || stream_is_full(r->to))
        return;
    uint64_t before = atomic_load_explicit(&r->bytes, memory_order_relaxed);
    enum relay_result result = relay_move(r, &c->worker->scratch, &why);
    if (result == RELAY_TRUNCATED || result == RELAY_BROKEN_FROM || result == RELAY_BROKEN_TO)
        c->end.orderly = false;
    if (r->eof || before != atomic_load_explicit(&r->bytes, memory_order_relaxed))
        return;
    r->eof = true;
    (void)stream_close_write(r->to, &c->worker->scratch, &why);
}

void conn_ending_look(struct conn *c)
{
    for (size_t i = 0; c->end.orderly && i < 2; i++)
        carry_rest(c, &c->relays[i]);
    note_progress(c);
    if (is_over(c)) {
        close_if_taken(c, &c->down);
        close_if_taken(c, &c->up);
    }
    if (c->down.fd < 0 && c->up.fd < 0) {
        end(c, c->end.err, NULL, false, false);
    } else if (clock_mono_ns() >= due_ns(c)) {
        give_up(c);
    } else if (conn_state_of(c) != CONN_ENDING) {
        conn_update_interest(c);
        conn_enter(c, CONN_ENDING);
    } else {
        conn_update_interest(c);
        conn_set_deadline(c);
    }
}

void conn_step_ending(struct conn *c, const struct conn_input *in)
{
    if (in->kind == CONN_EV_READY && in->stream->fd >= 0)
        conn_relay_ready(c, in->stream, in->events);
    else if (in->kind == CONN_EV_DEADLINE)
        conn_ending_look(c);
}

/* --- from outside ----------------------------------------------------------------------------- */

static void read_no_more(struct conn *c)
{
    c->relays[0].eof = c->relays[1].eof = true;
}

void conn_end_orderly(struct conn *c, const struct why *why)
{
    conn_end_note(c, why);
    c->end.orderly = true;
    conn_end_begin(c);
    conn_ending_look(c);
}

/* This program leaves: what the kernel has of both is carried, and little patience is left for who
 * is to take it. */
static void leave(struct conn *c, const struct why *why)
{
    struct why ignored = {0};
    c->end.until_ns = clock_mono_ns() + LEAVE_NS;
    for (size_t i = 0; i < 2; i++) {
        if (!c->relays[i].eof)
            (void)relay_move(&c->relays[i], &c->worker->scratch, &ignored);
    }
    conn_end_note(c, why);
    read_no_more(c);
    conn_end_begin(c);
    conn_ending_look(c);
}

void conn_end_cut(struct conn *c, const struct why *why, enum conn_cut how)
{
    bool reset = how == CONN_CUT_RESET;
    enum conn_state state = conn_state_of(c);
    if (reset || (state != CONN_RELAY && state != CONN_ENDING))
        end(c, why->err, why, reset, reset);
    else if (how == CONN_CUT_ORDERLY && state == CONN_RELAY)
        conn_end_orderly(c, why);
    else
        leave(c, why);
}
