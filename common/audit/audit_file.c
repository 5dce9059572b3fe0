#include "common/audit/audit_file.h"

#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A rotation that failed is tried again when the file has grown by this part of its bound. */
#define RETRY_PART 16
#define NAME_MAX_LEN (PATH_MAX + 32)

/* --- opening ---------------------------------------------------------------------------------- */

/* Who could write here could rewrite what happened. */
static err_t check_owner(const char *path, const struct stat *st, struct why *why)
{
    if (!S_ISREG(st->st_mode) && !S_ISFIFO(st->st_mode))
        return why_set(why, ERR_IO, "%s: expected a file or a pipe, found something else", path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return why_set(why, ERR_IO,
                       "%s: belongs to the user %u, who could change what is recorded; give it to "
                       "the user %u or move it away",
                       path, (unsigned)st->st_uid, (unsigned)geteuid());
    if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return why_set(why, ERR_IO,
                       "%s: has mode %04o, so that others could change what is recorded; expected "
                       "0600 (chmod go-w)",
                       path, (unsigned)(st->st_mode & 07777));
    return ERR_OK;
}

/* Two programs in one file would rotate it under each other. */
static err_t lock(int fd, const char *path, struct why *why)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    if (errno == EWOULDBLOCK)
        return why_set(why, ERR_LOCKED,
                       "%s: another program writes it; give each one an audit.file of its own",
                       path);
    return why_errno(why, ERR_IO, "cannot lock %s", path);
}

static bool ends_in_half_a_line(int fd, int64_t size)
{
    char last = '\n';
    return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* O_RDWR: the last byte is read, and a pipe opens before its reader does. */
static err_t open_at(const char *path, int flags, int *ret_fd, struct stat *ret_st, struct why *why)
{
    int fd = open(
        path, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC | flags,
        0600);
    if (fd < 0)
        return errno == ELOOP ? why_set(why, ERR_IO, "%s: is a link; name the file itself", path)
                              : why_errno(why, ERR_IO, "cannot open %s", path);
    err_t err = fstat(fd, ret_st) == 0 ? check_owner(path, ret_st, why)
                                       : why_errno(why, ERR_IO, "%s", path);
    if (err == ERR_OK)
        err = lock(fd, path, why);
    if (err != ERR_OK) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}

static void use(struct audit_file *f, int fd, const struct stat *st)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = fd;
    f->regular = S_ISREG(st->st_mode);
    f->size = st->st_size;
    f->torn = f->regular && ends_in_half_a_line(fd, st->st_size);
    f->rotate_at = f->max_size;
}

err_t audit_file_reopen(struct audit_file *f, struct why *why)
{
    struct stat now, named;
    int fd = -1;
    bool same = f->fd >= 0 && fstat(f->fd, &now) == 0 && stat(f->path, &named) == 0 &&
                now.st_ino == named.st_ino && now.st_dev == named.st_dev;
    if (same)
        return ERR_OK; /* its lock is held, by us */
    err_t err = open_at(f->path, 0, &fd, &now, why);
    if (err == ERR_OK)
        use(f, fd, &now);
    return err;
}

err_t audit_file_open(struct audit_file *f, const char *path, int64_t max_size, int64_t keep,
                      struct why *why)
{
    *f = (struct audit_file){.max_size = max_size, .keep = keep, .fd = -1};
    if (strlen(path) >= PATH_MAX)
        return why_set(why, ERR_IO, "%.60s...: longer than a path may be", path);
    f->path = mem_strdup(path);
    if (f->path == NULL)
        return why_set(why, ERR_NO_MEMORY, "audit file");
    err_t err = audit_file_reopen(f, why);
    if (err != ERR_OK)
        audit_file_close(f);
    return err;
}

void audit_file_close(struct audit_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    mem_free(f->path);
    f->path = NULL;
}

/* --- rotation --------------------------------------------------------------------------------- */

