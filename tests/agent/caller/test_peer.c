/* The process behind a connection. Every case runs with SO_PEERPIDFD (where the kernel has it) and
 * with the fallback for kernels before 6.5. */
#include "agent/caller/peer.h"
#include "tests/support/descriptors.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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

static void read_proc(pid_t pid, const char *name, char out[static 4096])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, out, 4095);
    ck_assert_int_gt(n, 0);
    out[n] = '\0';
    close(fd);
}

/* What is left on the stack must not be read behind the end of what /proc said. */
static void leave_text_on_the_stack(void)
{
    volatile char text[65536];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = ')';
}

/* AG-2: field 22 is counted from the last ')'. */
START_TEST(test_a_name_with_parentheses_does_not_confuse_the_start_time)
{
    char stat[4096];
    struct peer p;
    uint64_t want = 0;
    pid_t pid = start_client(_i == 0 ? NULL : take_an_ugly_name);
    leave_text_on_the_stack();
    ck_assert_int_eq(peer_pin(accepted, PEER_FORCE_FALLBACK, &p, &why), ERR_OK);
    read_proc(pid, "stat", stat);
    const char *state = strrchr(stat, ')') + 1; /* field 3 */
    ck_assert_int_eq(sscanf(state,
                            "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
                            "%*s %*s %" SCNu64,
                            &want),
                     1);
    ck_assert_uint_gt(want, 0);
    ck_assert_uint_eq(p.start_time, want);
    peer_done(&p);
    stop_client(pid);
}
END_TEST

/* What the kernel says when it is asked for a pidfd, what then becomes of the peer. */
static const struct {
    int error;
    err_t err;
} kernels[] = {
    {ENOPROTOOPT, ERR_OK},      {ESRCH, ERR_ATTESTATION}, {EINVAL, ERR_ATTESTATION},
    {ENODATA, ERR_ATTESTATION}, {EMFILE, ERR_IO},
};
enum { KERNELS = sizeof kernels / sizeof kernels[0], SO_PIDFD = 77 };

/* From here on this process is refused what SO_PEERPIDFD gives. */
static void be_refused(int error)
{
    int fd = -1;
    socklen_t len = sizeof fd;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    ck_assert_ptr_nonnull(filter);
    ck_assert_int_eq(seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error & 0xffffu),
                                      SCMP_SYS(getsockopt), 1, SCMP_A2(SCMP_CMP_EQ, SO_PIDFD)),
                     0);
    ck_assert_int_eq(seccomp_load(filter), 0);
    seccomp_release(filter);
    ck_assert_int_eq(getsockopt(accepted, SOL_SOCKET, SO_PIDFD, &fd, &len), -1);
    ck_assert_int_eq(errno, error);
}

/* In a child, as there is no way back. */
static void pin_where_refused(int error, err_t want)
{
    struct peer p = {.pid = 7};
    be_refused(error);
    size_t open = open_descriptors();
    ck_assert_int_eq(peer_pin(accepted, PEER_AUTO, &p, &why), want);
    if (want != ERR_OK) {
        ck_assert_int_eq(p.pid, 7);
        ck_assert_msg(strstr(why_text(&why), "process ") != NULL, "%s", why_text(&why));
    } else {
        ck_assert_uint_gt(p.start_time, 0);
        ck_assert_int_eq(peer_check(&p, &why), ERR_OK);
        peer_done(&p);
    }
    ck_assert_uint_eq(open_descriptors(), open);
}

