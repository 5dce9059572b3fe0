#include "agent/svid/rotation.h"

enum { JITTER_MID = 500 };

static int64_t quarter_up(int64_t n)
{
    return (n + 3) / 4;
}

int64_t rotation_time(int64_t issued_at, int64_t not_before, int64_t not_after, unsigned jitter)
{
    int64_t half = (not_after - not_before) / 2;
    int64_t shift = half * ((int64_t)jitter - JITTER_MID) / (10 * JITTER_MID);
    int64_t when = not_after - half + shift;
    /* Backdating makes half the validity lie before the issue of a very short SVID. */
    int64_t earliest = issued_at + quarter_up(not_after - issued_at);
    if (when < earliest)
        when = earliest;
    return when < not_after ? when : not_after;
}
