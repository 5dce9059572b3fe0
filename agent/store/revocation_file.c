#include "agent/store/revocation_file.h"

#include "common/base/file.h"
#include "common/base/mem.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct revocation_file {
    char path[PATH_MAX];
    int folder, fd;
    uint64_t len;
    bool has_tail;     /* bytes of a failed append may be behind len */
    bool dir_unsynced; /* a power loss may bring the replaced file back */
};

static const char file_name[] = "revocations";

static err_t check_mode(const char *path, int fd, uint64_t *ret_len, struct why *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return why_errno(why, ERR_IO, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return why_set(why, ERR_IO, "%s is not a file", path);
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0)
        return why_set(why, ERR_FILE_MODE,
                       "%s: expected mode 0600 and uid %u, found %04o and uid %u: who may write it "
                       "may undo revocations",
                       path, geteuid(), st.st_mode & 07777, st.st_uid);
    *ret_len = (uint64_t)st.st_size;
    return ERR_OK;
}

static err_t open_both(struct revocation_file *f, const char *dir, struct why *why)
{
    if (snprintf(f->path, sizeof f->path, "%s/%s", dir, file_name) >= PATH_MAX)
        return why_set(why, ERR_CONFIG, "data_dir is longer than a path may be");
    f->folder = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (f->folder < 0)
        return why_errno(why, ERR_IO, "cannot open %s", dir);
    f->fd = openat(f->folder, file_name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return f->fd < 0 ? why_errno(why, ERR_IO, "cannot open %s", f->path)
                     : check_mode(f->path, f->fd, &f->len, why);
}

err_t revocation_file_open(const char *dir, struct revocation_file **ret, struct why *why)
{
    struct revocation_file *f = mem_alloc(sizeof *f);
    if (f == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the journal of revocations");
    f->folder = f->fd = -1;
    f->dir_unsynced = true; /* until the first append: it may just have been made */
    err_t err = open_both(f, dir, why);
    if (err != ERR_OK) {
        revocation_file_close(f);
        return err;
    }
    *ret = f;
    return ERR_OK;
}

void revocation_file_close(struct revocation_file *f)
{
    if (f == NULL)
        return;
    if (f->fd >= 0)
        close(f->fd);
    if (f->folder >= 0)
        close(f->folder);
    mem_free(f);
}

const char *revocation_file_path(const struct revocation_file *f)
{
    return f->path;
}

uint64_t revocation_file_len(const struct revocation_file *f)
{
    return f->len;
}

err_t revocation_file_map(struct revocation_file *f, struct slice *ret, struct why *why)
{
    *ret = (struct slice){.data = NULL};
    if (f->len == 0)
        return ERR_OK;
    void *data = mmap(NULL, f->len, PROT_READ, MAP_PRIVATE, f->fd, 0);
    if (data == MAP_FAILED)
        return why_errno(why, ERR_IO, "cannot read %s", f->path);
    *ret = slice_of(data, f->len);
    return ERR_OK;
}

void revocation_file_unmap(struct slice file)
{
    if (file.len > 0)
        munmap((void *)(uintptr_t)file.data, file.len);
}

err_t revocation_file_cut(struct revocation_file *f, uint64_t len, struct why *why)
{
    f->has_tail = true;
    if (ftruncate(f->fd, (off_t)len) != 0 || fdatasync(f->fd) != 0)
        return why_errno(why, ERR_IO, "cannot cut %s back to %llu bytes", f->path,
                         (unsigned long long)len);
    f->len = len;
    f->has_tail = false;
    return ERR_OK;
}

static bool sync_folder(struct revocation_file *f)
{
    f->dir_unsynced = f->dir_unsynced && fsync(f->folder) != 0;
    return !f->dir_unsynced;
}

err_t revocation_file_append(struct revocation_file *f, struct slice bytes, struct why *why)
{
    if (f->has_tail) {
        err_t err = revocation_file_cut(f, f->len, why);
        if (err != ERR_OK)
            return err;
    }
    err_t err = ERR_OK;
    if (file_write_at(f->fd, bytes, f->len) != ERR_OK || fdatasync(f->fd) != 0 || !sync_folder(f))
        err = why_errno(why, ERR_IO, "cannot write %s", f->path);
    if (err == ERR_OK)
        f->len += bytes.len;
    else
        f->has_tail = revocation_file_cut(f, f->len, NULL) != ERR_OK; /* then tried again first */
    return err;
}

err_t revocation_file_replace(struct revocation_file *f, struct slice bytes, struct why *why)
{
    int fd = -1;
    err_t err = file_replace(f->folder, file_name, bytes, 0600, &fd, why);
    if (err != ERR_OK)
        return err;
    close(f->fd);
    f->fd = fd;
    f->len = bytes.len;
    f->has_tail = false;
    f->dir_unsynced = true;
    (void)sync_folder(f); /* both files say the same; the next append insists */
    return ERR_OK;
}
