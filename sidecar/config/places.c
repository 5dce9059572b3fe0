#include "sidecar/config/places.h"

#include "common/loop/descriptors.h"

/* Descriptors that a running sidecar has or may need beside its connections: loop, signals, /proc,
 * inotify, identity, share.sock with cache and page, log and audit files and their successors,
 * files of a reload, name servers, sockets of dials that race, one being accepted and one kept back
 * for each HTTP socket. Some 25 are open when all of it is configured. */
#define RESERVE 40
#define PER_WORKER 4 /* its loop */
#define LEAST 2      /* connections that are worth running for */
#define HTTP_SOCKETS 2
#define NEWCOMERS_LEAST 16 /* peers that come at the same moment, where there is room for all */

static size_t own_need(struct place_wishes w, size_t descriptors)
{
    return RESERVE + w.workers * (PER_WORKER + w.routes) +
           HTTP_SOCKETS * descriptors_http_places(descriptors);
}

size_t places_within(struct place_wishes w, size_t descriptors)
{
    size_t own = own_need(w, descriptors);
    size_t places = descriptors > own ? (descriptors - own) / PLACES_PER_CONNECTION : 0;
    return places >= LEAST ? places : 0;
}

size_t places_need(struct place_wishes w, size_t connections)
{
    size_t wanted = connections > LEAST ? connections : LEAST;
    size_t need = own_need(w, 0) + wanted * PLACES_PER_CONNECTION;
    while (places_within(w, need) < wanted) /* more of them, more for HTTP */
        need++;
    return need;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t at_least(size_t newcomers)
{
    return newcomers > NEWCOMERS_LEAST ? newcomers : NEWCOMERS_LEAST;
}

static size_t or_else(size_t wish, size_t preset)
{
    return wish > 0 ? wish : preset;
}

/* What each worker has of it, rounded up. */
static size_t part_of(size_t all, struct place_wishes w)
{
    return (all + w.workers - 1) / w.workers;
}

struct place_limits place_limits_of(struct place_wishes w, size_t descriptors)
{
    size_t most = places_within(w, descriptors);
    size_t total = least(or_else(w.total, most), most);
    size_t some = w.routes > 1 ? total - total / 4 : total; /* no listener takes all */
    size_t newcomers = least(least(at_least(total - total / 4), total), PLACES_NEWCOMERS_MAX);
    size_t source = or_else(w.per_source, at_least((newcomers + 1) / 2));
    return (struct place_limits){.total = total,
                                 .per_listener = least(or_else(w.per_listener, some), total),
                                 .newcomers = part_of(newcomers, w),
                                 .per_source = part_of(least(source, newcomers), w)};
}
