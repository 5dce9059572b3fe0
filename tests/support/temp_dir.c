#include "tests/support/temp_dir.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void temp_dir_make(struct temp_dir *d)
{
    *d = (struct temp_dir){.path = "/tmp/spindle-test-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(d->path));
}

const char *temp_path(const struct temp_dir *d, const char *name, char out[static TEMP_PATH_MAX])
{
    ck_assert_int_lt(snprintf(out, TEMP_PATH_MAX, "%s/%s", d->path, name), TEMP_PATH_MAX);
    return out;
}

/* Removes the files of a folder; folders stay. */
static void empty(int folder)
{
    DIR *dir = fdopendir(dup(folder));
    ck_assert_ptr_nonnull(dir);
    rewinddir(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        unlinkat(folder, e->d_name, 0);
    closedir(dir);
}

void temp_dir_remove(struct temp_dir *d)
{
    int folder = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(folder, 0);
    empty(folder);
    DIR *dir = fdopendir(folder);
    ck_assert_ptr_nonnull(dir);
    rewinddir(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int inner = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (inner < 0)
            continue;
        empty(inner);
        close(inner);
        unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
    rmdir(d->path);
}

void temp_put(const struct temp_dir *d, const char *name, struct slice content, mode_t mode)
{
    char path[TEMP_PATH_MAX], fresh[TEMP_PATH_MAX];
    temp_path(d, name, path);
    temp_path(d, ".fresh", fresh);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content.data, content.len), (ssize_t)content.len);
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
    ck_assert_int_eq(rename(fresh, path), 0);
}

void temp_folder(const struct temp_dir *d, const char *name)
{
    char path[TEMP_PATH_MAX];
    ck_assert_int_eq(mkdir(temp_path(d, name, path), 0700), 0);
}

void temp_link(const struct temp_dir *d, const char *name, const char *target)
{
    char path[TEMP_PATH_MAX], fresh[TEMP_PATH_MAX];
    temp_path(d, ".fresh_link", fresh);
    ck_assert_int_eq(symlink(target, fresh), 0);
    ck_assert_int_eq(rename(fresh, temp_path(d, name, path)), 0);
}
