#include "agent/api/endpoint.h"

#include "agent/api/call.h"
#include "agent/caller/listener.h"
#include "common/base/mem.h"
#include "common/log/log_limit.h"
#include "common/loop/closing.h"

#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MAX = 64 * 1024 };
enum { LINE_CONNECTION, LINE_CALL }; /* what log lines are limited by */

struct endpoint {
    struct endpoint_options opt;
    struct connections *connections;
    struct rpc_server *server;
    struct listener *listener;
    struct log_limits lines; /* of refusals */
    struct closing closing;
};

/* --- connections ------------------------------------------------------------------------------ */

/* A flood of connections must not become a flood of lines. fd: -1 when there is none. */
static void endpoint_report_refused(struct endpoint *e, int fd, err_t err, const struct why *why)
{
    struct unix_peer who = {.pid = 0};
    agent_count_refused(e->opt.metrics, err);
    LOG_LIMITED(log_limits_of(&e->lines, LINE_CONNECTION, err), LOG_WARN, "connection_refused",
                log_err("reason", err), log_str("cause", why_text(why)));
    if (fd >= 0)
        (void)unix_socket_peer(fd, &who); /* without it the event says less */
    audit_connection_refused(e->opt.audit, err, &who, why_text(why));
}

static void on_accept(void *arg, int fd)
{
    struct endpoint *e = arg;
    struct why why = {.err = ERR_OK};
    err_t err = connections_add(e->connections, fd, &why);
    if (err != ERR_OK) {
        endpoint_report_refused(e, fd, err, &why);
        close(fd);
        return;
    }
    rpc_server_add(e->server, fd);
}

static void on_accept_error(void *arg, err_t err, const struct why *why)
{
    endpoint_report_refused(arg, -1, err, why);
}

static void on_process_exit(void *arg, struct connection *c)
{
    (void)arg;
    log_debug("process_ended", log_int("pid", c->peer.pid), log_int("uid", c->peer.uid),
              log_int("calls", c->streams));
    connection_doom(c);
    call_end_all(c, ERR_ATTESTATION, "the process that made the connection has ended");
}

static void on_drain(void *arg, struct connection *c)
{
    (void)arg;
    call_end_all(c, ERR_DRAINING, "the agent is shutting down");
}

/* --- calls ------------------------------------------------------------------------------------ */

/* EP-2: exactly one, and exactly "true". */
static bool has_security_header(const struct rpc_call *call)
{
    struct slice value, second;
    return rpc_call_header(call, "workload.spiffe.io", 0, &value) &&
           !rpc_call_header(call, "workload.spiffe.io", 1, &second) && slice_eq_str(value, "true");
}

/* Before a call is entered; `c` may be NULL. */
static void endpoint_refuse(struct endpoint *e, struct rpc_call *call, const struct method *method,
                            const struct connection *c, err_t err, const char *text)
{
    const char *path = rpc_call_method(call);
    LOG_LIMITED(log_limits_of(&e->lines, LINE_CALL, err), LOG_INFO, "call_refused",
                log_err("reason", err), log_str("method", path),
                log_int("pid", c != NULL ? c->peer.pid : 0),
                log_int("uid", c != NULL ? (int64_t)c->peer.uid : -1));
    if (c != NULL)
        call_audit_refused(e->opt.audit, err, path, &c->peer, slice_of(NULL, 0), text);
    call_refuse(call, method != NULL ? method->label : METHOD_OTHER, e->opt.metrics, err, text);
}

static void on_call(void *arg, struct rpc_call *call)
{
    struct endpoint *e = arg;
    const struct method *method;
    const struct service *service =
        service_find(e->opt.services, e->opt.service_count, rpc_call_method(call), &method);
    struct connection *c = connections_find(e->connections, rpc_call_fd(call));
    if (service != NULL && service->needs_security_header && !has_security_header(call))
        endpoint_refuse(e, call, method, c, ERR_SECURITY_HEADER, err_text(ERR_SECURITY_HEADER));
    else if (c == NULL) /* closed meanwhile: nobody reads this */
        endpoint_refuse(e, call, method, c, ERR_ATTESTATION, "workload attestation failed");
    else if (method == NULL)
        endpoint_refuse(e, call, method, c, ERR_UNSUPPORTED,
                        "this agent does not serve this method");
    else
        method->serve(service->self, call, c, method);
}

static void on_sent(void *arg, struct rpc_call *call)
{
    (void)arg;
    struct call *c = rpc_call_user(call);
    if (c != NULL)
        call_sent(c);
}

static void on_end(void *arg, struct rpc_call *call)
{
    (void)arg;
    struct call *c = rpc_call_user(call);
    if (c != NULL)
        call_gone(c);
}

size_t endpoint_connections(struct endpoint *e)
{
    return connections_count(e->connections);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Listener first, then gRPC with all calls, then the table that the calls look into; what could not
 * be opened is not there. */
static void on_server_closed(void *arg)
{
    struct endpoint *e = arg;
    connections_close(e->connections, closing_drop, closing_hold(&e->closing));
}

static void on_listener_closed(void *arg)
{
    struct endpoint *e = arg;
    if (e->server != NULL)
        rpc_server_close(e->server, on_server_closed, e);
    else
        on_server_closed(e);
}

void endpoint_close(struct endpoint *e, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&e->closing, mem_free, e, done, arg))
        return;
    connections_each(e->connections, on_drain, e);
    if (e->listener != NULL)
        listener_close(e->listener, on_listener_closed, e);
    else
        on_listener_closed(e);
}

err_t endpoint_open(uv_loop_t *loop, const struct endpoint_options *opt, struct endpoint **ret,
                    struct why *why)
{
    struct endpoint *e = mem_alloc(sizeof *e);
    if (e == NULL)
        return why_set(why, ERR_NO_MEMORY, "Workload Endpoint");
    e->opt = *opt;
    struct connection_options connection = {
        .limits = opt->limits, .mode = opt->peer_mode, .on_exit = on_process_exit, .arg = e};
    struct rpc_server_events events = {
        .on_call = on_call, .on_sent = on_sent, .on_end = on_end, .arg = e};
    struct listener_options accepts = {.path = opt->socket,
                                       .type = SOCK_STREAM,
                                       .mode = 0777,
                                       .on_accept = on_accept,
                                       .on_error = on_accept_error,
                                       .arg = e};
    err_t err = connections_open(loop, &connection, &e->connections, why);
    if (err != ERR_OK) {
        mem_free(e);
        return err;
    }
    err = rpc_server_open(loop, &events, REQUEST_MAX, &e->server, why);
    if (err == ERR_OK)
        err = listener_open(loop, &accepts, &e->listener, why);
    if (err != ERR_OK) {
        endpoint_close(e, NULL, NULL);
        return err;
    }
    *ret = e;
    return ERR_OK;
}
