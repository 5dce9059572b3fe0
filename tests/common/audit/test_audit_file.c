/* The file behind the audit log: rotation to the byte, files that others touch, and those that are
 * refused. */
#include "common/base/mem.h"
#include "tests/support/audit_case.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- rotation --------------------------------------------------------------------------------- */

static int64_t size_of(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 ? st.st_size : -1;
}

/* Every old file holds as many lines as fit, not one more or less, and nothing is missing between
 * them. */
START_TEST(test_files_are_as_full_as_their_size_allows)
{
    static const int64_t sizes[] = {AUDIT_NUMBER_LINE * 100, AUDIT_NUMBER_LINE * 100 + 1,
                                    AUDIT_NUMBER_LINE * 101 - 1, AUDIT_NUMBER_LINE * 1,
                                    AUDIT_NUMBER_LINE - 1};
    int64_t max = sizes[_i], per_file = max / AUDIT_NUMBER_LINE > 0 ? max / AUDIT_NUMBER_LINE : 1;
    int keep = 3, events = (int)per_file * 7 + 1;
    char name[TEMP_PATH_MAX];
    struct audit *a = audit_case_open(max, keep);
    audit_numbers(a, 1000, 1000 + events);
    audit_close(a);
    struct audit_tally t = {.next = 1000 + 4 * per_file};
    for (int i = keep; i >= 0; i--) {
        char *text = audit_read(audit_old_name(i, name));
        audit_each_line(text, audit_tally_line, &t);
        free(text);
        ck_assert_int_eq(size_of(name), AUDIT_NUMBER_LINE * (i == 0 ? 1 : per_file));
    }
    ck_assert_int_eq(t.next, 1000 + events);
    ck_assert_int_eq(size_of(audit_old_name(keep + 1, name)), -1);
}
END_TEST

START_TEST(test_a_rotation_that_fails_loses_nothing_and_is_tried_again)
{
    char blocker[TEMP_PATH_MAX], name[TEMP_PATH_MAX];
    temp_folder(&audit_dir, "audit.log.new");
    struct audit *a = audit_case_open(AUDIT_NUMBER_LINE * 16, 2);
    audit_numbers(a, 1000, 1020);
    audit_wait_for(audit_path, "\"n\":1019");
    ck_assert_int_eq(size_of(audit_path), AUDIT_NUMBER_LINE * 20);
    ck_assert_int_eq(rmdir(temp_path(&audit_dir, "audit.log.new", blocker)), 0);
    audit_numbers(a, 1020, 1040);
    audit_close(a);
    struct audit_tally t = {.next = 1000};
    for (int i = 2; i >= 0; i--) {
        char *text = audit_read(audit_old_name(i, name));
        audit_each_line(text, audit_tally_line, &t);
        free(text);
    }
    ck_assert_int_eq(t.next, 1040);
    ck_assert_int_eq(size_of(audit_old_name(2, name)), AUDIT_NUMBER_LINE * 20);
}
END_TEST

static void no_line(void *arg, const char *line)
{
    (void)arg;
    ck_abort_msg("%s", line);
}

START_TEST(test_a_file_renamed_by_others_is_opened_anew_when_asked)
{
    char other[TEMP_PATH_MAX];
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    audit_numbers(a, 0, 3);
    audit_wait_for(audit_path, "\"n\":2,");
    ck_assert_int_eq(rename(audit_path, temp_path(&audit_dir, "taken", other)), 0);
    audit_numbers(a, 3, 5);
    audit_wait_for(other, "\"n\":4,");
    audit_reopen(a);
    audit_numbers(a, 0, 2);
    audit_wait_for(audit_path, "\"n\":1,");
    log_capture(no_line, NULL);
    audit_reopen(a); /* the same file: it stays */
    audit_numbers(a, 2, 4);
    audit_close(a);
    log_capture(NULL, NULL);
    char *first = audit_read(other), *second = audit_read(audit_path);
    ck_assert_int_eq(audit_tally_text(first).seen, 5);
    ck_assert_int_eq(audit_tally_text(second).seen, 4);
    free(first);
    free(second);
}
END_TEST

