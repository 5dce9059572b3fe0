/* Certificates and chains that a peer shows and nobody may accept, in real
 * handshakes: each is refused with its one reason, on both sides, and the
 * reason is ours. Beside them chains that are odd and good. */
#include "common/base/mem.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "tests/support/chain_case.h"
#include "tests/support/runner.h"
#include "tests/support/shake_case.h"

#include <stdio.h>

#define EXT(o, v)                                                                                  \
    {                                                                                              \
        .oid = BYTES(o), .value = BYTES(v)                                                         \
    }
#define EXT_CRITICAL(o, v)                                                                         \
    {                                                                                              \
        .oid = BYTES(o), .value = BYTES(v), .critical = true                                       \
    }
#define SHA1_RSA "\x30\x0d\x06\x09" OID_PKCS1 "\x05\x05\x00"

struct bad {
    const char *what;
    err_t want;
    const char *says;
    struct cert_knobs leaf, issuer;
    bool no_uri;
};

static const struct bad bad[] = {
    /* what is no certificate */
    {"a negative serial", ERR_CERT_MALFORMED, "serial", .leaf = {.serial = BYTES("\x80")}},
    {"a serial of 21 bytes", ERR_CERT_MALFORMED, "21 bytes; at most 20",
     .leaf = {.serial = BYTES("\x01"
                              "01234567890123456789")}},
    {"a serial that is padded", ERR_CERT_MALFORMED, "serial",
     .leaf = {.serial = BYTES("\x00\x01")}},
    {"extensions in v1", ERR_CERT_MALFORMED, "not v3", .leaf = {.version = 9}},
    {"v4", ERR_CERT_MALFORMED, "version", .leaf = {.version = 4}},
    {"two signature algorithms", ERR_CERT_MALFORMED, "inside and outside",
     .leaf = {.inner_algorithm = BYTES("\x30\x05\x06\x03\x2b\x65\x70")}},
    {"an extension twice", ERR_CERT_MALFORMED, "twice",
     .leaf = {.extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x00")}}},
    {"an extension that is cut", ERR_CERT_MALFORMED, "extension",
     .leaf = {.raw_extensions = BYTES("\x30\x05\x06\x02\x2a\x03\x04")}},
    {"bytes after the extensions", ERR_CERT_MALFORMED, "last field",
     .leaf = {.after_key = BYTES("\x04\x00")}},
    {"an empty extended key usage", ERR_CERT_MALFORMED, "extKeyUsage",
     .leaf = {.omit = CERT_OMIT_EXT_KEY_USAGE, .extra = {EXT(OID_EXT_KEY_USAGE, "\x30\x00")}}},
    {"a key usage of no byte", ERR_CERT_MALFORMED, "keyUsage",
     .leaf = {.omit = CERT_OMIT_KEY_USAGE, .extra = {EXT(OID_KEY_USAGE, "\x03\x00")}}},
    {"a cA flag that is neither", ERR_CERT_MALFORMED, "basicConstraints",
     .leaf = {.omit = CERT_OMIT_BASIC_CONSTRAINTS,
              .extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x03\x01\x01\x01")}}},
    {"an IP address of 5 bytes", ERR_CERT_MALFORMED, "subjectAltName",
     .leaf = {.names = {{DER_CONTEXT(7), BYTES("12345")}}}},
    {"a name that is none", ERR_CERT_MALFORMED, "subject name",
     .leaf = {.subject = BYTES("\x30\x02\x31\x00")}},
    {"a time without seconds", ERR_CERT_MALFORMED, "validity",
     .leaf = {.validity = BYTES("\x30\x1a\x17\x0b"
                                "2601010000Z"
                                "\x17\x0b"
                                "2701010000Z")}},
    {"the 30th of February", ERR_CERT_MALFORMED, "validity",
     .leaf = {.validity = BYTES("\x30\x1e\x17\x0d"
                                "260230000000Z"
                                "\x17\x0d"
                                "270101000000Z")}},
    {"a key that is no key", ERR_CERT_MALFORMED, "subjectPublicKeyInfo",
     .leaf = {.spki = BYTES("\x30\x00")}},
    {"an issuer's certificate that is malformed", ERR_CERT_MALFORMED, "certificate 2 of 2",
     .leaf = {.issuer = BYTES("\x30\x11\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06"
                              "issuer")},
     .issuer = {.serial = BYTES("\x80")}},
    /* the leaf */
    {"no SPIFFE ID", ERR_LEAF_NO_URI, "found none", .no_uri = true},
    {"two SPIFFE IDs", ERR_LEAF_URI_COUNT, "found 2", .leaf = {.names = {URI(WEB)}}},
    {"an ID that is none", ERR_LEAF_ID_INVALID, NULL, .leaf = {.uri = "spiffe://example.org//x"}},
    {"the ID of a trust domain", ERR_LEAF_ID_ROOT_PATH, NULL,
     .leaf = {.uri = "spiffe://example.org"}},
    {"an authority as a peer", ERR_LEAF_IS_CA, "cA=TRUE", .leaf = {.ca = true}},
    {"keyCertSign in a leaf", ERR_CERT_KEY_USAGE, "keyCertSign",
     .leaf = {.key_usage = X509_KU_DIGITAL_SIGNATURE | X509_KU_CERT_SIGN}},
    {"no digitalSignature", ERR_CERT_KEY_USAGE, "digitalSignature",
     .leaf = {.key_usage = X509_KU_KEY_AGREEMENT}},
    {"no key usage", ERR_CERT_KEY_USAGE, "missing", .leaf = {.omit = CERT_OMIT_KEY_USAGE}},
    {"a leaf for signing code", ERR_CERT_EXT_KEY_USAGE, "Auth",
     .leaf = {.ext_key_usage = X509_EKU_OTHER}},
    {"an unknown critical extension", ERR_CERT_UNKNOWN_CRITICAL, "1.2.3",
     .leaf = {.extra = {EXT_CRITICAL("\x2a\x03", "x")}}},
    {"a precertificate", ERR_CERT_UNKNOWN_CRITICAL, "1.3.6.1.4.1.11129.2.4.3",
     .leaf = {.extra = {EXT_CRITICAL("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03", "\x05\x00")}}},
    {"a trust domain that we do not know", ERR_TRUST_DOMAIN_UNKNOWN, "other.test",
     .leaf = {.uri = "spiffe://other.test/web"}},
    /* times */
    {"an expired leaf", ERR_CERT_EXPIRED, "our clock", .leaf = {.not_after = CERTS_NOW - 1}},
    {"a leaf that is not yet valid", ERR_CERT_NOT_YET_VALID, "our clock",
     .leaf = {.not_before = CERTS_NOW + 1}},
    {"an expired issuer", ERR_CERT_EXPIRED, "intermediate", .issuer = {.not_after = CERTS_NOW - 1}},
    /* authorities */
    {"an issuer that is none", ERR_CHAIN_ISSUER_NOT_CA, "cA",
     .issuer = {.omit = CERT_OMIT_BASIC_CONSTRAINTS}},
    {"an issuer that may not sign", ERR_CHAIN_ISSUER_NOT_CA, "keyCertSign",
     .issuer = {.key_usage = X509_KU_CRL_SIGN}},
    {"an issuer for signing code", ERR_CERT_EXT_KEY_USAGE, "intermediate",
     .issuer = {.ext_key_usage = X509_EKU_OTHER}},
    {"an issuer with an unknown critical extension", ERR_CERT_UNKNOWN_CRITICAL, "intermediate",
     .issuer = {.extra = {EXT_CRITICAL("\x2a\x03", "x")}}},
    {"a policy is wanted and not there", ERR_CERT_UNKNOWN_CRITICAL, "policyConstraints",
     .issuer = {.extra = {EXT_CRITICAL(OID_CE "\x24", "\x30\x03\x80\x01\x00")}}},
    {"a URI outside of the permitted", ERR_CERT_NAME_CONSTRAINTS, "not among",
     .issuer = {.subtrees = {{.base = URI("other.test")}}}},
    {"a DNS name that is excluded", ERR_CERT_NAME_CONSTRAINTS, "excluded",
     .leaf = {.names = {DNS("a.evil.test")}},
     .issuer = {.subtrees = {{.excluded = true, .base = DNS("evil.test")}}}},
    {"a name constraint of a kind that we do not read", ERR_CERT_NAME_CONSTRAINTS, "kind",
     .leaf = {.names = {{0x88, BYTES("\x2a\x03")}}},
     .issuer = {.subtrees = {{.base = {0x88, BYTES("\x2a\x03")}}}}},
    /* keys and signatures */
    {"a signature by another key", ERR_CERT_SIGNATURE, "certificate spiffe",
     .leaf = {.sign = CERT_OTHER_KEY}},
    {"a changed signature", ERR_CERT_SIGNATURE, "certificate spiffe",
     .leaf = {.sign = CERT_BROKEN}},
    {"a changed signature of the issuer", ERR_CERT_SIGNATURE, "intermediate",
     .issuer = {.sign = CERT_BROKEN}},
    {"RSA with SHA-1", ERR_CERT_ALGORITHM, "SHA-1",
     .leaf = {.algorithm = BYTES(SHA1_RSA), .inner_algorithm = BYTES(SHA1_RSA)}},
    {"an RSA signature by an EC key", ERR_CERT_SIGNATURE, "another kind",
     .leaf = {.algorithm = BYTES("\x30\x0d\x06\x09" OID_RSA_SHA256 "\x05\x00")}},
    {"an RSA key of 8 bits", ERR_CERT_ALGORITHM, "2048 to 4096",
     .leaf = {.spki = BYTES("\x30\x1b\x30\x0d\x06\x09" OID_RSA_KEY
                            "\x05\x00\x03\x0a\x00\x30\x07\x02\x02\x00\xff\x02\x01\x03")}},
    {"an Ed448 key", ERR_CERT_ALGORITHM, "not EC, RSA or Ed25519",
     .leaf = {.spki = BYTES("\x30\x0a\x30\x05\x06\x03\x2b\x65\x71\x03\x01\x00")}},
    {"a key on secp256k1", ERR_CERT_ALGORITHM, "curve",
     .leaf = {.spki = BYTES("\x30\x16\x30\x10\x06\x07" OID_EC_KEY
                            "\x06\x05\x2b\x81\x04\x00\x0a\x03\x02\x00\x04")}},
};

static struct cert *root, *issuer, *leaf;

static void start(void)
{
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, root);
    leaf = cert_make(&(struct cert_knobs){.uri = WEB}, issuer);
}

static void stop(void)
{
    cert_free(leaf);
    cert_free(issuer);
    cert_free(root);
}

/* As a peer on both sides, and never as our own. */
static void check_refused(const struct shake_chain *c, const char *what, err_t want,
                          const char *says)
{
    for (enum tls_side side = TLS_SERVER; side <= TLS_CLIENT; side++) {
        struct why why = {0};
        err_t err = shake_as_peer(side, c, &why);
        ck_assert_msg(err == want, "%s: %s: %s", what, err_name(err), why_text(&why));
        ck_assert_msg(says == NULL || strstr(why.text, says) != NULL, "%s: %s", what, why.text);
        ck_assert_msg(shake_as_own(side, c, &why) != ERR_OK, "%s is taken as our own", what);
    }
}

START_TEST(test_a_bad_certificate_is_refused_with_its_reason)
{
    const struct bad *b = &bad[_i];
    struct cert_knobs issuer_knobs = b->issuer, leaf_knobs = b->leaf;
    issuer_knobs.ca = (issuer_knobs.omit & CERT_OMIT_BASIC_CONSTRAINTS) == 0;
    issuer_knobs.cn = "issuer";
    if (leaf_knobs.uri == NULL && !b->no_uri)
        leaf_knobs.uri = WEB;
    struct cert *ca = cert_make(&issuer_knobs, root), *end = cert_make(&leaf_knobs, ca);
    struct shake_chain c = {.certs = {cert_der(end), cert_der(ca)},
                            .count = 2,
                            .key = key_pkcs8(end->key),
                            .roots = cert_der(root)};
    check_refused(&c, b->what, b->want, b->says);
    cert_free(end);
    cert_free(ca);
}
END_TEST

/* ---- chains ---- */

static struct shake_chain chain_of(const struct cert *const *certs, size_t count)
{
    struct shake_chain c = {
        .count = count, .key = key_pkcs8(certs[0]->key), .roots = cert_der(root)};
    for (size_t i = 0; i < count; i++)
        c.certs[i] = cert_der(certs[i]);
    return c;
}

static void check_accepted(const struct cert *const *certs, size_t count, const char *what)
{
    struct shake_chain c = chain_of(certs, count);
    for (enum tls_side side = TLS_SERVER; side <= TLS_CLIENT; side++) {
        struct why why = {0};
        err_t err = shake_as_own(side, &c, &why);
        ck_assert_msg(err == ERR_OK, "%s, own: %s: %s", what, err_name(err), why_text(&why));
        err = shake_as_peer(side, &c, &why);
        ck_assert_msg(err == ERR_OK, "%s, peer: %s: %s", what, err_name(err), why_text(&why));
    }
}

START_TEST(test_odd_chains_are_accepted)
{
    struct cert *stranger = cert_make(&(struct cert_knobs){.ca = true, .cn = "stranger"}, NULL);
    struct cert *twin = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, stranger);
    struct cert *middle = cert_make(&(struct cert_knobs){.ca = true, .cn = "middle"}, issuer);
    struct cert *low = cert_make(&(struct cert_knobs){.ca = true, .cn = "low"}, middle);
    struct cert *deep = cert_make(&(struct cert_knobs){.uri = WEB}, low);
    struct cert *direct = cert_make(&(struct cert_knobs){.uri = WEB}, root);
    struct cert *other_leaf = cert_make(&(struct cert_knobs){.uri = WEB}, stranger);
    const struct cert *rows[][8] = {
        {direct},
        {direct, root},
        {leaf, issuer, root},
        {leaf, root, issuer},
        {leaf, issuer, issuer},
        {leaf, leaf, issuer},
        {leaf, stranger, issuer},
        {leaf, issuer, other_leaf},
        {leaf, twin, issuer},
        {leaf, twin, stranger, issuer},
        {deep, low, middle, issuer},
        {deep, issuer, low, middle},
        {deep, middle, issuer, root, low},
        {deep, stranger, issuer, twin, low, root, middle, issuer},
    };
    size_t count = 0;
    while (count < 8 && rows[_i][count] != NULL)
        count++;
    char what[32];
    snprintf(what, sizeof what, "chain %d", _i);
    check_accepted(rows[_i], count, what);
    struct cert *all[] = {other_leaf, direct, deep, low, middle, twin, stranger};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cert_free(all[i]);
}
END_TEST

START_TEST(test_bad_chains_are_refused_with_their_reasons)
{
    struct cert *stranger = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *theirs = cert_make(&(struct cert_knobs){.uri = WEB}, stranger);
    const struct cert *alone[] = {leaf}, *twice[] = {leaf, leaf}, *foreign[] = {theirs, stranger};
    const struct cert *wrong_way[] = {issuer, leaf};
    const struct cert *nine[] = {leaf,   issuer, issuer, issuer, issuer,
                                 issuer, issuer, issuer, root};
    const struct cert *twelve[] = {leaf,   issuer, issuer, issuer, issuer, issuer,
                                   issuer, issuer, issuer, issuer, issuer, root};
    struct shake_chain c = chain_of(alone, 1);
    check_refused(&c, "without its issuer", ERR_CHAIN_INCOMPLETE, "CN=issuer");
    c = chain_of(twice, 2);
    check_refused(&c, "itself for an issuer", ERR_CHAIN_INCOMPLETE, "CN=issuer");
    c = chain_of(foreign, 2);
    check_refused(&c, "a root of our root's name", ERR_CERT_SIGNATURE, "CN=root");
    c = chain_of(wrong_way, 2);
    check_refused(&c, "the issuer first", ERR_LEAF_IS_CA, "cA=TRUE");
    c = chain_of(nine, 9);
    check_refused(&c, "nine certificates", ERR_CHAIN_TOO_LONG, "at most 8");
    c = chain_of(twelve, 12); /* more than wolfSSL counts */
    check_refused(&c, "twelve certificates", ERR_CHAIN_TOO_LONG, "at most 8");
    c = chain_of(alone, 1);
    c.certs[0].len -= 1;
    check_refused(&c, "a cut leaf", ERR_CERT_MALFORMED, "certificate 1 of 1");
    c.certs[0] = slice_of("\x30\x00", 2);
    check_refused(&c, "an empty SEQUENCE", ERR_CERT_MALFORMED, "certificate 1 of 1");
    cert_free(theirs);
    cert_free(stranger);
}
END_TEST

/* Our own limit of a certificate's size is told, and what is below it passes.
 */
START_TEST(test_a_certificate_is_bounded_at_64_kib_and_64_extensions)
{
    static uint8_t zeros[X509_DER_MAX];
    struct cert_knobs knobs = {.uri = WEB, .extra = {{.oid = BYTES("\x2a\x03")}}};
    knobs.extra[0].value = slice_of(zeros, 12000);
    struct cert *large = cert_make(&knobs, issuer);
    check_accepted((const struct cert *[]){large, issuer}, 2, "a certificate of 12 KB");
    cert_free(large);
    struct buf many;
    buf_init(&many, 4096);
    for (unsigned i = 0; i < 58; i++) {
        uint8_t one[] = {0x30, 0x06, 0x06, 0x02, 0x2a, (uint8_t)i, 0x04, 0x00};
        ck_assert_int_eq(buf_append(&many, one, sizeof one), ERR_OK);
    }
    knobs = (struct cert_knobs){.uri = WEB, .raw_extensions = buf_slice(&many)};
    struct cert *full = cert_make(&knobs, issuer);
    check_accepted((const struct cert *[]){full, issuer}, 2, "64 extensions");
    uint8_t last[] = {0x30, 0x06, 0x06, 0x02, 0x2a, 0x7f, 0x04, 0x00};
    ck_assert_int_eq(buf_append(&many, last, sizeof last), ERR_OK);
    knobs.raw_extensions = buf_slice(&many);
    struct cert *over = cert_make(&knobs, issuer);
    const struct cert *shown[] = {over, issuer};
    struct shake_chain c = chain_of(shown, 2);
    check_refused(&c, "65 extensions", ERR_CERT_MALFORMED, "64 that are accepted");
    cert_free(over);
    cert_free(full);
    buf_done(&many);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls_refusals");
    TCase *t = tcase_create("tls_refusals");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, test_a_bad_certificate_is_refused_with_its_reason, 0,
                        sizeof bad / sizeof bad[0]);
    tcase_add_loop_test(t, test_odd_chains_are_accepted, 0, 14);
    tcase_add_test(t, test_bad_chains_are_refused_with_their_reasons);
    tcase_add_test(t, test_a_certificate_is_bounded_at_64_kib_and_64_extensions);
    suite_add_tcase(s, t);
    return run_suite(s);
}
