#include "sidecar/conn/relay.h"

void relay_init(struct relay *r, struct stream *from, struct stream *to)
{
    r->from = from;
    r->to = to;
    r->eof = false;
    atomic_store_explicit(&r->bytes, 0, memory_order_relaxed);
}

bool relay_is_over(const struct relay *r)
{
    return r->eof || stream_is_spent(r->to);
}

bool relay_wants(const struct relay *r)
{
    return !relay_is_over(r) && !stream_is_full(r->to);
}

static enum relay_result state_of(const struct relay *r)
{
    return r->eof && r->to->fin_sent ? RELAY_DONE : RELAY_OPEN;
}

static void count(struct relay *r, size_t more)
{
    atomic_store_explicit(&r->bytes, relay_bytes(r) + more, memory_order_relaxed); /* one writer */
}

enum relay_result relay_move(struct relay *r, struct scratch *x, struct why *why)
{
    if (!relay_wants(r))
        return state_of(r);
    buf_clear(&x->plain);
    struct why lost = {0};
    bool unsent = false;
    enum stream_result got = stream_read(r->from, x, why);
    if (x->plain.len > 0) {
        count(r, x->plain.len);
        unsent = stream_write(r->to, buf_slice(&x->plain), x, &lost) == STREAM_ERROR;
    }
    r->eof = got == STREAM_EOF || got == STREAM_TRUNCATED || got == STREAM_ERROR;
    /* The source's failure, if any, is the cause to report. */
    if (got == STREAM_ERROR)
        return RELAY_BROKEN_FROM;
    if (got == STREAM_TRUNCATED)
        return RELAY_TRUNCATED;
    if (got == STREAM_EOF && !unsent)
        unsent = stream_close_write(r->to, x, &lost) == STREAM_ERROR;
    if (unsent && why != NULL)
        *why = lost;
    return unsent ? RELAY_BROKEN_TO : state_of(r);
}

enum relay_result relay_flush(struct relay *r, struct why *why)
{
    return stream_flush(r->to, why) == STREAM_ERROR ? RELAY_BROKEN_TO : state_of(r);
}
