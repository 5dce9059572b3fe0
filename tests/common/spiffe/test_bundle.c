/* Roots that are odd and roots that are of no use: what of a root matters, and that the others
 * stand. */
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/spiffe/bundle.h"
#include "common/spiffe/svid_verify.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

static struct why why;
static struct bundle_set bundles;
static struct cert *root, *issuer;

static void start(void)
{
    why = (struct why){0};
    bundle_set_init(&bundles);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, root);
}

static void stop(void)
{
    bundle_set_done(&bundles);
    cert_free(issuer);
    cert_free(root);
}

#define ODD_EXTENSION(o, v)                                                                        \
    {                                                                                              \
        {                                                                                          \
            .oid = BYTES(o), .value = BYTES(v), .critical = true                                   \
        }                                                                                          \
    }

/* Of a root count subject, key, times and name constraints; all of these are roots. */
static const struct {
    const char *what;
    struct cert_knobs knobs;
} odd_roots[] = {
    {"v1", {.cn = "r", .version = 9, .omit = 31}},
    {"extensions in v1", {.cn = "r", .version = 9}},
    {"no basicConstraints", {.cn = "r", .omit = CERT_OMIT_BASIC_CONSTRAINTS}},
    {"cA=FALSE", {.cn = "r"}},
    {"no key usage", {.ca = true, .cn = "r", .omit = CERT_OMIT_KEY_USAGE}},
    {"a key usage that is none",
     {.ca = true,
      .cn = "r",
      .omit = CERT_OMIT_KEY_USAGE,
      .extra = ODD_EXTENSION(OID_KEY_USAGE, "\x03\x02\x07\xff")}},
    {"a key usage for nothing here", {.ca = true, .cn = "r", .key_usage = X509_KU_KEY_AGREEMENT}},
    {"an extended key usage", {.ca = true, .cn = "r", .ext_key_usage = X509_EKU_OTHER}},
    {"no key ids", {.ca = true, .cn = "r", .omit = CERT_OMIT_KEY_IDS}},
    {"an unknown critical extension",
     {.ca = true, .cn = "r", .extra = ODD_EXTENSION("\x2a\x03", "x")}},
    {"critical policy constraints",
     {.ca = true, .cn = "r", .extra = ODD_EXTENSION(OID_CE "\x24", "\x30\x03\x80\x01\x00")}},
    {"an extension twice",
     {.ca = true, .cn = "r", .extra = ODD_EXTENSION(OID_BASIC_CONSTRAINTS, "\x30\x00")}},
    {"a negative serial", {.ca = true, .cn = "r", .serial = BYTES("\x80")}},
    {"serial 0", {.ca = true, .cn = "r", .serial = BYTES("\x00")}},
    {"a serial of 24 bytes", {.ca = true, .cn = "r", .serial = BYTES("xxxxxxxxxxxxxxxxxxxxxxxx")}},
    {"two signature algorithms",
     {.ca = true, .cn = "r", .inner_algorithm = BYTES("\x30\x05\x06\x03\x2b\x65\x70")}},
    {"SHA-1 over itself",
     {.ca = true, .cn = "r", .algorithm = BYTES("\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01")}},
    {"a broken signature", {.ca = true, .cn = "r", .sign = CERT_BROKEN}},
    {"a path length of 0", {.ca = true, .cn = "r", .path_len = 1}},
    {"a SAN that is none",
     {.ca = true, .cn = "r", .extra = ODD_EXTENSION(OID_SUBJECT_ALT_NAME, "\x30\x00")}},
    {"an issuer of another name", {.ca = true, .cn = "r", .issuer = BYTES("\x30\x00")}},
};

START_TEST(test_an_odd_root_is_a_root)
{
    struct cert *odd = cert_make(&odd_roots[_i].knobs, NULL);
    struct slice domain = slice_str("odd.test");
    err_t err = bundle_set_put(&bundles, domain, cert_der(odd), &why);
    ck_assert_msg(err == ERR_OK, "%s: %s", odd_roots[_i].what, why_text(&why));
    const struct bundle *b = bundle_set_find(&bundles, domain);
    ck_assert_uint_eq(b->root_count, 1);
    ck_assert_uint_eq(b->skip_count, 0);
    odd->x509.subject = b->roots[0].subject; /* of one that x509_parse refuses too */
    struct cert *leaf = cert_make(&(struct cert_knobs){.uri = "spiffe://odd.test/web"}, odd);
    struct slice chain = cert_der(leaf);
    struct svid_verify_options opt = {
        .bundles = &bundles, .peer_role = SVID_ROLE_CLIENT, .now = CERTS_NOW};
    struct svid_peer peer;
    err = svid_verify(&chain, 1, &opt, &peer, &why);
    ck_assert_msg(err == ERR_OK, "%s: %s", odd_roots[_i].what, why_text(&why));
    cert_free(leaf);
    cert_free(odd);
}
END_TEST

