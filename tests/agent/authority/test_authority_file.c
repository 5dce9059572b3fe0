/* The embedded authority's files: modes, restarts, damage, what belongs together. */
#include "agent/authority/authority_file.h"
#include "common/base/mem.h"
#include "tests/support/authority_case.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOW = 1800000000, DAY = 24 * 3600, HOUR = 3600 };

static struct authority_case c;

static void setup(void)
{
    authority_case_setup(&c);
}

static void teardown(void)
{
    authority_case_teardown(&c);
}

static void drop(const char *name)
{
    char path[128];
    authority_case_path(&c, name, path);
    unlink(path);
}

static void copy_bundle(struct buf *out)
{
    struct slice b = ca_bundle(c.ca);
    buf_init(out, 64 * 1024);
    ck_assert_int_eq(buf_append(out, b.data, b.len), ERR_OK);
}

START_TEST(test_a_restart_keeps_root_and_issuer)
{
    char before[AUTHORITY_TEXT_MAX], after[AUTHORITY_TEXT_MAX];
    struct buf bundle;
    authority_case_must_open(&c, NOW);
    copy_bundle(&bundle);
    authority_case_read(&c, "issuer", before);
    authority_case_reopen(&c, NOW + HOUR);
    ck_assert(slice_eq(ca_bundle(c.ca), buf_slice(&bundle)));
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, NOW + DAY);
    authority_case_read(&c, "issuer", after);
    ck_assert_str_eq(before, after);
    buf_done(&bundle);
}
END_TEST

START_TEST(test_files_are_for_their_owner_only)
{
    struct stat st;
    char path[128];
    umask(0);
    authority_case_must_open(&c, NOW);
    ck_assert_int_eq(stat(c.dir, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0700);
    static const char *const names[] = {"root", "issuer"};
    for (size_t i = 0; i < 2; i++) {
        authority_case_path(&c, names[i], path);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
    }
}
END_TEST

START_TEST(test_the_parent_must_be_there)
{
    char deep[128];
    snprintf(deep, sizeof deep, "%s/no/authority", c.base);
    ck_assert_int_eq(ca_open(deep, "example.org", DAY, &key_store_memory, NOW, &c.ca, &c.why),
                     ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), deep));
}
END_TEST

static const struct {
    const char *name;
    mode_t mode;
    bool is_refused;
} mode_cases[] = {
    {"root", 0640, true},
    {"root", 0604, true},
    {"issuer", 0644, true},
    {"issuer", 0400, false},
};

START_TEST(test_a_file_open_to_others_is_refused)
{
    char text[AUTHORITY_TEXT_MAX], path[128];
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    size_t len = authority_case_read(&c, mode_cases[_i].name, text);
    authority_case_write(&c, mode_cases[_i].name, text, len, mode_cases[_i].mode);
    err_t err = authority_case_open(&c, NOW);
    ck_assert_int_eq(err, mode_cases[_i].is_refused ? ERR_FILE_MODE : ERR_OK);
    authority_case_path(&c, mode_cases[_i].name, path);
    if (mode_cases[_i].is_refused)
        ck_assert_ptr_nonnull(strstr(why_text(&c.why), path));
}
END_TEST

START_TEST(test_a_folder_open_to_others_is_refused)
{
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    ck_assert_int_eq(chmod(c.dir, 0750), 0);
    ck_assert_int_eq(authority_case_open(&c, NOW), ERR_FILE_MODE);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "chmod 700"));
}
END_TEST

/* Its owner could read the key, or put in one that he knows. */
START_TEST(test_what_another_user_owns_is_refused)
{
    const char *const names[] = {"", "root", "issuer"};
    char path[128];
    if (geteuid() != 0)
        return; /* nobody else can give a file away */
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    authority_case_path(&c, names[_i], path);
    ck_assert_int_eq(chown(path, 12345, 12345), 0);
    ck_assert_int_eq(authority_case_open(&c, NOW), ERR_FILE_MODE);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "12345"));
    ck_assert_int_eq(chown(path, 0, 0), 0);
}
END_TEST

