/* The sandbox from inside: each test enters it in a child and tells what it may and may not do. */
#include "common/base/mem.h"
#include "common/resolve/name_lookup.h"
#include "common/sandbox/sandbox_list.h"
#include "tests/support/fake_dns.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

static char allowed[] = "/tmp/sandbox-a-XXXXXX"; /* may be written */
static char other[] = "/tmp/sandbox-o-XXXXXX";   /* is not on the list */
static struct buf notes;

/* In the child: the first claim that does not hold ends it, the line number as exit code. */
static void claim(bool holds, int line, const char *text)
{
    if (holds)
        return;
    fprintf(stderr, "line %d: %s does not hold (errno: %s)\n", line, text, strerror(errno));
    _exit(1);
}
#define CLAIM(condition) claim((condition), __LINE__, #condition)

static bool has_note(const char *word)
{
    return notes.len > 0 && memmem(notes.data, notes.len, word, strlen(word)) != NULL;
}

static void enter(const int *capabilities, void (*before)(void *arg), void *arg)
{
    static const int none[] = {SYSCALL_END};
    struct sandbox_list paths;
    struct why why = {0};
    sandbox_list_init(&paths);
    sandbox_list_add(&paths, allowed, true);
    sandbox_list_add(&paths, "/no/such/path", true);
    CLAIM(paths.err == ERR_OK);
    const struct sandbox_rules rules = {.syscalls = none,
                                        .paths = paths.items,
                                        .keep_capabilities = capabilities,
                                        .before_landlock = before,
                                        .arg = arg};
    buf_init(&notes, 4096);
    if (sandbox_enter(&rules, &notes, &why) != ERR_OK) {
        fprintf(stderr, "%s\n", why_text(&why));
        _exit(1);
    }
    sandbox_list_done(&paths);
}

static void enter_plain(void)
{
    static const int keep_none[] = {-1};
    enter(keep_none, NULL, NULL);
}

static void run_child(void (*body)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        body();
        buf_done(&notes);
        _exit(0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %x",
                  (unsigned)status);
}

static void setup(void)
{
    strcpy(allowed, "/tmp/sandbox-a-XXXXXX");
    strcpy(other, "/tmp/sandbox-o-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(allowed));
    ck_assert_ptr_nonnull(mkdtemp(other));
}

static void teardown(void)
{
    ck_assert_int_eq(rmdir(allowed), 0);
    ck_assert_int_eq(rmdir(other), 0);
}

static const char *in(const char *folder, const char *name)
{
    static char path[2][128];
    static size_t turn;
    turn = (turn + 1) % 2;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

/* --- system calls ----------------------------------------------------------------------------- */

/* To none but ourselves, by no way. Root could send them all. */
static void check_signals(void)
{
    struct f_owner_ex owner = {.type = F_OWNER_PID, .pid = getppid()};
    siginfo_t info = {.si_code = SI_QUEUE};
    struct rlimit limit;
    int ends[2];
    CLAIM(kill(getppid(), 0) == -1 && errno == EPERM);
    CLAIM(kill(getpid(), 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_tkill, getppid(), 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_tgkill, getppid(), getppid(), 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_rt_sigqueueinfo, getppid(), SIGTERM, &info) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_pidfd_send_signal, -1, SIGTERM, NULL, 0) == -1 && errno == EPERM);
    CLAIM(pipe(ends) == 0);
    CLAIM(fcntl(ends[0], F_SETOWN, getppid()) == -1 && errno == EPERM);
    CLAIM(fcntl(ends[0], F_SETOWN_EX, &owner) == -1 && errno == EPERM);
    CLAIM(fcntl(ends[0], F_SETSIG, SIGTERM) == -1 && errno == EPERM);
    CLAIM(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 && fcntl(ends[0], F_GETFL) >= 0);
    CLAIM(syscall(SYS_tgkill, getpid(), gettid(), 0) == 0);
    CLAIM(syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, NULL, &limit) == -1 && errno == EPERM);
    CLAIM(getrlimit(RLIMIT_CPU, &limit) == 0);
}

