/* Seccomp through libseccomp: a list of what may be called, the rest fails with EPERM. */
#include "common/sandbox/sandbox_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* malloc names its arenas */
#endif
#ifndef CLONE_THREAD
#define CLONE_THREAD 0x00010000 /* sched.h hides it behind clone() itself */
#endif

/* What libc, libuv and malloc need at run time. Besides these, some are allowed for certain
 * arguments only: no new processes, no new executable memory, sockets of the internet and Unix
 * families. */
static const int base_syscalls[] = {
    /* descriptors; fcntl is limited below */
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(preadv2),
    SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2),
    SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
    SCMP_SYS(lseek), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(sendfile), SCMP_SYS(splice),
    SCMP_SYS(eventfd2), SCMP_SYS(memfd_create), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
    SCMP_SYS(timerfd_gettime),
    /* files */
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat),
    SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access),
    SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(umask),
    SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(flock),
    SCMP_SYS(inotify_init1), SCMP_SYS(inotify_add_watch), SCMP_SYS(inotify_rm_watch),
    /* waiting */
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall),
    /* sockets; socket() itself is limited below */
    SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4),
    SCMP_SYS(shutdown), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(setsockopt),
    SCMP_SYS(getsockopt), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg),
    /* memory; what is executable is limited below */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mincore),
    SCMP_SYS(mlock2), SCMP_SYS(msync),
    /* threads and signals; clone and tgkill are limited below */
    SCMP_SYS(futex), SCMP_SYS(futex_waitv), SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq), SCMP_SYS(membarrier), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(getcpu),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(exit), SCMP_SYS(exit_group),
    /* what the process is */
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(getresuid), SCMP_SYS(getresgid), SCMP_SYS(getgroups),
    SCMP_SYS(capget), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(times), SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit), SCMP_SYS(setrlimit), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time), SYSCALL_END};

/* Syscalls allowed for some arguments. Several rows of one call: any of them. */
struct condition {
    int call;
    unsigned count;
    struct scmp_arg_cmp args[2];
};
#define IS(arg, value)                                                                             \
    {                                                                                              \
        (arg), SCMP_CMP_EQ, (scmp_datum_t)(value), 0                                               \
    }
#define HAS(arg, bits)                                                                             \
    {                                                                                              \
        (arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), (scmp_datum_t)(bits)                      \
    }
#define LACKS(arg, bits)                                                                           \
    {                                                                                              \
        (arg), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), 0                                         \
    }

static const struct condition conditions[] = {
    /* descriptors, but not whom they signal (F_SETOWN, F_SETSIG): that may be anybody */
    {SCMP_SYS(fcntl), 1, {IS(1, F_DUPFD)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_DUPFD_CLOEXEC)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_GETFD)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_SETFD)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_GETFL)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_SETFL)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_GETLK)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_SETLK)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_OFD_SETLK)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_ADD_SEALS)}},
    {SCMP_SYS(fcntl), 1, {IS(1, F_GET_SEALS)}},
    /* limits of our own: one of another process can end it */
    {SCMP_SYS(prlimit64), 1, {IS(0, 0)}},
    /* threads, never processes */
    {SCMP_SYS(clone), 1, {HAS(0, CLONE_THREAD)}},
    /* code comes from files, and stays what it is */
    {SCMP_SYS(mmap), 1, {LACKS(2, PROT_EXEC)}},
    {SCMP_SYS(mmap), 2, {HAS(2, PROT_EXEC), LACKS(3, MAP_ANONYMOUS)}},
    {SCMP_SYS(mprotect), 1, {LACKS(2, PROT_EXEC)}},
    /* netlink: name services (users, groups) ask which address families there are */
    {SCMP_SYS(socket), 1, {IS(0, AF_UNIX)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_INET6)}},
    {SCMP_SYS(socket), 1, {IS(0, AF_NETLINK)}},
    {SCMP_SYS(socketpair), 1, {IS(0, AF_UNIX)}},
    {SCMP_SYS(ioctl), 1, {IS(1, FIONBIO)}},
    {SCMP_SYS(ioctl), 1, {IS(1, FIOCLEX)}},
    {SCMP_SYS(ioctl), 1, {IS(1, FIONREAD)}},
    {SCMP_SYS(ioctl), 1, {IS(1, SIOCOUTQ)}},
    {SCMP_SYS(ioctl), 1, {IS(1, TCGETS)}},
    {SCMP_SYS(prctl), 1, {IS(0, PR_SET_NAME)}},
    {SCMP_SYS(prctl), 1, {IS(0, PR_GET_NAME)}},
    {SCMP_SYS(prctl), 1, {IS(0, PR_SET_VMA)}},
};

/* The calls that this architecture lacks are answered with -EDOM. */
static bool is_failure(int e)
{
    return e != 0 && e != -EDOM && e != -EEXIST;
}

static int allow_all(scmp_filter_ctx ctx, const int *calls)
{
    int e = 0;
    for (; !is_failure(e) && *calls != SYSCALL_END; calls++)
        e = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, *calls, 0);
    return is_failure(e) ? e : 0;
}

static int allow_conditions(scmp_filter_ctx ctx)
{
    int e = 0;
    for (size_t i = 0; !is_failure(e) && i < sizeof conditions / sizeof conditions[0]; i++)
        e = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, conditions[i].call, conditions[i].count,
                                   conditions[i].args);
    return is_failure(e) ? e : 0;
}

/* To threads of our own: libc's abort and raise. */
static int allow_own_signals(scmp_filter_ctx ctx)
{
    const struct scmp_arg_cmp own = IS(0, getpid());
    return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &own);
}

static int fill_and_load(scmp_filter_ctx ctx, const int *extra)
{
    int e = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (e == 0)
        e = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree, not a list */
    if (e == 0)
        e = allow_all(ctx, base_syscalls);
    if (e == 0)
        e = allow_all(ctx, extra);
    if (e == 0)
        e = allow_conditions(ctx);
    if (e == 0)
        e = allow_own_signals(ctx);
    /* Its flags are behind a pointer, out of a filter's sight; libc falls back to clone. */
    if (e == 0)
        e = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return e == 0 ? seccomp_load(ctx) : e;
}

err_t sandbox_restrict_syscalls(const int *extra, struct buf *notes, struct why *why)
{
    if (SANITIZED)
        return buf_append_str(
            notes, "seccomp: left out of a build with sanitizers: they need more calls\n");
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 || seccomp_api_get() < 2)
        return buf_append_str(notes, "seccomp: not in this kernel, any system call can be made\n");
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (ctx == NULL)
        return why_set(why, ERR_NO_MEMORY, "seccomp filter");
    int e = fill_and_load(ctx, extra);
    seccomp_release(ctx);
    if (e != 0) {
        errno = -e;
        return why_errno(why, ERR_INTERNAL, "seccomp: cannot enter the filter");
    }
    return ERR_OK;
}
