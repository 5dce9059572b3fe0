/* One agent per data_dir, and a folder that nobody else may write. AG-7. */
#include "agent/store/data_lock.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <check.h>
#include <sys/stat.h>
#include <unistd.h>

static struct temp_dir dir;

static void setup(void)
{
    temp_dir_make(&dir);
}

static void teardown(void)
{
    temp_dir_remove(&dir);
}

static err_t take(const char *name, int *ret_fd, struct why *why)
{
    char path[TEMP_PATH_MAX];
    return data_lock_take(temp_path(&dir, name, path), ret_fd, why);
}

START_TEST(test_a_folder_is_made_for_its_owner_alone)
{
    struct stat st;
    char path[TEMP_PATH_MAX];
    int fd = -1;
    ck_assert_int_eq(take("data", &fd, NULL), ERR_OK);
    ck_assert_int_eq(stat(temp_path(&dir, "data", path), &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    close(fd);
}
END_TEST

START_TEST(test_a_second_agent_is_kept_out_until_the_first_has_gone)
{
    struct why why = {.err = ERR_OK};
    int first = -1, second = -1;
    ck_assert_int_eq(take("data", &first, NULL), ERR_OK);
    ck_assert_int_eq(take("data", &second, &why), ERR_LOCKED);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "another agent uses this data_dir"));
    ck_assert_int_eq(second, -1);
    close(first);
    ck_assert_int_eq(take("data", &second, NULL), ERR_OK);
    close(second);
}
END_TEST

static const struct {
    mode_t mode;
    err_t want;
} modes[] = {
    {0700, ERR_OK},        {0750, ERR_OK},        {0755, ERR_OK},
    {0770, ERR_FILE_MODE}, {0707, ERR_FILE_MODE}, {01777, ERR_FILE_MODE},
};

START_TEST(test_a_folder_that_others_may_write_is_refused)
{
    struct why why = {.err = ERR_OK};
    char path[TEMP_PATH_MAX];
    int fd = -1;
    temp_folder(&dir, "data");
    ck_assert_int_eq(chmod(temp_path(&dir, "data", path), modes[_i].mode), 0);
    ck_assert_int_eq(take("data", &fd, &why), modes[_i].want);
    if (modes[_i].want == ERR_OK)
        close(fd);
    else
        ck_assert_ptr_nonnull(strstr(why_text(&why), "chmod 700"));
}
END_TEST

/* Only root can give a folder away. */
START_TEST(test_a_folder_of_another_user_is_refused)
{
    struct why why = {.err = ERR_OK};
    char path[TEMP_PATH_MAX];
    int fd = -1;
    if (geteuid() != 0)
        return;
    temp_folder(&dir, "data");
    ck_assert_int_eq(chown(temp_path(&dir, "data", path), 12345, (gid_t)-1), 0);
    ck_assert_int_eq(take("data", &fd, &why), ERR_FILE_MODE);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "belongs to user 12345"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("data_lock");
    TCase *t = tcase_create("data_lock");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_folder_is_made_for_its_owner_alone);
    tcase_add_test(t, test_a_second_agent_is_kept_out_until_the_first_has_gone);
    tcase_add_loop_test(t, test_a_folder_that_others_may_write_is_refused, 0,
                        sizeof modes / sizeof modes[0]);
    tcase_add_test(t, test_a_folder_of_another_user_is_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
