/* An identity from files: which sets are taken, which are refused and with what words. */
#include "common/base/mem.h"
#include "sidecar/identity/identity_files.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"
#include "tests/support/temp_dir.h"

#include <stdio.h>

#define WEB "spiffe://example.org/web"

static struct temp_dir dir;
static struct cert *root, *issuer, *web, *other, *expired, *stranger_root, *stranger;
static char certificate[TEMP_PATH_MAX], key[TEMP_PATH_MAX], bundle[TEMP_PATH_MAX];
static struct identity_files files;

/* Two certificates may share a file: NULL for one only. */
static void put_certs(const char *name, const struct cert *first, const struct cert *second)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    cert_pem(first, &pem);
    if (second != NULL)
        cert_pem(second, &pem);
    temp_put(&dir, name, buf_slice(&pem), 0644);
    buf_done(&pem);
}

static void put_key(const struct cert *c, mode_t mode)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    cert_key_pem(c, &pem);
    temp_put(&dir, "tls.key", buf_slice(&pem), mode);
    buf_done(&pem);
}

static void setup(void)
{
    temp_dir_make(&dir);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, root);
    web = cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
    other = cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
    expired = cert_make(&(struct cert_knobs){.uri = WEB,
                                             .not_before = CERTS_NOW - 7200,
                                             .not_after = CERTS_NOW - 3600},
                        issuer);
    stranger_root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    stranger = cert_make(&(struct cert_knobs){.uri = WEB}, stranger_root);
    files =
        (struct identity_files){temp_path(&dir, "tls.crt", certificate),
                                temp_path(&dir, "tls.key", key), temp_path(&dir, "ca.crt", bundle)};
    put_certs("tls.crt", web, issuer);
    put_certs("ca.crt", root, NULL);
    put_key(web, 0600);
}

static void teardown(void)
{
    struct cert *all[] = {root, issuer, web, other, expired, stranger_root, stranger};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cert_free(all[i]);
    temp_dir_remove(&dir);
}

START_TEST(test_a_good_set_is_taken)
{
    struct identity *id = NULL;
    struct why why = {0};
    err_t err = identity_files_load(&files, CERTS_NOW, NULL, &id, &why);
    ck_assert_msg(err == ERR_OK, "%s", why.text);
    ck_assert(slice_eq_str(identity_id(id)->text, WEB));
    ck_assert(slice_eq(identity_leaf(id)->serial, web->x509.serial));
    ck_assert_uint_eq(identity_bundles(id)->count, 1);
    ck_assert_str_eq(identity_bundles(id)->items[0].trust_domain, "example.org");
    identity_unref(id);
}
END_TEST

START_TEST(test_blocks_that_nobody_reads_are_noted)
{
    struct identity *id = NULL;
    struct why why = {0};
    struct pem_unused unused = {0};
    struct buf pem;
    char want[4 * TEMP_PATH_MAX];
    buf_init(&pem, 1u << 20);
    ck_assert_int_eq(pem_write(&pem, "X509 CRL", slice_str("x")), ERR_OK);
    cert_pem(web, &pem);
    cert_pem(issuer, &pem);
    cert_key_pem(web, &pem);
    temp_put(&dir, "tls.crt", buf_slice(&pem), 0600);
    snprintf(want, sizeof want, "%s: X509 CRL, %s: PRIVATE KEY", files.certificate,
             files.certificate);
    ck_assert_int_eq(identity_files_load(&files, CERTS_NOW, &unused, &id, &why), ERR_OK);
    ck_assert_str_eq(unused.text, want);
    ck_assert_uint_eq(unused.count, 2);
    identity_unref(id);
    /* One file for certificate and key is no mistake. */
    unused = (struct pem_unused){0};
    files.key = files.certificate;
    ck_assert_int_eq(identity_files_load(&files, CERTS_NOW, &unused, &id, &why), ERR_OK);
    ck_assert_str_eq(unused.text, "");
    identity_unref(id);
    buf_wipe(&pem);
}
END_TEST

START_TEST(test_both_words_for_a_certificate_are_read)
{
    struct identity *id = NULL;
    struct why why = {0};
    struct buf pem;
    buf_init(&pem, 1u << 20);
    ck_assert_int_eq(pem_write(&pem, "X509 CERTIFICATE", root->x509.der), ERR_OK);
    temp_put(&dir, "ca.crt", buf_slice(&pem), 0644);
    ck_assert_int_eq(identity_files_load(&files, CERTS_NOW, NULL, &id, &why), ERR_OK);
    identity_unref(id);
    buf_done(&pem);
}
END_TEST

