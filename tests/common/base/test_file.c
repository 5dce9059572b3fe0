/* Files read whole and replaced whole: bounds, checks, pipes, links, a disk that fails. */
#include "common/base/file.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct temp_dir dir;
static char path[TEMP_PATH_MAX];
static struct why why;
static struct buf text;
static int folder;

/* The disk, as the linker lets us have it: few bytes at a time, interrupted, full, failing. */
static struct {
    size_t piece; /* bytes that one pwrite takes; 0: all */
    bool interrupted, sync_fails;
    size_t room; /* bytes before it is full; SIZE_MAX: never */
} disk;

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    disk.interrupted = !disk.interrupted && disk.piece > 0;
    errno = disk.interrupted ? EINTR : ENOSPC;
    if (disk.interrupted || disk.room == 0)
        return -1;
    len = disk.piece > 0 && len > disk.piece ? disk.piece : len;
    len = len > disk.room ? disk.room : len;
    disk.room -= disk.room == SIZE_MAX ? 0 : len;
    return __real_pwrite(fd, data, len, at);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    errno = EIO;
    return disk.sync_fails ? -1 : __real_fsync(fd);
}

static void setup(void)
{
    temp_dir_make(&dir);
    temp_path(&dir, "x", path);
    folder = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(folder, 0);
    buf_init(&text, 8192);
    why = (struct why){.err = ERR_OK};
    disk.piece = 0;
    disk.room = SIZE_MAX;
    disk.interrupted = disk.sync_fails = false;
}

static void teardown(void)
{
    buf_done(&text);
    close(folder);
    temp_dir_remove(&dir);
}

static void put_bytes(size_t len)
{
    static uint8_t bytes[8193];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    temp_put(&dir, "x", slice_of(bytes, len), 0600);
}

START_TEST(test_a_file_of_any_length_up_to_the_bound_is_read)
{
    static const size_t lens[] = {0, 1, 4095, 4096, 4097, 8191, 8192};
    put_bytes(lens[_i]);
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_OK);
    ck_assert_uint_eq(text.len, lens[_i]);
    for (size_t i = 0; i < text.len; i++)
        ck_assert_uint_eq(text.data[i], (uint8_t)(i * 7));
}
END_TEST

START_TEST(test_a_file_past_the_bound_is_refused_and_leaves_nothing)
{
    put_bytes(8193);
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_TOO_LARGE);
    ck_assert_str_eq(why_text(&why), "larger than 8192 bytes");
    ck_assert_uint_eq(text.len, 0);
}
END_TEST

START_TEST(test_what_is_read_comes_behind_what_is_there)
{
    put_bytes(8189);
    ck_assert_int_eq(buf_append_str(&text, "abc"), ERR_OK);
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_OK);
    ck_assert_uint_eq(text.len, 8192);
    ck_assert(slice_eq_str(slice_of(text.data, 3), "abc"));
    ck_assert_uint_eq(text.data[4], 7);
}
END_TEST

/* Files of /proc have no length before they are read. */
START_TEST(test_a_file_without_a_length_is_read_to_its_end)
{
    char start[64];
    ck_assert_int_eq(file_read("/proc/self/status", NULL, &text, &why), ERR_OK);
    ck_assert_ptr_nonnull(memmem(text.data, text.len, "nonvoluntary_ctxt_switches", 26));
    ssize_t n = file_peek("/proc/self/status", start, sizeof start);
    ck_assert_int_eq(n, sizeof start - 1);
    ck_assert_uint_eq(strlen(start), sizeof start - 1);
    ck_assert_mem_eq(start, "Name:\t", 6);
    ck_assert_int_eq(file_peek("/proc/self/no_such", start, sizeof start), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(start, "");
}
END_TEST

START_TEST(test_what_cannot_be_read_says_why_in_text_and_errno)
{
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_IO);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_str_eq(why_text(&why), "No such file or directory");
    ck_assert_int_eq(file_read(dir.path, NULL, &text, &why), ERR_IO);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_str_eq(why_text(&why), "Is a directory");
}
END_TEST

