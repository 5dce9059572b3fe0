#include "agent/listener.h"

#include "common/mem.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, ACCEPTS_PER_TURN = 64, PAUSE_MS = 100 };

struct listener {
    struct sockaddr_un address;
    ino_t inode; /* of our socket: never remove another's */
    int fd;
    uv_poll_t poll;
    uv_timer_t pause;
    struct listener_events events;
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
    if (chmod(folder, 0755) != 0) /* whatever the umask */
        return why_errno(why, ERR_IO, "cannot open the folder %s to all users", folder);
    return ERR_OK;
}

/* Is someone there? A socket file that nobody listens on refuses connections. */
static err_t check_nobody_answers(const struct sockaddr_un *address, struct why *why)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return why_errno(why, ERR_IO, "socket");
    int rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
    int err = rc == 0 ? 0 : errno;
    close(fd);
    if (err == ECONNREFUSED || err == ENOENT)
        return ERR_OK;
    return why_set(why, ERR_LOCKED,
                   "%s: another program answers on this socket; stop it, or set "
                   "another workload_api.socket",
                   address->sun_path);
}

static err_t remove_stale(const struct sockaddr_un *address, struct why *why)
{
    struct stat st;
    const char *path = address->sun_path;
    if (lstat(path, &st) != 0) {
        if (errno == ENOENT)
            return ERR_OK;
        return why_errno(why, ERR_IO, "%s", path);
    }
    if (!S_ISSOCK(st.st_mode))
        return why_set(why, ERR_IO, "%s exists and is not a socket; it is left alone", path);
    err_t err = check_nobody_answers(address, why);
    if (err == ERR_OK && unlink(path) != 0 && errno != ENOENT)
        err = why_errno(why, ERR_IO, "cannot remove the stale socket %s", path);
    return err;
}

static err_t bind_socket(struct listener *l, struct why *why)
{
    const char *path = l->address.sun_path;
    struct stat st;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return why_errno(why, ERR_IO, "socket");
    if (bind(l->fd, (struct sockaddr *)&l->address, sizeof l->address) != 0)
        return why_errno(why, ERR_IO, "cannot bind %s", path);
    if (lstat(path, &st) != 0 || chmod(path, 0777) != 0)
        return why_errno(why, ERR_IO, "cannot open %s to all users", path);
    l->inode = st.st_ino;
    if (listen(l->fd, BACKLOG) != 0)
        return why_errno(why, ERR_IO, "cannot listen on %s", path);
    return ERR_OK;
}

static void unlink_own(const struct listener *l)
{
    struct stat st;
    if (l->inode != 0 && lstat(l->address.sun_path, &st) == 0 && st.st_ino == l->inode)
        unlink(l->address.sun_path);
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
    err_t err = why_errno(&why, ERR_IO, "accept on %s", l->address.sun_path);
    l->events.on_error(l->events.arg, err, &why);
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct listener *l = h->data;
    (void)events;
    for (int i = 0; status == 0 && i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            l->events.on_accept(l->events.arg, fd);
        else if (errno == EAGAIN)
            return;
        else if (errno != ECONNABORTED && errno != EINTR) {
            pause_for(l, errno);
            return;
        }
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void abandon(struct listener *l)
{
    unlink_own(l);
    if (l->fd >= 0)
        close(l->fd);
    mem_free(l);
}

err_t listener_open(uv_loop_t *loop, const char *path, const struct listener_events *events,
                    struct listener **ret, struct why *why)
{
    struct listener *l = mem_alloc(sizeof *l);
    if (l == NULL)
        return why_set(why, ERR_NO_MEMORY, "listener");
    l->fd = -1;
    l->events = *events;
    l->address.sun_family = AF_UNIX;
    err_t err = listener_make_folder(path, why);
    if (err == ERR_OK)
        memcpy(l->address.sun_path, path, strlen(path) + 1);
    if (err == ERR_OK)
        err = remove_stale(&l->address, why);
    if (err == ERR_OK)
        err = bind_socket(l, why);
    if (err != ERR_OK) {
        abandon(l);
        return err;
    }
    int rc = uv_poll_init(loop, &l->poll, l->fd);
    if (rc != 0) {
        abandon(l);
        return why_set(why, ERR_IO, "%s: %s", path, uv_strerror(rc));
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
    close(l->fd);
    mem_free(l);
    done(arg);
}

void listener_close(struct listener *l, void (*done)(void *arg), void *arg)
{
    if (uv_is_closing((uv_handle_t *)&l->poll))
        return;
    l->done = done;
    l->done_arg = arg;
    unlink_own(l);
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->pause, on_handle_closed);
}
