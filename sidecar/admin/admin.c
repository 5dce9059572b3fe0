#include "sidecar/admin/admin.h"

#include "common/encode/query.h"
#include "common/http/json_answer.h"
#include "common/revocation/revocation_cache.h"
#include "sidecar/peer/explain.h"

#include <stdio.h>
#include <unistd.h>

#define CONNS_SHOWN_MAX 10000

/* --- conns, drain, quit ----------------------------------------------------------------------- */

static json_t *view_json(const struct conn_view *v)
{
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:f, s:I, s:I}", "id", (json_int_t)v->id,
                     "direction", v->direction == ROUTE_INBOUND ? "inbound" : "outbound", "state",
                     conn_state_name(v->state), "from", v->from, "forward", v->forward, "peer_id",
                     v->peer_id, "age_seconds", (double)v->age_ms / 1000.0, "bytes_to_app",
                     (json_int_t)v->bytes_to_app, "bytes_from_app", (json_int_t)v->bytes_from_app);
}

static void add_view(void *arg, const struct conn_view *v)
{
    json_t *list = arg;
    json_array_append_new(list, view_json(v)); /* NULL (no memory) is refused: a row less */
}

static void respond(struct http_response *res, int status, const char *text)
{
    res->status = status;
    res->content_type = "text/plain; charset=utf-8";
    if (buf_append_str(&res->body, text) != ERR_OK)
        res->status = 500;
}

static void on_conns(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)req;
    const struct admin_source *from = arg;
    json_t *list = json_array();
    from->each_conn(from->arg, CONNS_SHOWN_MAX, add_view, list);
    json_answer(res, json_pack("{s:o}", "connections", list));
}

static void on_drain(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_source *from = arg;
    from->drain(from->arg, &(struct audit_order){.by = req->caller});
    respond(res, 202, "draining\n");
}

static void on_quit(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_source *from = arg;
    from->quit(from->arg, &(struct audit_order){.by = req->caller});
    respond(res, 202, "closing\n");
}

/* --- explain ---------------------------------------------------------------------------------- */

enum { TEXT_MAX = 16 * 1024 };

/* Refused peers may claim any bytes, and they end in somebody's terminal. */
static json_t *plain_text(const char *text)
{
    char copy[SPIFFEID_MAX + 1];
    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; *c != '\0'; c++)
        *c = *c >= ' ' && *c < 0x7f ? *c : '?';
    return json_string(copy);
}

struct refusal_list {
    json_t *rows;
    err_t newest; /* ERR_OK: none */
};

static void add_refusal(void *arg, const struct refusal *r)
{
    struct refusal_list *list = arg;
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:I}", "reason",
                            err_name(r->reason), "direction", r->direction, "listen", r->listen,
                            "address", r->address, "peer", plain_text(r->peer), "serial", r->serial,
                            "detail", plain_text(r->detail), "count", (json_int_t)r->count);
    json_answer_time(row, "first", r->first);
    json_answer_time(row, "last", r->last);
    json_array_append_new(list->rows, row);
    if (list->newest == ERR_OK)
        list->newest = r->reason;
}

static json_t *route_json(const struct sidecar_config *config, size_t at, const struct spiffeid *id,
                          size_t *accepting)
{
    static const char *const lists[] = {[ROUTE_INBOUND] = "allow", [ROUTE_OUTBOUND] = "expect"};
    const struct route_config *route = &config->routes[at];
    char listen[ADDRESS_TEXT_LEN], key[ROUTE_KEY_LEN];
    struct explain_rule rule;
    explain_rules(route, id, &rule);
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:b}", "key", sidecar_route_key(config, at, lists[route->direction], key),
        "direction", route_direction_name(route->direction), "listen",
        address_text(&route->listen, listen), "listed", rule.admits < route->rule_count);
    if (rule.admits < route->rule_count) {
        json_object_set_new(row, "rule", json_string(route->peers[rule.admits]));
        ++*accepting;
    } else if (rule.nearest < route->rule_count) {
        json_object_set_new(row, "nearest", json_string(route->peers[rule.nearest]));
        json_object_set_new(row, "differs", json_string(rule.differs));
    } else {
        json_object_set_new(row, "differs", json_string("the list is empty: it admits nobody"));
    }
    return row;
}

static void add_trust(json_t *top, const struct admin_facts *f, const struct spiffeid *id,
                      struct explain_peer *p)
{
    const struct bundle_set *set = f->identity != NULL ? identity_bundles(f->identity) : NULL;
    const struct bundle *bundle = set != NULL ? bundle_set_find(set, id->trust_domain) : NULL;
    json_t *known = json_array();
    for (size_t i = 0; set != NULL && i < set->count; i++)
        json_array_append_new(known, json_string(set->items[i].trust_domain));
    p->has_identity = f->identity != NULL;
    p->is_trusted = bundle != NULL && bundle->root_count > 0;
    json_object_set_new(top, "trust_domain",
                        json_stringn((const char *)id->trust_domain.data, id->trust_domain.len));
    json_object_set_new(top, "trusted", json_boolean(p->is_trusted));
    json_object_set_new(top, "trust_domains", known);
}

