#include "sidecar/sidecar_internal.h"

#include "common/metric/metric_page.h"
#include "sidecar/telemetry/metrics.h"

#include <unistd.h>

static void on_share_connected(void *arg, bool connected)
{
    struct sidecar *s = arg;
    metric_set(s->metrics, M_SHARE_CONNECTED, 0, 0, 0, connected);
    if (connected)
        metric_add(s->metrics, M_SHARE_CONNECTS, 0, 0, 0, 1);
}

static void on_share_welcome(void *arg, int64_t longest_life_s)
{
    struct sidecar *s = arg;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_life_limit(&s->workers[i], longest_life_s);
    log_debug("longest_life_told", log_int("seconds", longest_life_s));
}

static void on_share_cache(void *arg, struct revocation_view *view)
{
    struct sidecar *s = arg;
    revocation_view_unref(s->view);
    s->view = revocation_view_ref(view);
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_view(&s->workers[i], view);
    log_debug("revocation_cache_taken", log_int("generation", revocation_view_generation(view)));
}

static void on_share_changed(void *arg, uint64_t generation)
{
    struct sidecar *s = arg;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_changed(&s->workers[i]);
    log_debug("revocation_cache_changed", log_int("generation", generation));
}

static void on_share_page(void *arg, int fd)
{
    struct sidecar *s = arg;
    struct why why = {0};
    if (metrics_adopt_page(s->metrics, fd, &why) != ERR_OK) {
        close(fd);
        log_warn("metrics_page_refused", log_err("reason", why.err),
                 log_str("cause", why_text(&why)));
    }
    metrics_scrape(s->metrics); /* what is due now, not at the next tick */
    share_link_set_page(s->share, metrics_page_fd(s->metrics));
}

void sidecar_on_share_scrape(void *arg)
{
    const struct sidecar *s = arg;
    metric_set(s->metrics, M_REVOCATION_ALIVE, 0, 0, 0, (double)revocation_view_alive_at(s->view));
}

void sidecar_post_identity(struct sidecar *s)
{
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_identity(&s->workers[i], s->identity);
}

void sidecar_apply_hold(struct sidecar *s)
{
    bool hold = (s->awaits_share || s->share_denied) && s->config->revocation != REVOCATION_OFF;
    for (unsigned i = 0; i < s->worker_count; i++)
        worker_post_hold(&s->workers[i], hold);
    metric_set(s->metrics, M_NEWCOMERS_HELD, 0, 0, 0, hold && s->share_denied);
}

static void on_share_settled(void *arg)
{
    struct sidecar *s = arg;
    s->awaits_share = false;
    sidecar_apply_hold(s);
}

/* Soft means: go on where nobody can know. Here somebody knows. */
static void on_share_denied(void *arg, const struct why *why)
{
    struct sidecar *s = arg;
    s->share_denied = why != NULL;
    if (why == NULL)
        log_info("newcomers_go_on");
    else if (s->config->revocation != REVOCATION_OFF)
        log_warn("newcomers_held", log_err("reason", why->err), log_str("cause", why_text(why)),
                 log_str("next", "new connections wait up to timeouts.connect for the agent to say "
                                 "what is revoked; live ones go on"));
    sidecar_apply_hold(s);
}

err_t sidecar_open_share(struct sidecar *s, struct why *why)
{
    struct address endpoint;
    if (s->config->workload_api == NULL)
        return ERR_OK;
    err_t err = address_parse_endpoint(slice_str(s->config->workload_api), &endpoint, why);
    if (err != ERR_OK || endpoint.kind != ADDRESS_UNIX)
        return err;
    struct share_link_options options = {
        .api_socket = endpoint.host,
        .name = s->config->name,
        .on_connected = on_share_connected,
        .on_welcome = on_share_welcome,
        .on_cache = on_share_cache,
        .on_changed = on_share_changed,
        .on_page = on_share_page,
        .on_settled = on_share_settled,
        .on_denied = on_share_denied,
        .arg = s,
    };
    struct why no = {0};
    err = share_link_open(&s->loop, &options, &s->share, &no);
    if (err == ERR_CONFIG) { /* another agent's socket may have any path */
        log_info("share_absent", log_err("reason", err), log_str("cause", why_text(&no)));
        return ERR_OK;
    }
    s->awaits_share = err == ERR_OK;
    sidecar_apply_hold(s);
    return err == ERR_OK ? err : why_set(why, err, "%s", why_text(&no));
}
