#include "agent/attest/proc.h"

#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* 65,536 groups (the kernel's limit) of up to 11 bytes, and the rest of the file. */
enum { STATUS_MAX = 1024 * 1024 };

bool file_id_eq(const struct file_id *a, const struct file_id *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
           a->mtime.tv_sec == b->mtime.tv_sec && a->mtime.tv_nsec == b->mtime.tv_nsec &&
           a->ctime.tv_sec == b->ctime.tv_sec && a->ctime.tv_nsec == b->ctime.tv_nsec;
}

err_t file_id_of(int fd, struct file_id *ret, struct why *why)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return why_errno(why, ERR_IO, "stat of an open file");
    *ret = (struct file_id){.dev = st.st_dev,
                            .ino = st.st_ino,
                            .size = st.st_size,
                            .mtime = st.st_mtim,
                            .ctime = st.st_ctim};
    return ERR_OK;
}

/* A file of an ended process cannot be opened, or opened but not read. */
static err_t proc_fail(struct why *why, pid_t pid, const char *what)
{
    err_t err = ERR_IO;
    if (errno == ENOENT || errno == ESRCH)
        err = ERR_ATTESTATION;
    else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
        err = ERR_LIMIT;
    return why_errno(why, err, "%s of process %d", what, (int)pid);
}

static err_t proc_number(struct slice *rest, gid_t *ret)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; i < rest->len && rest->data[i] >= '0' && rest->data[i] <= '9'; i++) {
        n = n * 10 + (uint64_t)(rest->data[i] - '0');
        if (n > UINT32_MAX)
            return ERR_PARSE;
    }
    if (i == 0)
        return ERR_PARSE;
    *rest = slice_of(rest->data + i, rest->len - i);
    *ret = (gid_t)n;
    return ERR_OK;
}

static struct slice groups_line(struct slice text)
{
    const uint8_t *at = memmem(text.data, text.len, "\nGroups:", 8);
    if (at == NULL)
        return (struct slice){0};
    at += 8;
    size_t left = text.len - (size_t)(at - text.data);
    const uint8_t *end = memchr(at, '\n', left);
    return end != NULL ? slice_of(at, (size_t)(end - at)) : (struct slice){0};
}

err_t proc_parse_groups(struct slice text, gid_t *out, size_t max, size_t *ret_count,
                        struct why *why)
{
    struct slice rest = groups_line(text);
    if (rest.data == NULL)
        return why_set(why, ERR_PARSE, "no line \"Groups:\" in the status of a process");
    size_t count = 0;
    while (count < max) {
        while (rest.len > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t'))
            rest = slice_of(rest.data + 1, rest.len - 1);
        if (rest.len == 0)
            break;
        if (proc_number(&rest, &out[count]) != ERR_OK)
            return why_set(why, ERR_PARSE, "expected group numbers after \"Groups:\"");
        count++;
    }
    *ret_count = count;
    return ERR_OK;
}

err_t proc_groups(pid_t pid, gid_t *out, size_t max, size_t *ret_count, struct why *why)
{
    char path[64];
    struct buf text;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    buf_init(&text, STATUS_MAX);
    err_t err = file_read(path, NULL, &text, why);
    if (err == ERR_OK)
        err = proc_parse_groups(buf_slice(&text), out, max, ret_count, why);
    else if (err == ERR_IO)
        err = proc_fail(why, pid, "status");
    else if (err == ERR_TOO_LARGE)
        err = why_set(why, ERR_LIMIT, "status of process %d is too long", (int)pid);
    buf_done(&text);
    return err;
}

void proc_comm(pid_t pid, char out[static PROC_COMM_MAX])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    ssize_t n = file_peek(path, out, PROC_COMM_MAX);
    if (n > 0 && out[n - 1] == '\n')
        out[n - 1] = '\0';
}

err_t proc_exe_path(pid_t pid, char ret_path[static PATH_MAX], struct why *why)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(link, path, sizeof path);
    if (len < 0)
        return proc_fail(why, pid, "program");
    if ((size_t)len >= sizeof path)
        return why_set(why, ERR_TOO_LARGE, "the path of the program is too long");
    path[len] = '\0';
    struct stat real, named;
    if (stat(link, &real) != 0)
        return proc_fail(why, pid, "program");
    if (stat(path, &named) != 0 || named.st_dev != real.st_dev || named.st_ino != real.st_ino)
        return why_set(why, ERR_NOT_FOUND,
                       "the path of process %d's program names no file here, "
                       "or another one",
                       (int)pid);
    memcpy(ret_path, path, (size_t)len + 1);
    return ERR_OK;
}

err_t proc_exe_open(pid_t pid, int *ret_fd, struct file_id *ret_id, struct why *why)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    int fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return proc_fail(why, pid, "program");
    struct statfs fs;
    err_t err = ERR_OK;
    if (fstatfs(fd, &fs) != 0)
        err = why_errno(why, ERR_IO, "file system of process %d's program", (int)pid);
    else if ((unsigned long)fs.f_type == FUSE_SUPER_MAGIC)
        err = why_set(why, ERR_UNSUPPORTED,
                      "process %d's program lies on a file system in user space", (int)pid);
    if (err == ERR_OK)
        err = file_id_of(fd, ret_id, why);
    if (err != ERR_OK) {
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return ERR_OK;
}
