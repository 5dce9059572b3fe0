#include "sidecar/identity/file_stamp.h"

bool file_stamp_renew(struct file_stamp *s, const char *path)
{
    struct stat now = {0};
    if (stat(path, &now) != 0)
        return false;
    bool same = now.st_ino == s->at.st_ino && now.st_dev == s->at.st_dev &&
                now.st_size == s->at.st_size && now.st_mtim.tv_sec == s->at.st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == s->at.st_mtim.tv_nsec;
    s->at = now;
    return !same;
}
