#include "agent/listener.h"

#include "common/mem.h"
#include "common/unix_socket.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 64, PAUSE_MS = 100 };

struct listener {
    struct unix_socket socket; /* its fd is ours */
    uv_poll_t poll;
    uv_timer_t pause;
    struct listener_options opt;
    int handles;
    void (*done)(void *arg);
    void *done_arg;
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

static void on_readable(uv_poll_t *h, int status, int events);

static void on_pause_over(uv_timer_t *h)
{
    struct listener *l = h->data;
    uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

/* The connections wait in the kernel's queue meanwhile. */
static void pause_for(struct listener *l, int cause)
{
    struct why why = {.err = ERR_OK};
    errno = cause;
    err_t err = why_errno(&why, ERR_IO, "accept on %s", l->socket.path);
    l->opt.on_error(l->opt.arg, err, &why);
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct listener *l = h->data;
    (void)events;
    for (int i = 0; status == 0 && i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(l->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            l->opt.on_accept(l->opt.arg, fd);
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED && errno != EINTR) {
            pause_for(l, errno);
            return;
        }
    }
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
    int rc = uv_poll_init(loop, &l->poll, l->socket.fd);
    if (rc != 0) {
        unix_socket_unlink(&l->socket);
        close(l->socket.fd);
        mem_free(l);
        return why_set(why, ERR_IO, "%s: %s", opt->path, uv_strerror(rc));
    }
    rc = uv_timer_init(loop, &l->pause);
    assert(rc == 0);
    l->handles = 2;
    l->poll.data = l->pause.data = l;
    rc = uv_poll_start(&l->poll, UV_READABLE, on_readable);
    assert(rc == 0);
    *ret = l;
    return ERR_OK;
}

static void on_handle_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    if (--l->handles > 0)
        return;
    void (*done)(void *arg) = l->done;
    void *arg = l->done_arg;
    close(l->socket.fd);
    mem_free(l);
    done(arg);
}

void listener_close(struct listener *l, void (*done)(void *arg), void *arg)
{
    if (uv_is_closing((uv_handle_t *)&l->poll))
        return;
    l->done = done;
    l->done_arg = arg;
    unix_socket_unlink(&l->socket);
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->pause, on_handle_closed);
}
