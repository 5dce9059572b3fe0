/* What the routes of the admin socket read and act on; each gets it as its `arg`. */
#ifndef SPINDLE_AGENT_ADMIN_ADMIN_SOURCES_H
#define SPINDLE_AGENT_ADMIN_ADMIN_SOURCES_H

#include "agent/record/record.h"
#include "agent/revoke/revoker.h"
#include "agent/svid/minter.h"
#include "common/http/json_answer.h"

struct attestors;
struct explain_jobs;

struct admin_sources {
    /* The current set, borrowed for the call; NULL while none is loaded. */
    const struct entry_set *(*entries)(void *arg);
    void *arg;
    struct minter *minter;             /* borrowed */
    struct record *record;             /* borrowed */
    struct revoker *revoker;           /* borrowed */
    const struct attestors *attestors; /* borrowed */
    struct metrics *metrics;           /* borrowed */
    size_t places;                     /* connections at once */
    struct explain_jobs *explain;      /* admin_open makes it */
};

#endif
