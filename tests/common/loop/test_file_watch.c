/* File watch: a rename over a file and Kubernetes' link swap are seen through inotify, at once. */
#include "common/log/log.h"
#include "common/loop/file_watch.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct fixture {
    uv_loop_t loop;
    char dir[64];
    struct file_watch *watch;
    unsigned hints;
};

static void path_in(const struct fixture *f, const char *name, char out[static 128])
{
    snprintf(out, 128, "%s/%s", f->dir, name);
}

static void put(const struct fixture *f, const char *name, const char *text)
{
    char path[128];
    path_in(f, name, path);
    FILE *file = fopen(path, "we");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void on_hint(void *arg)
{
    struct fixture *f = arg;
    f->hints++;
    uv_stop(&f->loop);
}

static void setup(struct fixture *f)
{
    *f = (struct fixture){.dir = "/tmp/spindle-watch-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
}

static void watch(struct fixture *f, const char *name)
{
    char path[128];
    path_in(f, name, path);
    const char *paths[] = {path, path};
    struct why why;
    ck_assert_int_eq(file_watch_open(&f->loop, paths, 2, on_hint, f, &f->watch, &why), ERR_OK);
}

static void finish(struct fixture *f)
{
    file_watch_close(f->watch, NULL, NULL);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    char name[128];
    static const char *const left[] = {"a", "..data", "one/a", "two/a"};
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        path_in(f, left[i], name);
        unlink(name);
    }
    path_in(f, "one", name);
    rmdir(name);
    path_in(f, "two", name);
    rmdir(name);
    rmdir(f->dir);
}

START_TEST(test_a_rename_over_the_file_gives_a_hint)
{
    struct fixture f;
    setup(&f);
    put(&f, "a", "1");
    watch(&f, "a");
    put(&f, "b", "2");
    char from[128], to[128];
    path_in(&f, "b", from);
    path_in(&f, "a", to);
    ck_assert_int_eq(rename(from, to), 0);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(f.hints, 1); /* three events, one hint */
    finish(&f);
}
END_TEST

START_TEST(test_kubernetes_link_swap_gives_a_hint)
{
    struct fixture f;
    char one[128], two[128], data[128], new_data[128], leaf[128];
    setup(&f);
    path_in(&f, "one", one);
    path_in(&f, "two", two);
    path_in(&f, "..data", data);
    path_in(&f, "..data_tmp", new_data);
    path_in(&f, "a", leaf);
    ck_assert_int_eq(mkdir(one, 0700), 0);
    ck_assert_int_eq(mkdir(two, 0700), 0);
    put(&f, "one/a", "1");
    put(&f, "two/a", "2");
    ck_assert_int_eq(symlink("one", data), 0);
    ck_assert_int_eq(symlink("..data/a", leaf), 0);
    watch(&f, "a");
    ck_assert_int_eq(symlink("two", new_data), 0);
    ck_assert_int_eq(rename(new_data, data), 0);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(f.hints, 1);
    finish(&f);
}
END_TEST

static void on_enough(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

/* To show that nothing comes there is only time to wait for: the watch's own. */
static void run_past_the_settle_time(struct fixture *f)
{
    uv_timer_t enough;
    uv_timer_init(&f->loop, &enough);
    uv_timer_start(&enough, on_enough, 2 * FILE_WATCH_SETTLE_MS, 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&enough, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

START_TEST(test_a_log_that_is_written_beside_the_file_gives_no_hint)
{
    struct fixture f;
    char path[128], from[128];
    setup(&f);
    put(&f, "a", "1");
    path_in(&f, "log", path);
    FILE *log = fopen(path, "we");
    ck_assert_ptr_nonnull(log);
    watch(&f, "a");
    for (int i = 0; i < 1000; i++) {
        fputs("line\n", log);
        fflush(log);
    }
    run_past_the_settle_time(&f);
    ck_assert_uint_eq(f.hints, 0);
    path_in(&f, "b", from);
    put(&f, "b", "2");
    path_in(&f, "a", path);
    ck_assert_int_eq(rename(from, path), 0);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(f.hints, 1);
    fclose(log);
    path_in(&f, "log", path);
    unlink(path);
    finish(&f);
}
END_TEST

START_TEST(test_a_folder_that_is_not_there_is_no_failure)
{
    struct fixture f;
    setup(&f);
    watch(&f, "nowhere/a");
    finish(&f);
    ck_assert_uint_eq(f.hints, 0);
}
END_TEST

/* What the kernel may refuse a user who has used up inotify: each call by itself. */
static int init_error, add_error;

int inotify_init1(int flags)
{
    if (init_error != 0) {
        errno = init_error;
        return -1;
    }
    return (int)syscall(SYS_inotify_init1, flags);
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
    if (add_error != 0) {
        errno = add_error;
        return -1;
    }
    return (int)syscall(SYS_inotify_add_watch, fd, path, mask);
}

static unsigned degraded, restored;

static void on_line(void *arg, const char *line)
{
    (void)arg;
    degraded += strstr(line, "file_watch_degraded") != NULL ? 1 : 0;
    restored += strstr(line, "file_watch_restored") != NULL ? 1 : 0;
}

/* The tick comes after ten seconds; the timer is the first of the loop that is not settling. */
static void hurry_tick(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (handle->type == UV_TIMER && uv_timer_get_repeat((uv_timer_t *)handle) > 1)
        ck_assert_int_eq(
            uv_timer_start((uv_timer_t *)handle, ((uv_timer_t *)handle)->timer_cb, 1, 1), 0);
}

static const struct {
    int init, add;
} exhausted[] = {{EMFILE, 0}, {ENFILE, 0}, {ENOMEM, 0}, {0, ENOSPC}, {0, ENOMEM}};

START_TEST(test_without_inotify_the_tick_looks_and_the_log_says_so_once)
{
    struct fixture f;
    setup(&f);
    log_capture(on_line, NULL);
    degraded = restored = 0;
    init_error = exhausted[_i].init;
    add_error = exhausted[_i].add;
    put(&f, "a", "1");
    watch(&f, "a");
    uv_walk(&f.loop, hurry_tick, NULL);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    ck_assert_uint_ge(f.hints, 2);
    ck_assert_uint_eq(degraded, 1);
    init_error = add_error = 0;
    uv_run(&f.loop, UV_RUN_DEFAULT);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(restored, 1);
    ck_assert_uint_eq(degraded, 1);
    log_capture(NULL, NULL);
    finish(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("file_watch");
    TCase *t = tcase_create("file_watch");
    tcase_add_test(t, test_a_rename_over_the_file_gives_a_hint);
    tcase_add_test(t, test_kubernetes_link_swap_gives_a_hint);
    tcase_add_test(t, test_a_log_that_is_written_beside_the_file_gives_no_hint);
    tcase_add_test(t, test_a_folder_that_is_not_there_is_no_failure);
    tcase_add_loop_test(t, test_without_inotify_the_tick_looks_and_the_log_says_so_once, 0,
                        (int)(sizeof exhausted / sizeof exhausted[0]));
    suite_add_tcase(s, t);
    return run_suite(s);
}
