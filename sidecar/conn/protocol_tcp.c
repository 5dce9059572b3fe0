/* Raw bytes, both ways, as they come. */
#include "sidecar/conn/protocol.h"

static struct relay *from(struct protocol *p, const struct stream *s)
{
    return &p->relays[s == p->relays[0].from ? 0 : 1];
}

static struct relay *to(struct protocol *p, const struct stream *s)
{
    return &p->relays[s == p->relays[0].to ? 0 : 1];
}

/* A source that has ended may yet be reset, and nobody would notice before the idle timeout. */
static int interest_in(const struct relay *r)
{
    if (relay_wants(r))
        return UV_READABLE;
    return r->eof && !r->from->fin_sent && !r->from->broken ? STREAM_HANGUP : 0;
}

static void tcp_want(struct protocol *p)
{
    for (size_t i = 0; i < 2; i++)
        stream_want(p->relays[i].from, interest_in(&p->relays[i]));
}

static bool is_late_refusal(struct protocol *p, const struct why *why)
{
    bool told = why->err == ERR_TLS_ALERT || why->err == ERR_TLS_VERSION;
    return told && p->route->direction == ROUTE_OUTBOUND && relay_bytes(from(p, p->secure)) == 0;
}

/* By default the app is told nothing before its own direction has ended: a FIN would say that it
 * has the whole. */
static void truncated(struct protocol *p, struct relay *r, const struct why *why)
{
    struct why ignored;
    p->answers->truncated(p->arg, why);
    if (p->route->unclean_close == UNCLEAN_CLOSE_RESET ||
        stream_close_write(r->to, p->scratch, &ignored) == STREAM_ERROR)
        p->answers->failed(p->arg, NULL);
}

/* What TLS had to say of its failure goes out, then FIN. */
static void end_failed_tls(struct stream *s)
{
    struct why ignored;
    s->fin_wanted = true;
    (void)stream_flush(s, &ignored);
}

static void take_result(struct protocol *p, struct relay *r, enum relay_result result,
                        const struct why *why)
{
    switch (result) {
    case RELAY_TRUNCATED:
        truncated(p, r, why);
        break;
    case RELAY_BROKEN_FROM:
        if (is_late_refusal(p, why))
            p->answers->refused(p->arg, why);
        if (r->from->mute)
            end_failed_tls(r->from);
        p->answers->failed(p->arg, why);
        break;
    case RELAY_BROKEN_TO:
        p->answers->failed(p->arg, why);
        break;
    case RELAY_OPEN:
    case RELAY_DONE:
        break;
    }
}

static void tcp_ready(struct protocol *p, struct stream *s, int events)
{
    struct why why = {0};
    struct relay *in = from(p, s), *out = to(p, s);
    if ((events & UV_WRITABLE) != 0)
        take_result(p, out, relay_flush(out, &why), &why);
    if ((events & UV_READABLE) != 0)
        take_result(p, in, relay_move(in, p->scratch, &why), &why);
    if ((events & STREAM_HANGUP) != 0 && in->eof && !s->broken &&
        stream_check(s, &why) == STREAM_ERROR)
        take_result(p, out, RELAY_BROKEN_TO, &why);
    if (!protocol_is_through(p))
        tcp_want(p);
}

static void tcp_start(struct protocol *p)
{
    tcp_want(p);
    tcp_ready(p, p->secure, UV_READABLE); /* what came behind the handshake */
}

/* A reader was slow: what arrived meanwhile, unread, is carried before the FIN. */
static bool carry_rest(struct protocol *p, struct relay *r)
{
    struct why ignored;
    if (relay_is_over(r) || stream_is_full(r->to))
        return true;
    uint64_t before = relay_bytes(r);
    enum relay_result result = relay_move(r, p->scratch, &ignored);
    if (!r->eof && before == relay_bytes(r)) {
        r->eof = true;
        (void)stream_close_write(r->to, p->scratch, &ignored);
    }
    return result == RELAY_OPEN || result == RELAY_DONE;
}

static bool tcp_finish(struct protocol *p)
{
    return carry_rest(p, &p->relays[0]) && carry_rest(p, &p->relays[1]);
}

static void tcp_leave(struct protocol *p)
{
    struct why ignored;
    for (size_t i = 0; i < 2; i++) {
        if (!p->relays[i].eof)
            (void)relay_move(&p->relays[i], p->scratch, &ignored);
    }
    p->relays[0].eof = p->relays[1].eof = true;
}

const struct protocol_kind protocol_tcp = {.start = tcp_start,
                                           .ready = tcp_ready,
                                           .want = tcp_want,
                                           .finish = tcp_finish,
                                           .leave = tcp_leave};
