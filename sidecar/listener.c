#include "sidecar/listener.h"

#include "common/acceptor.h"
#include "common/mem.h"
#include "common/unix_socket.h"
#include "sidecar/metrics.h"
#include "sidecar/notes.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BACKLOG 4096

struct listener {
    struct worker *worker;
    size_t route;
    struct acceptor *acceptor;
};

/* --- binding ---------------------------------------------------------------------------------- */

static err_t bind_socket(int fd, const struct address *address, bool shared, struct why *why)
{
    char text[ADDRESS_TEXT_LEN];
    struct sockaddr_storage sa = {0};
    socklen_t len = 0;
    int one = 1;
    address_text(address, text);
    if (address_sockaddr(address, &sa, &len) != ERR_OK)
        return why_set(why, ERR_CONFIG, "cannot listen on %s: expected an IP address or a path",
                       text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&sa, len) != 0)
        return why_errno(why, ERR_IO, "cannot listen on %s", text);
    if (listen(fd, BACKLOG) != 0)
        return why_errno(why, ERR_IO, "cannot listen on %s", text);
    return ERR_OK;
}

err_t listener_bind(const struct address *address, bool shared, int *ret_fd, struct why *why)
{
    if (address->kind == ADDRESS_UNIX) {
        struct unix_socket made;
        err_t failed = unix_socket_open(address->host, SOCK_STREAM, 0777, &made, why);
        if (failed == ERR_OK)
            *ret_fd = made.fd;
        return failed;
    }
    int family = strchr(address->host, ':') != NULL ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return why_errno(why, ERR_IO, "no socket to listen with");
    err_t err = bind_socket(fd, address, shared, why);
    if (err != ERR_OK) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}

/* --- accepting -------------------------------------------------------------------------------- */

static void say_refused(struct listener *l, err_t err, const char *detail)
{
    const struct route_config *route = &l->worker->config->routes[l->route];
    char text[ADDRESS_TEXT_LEN];
    sidecar_count_refused(l->worker->metrics, route->direction, err);
    LOG_LIMITED(log_limits_of(&l->worker->notes->lines, LINE_CONNECTION, err), LOG_WARN,
                "connection_refused", log_str("listen", address_text(&route->listen, text)),
                log_err("reason", err), log_str("detail", detail));
    audit_connection_refused(l->worker->notes->audit, route_direction_name(route->direction),
                             address_text(&route->listen, text), err, detail);
}

static void admit(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct worker *w = l->worker;
    struct why why = {0};
    int one = 1;
    /* Workers that look at the same moment may go over by one each. */
    if (w->open_per_route[l->route] >= worker_connection_cap(w)) {
        close(fd);
        say_refused(l, ERR_LIMIT, "limits.connections reached: closed at accept");
        return;
    }
    if (from->ss_family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* latency only */
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    }
    err_t err = conn_open(w, l->route, fd, from, &why);
    if (err != ERR_OK) {
        close(fd);
        say_refused(l, err, why_text(&why));
    }
}

static void on_accept(void *arg, int fd, const struct sockaddr_storage *from)
{
    admit(arg, fd, from);
}

static void on_error(void *arg, err_t err, const struct why *why)
{
    say_refused(arg, err, why_text(why));
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_closed(void *arg)
{
    mem_free(arg);
}

err_t listener_open(struct worker *w, size_t route, int fd, struct listener **ret, struct why *why)
{
    struct listener *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return why_set(why, ERR_NO_MEMORY, "listener");
    l->worker = w;
    l->route = route;
    struct acceptor_options accepts = {
        .fd = fd, .on_accept = on_accept, .on_error = on_error, .arg = l};
    err_t err = acceptor_open(w->loop, &accepts, &l->acceptor, why);
    if (err != ERR_OK) {
        mem_free(l);
        return err;
    }
    *ret = l;
    return ERR_OK;
}

void listener_close(struct listener *l)
{
    if (l != NULL)
        acceptor_close(l->acceptor, on_closed, l);
}
