/* A changed configuration is read on the thread pool, never on the loop: a disk that hangs must not
 * hold the connections of the worker that shares that loop. */
#include "sidecar/config/config_watch.h"

#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <stdlib.h>
#include <string.h>

#define POOL 2

static uv_loop_t loop;
static struct temp_dir dir;
static char path[TEMP_PATH_MAX];
static struct config_watch *watch;
static struct sidecar_config *first;
static uv_work_t holders[POOL];
static uv_sem_t held, let_go;
static unsigned told, failed;
static int64_t told_limit;
static uv_thread_t loop_thread;

static void put_config(const char *limit, const char *listen)
{
    char text[256];
    int len = snprintf(text, sizeof text,
                       "identity: {workload_api: 'unix:///a'}\ndrain_limit: %s\n"
                       "inbound: [{listen: '%s', forward: 127.0.0.1:1, "
                       "allow: ['spiffe://example.org/a']}]\n",
                       limit, listen);
    temp_put(&dir, "x.yaml", slice_of(text, (size_t)len), 0600);
}

static void on_read(void *arg, const struct config_read *read)
{
    uv_thread_t here = uv_thread_self();
    (void)arg;
    ck_assert(uv_thread_equal(&here, &loop_thread));
    ck_assert((read->err == ERR_OK) == (read->config != NULL));
    told++;
    failed += read->err != ERR_OK;
    told_limit = read->config != NULL ? read->config->drain_limit_ms : 0;
    ck_assert(read->err == ERR_OK || read->report.len > 0);
}

static void open_watch(void)
{
    struct buf report;
    struct why why = {0};
    buf_init(&report, 1u << 14);
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    loop_thread = uv_thread_self();
    temp_dir_make(&dir);
    put_config("1s", "127.0.0.1:0");
    temp_path(&dir, "x.yaml", path);
    ck_assert_int_eq(sidecar_config_load(path, NULL, &report, &first, &why), ERR_OK);
    struct config_watch_options options = {.path = path, .now = first, .on_read = on_read};
    ck_assert_int_eq(config_watch_open(&loop, &options, &watch, &why), ERR_OK);
    buf_done(&report);
    told = failed = 0;
    uv_sem_init(&held, 0);
    uv_sem_init(&let_go, 0);
}

static void close_watch(void)
{
    if (watch != NULL)
        config_watch_close(watch, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    sidecar_config_unref(first);
    temp_dir_remove(&dir);
    uv_sem_destroy(&held);
    uv_sem_destroy(&let_go);
}

static void hold(uv_work_t *work)
{
    (void)work;
    uv_sem_post(&held);
    uv_sem_wait(&let_go);
}

static void on_let_go(uv_work_t *work, int status)
{
    (void)work;
    ck_assert_int_eq(status, 0);
}

/* Every thread of the pool waits for somebody, as for a disk. */
static void hold_pool(void)
{
    for (size_t i = 0; i < POOL; i++)
        ck_assert_int_eq(uv_queue_work(&loop, &holders[i], hold, on_let_go), 0);
    for (size_t i = 0; i < POOL; i++)
        uv_sem_wait(&held);
}

static void free_pool(void)
{
    for (size_t i = 0; i < POOL; i++)
        uv_sem_post(&let_go);
}

static void run_until(unsigned count)
{
    while (told < count)
        uv_run(&loop, UV_RUN_ONCE);
}

START_TEST(test_the_file_is_read_on_the_pool_while_the_loop_goes_on)
{
    hold_pool();
    put_config("2s", "127.0.0.1:0");
    config_watch_read(watch);
    put_config("3s", "127.0.0.1:0"); /* nobody has looked yet */
    for (int i = 0; i < 100; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(told, 0);
    free_pool();
    run_until(1);
    ck_assert_int_eq(told_limit, 3000);
}
END_TEST

START_TEST(test_what_is_asked_for_meanwhile_is_read_once_more)
{
    hold_pool();
    for (int i = 0; i < 5; i++)
        config_watch_read(watch);
    free_pool();
    run_until(2);
    close_watch(); /* runs the loop dry */
    ck_assert_uint_eq(told, 2);
    open_watch();
}
END_TEST

START_TEST(test_a_changed_file_is_read_by_itself)
{
    put_config("4s", "127.0.0.1:0");
    run_until(1);
    ck_assert_int_eq(told_limit, 4000);
}
END_TEST

/* All or nothing: what comes is compared with what is in use, not with what was refused. */
START_TEST(test_a_broken_file_and_one_for_a_restart_change_nothing)
{
    temp_put(&dir, "x.yaml", slice_str("inbound: 7\n"), 0600);
    config_watch_read(watch);
    run_until(1);
    put_config("5s", "127.0.0.2:0");
    config_watch_read(watch);
    run_until(2);
    ck_assert_uint_eq(failed, 2);
    put_config("5s", "127.0.0.1:0");
    config_watch_read(watch);
    run_until(3);
    ck_assert_uint_eq(failed, 2);
    ck_assert_int_eq(told_limit, 5000);
}
END_TEST

START_TEST(test_a_close_waits_for_what_is_under_way_and_tells_nothing)
{
    hold_pool();
    config_watch_read(watch);
    config_watch_close(watch, NULL, NULL);
    config_watch_close(watch, NULL, NULL);
    free_pool();
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(told, 0);
    watch = NULL;
}
END_TEST

START_TEST(test_without_a_file_it_reads_when_asked)
{
    struct config_watch_options options = {.now = first, .on_read = on_read};
    struct why why = {0};
    config_watch_close(watch, NULL, NULL);
    ck_assert_int_eq(config_watch_open(&loop, &options, &watch, &why), ERR_OK);
    config_watch_read(watch);
    run_until(1);
    ck_assert_uint_eq(failed, 1); /* the defaults alone have no route */
}
END_TEST

int main(void)
{
    setenv("UV_THREADPOOL_SIZE", "2", 1);
    Suite *s = suite_create("config_watch");
    TCase *t = tcase_create("config_watch");
    tcase_add_checked_fixture(t, open_watch, close_watch);
    tcase_add_test(t, test_the_file_is_read_on_the_pool_while_the_loop_goes_on);
    tcase_add_test(t, test_what_is_asked_for_meanwhile_is_read_once_more);
    tcase_add_test(t, test_a_changed_file_is_read_by_itself);
    tcase_add_test(t, test_a_broken_file_and_one_for_a_restart_change_nothing);
    tcase_add_test(t, test_a_close_waits_for_what_is_under_way_and_tells_nothing);
    tcase_add_test(t, test_without_a_file_it_reads_when_asked);
    suite_add_tcase(s, t);
    return run_suite(s);
}