static void add_revocation(json_t *top, const struct admin_facts *f, const struct spiffeid *id,
                           struct explain_peer *p)
{
    struct revocation_id key = revocation_id_of(id->text);
    json_t *row = json_pack("{s:b}", "cache", f->view != NULL);
    p->checks_revocation = f->config->revocation != REVOCATION_OFF;
    p->held = revocation_view_id(f->view, &key);
    json_object_set_new(row, "checked", json_boolean(p->checks_revocation));
    json_object_set_new(row, "held", json_boolean(p->held.state == REVOCATION_REVOKED));
    if (p->held.state == REVOCATION_REVOKED) {
        json_object_set_new(row, "reason", json_string(revocation_reason_name(p->held.reason)));
        json_answer_time(row, "since", p->held.at);
    }
    if (f->view != NULL && revocation_view_alive_at(f->view) != 0)
        json_answer_time(row, "agent_last_seen", revocation_view_alive_at(f->view));
    json_object_set_new(top, "revocation", row);
}

static void add_verdict(json_t *top, const struct explain_peer *p)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    json_object_set_new(top, "verdict", json_string(explain_verdict_name(explain_judge(p))));
    if (explain_next(p, &text) == ERR_OK && buf_append(&text, "", 1) == ERR_OK)
        json_object_set_new(top, "next", json_string((const char *)text.data));
    buf_done(&text);
}

static void answer_peer(const struct admin_facts *f, const struct spiffeid *id, const char *text,
                        struct http_response *res)
{
    struct explain_peer p = {.id = text, .own_pid = (int)getpid()};
    struct refusal_list refusals = {.rows = json_array()};
    json_t *routes = json_array(), *top = json_pack("{s:s}", "peer", text);
    add_trust(top, f, id, &p);
    add_revocation(top, f, id, &p);
    for (size_t i = 0; i < f->config->route_count; i++)
        json_array_append_new(routes, route_json(f->config, i, id, &p.accepting));
    json_object_set_new(top, "routes", routes);
    refusals_each(f->refusals, text, add_refusal, &refusals);
    p.last = refusals.newest;
    json_object_set_new(top, "refusals", refusals.rows);
    add_verdict(top, &p);
    json_answer(res, top);
}

static void on_explain(void *arg, const struct http_request *req, struct http_response *res)
{
    const struct admin_source *from = arg;
    struct admin_facts f = from->facts(from->arg);
    struct why why = {.err = ERR_OK};
    struct spiffeid id;
    struct buf text;
    buf_init(&text, TEXT_MAX);
    err_t err = query_find(req->query, "peer", &text);
    if (err == ERR_NOT_FOUND) {
        struct refusal_list all = {.rows = json_array()};
        refusals_each(f.refusals, NULL, add_refusal, &all);
        json_answer(res, json_pack("{s:o}", "refusals", all.rows));
    } else if (err == ERR_OK &&
               spiffeid_parse(slice_of(text.data, text.len - 1), &id, &why) == ERR_OK) {
        answer_peer(&f, &id, (const char *)text.data, res);
    } else {
        if (why.err == ERR_OK)
            why_set(&why, ERR_USAGE, "expected a SPIFFE ID");
        why_add(&why, ERR_USAGE, "peer");
        json_answer_error(res, ERR_USAGE, &why);
    }
    buf_done(&text);
}

/* --- life ------------------------------------------------------------------------------------- */

static const struct http_route routes[] = {
    {"GET", "/v1/conns", on_conns},
    {"GET", "/v1/explain", on_explain},
    {"POST", "/v1/drain", on_drain},
    {"POST", "/v1/quit", on_quit},
};

err_t sidecar_admin_open(uv_loop_t *loop, const char *socket_path, size_t places,
                         struct admin_source *from, struct metrics *m, struct http_server **ret,
                         struct why *why)
{
    struct address address;
    struct http_server_options options = {
        .routes = routes,
        .route_count = sizeof routes / sizeof routes[0],
        .arg = from,
        .socket_mode = 0600,
        .owner_only = true,
        .max_connections = places,
        .metrics = m,
    };
    err_t err = address_parse(slice_str(socket_path), &address, why);
    if (err == ERR_OK)
        err = http_server_open(loop, &address, &options, ret, why);
    return err == ERR_OK ? ERR_OK : why_add(why, err == ERR_IO ? ERR_CONFIG : err, "admin.socket");
}
