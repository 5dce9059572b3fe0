#include "agent/api/descriptors.h"

#include "common/loop/descriptors.h"

enum {
    RESERVED_LEAST = 48, /* for everything but connections; some 30 are open when nobody is here */
    RESERVED_PART = 8,   /* one in so many more: HTTP clients, files of attestations */
    RESERVED_MOST = 256,
    PER_CONNECTION = 2,   /* socket and pidfd */
    PER_SIDECAR = 3,      /* and its metrics page */
    SHARE_PART = 8,       /* one in so many is for share.sock */
    USER_AT_LEAST = 8192, /* connections */
    SIDECARS_AT_LEAST = 1024,
};

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct connection_limits limits_of(size_t total, size_t user_at_least)
{
    size_t user = least(most(total / 4, user_at_least), total - total / 16);
    return (struct connection_limits){.per_user = user, .total = total};
}

struct descriptor_limits descriptors_share_out(size_t descriptors, size_t per_user)
{
    size_t reserved = least(RESERVED_LEAST + descriptors / RESERVED_PART, RESERVED_MOST);
    struct descriptor_limits d = {.http_places = descriptors_http_places(descriptors)};
    if (descriptors < reserved + 2 * PER_CONNECTION + PER_SIDECAR)
        return d;
    size_t all = descriptors - reserved;
    size_t share = most(all / SHARE_PART, PER_SIDECAR);
    d.api = limits_of((all - share) / PER_CONNECTION, USER_AT_LEAST);
    d.share = limits_of(share / PER_SIDECAR, SIDECARS_AT_LEAST);
    if (per_user > 0)
        d.api.per_user = per_user;
    return d;
}

err_t descriptors_open(size_t per_user, struct descriptor_limits *ret, struct why *why)
{
    size_t descriptors = descriptors_raise();
    struct descriptor_limits d = descriptors_share_out(descriptors, per_user);
    size_t need = descriptors;
    while (descriptors_share_out(need, per_user).api.total == 0)
        need++;
    if (need > descriptors)
        return why_set(why, ERR_CONFIG,
                       "%zu descriptors are left of the limit (RLIMIT_NOFILE): the agent needs at "
                       "least %zu; raise it (ulimit -n, LimitNOFILE=)",
                       descriptors, need);
    *ret = d;
    return ERR_OK;
}
