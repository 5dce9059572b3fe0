#include "common/sandbox/sandbox_internal.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/securebits.h>

/* --- capabilities ----------------------------------------------------------------------------- */

static uint64_t mask_of(const int *capabilities)
{
    uint64_t mask = 0;
    for (; *capabilities >= 0; capabilities++)
        mask |= UINT64_C(1) << *capabilities;
    return mask;
}

/* What an exec could give back. It takes CAP_SETPCAP, which a root in a container may lack: seccomp
 * refuses exec anyway, so what cannot be dropped here is no failure. */
static void drop_bounding(uint64_t keep)
{
    for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++) {
        if ((keep & UINT64_C(1) << c) == 0)
            (void)prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
    }
    (void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

/* By the bare system calls: libcap would be one more library for two calls. */
static err_t drop_capabilities(const int *keep, struct why *why)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct caps[2];
    uint64_t mask = mask_of(keep);
    drop_bounding(mask);
    if (syscall(SYS_capget, &head, caps) != 0)
        return why_errno(why, ERR_INTERNAL, "cannot read capabilities");
    for (int i = 0; i < 2; i++) {
        caps[i].permitted &= (uint32_t)(mask >> (32 * i));
        caps[i].effective = caps[i].permitted;
        caps[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &head, caps) != 0)
        return why_errno(why, ERR_INTERNAL, "cannot drop capabilities");
    return ERR_OK;
}

/* --- all together ----------------------------------------------------------------------------- */

static size_t count_threads(void)
{
    size_t n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *e = tasks != NULL ? readdir(tasks) : NULL; e != NULL;
         e = readdir(tasks))
        n += e->d_name[0] != '.';
    if (tasks != NULL)
        closedir(tasks);
    return n;
}

err_t sandbox_enter(const struct sandbox_rules *rules, struct buf *notes, struct why *why)
{
    size_t threads = count_threads();
    err_t err = ERR_OK;
    if (threads > 1)
        err = buf_printf(notes,
                         "%zu threads ran before the sandbox: they keep capabilities and paths\n",
                         threads - 1);
    if (err == ERR_OK && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        err = why_errno(why, ERR_INTERNAL, "cannot set no_new_privs");
    if (err == ERR_OK)
        err = drop_capabilities(rules->keep_capabilities, why);
    if (err == ERR_OK && rules->before_landlock != NULL)
        rules->before_landlock(rules->arg);
    if (err == ERR_OK)
        err = sandbox_restrict_paths(rules->paths, notes, why);
    if (err == ERR_OK)
        err = sandbox_restrict_syscalls(rules->syscalls, notes, why);
    return err != ERR_OK ? why_add(why, err, "sandbox") : ERR_OK;
}
