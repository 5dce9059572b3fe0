/* The agent's admin routes, for operators by its Unix socket (0600, same user or root):
 * GET /v1/entries and GET /v1/svids, JSON. Never a key. Loop thread only. */
#ifndef SPINDLE_AGENT_ADMIN_H
#define SPINDLE_AGENT_ADMIN_H

#include "agent/entries.h"
#include "agent/minter.h"
#include "common/http_server.h"

struct admin_sources {
    /* The current set, borrowed for the call; NULL while none is loaded. */
    const struct entry_set *(*entries)(void *arg);
    void *arg;
    struct minter *minter; /* borrowed */
};

struct admin; /* opaque */

/* ERR_IO naming the socket. `sources` is copied. */
err_t admin_open(uv_loop_t *loop, const char *socket_path, const struct admin_sources *sources,
                 struct admin **ret, struct why *why) MUST_CHECK;
/* Frees itself in the last close callback, then calls done (may be NULL). */
void admin_close(struct admin *a, void (*done)(void *arg), void *arg);

#endif
