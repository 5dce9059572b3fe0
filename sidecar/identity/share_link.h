/* The sidecar's end of share.sock (docs/share.md): says HELLO once there is an identity, tells what
 * comes, connects again with backoff for ever. Nothing depends on it: where there is no share.sock
 * (another vendor's agent), that is one info line. What came stays in use while the agent is away.
 * Loop thread only. */
#ifndef SPINDLE_SIDECAR_IDENTITY_SHARE_LINK_H
#define SPINDLE_SIDECAR_IDENTITY_SHARE_LINK_H

#include "common/revocation/revocation_cache.h"

#include <uv.h>

#define SHARE_RETRY_FIRST_MS 100
#define SHARE_RETRY_CAP_MS 1000 /* what was revoked meanwhile waits for it */
#define SHARE_SETTLE_MS 1000    /* from the first identity, or WELCOME, for a cache to come */
#define SHARE_WELCOME_MS 10000  /* from HELLO to the answer */

struct share_link; /* opaque */

/* Each callback may be NULL. None is called from share_link_open, nor after share_link_close. */
struct share_link_options {
    const char
        *api_socket;  /* the Workload API's; share.sock lies beside it; borrowed for the call */
    const char *name; /* borrowed for the link's life; "" when it needs none */

    /* The agent let us in, or has gone; each change once. */
    void (*on_connected)(void *arg, bool connected);
    /* How long an SVID of this agent lives at most. */
    void (*on_welcome)(void *arg, int64_t longest_life_s);
    /* Another cache than before, borrowed: keep it with revocation_view_ref, let the old one go,
     * look again at live connections. */
    void (*on_cache)(void *arg, struct revocation_view *view);
    /* The cache in hand has changed: look again at live connections. */
    void (*on_changed)(void *arg, uint64_t generation);
    /* Once, after the first identity: a cache came, or there is none to be had. May be called from
     * within share_link_set_identity. */
    void (*on_settled)(void *arg);
    /* The agent is there and gives no cache that is kept up: why. NULL: it does again, or there is
     * none. Each change once; may be called from within share_link_set_identity. */
    void (*on_denied)(void *arg, const struct why *why);
    /* Count in this page from now on; the callee's. NULL: none is asked for. */
    void (*on_page)(void *arg, int fd);
    void *arg;
};

/* ERR_CONFIG when the path would be too long. */
err_t share_link_open(uv_loop_t *loop, const struct share_link_options *opt,
                      struct share_link **ret, struct why *why) MUST_CHECK;
/* Who we are: connects, anew when it was somebody else before. Empty: no identity now; goes on as
 * who we were, for what took the identity may be what live connections are to be cut for. */
void share_link_set_identity(struct share_link *l, struct slice spiffe_id);
/* The page to show to the agent after the next WELCOME, borrowed until changed; -1: none. */
void share_link_set_page(struct share_link *l, int fd);
/* Now rather than after the wait: the agent was seen. */
void share_link_retry(struct share_link *l);
/* Frees itself in the last close callback, then calls done (may be NULL). */
void share_link_close(struct share_link *l, void (*done)(void *arg), void *arg);

#endif
