#include "sidecar/worker/sockets.h"

#include "common/base/mem.h"
#include "common/loop/unix_socket.h"
#include "sidecar/worker/listener.h"

#include <unistd.h>

static void say_listening(const struct route_config *route, const struct address *bound)
{
    char text[ADDRESS_TEXT_LEN], forward[ADDRESS_TEXT_LEN];
    log_info("listening",
             log_str("kind", route->direction == ROUTE_INBOUND ? "inbound" : "outbound"),
             log_str("address", address_text(bound, text)),
             log_str("forward", address_text(&route->forward, forward)));
}

/* The port that the kernel picked, for the workers that follow. */
static void settle_port(int fd, struct address *bound)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    if (bound->kind == ADDRESS_IP && getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        bound->port = sockaddr_port((const struct sockaddr *)&sa);
}

static err_t bind_route(const struct route_config *route, size_t r, struct sockets *s,
                        struct why *why)
{
    struct address bound = route->listen;
    unsigned sharers = bound.kind == ADDRESS_UNIX ? 1 : s->workers;
    err_t err = ERR_OK;
    for (unsigned w = 0; err == ERR_OK && w < sharers; w++) {
        err = listener_bind(route, &bound, sharers > 1, &sockets_of(s, w)[r], why);
        if (err == ERR_OK && w == 0) {
            settle_port(sockets_of(s, w)[r], &bound);
            say_listening(route, &bound);
        }
    }
    return err;
}

err_t sockets_open(const struct sidecar_config *config, struct sockets *ret, struct why *why)
{
    struct sockets s = {.routes = config->route_count, .workers = (unsigned)config->workers};
    char key[ROUTE_KEY_LEN];
    s.fds = mem_array(s.routes * s.workers, sizeof *s.fds);
    if (s.fds == NULL)
        return why_set(why, ERR_NO_MEMORY, "listening sockets");
    memset(s.fds, 0xff, s.routes * s.workers * sizeof *s.fds); /* -1 each */
    err_t err = ERR_OK;
    for (size_t r = 0; err == ERR_OK && r < s.routes; r++) {
        err = bind_route(&config->routes[r], r, &s, why);
        err = option_blame(config->origins, sidecar_route_key(config, r, "listen", key), err, why);
    }
    if (err != ERR_OK) {
        sockets_done(&s);
        return err;
    }
    *ret = s;
    return ERR_OK;
}

int *sockets_of(struct sockets *s, unsigned worker)
{
    return s->fds + s->routes * worker;
}

/* A start that failed leaves no file behind. */
static void close_untaken(int fd)
{
    struct unix_socket file;
    unix_socket_adopt(fd, &file);
    if (file.path[0] != '\0')
        unix_socket_unlink(&file);
    close(fd);
}

void sockets_done(struct sockets *s)
{
    for (size_t i = 0; s->fds != NULL && i < s->routes * s->workers; i++) {
        if (s->fds[i] >= 0)
            close_untaken(s->fds[i]);
    }
    mem_free(s->fds);
    *s = (struct sockets){.fds = NULL};
}
