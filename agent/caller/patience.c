#include "agent/caller/patience.h"

#include <signal.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { SIGNAL = SIGURG, AGAIN_MS = 1, MS_NS = 1000 * 1000 };

/* It need do nothing: a signal that is pending ends the wait. */
static void on_signal(int number)
{
    (void)number;
}

bool patience_init(struct patience *p)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL};
    event.sigev_notify_thread_id = gettid();
    p->has_timer = sigaction(SIGNAL, &action, NULL) == 0 &&
                   timer_create(CLOCK_MONOTONIC, &event, &p->timer) == 0;
    return p->has_timer;
}

static void patience_set(const struct patience *p, long first_ms, long again_ms)
{
    struct itimerspec when = {.it_value.tv_nsec = first_ms * MS_NS,
                              .it_interval.tv_nsec = again_ms * MS_NS};
    if (p->has_timer)
        (void)timer_settime(p->timer, 0, &when, NULL); /* fails for a wrong timer only */
}

void patience_begin(const struct patience *p)
{
    patience_set(p, PATIENCE_MS, AGAIN_MS);
}

void patience_end(const struct patience *p)
{
    patience_set(p, 0, 0);
}

void patience_done(struct patience *p)
{
    if (p->has_timer)
        timer_delete(p->timer);
    p->has_timer = false;
}
