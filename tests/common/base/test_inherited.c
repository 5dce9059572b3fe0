/* What a parent left: each case in a child of its own, as it is the whole process that changes. */
#include "common/base/inherited.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

/* Runs fn(arg) in a child; true: it said so. */
static bool in_child(bool (*fn)(int arg), int arg)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(fn(arg) ? 0 : 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void (*action_of(int number))(int)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 ? now.sa_handler : SIG_ERR;
}

static const struct {
    int number;
    void (*left)(int);
    bool blocked;
    void (*want)(int);
} cases[] = {
    {SIGPIPE, SIG_DFL, false, SIG_IGN}, {SIGPIPE, SIG_IGN, false, SIG_IGN},
    {SIGPIPE, SIG_DFL, true, SIG_IGN},  {SIGXFSZ, SIG_DFL, false, SIG_IGN},
    {SIGTERM, SIG_DFL, false, SIG_DFL}, {SIGTERM, SIG_IGN, false, SIG_DFL},
    {SIGTERM, SIG_IGN, true, SIG_DFL},  {SIGCHLD, SIG_IGN, false, SIG_DFL},
    {SIGHUP, SIG_IGN, false, SIG_IGN},                                    /* nohup */
    {SIGHUP, SIG_DFL, true, SIG_DFL},   {SIGINT, SIG_IGN, true, SIG_IGN}, /* a shell's & */
    {SIGQUIT, SIG_IGN, false, SIG_IGN}, {SIGURG, SIG_DFL, true, SIG_DFL},
    {SIGSEGV, SIG_DFL, true, SIG_DFL},
};

static bool settles(int i)
{
    sigset_t mask;
    signal(cases[i].number, cases[i].left);
    sigemptyset(&mask);
    sigaddset(&mask, cases[i].number);
    sigprocmask(cases[i].blocked ? SIG_BLOCK : SIG_UNBLOCK, &mask, NULL);
    inherited_settle(NULL);
    sigprocmask(SIG_BLOCK, NULL, &mask);
    return action_of(cases[i].number) == cases[i].want && sigismember(&mask, cases[i].number) == 0;
}

START_TEST(test_each_signal_is_what_the_header_says_whatever_was_left)
{
    ck_assert_msg(in_child(settles, _i), "signal %d, left %s%s", cases[_i].number,
                  cases[_i].left == SIG_IGN ? "ignored" : "default",
                  cases[_i].blocked ? ", held back" : "");
}
END_TEST

static bool pipe_fails_softly(int unused)
{
    int fds[2];
    (void)unused;
    signal(SIGPIPE, SIG_DFL);
    inherited_settle(NULL);
    if (pipe(fds) != 0)
        return false;
    close(fds[0]);
    return write(fds[1], "x", 1) == -1 && errno == EPIPE;
}

START_TEST(test_a_write_to_somebody_who_hung_up_ends_nothing)
{
    ck_assert(in_child(pipe_fails_softly, 0));
}
END_TEST

/* A SIGPIPE that waited behind the mask must not strike when the mask goes. */
static bool waiting_is_harmless(int unused)
{
    sigset_t mask;
    (void)unused;
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&mask);
    sigaddset(&mask, SIGPIPE);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    raise(SIGPIPE);
    inherited_settle(NULL);
    return true;
}

START_TEST(test_a_signal_that_waits_meets_its_new_action)
{
    ck_assert(in_child(waiting_is_harmless, 0));
}
END_TEST

/* Bit n of `closed`: descriptor n was closed. */
static bool holds_standard_descriptors(int closed)
{
    char byte = 0;
    for (int fd = 0; fd <= 2; fd++) {
        if ((closed & 1 << fd) != 0)
            close(fd);
    }
    inherited_settle(NULL);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool ok = next > 2;
    for (int fd = 0; fd <= 2; fd++) {
        if ((closed & 1 << fd) != 0)
            ok = ok && (fd == 0 ? read(fd, &byte, 1) : write(fd, "x", 1)) == -1 && errno == EBADF;
    }
    return ok;
}

START_TEST(test_a_closed_standard_descriptor_is_taken_and_still_fails)
{
    ck_assert_msg(in_child(holds_standard_descriptors, _i), "closed: %d", _i);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("inherited");
    TCase *c = tcase_create("rules");
    tcase_add_loop_test(c, test_each_signal_is_what_the_header_says_whatever_was_left, 0,
                        COUNT(cases));
    tcase_add_test(c, test_a_write_to_somebody_who_hung_up_ends_nothing);
    tcase_add_test(c, test_a_signal_that_waits_meets_its_new_action);
    tcase_add_loop_test(c, test_a_closed_standard_descriptor_is_taken_and_still_fails, 0, 8);
    suite_add_tcase(s, c);
    return run_suite(s);
}
