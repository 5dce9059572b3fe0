#include "sidecar/telemetry/gauges.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/metric/metric_page.h"
#include "sidecar/telemetry/skipped_roots.h"

#include <string.h>

struct gauges {
    struct metrics *metrics; /* borrowed */
    struct process_metrics *process;
    uv_timer_t tick;
    int64_t not_before, not_after;
    bool has_certificate; /* ever had */
    uint8_t certificate[SHA256_LEN];
    struct skipped_roots skipped;
};

/* --- identity --------------------------------------------------------------------------------- */

static void set(struct gauges *g, size_t family, size_t a, size_t b, int64_t value)
{
    metric_set(g->metrics, family, a, b, 0, (double)value);
}

static void count_certificate(struct gauges *g, const struct x509 *leaf)
{
    uint8_t digest[SHA256_LEN];
    sha256_of(leaf->der, digest);
    bool is_first = !g->has_certificate;
    if (!is_first && memcmp(digest, g->certificate, sizeof digest) == 0)
        return;
    memcpy(g->certificate, digest, sizeof digest);
    g->has_certificate = true;
    metric_add(g->metrics, M_SVID_ROTATIONS, RESULT_SUCCESS, 0, 0, 1);
    metric_add(g->metrics, M_MTLS_CERTIFICATE_ROTATIONS, 0, 0, 0, is_first ? 0 : 1);
}

/* The first to end of the chain's authorities; 0 when it has none. */
static int64_t issuer_not_after(const struct identity *id)
{
    int64_t first = 0;
    for (size_t i = 1; i < identity_cert_count(id); i++) {
        int64_t end = identity_cert(id, i)->not_after;
        first = i == 1 || end < first ? end : first;
    }
    return first;
}

static void set_bundle(struct gauges *g, size_t domain, const struct bundle *b)
{
    int64_t first = 0, last = 0;
    for (size_t i = 0; i < b->root_count; i++) {
        int64_t end = b->roots[i].not_after;
        first = i == 0 || end < first ? end : first;
        last = i == 0 || end > last ? end : last;
    }
    set(g, M_BUNDLE_NOT_AFTER, domain, ROOT_FIRST, first);
    set(g, M_BUNDLE_NOT_AFTER, domain, ROOT_LAST, last);
}

static void set_bundles(struct gauges *g, const struct bundle_set *bundles)
{
    metric_forget_values(g->metrics, M_BUNDLE_NOT_AFTER);
    for (size_t i = 0; i < bundles->count; i++) {
        const struct bundle *b = &bundles->items[i];
        set_bundle(g, metric_dynamic(g->metrics, M_BUNDLE_NOT_AFTER, b->trust_domain), b);
    }
}

void gauges_set_identity(struct gauges *g, const struct identity *id)
{
    const struct x509 *leaf = identity_leaf(id);
    count_certificate(g, leaf);
    g->not_before = leaf->not_before;
    g->not_after = leaf->not_after;
    set(g, M_SVID_NOT_BEFORE, 0, 0, leaf->not_before);
    set(g, M_SVID_NOT_AFTER, 0, 0, leaf->not_after);
    set(g, M_ISSUER_NOT_AFTER, 0, 0, issuer_not_after(id));
    set_bundles(g, identity_bundles(id));
    skipped_roots_tell(&g->skipped, g->metrics, identity_bundles(id));
}

/* --- clock ------------------------------------------------------------------------------------ */

static void on_scrape(void *arg)
{
    struct gauges *g = arg;
    int64_t now = clock_wall_s();
    if (!g->has_certificate)
        return;
    set(g, M_MTLS_CERTIFICATE_EXPIRY, 0, 0, g->not_after - now);
    set(g, M_MTLS_CERTIFICATE_AGE, 0, 0, now - g->not_before);
}

static void on_tick(uv_timer_t *timer)
{
    const struct gauges *g = timer->data;
    if (metrics_page_fd(g->metrics) >= 0)
        metrics_scrape(g->metrics);
}

err_t gauges_open(uv_loop_t *loop, struct metrics *m, struct gauges **ret, struct why *why)
{
    struct gauges *g = mem_alloc(sizeof *g);
    if (g == NULL)
        return why_set(why, ERR_NO_MEMORY, "gauges");
    g->metrics = m;
    err_t err = process_metrics_new(m, &g->process, why);
    if (err == ERR_OK)
        err = metrics_on_scrape(m, on_scrape, g, why);
    if (err != ERR_OK) {
        gauges_free(g);
        return err;
    }
    metric_set(m, M_SIDECAR_UP, 0, 0, 0, 1);
    uv_timer_init(loop, &g->tick);
    g->tick.data = g;
    uv_timer_start(&g->tick, on_tick, 0, GAUGES_TICK_MS);
    *ret = g;
    return ERR_OK;
}

void gauges_stop(struct gauges *g)
{
    if (g != NULL)
        uv_close((uv_handle_t *)&g->tick, NULL);
}

void gauges_free(struct gauges *g)
{
    if (g == NULL)
        return;
    process_metrics_free(g->process);
    mem_free(g);
}
