/* Keeps a flood of events from becoming a flood of lines: a token bucket each. The line after
 * suppressed ones says how many: suppressed=N. Any thread; one compare-and-swap a line. */
#ifndef SPINDLE_COMMON_LOG_LOG_LIMIT_H
#define SPINDLE_COMMON_LOG_LOG_LIMIT_H

#include "common/base/clock.h"
#include "common/log/log.h"

struct log_limit_rate {
    uint32_t burst, per_s; /* at least 1 each */
};
/* Enough for whoever looks for the cause of a failure by hand. */
#define LOG_LIMIT_BURST 50
#define LOG_LIMIT_PER_S 10

struct log_limit {           /* zeroed: full */
    _Atomic uint64_t due_ns; /* when the bucket is full again */
    _Atomic uint64_t suppressed;
};

/* May this one be written? *ret_suppressed: how many were not since the last that was. */
bool log_limit_pass(struct log_limit *l, const struct log_limit_rate *rate, uint64_t now_ns,
                    uint64_t *ret_suppressed);

/* A bucket for each kind of event and reason: a flood of one does not hide another. */
#define LOG_LIMIT_SLOTS 256
struct log_limits { /* zeroed */
    struct log_limit slots[LOG_LIMIT_SLOTS];
};
/* event: a small number of the caller's choice. */
struct log_limit *log_limits_of(struct log_limits *l, unsigned event, err_t reason);

/* Left out of the line when there were none. */
#define log_suppressed(n)                                                                          \
    ((struct log_field){                                                                           \
        .key = "suppressed", .kind = (n) > 0 ? LOG_F_INT : LOG_F_NONE, .v.num = (int64_t)(n)})

/* As log_warn and the others; lines that do not pass count in log_dropped(). */
#define LOG_LIMITED(limit, level, event, ...)                                                      \
    do {                                                                                           \
        uint64_t suppressed_ = 0;                                                                  \
        if (log_enabled(level) && log_limit_line(limit, &suppressed_))                             \
            log_write(level, event,                                                                \
                      (const struct log_field[]){                                                  \
                          __VA_ARGS__ __VA_OPT__(, ) log_suppressed(suppressed_), {.key = NULL}}); \
    } while (0)
/* For LOG_LIMITED: log_limit_pass now, by LOG_LIMIT_BURST and LOG_LIMIT_PER_S. */
bool log_limit_line(struct log_limit *l, uint64_t *ret_suppressed);

#endif
