#include "agent/caller/peer.h"

#include "common/base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

enum { PROC_TEXT_MAX = 4096 };

/* Reads the start of /proc/PID/NAME. Kernel memory, so it does not block. */
static err_t proc_read(pid_t pid, const char *name, char out[static PROC_TEXT_MAX], struct why *why)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return file_peek(path, out, PROC_TEXT_MAX) > 0
               ? ERR_OK
               : why_errno(why, ERR_ATTESTATION, "cannot read %s", path);
}

/* Field 22 of /proc/PID/stat. The second field is the process's name, which may hold blanks and
 * parentheses: fields are counted from the last ')'. */
static err_t parse_start_time(const char *stat, uint64_t *ret, struct why *why)
{
    const char *at = strrchr(stat, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL || sscanf(at, " %" SCNu64, ret) != 1)
        return why_set(why, ERR_ATTESTATION, "/proc/PID/stat is not as expected");
    return ERR_OK;
}

/* The effective id in a line such as "Uid:\t1000\t1000\t1000\t1000". */
static err_t parse_effective(const char *status, const char *key, unsigned *ret, struct why *why)
{
    const char *line = strstr(status, key);
    if (line == NULL || sscanf(line + strlen(key), " %*u %u", ret) != 1)
        return why_set(why, ERR_ATTESTATION, "/proc/PID/status has no %s", key + 1);
    return ERR_OK;
}

/* Whoever has the pid must be who connected: else it is another process, or it has become another
 * user since. Its folder has the effective ids on Linux; where it has not, its status has the say.
 */
static err_t check_owner(const struct peer *p, struct why *why)
{
    char text[PROC_TEXT_MAX];
    char path[64];
    struct stat st;
    unsigned uid = 0, gid = 0;
    snprintf(path, sizeof path, "/proc/%d", (int)p->pid);
    if (stat(path, &st) == 0 && st.st_uid == p->uid && st.st_gid == p->gid)
        return ERR_OK;
    err_t err = proc_read(p->pid, "status", text, why);
    if (err == ERR_OK)
        err = parse_effective(text, "\nUid:", &uid, why);
    if (err == ERR_OK)
        err = parse_effective(text, "\nGid:", &gid, why);
    if (err == ERR_OK && (uid != p->uid || gid != p->gid))
        err = why_set(why, ERR_ATTESTATION,
                      "process %d has uid %u and gid %u, but uid %u and gid %u connected",
                      (int)p->pid, uid, gid, p->uid, p->gid);
    return err;
}

static err_t start_time(pid_t pid, uint64_t *ret, struct why *why)
{
    char text[PROC_TEXT_MAX];
    err_t err = proc_read(pid, "stat", text, why);
    return err == ERR_OK ? parse_start_time(text, ret, why) : err;
}

/* Linux before 6.5. What is read from /proc belongs to the process behind the pidfd, since the
 * pidfd is open before and the process still lives after. */
static err_t peer_pin_by_pid(struct peer *p, struct why *why)
{
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd < 0)
        return why_errno(why, errno == ESRCH ? ERR_ATTESTATION : ERR_IO, "process %d", (int)p->pid);
    err_t err = start_time(p->pid, &p->start_time, why);
    if (err == ERR_OK)
        err = peer_check(p, why);
    if (err != ERR_OK)
        peer_done(p);
    return err;
}

static err_t peer_pin_by_socket(int socket_fd, enum peer_mode mode, struct peer *p, struct why *why)
{
    socklen_t len = sizeof p->pidfd;
    if (mode == PEER_FORCE_FALLBACK)
        return peer_pin_by_pid(p, why);
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &p->pidfd, &len) == 0)
        return ERR_OK;
    p->pidfd = -1;
    if (errno == ENOPROTOOPT)
        return peer_pin_by_pid(p, why);
    bool gone = errno == ESRCH || errno == EINVAL || errno == ENODATA;
    return why_errno(why, gone ? ERR_ATTESTATION : ERR_IO, "process %d", (int)p->pid);
}

uint64_t peer_cookie(int socket_fd)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof cookie;
    if (getsockopt(socket_fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) != 0)
        return 0;
    return cookie;
}

err_t peer_pin(int socket_fd, enum peer_mode mode, struct peer *ret, struct why *why)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return why_errno(why, ERR_IO, "SO_PEERCRED");
    if (who.pid <= 0)
        return why_set(why, ERR_ATTESTATION,
                       "the caller lives in a pid namespace that is not below the agent's");
    struct peer p = {.pid = who.pid,
                     .uid = who.uid,
                     .gid = who.gid,
                     .pidfd = -1,
                     .cookie = peer_cookie(socket_fd)};
    if (p.cookie == 0)
        return why_errno(why, ERR_IO, "SO_COOKIE");
    err_t err = peer_pin_by_socket(socket_fd, mode, &p, why);
    if (err == ERR_OK)
        *ret = p;
    return err;
}

err_t peer_of_pid(pid_t pid, struct peer *ret, struct why *why)
{
    char text[PROC_TEXT_MAX];
    struct peer p = {.pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0)};
    if (p.pidfd < 0 && (errno == EINVAL || errno == ENOENT))
        return why_set(why, ERR_ATTESTATION, "%d is a thread of a process, not a process",
                       (int)pid);
    if (p.pidfd < 0)
        return why_errno(why, errno == ESRCH ? ERR_ATTESTATION : ERR_IO, "process %d", (int)pid);
    err_t err = proc_read(pid, "status", text, why);
    if (err == ERR_OK)
        err = parse_effective(text, "\nUid:", &p.uid, why);
    if (err == ERR_OK)
        err = parse_effective(text, "\nGid:", &p.gid, why);
    if (err == ERR_OK)
        err = peer_check(&p, why);
    if (err == ERR_OK)
        *ret = p;
    else
        peer_done(&p);
    return err;
}

void peer_done(struct peer *p)
{
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
}

static err_t check_alive(const struct peer *p, struct why *why)
{
    struct pollfd ended = {.fd = p->pidfd, .events = POLLIN};
    int n = poll(&ended, 1, 0);
    if (n == 0)
        return ERR_OK;
    if (n < 0)
        return why_errno(why, ERR_ATTESTATION, "process %d", (int)p->pid);
    return why_set(why, ERR_ATTESTATION, "process %d, which made the connection, has ended",
                   (int)p->pid);
}

/* The life last: what was read of the pid before was read of this process. */
err_t peer_check(const struct peer *p, struct why *why)
{
    struct why owner = {.err = ERR_OK};
    err_t err = check_owner(p, &owner);
    if (check_alive(p, why) != ERR_OK)
        return ERR_ATTESTATION;
    if (err != ERR_OK)
        why_set(why, err, "%s", why_text(&owner));
    return err;
}
