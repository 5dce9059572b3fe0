#include "agent/caller/listener.h"

#include "common/base/mem.h"
#include "common/loop/acceptor.h"
#include "common/loop/closing.h"
#include "common/loop/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct listener {
    struct unix_socket socket; /* its fd is the acceptor's */
    struct acceptor *acceptor;
    struct listener_options opt;
    struct closing closing;
};

/* --- the path --------------------------------------------------------------------------------- */

static err_t check_length(const char *path, struct why *why)
{
    size_t most = sizeof((struct sockaddr_un *)0)->sun_path - 1;
    if (strlen(path) > most)
        return why_set(why, ERR_CONFIG, "%s: a socket's path has at most %zu bytes", path, most);
    return ERR_OK;
}

err_t listener_make_folder(const char *path, struct why *why)
{
    char folder[sizeof((struct sockaddr_un *)0)->sun_path];
    err_t err = check_length(path, why);
    if (err != ERR_OK)
        return err;
    memcpy(folder, path, strlen(path) + 1);
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash == folder)
        return ERR_OK;
    *slash = '\0';
    if (mkdir(folder, 0755) != 0) {
        if (errno == EEXIST)
            return ERR_OK;
        return why_errno(why, ERR_IO, "cannot make the folder %s of the Workload API socket",
                         folder);
    }
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0755) != 0) /* whatever the umask */
        err = why_errno(why, ERR_IO, "cannot open the folder %s to all users", folder);
    if (fd >= 0)
        close(fd);
    return err;
}

/* --- accept ----------------------------------------------------------------------------------- */

static void on_accept(void *arg, int fd, const struct sockaddr_storage *from)
{
    struct listener *l = arg;
    (void)from; /* the socket's peer says who it is */
    l->opt.on_accept(l->opt.arg, fd);
}

static void on_error(void *arg, err_t err, const struct why *why)
{
    struct listener *l = arg;
    struct why here = *why;
    why_add(&here, err, "accept on %s", l->socket.path);
    l->opt.on_error(l->opt.arg, err, &here);
}

/* --- life ------------------------------------------------------------------------------------- */

err_t listener_open(uv_loop_t *loop, const struct listener_options *opt, struct listener **ret,
                    struct why *why)
{
    struct listener *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return why_set(why, ERR_NO_MEMORY, "listener");
    l->opt = *opt;
    err_t err = listener_make_folder(opt->path, why);
    if (err == ERR_OK)
        err = unix_socket_open(opt->path, opt->type, opt->mode, &l->socket, why);
    if (err != ERR_OK) {
        mem_free(l);
        return err;
    }
    struct acceptor_options accepts = {.fd = l->socket.fd,
                                       .per_turn = opt->per_turn,
                                       .on_accept = on_accept,
                                       .on_error = on_error,
                                       .arg = l};
    err = acceptor_open(loop, &accepts, &l->acceptor, why);
    if (err != ERR_OK) {
        unix_socket_unlink(&l->socket);
        close(l->socket.fd);
        mem_free(l);
        return why_add(why, err, "%s", opt->path);
    }
    *ret = l;
    return ERR_OK;
}

void listener_close(struct listener *l, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&l->closing, mem_free, l, done, arg))
        return;
    unix_socket_unlink(&l->socket);
    acceptor_close(l->acceptor, closing_drop, closing_hold(&l->closing));
}
