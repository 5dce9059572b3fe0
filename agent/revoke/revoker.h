/* Revokes and lifts (docs/revocation.md). By SPIFFE ID: its unexpired certificates; by entry: the
 * expired ones too; both are held, across restarts, until lifted. By serial: that one alone. A
 * change is on the disk before anything else comes of it; a failure leaves all as it was. From the
 * request on nothing is issued to what it names. Then the cache in shared memory follows, and
 * on_change. Changes wait for each other; the disk is asked on the thread pool. Loop thread only.
 */
#ifndef SPINDLE_AGENT_REVOKE_REVOKER_H
#define SPINDLE_AGENT_REVOKE_REVOKER_H

#include "agent/revoke/revoker_plan.h"
#include "agent/store/store.h"

#include <uv.h>

#define REVOKER_WAITING_MAX 1024

struct revoker; /* opaque */
struct audit;
struct metrics;
struct record;

struct revoker_options {
    struct store *store; /* borrowed, all of them */
    struct record *record;
    struct metrics *metrics;
    struct audit *audit;
    int64_t (*wall_s)(void);                       /* NULL: clock_wall_s */
    const struct entry_set *(*entries)(void *arg); /* in use now; NULL: none yet */
    size_t (*sidecars)(void *arg);                 /* that hear of the cache */
    void (*on_cache)(void *arg, int fd);           /* another table: revoker_cache */
    void (*on_cache_changed)(void *arg, uint64_t generation);
    /* It is done, and in the cache: what it names must not be served any more, or may be again. */
    void (*on_change)(void *arg, const struct revocation_change *change);
    void *arg;
};
/* Loads what is revoked, makes the cache. Errors as of the store: nothing must be issued then. */
err_t revoker_open(uv_loop_t *loop, const struct revoker_options *opt, struct revoker **ret,
                   struct why *why) MUST_CHECK;
/* Ends what is under way, cancels what waits (ERR_DRAINING), frees itself, calls done. */
void revoker_close(struct revoker *r, void (*done)(void *arg), void *arg);

struct revoker_result {
    enum revoke_kind kind;
    const char *target; /* as it was asked for */
    bool lift;
    enum revocation_reason reason;
    bool changed;        /* false: it was so before */
    size_t certificates; /* revoked (lifted) now */
    uint64_t generation; /* of the cache */
    size_t sidecars;     /* told of it */
    const char *note;    /* what the caller should know, or NULL; static text */
};
/* `why` is of a failure. May be called before revoker_do returns. */
typedef void revoker_done(void *arg, err_t err, const struct revoker_result *res,
                          const struct why *why);
/* ERR_USAGE: no such target or reason; ERR_NOT_FOUND: nobody knows it; ERR_IO, ERR_LIMIT,
 * ERR_NO_MEMORY: nothing changed, unless the text says that only the cache lags. */
void revoker_do(struct revoker *r, const struct revoker_request *req, revoker_done *d, void *arg);

/* Before each issue. ERR_REVOKED: it is held; ERR_CANCELED: it is being revoked, try again. */
err_t revoker_may_issue(const struct revoker *r, const char *spiffe_id, const char *entry_id,
                        struct why *why) MUST_CHECK;
/* An issuer that is about to be used, whose certificates all expire before `until`. */
void revoker_issuer(struct revoker *r, const uint8_t issuer[static 20], int64_t until);
/* REVOKED, held, or GOOD. */
struct revocation_status revoker_held(const struct revoker *r, const char *spiffe_id,
                                      const char *entry_id);
/* Of one certificate: REVOKED or GOOD. */
struct revocation_status revoker_status(const struct revoker *r, const uint8_t issuer[static 20],
                                        const uint8_t serial[static REVOKED_SERIAL_LEN]);
const char *revoker_kind_name(enum revoke_kind kind); /* "spiffe_id", "entry", "serial" */
const struct revocation_set *revoker_set(const struct revoker *r);
int revoker_cache(const struct revoker *r); /* borrowed, until on_cache */
uint64_t revoker_generation(const struct revoker *r);

#endif
