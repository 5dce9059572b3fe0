/* Files are read on the thread pool, never on the loop, and only when there is something new. */
#include "common/loop/file_reader.h"

#include "common/base/mem.h"
#include "common/loop/file_watch.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static uv_loop_t loop;
static struct temp_dir dir;
static char file[TEMP_PATH_MAX], folder[TEMP_PATH_MAX];
static struct file_reader *reader;
static uv_thread_t loop_thread;
static uv_work_t holder, behind;
static uv_sem_t let_go;
static _Atomic unsigned reads;
static unsigned told;
static bool good, is_long, behind_done, quiet;
static struct why why;

static void read_it(void *arg)
{
    uv_thread_t here = uv_thread_self();
    (void)arg;
    ck_assert(!uv_thread_equal(&here, &loop_thread));
    reads++;
}

static bool on_read(void *arg)
{
    uv_thread_t here = uv_thread_self();
    (void)arg;
    ck_assert(uv_thread_equal(&here, &loop_thread));
    told++;
    if (is_long)
        file_reader_pause(reader, true);
    return good;
}

static void refuse_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    ck_abort_msg("a %s is open", uv_handle_type_name(handle->type));
}

static void put(const char *name, const char *text)
{
    temp_put(&dir, name, slice_str(text), 0600);
}

static void open_reader(void)
{
    const char *paths[] = {file, folder};
    struct file_reader_options options = {
        .paths = paths, .count = 2, .contents_alone = quiet, .read = read_it, .on_read = on_read};
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    loop_thread = uv_thread_self();
    temp_dir_make(&dir);
    temp_folder(&dir, "d");
    put("x", "1");
    put("d/a", "1");
    temp_path(&dir, "x", file);
    temp_path(&dir, "d", folder);
    ck_assert_int_eq(file_reader_open(&loop, &options, &reader, &why), ERR_OK);
    uv_sem_init(&let_go, 0);
    reads = told = 0;
    good = true;
    is_long = false;
}

