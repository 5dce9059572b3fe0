#include "sidecar/conn/conn.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "sidecar/conn/conn_facts.h"
#include "sidecar/conn/conn_report.h"

#include <stddef.h>
#include <stdio.h>

#define AT_WORK_NS UINT64_C(1000000000)
#define LINGER_MS 2000
#define LOOK_MS 20          /* between looks at what the kernel has queued: nobody tells */
#define LEAVE_NS 250000000u /* patience with what is queued when this program leaves */
#define MS_NS 1000000u

enum conn_event {
    CONN_EV_START,    /* accepted, or its home has an identity now */
    CONN_EV_READY,    /* a socket is readable or writable */
    CONN_EV_REACHED,  /* the other end is open */
    CONN_EV_FAILED,   /* it is not: `why`, `reached` */
    CONN_EV_DEADLINE, /* the state's time is over */
    CONN_EV_CUT,      /* ended from outside (quit, revoked): `why`, `cut` */
};

/* What an event brings along. */
struct conn_input {
    enum conn_event kind;
    struct stream *stream; /* READY */
    int events;            /* READY: UV_READABLE | UV_WRITABLE */
    bool reached;          /* FAILED: it answered all the same */
    const struct why *why; /* FAILED, CUT */
    enum conn_cut cut;     /* CUT */
};

static void conn_event(struct conn *c, const struct conn_input *in);
static void ending_look(struct conn *c);
static uint64_t ending_look_ms(const struct conn *c);
static void on_ready(void *arg, struct stream *s, int events);
static void on_deadline(uv_timer_t *timer);

/* --- states ----------------------------------------------------------------------------------- */

enum deadline {
    DEADLINE_NONE,
    DEADLINE_CONNECT,
    DEADLINE_HANDSHAKE,
    DEADLINE_IDLE,
    DEADLINE_ENDING,
    DEADLINE_LINGER
};

static const enum deadline deadlines[CONN_STATES] = {
#define S(name, deadline, text) [CONN_##name] = DEADLINE_##deadline,
#include "sidecar/conn/states.def"
#undef S
};

/* 0: no deadline. A connection with one direction ended has its own, where that is shorter. */
static uint64_t deadline_ms(const struct conn *c, enum deadline kind)
{
    const struct sidecar_config *config = c->config;
    int64_t idle = config->idle_timeout_ms;
    int64_t half = config->half_close_timeout_ms;
    switch (kind) {
    case DEADLINE_CONNECT:
        return (uint64_t)config->connect_timeout_ms;
    case DEADLINE_HANDSHAKE:
        return (uint64_t)config->handshake_timeout_ms;
    case DEADLINE_IDLE:
        if (protocol_is_half(&c->protocol) && half > 0 && (idle == 0 || half < idle))
            return (uint64_t)half;
        return (uint64_t)idle;
    case DEADLINE_ENDING:
        return ending_look_ms(c);
    case DEADLINE_LINGER:
        return LINGER_MS;
    case DEADLINE_NONE:
        break;
    }
    return 0;
}

/* Starts the time of its state anew. */
static void conn_set_deadline(struct conn *c)
{
    uint64_t ms = deadline_ms(c, deadlines[conn_state_of(c)]);
    c->idle_mark = protocol_bytes(&c->protocol);
    if (ms > 0)
        uv_timer_start(&c->timer, on_deadline, ms, 0);
    else
        uv_timer_stop(&c->timer);
}

/* The only writer of the state. */
static void conn_enter(struct conn *c, enum conn_state next)
{
    conn_report_state(c, next);
    log_debug("conn_state", log_int("conn", c->id),
              log_str("from", conn_state_name(conn_state_of(c))),
              log_str("to", conn_state_name(next)));
    atomic_store_explicit(&c->state, (int)next, memory_order_relaxed);
    c->state_ns = clock_mono_ns();
    conn_set_deadline(c);
}

/* --- closing: here and nowhere else ----------------------------------------------------------- */

