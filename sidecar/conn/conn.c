#include "sidecar/conn/conn_internal.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "sidecar/worker/admission.h"

#include <errno.h>
#include <unistd.h>

#define LINGER_MS 2000

static void conn_event(struct conn *c, const struct conn_input *in);
static void on_ready(void *arg, struct stream *s, int events);
static void on_deadline(uv_timer_t *timer);
static void on_dialed(void *arg, int fd, const struct why *why);

/* --- states ----------------------------------------------------------------------------------- */

enum deadline {
    DEADLINE_NONE,
    DEADLINE_CONNECT,
    DEADLINE_HANDSHAKE,
    DEADLINE_IDLE,
    DEADLINE_ENDING,
    DEADLINE_LINGER
};

static const struct {
    const char *name;
    enum deadline deadline;
    const char *text;
} state_rows[CONN_STATES] = {
#define S(name, deadline, text) [CONN_##name] = {#name, DEADLINE_##deadline, text},
#include "sidecar/conn/states.def"
#undef S
};

const char *conn_state_name(enum conn_state state)
{
    return state < CONN_STATES ? state_rows[state].name : "?";
}

const char *conn_state_text(enum conn_state state)
{
    return state < CONN_STATES ? state_rows[state].text : "?";
}

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
        if ((c->relays[0].eof || c->relays[1].eof) && half > 0 && (idle == 0 || half < idle))
            return (uint64_t)half;
        return (uint64_t)idle;
    case DEADLINE_ENDING:
        return conn_ending_look_ms(c);
    case DEADLINE_LINGER:
        return LINGER_MS;
    case DEADLINE_NONE:
        break;
    }
    return 0;
}

uint64_t conn_bytes_moved(const struct conn *c)
{
    return atomic_load_explicit(&c->relays[0].bytes, memory_order_relaxed) +
           atomic_load_explicit(&c->relays[1].bytes, memory_order_relaxed);
}

void conn_set_deadline(struct conn *c)
{
    uint64_t ms = deadline_ms(c, state_rows[conn_state_of(c)].deadline);
    c->idle_mark = conn_bytes_moved(c);
    if (ms > 0)
        uv_timer_start(&c->timer, on_deadline, ms, 0);
    else
        uv_timer_stop(&c->timer);
}

/* The only writer of the state. */
void conn_enter(struct conn *c, enum conn_state next)
{
    conn_report_state(c, next);
    log_debug("conn_state", log_int("conn", c->id),
              log_str("from", conn_state_name(conn_state_of(c))),
              log_str("to", conn_state_name(next)));
    atomic_store_explicit(&c->state, (int)next, memory_order_relaxed);
    c->state_ns = clock_mono_ns();
    conn_set_deadline(c);
}

/* --- handshakes ------------------------------------------------------------------------------- */

static bool secure_with(struct conn *c, struct tls_context *tls, struct why *why)
{
    struct tls_events events = {.verify = conn_verify_peer, .arg = c};
    struct tls *session = NULL;
    if (tls_new(tls, &events, &session, why) != ERR_OK)
        return false;
    stream_set_tls(c->secure, session);
    return true;
}

/* Refused: what TLS had to say is on its way; the peer gets time to read it. */
static void refuse(struct conn *c, err_t err, const struct why *why)
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
    struct dial_from from = {.loop = c->worker->loop,
                             .desk = &c->worker->desk,
                             .timeout_ms = (uint64_t)c->config->connect_timeout_ms};
    if (dial_start(&from, &c->route->forward, on_dialed, c, &c->dial, &why) != ERR_OK) {
        conn_report_connect_failure(c, why.err, &why);
        conn_close(c, why.err, &why, &c->down);
    }
}

/* An app that would wait in vain is told at once: the identity is overdue already. */
static void hold(struct conn *c)
{
    struct why why = {0};
    conn_enter(c, CONN_HOLD);
    if (!worker_identity_overdue(c->worker))
        return;
    why_set(&why, ERR_NO_IDENTITY_YET,
            "no identity for longer than the connect timeout: refused at once until there is one "
            "(identity_problem says why)");
    conn_close(c, ERR_NO_IDENTITY_YET, &why, &c->down);
}

static void begin(struct conn *c)
{
    struct why why = {0};
    if (worker_holds(c->worker)) {
        if (c->state_ns == 0)
            hold(c);
    } else if (c->route->direction == ROUTE_OUTBOUND) {
        start_dial(c);
    } else if (secure_with(c, c->worker->server_tls, &why)) {
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
        begin(c);
    } else if (in->kind == CONN_EV_DEADLINE) {
        err_t err = worker_why_held(c->worker, &why);
        conn_close(c, err, &why, &c->down);
    }
}

