/* What the agent can still do once it has entered its sandbox: attest, and write its own files. */
#include "agent/privileges.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/agent-p-XXXXXX";
static char socket_path[64], entries_path[64], admin_path[64];
static pid_t subject; /* the process to attest */
static int exe_from_pool = -1, hash_from_pool = -1;

static void claim(bool holds, int line, const char *text)
{
    if (holds)
        return;
    fprintf(stderr, "line %d: %s does not hold (errno: %s)\n", line, text, strerror(errno));
    _exit(1);
}
#define CLAIM(condition) claim((condition), __LINE__, #condition)

static void look_at_exe(uv_work_t *work)
{
    char path[64], target[256], byte;
    (void)work;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)subject);
    exe_from_pool = readlink(path, target, sizeof target) > 0 ? 0 : errno;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    hash_from_pool = fd >= 0 && read(fd, &byte, 1) == 1 ? 0 : errno;
    if (fd >= 0)
        close(fd);
}

static void attest(uv_loop_t *loop)
{
    char path[64];
    uv_work_t work;
    int pidfd = (int)syscall(SYS_pidfd_open, subject, 0);
    CLAIM(pidfd >= 0);
    close(pidfd);
    snprintf(path, sizeof path, "/proc/%d/status", (int)subject);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLAIM(fd >= 0);
    close(fd);
    CLAIM(uv_queue_work(loop, &work, look_at_exe, NULL) == 0);
    uv_run(loop, UV_RUN_DEFAULT);
    CLAIM(exe_from_pool == 0);
    CLAIM(hash_from_pool == 0);
}

static void write_files(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/data/root.new", folder);
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    CLAIM(fd >= 0 && write(fd, "x", 1) == 1);
    close(fd);
    CLAIM(unlink(path) == 0);
    fd = open(entries_path, O_RDONLY | O_CLOEXEC);
    CLAIM(fd >= 0);
    close(fd);
    CLAIM(unlink(socket_path) == 0);
}

static void agent_life(void)
{
    uv_loop_t loop;
    struct why why = {0};
    struct buf notes;
    char data[64];
    snprintf(data, sizeof data, "%s/data", folder);
    struct agent_config config = {.data_dir = data,
                                  .workload_api_socket = socket_path,
                                  .admin_socket = admin_path,
                                  .entries = entries_path,
                                  .sandbox = true};
    buf_init(&notes, 4096);
    CLAIM(uv_loop_init(&loop) == 0);
    err_t err = agent_privileges_enter(&config, NULL, &loop, &notes, &why);
    if (err != ERR_OK)
        fprintf(stderr, "%s\n", why_text(&why));
    CLAIM(err == ERR_OK);
    attest(&loop);
    write_files();
    if (notes.len == 0)
        CLAIM(open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC) == -1 && errno == EACCES);
    buf_done(&notes);
    CLAIM(uv_loop_close(&loop) == 0);
}

START_TEST(test_inside_its_sandbox_the_agent_attests_and_keeps_its_files)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        agent_life();
        _exit(0);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(test_a_sandbox_that_is_off_is_said)
{
    struct buf notes;
    struct agent_config config = {.sandbox = false};
    buf_init(&notes, 4096);
    ck_assert_int_eq(agent_privileges_enter(&config, NULL, NULL, &notes, NULL), ERR_OK);
    ck_assert_ptr_nonnull(memmem(notes.data, notes.len, "sandbox: off", 12));
    buf_done(&notes);
}
END_TEST

static void make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void setup(void)
{
    char data[64];
    strcpy(folder, "/tmp/agent-p-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(socket_path, sizeof socket_path, "%s/api.sock", folder);
    snprintf(admin_path, sizeof admin_path, "%s/admin.sock", folder);
    snprintf(entries_path, sizeof entries_path, "%s/entries.yaml", folder);
    ck_assert_int_eq(mkdir(data, 0700), 0);
    make_file(socket_path);
    make_file(entries_path);
    subject = fork();
    if (subject == 0) {
        execl("/bin/sleep", "sleep", "60", (char *)NULL);
        _exit(1);
    }
}

static void teardown(void)
{
    char data[64];
    kill(subject, SIGKILL);
    waitpid(subject, NULL, 0);
    snprintf(data, sizeof data, "%s/data", folder);
    unlink(socket_path);
    unlink(entries_path);
    rmdir(data);
    ck_assert_int_eq(rmdir(folder), 0);
}

int main(void)
{
    Suite *s = suite_create("agent_privileges");
    TCase *t = tcase_create("agent_privileges");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_inside_its_sandbox_the_agent_attests_and_keeps_its_files);
    tcase_add_test(t, test_a_sandbox_that_is_off_is_said);
    suite_add_tcase(s, t);
    return run_suite(s);
}