START_TEST(test_a_kernel_without_peer_pidfd_is_told_from_a_peer_that_is_gone)
{
    int status = -1;
    pid_t client = start_client(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        pin_where_refused(kernels[_i].error, kernels[_i].err);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    stop_client(client);
}
END_TEST

START_TEST(test_a_peer_pinned_by_the_kernel_needs_no_start_time)
{
    struct peer p;
    int fd = -1;
    socklen_t len = sizeof fd;
    pid_t pid = start_client(NULL);
    if (getsockopt(accepted, SOL_SOCKET, SO_PIDFD, &fd, &len) == 0) {
        close(fd);
        ck_assert_int_eq(peer_pin(accepted, PEER_AUTO, &p, &why), ERR_OK);
        ck_assert_uint_eq(p.start_time, 0);
        peer_done(&p);
        ck_assert_int_eq(p.pidfd, -1);
    } else {
        fprintf(stderr, "this kernel has no SO_PEERPIDFD\n");
    }
    stop_client(pid);
}
END_TEST

/* Without descriptors left it is our trouble, not the peer's. */
START_TEST(test_without_descriptors_a_peer_is_no_stranger)
{
    struct peer p;
    struct rlimit limit, old;
    pid_t pid = start_client(NULL);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)accepted + 1;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(peer_pin(accepted, modes[_i], &p, &why), ERR_IO);
    ck_assert_int_eq(peer_of_pid(pid, &p, &why), ERR_IO);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    stop_client(pid);
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

static bool can_be_others(void)
{
    if (geteuid() != 0)
        fprintf(stderr, "other users are tried by root alone: not tried\n");
    return geteuid() == 0;
}

static void become_nobody(void)
{
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        _exit(1);
}

START_TEST(test_another_user_is_seen_as_that_user)
{
    if (!can_be_others())
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

static void change_uid(void)
{
    if (setresuid(65534, 65534, 65534) != 0)
        _exit(1);
}

static void change_gid(void)
{
    if (setresgid(65534, 65534, 65534) != 0)
        _exit(1);
}

static void change_effective_uid(void)
{
    if (setresuid((uid_t)-1, 65534, (uid_t)-1) != 0)
        _exit(1);
}

static void change_effective_gid(void)
{
    if (setresgid((gid_t)-1, 65534, (gid_t)-1) != 0)
        _exit(1);
}

static void change_real_ids(void)
{
    if (setresgid(65534, (gid_t)-1, (gid_t)-1) != 0 || setresuid(65534, (uid_t)-1, (uid_t)-1) != 0)
        _exit(1);
}

/* What a process that connected as root becomes, and what is said of it. NULL: it stays who it is.
 */
static const struct {
    void (*change)(void);
    const char *said;
} changes[] = {
    {become_nobody, "has uid 65534 and gid 65534, but uid 0 and gid 0 connected"},
    {change_uid, "has uid 65534 and gid 0, but uid 0 and gid 0 connected"},
    {change_gid, "has uid 0 and gid 65534, but uid 0 and gid 0 connected"},
    {change_effective_uid, "has uid 65534 and gid 0, but uid 0 and gid 0 connected"},
    {change_effective_gid, "has uid 0 and gid 65534, but uid 0 and gid 0 connected"},
    {change_real_ids, NULL},
};
enum { CHANGES = sizeof changes / sizeof changes[0] };

/* In a child: connects, then becomes another when told, and says so. */
static void connect_and_change(void (*change)(void), int go, int done)
{
    char byte = 0;
    connect_here();
    if (read(go, &byte, 1) != 1)
        _exit(1);
    change();
    if (write(done, &byte, 1) != 1)
        _exit(1);
    pause();
    _exit(0);
}

/* AG-2: the identity of the user that connected is not for the one it has become. */
START_TEST(test_a_process_that_became_another_user_is_noticed)
{
    int go[2], done[2], change = _i / MODES;
    char byte = 0;
    struct peer p;
    if (!can_be_others())
        return;
    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(done), 0);
    pid_t pid = fork();
    if (pid == 0)
        connect_and_change(changes[change].change, go[0], done[1]);
    accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_eq(peer_pin(accepted, modes[_i % MODES], &p, &why), ERR_OK);
    ck_assert_int_eq(peer_check(&p, &why), ERR_OK);
    ck_assert_int_eq(write(go[1], &byte, 1), 1);
    ck_assert_int_eq(read(done[0], &byte, 1), 1);
    bool is_same = changes[change].said == NULL;
    ck_assert_int_eq(peer_check(&p, &why), is_same ? ERR_OK : ERR_ATTESTATION);
    ck_assert_msg(is_same || strstr(why_text(&why), changes[change].said) != NULL, "%s",
                  why_text(&why));
    peer_done(&p);
    stop_client(pid);
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(done[i]);
    }
}
END_TEST

/* Real and saved ids stay root's: who acts as another counts as that other. */
static void act_as_others(void)
{
    if (setresgid((gid_t)-1, 65533, (gid_t)-1) != 0 || setresuid((uid_t)-1, 65534, (uid_t)-1) != 0)
        _exit(1);
}

/* AG-1 */
START_TEST(test_the_effective_ids_count_not_the_real_ones)
{
    struct peer p;
    if (!can_be_others())
        return;
    pid_t pid = start_client(act_as_others);
    ck_assert_int_eq(peer_pin(accepted, modes[_i], &p, &why), ERR_OK);
    ck_assert_uint_eq(p.uid, 65534);
    ck_assert_uint_eq(p.gid, 65533);
    ck_assert_int_eq(peer_check(&p, &why), ERR_OK);
    peer_done(&p);
    ck_assert_int_eq(peer_of_pid(pid, &p, &why), ERR_OK);
    ck_assert_uint_eq(p.uid, 65534);
    ck_assert_uint_eq(p.gid, 65533);
    peer_done(&p);
    stop_client(pid);
}
END_TEST

START_TEST(test_a_process_is_found_by_its_number)
{
    struct peer p = {.cookie = 1};
    pid_t pid = start_client(NULL);
    ck_assert_int_eq(peer_of_pid(pid, &p, &why), ERR_OK);
    ck_assert_int_eq(p.pid, pid);
    ck_assert_uint_eq(p.uid, geteuid());
    ck_assert_uint_eq(p.gid, getegid());
    ck_assert_uint_eq(p.cookie, 0);
    ck_assert_int_eq(peer_check(&p, &why), ERR_OK);
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(peer_check(&p, &why), ERR_ATTESTATION);
    peer_done(&p);
}
END_TEST

