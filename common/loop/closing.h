/* How a noun with libuv handles ends. Its x_close(x, done, arg) stops its work, closes its handles
 * and parts, waits for what is under way, frees in the last callback, then calls done. Embedded in
 * the noun, all zero at first; the noun's loop thread only.
 *
 *     if (!closing_begin(&x->closing, x_free, x, done, arg))
 *         return;
 *     closing_handle(&x->closing, &x->timer);
 *     part_close(x->part, closing_drop, closing_hold(&x->closing));
 *
 * What may outlive x_close (a request on the thread pool, a connection) is held when it starts and
 * dropped as the last act of its end, whether the noun is being closed or not. */
#ifndef SPINDLE_COMMON_LOOP_CLOSING_H
#define SPINDLE_COMMON_LOOP_CLOSING_H

#include <stdbool.h>
#include <uv.h>

struct closing {
    bool begun;    /* for the noun to read: x_close was called */
    unsigned held; /* what must end before the noun is freed */
    void (*free_noun)(void *noun);
    void *noun;
    void (*done)(void *arg);
    void *arg;
};

/* False: it has begun before, and nothing is to be done; that call's done is never called.
 * `free_noun` frees the noun, this struct with it; done may be NULL. */
bool closing_begin(struct closing *c, void (*free_noun)(void *noun), void *noun,
                   void (*done)(void *arg), void *arg);
/* uv_close of any handle of the noun, once, after closing_begin. Takes the handle's data: a request
 * that libuv still ends, as a write to a stream, has data of its own. */
void closing_handle(struct closing *c, void *handle);
/* One more thing to wait for. Returns c, for the close of a part; see above. */
struct closing *closing_hold(struct closing *c);
/* One less. The last one after closing_begin frees the noun and calls done before it returns: a
 * part that may end within its own close comes after a handle, or within a hold. A noun without
 * handles ends its x_close with closing_drop(closing_hold(c)): at once, if nothing is under way. */
void closing_drop(void *c);

#endif
