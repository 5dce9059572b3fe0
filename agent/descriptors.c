#include "agent/descriptors.h"

#include <sys/resource.h>

enum {
    RESERVED = 256,       /* descriptors for everything but connections */
    PER_CONNECTION = 2,   /* socket and pidfd */
    PER_SIDECAR = 3,      /* and its metrics page */
    SHARE_PART = 8,       /* one in so many is for share.sock */
    USER_AT_LEAST = 8192, /* connections */
    SIDECARS_AT_LEAST = 1024,
    UNLIMITED = 1 << 20,
};

static size_t raise_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return 1024;
    rlim_t soft = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        files.rlim_cur = soft;
    return files.rlim_cur > UNLIMITED ? UNLIMITED : (size_t)files.rlim_cur;
}

static struct connection_limits limits_of(size_t total, size_t user_at_least)
{
    size_t user = total / 4 > user_at_least ? total / 4 : user_at_least;
    if (user > total - total / 16)
        user = total - total / 16;
    return (struct connection_limits){.per_user = user, .total = total};
}

struct descriptor_limits descriptors_raise(size_t per_user)
{
    size_t limit = raise_limit();
    size_t all = limit > 2 * RESERVED ? limit - RESERVED : limit / 2;
    size_t share = all / SHARE_PART;
    struct descriptor_limits d = {.api = limits_of((all - share) / PER_CONNECTION, USER_AT_LEAST),
                                  .share = limits_of(share / PER_SIDECAR, SIDECARS_AT_LEAST)};
    if (per_user > 0)
        d.api.per_user = per_user;
    return d;
}
