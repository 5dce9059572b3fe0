#include "agent/store/data_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who holds it; it wrote its pid there. 0: not told yet. */
static long holder(int fd)
{
    char text[32];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

static err_t write_pid(int fd, const char *path, struct why *why)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        return why_errno(why, ERR_IO, "cannot write %s", path);
    return ERR_OK;
}

/* Whoever may write there may put a root of his own in place of ours. */
static err_t check_folder(const char *data_dir, struct why *why)
{
    struct stat st;
    if (stat(data_dir, &st) != 0)
        return why_errno(why, ERR_IO, "cannot look at data_dir %s", data_dir);
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return why_set(
            why, ERR_FILE_MODE,
            "data_dir %s has mode %04o: others could change the authority in it; expected "
            "0700 (chmod 700 %s)",
            data_dir, (unsigned)(st.st_mode & 07777), data_dir);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return why_set(
            why, ERR_FILE_MODE,
            "data_dir %s belongs to user %u, who could change the authority in it; expected "
            "the agent's own user, %u, or root",
            data_dir, (unsigned)st.st_uid, (unsigned)geteuid());
    return ERR_OK;
}

err_t data_lock_take(const char *data_dir, int *ret_fd, struct why *why)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/lock", data_dir) >= (int)sizeof path)
        return why_set(why, ERR_CONFIG, "data_dir is longer than a path may be");
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST)
        return why_errno(why, ERR_IO, "cannot make data_dir %s", data_dir);
    err_t err = check_folder(data_dir, why);
    if (err != ERR_OK)
        return err;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return why_errno(why, ERR_IO, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        err = write_pid(fd, path, why);
    else if (errno == EWOULDBLOCK)
        err = why_set(why, ERR_LOCKED,
                      "%s is held by process %ld: another agent uses this data_dir; stop it, or "
                      "give each agent a data_dir of its own",
                      path, holder(fd));
    else
        err = why_errno(why, ERR_IO, "cannot lock %s", path);
    if (err != ERR_OK) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}
