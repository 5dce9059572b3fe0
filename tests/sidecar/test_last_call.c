/* The limit of an end. What it ends is a child of this test. */
#include "sidecar/last_call.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The exit status of a child that runs fn, and what it wrote on its standard error. */
static int in_child(void (*fn)(void), char *said, size_t size)
{
    int status = 0, fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        fn();
        _exit(7);
    }
    close(fds[1]);
    ssize_t n, len = 0;
    while ((n = read(fds[0], said + len, size - 1 - (size_t)len)) > 0)
        len += n;
    said[len] = '\0';
    close(fds[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void hang(void)
{
    static struct last_call l;
    last_call_begin(&l, 50);
    last_call_begin(&l, 3600000); /* the first one counts */
    for (;;)
        pause();
}

static void end_in_time(void)
{
    static struct last_call l;
    last_call_end(&l); /* not begun */
    last_call_begin(&l, 3600000);
    last_call_end(&l);
    last_call_end(&l);
}

START_TEST(test_an_end_that_hangs_is_ended_with_a_line_and_status_0)
{
    char said[4096];
    ck_assert_int_eq(in_child(hang, said, sizeof said), 0);
    ck_assert_ptr_nonnull(strstr(said, "end_forced"));
}
END_TEST

START_TEST(test_an_end_in_time_goes_its_own_way)
{
    char said[4096];
    ck_assert_int_eq(in_child(end_in_time, said, sizeof said), 7);
    ck_assert_str_eq(said, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("last_call");
    TCase *t = tcase_create("last_call");
    tcase_add_test(t, test_an_end_that_hangs_is_ended_with_a_line_and_status_0);
    tcase_add_test(t, test_an_end_in_time_goes_its_own_way);
    suite_add_tcase(s, t);
    return run_suite(s);
}
