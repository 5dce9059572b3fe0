/* How many connections there may be: in the whole process, at one listener, of peers that have not
 * shown who they are, of one source of those. Pure: the wishes of the configuration and the
 * descriptor limit in, numbers out. All of it stays within the limit, with a reserve for metrics,
 * admin, identity, share.sock, name look-ups and files. */
#ifndef SPINDLE_SIDECAR_CONFIG_PLACES_H
#define SPINDLE_SIDECAR_CONFIG_PLACES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define PLACES_PER_CONNECTION 2    /* descriptors: accepted and dialled */
#define PLACES_NEWCOMERS_MAX 16384 /* handshakes under way hold up to 64 KiB each */

struct place_wishes {       /* what a configuration says of them; of the last three 0 is nothing */
    size_t routes, workers; /* workers at least 1 */
    size_t total, per_listener, per_source;
};
struct place_limits {
    size_t total;        /* connections of the process */
    size_t per_listener; /* at most total */
    /* Of inbound connections whose handshake is not done; for one of the workers. */
    size_t newcomers;  /* in all */
    size_t per_source; /* of one source at one listener */
};
/* descriptors: that the process may have, without those it was started with. */
struct place_limits place_limits_of(struct place_wishes w, size_t descriptors);
/* As many connections as so many descriptors allow; 0: too few to run. */
size_t places_within(struct place_wishes w, size_t descriptors);
/* Descriptors for so many connections, the reserve included. */
size_t places_need(struct place_wishes w, size_t connections);

/* What all workers count in. */
struct places {
    size_t descriptors; /* as above; constant */
    _Atomic size_t open;
    _Atomic size_t *per_listener; /* owned by who made it; one a route */
    _Atomic bool full;            /* the last connection found no place */
};

#endif
