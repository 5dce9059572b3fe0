/* The end of this program does not wait for anybody: a file system that hangs, a look-up on the
 * thread pool, a thread that does not come back. A thread of its own counts down while everything
 * closes in order; when that takes too long it says so and ends the program, with exit status 0,
 * as an end that was asked for is no failure. */
#ifndef SPINDLE_SIDECAR_LAST_CALL_H
#define SPINDLE_SIDECAR_LAST_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define LAST_CALL_MS 2000

struct last_call {
    bool counts;
    bool over;
    uint64_t ms;
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t done;
};

/* Zeroed before. Twice is fine; without a thread to be had there is no limit, and a line. */
void last_call_begin(struct last_call *l, uint64_t ms);
/* Everything has closed. */
void last_call_end(struct last_call *l);

#endif
