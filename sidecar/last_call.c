#include "sidecar/last_call.h"

#include "common/log/log.h"

#include <unistd.h>

static void count_down(void *arg)
{
    struct last_call *l = arg;
    uint64_t end = uv_hrtime() + l->ms * 1000000u;
    uv_mutex_lock(&l->lock);
    for (uint64_t now = uv_hrtime(); !l->over && now < end; now = uv_hrtime())
        (void)uv_cond_timedwait(&l->done, &l->lock, end - now);
    if (!l->over) {
        log_error("end_forced", log_int("after_ms", l->ms),
                  log_str("detail", "something does not close: a hung file system, or a look-up"),
                  log_str("next", "ending without it"));
        _exit(0);
    }
    uv_mutex_unlock(&l->lock);
}

void last_call_begin(struct last_call *l, uint64_t ms)
{
    if (l->counts)
        return;
    l->ms = ms;
    l->over = false;
    uv_mutex_init(&l->lock);
    uv_cond_init(&l->done);
    l->counts = uv_thread_create(&l->thread, count_down, l) == 0;
    if (!l->counts)
        log_warn("no_last_call", log_str("next", "closing without a limit"));
}

void last_call_end(struct last_call *l)
{
    if (!l->counts)
        return;
    uv_mutex_lock(&l->lock);
    l->over = true;
    uv_cond_signal(&l->done);
    uv_mutex_unlock(&l->lock);
    uv_thread_join(&l->thread);
    uv_cond_destroy(&l->done);
    uv_mutex_destroy(&l->lock);
    l->counts = false;
}