/* For stream_close: frees the connection with the last handle. */
static void conn_handle_closed(void *arg)
{
    struct conn *c = arg;
    if (--c->closing > 0)
        return;
    conn_peer_done(c);
    sidecar_config_unref(c->config);
    mem_free(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
    conn_handle_closed(handle->data);
}

static void conn_end(struct conn *c, err_t err, const struct why *why, bool reset_down,
                     bool reset_up)
{
    conn_report_closed(c, err, why);
    conn_enter(c, CONN_CLOSED);
    expiry_remove(&c->home->expiry, &c->expiry);
    c->tunnel.kind->cancel(&c->tunnel);
    c->closing += stream_close(&c->down, reset_down, conn_handle_closed);
    c->closing += stream_close(&c->up, reset_up, conn_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    c->home->calls->gone(c->home, c);
}

static void conn_close(struct conn *c, err_t err, const struct why *why, struct stream *reset)
{
    conn_end(c, err, why, reset == &c->down, reset == &c->up);
}

/* --- what the protocol says ------------------------------------------------------------------- */

/* An alert says more than the reset that comes with it, and may be heard later. */
static void note_end(struct conn *c, const struct why *why)
{
    bool better =
        c->end.err == ERR_PEER_RESET && (why->err == ERR_TLS_ALERT || why->err == ERR_TLS_VERSION);
    if (c->end.err == ERR_OK || better)
        c->end.err = why->err;
}

static void begin_end(struct conn *c)
{
    if (c->end.begun)
        return;
    c->end.begun = true;
    c->end.changed_ns = clock_mono_ns();
}

static void on_failed(void *arg, const struct why *why)
{
    if (why != NULL)
        note_end(arg, why);
    begin_end(arg);
}

static void on_truncated(void *arg, const struct why *why)
{
    note_end(arg, why);
    conn_report_truncated(arg);
}

static void on_refused(void *arg, const struct why *why)
{
    conn_report_handshake_failure(arg, why->err, why);
}

static const struct protocol_answers protocol_answers = {
    .failed = on_failed, .truncated = on_truncated, .refused = on_refused};

/* --- what the tunnel says --------------------------------------------------------------------- */

static void on_reached(void *arg)
{
    conn_event(arg, &(struct conn_input){.kind = CONN_EV_REACHED});
}

static void on_unreached(void *arg, const struct why *why, bool reached)
{
    conn_event(arg, &(struct conn_input){.kind = CONN_EV_FAILED, .why = why, .reached = reached});
}

static const struct tunnel_answers tunnel_answers = {.open = on_reached, .failed = on_unreached};

/* --- ENDING: what has arrived is carried to whom it is for before the end is told ------------- */

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
    uint64_t moved = protocol_bytes(&c->protocol), waits = queued(c);
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

static uint64_t ending_look_ms(const struct conn *c)
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
    conn_end(c, c->end.err, NULL, is_reset_late(c, &c->down), is_reset_late(c, &c->up));
}

bool conn_ending_yield(struct conn *c)
{
    if (!conn_is_ending(c) || queued(c) > 0)
        return false;
    give_up(c);
    return true;
}

static void ending_look(struct conn *c)
{
    c->end.orderly = c->end.orderly && c->protocol.kind->finish(&c->protocol);
    note_progress(c);
    if (protocol_is_over(&c->protocol)) {
        close_if_taken(c, &c->down);
        close_if_taken(c, &c->up);
    }
    if (c->down.fd < 0 && c->up.fd < 0) {
        conn_end(c, c->end.err, NULL, false, false);
    } else if (clock_mono_ns() >= due_ns(c)) {
        give_up(c);
    } else {
        conn_count_bytes(c);
        c->protocol.kind->want(&c->protocol);
        if (conn_is_ending(c))
            conn_set_deadline(c);
        else
            conn_enter(c, CONN_ENDING);
    }
}

static void end_orderly(struct conn *c, const struct why *why)
{
    note_end(c, why);
    c->end.orderly = true;
    begin_end(c);
    ending_look(c);
}

/* This program leaves: what the kernel has of both is carried, and little patience is left for who
 * is to take it. */
static void leave(struct conn *c, const struct why *why)
{
    c->end.until_ns = clock_mono_ns() + LEAVE_NS;
    c->protocol.kind->leave(&c->protocol);
    note_end(c, why);
    begin_end(c);
    ending_look(c);
}

static void end_from_outside(struct conn *c, const struct why *why, enum conn_cut how)
{
    bool reset = how == CONN_CUT_RESET;
    enum conn_state state = conn_state_of(c);
    if (reset || (state != CONN_RELAY && state != CONN_ENDING))
        conn_end(c, why->err, why, reset, reset);
    else if (how == CONN_CUT_ORDERLY && state == CONN_RELAY)
        end_orderly(c, why);
    else
        leave(c, why);
}

/* --- RELAY ------------------------------------------------------------------------------------ */

/* What has ended, and what therefore comes next. */
static void conn_settle(struct conn *c, bool was_half)
{
    if (c->end.begun) {
        ending_look(c);
    } else if (protocol_is_through(&c->protocol)) {
        conn_close(c, c->end.err, NULL, NULL);
    } else {
        if (!was_half && protocol_is_half(&c->protocol))
            conn_set_deadline(c);
        conn_count_bytes(c);
    }
}

static void conn_ready(struct conn *c, const struct conn_input *in)
{
    bool was_half = protocol_is_half(&c->protocol);
    c->protocol.kind->ready(&c->protocol, in->stream, in->events);
    conn_settle(c, was_half);
}

static void conn_enter_relay(struct conn *c)
{
    conn_report_open(c);
    conn_enter(c, CONN_RELAY);
    c->protocol.kind->start(&c->protocol);
    conn_settle(c, false);
}

static void step_relay(struct conn *c, const struct conn_input *in)
{
    struct why why = {0};
    if (in->kind == CONN_EV_READY) {
        conn_ready(c, in);
    } else if (in->kind == CONN_EV_DEADLINE && protocol_bytes(&c->protocol) != c->idle_mark) {
        conn_set_deadline(c); /* not idle: it is only now that we look */
    } else if (in->kind == CONN_EV_DEADLINE) {
        why_set(&why, ERR_TIMEOUT, "idle");
        end_orderly(c, &why);
    }
}

static void step_ending(struct conn *c, const struct conn_input *in)
{
    if (in->kind == CONN_EV_READY && in->stream->fd >= 0)
        conn_ready(c, in);
    else if (in->kind == CONN_EV_DEADLINE)
        ending_look(c);
}

/* --- handshakes ------------------------------------------------------------------------------- */

/* Refused: what TLS had to say is on its way; the peer gets time to read it. */
static void conn_refuse(struct conn *c, err_t err, const struct why *why)
{
    conn_report_handshake_failure(c, err, why);
    bool peer_gone = err == ERR_PEER_CLOSED || err == ERR_PEER_RESET || err == ERR_IO;
    if (peer_gone || !stream_abandon(c->secure)) {
        conn_close(c, err, why, NULL);
        return;
    }
    c->failure = err;
    c->closing += stream_close(c->plain, true, conn_handle_closed);
    conn_enter(c, CONN_LINGER);
    stream_want(c->secure, UV_READABLE);
}

static void start_dial(struct conn *c)
{
    struct why why = {0};
    conn_enter(c, CONN_DIAL);
    stream_want(&c->down, 0);
    if (c->tunnel.kind->start(&c->tunnel, &why) != ERR_OK) {
        conn_report_connect_failure(c, why.err, &why);
        conn_close(c, why.err, &why, &c->down);
    }
}

/* An app that would wait in vain is told at once: the identity is overdue already. */
static void hold(struct conn *c)
{
    struct why why = {0};
    uint64_t bound_ns = (uint64_t)c->home->config->connect_timeout_ms * MS_NS;
    conn_enter(c, CONN_HOLD);
    if (c->home->server_tls != NULL || clock_mono_ns() - c->home->bare_ns <= bound_ns)
        return;
    why_set(&why, ERR_NO_IDENTITY_YET,
            "no identity for longer than the connect timeout: refused at once until there is one "
            "(identity_problem says why)");
    conn_close(c, ERR_NO_IDENTITY_YET, &why, &c->down);
}

static void conn_begin(struct conn *c)
{
    struct why why = {0};
    struct tls_events events = {.verify = conn_verify_peer, .arg = c};
    if (c->home->server_tls == NULL || c->home->hold) {
        if (c->state_ns == 0)
            hold(c);
    } else if (c->route->direction == ROUTE_OUTBOUND) {
        start_dial(c);
    } else if (stream_secure(&c->down, c->home->server_tls, &events, &why) == ERR_OK) {
        conn_enter(c, CONN_ACCEPT_TLS);
        stream_want(&c->down, UV_READABLE);
    } else {
        conn_close(c, why.err, &why, &c->down);
    }
}

/* --- one step a state ------------------------------------------------------------------------- */

static void step_hold(struct conn *c, const struct conn_input *in)
{
    struct why why = {0};
    if (in->kind == CONN_EV_START) {
        conn_begin(c);
    } else if (in->kind == CONN_EV_DEADLINE) {
        if (c->home->server_tls == NULL)
            why_set(&why, ERR_NO_IDENTITY_YET, "no identity within the connect timeout");
        else
            why_set(&why, ERR_REVOCATION_UNKNOWN,
                    "the agent gave no revocation cache within the connect timeout "
                    "(newcomers_held says why)");
        conn_close(c, why.err, &why, &c->down);
    }
}

static void handshake_done(struct conn *c)
{
    struct why why = {0};
    conn_report_handshake(c);
    conn_peer_forget_shown(c);
    c->home->calls->known(c->home, c);
    if (conn_watch_expiry(c, &why) != ERR_OK)
        conn_close(c, why.err, &why, &c->down);
    else if (conn_state_of(c) == CONN_ACCEPT_TLS)
        start_dial(c);
    else
        conn_enter_relay(c);
}

static void step_handshake(struct conn *c, const struct conn_input *in)
{
    struct why why = {0};
    if (in->kind == CONN_EV_DEADLINE) {
        why_set(&why, ERR_TIMEOUT, "handshake not finished in time");
        conn_refuse(c, ERR_TIMEOUT, &why);
        return;
    }
    if (in->kind != CONN_EV_READY || in->stream != c->secure)
        return;
    enum stream_result result = stream_handshake(c->secure, &c->home->scratch, &why);
    c->heard = c->heard || c->home->scratch.wire.len > 0;
    if (c->secure->spoke)
        c->home->calls->answered(c->home, c);
    switch (result) {
    case STREAM_OK:
        handshake_done(c);
        break;
    case STREAM_AGAIN:
        if (stream_is_full(c->secure) && stream_flush(c->secure, &why) == STREAM_ERROR)
            conn_refuse(c, why.err, &why);
        else
            stream_want(c->secure, UV_READABLE);
        break;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
    case STREAM_ERROR:
        conn_refuse(c, why.err, &why);
        break;
    }
}

static void reached(struct conn *c)
{
    struct conn_input kick = {.kind = CONN_EV_READY, .stream = &c->up};
    conn_report_dialed(c);
    if (c->route->direction == ROUTE_INBOUND) {
        conn_enter_relay(c);
    } else {
        conn_enter(c, CONN_CONNECT_TLS);
        step_handshake(c, &kick);
    }
}

static void not_reached(struct conn *c, const struct why *why)
{
    conn_report_connect_failure(c, why->err, why);
    conn_close(c, why->err, why, &c->down);
}

static void step_dial(struct conn *c, const struct conn_input *in)
{
    struct why why = {0};
    switch (in->kind) {
    case CONN_EV_REACHED:
        reached(c);
        break;
    case CONN_EV_FAILED:
        if (!in->reached) {
            not_reached(c, in->why);
            break;
        }
        conn_report_dialed(c);
        conn_close(c, in->why->err, in->why, &c->down);
        break;
    case CONN_EV_DEADLINE:
        c->tunnel.kind->too_late(&c->tunnel, &why);
        not_reached(c, &why);
        break;
    case CONN_EV_START:
    case CONN_EV_READY:
    case CONN_EV_CUT:
        break;
    }
}

static void step_linger(struct conn *c, const struct conn_input *in)
{
    if (in->kind == CONN_EV_READY && in->stream == c->secure) {
        struct why why = {0};
        buf_clear(&c->home->scratch.plain);
        enum stream_result flushed = stream_flush(c->secure, &why);
        enum stream_result got = stream_read(c->secure, &c->home->scratch, &why);
        if (flushed != STREAM_ERROR && (got == STREAM_OK || got == STREAM_AGAIN)) {
            stream_want(c->secure, UV_READABLE);
            return;
        }
    }
    if (in->kind == CONN_EV_READY || in->kind == CONN_EV_DEADLINE)
        conn_close(c, c->failure, NULL, NULL);
}

static void conn_event(struct conn *c, const struct conn_input *in)
{
    if (in->kind == CONN_EV_CUT && conn_state_of(c) != CONN_CLOSED) {
        end_from_outside(c, in->why, in->cut);
        return;
    }
    if (c->doomed != 0 && c->home->calls->doomed(c->home, c))
        return;
    switch (conn_state_of(c)) {
    case CONN_HOLD:
        step_hold(c, in);
        break;
    case CONN_ACCEPT_TLS:
    case CONN_CONNECT_TLS:
        step_handshake(c, in);
        break;
    case CONN_DIAL:
        step_dial(c, in);
        break;
    case CONN_RELAY:
        step_relay(c, in);
        break;
    case CONN_ENDING:
        step_ending(c, in);
        break;
    case CONN_LINGER:
        step_linger(c, in);
        break;
    case CONN_CLOSED:
    case CONN_STATES:
        break;
    }
}

/* --- from outside ----------------------------------------------------------------------------- */

err_t conn_open(struct conn_home *h, size_t route, int fd, const struct sockaddr_storage *from,
                struct conn **ret, struct why *why)
{
    struct conn *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return why_set(why, ERR_NO_MEMORY, "connection");
    bool inbound = h->config->routes[route].direction == ROUTE_INBOUND;
    c->home = h;
    c->route_index = route;
    c->opened_ns = clock_mono_ns();
    c->closing = 1; /* the timer */
    stream_init(&c->down, on_ready, c);
    stream_init(&c->up, on_ready, c);
    c->secure = inbound ? &c->down : &c->up;
    c->plain = inbound ? &c->up : &c->down;
    c->tunnel = (struct tunnel){.kind = &tunnel_direct,
                                .answers = &tunnel_answers,
                                .arg = c,
                                .verify = conn_verify_peer,
                                .home = h,
                                .stream = &c->up,
                                .timeout_ms = (uint64_t)h->config->connect_timeout_ms};
    c->protocol = (struct protocol){.kind = &protocol_tcp,
                                    .answers = &protocol_answers,
                                    .arg = c,
                                    .secure = c->secure,
                                    .scratch = &h->scratch};
    relay_init(&c->protocol.relays[0], &c->down, &c->up);
    relay_init(&c->protocol.relays[1], &c->up, &c->down);
    c->from = *from;
    err_t err = stream_open(&c->down, h->loop, fd, why);
    if (err != ERR_OK) {
        mem_free(c);
        return err;
    }
    c->config = sidecar_config_ref(h->config);
    c->route = c->tunnel.route = c->protocol.route = &c->config->routes[route];
    uv_timer_init(h->loop, &c->timer);
    c->timer.data = c;
    c->id = h->next_id++ * 64 + h->index;
    *ret = c;
    return ERR_OK;
}

void conn_start(struct conn *c)
{
    conn_event(c, &(struct conn_input){.kind = CONN_EV_START});
}

void conn_identity_ready(struct conn *c)
{
    if (conn_state_of(c) == CONN_HOLD)
        conn_start(c);
}

void conn_cut(struct conn *c, const struct why *why, enum conn_cut how)
{
    conn_event(c, &(struct conn_input){.kind = CONN_EV_CUT, .why = why, .cut = how});
}

void conn_newcomer_cut(struct conn *c, const struct why *why)
{
    conn_report_newcomer_cut(c, why);
    conn_cut(c, why, CONN_CUT_RESET);
}

bool conn_is_at_work(const struct conn *c)
{
    return c->seat.newcomer.answered && clock_mono_ns() - c->state_ns < AT_WORK_NS;
}

bool conn_recheck(struct conn *c, unsigned what, int64_t now)
{
    if (c->peer.path == NULL || conn_state_of(c) == CONN_LINGER)
        return false; /* not judged yet, or refused */
    if (conn_verify_again(c, what, now, NULL) != ERR_OK)
        c->doomed |= (uint8_t)what;
    return c->doomed != 0;
}

bool conn_cut_doomed(struct conn *c, int64_t now, bool loud)
{
    struct why why = {0};
    if (c->doomed == 0)
        return false;
    why.err = conn_verify_again(c, c->doomed, now, &why);
    c->doomed = 0;
    if (why.err == ERR_OK)
        return false; /* admitted again meanwhile */
    conn_report_cut(c, &why, loud ? LOG_WARN : LOG_DEBUG);
    conn_cut(c, &why, CONN_CUT_RESET);
    return true;
}

void conn_on_expiry(struct expiry_item *item)
{
    struct conn *c = (struct conn *)((char *)item - offsetof(struct conn, expiry));
    struct why why = {0};
    enum conn_due due = conn_verify_due(c, &why);
    if (due == CONN_DUE_LATER)
        return;
    conn_report_cut(c, &why, LOG_INFO);
    conn_cut(c, &why, due == CONN_DUE_IDLE ? CONN_CUT_ORDERLY : CONN_CUT_RESET);
}

void conn_describe(const struct conn *c, struct conn_view *ret)
{
    const char *id = atomic_load(&c->peer.id);
    uint64_t forth = relay_bytes(&c->protocol.relays[0]);
    uint64_t back = relay_bytes(&c->protocol.relays[1]);
    bool inbound = c->route->direction == ROUTE_INBOUND;
    ret->id = c->id;
    ret->direction = c->route->direction;
    ret->state = conn_state_of(c);
    sockaddr_text((const struct sockaddr *)&c->from, ret->from);
    address_text(&c->route->forward, ret->forward);
    snprintf(ret->peer_id, sizeof ret->peer_id, "%s", id != NULL ? id : "");
    ret->age_ms = (clock_mono_ns() - c->opened_ns) / MS_NS;
    ret->bytes_to_app = inbound ? forth : back;
    ret->bytes_from_app = inbound ? back : forth;
}

bool conn_is_ending(const struct conn *c)
{
    return conn_state_of(c) == CONN_ENDING;
}

const struct route_config *conn_route(const struct conn *c)
{
    return c->route;
}

size_t conn_route_index(const struct conn *c)
{
    return c->route_index;
}

struct conn_seat *conn_seat(struct conn *c)
{
    return &c->seat;
}

struct conn *conn_of_seat(struct conn_seat *seat)
{
    return (struct conn *)((char *)seat - offsetof(struct conn, seat));
}

/* --- loop glue -------------------------------------------------------------------------------- */

static void on_ready(void *arg, struct stream *s, int events)
{
    conn_event(arg, &(struct conn_input){.kind = CONN_EV_READY, .stream = s, .events = events});
}

static void on_deadline(uv_timer_t *timer)
{
    conn_event(timer->data, &(struct conn_input){.kind = CONN_EV_DEADLINE});
}
