/* The agent's end of share.sock (docs/share.md): accepts sidecars beside the Workload API's socket,
 * attests each like any workload, lets in who serves a SPIFFE ID that its entries give, and tells
 * them of the revocation cache and of their metrics page. A reload of the entries attests all anew;
 * who is no longer entitled is let go, as is whose process has ended. Bounded a user and in all; a
 * sidecar that does not read is owed the newest state and no queue. Loop thread only. */
#ifndef SPINDLE_AGENT_SHARE_SHARE_H
#define SPINDLE_AGENT_SHARE_SHARE_H

#include "agent/attest/attestation.h"
#include "agent/caller/connection.h"
#include "agent/entry/entries.h"
#include "common/metric/metric.h"

#define SHARE_HELLO_MS 5000 /* from accept to HELLO */

struct share; /* opaque */

struct share_options {
    const char *api_socket;            /* share.sock lies beside it (share_path) */
    const struct attestors *attestors; /* borrowed */
    struct metrics *metrics;           /* borrowed, may be NULL */
    struct connection_limits limits;
    enum peer_mode peer_mode;
    const struct entry_set *(*entries)(void *arg); /* in use now; NULL: none yet */
    int64_t (*longest_life_s)(void *arg);          /* of an SVID issued now, backdate included */
    /* The metrics page of a sidecar that asks for one, a borrowed descriptor, or -1: none.
     * `offered`: the page that it has, or -1; the callee's. May be NULL: nobody counts in pages. */
    int (*page_for)(void *arg, const char *spiffe_id, const char *name, int offered);
    /* The sidecar that `page` was given to has gone. */
    void (*page_left)(void *arg, int page);
    void *arg;
};

/* ERR_CONFIG, ERR_LOCKED, ERR_IO naming the path. */
err_t share_open(uv_loop_t *loop, const struct share_options *opt, struct share **ret,
                 struct why *why) MUST_CHECK;
/* Frees itself when all are gone, then calls done. */
void share_close(struct share *s, void (*done)(void *arg), void *arg);
const char *share_socket(const struct share *s); /* its path */

/* A revocation cache (borrowed until the next call), for all that are here or come. */
void share_set_cache(struct share *s, int fd, uint64_t generation);
/* The cache has changed: wakes all sidecars. */
void share_changed(struct share *s, uint64_t generation);
/* Entries or configuration are others now. */
void share_set_entries(struct share *s);
/* Sidecars let in and here now. */
size_t share_sidecars(const struct share *s);

#endif
