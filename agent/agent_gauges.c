#include "agent/agent_gauges.h"

#include "agent/svid/certificate_gauges.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/x509/x509.h"

#include <stdio.h>

struct agent_gauges {
    struct metrics *metrics;
    struct process_metrics *process;
    const struct authority *authority;
    const struct minter *minter;
    struct endpoint *endpoint;
    const char *trust_domain;
    bool expiry_days;
};

static void set(struct agent_gauges *g, size_t family, size_t label, double value)
{
    metric_set(g->metrics, family, label, 0, 0, value);
}

static void on_scrape(void *arg)
{
    struct agent_gauges *g = arg;
    if (g->authority == NULL)
        return;
    struct authority_times times = g->authority->times(g->authority->self);
    set(g, M_ISSUER_NOT_BEFORE, 0, (double)times.issuer_not_before);
    set(g, M_ISSUER_NOT_AFTER, 0, (double)times.issuer_not_after);
    set(g, M_BUNDLE_NOT_AFTER, metric_dynamic(g->metrics, M_BUNDLE_NOT_AFTER, g->trust_domain),
        (double)times.root_not_after);
    set(g, M_BUNDLE_AUTHORITIES, metric_dynamic(g->metrics, M_BUNDLE_AUTHORITIES, g->trust_domain),
        1);
    set(g, M_WORKLOAD_SVID_MIN_NOT_AFTER, 0, (double)minter_min_not_after(g->minter));
    certificate_gauges_set(g->metrics, g->minter, clock_wall_s());
    if (g->expiry_days)
        certificate_gauges_set_days(g->metrics, g->minter, clock_wall_s());
    set(g, M_CONNECTIONS, 0, (double)endpoint_connections(g->endpoint));
}

err_t agent_gauges_new(struct metrics *m, struct agent_gauges **ret, struct why *why)
{
    struct agent_gauges *g = mem_alloc(sizeof *g);
    if (g == NULL)
        return why_set(why, ERR_NO_MEMORY, "gauges");
    g->metrics = m;
    err_t err = process_metrics_new(m, &g->process, why);
    if (err == ERR_OK)
        err = metrics_on_scrape(m, on_scrape, g, why);
    if (err != ERR_OK) {
        agent_gauges_free(g);
        return err;
    }
    *ret = g;
    return ERR_OK;
}

void agent_gauges_free(struct agent_gauges *g)
{
    if (g == NULL)
        return;
    process_metrics_free(g->process);
    mem_free(g);
}

void agent_gauges_watch(struct agent_gauges *g, const struct authority *authority,
                        const struct minter *minter, struct endpoint *endpoint,
                        const char *trust_domain)
{
    g->minter = minter;
    g->endpoint = endpoint;
    g->trust_domain = trust_domain;
    g->authority = authority;
}

void agent_gauges_show_days(struct agent_gauges *g)
{
    g->expiry_days = true;
}

void agent_gauges_set_entries(struct agent_gauges *g, const struct entry_set *entries)
{
    set(g, M_ENTRIES, 0, entries != NULL ? (double)entries->count : 0);
}

const char *agent_root_fingerprint(struct slice bundle, char out[static AGENT_FINGERPRINT_LEN])
{
    struct slice root = slice_of(NULL, 0);
    size_t count = 0;
    uint8_t digest[SHA256_LEN];
    out[0] = '\0';
    if (x509_split(bundle, &root, 1, &count, NULL) != ERR_OK || count != 1)
        return out;
    sha256_of(root, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return out;
}
