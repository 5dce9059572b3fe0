#include "sidecar/worker/listener.h"

#include "common/base/mem.h"
#include "common/loop/acceptor.h"
#include "common/loop/unix_socket.h"

#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096
/* Few, so that who was taken is heard before a flood behind it wants its place. */
#define ACCEPTS_PER_TURN 8

struct listener {
    struct listener_events events;
    size_t route;
    struct acceptor *acceptor;
    struct unix_socket file; /* of a Unix socket; else without a path */
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

static err_t bind_unix(const struct route_config *route, int *ret_fd, struct why *why)
{
    struct unix_socket_file as = {.mode = route->mode, .owner = (uid_t)-1, .group = (gid_t)-1};
    struct unix_socket made;
    err_t err = route->socket_owner != NULL
                    ? route_socket_owner(route->socket_owner, &as.owner, &as.group, why)
                    : ERR_OK;
    if (err == ERR_OK)
        err = unix_socket_open_as(route->listen.host, SOCK_STREAM, &as, &made, why);
    if (err == ERR_OK)
        *ret_fd = made.fd;
    return err;
}

err_t listener_bind(const struct route_config *route, const struct address *address, bool shared,
                    int *ret_fd, struct why *why)
{
    if (address->kind == ADDRESS_UNIX)
        return bind_unix(route, ret_fd, why);
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

static void on_accept(void *arg, int fd, const struct sockaddr_storage *from)
{
    const struct listener *l = arg;
    l->events.on_accept(l->events.arg, l->route, fd, from);
}

static void on_error(void *arg, err_t err, const struct why *why)
{
    const struct listener *l = arg;
    l->events.on_refused(l->events.arg, l->route, err, why_text(why));
}

/* --- life ------------------------------------------------------------------------------------- */

static void on_closed(void *arg)
{
    mem_free(arg);
}

err_t listener_open(uv_loop_t *loop, size_t route, int fd, const struct listener_events *events,
                    struct listener **ret, struct why *why)
{
    struct listener *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return why_set(why, ERR_NO_MEMORY, "listener");
    l->events = *events;
    l->route = route;
    struct acceptor_options accepts = {.fd = fd,
                                       .per_turn = ACCEPTS_PER_TURN,
                                       .on_accept = on_accept,
                                       .on_error = on_error,
                                       .arg = l};
    err_t err = acceptor_open(loop, &accepts, &l->acceptor, why);
    if (err != ERR_OK) {
        mem_free(l);
        return err;
    }
    unix_socket_adopt(fd, &l->file);
    *ret = l;
    return ERR_OK;
}

void listener_close(struct listener *l)
{
    if (l == NULL)
        return;
    if (l->file.path[0] != '\0')
        unix_socket_unlink(&l->file);
    acceptor_close(l->acceptor, on_closed, l);
}