START_TEST(test_a_file_that_others_cut_is_filled_again)
{
    struct audit *a = audit_case_open(AUDIT_NUMBER_LINE * 10, 1);
    audit_numbers(a, 1000, 1010);
    audit_wait_for(audit_path, "\"n\":1009");
    ck_assert_int_eq(truncate(audit_path, 0), 0);
    audit_numbers(a, 1010, 1015);
    audit_close(a);
    char name[TEMP_PATH_MAX];
    ck_assert_int_eq(size_of(audit_path), AUDIT_NUMBER_LINE * 5);
    ck_assert_int_eq(size_of(audit_old_name(1, name)), -1);
}
END_TEST

START_TEST(test_half_a_line_of_a_killed_program_spoils_no_other)
{
    temp_put(&audit_dir, "audit.log", slice_str("{\"time\":\"x\",\"event\":\"a\"}\n{\"time\":\"2"),
             0600);
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    audit_numbers(a, 0, 2);
    audit_close(a);
    char *text = audit_read(audit_path), *own = strstr(text, "{\"time\":\"2\n");
    ck_assert_ptr_nonnull(own);
    ck_assert_int_eq(audit_tally_text(strchr(own, '\n') + 1).seen, 2);
    free(text);
}
END_TEST

/* --- what cannot be opened -------------------------------------------------------------------- */

static const struct {
    const char *name;
    mode_t mode;
    err_t err;
    const char *text;
} bad_files[] = {
    {"group.log", 0620, ERR_IO, "chmod go-w"},
    {"all.log", 0602, ERR_IO, "chmod go-w"},
    {"link.log", 0, ERR_IO, "is a link"},
    {"folder", 0, ERR_IO, "cannot open"},
    {"none/audit.log", 0, ERR_IO, "No such file"},
    {"busy.log", 0600, ERR_LOCKED, "another program writes it"},
};

START_TEST(test_a_file_that_is_not_ours_alone_is_refused)
{
    struct why why = {.err = ERR_OK};
    struct audit *a = NULL, *other = NULL;
    temp_put(&audit_dir, "group.log", slice_str(""), 0620);
    temp_put(&audit_dir, "all.log", slice_str(""), 0602);
    temp_link(&audit_dir, "link.log", "/dev/null");
    temp_folder(&audit_dir, "folder");
    temp_path(&audit_dir, bad_files[_i].name, audit_path);
    struct audit_options opt = {.path = audit_path, .max_size = AUDIT_BIG, .keep = 1};
    if (bad_files[_i].err == ERR_LOCKED)
        ck_assert_int_eq(audit_open(&opt, &other, &why), ERR_OK);
    ck_assert_int_eq(audit_open(&opt, &a, &why), bad_files[_i].err);
    ck_assert_msg(strstr(why_text(&why), bad_files[_i].text) != NULL, "%s", why_text(&why));
    ck_assert_ptr_nonnull(strstr(why_text(&why), audit_path));
    audit_close(other);
}
END_TEST

START_TEST(test_opening_survives_lack_of_memory)
{
    struct audit_options opt = {.path = audit_path, .max_size = AUDIT_BIG, .keep = 1};
    for (long n = 0;; n++) {
        struct audit *a = NULL;
        struct why why = {.err = ERR_OK};
        mem_fail_after(n);
        err_t err = audit_open(&opt, &a, &why);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        audit_close(a);
        if (!failed)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("audit_file");
    TCase *t = tcase_create("audit_file");
    tcase_add_checked_fixture(t, audit_case_begin, audit_case_end);
    tcase_add_loop_test(t, test_files_are_as_full_as_their_size_allows, 0, 5);
    tcase_add_test(t, test_a_rotation_that_fails_loses_nothing_and_is_tried_again);
    tcase_add_test(t, test_a_file_renamed_by_others_is_opened_anew_when_asked);
    tcase_add_test(t, test_a_file_that_others_cut_is_filled_again);
    tcase_add_test(t, test_half_a_line_of_a_killed_program_spoils_no_other);
    tcase_add_loop_test(t, test_a_file_that_is_not_ours_alone_is_refused, 0,
                        (int)(sizeof bad_files / sizeof bad_files[0]));
    tcase_add_test(t, test_opening_survives_lack_of_memory);
    suite_add_tcase(s, t);
    return run_suite(s);
}
