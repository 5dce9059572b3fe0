#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define FILE_READ_STEP 4096u
#define FILE_PIPE_WAIT_MS 1000

/* The text is errno's alone, and errno is as before. */
static err_t file_refused(struct why *why)
{
    int saved = errno;
    char text[128];
    why_set(why, ERR_IO, "%s", strerror_r(saved, text, sizeof text));
    errno = saved;
    return ERR_IO;
}

static err_t file_no_memory(struct why *why)
{
    return why_set(why, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

err_t file_check_regular(const char *path, const struct stat *st, struct why *why)
{
    (void)path;
    if (S_ISREG(st->st_mode))
        return ERR_OK;
    return why_set(why, ERR_IO, "not a regular file%s",
                   S_ISDIR(st->st_mode) ? ", it is a directory" : "");
}

/* A pipe whose writer is slow is waited for; one that never writes holds nobody up. */
static err_t file_await_pipe(int fd, struct why *why)
{
    struct pollfd pipe = {.fd = fd, .events = POLLIN};
    int ready = poll(&pipe, 1, FILE_PIPE_WAIT_MS);
    if (ready > 0 || (ready < 0 && errno == EINTR))
        return ERR_OK;
    return why_set(why, ERR_IO, "it is a pipe, and nobody wrote to it for %d ms",
                   FILE_PIPE_WAIT_MS);
}

static err_t file_read_some(int fd, struct buf *out, bool *ret_end, struct why *why)
{
    uint8_t beyond; /* a full buffer is enough if nothing more comes */
    size_t left = out->max - out->len;
    if (out->len == out->cap && left > 0 &&
        buf_reserve(out, left < FILE_READ_STEP ? left : FILE_READ_STEP) != ERR_OK)
        return file_no_memory(why);
    ssize_t n = left > 0 ? read(fd, out->data + out->len, out->cap - out->len)
                         : read(fd, &beyond, sizeof beyond);
    if (n < 0 && errno == EINTR)
        return ERR_OK;
    if (n < 0)
        return errno == EAGAIN ? file_await_pipe(fd, why) : file_refused(why);
    if (n > 0 && left == 0)
        return why_set(why, ERR_TOO_LARGE, "larger than %zu bytes", out->max);
    out->len += (size_t)n;
    *ret_end = n == 0;
    return ERR_OK;
}

err_t file_read(const char *path, file_check_fn *check, struct buf *out, struct why *why)
{
    struct stat st;
    size_t before = out->len;
    bool end = false;
    /* Opening a pipe must not wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return file_refused(why);
    err_t err = fstat(fd, &st) == 0 ? ERR_OK : file_refused(why);
    if (err == ERR_OK && check != NULL)
        err = check(path, &st, why);
    /* As a rule one read, into memory of the right size; too large is found by reading. */
    if (err == ERR_OK && st.st_size > 0 && (uint64_t)st.st_size <= out->max - out->len)
        err = buf_reserve(out, (size_t)st.st_size) == ERR_OK ? ERR_OK : file_no_memory(why);
    while (err == ERR_OK && !end)
        err = file_read_some(fd, out, &end, why);
    if (err != ERR_OK)
        out->len = before;
    int saved = errno;
    close(fd);
    errno = saved;
    return err;
}

ssize_t file_peek(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, size - 1) : -1;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    out[n > 0 ? n : 0] = '\0';
    return n;
}

err_t file_write_at(int fd, struct slice bytes, uint64_t at)
{
    while (bytes.len > 0) {
        ssize_t n = pwrite(fd, bytes.data, bytes.len, (off_t)at);
        if (n < 0 && errno != EINTR)
            return ERR_IO;
        if (n > 0) {
            bytes = slice_of(bytes.data + n, bytes.len - (size_t)n);
            at += (uint64_t)n;
        }
    }
    return ERR_OK;
}

err_t file_replace(int folder, const char *name, struct slice bytes, mode_t mode, int *ret_fd,
                   struct why *why)
{
    char fresh[NAME_MAX + 1];
    if (snprintf(fresh, sizeof fresh, ".%s.new", name) >= (int)sizeof fresh)
        return why_set(why, ERR_IO, "cannot write %s: the name is too long", name);
    int fd = -1;
    if (unlinkat(folder, fresh, 0) == 0 || errno == ENOENT)
        fd = openat(folder, fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return why_errno(why, ERR_IO, "cannot write %s", name);
    err_t err = ERR_OK;
    /* fchmod: the umask has no say. */
    if (file_write_at(fd, bytes, 0) != ERR_OK || fchmod(fd, mode) != 0 || fsync(fd) != 0 ||
        renameat(folder, fresh, folder, name) != 0)
        err = why_errno(why, ERR_IO, "cannot write %s", name);
    if (err != ERR_OK)
        unlinkat(folder, fresh, 0);
    if (err == ERR_OK && ret_fd != NULL)
        *ret_fd = fd;
    else
        close(fd);
    return err;
}
