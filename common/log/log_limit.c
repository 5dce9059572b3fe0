#include "common/log/log_limit.h"

#include <stdatomic.h>

#define SECOND_NS UINT64_C(1000000000)

static const struct log_limit_rate lines_rate = {LOG_LIMIT_BURST, LOG_LIMIT_PER_S};

/* Each line takes a token, which moves the time at which the bucket is full again by one interval;
 * a bucket that is further from full than its size is empty. */
bool log_limit_pass(struct log_limit *l, const struct log_limit_rate *rate, uint64_t now_ns,
                    uint64_t *ret_suppressed)
{
    uint64_t interval = SECOND_NS / rate->per_s;
    uint64_t due = atomic_load_explicit(&l->due_ns, memory_order_relaxed), next = 0;
    do {
        uint64_t from = due > now_ns ? due : now_ns;
        next = from + interval;
        if (next - now_ns > rate->burst * interval) {
            atomic_fetch_add_explicit(&l->suppressed, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&l->due_ns, &due, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    *ret_suppressed = atomic_exchange_explicit(&l->suppressed, 0, memory_order_relaxed);
    return true;
}

bool log_limit_line(struct log_limit *l, uint64_t *ret_suppressed)
{
    bool pass = log_limit_pass(l, &lines_rate, clock_mono_ns(), ret_suppressed);
    if (!pass)
        log_count_dropped();
    return pass;
}

struct log_limit *log_limits_of(struct log_limits *l, unsigned event, err_t reason)
{
    return &l->slots[(event * (LOG_LIMIT_SLOTS / 2) + err_index(reason)) % LOG_LIMIT_SLOTS];
}
