#include "common/base/inherited.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

static const struct {
    int number;
    void (*action)(int);
} rows[] = {
    {SIGPIPE, SIG_IGN},
    {SIGXFSZ, SIG_IGN},
    {SIGTERM, SIG_DFL},
    {SIGCHLD, SIG_DFL},
};

static void settle_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sigaction action = {.sa_handler = rows[i].action};
        (void)sigaction(rows[i].number, &action, NULL); /* fails for wrong numbers only */
    }
    /* Last: one that was held back meets the action that it is to have. */
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void put_null(int fd)
{
    int null = open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); // NOLINT: stays open
    if (null < 0 || null == fd)
        return;
    (void)dup2(null, fd);
    close(null);
}

/* What came through exec has no close-on-exec flag; a descriptor that has it is one of a library
 * whose constructor found the number free before main. It keeps it, so we begin anew without. */
static void settle_descriptors(char **argv)
{
    bool taken = false;
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0)
            continue;
        taken = taken || flags >= 0;
        put_null(fd);
    }
    if (taken)
        (void)execv("/proc/self/exe", argv); /* without /proc: as good as it gets */
}

void inherited_settle(char **argv)
{
    settle_signals();
    settle_descriptors(argv);
}
