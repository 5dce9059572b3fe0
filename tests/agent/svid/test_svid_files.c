/* SVIDs as files: names, modes, contents, replacement. WA-11, WA-12 */
#include "agent/svid/svid_files.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"
#include "tests/support/workload_answer.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WEB "spiffe://example.org/web"
#define DB "spiffe://example.org/db"

static struct temp_dir dir;
static struct cert *root, *web, *db, *partner, *other;
static struct workload_svids svids;

static void setup(void)
{
    temp_dir_make(&dir);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    partner = cert_make(&(struct cert_knobs){.ca = true, .cn = "partner"}, NULL);
    other = cert_make(&(struct cert_knobs){.ca = true, .cn = "other"}, NULL);
    web = cert_make(&(struct cert_knobs){.uri = WEB}, root);
    db = cert_make(&(struct cert_knobs){.uri = DB}, root);
    struct answer a = {.svids = {answer_svid_of(WEB, web, root), answer_svid_of(DB, db, root)},
                       .bundles = {{"spiffe://partner.test", cert_der(partner)},
                                   {"spiffe://other.test", cert_der(other)}}};
    struct buf bytes;
    buf_init(&bytes, 1u << 20);
    answer_put_svids(&a, &bytes);
    ck_assert_int_eq(workload_svids_decode(buf_slice(&bytes), &svids, NULL), ERR_OK);
    buf_done(&bytes);
}

static void teardown(void)
{
    workload_svids_done(&svids);
    struct cert *all[] = {db, web, other, partner, root};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cert_free(all[i]);
    temp_dir_remove(&dir);
}

static void expect_file(const char *name, mode_t mode, struct slice content)
{
    char path[TEMP_PATH_MAX], text[8192];
    struct stat st;
    ck_assert_msg(stat(temp_path(&dir, name, path), &st) == 0, "%s is not there", name);
    ck_assert_msg((st.st_mode & 07777) == mode, "%s has mode %o", name, st.st_mode);
    FILE *file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    ck_assert_msg(slice_eq(slice_of(text, len), content), "%s: %.*s", name, (int)len, text);
}

static void expect_certificate(const char *name, const struct cert *c)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    cert_pem(c, &pem);
    expect_file(name, 0644, buf_slice(&pem));
    buf_done(&pem);
}

static void expect_key(const char *name, const struct cert *c)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    cert_key_pem(c, &pem);
    expect_file(name, 0600, buf_slice(&pem));
    buf_done(&pem);
}

START_TEST(test_each_part_has_its_file_and_mode)
{
    char path[TEMP_PATH_MAX];
    struct stat st;
    temp_path(&dir, "out", path);
    ck_assert_int_eq(svid_files_write(path, &svids, NULL), ERR_OK);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0700);
    expect_certificate("out/svid.0.pem", web);
    expect_key("out/svid.0.key", web);
    expect_certificate("out/bundle.0.pem", root);
    expect_certificate("out/federated_bundle.0.0.pem", other); /* by trust domain */
    expect_certificate("out/federated_bundle.0.1.pem", partner);
    expect_certificate("out/svid.1.pem", db);
    expect_key("out/svid.1.key", db);
    expect_certificate("out/federated_bundle.1.1.pem", partner);
}
END_TEST

START_TEST(test_what_was_there_is_replaced_not_written_into)
{
    char path[TEMP_PATH_MAX], target[TEMP_PATH_MAX], link_path[TEMP_PATH_MAX];
    temp_put(&dir, "svid.0.key", slice_str("old"), 0644);
    temp_put(&dir, "target", slice_str("mine"), 0644);
    temp_path(&dir, "target", target);
    temp_path(&dir, "bundle.0.pem", link_path);
    ck_assert_int_eq(symlink(target, link_path), 0);
    snprintf(path, sizeof path, "%s", dir.path);
    ck_assert_int_eq(svid_files_write(path, &svids, NULL), ERR_OK);
    expect_key("svid.0.key", web);
    expect_certificate("bundle.0.pem", root);
    expect_file("target", 0644, slice_str("mine"));
}
END_TEST

START_TEST(test_a_folder_that_cannot_be_made_is_named)
{
    struct why why = {0};
    ck_assert_int_eq(svid_files_write("/nonexistent/out", &svids, &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why.text, "/nonexistent/out"));
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    for (long n = 0;; n++) {
        mem_fail_after(n);
        err_t err = svid_files_write(dir.path, &svids, NULL);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
        if (!failed)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("svid_files");
    TCase *t = tcase_create("svid_files");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_each_part_has_its_file_and_mode);
    tcase_add_test(t, test_what_was_there_is_replaced_not_written_into);
    tcase_add_test(t, test_a_folder_that_cannot_be_made_is_named);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}
