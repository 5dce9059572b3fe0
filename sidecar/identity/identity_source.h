/* Where the sidecar's identity comes from: any Workload API socket (AG-26, AG-27), or watched
 * files. Emits immutable snapshots; keeps the last good one until it expires when its source is
 * gone or offers something broken, and logs one line that says so. Loop thread only; files are read
 * on the thread pool.
 *
 *   workload_api: one stream, reconnected with backoff; PermissionDenied drops the identity,
 *                 InvalidArgument and Unimplemented end the trying (EP-8).
 *   files:        certificate (PEM, leaf first), key (PEM or DER, not readable by others), bundle
 *                 (PEM roots of the leaf's trust domain); taken only as a consistent set. */
#ifndef SPINDLE_SIDECAR_IDENTITY_IDENTITY_SOURCE_H
#define SPINDLE_SIDECAR_IDENTITY_IDENTITY_SOURCE_H

#include "common/spiffe/identity.h"

#include <uv.h>

/* Everything borrowed for the source's life. */
struct identity_source_options {
    const char *workload_api; /* endpoint as EP-4 has it; NULL: files */
    const char *certificate, *key, *bundle;
    const char *hint;      /* of several SVIDs, the one with this hint, or */
    const char *spiffe_id; /* with this ID; both NULL: the first (AG-27) */

    /* A new snapshot (borrowed: identity_ref to keep it), or NULL: there is none any more, and why.
     * Never called from identity_source_open; never called with what it was called with before. */
    void (*on_change)(void *arg, struct identity *id, const struct why *why);
    /* Something failed and was logged; the current identity, if any, stands. Not called for what
     * on_change told. For metrics; may be NULL. */
    void (*on_problem)(void *arg, const struct why *why);
    /* The Workload API's stream is up (it answered), or no longer; each change once. May be NULL.
     */
    void (*on_connected)(void *arg, bool connected);
    void *arg;
};

struct identity_source; /* opaque */

/* A source that is not there (yet) is no failure here: it is tried again for ever. ERR_CONFIG for
 * an endpoint that cannot be one. */
err_t identity_source_open(uv_loop_t *loop, const struct identity_source_options *opt,
                           struct identity_source **ret, struct why *why) MUST_CHECK;
/* Read or ask again now (SIGHUP). */
void identity_source_reload(struct identity_source *s);
/* No on_change after it returns; frees in the last close callback, then calls done (may be NULL).
 */
void identity_source_close(struct identity_source *s, void (*done)(void *arg), void *arg);

#endif
