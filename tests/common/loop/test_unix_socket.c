/* Listening Unix sockets as files: whose, with which mode, and in which folders. */
#include "common/loop/socket_folder.h"
#include "common/loop/unix_socket.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER 40001u

static struct temp_dir dir;
static struct why why;
static char path[TEMP_PATH_MAX];

static void start(void)
{
    why = (struct why){0};
    temp_dir_make(&dir);
    temp_path(&dir, "web.sock", path);
}

static void stop(void)
{
    chmod(dir.path, 0700);
    temp_dir_remove(&dir);
}

static mode_t mode_of(const char *file)
{
    struct stat st;
    ck_assert_int_eq(lstat(file, &st), 0);
    return st.st_mode & 07777;
}

static const struct {
    mode_t mode, umask;
} modes[] = {{0600, 0}, {0600, 077}, {0660, 077}, {0666, 022}, {0777, 077}, {0640, 0777}};

START_TEST(test_a_socket_has_its_mode_whatever_the_umask)
{
    struct unix_socket s;
    mode_t before = umask(modes[_i].umask);
    err_t err = unix_socket_open(path, SOCK_STREAM, modes[_i].mode, &s, &why);
    umask(before);
    ck_assert_msg(err == ERR_OK, "%s", why.text);
    ck_assert_uint_eq(mode_of(path), modes[_i].mode);
    close(s.fd);
}
END_TEST

START_TEST(test_a_socket_is_given_to_its_owner)
{
    const struct unix_socket_file as = {.mode = 0660, .owner = OTHER, .group = OTHER + 1};
    struct unix_socket s;
    struct stat st;
    if (geteuid() != 0) {
        puts("test_unix_socket: giving a socket away needs root; not tried");
        return;
    }
    ck_assert_msg(unix_socket_open_as(path, SOCK_STREAM, &as, &s, &why) == ERR_OK, "%s", why.text);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, OTHER);
    ck_assert_uint_eq(st.st_gid, OTHER + 1);
    ck_assert_uint_eq(st.st_mode & 07777, 0660);
    close(s.fd);
    /* And again, over what was left behind. */
    ck_assert_msg(unix_socket_open_as(path, SOCK_STREAM, &as, &s, &why) == ERR_OK, "%s", why.text);
    close(s.fd);
}
END_TEST

START_TEST(test_only_the_file_that_we_made_is_removed)
{
    struct unix_socket s, adopted;
    struct stat st;
    ck_assert_int_eq(unix_socket_open(path, SOCK_STREAM, 0600, &s, &why), ERR_OK);
    unix_socket_adopt(s.fd, &adopted);
    ck_assert_str_eq(adopted.path, path);
    ck_assert_uint_eq(adopted.inode, s.inode);
    ck_assert_int_eq(unlink(path), 0);
    temp_put(&dir, "web.sock", slice_str("of somebody else"), 0600);
    unix_socket_unlink(&adopted);
    ck_assert_int_eq(lstat(path, &st), 0);
    ck_assert_int_eq(unlink(path), 0);
    close(s.fd);
    ck_assert_int_eq(unix_socket_open(path, SOCK_STREAM, 0600, &s, &why), ERR_OK);
    unix_socket_adopt(s.fd, &adopted);
    unix_socket_unlink(&adopted);
    ck_assert_int_ne(lstat(path, &st), 0);
    close(s.fd);
}
END_TEST

START_TEST(test_what_is_no_unix_socket_is_not_adopted)
{
    struct unix_socket adopted;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unix_socket_adopt(fd, &adopted);
    ck_assert_str_eq(adopted.path, "");
    unix_socket_unlink(&adopted);
    close(fd);
}
END_TEST

/* --- folders ---------------------------------------------------------------------------------- */

static const struct {
    mode_t mode;
    uid_t owner;
    gid_t group;
    const char *says; /* NULL: accepted for uid 0, gid 0 */
} folders[] = {
    {0700, 0, 0, NULL},
    {0755, 0, 0, NULL},
    {0775, 0, 0, NULL},  /* root's group */
    {01777, 0, 0, NULL}, /* as /tmp: nobody removes what is not his */
    {01777, 0, OTHER, NULL},
    {0755, 0, OTHER, NULL},
    {0777, 0, 0, "has mode 0777: any user could put another socket"},
    {0757, 0, 0, "any user could"},
    {0703, 0, 0, "any user could"},
    {0775, 0, OTHER, "has mode 0775: its group could"},
    {0755, OTHER, 0, "belongs to uid 40001"},
    {01777, OTHER, 0, "belongs to uid 40001"},
    {0700, OTHER, OTHER, "expected root or uid 0; run: chown 0"},
};

static void make_folder(int row)
{
    ck_assert_int_eq(chown(dir.path, folders[row].owner, folders[row].group), 0);
    ck_assert_int_eq(chmod(dir.path, folders[row].mode), 0);
}

