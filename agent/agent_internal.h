/* What agent.c (its life) and agent_parts.c (what it is made of) share. Nobody else. */
#ifndef SPINDLE_AGENT_AGENT_INTERNAL_H
#define SPINDLE_AGENT_AGENT_INTERNAL_H

#include "agent/admin/admin.h"
#include "agent/agent_gauges.h"
#include "agent/api/descriptors.h"
#include "agent/api/endpoint.h"
#include "agent/api/health.h"
#include "agent/api/workload_api.h"
#include "agent/authority/issuer.h"
#include "agent/config/reload.h"
#include "agent/record/record.h"
#include "agent/revoke/revoker.h"
#include "agent/share/node_scrape.h"
#include "agent/share/share.h"
#include "agent/telemetry/audit_events.h"
#include "common/http/probes.h"

#define AGENT_SIGNALS 3
#define AGENT_REPORT_MAX (64 * 1024)

struct agent {
    uv_loop_t loop;
    const char *config_path;           /* borrowed */
    const char *const *sets;           /* borrowed */
    struct agent_config *started_with; /* parts borrow its strings for life */
    struct agent_config *config;       /* in use now: the same, or a reloaded one */
    int lock_fd;
    struct descriptor_limits limits;
    struct metrics *metrics;
    struct agent_gauges *gauges;
    struct audit *audit; /* NULL: off */
    struct issuer *issuer;
    struct authority *authority; /* the issuer's */
    struct record *record;
    struct revoker *revoker;
    struct reload *reload;
    struct entry_set *entries;
    struct attest_unix *attest;
    struct minter *minter;
    struct workload_api *api;
    struct health *health;
    struct share *share; /* NULL until it is open */
    struct endpoint *endpoint;
    struct page_store *pages;
    struct node_scrape *node_scrape;
    struct probes *probes;
    struct admin *admin;
    uv_signal_t signals[AGENT_SIGNALS];
    char *reload_problem; /* owned; the first line of what was wrong, NULL: nothing */
    size_t parts;         /* how many are open; closed from the last */
    unsigned handles;     /* of the part that is closing */
    bool serving, closing;
};

/* A part of the agent: what opens it and what closes it, which ends with agent_close_next. */
struct agent_part {
    err_t (*open)(struct agent *a, struct why *why);
    void (*close)(struct agent *a);
};
/* Opened in this order, closed in reverse: what a part uses is above it. */
extern const struct agent_part agent_parts[];
extern const size_t agent_part_count;

/* Record and revocation (agent_record.c). */
err_t agent_open_record(struct agent *a, struct why *why) MUST_CHECK;
void agent_close_record(struct agent *a);
err_t agent_open_revoker(struct agent *a, struct why *why) MUST_CHECK;
void agent_close_revoker(struct agent *a);
/* Callbacks; `arg` is the agent. */
const struct entry_set *agent_entries(void *arg);
err_t agent_may_issue(void *arg, const struct entry *e, struct why *why) MUST_CHECK;
err_t agent_on_issued(void *arg, const struct svid *svid, enum svid_why because,
                      struct why *why) MUST_CHECK;
void agent_part_closed(void *arg); /* every part ends its close with this */

/* Closes the part that was opened last, if there is one. */
void agent_close_next(struct agent *a);
/* Begins to close all parts; once. */
void agent_stop(struct agent *a);

#endif