/* Roots of no use: a key that we do not know, and bytes that are no certificate. */
START_TEST(test_roots_of_no_use_leave_the_others_standing)
{
    static const struct cert_knobs ed448 = {
        .ca = true, .cn = "old", .spki = BYTES("\x30\x0a\x30\x05\x06\x03\x2b\x65\x71\x03\x01\x00")};
    struct identity *id = NULL;
    struct why why = {0};
    struct buf pem;
    struct cert *useless = cert_make(&ed448, NULL);
    buf_init(&pem, 1u << 20);
    cert_pem(useless, &pem);
    ck_assert_int_eq(pem_write(&pem, "CERTIFICATE", slice_str("no DER")), ERR_OK);
    temp_put(&dir, "ca.crt", buf_slice(&pem), 0644);
    err_t err = identity_files_load(&files, CERTS_NOW, NULL, &id, &why);
    ck_assert_int_eq(err, ERR_CERT_ALGORITHM); /* nothing is left */
    ck_assert_ptr_nonnull(strstr(why.text, "ca.crt"));
    ck_assert_ptr_nonnull(strstr(why.text, "root 1 of 2: \"CN=old\""));
    cert_pem(root, &pem);
    temp_put(&dir, "ca.crt", buf_slice(&pem), 0644);
    ck_assert_msg(identity_files_load(&files, CERTS_NOW, NULL, &id, &why) == ERR_OK, "%s",
                  why.text);
    const struct bundle *b = &identity_bundles(id)->items[0];
    ck_assert_uint_eq(b->root_count, 1);
    ck_assert_uint_eq(b->skip_count, 2);
    ck_assert_ptr_nonnull(strstr(b->skips[1].text, "root 2 of 3"));
    identity_unref(id);
    buf_done(&pem);
    cert_free(useless);
}
END_TEST

static void no_certificate(void)
{
    files.certificate = "/nonexistent/tls.crt";
}
static void empty_certificate(void)
{
    temp_put(&dir, "tls.crt", slice_of(NULL, 0), 0644);
}
static void key_as_certificate(void)
{
    files.certificate = files.key;
}
static void broken_pem(void)
{
    temp_put(&dir, "tls.crt", slice_str("-----BEGIN CERTIFICATE-----\n!!!\n"), 0644);
}
static void folder_as_bundle(void)
{
    files.bundle = dir.path;
}
static void key_of_another(void)
{
    put_key(other, 0600);
}
static void key_open_to_the_group(void)
{
    put_key(web, 0640);
}
static void leaf_of_another_root(void)
{
    put_certs("tls.crt", stranger, NULL);
    put_key(stranger, 0600);
}
static void bundle_of_another_root(void)
{
    put_certs("ca.crt", stranger_root, NULL);
}
static void issuer_is_missing(void)
{
    put_certs("tls.crt", web, NULL);
}
static void expired_leaf(void)
{
    put_certs("tls.crt", expired, issuer);
    put_key(expired, 0600);
}
static void authority_as_leaf(void)
{
    put_certs("tls.crt", root, NULL);
    put_key(root, 0600);
}

static const struct {
    void (*spoil)(void);
    err_t err;
    const char *text; /* a word of the message, which names a file */
} bad[] = {
    {no_certificate, ERR_IO, "/nonexistent/tls.crt"},
    {empty_certificate, ERR_PARSE, "tls.crt: no \"BEGIN CERTIFICATE\""},
    {key_as_certificate, ERR_PARSE, "tls.key: no \"BEGIN CERTIFICATE\""},
    {broken_pem, ERR_PARSE, "tls.crt"},
    {folder_as_bundle, ERR_IO, "directory"},
    {key_of_another, ERR_KEY_MISMATCH, "tls.key"},
    {key_open_to_the_group, ERR_FILE_MODE, "tls.key"},
    {leaf_of_another_root, ERR_CERT_SIGNATURE, "ca.crt"},
    {bundle_of_another_root, ERR_CERT_SIGNATURE, "ca.crt"},
    {issuer_is_missing, ERR_CHAIN_INCOMPLETE, "ca.crt"},
    {expired_leaf, ERR_CERT_EXPIRED, "tls.crt"},
    {authority_as_leaf, ERR_LEAF_NO_URI, "tls.crt"},
};

START_TEST(test_a_bad_set_is_refused_and_the_file_named)
{
    struct identity *id = NULL;
    struct why why = {0};
    bad[_i].spoil();
    err_t err = identity_files_load(&files, CERTS_NOW, NULL, &id, &why);
    ck_assert_msg(err == bad[_i].err, "case %d: %s, %s", _i, err_name(err), why.text);
    ck_assert_msg(strstr(why.text, bad[_i].text) != NULL, "%s", why.text);
    ck_assert_ptr_null(id);
}
END_TEST

START_TEST(test_every_failed_allocation_is_an_error)
{
    for (long n = 0;; n++) {
        struct identity *id = NULL;
        mem_fail_after(n);
        err_t err = identity_files_load(&files, CERTS_NOW, NULL, &id, NULL);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        identity_unref(id);
        ck_assert(failed ? err != ERR_OK : err == ERR_OK);
        if (!failed)
            break;
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("identity_files");
    TCase *t = tcase_create("identity_files");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_good_set_is_taken);
    tcase_add_test(t, test_blocks_that_nobody_reads_are_noted);
    tcase_add_test(t, test_both_words_for_a_certificate_are_read);
    tcase_add_test(t, test_roots_of_no_use_leave_the_others_standing);
    tcase_add_loop_test(t, test_a_bad_set_is_refused_and_the_file_named, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}
