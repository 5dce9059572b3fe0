#include "common/loop/socket_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ANYBODY ((uid_t)-1)
#define NO_GROUP ((gid_t)-1)
#define OVERFLOW_ID 65534u /* root of the machine, seen from a namespace that does not map it */

struct owner {
    uid_t user;
    gid_t group;
};

static bool may_own(const struct stat *st, const struct owner *us, bool is_last)
{
    return us->user == ANYBODY || st->st_uid == 0 || st->st_uid == us->user ||
           (!is_last && st->st_uid == OVERFLOW_ID);
}

static bool is_open_to_group(const struct stat *st, const struct owner *us)
{
    return (st->st_mode & S_IWGRP) != 0 && us->user != ANYBODY && st->st_gid != 0 &&
           st->st_gid != us->group;
}

static err_t check_one(const char *folder, const struct stat *st, const struct owner *us,
                       bool is_last, struct why *why)
{
    unsigned mode = (unsigned)st->st_mode & 07777u;
    if (!may_own(st, us, is_last))
        return why_set(why, ERR_IO,
                       "folder %s belongs to uid %u, who could put another socket in the place of "
                       "ours: expected root or uid %u; run: chown %u %s",
                       folder, (unsigned)st->st_uid, (unsigned)us->user, (unsigned)us->user,
                       folder);
    if (S_ISLNK(st->st_mode) || (mode & S_ISVTX) != 0)
        return ERR_OK;
    bool all = (mode & S_IWOTH) != 0;
    if (!all && !is_open_to_group(st, us))
        return ERR_OK;
    return why_set(
        why, ERR_IO,
        "folder %s has mode %04o: %s could put another socket in the place of ours; run: "
        "chmod %s %s, or configure another folder",
        folder, mode, all ? "any user" : "its group", all ? "o-w" : "g-w", folder);
}

/* `path` absolute; each folder from the root on, the last element left out. */
static err_t check_way(const char *path, const struct owner *us, struct why *why)
{
    char folder[PATH_MAX];
    const char *last = strrchr(path, '/');
    for (const char *slash = path; slash != NULL && slash <= last; slash = strchr(slash + 1, '/')) {
        struct stat st;
        size_t len = slash == path ? 1 : (size_t)(slash - path);
        if (slash > path && slash[-1] == '/')
            continue;
        if (len >= sizeof folder)
            return why_set(why, ERR_IO, "%.100s…: the path is too long", path);
        memcpy(folder, path, len);
        folder[len] = '\0';
        if (lstat(folder, &st) != 0)
            return errno == ENOENT || errno == ENOTDIR || errno == EACCES
                       ? ERR_OK /* whoever makes the socket says what is wrong */
                       : why_errno(why, ERR_IO, "%s", folder);
        err_t err = check_one(folder, &st, us, slash == last, why);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* Where links lead: the folder's real path, with a slash behind. */
static err_t check_real_way(const char *socket, const struct owner *us, struct why *why)
{
    char folder[PATH_MAX], real[PATH_MAX + 1];
    const char *last = strrchr(socket, '/');
    size_t len = last == socket ? 1 : (size_t)(last - socket);
    if (len >= sizeof folder)
        return ERR_OK; /* too long for a socket, which says so itself */
    memcpy(folder, socket, len);
    folder[len] = '\0';
    if (realpath(folder, real) == NULL)
        return ERR_OK;
    memcpy(real + strlen(real), "/", 2);
    return check_way(real, us, why);
}

static err_t check(const char *socket, const struct owner *us, struct why *why)
{
    if (socket[0] != '/')
        return ERR_OK; /* paths of a configuration are absolute by now */
    err_t err = check_way(socket, us, why);
    return err == ERR_OK ? check_real_way(socket, us, why) : err;
}

err_t socket_folder_check(const char *socket, uid_t user, gid_t group, struct why *why)
{
    return check(socket, &(struct owner){.user = user, .group = group}, why);
}

err_t socket_folder_check_modes(const char *socket, struct why *why)
{
    return check(socket, &(struct owner){.user = ANYBODY, .group = NO_GROUP}, why);
}
