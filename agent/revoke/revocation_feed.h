/* Keeps the revocation cache in shared memory saying what a revocation_set says: certificates, held
 * SPIFFE IDs, and for each issuer of ours a list that is complete and fresh. What there was no
 * memory for is tried again every second. Loop thread only. */
#ifndef SPINDLE_AGENT_REVOKE_REVOCATION_FEED_H
#define SPINDLE_AGENT_REVOKE_REVOCATION_FEED_H

#include "agent/revoke/revocation_set.h"
#include "common/revocation/revocation_cache.h"

#define REVOCATION_FRESH_S 600  /* how long a list is good for */
#define REVOCATION_REFRESH_S 60 /* how often it is made so */
#define REVOCATION_ISSUERS_MAX 1024

struct revocation_feed; /* opaque */
struct metrics;

struct revocation_feed_options {
    const struct revocation_set *set;                   /* borrowed */
    struct metrics *metrics;                            /* borrowed, may be NULL */
    void (*on_replaced)(void *arg, int fd);             /* as revocation_writer_new; may be NULL */
    void (*on_changed)(void *arg, uint64_t generation); /* readers should look again; may be NULL */
    void *arg;
};
/* Writes all of the set. ERR_NO_MEMORY, ERR_IO. */
err_t revocation_feed_new(const struct revocation_feed_options *opt, struct revocation_feed **ret,
                          struct why *why) MUST_CHECK;
void revocation_feed_free(struct revocation_feed *f);    /* NULL is fine */
int revocation_feed_fd(const struct revocation_feed *f); /* borrowed, until replaced */
uint64_t revocation_feed_generation(const struct revocation_feed *f);

/* One of our issuers, whose certificates all expire before `until`: its list is complete. */
void revocation_feed_issuer(struct revocation_feed *f,
                            const uint8_t issuer[static REVOCATION_ISSUER_LEN], int64_t until,
                            int64_t now);
/* The set has taken this change: readers see it when this returns. ERR_NO_MEMORY, ERR_IO,
 * ERR_LIMIT: not all of it yet, and until then no list is complete. */
err_t revocation_feed_change(struct revocation_feed *f, const struct revocation_change *change,
                             int64_t now, struct why *why) MUST_CHECK;
/* The set is about to forget it. */
void revocation_feed_forget(struct revocation_feed *f, const struct revocation_certificate *c);
/* Once a second: heartbeat, fresh lists, and what is still missing. */
void revocation_feed_tick(struct revocation_feed *f, int64_t now);

#endif