static bool root_or_say(void)
{
    if (geteuid() != 0)
        puts("test_unix_socket: folders of other users need root; not tried");
    return geteuid() == 0;
}

START_TEST(test_a_folder_that_others_may_write_is_refused_with_the_remedy)
{
    struct unix_socket s;
    struct stat st;
    if (!root_or_say())
        return;
    make_folder(_i);
    err_t err = unix_socket_open(path, SOCK_STREAM, 0600, &s, &why);
    if (folders[_i].says == NULL) {
        ck_assert_msg(err == ERR_OK, "%s", why.text);
        close(s.fd);
    } else {
        ck_assert_int_eq(err, ERR_IO);
        ck_assert_msg(strstr(why.text, folders[_i].says) != NULL, "%s", why.text);
        ck_assert_ptr_nonnull(strstr(why.text, dir.path));
        ck_assert_int_ne(lstat(path, &st), 0);
    }
}
END_TEST

START_TEST(test_a_folder_above_counts_as_well)
{
    char below[TEMP_PATH_MAX + 16];
    if (!root_or_say())
        return;
    temp_folder(&dir, "run");
    snprintf(below, sizeof below, "%s/run/web.sock", dir.path);
    make_folder(_i);
    err_t err = socket_folder_check(below, 0, 0, &why);
    if (folders[_i].says == NULL)
        ck_assert_msg(err == ERR_OK, "%s", why.text);
    else
        ck_assert_msg(err == ERR_IO && strstr(why.text, dir.path) != NULL, "%s", why.text);
}
END_TEST

START_TEST(test_a_folder_behind_a_link_counts_as_well)
{
    char real[TEMP_PATH_MAX], linked[TEMP_PATH_MAX + 16];
    temp_folder(&dir, "real");
    temp_path(&dir, "real", real);
    temp_link(&dir, "way", real);
    snprintf(linked, sizeof linked, "%s/way/web.sock", dir.path);
    ck_assert_int_eq(socket_folder_check(linked, geteuid(), getegid(), &why), ERR_OK);
    ck_assert_int_eq(chmod(real, 0777), 0);
    ck_assert_int_eq(socket_folder_check(linked, geteuid(), getegid(), &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why.text, real));
}
END_TEST

START_TEST(test_a_link_of_another_user_is_refused)
{
    char real[TEMP_PATH_MAX], way[TEMP_PATH_MAX], linked[TEMP_PATH_MAX + 16];
    if (!root_or_say())
        return;
    temp_folder(&dir, "real");
    temp_path(&dir, "real", real);
    temp_link(&dir, "way", real);
    ck_assert_int_eq(lchown(temp_path(&dir, "way", way), OTHER, OTHER), 0);
    snprintf(linked, sizeof linked, "%s/way/web.sock", dir.path);
    ck_assert_int_eq(socket_folder_check(linked, 0, 0, &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why.text, "/way belongs to uid 40001"));
}
END_TEST

START_TEST(test_a_look_without_a_user_sees_the_modes_alone)
{
    if (!root_or_say())
        return;
    make_folder(_i);
    bool any = folders[_i].says != NULL && strstr(folders[_i].says, "any user") != NULL;
    ck_assert_int_eq(socket_folder_check_modes(path, &why), any ? ERR_IO : ERR_OK);
}
END_TEST

START_TEST(test_folders_that_are_not_there_yet_are_passed_over)
{
    char below[TEMP_PATH_MAX + 32];
    snprintf(below, sizeof below, "%s/not/yet/web.sock", dir.path);
    ck_assert_int_eq(socket_folder_check(below, geteuid(), getegid(), &why), ERR_OK);
    ck_assert_int_eq(socket_folder_check("/web.sock", geteuid(), getegid(), &why), ERR_OK);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("unix_socket");
    TCase *t = tcase_create("unix_socket");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, test_a_socket_has_its_mode_whatever_the_umask, 0, COUNT(modes));
    tcase_add_test(t, test_a_socket_is_given_to_its_owner);
    tcase_add_test(t, test_only_the_file_that_we_made_is_removed);
    tcase_add_test(t, test_what_is_no_unix_socket_is_not_adopted);
    tcase_add_loop_test(t, test_a_folder_that_others_may_write_is_refused_with_the_remedy, 0,
                        COUNT(folders));
    tcase_add_loop_test(t, test_a_folder_above_counts_as_well, 0, COUNT(folders));
    tcase_add_test(t, test_a_folder_behind_a_link_counts_as_well);
    tcase_add_test(t, test_a_link_of_another_user_is_refused);
    tcase_add_loop_test(t, test_a_look_without_a_user_sees_the_modes_alone, 0, COUNT(folders));
    tcase_add_test(t, test_folders_that_are_not_there_yet_are_passed_over);
    suite_add_tcase(s, t);
    return run_suite(s);
}
