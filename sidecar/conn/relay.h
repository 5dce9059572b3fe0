/* One direction of bytes between two streams; a connection has two. One rule of back-pressure:
 * while the sink has bytes pending, the source is not read. A FIN travels behind the bytes. */
#ifndef SPINDLE_SIDECAR_CONN_RELAY_H
#define SPINDLE_SIDECAR_CONN_RELAY_H

#include "sidecar/conn/stream.h"

#include <stdatomic.h>

struct relay {
    struct stream *from, *to; /* borrowed */
    bool eof;                 /* the source has ended, one way or another */
    _Atomic uint64_t bytes;   /* plain bytes moved; read by relay_bytes, from any thread */
};

static inline uint64_t relay_bytes(const struct relay *r)
{
    return atomic_load_explicit(&r->bytes, memory_order_relaxed);
}

enum relay_result {
    RELAY_OPEN,        /* goes on */
    RELAY_DONE,        /* FIN passed on and sent */
    RELAY_TRUNCATED,   /* the source sent FIN without close_notify; the sink was told nothing yet */
    RELAY_BROKEN_FROM, /* the source failed, what it sent before is with the sink */
    RELAY_BROKEN_TO,   /* the sink failed: there is nobody to carry to any more */
};

void relay_init(struct relay *r, struct stream *from, struct stream *to);
/* The source is readable: reads once, writes what came. */
enum relay_result relay_move(struct relay *r, struct scratch *x, struct why *why);
/* The sink is writable: writes what waits. */
enum relay_result relay_flush(struct relay *r, struct why *why);
/* No byte will go this way any more. */
bool relay_is_over(const struct relay *r);
/* Should the source be read? */
bool relay_wants(const struct relay *r);

#endif