static void hostile_calls(void)
{
    char *const argv[] = {"true", NULL};
    enter_plain();
    if (has_note("seccomp"))
        return; /* sanitizers, or a kernel without */
    CLAIM(execve("/bin/true", argv, NULL) == -1 && errno == EPERM);
    CLAIM(fork() == -1 && errno == EPERM);
    CLAIM(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 && errno == EPERM);
    check_signals();
    CLAIM(syscall(SYS_mount, "a", "b", "c", 0, NULL) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_keyctl, 0, 0, 0, 0, 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
    CLAIM(socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EPERM);
    CLAIM(setuid(1) == -1 && errno == EPERM);
    CLAIM(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1 && errno == EPERM);
    CLAIM(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
          MAP_FAILED);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CLAIM(page != MAP_FAILED);
    CLAIM(mprotect(page, 4096, PROT_READ | PROT_EXEC) == -1 && errno == EPERM);
    munmap(page, 4096);
}

START_TEST(test_hostile_calls_fail_with_eperm)
{
    run_child(hostile_calls);
}
END_TEST

/* --- paths ------------------------------------------------------------------------------------ */

static void use_paths(void)
{
    enter_plain();
    int fd = open(in(allowed, "f"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    CLAIM(fd >= 0 && write(fd, "x", 1) == 1 && fsync(fd) == 0 && ftruncate(fd, 0) == 0);
    close(fd);
    CLAIM(rename(in(allowed, "f"), in(allowed, "g")) == 0);
    CLAIM(mkdir(in(allowed, "d"), 0700) == 0 && rmdir(in(allowed, "d")) == 0);
    CLAIM(unlink(in(allowed, "g")) == 0);
    if (has_note("landlock"))
        return;
    CLAIM(open(in(other, "f"), O_CREAT | O_RDWR | O_CLOEXEC, 0600) == -1 && errno == EACCES);
    CLAIM(open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC) == -1 && errno == EACCES);
    CLAIM(open("/bin/true", O_RDONLY | O_CLOEXEC) == -1 && errno == EACCES);
    CLAIM(open("/proc/1/status", O_RDONLY | O_CLOEXEC) == -1 && errno == EACCES);
    CLAIM(open("/etc/new-file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) == -1 && errno == EACCES);
    CLAIM(symlink("/", in(allowed, "l")) == -1);
    fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    CLAIM(fd >= 0);
    close(fd);
}

START_TEST(test_only_listed_paths_can_be_opened)
{
    run_child(use_paths);
}
END_TEST

/* --- what must go on working ------------------------------------------------------------------ */

static int worked;
static size_t resolved; /* addresses */

static void on_work(uv_work_t *work)
{
    (void)work;
    __atomic_add_fetch(&worked, 1, __ATOMIC_SEQ_CST);
}

static void on_resolved(void *arg, const struct name_found *found)
{
    (void)arg;
    if (!found->part)
        resolved = found->result == NAME_OK ? found->list->count : 0;
}

/* Files of /etc, UDP, and TCP for what is too long for it. */
static void look_up(uv_loop_t *loop)
{
    static const struct fake_dns_row rows[] = {
        {"web.example", FAKE_DNS_ANSWERS, 1, NULL, NULL, 100, NULL}, {.name = NULL}};
    static struct fake_dns dns;
    struct name_lookup_options options = {.servers = dns.servers};
    struct name_lookup *lookup;
    struct why why;
    fake_dns_open(&dns, loop, rows);
    CLAIM(name_lookup_start(loop, "web.example.", &options, on_resolved, NULL, &lookup, &why) ==
          ERR_OK);
    while (resolved == 0)
        CLAIM(uv_run(loop, UV_RUN_ONCE) != 0 || resolved != 0);
    CLAIM(resolved == 100 && dns.by_tcp > 0);
    fake_dns_close(&dns);
}

static void use_libuv(void)
{
    uv_loop_t loop;
    uv_work_t work[8];
    uv_fs_event_t watch;
    uv_signal_t sig;
    enter_plain();
    CLAIM(uv_loop_init(&loop) == 0);
    for (int i = 0; i < 8; i++)
        CLAIM(uv_queue_work(&loop, &work[i], on_work, NULL) == 0);
    look_up(&loop);
    CLAIM(uv_fs_event_init(&loop, &watch) == 0);
    CLAIM(uv_fs_event_start(&watch, NULL, allowed, 0) == 0);
    CLAIM(uv_signal_init(&loop, &sig) == 0);
    uv_close((uv_handle_t *)&watch, NULL);
    uv_close((uv_handle_t *)&sig, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    CLAIM(worked == 8);
    CLAIM(uv_loop_close(&loop) == 0);
}

START_TEST(test_threads_name_look_up_and_file_watches_go_on)
{
    run_child(use_libuv);
}
END_TEST

static void use_sockets(void)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sin;
    enter_plain();
    strcpy(sun.sun_path, in(allowed, "s"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLAIM(bind(fd, (struct sockaddr *)&sun, sizeof sun) == 0 && listen(fd, 5) == 0);
    CLAIM(chmod(sun.sun_path, 0600) == 0 && unlink(sun.sun_path) == 0);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLAIM(bind(fd, (struct sockaddr *)&sin, sizeof sin) == 0 && listen(fd, 5) == 0);
    CLAIM(getsockname(fd, (struct sockaddr *)&sin, &len) == 0);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLAIM(connect(peer, (struct sockaddr *)&sin, sizeof sin) == 0);
    int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    CLAIM(got >= 0);
    close(got);
    close(peer);
    close(fd);
    errno = 0;
    struct passwd *user = getpwuid(0);
    CLAIM(user != NULL && strcmp(user->pw_name, "root") == 0);
}

START_TEST(test_sockets_and_user_names_go_on)
{
    run_child(use_sockets);
}
END_TEST

/* --- capabilities and threads ----------------------------------------------------------------- */

static uint64_t capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    CLAIM(syscall(SYS_capget, &head, data) == 0);
    CLAIM(data[0].effective == data[0].permitted && data[0].inheritable == 0);
    return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void keep_one(void)
{
    static const int keep[] = {CAP_SYS_PTRACE, -1};
    uint64_t before = capabilities();
    enter(keep, NULL, NULL);
    CLAIM(capabilities() == (before & UINT64_C(1) << CAP_SYS_PTRACE));
}

static void keep_none_without_setpcap(void)
{
    /* As a root in a container that may not touch its bounding set. */
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    CLAIM(syscall(SYS_capget, &head, data) == 0);
    data[0].permitted &= ~(1u << CAP_SETPCAP);
    data[0].effective = data[0].permitted;
    CLAIM(syscall(SYS_capset, &head, data) == 0);
    enter_plain();
    CLAIM(capabilities() == 0);
}

static void nobody(void)
{
    CLAIM(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
    enter_plain();
    CLAIM(capabilities() == 0);
}

START_TEST(test_only_listed_capabilities_are_kept)
{
    run_child(keep_one);
    run_child(keep_none_without_setpcap);
}
END_TEST

START_TEST(test_a_user_without_any_privilege_can_enter)
{
    ck_assert_int_eq(chmod(allowed, 0755), 0);
    run_child(nobody);
}
END_TEST

static int from_helper[2]; /* errno of opening, of exec, in a thread started before landlock */
static pthread_barrier_t entered;

static void *helper(void *arg)
{
    char *const argv[] = {"true", NULL};
    (void)arg;
    pthread_barrier_wait(&entered);
    int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);
    from_helper[0] = fd >= 0 ? 0 : errno;
    if (fd >= 0)
        close(fd);
    if (!has_note("seccomp"))
        from_helper[1] = execve("/bin/true", argv, NULL) == -1 ? errno : 0;
    return NULL;
}

static void start_helper(void *arg)
{
    CLAIM(pthread_create(arg, NULL, helper, NULL) == 0);
}

static void helper_before_landlock(void)
{
    static const int keep_none[] = {-1};
    pthread_t thread;
    pthread_barrier_init(&entered, NULL, 2);
    enter(keep_none, start_helper, &thread);
    pthread_barrier_wait(&entered);
    pthread_join(thread, NULL);
    CLAIM(from_helper[0] == 0);
    CLAIM(has_note("seccomp") || from_helper[1] == EPERM);
}

START_TEST(test_a_thread_started_before_landlock_is_under_seccomp_all_the_same)
{
    run_child(helper_before_landlock);
}
END_TEST

static void *sleep_until(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&entered);
    return NULL;
}

static void early_thread(void)
{
    pthread_t thread;
    pthread_barrier_init(&entered, NULL, 2);
    CLAIM(pthread_create(&thread, NULL, sleep_until, NULL) == 0);
    enter_plain();
    CLAIM(has_note("threads ran before the sandbox"));
    pthread_barrier_wait(&entered);
    pthread_join(thread, NULL);
}

START_TEST(test_threads_that_escape_are_said)
{
    run_child(early_thread);
}
END_TEST

/* --- the list --------------------------------------------------------------------------------- */

START_TEST(test_the_list_holds_folders_of_files_and_of_what_links_lead_to)
{
    struct sandbox_list l;
    char link[128], real[128];
    snprintf(link, sizeof link, "%s/link", allowed);
    snprintf(real, sizeof real, "%s/real", other);
    int fd = open(real, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    ck_assert_int_eq(symlink(real, link), 0);
    sandbox_list_init(&l);
    size_t before = l.count;
    sandbox_list_add_parent(&l, link, false);
    ck_assert_uint_eq(l.count, before + 2);
    ck_assert_str_eq(l.items[before].path, allowed);
    ck_assert_str_eq(l.items[before + 1].path, other);
    sandbox_list_add(&l, allowed, true);
    sandbox_list_add(&l, NULL, true);
    ck_assert_uint_eq(l.count, before + 2);
    ck_assert(l.items[before].write && !l.items[before + 1].write);
    sandbox_list_add_parent(&l, "bare", false);
    ck_assert_str_eq(l.items[before + 2].path, ".");
    sandbox_list_add_parent(&l, "/top", false);
    ck_assert_str_eq(l.items[before + 3].path, "/");
    ck_assert_ptr_null(l.items[before + 4].path);
    sandbox_list_done(&l);
    ck_assert_int_eq(unlink(link), 0);
    ck_assert_int_eq(unlink(real), 0);
}
END_TEST

START_TEST(test_every_failed_allocation_of_the_list_is_an_error)
{
    struct sandbox_list l;
    for (long n = 0;; n++) {
        mem_fail_after(n);
        sandbox_list_init(&l);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(l.err, failed ? ERR_NO_MEMORY : ERR_OK);
        sandbox_list_done(&l);
        if (!failed)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sandbox");
    TCase *t = tcase_create("sandbox");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_hostile_calls_fail_with_eperm);
    tcase_add_test(t, test_only_listed_paths_can_be_opened);
    tcase_add_test(t, test_threads_name_look_up_and_file_watches_go_on);
    tcase_add_test(t, test_sockets_and_user_names_go_on);
    tcase_add_test(t, test_only_listed_capabilities_are_kept);
    tcase_add_test(t, test_a_user_without_any_privilege_can_enter);
    tcase_add_test(t, test_a_thread_started_before_landlock_is_under_seccomp_all_the_same);
    tcase_add_test(t, test_threads_that_escape_are_said);
    tcase_add_test(t, test_the_list_holds_folders_of_files_and_of_what_links_lead_to);
    tcase_add_test(t, test_every_failed_allocation_of_the_list_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}