static void handshake_done(struct conn *c)
{
    struct why why = {0};
    conn_report_handshake(c);
    admission_remove(c->worker, c);
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
        refuse(c, ERR_TIMEOUT, &why);
        return;
    }
    if (in->kind != CONN_EV_READY || in->stream != c->secure)
        return;
    enum stream_result result = stream_handshake(c->secure, &c->worker->scratch, &why);
    c->heard = c->heard || c->worker->scratch.wire.len > 0;
    if (c->secure->spoke)
        admission_answered(c->worker, c);
    switch (result) {
    case STREAM_OK:
        handshake_done(c);
        break;
    case STREAM_AGAIN:
        if (stream_is_full(c->secure) && stream_flush(c->secure, &why) == STREAM_ERROR)
            refuse(c, why.err, &why);
        else
            stream_want(c->secure, UV_READABLE);
        break;
    case STREAM_EOF:
    case STREAM_TRUNCATED:
    case STREAM_ERROR:
        refuse(c, why.err, &why);
        break;
    }
}

static void dialed(struct conn *c, int fd)
{
    struct why why = {0};
    struct conn_input kick = {.kind = CONN_EV_READY, .stream = &c->up};
    conn_report_dialed(c);
    if (stream_open(&c->up, c->worker->loop, fd, &why) != ERR_OK) {
        close(fd);
        conn_close(c, why.err, &why, &c->down);
    } else if (c->route->direction == ROUTE_INBOUND) {
        conn_enter_relay(c);
    } else if (c->worker->client_tls == NULL) {
        why_set(&why, ERR_NO_IDENTITY_YET, "the identity ran out while connecting");
        conn_close(c, ERR_NO_IDENTITY_YET, &why, &c->down);
    } else if (!secure_with(c, c->worker->client_tls, &why)) {
        conn_close(c, why.err, &why, &c->down);
    } else {
        conn_enter(c, CONN_CONNECT_TLS);
        step_handshake(c, &kick);
    }
}

static void step_dial(struct conn *c, const struct conn_input *in)
{
    struct why why = {0};
    switch (in->kind) {
    case CONN_EV_DIALED:
        dialed(c, in->fd);
        break;
    case CONN_EV_FAILED:
        conn_report_connect_failure(c, in->why->err, in->why);
        conn_close(c, in->why->err, in->why, &c->down);
        break;
    case CONN_EV_DEADLINE:
        (void)dial_too_late(c->dial, &why);
        conn_report_connect_failure(c, why.err, &why);
        conn_close(c, why.err, &why, &c->down);
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
        buf_clear(&c->worker->scratch.plain);
        enum stream_result flushed = stream_flush(c->secure, &why);
        enum stream_result got = stream_read(c->secure, &c->worker->scratch, &why);
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
        conn_end_cut(c, in->why, in->cut);
        return;
    }
    if (c->doomed != 0 && recheck_cut(&c->worker->recheck, c)) {
        if (in->kind == CONN_EV_DIALED)
            close(in->fd);
        return;
    }
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
        conn_step_relay(c, in);
        break;
    case CONN_ENDING:
        conn_step_ending(c, in);
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

err_t conn_open(struct worker *w, size_t route, int fd, const struct sockaddr_storage *from,
                struct why *why)
{
    struct conn *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return why_set(why, ERR_NO_MEMORY, "connection");
    bool inbound = w->config->routes[route].direction == ROUTE_INBOUND;
    c->worker = w;
    c->route_index = route;
    c->opened_ns = clock_mono_ns();
    c->closing = 1; /* the timer */
    stream_init(&c->down, on_ready, c);
    stream_init(&c->up, on_ready, c);
    c->secure = inbound ? &c->down : &c->up;
    c->plain = inbound ? &c->up : &c->down;
    relay_init(&c->relays[0], &c->down, &c->up);
    relay_init(&c->relays[1], &c->up, &c->down);
    c->from = *from;
    err_t err = stream_open(&c->down, w->loop, fd, why);
    if (err != ERR_OK) {
        mem_free(c);
        return err;
    }
    c->config = sidecar_config_ref(w->config);
    c->route = &c->config->routes[route];
    uv_timer_init(w->loop, &c->timer);
    c->timer.data = c;
    worker_add(w, c);
    conn_event(c, &(struct conn_input){.kind = CONN_EV_START});
    return ERR_OK;
}

void conn_identity_ready(struct conn *c)
{
    if (conn_state_of(c) == CONN_HOLD)
        conn_event(c, &(struct conn_input){.kind = CONN_EV_START});
}

void conn_cut(struct conn *c, const struct why *why, enum conn_cut how)
{
    conn_event(c, &(struct conn_input){.kind = CONN_EV_CUT, .why = why, .cut = how});
}

struct conn *conn_next(const struct conn *c)
{
    return c->next;
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

static void on_dialed(void *arg, int fd, const struct why *why)
{
    struct conn *c = arg;
    c->dial = NULL;
    conn_event(c, &(struct conn_input){
                      .kind = fd >= 0 ? CONN_EV_DIALED : CONN_EV_FAILED, .fd = fd, .why = why});
}
