#include "common/loop/unix_socket.h"

#include "common/loop/socket_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

static err_t fill(const char *path, struct sockaddr_un *sun, struct why *why)
{
    *sun = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sun->sun_path)
        return why_set(why, ERR_IO, "%s: longer than the %zu bytes a socket's path may have", path,
                       sizeof sun->sun_path - 1);
    memcpy(sun->sun_path, path, strlen(path) + 1);
    return ERR_OK;
}

static void set_pass_rights(int fd, int allowed)
{
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &allowed, sizeof allowed); /* older: always */
}

void unix_socket_take_descriptors(int fd)
{
    set_pass_rights(fd, 1);
}

void unix_socket_refuse_descriptors(int fd)
{
    set_pass_rights(fd, 0);
}

/* Only a refused connect proves that no process listens: anything else leaves the file alone. */
static bool is_refused(const struct sockaddr_un *sun, int type)
{
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool refused =
        connect(fd, (const struct sockaddr *)sun, sizeof *sun) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

static err_t remove_stale(const struct sockaddr_un *sun, int type, struct why *why)
{
    struct stat st;
    if (lstat(sun->sun_path, &st) != 0) {
        if (errno == ENOENT)
            return ERR_OK;
        return why_errno(why, ERR_IO, "%s", sun->sun_path);
    }
    if (!S_ISSOCK(st.st_mode))
        return why_set(why, ERR_IO,
                       "%s: exists and is not a socket; move it away or configure "
                       "another path",
                       sun->sun_path);
    if (!is_refused(sun, type))
        return why_set(why, ERR_LOCKED,
                       "%s: another process listens there; stop it or configure another "
                       "path",
                       sun->sun_path);
    if (unlink(sun->sun_path) != 0 && errno != ENOENT)
        return why_errno(why, ERR_IO, "%s: left behind by an earlier process and cannot be removed",
                         sun->sun_path);
    return ERR_OK;
}

/* By a descriptor: who may write the folder could put a link in the file's place, and have us open
 * what it leads to. The owner first: the mode is tight until the file is whose it shall be. */
static err_t settle_file(const char *path, const struct unix_socket_file *as, struct stat *st,
                         struct why *why)
{
    char link[64];
    int file = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return why_errno(why, ERR_IO, "%s", path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    bool given = as->owner != (uid_t)-1 || as->group != (gid_t)-1;
    err_t err = ERR_OK;
    if (fstat(file, st) != 0)
        err = why_errno(why, ERR_IO, "%s", path);
    else if (!S_ISSOCK(st->st_mode) || st->st_uid != geteuid())
        err = why_set(why, ERR_IO, "%s: somebody replaced it while it was made", path);
    else if (given && fchownat(file, "", as->owner, as->group, AT_EMPTY_PATH) != 0)
        err = why_errno(why, ERR_IO, "%s: cannot give it to uid %d, gid %d", path, (int)as->owner,
                        (int)as->group);
    else if ((given || (st->st_mode & 07777) != as->mode) && chmod(link, as->mode) != 0)
        err = why_errno(why, ERR_IO, "%s: cannot set mode %04o", path, (unsigned)as->mode);
    close(file);
    return err;
}

/* The mode of an unbound socket is the mode its file is made with, less the umask: tight modes hold
 * from the start, and settle_file then adds what the umask took from the wide ones. */
static err_t bind_as(int fd, const struct sockaddr_un *sun, const struct unix_socket_file *as,
                     struct stat *st, struct why *why)
{
    bool given = as->owner != (uid_t)-1 || as->group != (gid_t)-1;
    mode_t first = given ? as->mode & 0700 : as->mode;
    if (fchmod(fd, first) != 0 || bind(fd, (const struct sockaddr *)sun, sizeof *sun) != 0)
        return why_errno(why, ERR_IO, "cannot make socket %s", sun->sun_path);
    err_t err = settle_file(sun->sun_path, as, st, why);
    if (err == ERR_OK && listen(fd, BACKLOG) != 0)
        err = why_errno(why, ERR_IO, "cannot listen on %s", sun->sun_path);
    if (err != ERR_OK)
        unlink(sun->sun_path);
    return err;
}

err_t unix_socket_open_as(const char *path, int type, const struct unix_socket_file *as,
                          struct unix_socket *ret, struct why *why)
{
    struct sockaddr_un sun;
    struct unix_socket s = {.fd = -1};
    struct stat st;
    err_t err = fill(path, &sun, why);
    if (err == ERR_OK)
        err = socket_folder_check(path, geteuid(), getegid(), why);
    if (err == ERR_OK)
        err = remove_stale(&sun, type, why);
    if (err != ERR_OK)
        return err;
    s.fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s.fd < 0)
        return why_errno(why, ERR_IO, "cannot make socket %s", path);
    unix_socket_refuse_descriptors(s.fd); /* what it accepts begins the same */
    err = bind_as(s.fd, &sun, as, &st, why);
    if (err != ERR_OK) {
        close(s.fd);
        return err;
    }
    snprintf(s.path, sizeof s.path, "%s", path);
    s.device = st.st_dev;
    s.inode = st.st_ino;
    *ret = s;
    return ERR_OK;
}

err_t unix_socket_open(const char *path, int type, mode_t mode, struct unix_socket *ret,
                       struct why *why)
{
    const struct unix_socket_file as = {.mode = mode, .owner = (uid_t)-1, .group = (gid_t)-1};
    return unix_socket_open_as(path, type, &as, ret, why);
}

/* Nobody else may write the folder, so what lies at the path is ours. */
void unix_socket_adopt(int fd, struct unix_socket *ret)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    socklen_t len = sizeof sun;
    struct stat st;
    *ret = (struct unix_socket){.fd = fd};
    if (getsockname(fd, (struct sockaddr *)&sun, &len) != 0 || sun.sun_family != AF_UNIX ||
        stat(sun.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    memcpy(ret->path, sun.sun_path, strnlen(sun.sun_path, sizeof ret->path - 1));
    ret->device = st.st_dev;
    ret->inode = st.st_ino;
}

void unix_socket_unlink(const struct unix_socket *s)
{
    struct stat st;
    if (lstat(s->path, &st) == 0 && st.st_dev == s->device && st.st_ino == s->inode)
        unlink(s->path);
}

bool unix_socket_peer(int fd, struct unix_peer *ret)
{
    struct ucred who;
    socklen_t len = sizeof who;
    *ret = (struct unix_peer){.pid = 0};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 || who.uid == (uid_t)-1)
        return false;
    *ret = (struct unix_peer){.pid = who.pid, .uid = who.uid};
    return true;
}