START_TEST(test_a_missing_issuer_is_made_anew)
{
    struct buf bundle;
    authority_case_must_open(&c, NOW);
    copy_bundle(&bundle);
    drop("issuer");
    authority_case_reopen(&c, NOW + HOUR);
    ck_assert(slice_eq(ca_bundle(c.ca), buf_slice(&bundle)));
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, NOW + HOUR + DAY);
    buf_done(&bundle);
}
END_TEST

START_TEST(test_a_missing_root_beside_an_issuer_is_an_error)
{
    char before[AUTHORITY_TEXT_MAX], after[AUTHORITY_TEXT_MAX];
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    authority_case_read(&c, "issuer", before);
    drop("root");
    ck_assert_int_eq(authority_case_open(&c, NOW), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "root is missing"));
    authority_case_read(&c, "issuer", after);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(test_a_root_of_another_trust_domain_is_an_error_naming_both)
{
    char before[AUTHORITY_TEXT_MAX], after[AUTHORITY_TEXT_MAX];
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    authority_case_read(&c, "root", before);
    ck_assert_int_eq(ca_open(c.dir, "other.test", DAY, &key_store_memory, NOW, &c.ca, &c.why),
                     ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "trust domain example.org"));
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "says other.test"));
    authority_case_read(&c, "root", after);
    ck_assert_str_eq(before, after);
}
END_TEST

START_TEST(test_an_issuer_of_another_root_is_an_error)
{
    char issuer[AUTHORITY_TEXT_MAX];
    authority_case_must_open(&c, NOW);
    size_t len = authority_case_read(&c, "issuer", issuer);
    authority_case_close(&c);
    authority_case_empty(&c);
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    authority_case_write(&c, "issuer", issuer, len, 0600);
    ck_assert_int_eq(authority_case_open(&c, NOW), ERR_CERT_SIGNATURE);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "was not signed by"));
}
END_TEST

START_TEST(test_swapped_files_are_an_error)
{
    char root[AUTHORITY_TEXT_MAX], issuer[AUTHORITY_TEXT_MAX];
    authority_case_must_open(&c, NOW);
    size_t root_len = authority_case_read(&c, "root", root),
           issuer_len = authority_case_read(&c, "issuer", issuer);
    authority_case_close(&c);
    authority_case_write(&c, "root", issuer, issuer_len, 0600);
    authority_case_write(&c, "issuer", root, root_len, 0600);
    ck_assert_int_ne(authority_case_open(&c, NOW), ERR_OK);
}
END_TEST

START_TEST(test_another_version_is_refused_and_left_alone)
{
    char before[AUTHORITY_TEXT_MAX], after[AUTHORITY_TEXT_MAX];
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    size_t len = authority_case_read(&c, "root", before);
    before[strlen("spindle-authority ")] = '2';
    authority_case_write(&c, "root", before, len, 0600);
    ck_assert_int_eq(authority_case_open(&c, NOW), ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "expected version 1, found \"2\""));
    authority_case_read(&c, "root", after);
    ck_assert_str_eq(before, after);
}
END_TEST

static const char *const parts[] = {"root", "issuer"};

/* A torn file: cut at every byte. Never silently replaced. */
START_TEST(test_a_file_cut_at_any_byte_is_an_error_and_left_alone)
{
    char whole[AUTHORITY_TEXT_MAX], after[AUTHORITY_TEXT_MAX], path[128];
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    authority_case_path(&c, parts[_i], path);
    size_t len = authority_case_read(&c, parts[_i], whole);
    for (size_t cut = 0; cut < len; cut++) {
        authority_case_write(&c, parts[_i], whole, cut, 0600);
        ck_assert_msg(authority_case_open(&c, NOW) == ERR_PARSE, "cut at %zu: %s", cut,
                      why_text(&c.why));
        ck_assert_ptr_nonnull(strstr(why_text(&c.why), path));
        ck_assert_ptr_nonnull(strstr(why_text(&c.why), "restore it from a backup"));
        ck_assert_uint_eq(authority_case_read(&c, parts[_i], after), cut);
    }
    authority_case_write(&c, parts[_i], whole, len, 0600);
    authority_case_must_open(&c, NOW);
}
END_TEST

