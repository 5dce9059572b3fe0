/* The agent's gauges that are read off its parts at each scrape. Loop thread only. */
#ifndef SPINDLE_AGENT_AGENT_GAUGES_H
#define SPINDLE_AGENT_AGENT_GAUGES_H

#include "agent/api/endpoint.h"
#include "agent/svid/minter.h"
#include "agent/telemetry/metrics.h"

struct agent_gauges; /* opaque */

err_t agent_gauges_new(struct metrics *m, struct agent_gauges **ret, struct why *why) MUST_CHECK;
void agent_gauges_free(struct agent_gauges *g);
/* All borrowed until agent_gauges_free; no scrape may come once one is closed. */
void agent_gauges_watch(struct agent_gauges *g, const struct authority *authority,
                        const struct minter *minter, struct endpoint *endpoint,
                        const char *trust_domain);
/* cert_expiry_days is wanted. */
void agent_gauges_show_days(struct agent_gauges *g);
void agent_gauges_set_entries(struct agent_gauges *g, const struct entry_set *entries);

/* SHA-256 of the first root, in hex; returns out. */
#define AGENT_FINGERPRINT_LEN 65
const char *agent_root_fingerprint(struct slice bundle, char out[static AGENT_FINGERPRINT_LEN]);

#endif
