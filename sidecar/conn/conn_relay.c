/* A connection's bytes while it lives: two relays, and what their results mean. */
#include "sidecar/conn/conn_internal.h"

static struct relay *relay_from(struct conn *c, const struct stream *s)
{
    return &c->relays[s == &c->down ? 0 : 1];
}

static struct relay *relay_to(struct conn *c, const struct stream *s)
{
    return &c->relays[s == &c->down ? 1 : 0];
}

/* A source that has ended may yet be reset, and nobody would notice before the idle timeout. */
static int interest_in(const struct relay *from)
{
    if (relay_wants(from))
        return UV_READABLE;
    return from->eof && !from->from->fin_sent && !from->from->broken ? STREAM_HANGUP : 0;
}

void conn_update_interest(struct conn *c)
{
    conn_count_bytes(c);
    stream_want(&c->down, interest_in(&c->relays[0]));
    stream_want(&c->up, interest_in(&c->relays[1]));
}

/* In TLS 1.3 a client is through with the handshake before the server has judged it. */
static void report_late_refusal(struct conn *c, const struct why *why)
{
    bool told = why->err == ERR_TLS_ALERT || why->err == ERR_TLS_VERSION;
    if (told && c->route->direction == ROUTE_OUTBOUND && relay_from(c, c->secure)->bytes == 0)
        conn_report_handshake_failure(c, why->err, why);
}

/* By default the app is told nothing before its own direction has ended: a FIN would say that it
 * has the whole. */
static void truncated(struct conn *c, struct relay *r)
{
    struct why why = {0};
    conn_report_truncated(c);
    if (c->route->unclean_close == UNCLEAN_CLOSE_RESET ||
        stream_close_write(r->to, &c->worker->scratch, &why) == STREAM_ERROR)
        conn_end_begin(c);
}

/* What TLS had to say of its failure goes out, then FIN. */
static void end_failed_tls(struct stream *s)
{
    struct why ignored;
    s->fin_wanted = true;
    (void)stream_flush(s, &ignored);
}

static void take_result(struct conn *c, struct relay *r, enum relay_result result,
                        const struct why *why)
{
    switch (result) {
    case RELAY_TRUNCATED:
        conn_end_note(c, why);
        truncated(c, r);
        break;
    case RELAY_BROKEN_FROM:
        report_late_refusal(c, why);
        if (r->from->mute)
            end_failed_tls(r->from);
        conn_end_note(c, why);
        conn_end_begin(c);
        break;
    case RELAY_BROKEN_TO:
        conn_end_note(c, why);
        conn_end_begin(c);
        break;
    case RELAY_OPEN:
    case RELAY_DONE:
        break;
    }
}

/* What has ended, and what therefore comes next. */
static void settle(struct conn *c, bool was_half)
{
    const struct relay *a = &c->relays[0], *b = &c->relays[1];
    if (c->end.begun) {
        conn_ending_look(c);
    } else if (a->eof && b->eof && a->to->fin_sent && b->to->fin_sent) {
        conn_close(c, c->end.err, NULL, NULL);
    } else {
        if (!was_half && (a->eof || b->eof))
            conn_set_deadline(c);
        conn_update_interest(c);
    }
}

void conn_relay_ready(struct conn *c, struct stream *s, int events)
{
    struct why why = {0};
    struct relay *in = relay_from(c, s), *out = relay_to(c, s);
    bool was_half = in->eof || out->eof;
    if ((events & UV_WRITABLE) != 0)
        take_result(c, out, relay_flush(out, &why), &why);
    if ((events & UV_READABLE) != 0)
        take_result(c, in, relay_move(in, &c->worker->scratch, &why), &why);
    if ((events & STREAM_HANGUP) != 0 && in->eof && !s->broken &&
        stream_check(s, &why) == STREAM_ERROR)
        take_result(c, out, RELAY_BROKEN_TO, &why);
    settle(c, was_half);
}

void conn_enter_relay(struct conn *c)
{
    conn_report_open(c);
    conn_enter(c, CONN_RELAY);
    conn_update_interest(c);
    conn_relay_ready(c, c->secure, UV_READABLE); /* what came behind the handshake */
}

void conn_step_relay(struct conn *c, const struct conn_input *in)
{
    struct why why = {0};
    if (in->kind == CONN_EV_READY) {
        conn_relay_ready(c, in->stream, in->events);
    } else if (in->kind == CONN_EV_DEADLINE && conn_bytes_moved(c) != c->idle_mark) {
        conn_set_deadline(c); /* not idle: it is only now that we look */
    } else if (in->kind == CONN_EV_DEADLINE) {
        why_set(&why, ERR_TIMEOUT, "idle");
        conn_end_orderly(c, &why);
    }
}
