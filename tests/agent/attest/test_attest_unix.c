/* Selectors of real processes: our own, and children that run copies of a program. AG-5. */
#include "agent/attest/attest_unix.h"
#include "common/base/mem.h"
#include "common/crypto/sha256.h"
#include "tests/support/runner.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ALL_KINDS = 15 };

struct outcome {
    unsigned calls;
    err_t err;
    struct selector_set selectors;
    char cause[200];
};

static uv_loop_t loop;
static struct attest_unix *attestor;
static char dir[64];

static void on_done(void *arg, err_t err, struct selector_set *selectors, const struct why *why)
{
    struct outcome *o = arg;
    o->calls++;
    o->err = err;
    snprintf(o->cause, sizeof o->cause, "%s", why_text(why));
    if (err == ERR_OK) {
        o->selectors = *selectors;
        selector_set_init(selectors);
    }
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void setup_with(off_t exe_max)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    struct why why = {0};
    ck_assert_int_eq(attest_unix_open(&loop, exe_max, &attestor, &why), ERR_OK);
    snprintf(dir, sizeof dir, "/tmp/test_attest.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void setup(void)
{
    setup_with(0);
}

static void teardown(void)
{
    bool closed = false;
    attest_unix_close(attestor, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    char command[128];
    snprintf(command, sizeof command, "%s/program", dir);
    unlink(command);
    rmdir(dir);
}

static struct attest_subject self(void)
{
    return (struct attest_subject){.pid = getpid(), .uid = geteuid(), .gid = getegid()};
}

/* Starts, runs the loop until it has answered. True when it answered at once. */
static bool attest(struct attest_subject who, unsigned kinds, struct outcome *o)
{
    *o = (struct outcome){0};
    uint64_t id = attest_unix_start(attestor, &who, kinds, on_done, o);
    ck_assert((id == 0) == (o->calls == 1));
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(o->calls, 1);
    return id == 0;
}

static void assert_has(const struct outcome *o, const char *kind, const char *value)
{
    char text[SELECTOR_MAX];
    snprintf(text, sizeof text, "unix:%s:%s", kind, value);
    ck_assert_msg(selector_set_has(&o->selectors, slice_str(text)), "no %s", text);
}

static void assert_has_id(const struct outcome *o, const char *kind, unsigned id)
{
    char value[16];
    snprintf(value, sizeof value, "%u", id);
    assert_has(o, kind, value);
}

static bool has_kind(const struct outcome *o, const char *prefix)
{
    for (size_t i = 0; i < o->selectors.count; i++)
        if (strncmp(o->selectors.items[i], prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static void sha256_hex(const char *path, char out[static 65])
{
    struct sha256 *h = NULL;
    ck_assert_int_eq(sha256_new(&h), ERR_OK);
    FILE *f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    char chunk[4096];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0)
        ck_assert_int_eq(sha256_add(h, slice_of(chunk, n)), ERR_OK);
    fclose(f);
    uint8_t digest[32];
    ck_assert_int_eq(sha256_end(h, digest), ERR_OK);
    sha256_free(h);
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* A child that runs `program` until its standard input ends. */
struct child {
    pid_t pid;
    int input;
};

static struct child child_start(const char *program)
{
    int in[2], ready[2];
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(in[0], STDIN_FILENO);
        execl(program, "cat", (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(ready[1]); /* the child's copy closes when it has become the program */
    char byte;
    ck_assert_int_eq(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    return (struct child){.pid = pid, .input = in[1]};
}

static void child_end(struct child *c)
{
    close(c->input);
    ck_assert_int_eq(waitpid(c->pid, NULL, 0), c->pid);
}

static void copy_program(char path[static 128])
{
    snprintf(path, 128, "%s/program", dir);
    char command[256];
    snprintf(command, sizeof command, "%s/program", dir);
    int from = open("/bin/cat", O_RDONLY | O_CLOEXEC);
    int to = open(command, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    ck_assert_int_ge(from, 0);
    ck_assert_int_ge(to, 0);
    char chunk[4096];
    ssize_t n;
    while ((n = read(from, chunk, sizeof chunk)) > 0)
        ck_assert_int_eq(write(to, chunk, (size_t)n), n);
    close(from);
    close(to);
}

START_TEST(test_ids_alone_are_answered_at_once)
{
    struct outcome o;
    ck_assert(attest(self(), 0, &o));
    ck_assert_int_eq(o.err, ERR_OK);
    ck_assert_uint_eq(o.selectors.count, 2);
    assert_has_id(&o, "uid", geteuid());
    assert_has_id(&o, "gid", getegid());
    selector_set_done(&o.selectors);
}
END_TEST

START_TEST(test_our_own_process_has_every_kind)
{
    struct outcome o;
    ck_assert(!attest(self(), ALL_KINDS, &o));
    ck_assert_int_eq(o.err, ERR_OK);
    assert_has_id(&o, "uid", geteuid());
    const struct passwd *user = getpwuid(geteuid());
    if (user != NULL)
        assert_has(&o, "user", user->pw_name);
    const struct group *group = getgrgid(getegid());
    if (group != NULL)
        assert_has(&o, "group", group->gr_name);
    gid_t groups[64];
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++) {
        assert_has_id(&o, "supplementary_gid", groups[i]);
        group = getgrgid(groups[i]);
        if (group != NULL)
            assert_has(&o, "supplementary_group", group->gr_name);
    }
    char path[PATH_MAX] = {0}, hex[65];
    ck_assert_int_gt(readlink("/proc/self/exe", path, sizeof path - 1), 0);
    assert_has(&o, "path", path);
    sha256_hex(path, hex);
    assert_has(&o, "sha256", hex);
    selector_set_done(&o.selectors);
}
END_TEST

START_TEST(test_known_names_are_answered_at_once)
{
    struct outcome o;
    ck_assert(!attest(self(), SELECTOR_KIND_NAMES, &o));
    size_t count = o.selectors.count;
    selector_set_done(&o.selectors);
    ck_assert(attest(self(), SELECTOR_KIND_NAMES, &o));
    ck_assert_uint_eq(o.selectors.count, count);
    ck_assert(!has_kind(&o, "unix:supplementary"));
    selector_set_done(&o.selectors);
}
END_TEST

START_TEST(test_ids_without_a_name_have_no_name_selector_and_are_cached_too)
{
    struct attest_subject who = self();
    who.uid = 3999999001u;
    who.gid = 3999999002u;
    struct outcome o;
    ck_assert(!attest(who, SELECTOR_KIND_NAMES, &o));
    ck_assert_int_eq(o.err, ERR_OK);
    ck_assert_uint_eq(o.selectors.count, 2);
    selector_set_done(&o.selectors);
    ck_assert(attest(who, SELECTOR_KIND_NAMES, &o));
    ck_assert_uint_eq(o.selectors.count, 2);
    selector_set_done(&o.selectors);
}
END_TEST

START_TEST(test_a_program_is_read_once)
{
    struct outcome o[8] = {0};
    struct attest_subject who = self();
    for (size_t i = 0; i < 8; i++)
        ck_assert_uint_ne(attest_unix_start(attestor, &who, SELECTOR_KIND_SHA256, on_done, &o[i]),
                          0);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < 8; i++) {
        ck_assert_uint_eq(o[i].calls, 1);
        ck_assert_int_eq(o[i].err, ERR_OK);
        ck_assert(has_kind(&o[i], "unix:sha256:"));
        selector_set_done(&o[i].selectors);
    }
    attest(self(), SELECTOR_KIND_SHA256, &o[0]);
    selector_set_done(&o[0].selectors);
    ck_assert_uint_eq(attest_unix_files_read(attestor), 1);
}
END_TEST

START_TEST(test_a_replaced_program_has_its_own_hash_and_no_path)
{
    char path[128], hex[65];
    copy_program(path);
    sha256_hex(path, hex);
    struct child c = child_start(path);
    struct attest_subject who = {.pid = c.pid, .uid = geteuid(), .gid = getegid()};
    struct outcome o;
    attest(who, ALL_KINDS, &o);
    assert_has(&o, "path", path);
    assert_has(&o, "sha256", hex);
    selector_set_done(&o.selectors);

    unlink(path); /* the process runs on from the old file */
    attest(who, ALL_KINDS, &o);
    ck_assert_int_eq(o.err, ERR_OK);
    ck_assert(!has_kind(&o, "unix:path:"));
    assert_has(&o, "sha256", hex);
    selector_set_done(&o.selectors);

    copy_program(path); /* another file under that name */
    attest(who, ALL_KINDS, &o);
    ck_assert(!has_kind(&o, "unix:path:"));
    selector_set_done(&o.selectors);
    child_end(&c);
}
END_TEST

START_TEST(test_a_program_too_large_to_hash_keeps_the_other_selectors)
{
    struct outcome o;
    attest(self(), ALL_KINDS, &o);
    ck_assert_int_eq(o.err, ERR_OK);
    ck_assert(!has_kind(&o, "unix:sha256:"));
    ck_assert(has_kind(&o, "unix:path:"));
    ck_assert(has_kind(&o, "unix:uid:"));
    ck_assert_uint_eq(attest_unix_files_read(attestor), 0);
    selector_set_done(&o.selectors);
}
END_TEST

START_TEST(test_a_process_that_ended_is_not_attested)
{
    static const unsigned kinds[] = {SELECTOR_KIND_PATH, SELECTOR_KIND_SHA256,
                                     SELECTOR_KIND_SUPPLEMENTARY};
    struct child c = child_start("/bin/cat");
    struct attest_subject who = {.pid = c.pid, .uid = geteuid(), .gid = getegid()};
    child_end(&c);
    struct outcome o;
    attest(who, kinds[_i], &o);
    ck_assert_int_eq(o.err, ERR_ATTESTATION);
    ck_assert_ptr_nonnull(strstr(o.cause, "of process"));
}
END_TEST

START_TEST(test_a_zombie_has_no_program)
{
    struct child c = child_start("/bin/cat");
    struct attest_subject who = {.pid = c.pid, .uid = geteuid(), .gid = getegid()};
    close(c.input);
    siginfo_t info;
    ck_assert_int_eq(waitid(P_PID, (id_t)c.pid, &info, WEXITED | WNOWAIT), 0);
    struct outcome o;
    attest(who, SELECTOR_KIND_SHA256, &o);
    ck_assert_int_eq(o.err, ERR_ATTESTATION);
    ck_assert_int_eq(waitpid(c.pid, NULL, 0), c.pid);
}
END_TEST

START_TEST(test_another_users_process_is_known_by_its_own_ids)
{
    if (geteuid() != 0)
        return; /* only root may become another user */
    int in[2], ready[2];
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        gid_t groups[] = {4001, 4002};
        if (setgroups(2, groups) != 0 || setgid(4000) != 0 || setuid(4000) != 0)
            _exit(1);
        dup2(in[0], STDIN_FILENO);
        execl("/bin/cat", "cat", (char *)NULL);
        _exit(127);
    }
    close(ready[1]);
    char byte;
    ck_assert_int_eq(read(ready[0], &byte, 1), 0);
    close(ready[0]);
    close(in[0]);
    struct attest_subject who = {.pid = pid, .uid = 4000, .gid = 4000};
    struct outcome o;
    attest(who, ALL_KINDS, &o);
    ck_assert_int_eq(o.err, ERR_OK);
    assert_has_id(&o, "uid", 4000);
    assert_has_id(&o, "supplementary_gid", 4001);
    assert_has_id(&o, "supplementary_gid", 4002);
    ck_assert(has_kind(&o, "unix:sha256:"));
    selector_set_done(&o.selectors);
    struct child c = {.pid = pid, .input = in[1]};
    child_end(&c);
}
END_TEST

START_TEST(test_a_canceled_job_never_answers)
{
    struct attest_subject who = self();
    struct outcome o[3] = {0};
    uint64_t id[3];
    for (size_t i = 0; i < 3; i++)
        id[i] = attest_unix_start(attestor, &who, ALL_KINDS, on_done, &o[i]);
    attest_unix_cancel(attestor, id[1]);
    attest_unix_cancel(attestor, id[1]); /* twice is fine */
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(o[0].calls, 1);
    ck_assert_uint_eq(o[1].calls, 0);
    ck_assert_uint_eq(o[2].calls, 1);
    selector_set_done(&o[0].selectors);
    selector_set_done(&o[2].selectors);
}
END_TEST

/* At whatever stage it is by then. */
START_TEST(test_a_job_canceled_after_some_turns_never_answers)
{
    struct attest_subject who = self();
    struct outcome o = {0};
    uint64_t id = attest_unix_start(attestor, &who, ALL_KINDS, on_done, &o);
    for (int i = 0; i < _i && o.calls == 0; i++)
        uv_run(&loop, UV_RUN_ONCE);
    unsigned calls = o.calls;
    attest_unix_cancel(attestor, id);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(o.calls, calls);
    selector_set_done(&o.selectors);
    ck_assert(!attest(self(), ALL_KINDS, &o)); /* the next one is served */
    ck_assert_int_eq(o.err, ERR_OK);
    selector_set_done(&o.selectors);
}
END_TEST

/* Another user's process with as many groups as a set holds selectors: two more than fit. */
START_TEST(test_a_caller_with_too_many_groups_keeps_the_first_of_its_selectors)
{
    if (geteuid() != 0) {
        fprintf(stderr, "groups are set by root alone: not tried\n");
        return;
    }
    int in[2], ready[2];
    char byte = 0;
    ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        gid_t groups[SELECTOR_SET_MAX];
        for (unsigned i = 0; i < SELECTOR_SET_MAX; i++)
            groups[i] = 5000 + i;
        if (setgroups(SELECTOR_SET_MAX, groups) != 0 || write(ready[1], &byte, 1) != 1)
            _exit(1);
        _exit(read(in[0], &byte, 1) == 1 ? 0 : 1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    struct attest_subject who = {.pid = pid, .uid = geteuid(), .gid = getegid()};
    struct outcome o;
    attest(who, SELECTOR_KIND_SUPPLEMENTARY | SELECTOR_KIND_NAMES, &o);
    ck_assert_int_eq(o.err, ERR_OK);
    ck_assert_uint_eq(o.selectors.count, SELECTOR_SET_MAX);
    assert_has_id(&o, "uid", geteuid());
    assert_has_id(&o, "gid", getegid());
    assert_has_id(&o, "supplementary_gid", 5000);
    assert_has_id(&o, "supplementary_gid", 5000 + SELECTOR_SET_MAX - 3);
    selector_set_done(&o.selectors);
    for (long n = 0; n < 100; n++) { /* the first of its thousand groups */
        mem_fail_after(n);
        attest(who, SELECTOR_KIND_SUPPLEMENTARY, &o);
        ck_assert(mem_did_fail());
        mem_fail_after(-1);
        ck_assert_int_eq(o.err, ERR_NO_MEMORY);
    }
    ck_assert_int_eq(write(in[1], &byte, 1), 1);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

static void close_from_done(void *arg, err_t err, struct selector_set *selectors,
                            const struct why *why)
{
    (void)err, (void)selectors, (void)why;
    struct outcome *o = arg;
    o->calls++;
    attest_unix_close(attestor, on_closed, o->cause);
}

/* With every stage a job may be in. */
START_TEST(test_closing_with_jobs_under_way_ends_clean)
{
    static const unsigned kinds[] = {SELECTOR_KIND_NAMES, SELECTOR_KIND_PATH, SELECTOR_KIND_SHA256,
                                     ALL_KINDS};
    struct attest_subject who = self();
    struct outcome o[5] = {0};
    for (size_t i = 0; i < 4; i++)
        attest_unix_start(attestor, &who, kinds[i], on_done, &o[i]);
    for (int i = 0; i < _i; i++)
        uv_run(&loop, UV_RUN_ONCE);
    attest_unix_start(attestor, &who, kinds[_i % 4], close_from_done, &o[4]);
    bool closed = false;
    if (_i >= 4)
        attest_unix_close(attestor, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < 4; i++)
        selector_set_done(&o[i].selectors);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    rmdir(dir);
}
END_TEST

START_TEST(test_failed_allocations_fail_the_attestation_only)
{
    static const unsigned kinds[] = {SELECTOR_KIND_SUPPLEMENTARY,
                                     SELECTOR_KIND_NAMES,
                                     SELECTOR_KIND_NAMES | SELECTOR_KIND_SUPPLEMENTARY,
                                     SELECTOR_KIND_PATH,
                                     SELECTOR_KIND_SHA256,
                                     ALL_KINDS};
    err_t err;
    long n = 0;
    do {
        struct outcome o;
        mem_fail_after(n++);
        attest(self(), kinds[_i], &o);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        err = o.err;
        ck_assert_msg(!failed || err == ERR_NO_MEMORY, "%ld: %s", n, err_name(err));
        selector_set_done(&o.selectors);
    } while (err != ERR_OK);
    ck_assert_int_gt(n, 4);
}
END_TEST

START_TEST(test_without_memory_the_attestor_does_not_open)
{
    err_t err;
    long n = 0;
    do {
        uv_loop_t other;
        struct attest_unix *a = NULL;
        bool closed = false;
        ck_assert_int_eq(uv_loop_init(&other), 0);
        mem_fail_after(n++);
        err = attest_unix_open(&other, 0, &a, NULL);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        ck_assert((a == NULL) == failed);
        if (a != NULL)
            attest_unix_close(a, on_closed, &closed);
        uv_run(&other, UV_RUN_DEFAULT);
        ck_assert(closed == (err == ERR_OK));
        ck_assert_int_eq(uv_loop_close(&other), 0);
    } while (err != ERR_OK);
    ck_assert_int_gt(n, 3); /* the attestor, its names, its hashes */
}
END_TEST

static void setup_small(void)
{
    setup_with(1000);
}

int main(void)
{
    Suite *s = suite_create("attest_unix");
    TCase *t = tcase_create("attest_unix");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_ids_alone_are_answered_at_once);
    tcase_add_test(t, test_our_own_process_has_every_kind);
    tcase_add_test(t, test_known_names_are_answered_at_once);
    tcase_add_test(t, test_ids_without_a_name_have_no_name_selector_and_are_cached_too);
    tcase_add_test(t, test_a_program_is_read_once);
    tcase_add_test(t, test_a_replaced_program_has_its_own_hash_and_no_path);
    tcase_add_loop_test(t, test_a_process_that_ended_is_not_attested, 0, 3);
    tcase_add_test(t, test_a_zombie_has_no_program);
    tcase_add_test(t, test_another_users_process_is_known_by_its_own_ids);
    tcase_add_test(t, test_a_canceled_job_never_answers);
    tcase_add_loop_test(t, test_a_job_canceled_after_some_turns_never_answers, 0, 8);
    tcase_add_test(t, test_a_caller_with_too_many_groups_keeps_the_first_of_its_selectors);
    tcase_add_test(t, test_without_memory_the_attestor_does_not_open);
    tcase_add_loop_test(t, test_failed_allocations_fail_the_attestation_only, 0, 6);
    suite_add_tcase(s, t);
    TCase *small = tcase_create("small limit");
    tcase_add_checked_fixture(small, setup_small, teardown);
    tcase_add_test(small, test_a_program_too_large_to_hash_keeps_the_other_selectors);
    suite_add_tcase(s, small);
    TCase *closing = tcase_create("closing");
    tcase_add_checked_fixture(closing, setup, NULL);
    tcase_add_loop_test(closing, test_closing_with_jobs_under_way_ends_clean, 0, 8);
    suite_add_tcase(s, closing);
    return run_suite(s);
}
