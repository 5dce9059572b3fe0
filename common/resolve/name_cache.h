/* What is known of names, and for how long: when an answer is used, when it is asked for again, and
 * when an old one stands in. Pure: no name server, no clock, no lock; the resolver has these. Times
 * are monotonic milliseconds. */
#ifndef SPINDLE_COMMON_RESOLVE_NAME_CACHE_H
#define SPINDLE_COMMON_RESOLVE_NAME_CACHE_H

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/resolve/dns_name.h"
#include "common/resolve/ip_list.h"
#include "common/resolve/name_result.h"

/* An answer is believed as long as its TTL says, within these. Files have a TTL of 0. */
#define NAME_TTL_MIN_MS 1000
#define NAME_TTL_MAX_MS (5 * 60 * 1000)
/* So long a name that does not exist, or could not be asked about, is not asked for again. */
#define NAME_RETRY_MS 1000
/* So long beyond its TTL the last good answer is used while no server can give a newer one. */
#define NAME_STALE_MAX_MS (60 * 60 * 1000)
#define NAME_CACHE_MAX 1024 /* names; the one not used for longest makes room */

struct name_job; /* the look-up under way: the resolver's */

struct name_entry {
    struct map_node in_map;
    TAILQ_ENTRY(name_entry) in_use; /* newest use first */
    char name[DNS_NAME_SIZE];       /* folded */
    struct ip_list *list;           /* counted; the last good answer, or NULL */
    int64_t fresh_until, stale_until;
    int64_t retry_at;      /* not asked for again before this */
    enum name_result last; /* of the last look-up */
    bool asked;            /* there was one */
    bool failing;          /* said by the resolver's owner: no look-up succeeded since */
    struct name_job *job;  /* borrowed; an entry with one is not dropped */
};
struct name_cache {
    struct map map; /* owned; by name */
    TAILQ_HEAD(name_entries, name_entry) entries;
};
void name_cache_init(struct name_cache *c);

enum name_use {
    NAME_USE,     /* the list, as it is */
    NAME_REFRESH, /* the list, and ask for a newer one */
    NAME_DENY,    /* no: `last` says why */
    NAME_WAIT     /* for an answer */
};

/* The entry of a name, made when there is none, and moved to the front. NULL: no memory, or every
 * name has a look-up under way. */
struct name_entry *name_cache_find(struct name_cache *c, const char *name);
void name_cache_done(struct name_cache *c);

enum name_use name_entry_use(const struct name_entry *e, int64_t now);
/* Past its time, but better than nothing. */
bool name_entry_has_stale(const struct name_entry *e, int64_t now);
/* The end of a look-up. list: counted, taken over; NULL unless the result is NAME_OK. */
void name_entry_answered(struct name_entry *e, enum name_result result, struct ip_list *list,
                         uint32_t ttl_s, int64_t now);

#endif
