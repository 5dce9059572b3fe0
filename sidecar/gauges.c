#include "sidecar/gauges.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/metric_page.h"

#include <math.h>
#include <string.h>

#define DAY_S 86400.0

struct gauges {
    struct metrics *metrics; /* borrowed */
    char *name;              /* owned */
    bool expiry_days;
    struct process_metrics *process;
    uv_timer_t tick;
    int64_t not_before, not_after;
    char *service; /* owned: whose certificate it is; NULL before the first */
    uint8_t certificate[SHA256_LEN];
};

/* --- identity ----------------------------------------------------------------------------------
 */

static void set(struct gauges *g, size_t family, size_t a, size_t b, int64_t value)
{
    metric_set(g->metrics, family, a, b, 0, (double)value);
}

static void count_certificate(struct gauges *g, const struct x509 *leaf)
{
    uint8_t digest[SHA256_LEN];
    sha256_of(leaf->der, digest);
    bool is_first = g->service == NULL;
    if (!is_first && memcmp(digest, g->certificate, sizeof digest) == 0)
        return;
    memcpy(g->certificate, digest, sizeof digest);
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
    for (size_t i = 0; b != NULL && i < b->root_count; i++) {
        int64_t end = b->roots[i].not_after;
        first = i == 0 || end < first ? end : first;
        last = i == 0 || end > last ? end : last;
    }
    set(g, M_BUNDLE_NOT_AFTER, domain, ROOT_FIRST, first);
    set(g, M_BUNDLE_NOT_AFTER, domain, ROOT_LAST, last);
}

/* Domains that were known once and are no more stay as 0. */
static void set_bundles(struct gauges *g, const struct bundle_set *bundles)
{
    for (size_t i = 0; i < bundles->count; i++)
        (void)metric_dynamic(g->metrics, M_BUNDLE_NOT_AFTER, bundles->items[i].trust_domain);
    for (size_t i = 0; i < metric_label_values(g->metrics, M_BUNDLE_NOT_AFTER, 0); i++) {
        const char *domain = metric_label_text(g->metrics, M_BUNDLE_NOT_AFTER, 0, i);
        if (i < METRIC_DYNAMIC_MAX)
            set_bundle(g, i, bundle_set_find(bundles, slice_str(domain)));
    }
}

static void set_days(struct gauges *g, double days)
{
    if (g->expiry_days)
        metric_set(g->metrics, M_CERT_EXPIRY_DAYS,
                   metric_dynamic(g->metrics, M_CERT_EXPIRY_DAYS, g->service), 0, 0, days);
}

static void set_service(struct gauges *g, const struct identity *id)
{
    struct slice text = g->name[0] != '\0' ? slice_str(g->name) : identity_id(id)->text;
    char *service = mem_alloc(text.len + 1);
    if (service == NULL)
        return; /* the last one's stays */
    memcpy(service, text.data, text.len);
    if (g->service != NULL && strcmp(g->service, service) != 0)
        set_days(g, NAN);
    mem_free(g->service);
    g->service = service;
}

void gauges_set_identity(struct gauges *g, const struct identity *id)
{
    const struct x509 *leaf = identity_leaf(id);
    count_certificate(g, leaf);
    set_service(g, id);
    g->not_before = leaf->not_before;
    g->not_after = leaf->not_after;
    set(g, M_SVID_NOT_BEFORE, 0, 0, leaf->not_before);
    set(g, M_SVID_NOT_AFTER, 0, 0, leaf->not_after);
    set(g, M_ISSUER_NOT_AFTER, 0, 0, issuer_not_after(id));
    set_bundles(g, identity_bundles(id));
}

/* --- clock -------------------------------------------------------------------------------------
 */

static void on_scrape(void *arg)
{
    struct gauges *g = arg;
    int64_t now = clock_wall_s();
    if (g->service == NULL)
        return;
    set(g, M_MTLS_CERTIFICATE_EXPIRY, 0, 0, g->not_after - now);
    set(g, M_MTLS_CERTIFICATE_AGE, 0, 0, now - g->not_before);
    set_days(g, (double)(g->not_after - now) / DAY_S);
}

static void on_tick(uv_timer_t *timer)
{
    const struct gauges *g = timer->data;
    if (metrics_page_fd(g->metrics) >= 0)
        metrics_scrape(g->metrics);
}

err_t gauges_open(uv_loop_t *loop, const struct gauges_options *opt, struct gauges **ret,
                  struct why *why)
{
    struct metrics *m = opt->metrics;
    struct gauges *g = mem_alloc(sizeof *g);
    if (g == NULL)
        return why_set(why, ERR_NO_MEMORY, "gauges");
    *g = (struct gauges){
        .metrics = m, .name = mem_strdup(opt->name), .expiry_days = opt->expiry_days};
    err_t err = g->name != NULL ? process_metrics_new(m, &g->process, why)
                                : why_set(why, ERR_NO_MEMORY, "gauges");
    if (err == ERR_OK && metrics_on_scrape(m, on_scrape, g) != ERR_OK)
        err = why_set(why, ERR_INTERNAL, "too many scrape hooks");
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
    mem_free(g->service);
    mem_free(g->name);
    mem_free(g);
}