START_TEST(test_a_file_with_one_byte_changed_is_an_error)
{
    char whole[AUTHORITY_TEXT_MAX];
    authority_case_must_open(&c, NOW);
    authority_case_close(&c);
    size_t len = authority_case_read(&c, parts[_i], whole);
    for (size_t at = 0; at < len; at++) {
        whole[at] ^= 1;
        struct authority_cert cert = {0};
        ck_assert_int_ne(
            authority_file_parse(slice_of(whole, len), &key_store_memory, &cert, &c.why), ERR_OK);
        ck_assert_ptr_null(cert.keys);
        whole[at] ^= 1;
    }
}
END_TEST

START_TEST(test_what_a_crash_left_of_a_write_is_in_nobodys_way)
{
    authority_case_must_open(&c, NOW);
    authority_case_write(&c, ".issuer.new", "torn", 4, 0644);
    bool renewed = false;
    ck_assert_int_eq(authority_case_tick(&c, NOW + DAY, &renewed), ERR_OK);
    ck_assert(renewed);
    authority_case_reopen(&c, NOW + DAY);
    ck_assert_int_eq(ca_times(c.ca).issuer_not_after, NOW + 2 * DAY);
}
END_TEST

START_TEST(test_failed_allocations_open_nothing_and_leak_nothing)
{
    err_t err;
    long n = 0;
    do {
        authority_case_empty(&c);
        mem_fail_after(n++);
        err = authority_case_open(&c, NOW);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(!failed || err != ERR_OK);
        if (err != ERR_OK) {
            ck_assert_ptr_null(c.ca);
            /* What is there, if anything, is whole. */
            ck_assert_msg(authority_case_open(&c, NOW) == ERR_OK, "after %ld: %s", n,
                          why_text(&c.why));
            authority_case_close(&c);
        }
    } while (err != ERR_OK);
    ck_assert_int_gt(n, 20);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("authority_file");
    TCase *t = tcase_create("authority_file");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_a_restart_keeps_root_and_issuer);
    tcase_add_test(t, test_files_are_for_their_owner_only);
    tcase_add_test(t, test_the_parent_must_be_there);
    tcase_add_loop_test(t, test_a_file_open_to_others_is_refused, 0, 4);
    tcase_add_test(t, test_a_folder_open_to_others_is_refused);
    tcase_add_loop_test(t, test_what_another_user_owns_is_refused, 0, 3);
    tcase_add_test(t, test_a_missing_issuer_is_made_anew);
    tcase_add_test(t, test_a_missing_root_beside_an_issuer_is_an_error);
    tcase_add_test(t, test_a_root_of_another_trust_domain_is_an_error_naming_both);
    tcase_add_test(t, test_an_issuer_of_another_root_is_an_error);
    tcase_add_test(t, test_swapped_files_are_an_error);
    tcase_add_test(t, test_another_version_is_refused_and_left_alone);
    tcase_add_loop_test(t, test_a_file_cut_at_any_byte_is_an_error_and_left_alone, 0, 2);
    tcase_add_loop_test(t, test_a_file_with_one_byte_changed_is_an_error, 0, 2);
    tcase_add_test(t, test_what_a_crash_left_of_a_write_is_in_nobodys_way);
    tcase_add_test(t, test_failed_allocations_open_nothing_and_leak_nothing);
    suite_add_tcase(s, t);
    return run_suite(s);
}
