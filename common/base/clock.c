#include "common/base/clock.h"

#include <stdio.h>
#include <time.h>

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

uint64_t clock_mono_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

const char *clock_format_s(int64_t unix_s, char out[static CLOCK_TEXT_LEN])
{
    struct tm parts;
    time_t t = (time_t)unix_s;
    if (gmtime_r(&t, &parts) == NULL ||
        strftime(out, CLOCK_TEXT_LEN, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(out, CLOCK_TEXT_LEN, "@%lld", (long long)unix_s);
    return out;
}