/* What we cannot use as a root, and a word of the reason. */
static const struct {
    const char *says;
    struct cert_knobs knobs;
} useless_roots[] = {
    {"RSA key of 8 bits; 2048 to 4096",
     {.ca = true,
      .cn = "old",
      .spki = BYTES("\x30\x1b\x30\x0d\x06\x09" OID_RSA_KEY
                    "\x05\x00\x03\x0a\x00\x30\x07\x02\x02\x00\xff\x02\x01\x03")}},
    {"not EC, RSA or Ed25519", /* Ed448 */
     {.ca = true, .cn = "old", .spki = BYTES("\x30\x0a\x30\x05\x06\x03\x2b\x65\x71\x03\x01\x00")}},
    {"curve", /* secp256k1 */
     {.ca = true,
      .cn = "old",
      .spki = BYTES("\x30\x16\x30\x10\x06\x07" OID_EC_KEY
                    "\x06\x05\x2b\x81\x04\x00\x0a\x03\x02\x00\x04")}},
    {"nameConstraints",
     {.ca = true, .cn = "old", .extra = ODD_EXTENSION(OID_NAME_CONSTRAINTS, "\x30\x00")}},
    {"nameConstraints is there twice",
     {.ca = true,
      .cn = "old",
      .subtrees = {{.base = {DER_CONTEXT(2), BYTES("a.test")}}},
      .extra = ODD_EXTENSION(OID_NAME_CONSTRAINTS, "\x30\x06\xa0\x04\x30\x02\x82\x00")}},
    {"validity",
     {.ca = true,
      .cn = "old",
      .validity = BYTES("\x30\x1a\x17\x0b"
                        "2601010000Z"
                        "\x17\x0b"
                        "2701010000Z")}},
    {"subject name", {.ca = true, .subject = BYTES("\x30\x02\x31\x00")}},
};

START_TEST(test_a_root_that_cannot_be_used_leaves_the_others_standing)
{
    struct cert *bad = cert_make(&useless_roots[_i].knobs, NULL);
    struct slice domain = slice_str("odd.test");
    struct buf three;
    buf_init(&three, 1 << 20);
    ck_assert_int_eq(buf_append(&three, root->der.data, root->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(&three, bad->der.data, bad->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(&three, issuer->der.data, issuer->der.len), ERR_OK);
    ck_assert_msg(bundle_set_put(&bundles, domain, buf_slice(&three), &why) == ERR_OK, "%s",
                  why_text(&why));
    const struct bundle *b = bundle_set_find(&bundles, domain);
    ck_assert_uint_eq(b->root_count, 2);
    ck_assert_uint_eq(b->skip_count, 1);
    ck_assert(slice_eq(b->roots[0].der, cert_der(root)));
    ck_assert(slice_eq(b->roots[1].der, cert_der(issuer)));
    ck_assert(bundle_has_key(b, b->key_ids[1]));
    ck_assert_ptr_nonnull(strstr(b->skips[0].text, "root 2 of 3"));
    ck_assert_msg(strstr(b->skips[0].text, useless_roots[_i].says) != NULL, "%s", b->skips[0].text);
    /* alone it is no bundle; of another trust domain it is one that trusts nobody */
    ck_assert_int_ne(bundle_set_put(&bundles, domain, cert_der(bad), &why), ERR_OK);
    ck_assert_ptr_nonnull(strstr(why.text, useless_roots[_i].says));
    ck_assert_uint_eq(bundle_set_find(&bundles, domain)->root_count, 2);
    ck_assert_int_eq(bundle_set_put_foreign(&bundles, domain, cert_der(bad), &why), ERR_OK);
    ck_assert_uint_eq(bundle_set_find(&bundles, domain)->root_count, 0);
    ck_assert_uint_eq(bundle_set_find(&bundles, domain)->skip_count, 1);
    struct bundle_set copy;
    ck_assert_int_eq(bundle_set_copy(&bundles, &copy), ERR_OK);
    ck_assert_uint_eq(bundle_set_find(&copy, domain)->skip_count, 1);
    bundle_set_done(&copy);
    buf_done(&three);
    cert_free(bad);
}
END_TEST

START_TEST(test_of_many_useless_roots_the_first_reasons_are_kept)
{
    struct cert *bad = cert_make(&useless_roots[0].knobs, NULL);
    struct slice domain = slice_str("odd.test");
    struct buf many;
    buf_init(&many, 1 << 20);
    for (size_t i = 0; i < BUNDLE_SKIPS_KEPT + 3; i++)
        ck_assert_int_eq(buf_append(&many, bad->der.data, bad->der.len), ERR_OK);
    ck_assert_int_eq(bundle_set_put(&bundles, domain, buf_slice(&many), &why), ERR_CERT_ALGORITHM);
    ck_assert_ptr_nonnull(strstr(why.text, "no other root"));
    ck_assert_int_eq(buf_append(&many, root->der.data, root->der.len), ERR_OK);
    ck_assert_int_eq(bundle_set_put(&bundles, domain, buf_slice(&many), &why), ERR_OK);
    const struct bundle *b = bundle_set_find(&bundles, domain);
    ck_assert_uint_eq(b->root_count, 1);
    ck_assert_uint_eq(b->skip_count, BUNDLE_SKIPS_KEPT + 3);
    buf_done(&many);
    cert_free(bad);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bundle");
    TCase *t = tcase_create("bundle");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, test_an_odd_root_is_a_root, 0, sizeof odd_roots / sizeof odd_roots[0]);
    tcase_add_loop_test(t, test_a_root_that_cannot_be_used_leaves_the_others_standing, 0,
                        sizeof useless_roots / sizeof useless_roots[0]);
    tcase_add_test(t, test_of_many_useless_roots_the_first_reasons_are_kept);
    suite_add_tcase(s, t);
    return run_suite(s);
}
