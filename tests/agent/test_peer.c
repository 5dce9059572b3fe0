/* The process behind a connection. Every case runs with SO_PEERPIDFD (where the kernel has it) and
 * with the fallback for kernels before 6.5. */
#include "agent/peer.h"
#include "tests/support/runner.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const enum peer_mode modes[] = {PEER_AUTO, PEER_FORCE_FALLBACK};
enum { MODES = 2 };

static int listener, accepted = -1;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static struct why why;

static void open_listener(void)
{
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof address;
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
}

static void close_listener(void)
{
    close(listener);
    if (accepted >= 0)
        close(accepted);
    accepted = -1;
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
}

/* In the child: connects; the descriptor stays open. */
static int connect_here(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(sa_family_t) + 6; /* an autobound abstract name */
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, len) != 0)
        _exit(1);
    return fd;
}

/* A child that connects, then waits to be killed. */
static pid_t start_client(void (*before)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (before != NULL)
            before();
        connect_here();
        pause();
        _exit(0);
    }
    accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(accepted, 0);
    return pid;
}

static void stop_client(pid_t pid)
{
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* AG-1 */
START_TEST(test_the_peer_is_who_connected)
{
    struct peer p;
    pid_t pid = start_client(NULL);
    ck_assert_int_eq(peer_pin(accepted, modes[_i], &p, &why), ERR_OK);
    ck_assert_int_eq(p.pid, pid);
    ck_assert_uint_eq(p.uid, geteuid());
    ck_assert_uint_eq(p.gid, getegid());
    ck_assert_uint_eq(p.cookie, peer_cookie(accepted));
    ck_assert_int_eq(peer_check(&p, &why), ERR_OK);
    peer_done(&p);
    stop_client(pid);
}
END_TEST

/* AG-2: also while it is a zombie, and when its pid may be given to another. */
START_TEST(test_a_process_that_ended_is_noticed)
{
    struct peer p;
    pid_t pid = start_client(NULL);
    ck_assert_int_eq(peer_pin(accepted, modes[_i], &p, &why), ERR_OK);
    kill(pid, SIGKILL);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    ck_assert_int_eq(peer_check(&p, &why), ERR_ATTESTATION);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(peer_check(&p, &why), ERR_ATTESTATION);
    peer_done(&p);
}
END_TEST

/* AG-2: the connection outlives the process that made it. */
START_TEST(test_a_process_that_ended_before_accept_is_never_trusted)
{
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        int fd = connect_here();
        if (fork() == 0 && read(fd, &byte, 1) != 0) /* holds the connection until we close it */
            _exit(1);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    struct peer p;
    err_t err = peer_pin(accepted, modes[_i], &p, &why);
    if (err == ERR_OK) {
        err = peer_check(&p, &why);
        peer_done(&p);
    }
    ck_assert_int_eq(err, ERR_ATTESTATION);
}
END_TEST

static void take_an_ugly_name(void)
{
    prctl(PR_SET_NAME, "a) b (1 2 3");
}

/* AG-2: field 22 is counted from the last ')'. */
START_TEST(test_a_name_with_parentheses_does_not_confuse_the_start_time)
{
    struct peer plain, ugly;
    pid_t pid = start_client(NULL);
    ck_assert_int_eq(peer_pin(accepted, PEER_FORCE_FALLBACK, &plain, &why), ERR_OK);
    close(accepted);
    pid_t other = start_client(take_an_ugly_name);
    ck_assert_int_eq(peer_pin(accepted, PEER_FORCE_FALLBACK, &ugly, &why), ERR_OK);
    ck_assert_uint_ge(ugly.start_time, plain.start_time);
    ck_assert_uint_le(ugly.start_time, plain.start_time + 100 * (uint64_t)sysconf(_SC_CLK_TCK));
    peer_done(&plain);
    peer_done(&ugly);
    stop_client(pid);
    stop_client(other);
}
END_TEST

static void become_non_dumpable(void)
{
    prctl(PR_SET_DUMPABLE, 0);
}

/* AG-3 */
START_TEST(test_a_process_that_cannot_be_dumped_is_served)
{
    struct peer p;
    pid_t pid = start_client(become_non_dumpable);
    ck_assert_int_eq(peer_pin(accepted, modes[_i], &p, &why), ERR_OK);
    ck_assert_int_eq(peer_check(&p, &why), ERR_OK);
    peer_done(&p);
    stop_client(pid);
}
END_TEST

static void become_nobody(void)
{
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        _exit(1);
}

START_TEST(test_another_user_is_seen_as_that_user)
{
    if (geteuid() != 0)
        return;
    struct peer p;
    pid_t pid = start_client(become_nobody);
    ck_assert_int_eq(peer_pin(accepted, modes[_i], &p, &why), ERR_OK);
    ck_assert_uint_eq(p.uid, 65534);
    ck_assert_uint_eq(p.gid, 65534);
    peer_done(&p);
    stop_client(pid);
}
END_TEST

/* In a child: connects, then becomes nobody when told, and says so. */
static void connect_and_change(int go, int done)
{
    char byte = 0;
    connect_here();
    if (read(go, &byte, 1) != 1)
        _exit(1);
    become_nobody();
    if (write(done, &byte, 1) != 1)
        _exit(1);
    pause();
    _exit(0);
}

/* AG-2: the identity of the user that connected is not for the one it has become. */
START_TEST(test_a_process_that_became_another_user_is_noticed)
{
    int go[2], done[2];
    char byte = 0;
    struct peer p;
    if (geteuid() != 0)
        return;
    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0)
        connect_and_change(go[0], done[1]);
    accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_eq(peer_pin(accepted, modes[_i], &p, &why), ERR_OK);
    ck_assert_int_eq(peer_check(&p, &why), ERR_OK);
    ck_assert_int_eq(write(go[1], &byte, 1), 1);
    ck_assert_int_eq(read(done[0], &byte, 1), 1);
    ck_assert_int_eq(peer_check(&p, &why), ERR_ATTESTATION);
    ck_assert_msg(strstr(why_text(&why), "uid 65534") != NULL, "%s", why_text(&why));
    peer_done(&p);
    stop_client(pid);
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(done[i]);
    }
}
END_TEST

START_TEST(test_what_is_no_socket_has_no_cookie_and_no_peer)
{
    struct peer p;
    ck_assert_uint_eq(peer_cookie(STDERR_FILENO + 1000), 0);
    ck_assert_int_eq(peer_pin(STDERR_FILENO + 1000, PEER_AUTO, &p, &why), ERR_IO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("peer");
    TCase *t = tcase_create("peer");
    tcase_add_checked_fixture(t, open_listener, close_listener);
    tcase_add_loop_test(t, test_the_peer_is_who_connected, 0, MODES);
    tcase_add_loop_test(t, test_a_process_that_ended_is_noticed, 0, MODES);
    tcase_add_loop_test(t, test_a_process_that_ended_before_accept_is_never_trusted, 0, MODES);
    tcase_add_test(t, test_a_name_with_parentheses_does_not_confuse_the_start_time);
    tcase_add_loop_test(t, test_a_process_that_cannot_be_dumped_is_served, 0, MODES);
    tcase_add_loop_test(t, test_another_user_is_seen_as_that_user, 0, MODES);
    tcase_add_loop_test(t, test_a_process_that_became_another_user_is_noticed, 0, MODES);
    tcase_add_test(t, test_what_is_no_socket_has_no_cookie_and_no_peer);
    suite_add_tcase(s, t);
    return run_suite(s);
}