/* As a thread, as one that ended and waits for its parent, as one that is gone, as none at all. */
START_TEST(test_what_is_no_live_process_is_not_found)
{
    struct peer p = {.pid = 7};
    siginfo_t info;
    size_t open = open_descriptors();
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    ck_assert_int_eq(peer_of_pid(pid, &p, &why), ERR_ATTESTATION);
    ck_assert_msg(strstr(why_text(&why), "has ended") != NULL, "%s", why_text(&why));
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_int_eq(peer_of_pid(pid, &p, &why), ERR_ATTESTATION);
    ck_assert_msg(strstr(why_text(&why), "No such process") != NULL, "%s", why_text(&why));
    ck_assert_int_eq(peer_of_pid(-1, &p, &why), ERR_ATTESTATION);
    ck_assert_int_eq(p.pid, 7);
    ck_assert_uint_eq(open_descriptors(), open);
}
END_TEST

static void *wait_for_end(void *arg)
{
    int *pipes = arg;
    pid_t self = gettid();
    char byte = 0;
    if (write(pipes[1], &self, sizeof self) == sizeof self && read(pipes[2], &byte, 1) < 0)
        abort();
    return NULL;
}

START_TEST(test_a_thread_is_no_process)
{
    int pipes[4];
    pid_t tid = 0;
    pthread_t thread;
    struct peer p;
    ck_assert_int_eq(pipe(pipes), 0);
    ck_assert_int_eq(pipe(pipes + 2), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_for_end, pipes), 0);
    ck_assert_int_eq(read(pipes[0], &tid, sizeof tid), sizeof tid);
    ck_assert_int_eq(peer_of_pid(tid, &p, &why), ERR_ATTESTATION);
    ck_assert_msg(strstr(why_text(&why), "is a thread of a process") != NULL, "%s", why_text(&why));
    close(pipes[3]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++)
        close(pipes[i]);
}
END_TEST

START_TEST(test_what_is_no_socket_has_no_cookie_and_no_peer)
{
    struct peer p;
    ck_assert_uint_eq(peer_cookie(STDERR_FILENO + 1000), 0);
    ck_assert_int_eq(peer_pin(STDERR_FILENO + 1000, PEER_AUTO, &p, &why), ERR_IO);
    ck_assert_msg(strstr(why_text(&why), "SO_PEERCRED") != NULL, "%s", why_text(&why));
}
END_TEST

/* In a pid namespace of its own, which is no child of ours: it sees our process as number 0. */
static void look_from_a_foreign_namespace(void)
{
    struct peer p;
    if (unshare(CLONE_NEWPID) != 0)
        _exit(2);
    pid_t inside = fork();
    if (inside == 0) {
        err_t err = peer_pin(accepted, PEER_AUTO, &p, &why);
        bool is_said = strstr(why_text(&why), "a pid namespace") != NULL;
        _exit(err == ERR_ATTESTATION && is_said ? 0 : 1);
    }
    int status = 1;
    waitpid(inside, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* AG-2 */
START_TEST(test_a_caller_of_a_foreign_pid_namespace_is_refused)
{
    int status = 0;
    if (!can_be_others())
        return;
    pid_t pid = start_client(NULL);
    pid_t looking = fork();
    if (looking == 0)
        look_from_a_foreign_namespace();
    ck_assert_int_eq(waitpid(looking, &status, 0), looking);
    ck_assert_int_eq(status, 0);
    stop_client(pid);
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
    tcase_add_loop_test(t, test_a_name_with_parentheses_does_not_confuse_the_start_time, 0, 2);
    tcase_add_loop_test(t, test_a_kernel_without_peer_pidfd_is_told_from_a_peer_that_is_gone, 0,
                        KERNELS);
    tcase_add_loop_test(t, test_without_descriptors_a_peer_is_no_stranger, 0, MODES);
    tcase_add_test(t, test_a_peer_pinned_by_the_kernel_needs_no_start_time);
    tcase_add_loop_test(t, test_a_process_that_cannot_be_dumped_is_served, 0, MODES);
    tcase_add_loop_test(t, test_another_user_is_seen_as_that_user, 0, MODES);
    tcase_add_loop_test(t, test_a_process_that_became_another_user_is_noticed, 0, CHANGES * MODES);
    tcase_add_loop_test(t, test_the_effective_ids_count_not_the_real_ones, 0, MODES);
    tcase_add_test(t, test_a_process_is_found_by_its_number);
    tcase_add_test(t, test_what_is_no_live_process_is_not_found);
    tcase_add_test(t, test_a_thread_is_no_process);
    tcase_add_test(t, test_a_caller_of_a_foreign_pid_namespace_is_refused);
    tcase_add_test(t, test_what_is_no_socket_has_no_cookie_and_no_peer);
    suite_add_tcase(s, t);
    return run_suite(s);
}
