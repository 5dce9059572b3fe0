/* The program: builds the parts in order, runs them, drains them. Main thread only.
 *
 * Life: RUNNING -> (SIGTERM, SIGINT, `drain`) LEAVING: not ready, still accepting for drain_delay
 * -> DRAINING: listeners closed, until the last connection or drain_limit -> CLOSING. `quit` goes
 * to CLOSING at once. Exit is clean when every handle has closed. */
#ifndef SPINDLE_SIDECAR_SIDECAR_H
#define SPINDLE_SIDECAR_SIDECAR_H

#include "common/base/why.h"
#include "sidecar/conn/conn.h"
#include "sidecar/telemetry/audit_events.h"

/* Runs until told to end. ERR_CONFIG (exit 2) for a configuration that is not valid or cannot be
 * opened (port taken), after one line for each problem; else what failed. */
err_t sidecar_run(const char *config_path, const char *const *sets, struct why *why) MUST_CHECK;

struct sidecar;
struct refusals;
struct revocation_view;

/* For admin.c. */
void sidecar_drain(struct sidecar *s, const struct audit_order *order);
void sidecar_quit(struct sidecar *s, const struct audit_order *order);
void sidecar_each_conn(struct sidecar *s, size_t max,
                       void (*fn)(void *arg, const struct conn_view *view), void *arg);
/* What it goes by now; borrowed until the loop goes on. */
struct sidecar_facts {
    const struct sidecar_config *config;
    const struct identity *identity;    /* NULL: none */
    const struct revocation_view *view; /* NULL: none */
    struct refusals *refusals;
    struct metrics *metrics;
};
struct sidecar_facts sidecar_facts(const struct sidecar *s);

#endif
