#include "sidecar/telemetry/name_notes.h"

#include "common/base/mem.h"
#include "common/share/sidecar_family_ids.h"

struct name_notes {
    struct metrics *metrics; /* borrowed */
    struct notes *notes;     /* borrowed */
    struct resolver *resolver;
};

static void on_lookup(void *arg, const char *name, enum name_result result, uint64_t ns)
{
    struct name_notes *n = arg;
    metric_add(n->metrics, M_DNS_LOOKUPS, result, 0, 0, 1);
    metric_observe_ns(n->metrics, M_DNS_LOOKUP_DURATION, 0, 0, 0, ns);
    log_debug("name_looked_up", log_str("name", name), log_str("result", name_result_word(result)),
              log_int("us", ns / 1000u));
}

static void on_turn(void *arg, const char *name, enum name_result result, bool stale)
{
    struct name_notes *n = arg;
    struct why why = {0};
    err_t err = name_result_why(&why, name, result);
    struct log_limit *limit = log_limits_of(&n->notes->lines, LINE_NAME, err);
    if (err == ERR_OK)
        LOG_LIMITED(limit, LOG_INFO, "name_back", log_str("name", name),
                    log_str("next", "its addresses are used from now on"));
    else
        LOG_LIMITED(limit, LOG_WARN, "name_failing", log_str("name", name), log_err("reason", err),
                    log_str("detail", why_text(&why)),
                    log_str("next", stale ? "using the last good answer for up to an hour"
                                          : "connections to it fail, each asks again"));
}

static void on_answer(void *arg, enum resolver_source source, size_t count)
{
    struct name_notes *n = arg;
    metric_add(n->metrics, M_DNS_ANSWERS, source, 0, 0, count);
}

static void on_bound(void *arg, enum resolver_bound bound, const char *name)
{
    static const struct {
        const char *what, *next;
        int limit;
    } rows[] = {
        [RESOLVER_BOUND_NAMES] = {"names being looked up", "its connections fail", NAME_CACHE_MAX},
        [RESOLVER_BOUND_LOOKUPS] = {"look-ups at once", "it waits for its turn",
                                    RESOLVER_LOOKUPS_MAX},
        [RESOLVER_BOUND_WAITING] = {"connections waiting for names", "further ones fail",
                                    RESOLVER_ASKS_MAX},
        [RESOLVER_BOUND_ADDRESSES] = {"addresses of one name", "the others are left out",
                                      IP_LIST_MAX},
    };
    struct name_notes *n = arg;
    metric_add(n->metrics, M_DNS_BOUNDS, bound, 0, 0, 1);
    LOG_LIMITED(log_limits_of(&n->notes->lines, LINE_NAME, ERR_LIMIT), LOG_WARN, "name_bound",
                log_str("name", name), log_str("bound", rows[bound].what),
                log_int("limit", rows[bound].limit), log_str("next", rows[bound].next));
}

static void on_scrape(void *arg)
{
    const struct name_notes *n = arg;
    struct resolver_counts c = resolver_counts(n->resolver);
    metric_set(n->metrics, M_DNS_LOOKUPS_RUNNING, 0, 0, 0, (double)(c.running + c.queued));
    metric_set(n->metrics, M_DNS_NAMES, 0, 0, 0, (double)c.names);
    metric_set(n->metrics, M_DNS_NAMES_FAILING, 0, 0, 0, (double)c.failing);
}

err_t name_notes_new(uv_loop_t *loop, struct metrics *m, struct notes *notes,
                     struct name_notes **ret, struct why *why)
{
    struct name_notes *n = mem_alloc(sizeof *n);
    if (n == NULL)
        return why_set(why, ERR_NO_MEMORY, "resolver");
    *n = (struct name_notes){.metrics = m, .notes = notes};
    struct resolver_options options = {.watch = {.on_lookup = on_lookup,
                                                 .on_turn = on_turn,
                                                 .on_answer = on_answer,
                                                 .on_bound = on_bound,
                                                 .arg = n}};
    err_t err = resolver_new(loop, &options, &n->resolver, why);
    if (err != ERR_OK) {
        mem_free(n);
        return err;
    }
    *ret = n;
    return metrics_on_scrape(m, on_scrape, n, why);
}

struct resolver *name_notes_resolver(struct name_notes *n)
{
    return n->resolver;
}

void name_notes_close(struct name_notes *n)
{
    if (n != NULL)
        resolver_close(n->resolver);
}

void name_notes_free(struct name_notes *n)
{
    if (n == NULL)
        return;
    resolver_free(n->resolver);
    mem_free(n);
}