static void close_reader(void)
{
    file_reader_close(reader, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    temp_dir_remove(&dir);
    uv_sem_destroy(&let_go);
}

/* The pool's only thread waits, as for a disk. */
static void wait_for_let_go(uv_work_t *work)
{
    (void)work;
    uv_sem_wait(&let_go);
}

static void hold_pool(void)
{
    ck_assert_int_eq(uv_queue_work(&loop, &holder, wait_for_let_go, NULL), 0);
}

static void run_until(unsigned count)
{
    while (told < count)
        uv_run(&loop, UV_RUN_ONCE);
}

static void do_nothing(uv_work_t *work)
{
    (void)work;
}

static void on_behind(uv_work_t *work, int status)
{
    (void)work;
    behind_done = status == 0;
}

static void on_hint(void *arg)
{
    (void)arg;
    ck_assert_int_eq(uv_queue_work(&loop, &behind, do_nothing, on_behind), 0);
}

static void hear(const char *name, const char *text)
{
    put(name, text);
    for (behind_done = false; !behind_done;)
        uv_run(&loop, UV_RUN_ONCE);
}

/* Until the reader has been through with it: our own watch hears of a second file later than the
 * reader did of the first, and what the pool does for us comes behind its job. */
static void put_and_hear(const char *name, const char *text)
{
    struct file_watch *own = NULL;
    const char *paths[] = {file};
    ck_assert_int_eq(file_watch_open(&loop, paths, 1, on_hint, NULL, &own, &why), ERR_OK);
    hear(name, text);
    hear("other", text);
    file_watch_close(own, NULL, NULL);
}

START_TEST(test_the_loop_goes_on_while_files_are_read)
{
    hold_pool();
    file_reader_now(reader);
    for (int i = 0; i < 100; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_uint_eq(reads, 0);
    uv_sem_post(&let_go);
    run_until(1);
    ck_assert_uint_eq(reads, 1);
}
END_TEST

START_TEST(test_what_comes_up_meanwhile_is_read_once_more)
{
    hold_pool();
    for (int i = 0; i < 5; i++)
        file_reader_now(reader);
    uv_sem_post(&let_go);
    run_until(2);
    put_and_hear("x", "1"); /* and not a third time but for this */
    ck_assert_uint_eq(told, 3);
}
END_TEST

START_TEST(test_a_change_is_read_by_itself)
{
    static const char *const names[] = {"x", "d/a", "d/b"}; /* same bytes; another, a new one */
    put(names[_i], "1");
    run_until(1);
    ck_assert_uint_eq(reads, 1);
}
END_TEST

START_TEST(test_what_is_none_of_these_files_is_not_read)
{
    put_and_hear("y", "1");
    ck_assert_uint_eq(reads, 0);
}
END_TEST

/* A file that is replaced by way of nothing, as editors and some deployments do. */
START_TEST(test_absence_and_mode_are_changes_unless_contents_count_alone)
{
    unsigned heard = _i == 1 ? 0 : 1;
    quiet = _i == 1;
    close_reader();
    open_reader();
    ck_assert_int_eq(unlink(file), 0);
    put_and_hear("another", "1");
    ck_assert_uint_eq(told, heard);
    put_and_hear("x", "1");
    ck_assert_uint_eq(told, heard + 1);
    ck_assert_int_eq(chmod(file, 0640), 0);
    put_and_hear("another", "2");
    ck_assert_uint_eq(told, 2 * heard + 1);
    ck_assert_int_eq(unlink(file), 0);
    file_reader_now(reader); /* who asks hears of it */
    run_until(2 * heard + 2);
    quiet = false;
}
END_TEST

START_TEST(test_of_no_file_nothing_is_watched)
{
    struct file_reader_options none = {.read = read_it, .on_read = on_read};
    struct file_reader *other;
    uv_loop_t idle;
    ck_assert_int_eq(uv_loop_init(&idle), 0);
    ck_assert_int_eq(file_reader_open(&idle, &none, &other, &why), ERR_OK);
    uv_walk(&idle, refuse_handle, NULL);
    file_reader_close(other, NULL, NULL);
    ck_assert_int_eq(uv_loop_close(&idle), 0);
}
END_TEST

START_TEST(test_what_was_refused_is_read_again_though_nothing_changed)
{
    good = false;
    file_reader_now(reader);
    run_until(1);
    put("y", "1");
    run_until(2);
    good = true;
    put("y", "2");
    run_until(3);
    put_and_hear("y", "3");
    ck_assert_uint_eq(told, 3);
}
END_TEST

START_TEST(test_nothing_is_read_before_the_owner_is_through)
{
    is_long = true;
    file_reader_now(reader);
    run_until(1);
    file_reader_now(reader);
    put_and_hear("x", "1");
    ck_assert_uint_eq(reads, 1);
    file_reader_pause(reader, false);
    run_until(2); /* both at once */
    file_reader_pause(reader, false);
    is_long = false;
    put_and_hear("y", "1");
    ck_assert_uint_eq(told, 2);
}
END_TEST

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

START_TEST(test_a_close_waits_for_a_reading_and_tells_nothing)
{
    bool closed = false;
    file_reader_now(reader); /* under way or not yet: nobody knows */
    file_reader_close(reader, on_closed, &closed);
    file_reader_close(reader, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(closed);
    ck_assert_uint_eq(told, 0);
    struct file_reader_options options = {.read = read_it, .on_read = on_read};
    ck_assert_int_eq(file_reader_open(&loop, &options, &reader, &why), ERR_OK);
    file_reader_now(reader); /* of no file: when asked */
    run_until(1);
}
END_TEST

START_TEST(test_without_memory_there_is_none)
{
    const char *paths[] = {file};
    struct file_reader_options options = {
        .paths = paths, .count = 1, .read = read_it, .on_read = on_read};
    for (long n = 0; n < 2; n++) {
        struct file_reader *none = NULL;
        mem_fail_after(n);
        ck_assert_int_eq(file_reader_open(&loop, &options, &none, &why), ERR_NO_MEMORY);
        mem_fail_after(-1);
        ck_assert_ptr_null(none);
    }
}
END_TEST

int main(void)
{
    setenv("UV_THREADPOOL_SIZE", "1", 1);
    Suite *s = suite_create("file_reader");
    TCase *t = tcase_create("file_reader");
    tcase_add_checked_fixture(t, open_reader, close_reader);
    tcase_add_test(t, test_the_loop_goes_on_while_files_are_read);
    tcase_add_test(t, test_what_comes_up_meanwhile_is_read_once_more);
    tcase_add_loop_test(t, test_a_change_is_read_by_itself, 0, 3);
    tcase_add_test(t, test_what_is_none_of_these_files_is_not_read);
    tcase_add_test(t, test_what_was_refused_is_read_again_though_nothing_changed);
    tcase_add_test(t, test_nothing_is_read_before_the_owner_is_through);
    tcase_add_test(t, test_a_close_waits_for_a_reading_and_tells_nothing);
    tcase_add_loop_test(t, test_absence_and_mode_are_changes_unless_contents_count_alone, 0, 2);
    tcase_add_test(t, test_of_no_file_nothing_is_watched);
    tcase_add_test(t, test_without_memory_there_is_none);
    suite_add_tcase(s, t);
    return run_suite(s);
}
