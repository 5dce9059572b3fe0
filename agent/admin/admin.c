#include "agent/admin/admin.h"

#include "agent/admin/admin_explain.h"
#include "agent/admin/admin_revoke.h"
#include "agent/admin/admin_svids.h"
#include "common/base/mem.h"
#include "common/loop/closing.h"

struct admin {
    struct http_server *server;
    struct admin_sources sources;
    struct closing closing;
};

static json_t *texts(char *const *items, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count && items[i] != NULL; i++)
        json_array_append_new(list, json_string(items[i]));
    return list;
}

/* A NULL-terminated list, which may be NULL itself. */
static json_t *names(char *const *items)
{
    return items != NULL ? texts(items, SIZE_MAX) : json_array();
}

static json_t *entry_json(const struct entry *e)
{
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:o, s:s, s:o}", "id", e->id, "spiffe_id",
                     e->spiffe_id, "selectors", texts(e->selectors.items, e->selectors.count),
                     "x509_ttl_s", (json_int_t)e->x509_ttl_s, "jwt_ttl_s", (json_int_t)e->jwt_ttl_s,
                     "dns_names", names(e->dns_names), "hint", e->hint, "federates_with",
                     names(e->federates_with));
}

static void get_entries(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_sources *src = arg;
    (void)req;
    const struct entry_set *set = src->entries(src->arg);
    json_t *list = json_array();
    for (size_t i = 0; set != NULL && i < set->count; i++)
        json_array_append_new(list, entry_json(&set->items[i]));
    json_answer(res, json_pack("{s:o}", "entries", list));
}

static const struct http_route routes[] = {
    {"GET", "/v1/entries", get_entries},
    {"GET", "/v1/explain", admin_explain},
    {"GET", "/v1/svids", admin_svids_list},
    {"GET", "/v1/svids/search", admin_svids_search},
    {"POST", "/v1/svids/renew", admin_svids_renew},
    {"POST", "/v1/revoke", admin_revoke},
    {"GET", "/v1/revocations", admin_revocations},
};

err_t admin_open(uv_loop_t *loop, const char *socket_path, const struct admin_sources *sources,
                 struct admin **ret, struct why *why)
{
    struct admin *a = mem_alloc(sizeof *a);
    struct explain_jobs *jobs = explain_jobs_new(sources->attestors);
    if (a == NULL || jobs == NULL) {
        mem_free(a);
        mem_free(jobs);
        return why_set(why, ERR_NO_MEMORY, "no memory for the admin socket");
    }
    a->sources = *sources;
    a->sources.explain = jobs;
    struct http_server_options opt = {.routes = routes,
                                      .route_count = sizeof routes / sizeof routes[0],
                                      .arg = &a->sources,
                                      .socket_mode = 0600,
                                      .owner_only = true,
                                      .max_connections = sources->places,
                                      .metrics = sources->metrics};
    struct address listen;
    err_t err = address_parse(slice_str(socket_path), &listen, why);
    if (err == ERR_OK)
        err = http_server_open(loop, &listen, &opt, &a->server, why);
    if (err != ERR_OK) {
        explain_jobs_free(jobs);
        mem_free(a);
        return why_add(why, err, "admin.socket %s", socket_path);
    }
    *ret = a;
    return ERR_OK;
}

void admin_close(struct admin *a, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&a->closing, mem_free, a, done, arg))
        return;
    explain_jobs_free(a->sources.explain);
    a->sources.explain = NULL;
    http_server_close(a->server, closing_drop, closing_hold(&a->closing));
}
