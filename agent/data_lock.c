#include "agent/data_lock.h"

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

err_t data_lock_take(const char *data_dir, int *ret_fd, struct why *why)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/lock", data_dir) >= (int)sizeof path)
        return why_set(why, ERR_CONFIG, "data_dir is longer than a path may be");
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST)
        return why_errno(why, ERR_IO, "cannot make data_dir %s", data_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return why_errno(why, ERR_IO, "cannot open %s", path);
    err_t err = ERR_OK;
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