START_TEST(test_a_check_sees_the_file_behind_a_link_and_has_the_say)
{
    put_bytes(3);
    temp_link(&dir, "y", path);
    char link_path[TEMP_PATH_MAX];
    temp_path(&dir, "y", link_path);
    ck_assert_int_eq(file_read(link_path, file_check_regular, &text, &why), ERR_OK);
    ck_assert_uint_eq(text.len, 3);
    ck_assert_int_eq(file_read(dir.path, file_check_regular, &text, &why), ERR_IO);
    ck_assert_str_eq(why_text(&why), "not a regular file, it is a directory");
    ck_assert_int_eq(file_read("/dev/zero", file_check_regular, &text, &why), ERR_IO);
    ck_assert_uint_eq(text.len, 3);
}
END_TEST

START_TEST(test_a_pipe_is_read_unless_it_is_silent_or_refused)
{
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert_int_eq(file_read(path, file_check_regular, &text, &why), ERR_IO);
    ck_assert_str_eq(why_text(&why), "not a regular file");
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_OK); /* nobody holds it open */
    ck_assert_uint_eq(text.len, 0);
    int both = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(write(both, "abc", 3), 3);
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_IO); /* and no end comes */
    ck_assert_str_eq(why_text(&why), "it is a pipe, and nobody wrote to it for 1000 ms");
    ck_assert_uint_eq(text.len, 0);
    int reader = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* keeps what is in it */
    ck_assert_int_eq(write(both, "abc", 3), 3);
    close(both);
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_OK);
    ck_assert(slice_eq_str(buf_slice(&text), "abc"));
    close(reader);
}
END_TEST

START_TEST(test_a_read_without_memory_is_an_error)
{
    put_bytes(100);
    mem_fail_after(0);
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_NO_MEMORY);
    ck_assert_str_eq(why_text(&why), err_text(ERR_NO_MEMORY));
    why = (struct why){0};
    ck_assert_int_eq(file_read("/proc/self/status", NULL, &text, &why), ERR_NO_MEMORY);
    ck_assert_str_eq(why_text(&why), err_text(ERR_NO_MEMORY));
    mem_fail_after(-1);
    ck_assert_uint_eq(text.len, 0);
}
END_TEST

/* --- replacing -------------------------------------------------------------------------------- */

