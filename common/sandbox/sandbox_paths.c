/* Landlock, by its system calls: libc has no wrappers, and the headers of the build machine may be
 * older than the kernel that runs us. */
#include "common/sandbox/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the oldest headers we build with. */
#define ACCESS_REFER (UINT64_C(1) << 13)     /* ABI 2 */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)  /* ABI 3 */
#define ACCESS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)      /* ABI 6 */

struct ruleset {
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
};

#define ACCESS_FIRST ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* all of ABI 1 */
#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_WRITE                                                                               \
    (ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                \
     LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |   \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | ACCESS_REFER | ACCESS_TRUNCATE)
/* What can be allowed on a file rather than a folder. */
#define ACCESS_FILE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE)

static long landlock_abi(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
}

static struct ruleset ruleset_of(long abi, size_t *ret_size)
{
    struct ruleset r = {.handled_fs = ACCESS_FIRST};
    r.handled_fs |= abi >= 2 ? ACCESS_REFER : 0;
    r.handled_fs |= abi >= 3 ? ACCESS_TRUNCATE : 0;
    r.handled_fs |= abi >= 5 ? ACCESS_IOCTL_DEV : 0;
    r.scoped = abi >= 6 ? SCOPE_SIGNAL : 0;
    *ret_size = abi >= 6 ? sizeof r : sizeof r.handled_fs;
    return r;
}

static err_t allow_path(int ruleset, const struct sandbox_path *p, uint64_t handled,
                        struct why *why)
{
    struct stat st;
    err_t err = ERR_OK;
    int fd = open(p->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES
                   ? ERR_OK
                   : why_errno(why, ERR_INTERNAL, "%s", p->path);
    struct landlock_path_beneath_attr rule = {
        .allowed_access = handled & (p->write ? ACCESS_WRITE : ACCESS_READ), .parent_fd = fd};
    if (fstat(fd, &st) != 0)
        err = why_errno(why, ERR_INTERNAL, "%s", p->path);
    else if (!S_ISDIR(st.st_mode))
        rule.allowed_access &= ACCESS_FILE;
    if (err == ERR_OK &&
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
        err = why_errno(why, ERR_INTERNAL, "landlock: cannot allow %s", p->path);
    close(fd);
    return err;
}

err_t sandbox_restrict_paths(const struct sandbox_path *paths, struct buf *notes, struct why *why)
{
    size_t size = 0;
    if (SANITIZED)
        return buf_append_str(
            notes, "landlock: left out of a build with sanitizers: they stop threads across it\n");
    long abi = landlock_abi();
    if (abi < 1)
        return buf_append_str(
            notes, "landlock: not in this kernel, any path that file modes allow can be opened\n");
    struct ruleset r = ruleset_of(abi, &size);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &r, size, 0);
    if (fd < 0)
        return why_errno(why, ERR_INTERNAL, "landlock: cannot make a ruleset");
    err_t err = ERR_OK;
    for (; err == ERR_OK && paths->path != NULL; paths++)
        err = allow_path(fd, paths, r.handled_fs, why);
    if (err == ERR_OK && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        err = why_errno(why, ERR_INTERNAL, "landlock: cannot enter the ruleset");
    close(fd);
    return err;
}