static err_t shift(const struct audit_file *f, int64_t from, struct why *why)
{
    char old[NAME_MAX_LEN], next[NAME_MAX_LEN];
    snprintf(next, sizeof next, "%s.%lld", f->path, (long long)from + 1);
    if (from == 0)
        snprintf(old, sizeof old, "%s", f->path);
    else
        snprintf(old, sizeof old, "%s.%lld", f->path, (long long)from);
    if (rename(old, next) != 0 && errno != ENOENT)
        return why_errno(why, ERR_IO, "cannot rename %s to %s", old, next);
    return ERR_OK;
}

/* The next file is there, under another name, before any old one moves: failing here again and
 * again does not push old files over the edge. */
static err_t rotate(struct audit_file *f, struct why *why)
{
    char fresh[NAME_MAX_LEN];
    struct stat st;
    int fd = -1;
    snprintf(fresh, sizeof fresh, "%s.new", f->path);
    err_t err = open_at(fresh, O_TRUNC, &fd, &st, why);
    for (int64_t i = f->keep - 1; err == ERR_OK && i >= 0; i--)
        err = shift(f, i, why);
    if (err == ERR_OK && rename(fresh, f->path) != 0)
        err = why_errno(why, ERR_IO, "cannot rename %s", fresh);
    if (err == ERR_OK) {
        use(f, fd, &st);
    } else if (fd >= 0) {
        (void)unlink(fresh); /* left behind, it is used by the next try */
        close(fd);
    }
    return err;
}

static void rotate_or_grow(struct audit_file *f)
{
    struct stat st;
    if (fstat(f->fd, &st) == 0 && st.st_size < f->size) { /* cut by somebody else meanwhile */
        f->size = st.st_size;
        return;
    }
    f->rotation = rotate(f, &f->rotation_why);
    if (f->rotation != ERR_OK)
        f->rotate_at = f->size + f->max_size / RETRY_PART;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Length of the whole lines among the first `room` bytes. */
static size_t whole_lines(const uint8_t *lines, size_t len, int64_t room)
{
    size_t most = room < 0 ? 0 : (uint64_t)room < len ? (size_t)room : len;
    const uint8_t *end = most > 0 ? memrchr(lines, '\n', most) : NULL;
    return end != NULL ? (size_t)(end - lines) + 1 : 0;
}

static size_t fitting_lines(struct audit_file *f, const uint8_t *lines, size_t len)
{
    size_t fit = whole_lines(lines, len, f->rotate_at - f->size);
    if (fit == 0 && f->size > 0) {
        rotate_or_grow(f);
        fit = whole_lines(lines, len, f->rotate_at - f->size);
    }
    if (fit > 0)
        return fit;
    const uint8_t *first = memchr(lines, '\n', len);
    return first != NULL ? (size_t)(first - lines) + 1 : len;
}

/* The disk took `got` bytes and no more: half a line is taken back, for readers' sake. */
static size_t drop_half_line(const struct audit_file *f, const uint8_t *lines, size_t got)
{
    size_t whole = whole_lines(lines, got, (int64_t)got);
    struct stat st;
    if (whole == got || fstat(f->fd, &st) != 0)
        return got;
    return ftruncate(f->fd, st.st_size - (int64_t)(got - whole)) == 0 ? whole : got;
}

static bool mend(struct audit_file *f)
{
    if (f->torn && write(f->fd, "\n", 1) == 1) {
        f->torn = false;
        f->size++;
    }
    return !f->torn;
}

err_t audit_file_write(struct audit_file *f, const uint8_t *lines, size_t len, size_t *ret_taken,
                       struct why *why)
{
    size_t fit = f->regular ? fitting_lines(f, lines, len) : len;
    ssize_t n = -1;
    if (mend(f))
        n = write(f->fd, lines, fit);
    if (n < 0 && errno == EAGAIN)
        return why_set(why, ERR_LIMIT, "%s: its reader is behind", f->path);
    if (n < 0)
        return why_errno(why, ERR_IO, "cannot write %s", f->path);
    size_t taken = (size_t)n;
    if (f->regular && taken < fit)
        taken = drop_half_line(f, lines, taken);
    f->size += (int64_t)taken;
    if (taken == 0)
        return why_set(why, ERR_IO, "cannot write %s: no room for a whole line", f->path);
    *ret_taken = taken;
    return ERR_OK;
}
