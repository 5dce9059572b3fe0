#include "sidecar/admin/admin.h"

#include "common/http/json_answer.h"
#include "sidecar/admin/admin_explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNS_SHOWN_MAX 10000

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
    json_t *list = json_array();
    sidecar_each_conn(arg, CONNS_SHOWN_MAX, add_view, list);
    json_answer(res, json_pack("{s:o}", "connections", list));
}

static void on_drain(void *arg, const struct http_request *req, struct http_response *res)
{
    sidecar_drain(arg, &(struct audit_order){.by = req->caller});
    respond(res, 202, "draining\n");
}

static void on_quit(void *arg, const struct http_request *req, struct http_response *res)
{
    sidecar_quit(arg, &(struct audit_order){.by = req->caller});
    respond(res, 202, "closing\n");
}

static const struct http_route routes[] = {
    {"GET", "/v1/conns", on_conns},
    {"GET", "/v1/explain", sidecar_admin_explain},
    {"POST", "/v1/drain", on_drain},
    {"POST", "/v1/quit", on_quit},
};

err_t sidecar_admin_open(uv_loop_t *loop, const char *socket_path, size_t places, struct sidecar *s,
                         struct http_server **ret, struct why *why)
{
    struct address address;
    struct http_server_options options = {
        .routes = routes,
        .route_count = sizeof routes / sizeof routes[0],
        .arg = s,
        .socket_mode = 0600,
        .owner_only = true,
        .max_connections = places,
        .metrics = sidecar_facts(s).metrics,
    };
    err_t err = address_parse(slice_str(socket_path), &address, why);
    if (err == ERR_OK)
        err = http_server_open(loop, &address, &options, ret, why);
    return err == ERR_OK ? ERR_OK : why_add(why, err == ERR_IO ? ERR_CONFIG : err, "admin.socket");
}
