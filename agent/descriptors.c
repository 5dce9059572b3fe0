#include "agent/descriptors.h"

#include <sys/resource.h>

enum {
    RESERVED = 256,       /* descriptors for everything but connections */
    PER_CONNECTION = 2,   /* socket and pidfd */
    USER_AT_LEAST = 8192, /* connections */
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

struct connection_limits descriptors_raise(size_t per_user)
{
    size_t limit = raise_limit();
    size_t total = (limit > 2 * RESERVED ? limit - RESERVED : limit / 2) / PER_CONNECTION;
    size_t user = total / 4 > USER_AT_LEAST ? total / 4 : USER_AT_LEAST;
    if (user > total - total / 16)
        user = total - total / 16;
    return (struct connection_limits){.per_user = per_user > 0 ? per_user : user, .total = total};
}
