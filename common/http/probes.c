#include "common/http/probes.h"

#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"
#include "common/metric/metric_text.h"

struct probes {
    struct probes_options opt;
    struct http_server *server;
    struct closing closing;
};

static void fail(struct http_response *res)
{
    buf_clear(&res->body);
    res->status = 500;
}

static void answer_metrics(void *arg, const struct http_request *req, struct http_response *res)
{
    struct probes *p = arg;
    if (p->opt.on_metrics != NULL) {
        p->opt.on_metrics(p->opt.metrics_arg, req, res);
        return;
    }
    enum metric_format format = metric_format_of(req->accept);
    res->content_type = metric_format_type(format);
    if (metric_text_write(p->opt.metrics, format, &res->body) != ERR_OK)
        fail(res);
}

static void answer_live(void *arg, const struct http_request *req, struct http_response *res)
{
    (void)arg;
    (void)req;
    if (buf_append_str(&res->body, "live\n") != ERR_OK)
        fail(res);
}

static void answer_ready(void *arg, const struct http_request *req, struct http_response *res)
{
    struct probes *p = arg;
    (void)req;
    bool ready = p->opt.is_ready(p->opt.arg, &res->body);
    res->status = ready ? 200 : 503;
    if (res->body.len == 0 &&
        buf_append_str(&res->body, ready ? "ready\n" : "not ready\n") != ERR_OK)
        buf_clear(&res->body); /* the status says it */
}

static const struct http_route routes[] = {
    {"GET", "/live", answer_live},
    {"GET", "/metrics", answer_metrics},
    {"GET", "/ready", answer_ready},
};
static const char *const bare_paths[] = {"/live", "/ready", NULL};

err_t probes_open(uv_loop_t *loop, const struct address *listen_on,
                  const struct probes_options *opt, struct probes **ret, struct why *why)
{
    struct probes *p = mem_alloc(sizeof *p);
    char text[ADDRESS_TEXT_LEN];
    struct address bound;
    if (p == NULL)
        return why_set(why, ERR_NO_MEMORY, "metrics listener");
    p->opt = *opt;
    const struct http_server_options server = {.routes = routes,
                                               .route_count = sizeof routes / sizeof routes[0],
                                               .arg = p,
                                               .socket_mode = 0666,
                                               .max_connections = opt->places,
                                               .metrics = opt->metrics,
                                               .check_host = true,
                                               .bare_paths = bare_paths,
                                               .hosts = opt->hosts};
    err_t err = http_server_open(loop, listen_on, &server, &p->server, why);
    if (err != ERR_OK) {
        mem_free(p);
        return err;
    }
    probes_address(p, &bound);
    log_info("listening", log_str("kind", "metrics"),
             log_str("address", address_text(&bound, text)));
    *ret = p;
    return ERR_OK;
}

void probes_address(const struct probes *p, struct address *ret)
{
    http_server_address(p->server, ret);
}

void probes_close(struct probes *p, void (*done)(void *arg), void *arg)
{
    if (closing_begin(&p->closing, mem_free, p, done, arg))
        http_server_close(p->server, closing_drop, closing_hold(&p->closing));
}
