/* The agent's admin socket, for operators (Unix, 0600, same user or root): JSON, never a key.
 * Routes are in admin_<topic>.c, the table is in admin.c. An error is one line of text with status
 * 400, 404, 409 or 500. Loop thread only. */
#ifndef SPINDLE_AGENT_ADMIN_ADMIN_H
#define SPINDLE_AGENT_ADMIN_ADMIN_H

#include "agent/entry/entries.h"
#include "agent/record/record.h"
#include "agent/revoke/revoker.h"
#include "agent/svid/minter.h"
#include "common/http/http_server.h"

#include <jansson.h>

struct attest_unix;
struct explain_jobs;

struct admin_sources {
    /* The current set, borrowed for the call; NULL while none is loaded. */
    const struct entry_set *(*entries)(void *arg);
    void *arg;
    struct minter *minter;        /* borrowed */
    struct record *record;        /* borrowed */
    struct revoker *revoker;      /* borrowed */
    struct attest_unix *attest;   /* borrowed */
    struct metrics *metrics;      /* borrowed */
    size_t places;                /* connections at once */
    struct explain_jobs *explain; /* admin_open makes it */
};

struct admin; /* opaque */

/* ERR_IO naming the socket. `sources` is copied. */
err_t admin_open(uv_loop_t *loop, const char *socket_path, const struct admin_sources *sources,
                 struct admin **ret, struct why *why) MUST_CHECK;
/* Frees itself in the last close callback, then calls done (may be NULL). */
void admin_close(struct admin *a, void (*done)(void *arg), void *arg);

/* For routes: `arg` is theirs. */
const struct admin_sources *admin_sources(void *arg);
/* Takes `json`. */
void admin_answer(struct http_response *res, json_t *json);
void admin_answer_error(struct http_response *res, err_t err, const struct why *why);

#endif