static void expect(const char *want, mode_t mode)
{
    struct stat st;
    buf_clear(&text);
    ck_assert_int_eq(file_read(path, NULL, &text, &why), ERR_OK);
    ck_assert(slice_eq_str(buf_slice(&text), want));
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode, S_IFREG | mode);
    ck_assert_int_eq(faccessat(folder, ".x.new", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static err_t replace(const char *bytes, mode_t mode)
{
    return file_replace(folder, "x", slice_str(bytes), mode, NULL, &why);
}

START_TEST(test_a_file_is_made_and_replaced_with_its_mode_whatever_the_umask)
{
    umask(077);
    ck_assert_int_eq(replace("one", 0644), ERR_OK);
    expect("one", 0644);
    int old = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(replace("a secret", 0600), ERR_OK);
    expect("a secret", 0600);
    char seen[16];
    ck_assert_int_eq(read(old, seen, sizeof seen), 3);
    ck_assert_mem_eq(seen, "one", 3);
    close(old);
    ck_assert_int_eq(replace("", 0600), ERR_OK);
    expect("", 0600);
}
END_TEST

START_TEST(test_the_new_file_is_open_for_who_asks)
{
    int fd = -1;
    char seen[16];
    ck_assert_int_eq(file_replace(folder, "x", slice_str("one"), 0600, &fd, &why), ERR_OK);
    ck_assert_int_eq(file_write_at(fd, slice_str("two"), 3), ERR_OK);
    ck_assert_int_eq(pread(fd, seen, sizeof seen, 0), 6);
    close(fd);
    expect("onetwo", 0600);
}
END_TEST

START_TEST(test_a_link_is_replaced_and_what_it_names_is_not_touched)
{
    char target[TEMP_PATH_MAX];
    temp_put(&dir, "target", slice_str("mine"), 0644);
    temp_path(&dir, "target", target);
    temp_link(&dir, "x", target);
    temp_link(&dir, ".x.new", target); /* nor what lies in wait at the name beside it */
    ck_assert_int_eq(replace("one", 0600), ERR_OK);
    expect("one", 0600);
    snprintf(path, sizeof path, "%s", target);
    expect("mine", 0644);
}
END_TEST

START_TEST(test_what_a_crash_left_is_in_nobodys_way)
{
    temp_put(&dir, ".x.new", slice_str("a longer torn try"), 0666);
    ck_assert_int_eq(replace("one", 0600), ERR_OK);
    expect("one", 0600);
}
END_TEST

START_TEST(test_a_disk_that_takes_little_at_a_time_gets_all)
{
    disk.piece = 2;
    ck_assert_int_eq(replace("seven b", 0600), ERR_OK);
    expect("seven b", 0600);
}
END_TEST

START_TEST(test_a_failure_leaves_the_old_file_and_no_other)
{
    int fd = -1;
    ck_assert_int_eq(replace("old", 0640), ERR_OK);
    disk.room = _i == 0 ? 2 : SIZE_MAX;
    disk.sync_fails = _i == 1;
    ck_assert_int_eq(file_replace(folder, "x", slice_str("new"), 0600, &fd, &why), ERR_IO);
    ck_assert_int_eq(fd, -1);
    ck_assert_str_eq(why_text(&why), _i == 0 ? "cannot write x: No space left on device"
                                             : "cannot write x: Input/output error");
    expect("old", 0640);
}
END_TEST

START_TEST(test_a_folder_of_that_name_stays)
{
    temp_folder(&dir, "x");
    ck_assert_int_eq(replace("new", 0600), ERR_IO);
    ck_assert_str_eq(why_text(&why), "cannot write x: Is a directory");
    temp_folder(&dir, ".x.new");
    ck_assert_int_eq(replace("new", 0600), ERR_IO);
}
END_TEST

START_TEST(test_a_name_too_long_for_the_one_beside_it_is_refused)
{
    char name[252] = "";
    memset(name, 'n', 250);
    ck_assert_int_eq(file_replace(folder, name, slice_str("a"), 0600, NULL, &why), ERR_OK);
    name[250] = 'n';
    ck_assert_int_eq(file_replace(folder, name, slice_str("a"), 0600, NULL, &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "too long"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("file");
    TCase *t = tcase_create("file");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_a_file_of_any_length_up_to_the_bound_is_read, 0, 7);
    tcase_add_test(t, test_a_file_past_the_bound_is_refused_and_leaves_nothing);
    tcase_add_test(t, test_what_is_read_comes_behind_what_is_there);
    tcase_add_test(t, test_a_file_without_a_length_is_read_to_its_end);
    tcase_add_test(t, test_what_cannot_be_read_says_why_in_text_and_errno);
    tcase_add_test(t, test_a_check_sees_the_file_behind_a_link_and_has_the_say);
    tcase_add_test(t, test_a_pipe_is_read_unless_it_is_silent_or_refused);
    tcase_add_test(t, test_a_read_without_memory_is_an_error);
    tcase_add_test(t, test_a_file_is_made_and_replaced_with_its_mode_whatever_the_umask);
    tcase_add_test(t, test_the_new_file_is_open_for_who_asks);
    tcase_add_test(t, test_a_link_is_replaced_and_what_it_names_is_not_touched);
    tcase_add_test(t, test_what_a_crash_left_is_in_nobodys_way);
    tcase_add_test(t, test_a_disk_that_takes_little_at_a_time_gets_all);
    tcase_add_loop_test(t, test_a_failure_leaves_the_old_file_and_no_other, 0, 2);
    tcase_add_test(t, test_a_folder_of_that_name_stays);
    tcase_add_test(t, test_a_name_too_long_for_the_one_beside_it_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
