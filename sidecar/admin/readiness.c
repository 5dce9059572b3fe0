#include "sidecar/admin/readiness.h"

/* The first route that takes no more, or route_count. */
static size_t full_route(const struct readiness *r, size_t cap)
{
    for (size_t i = 0; i < r->config->route_count; i++) {
        if (r->places->per_listener[i] >= cap)
            return i;
    }
    return r->config->route_count;
}

/* The first worker that could not take the newest identity: whether it serves with another one. */
static bool find_refusal(const struct readiness *r, struct worker_refusal *ret)
{
    for (unsigned i = 0; i < r->worker_count; i++) {
        if (worker_refused_identity(&r->workers[i], ret))
            return true;
    }
    return false;
}

static const char *plain_lack(const struct readiness *r)
{
    if (r->leaving)
        return "draining";
    if (!r->has_identity)
        return "no identity";
    if (!r->has_view && r->config->revocation == REVOCATION_HARD)
        return "no revocation cache, and revocation.policy is hard";
    if (r->is_denied && r->config->revocation != REVOCATION_OFF)
        return "the agent is there and gives no revocation cache: newcomers wait";
    return NULL;
}

bool readiness_tell(const struct readiness *r, struct buf *words)
{
    struct worker_refusal refusal = {.serves = true};
    char key[ROUTE_KEY_LEN];
    const char *lack = plain_lack(r);
    bool refused = find_refusal(r, &refusal), ready = false;
    struct place_limits limits =
        place_limits_of(sidecar_config_places(r->config), r->places->descriptors);
    size_t full = full_route(r, limits.per_listener), open = r->places->open;
    err_t err = ERR_OK;
    if (lack != NULL) {
        bool known = !r->leaving && !r->has_identity && r->problem->err != ERR_OK;
        err = buf_printf(words, "not ready: %s%s%s\n", lack, known ? ": " : "",
                         known ? why_text(r->problem) : "");
    } else if (refused && !refusal.serves) {
        err = buf_printf(words, "not ready: the identity cannot be used: %s\n",
                         why_text(&refusal.why));
    } else if (full < r->config->route_count) {
        err = buf_printf(words,
                         "not ready: %s holds as many connections as limits.connections allows: "
                         "%zu\n",
                         sidecar_route_key(r->config, full, "listen", key), limits.per_listener);
    } else if (open >= limits.total) {
        err =
            buf_printf(words,
                       "not ready: it holds as many connections as limits.total or the descriptor "
                       "limit allows: %zu\n",
                       limits.total);
    } else {
        ready = true;
        err = buf_append_str(words, "ready\n");
        if (err == ERR_OK && refused)
            err = buf_printf(words,
                             "degraded: the newest identity cannot be used, the one before is in "
                             "use: %s\n",
                             why_text(&refusal.why));
    }
    return err == ERR_OK && ready;
}
