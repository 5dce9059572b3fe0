/* Certificates: what the builder writes, the parser reads; what is malformed is refused. */
#include "common/base/mem.h"
#include "common/crypto/key_store.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/x509/sigverify.h"
#include "common/x509/x509_build.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <stdio.h>

#define EXTENSIONS_MAX 64 /* of x509_parse.c; the maker writes five of its own */

static struct key *key;
static struct buf out, name;
static struct why why;

static void start(void)
{
    buf_init(&out, 1 << 20);
    buf_init(&name, 1024);
    why = (struct why){0};
    ck_assert_int_eq(key_generate(KEY_EC_P256, &key, &why), ERR_OK);
    ck_assert_int_eq(x509_build_name(&name, "US", "Spindle",
                                     "w\xc3\xbc"
                                     "b"),
                     ERR_OK);
}

static void stop(void)
{
    key_free(key);
    key = NULL;
    buf_done(&out);
    buf_done(&name);
}

static struct x509_template leaf_template(void)
{
    static const struct slice uri = {(const uint8_t *)"spiffe://example.org/web", 24};
    static const struct slice dns[2] = {{(const uint8_t *)"web.example", 11},
                                        {(const uint8_t *)"web", 3}};
    return (struct x509_template){
        .serial = OID("\x12\x34\x56"),
        .issuer = buf_slice(&name),
        .subject = OID("\x30\x00"),
        .not_before = CERTS_NOW,
        .not_after = CERTS_NOW + 3600,
        .spki = key_spki(key),
        .path_len = -1,
        .key_usage = X509_KU_DIGITAL_SIGNATURE,
        .ext_key_usage = X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH,
        .uris = &uri,
        .uri_count = 1,
        .dns_names = dns,
        .dns_count = 2,
        .subject_key_id = OID("subject"),
        .authority_key_id = OID("authority"),
    };
}

/* X5-1 X5-3 X5-4 X5-5 X5-6 X5-8 */
START_TEST(test_a_leaf_that_was_built_says_what_its_template_said)
{
    struct x509_template t = leaf_template();
    struct signer signer = signer_of_key(key);
    ck_assert_int_eq(x509_build(&t, &signer, &out, &why), ERR_OK);
    struct x509 c;
    ck_assert_msg(x509_parse(buf_slice(&out), &c, &why) == ERR_OK, "%s", why.text);
    ck_assert(slice_eq(c.serial, t.serial));
    ck_assert(slice_eq(c.issuer, t.issuer) && slice_eq(c.subject, t.subject));
    ck_assert_int_eq(c.not_before, t.not_before);
    ck_assert_int_eq(c.not_after, t.not_after);
    ck_assert(slice_eq(c.spki, t.spki));
    ck_assert(c.has_basic_constraints && !c.is_ca && !c.has_path_len);
    ck_assert(c.has_key_usage && c.key_usage_critical);
    ck_assert_uint_eq(c.key_usage, t.key_usage);
    ck_assert_uint_eq(c.ext_key_usage, t.ext_key_usage);
    ck_assert(c.has_san && c.san_critical);
    ck_assert_uint_eq(c.uri_count, 1);
    ck_assert(slice_eq(c.uri[0], t.uris[0]));
    ck_assert(slice_eq_str(c.subject_key_id, "subject"));
    ck_assert(slice_eq_str(c.authority_key_id, "authority"));
    ck_assert(!c.has_unknown_critical);
    ck_assert_int_eq(x509_check_signature(&c, key_spki(key), &why), ERR_OK);
}
END_TEST

/* X5-4 X5-7 */
START_TEST(test_an_authority_that_was_built_says_what_its_template_said)
{
    struct x509_template t = leaf_template();
    t.subject = t.issuer;
    t.is_ca = true;
    t.path_len = 1;
    t.key_usage = X509_KU_CERT_SIGN | X509_KU_CRL_SIGN | X509_KU_DECIPHER_ONLY;
    t.ext_key_usage = 0;
    struct signer signer = signer_of_key(key);
    ck_assert_int_eq(x509_build(&t, &signer, &out, &why), ERR_OK);
    struct x509 c;
    ck_assert_msg(x509_parse(buf_slice(&out), &c, &why) == ERR_OK, "%s", why.text);
    ck_assert(c.is_ca && c.has_path_len && c.path_len == 1);
    ck_assert_uint_eq(c.key_usage, t.key_usage);
    ck_assert(!c.has_ext_key_usage);
    ck_assert(!c.san_critical);
}
END_TEST

START_TEST(test_a_template_nobody_could_accept_is_refused)
{
    struct x509_template t = leaf_template();
    switch (_i) {
    case 0:
        t.serial = OID("");
        break;
    case 1:
        t.serial = OID("\x00\x01");
        break;
    case 2:
        t.serial = OID("\x80xxxxxxxxxxxxxxxxxxx");
        break;
    case 3:
        t.not_after = t.not_before - 1;
        break;
    case 4:
        t.key_usage = 0;
        break;
    case 5:
        t.is_ca = true;
        break;
    default:
        t.issuer = OID("");
        break;
    }
    struct signer signer = signer_of_key(key);
    ck_assert_int_eq(x509_build(&t, &signer, &out, &why), ERR_INTERNAL);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(test_building_survives_every_failed_allocation)
{
    struct x509_template t = leaf_template();
    struct signer signer = signer_of_key(key);
    err_t err = ERR_NO_MEMORY;
    for (long n = 0; err != ERR_OK; n++) {
        buf_done(&out);
        mem_fail_after(n);
        err = x509_build(&t, &signer, &out, &why);
        ck_assert(err == ERR_OK ? !mem_did_fail() : err == ERR_NO_MEMORY);
        mem_fail_after(-1);
        ck_assert(err == ERR_OK || out.len == 0);
    }
}
END_TEST

START_TEST(test_names_are_shown_on_one_safe_line)
{
    char text[128];
    ck_assert_str_eq(x509_name_text(buf_slice(&name), text, sizeof text),
                     "C=US,O=Spindle,CN=w\\c3\\bcb");
    ck_assert_str_eq(x509_name_text(buf_slice(&name), text, 7), "C=US,O");
    ck_assert_str_eq(x509_name_text(OID("\x30\x00"), text, sizeof text), "(empty name)");
    ck_assert_str_eq(x509_serial_text(OID("\x01\xfe"), text, sizeof text), "01fe");
}
END_TEST

START_TEST(test_a_description_names_id_serial_and_times)
{
    struct cert *c = cert_make(
        &(struct cert_knobs){.uri = "spiffe://example.org/web", .serial = OID("\x1f\x2e")}, NULL);
    char text[256];
    ck_assert_str_eq(x509_describe(&c->x509, text, sizeof text),
                     "spiffe://example.org/web, serial 1f2e, valid 2026-09-21T14:13:10Z to "
                     "2026-09-21T15:13:20Z");
    ck_assert_uint_eq(strlen(x509_describe(&c->x509, text, 20)), 19);
    cert_free(c);
}
END_TEST

#define EXT(o, v)                                                                                  \
    {                                                                                              \
        .oid = BYTES(o), .value = BYTES(v)                                                         \
    }

static const struct {
    const char *what;
    struct cert_knobs knobs;
} malformed[] = {
    {"negative serial", {.serial = BYTES("\x80")}},
    {"padded serial", {.serial = BYTES("\x00\x01")}},
    {"serial of 21 bytes",
     {.serial = BYTES("\x01"
                      "xxxxxxxxxxxxxxxxxxxx")}},
    {"extensions in v1", {.version = 9}},
    {"extensions in v2", {.version = 2}},
    {"version 4", {.version = 4}},
    {"explicit v1", {.version = 1}},
    {"unique identifiers in v1", {.version = 9, .omit = 31, .after_key = BYTES("\x81\x02\x00x")}},
    {"bytes after the key", {.after_key = BYTES("\x04\x00")}},
    {"other algorithm inside", {.inner_algorithm = BYTES("\x30\x05\x06\x03\x2b\x65\x70")}},
    {"basicConstraints twice", {.extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x00")}}},
    {"an unknown extension twice", {.extra = {EXT("\x2a\x03", "x"), EXT("\x2a\x03", "y")}}},
    {"a known extension twice, not critical",
     {.uri = "a:b", .extra = {EXT(OID_SUBJECT_ALT_NAME, "\x30\x02\x82\x00")}}},
    {"time without seconds",
     {.validity = BYTES("\x30\x1a\x17\x0b"
                        "2601010000Z"
                        "\x17\x0b"
                        "2701010000Z")}},
    {"one time",
     {.validity = BYTES("\x30\x0f\x17\x0d"
                        "260101000000Z")}},
    {"empty SAN", {.omit = CERT_OMIT_SAN, .extra = {EXT(OID_SUBJECT_ALT_NAME, "\x30\x00")}}},
    {"SAN with a strange tag", {.names = {{0x89, BYTES("x")}}}},
    {"SAN with a constructed URI", {.names = {{0xa6, BYTES("x")}}}},
    {"SAN with an IP of 5 bytes", {.names = {{DER_CONTEXT(7), BYTES("12345")}}}},
    {"SAN with bytes after it",
     {.omit = CERT_OMIT_SAN, .extra = {EXT(OID_SUBJECT_ALT_NAME, "\x30\x03\x86\x01x!")}}},
    {"SAN in BER",
     {.omit = CERT_OMIT_SAN, .extra = {EXT(OID_SUBJECT_ALT_NAME, "\x30\x81\x03\x86\x01x")}}},
    {"SAN of indefinite length",
     {.omit = CERT_OMIT_SAN, .extra = {EXT(OID_SUBJECT_ALT_NAME, "\x30\x80\x86\x01x\x00\x00")}}},
    {"key usage with used unused bits",
     {.omit = CERT_OMIT_KEY_USAGE, .extra = {EXT(OID_KEY_USAGE, "\x03\x02\x07\xff")}}},
    {"key usage without a byte",
     {.omit = CERT_OMIT_KEY_USAGE, .extra = {EXT(OID_KEY_USAGE, "\x03\x00")}}},
    {"key usage that is no bit string",
     {.omit = CERT_OMIT_KEY_USAGE, .extra = {EXT(OID_KEY_USAGE, "\x04\x02\x07\x80")}}},
    {"empty extended key usage",
     {.omit = CERT_OMIT_EXT_KEY_USAGE, .extra = {EXT(OID_EXT_KEY_USAGE, "\x30\x00")}}},
    {"CA flag that is neither",
     {.omit = CERT_OMIT_BASIC_CONSTRAINTS,
      .extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x03\x01\x01\x01")}}},
    {"negative path length",
     {.ca = true,
      .omit = CERT_OMIT_BASIC_CONSTRAINTS,
      .extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x06\x01\x01\xff\x02\x01\xff")}}},
    {"empty policy constraints", {.extra = {EXT(OID_CE "\x24", "\x30\x00")}}},
    {"negative policy constraints", {.extra = {EXT(OID_CE "\x24", "\x30\x03\x80\x01\xff")}}},
    {"inhibitAnyPolicy that is no number", {.extra = {EXT(OID_CE "\x36", "\x30\x00")}}},
    {"empty name constraints", {.extra = {EXT(OID_NAME_CONSTRAINTS, "\x30\x00")}}},
    {"subject that is no name", {.subject = BYTES("\x30\x02\x31\x00")}},
    {"subject with half an attribute",
     {.subject = BYTES("\x30\x09\x31\x07\x30\x05\x06\x03\x55\x04\x03")}},
    {"issuer that is no sequence", {.issuer = BYTES("\x31\x00")}},
    {"public key that is no key", {.spki = BYTES("\x30\x00")}},
};

START_TEST(test_a_malformed_certificate_is_refused)
{
    struct cert *c = cert_make(&malformed[_i].knobs, NULL);
    struct x509 x = {.uri_count = 77};
    err_t err = x509_parse(cert_der(c), &x, &why);
    ck_assert_msg(err == ERR_CERT_MALFORMED, "%s: %s", malformed[_i].what, err_name(err));
    ck_assert_uint_gt(strlen(why.text), 10);
    ck_assert_uint_eq(x.uri_count, 77); /* outputs untouched */
    cert_free(c);
}
END_TEST

static const struct {
    const char *what;
    struct cert_knobs knobs;
} accepted[] = {
    {"v1 without extensions", {.version = 9, .omit = 31}},
    {"v3 without extensions", {.omit = 31}},
    {"explicit v1 without extensions", {.version = 1, .omit = 31}},
    {"zero serial", {.serial = BYTES("\x00")}},
    {"path length beside cA=FALSE", {.path_len = 1}},
    {"serial of 20 bytes and a zero",
     {.serial = BYTES("\x00\xff"
                      "xxxxxxxxxxxxxxxxxxx")}},
    {"unique identifiers in v2",
     {.version = 2, .omit = 31, .after_key = BYTES("\x81\x02\x00x\x82\x02\x00y")}},
    {"a critical authorityInfoAccess",
     {.extra = {{.oid = BYTES(OID_AUTHORITY_INFO_ACCESS),
                 .value = BYTES("\x30\x00"),
                 .critical = true}}}},
    {"an unknown extension", {.extra = {EXT("\x2a\x03", "anything")}}},
    {"an explicit cA=FALSE",
     {.omit = CERT_OMIT_BASIC_CONSTRAINTS,
      .extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x03\x01\x01\x00")}}},
    {"times from 2050 on", {.not_before = 2600000000, .not_after = 253402300799}},
    {"GeneralizedTime before 2050",
     {.validity = BYTES("\x30\x22\x18\x0f"
                        "20260101000000Z"
                        "\x18\x0f"
                        "20270101000000Z")}},
    {"a critical certificatePolicies",
     {.extra = {{.oid = BYTES(OID_CERTIFICATE_POLICIES),
                 .value = BYTES("\x30\x00"),
                 .critical = true}}}},
    {"other kinds of names",
     {.names = {{DER_CONTEXT(1), BYTES("a@b")},
                {DER_CONTEXT(2), BYTES("b")},
                {DER_CONTEXT(7), BYTES("1234")},
                {0xa4, BYTES("\x30\x00")}}}},
};

START_TEST(test_an_unusual_certificate_is_parsed)
{
    struct cert *c = cert_make(&accepted[_i].knobs, NULL);
    struct x509 x;
    err_t err = x509_parse(cert_der(c), &x, &why);
    ck_assert_msg(err == ERR_OK, "%s: %s", accepted[_i].what, why.text);
    ck_assert(!x.has_unknown_critical);
    cert_free(c);
}
END_TEST

/* X5-11: recorded here, judged by svid_verify. */
START_TEST(test_unknown_critical_extensions_are_recorded)
{
    static const struct slice oids[] = {
        BYTES("\x2a\x03"), BYTES(OID_CE "\x09"), BYTES(OID_CE "\x63"), BYTES(OID_CE "\x23\x01"),
        BYTES("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03")}; /* a precertificate's poison */
    struct cert *c = cert_make(
        &(struct cert_knobs){
            .extra = {{.oid = oids[_i], .value = BYTES("\x30\x00"), .critical = true}}},
        NULL);
    ck_assert_int_eq(c->parse_err, ERR_OK);
    ck_assert(c->x509.has_unknown_critical);
    ck_assert(slice_eq(c->x509.unknown_critical, oids[_i]));
    cert_free(c);
}
END_TEST

START_TEST(test_an_oid_is_shown_with_dots_while_its_arcs_fit)
{
    static const struct {
        struct slice oid;
        const char *text;
    } rows[] = {
        {BYTES("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), "1.2.840.113549.1.1.11"},
        {BYTES("\x55\x1d\x63"), "2.5.29.99"},
        {BYTES("\x00"), "0.0"},
        {BYTES("\x88\x37\x03"), "2.999.3"},
        {BYTES("\x2a\x81\x80\x80\x80\x80\x80\x80\x80\x00"), "1.2.72057594037927936"},
        {BYTES("\x69\x83\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "6983ffffffffffffffff7f"},
        {BYTES(""), ""},
    };
    char text[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_str_eq(x509_oid_text(rows[i].oid, text, sizeof text), rows[i].text);
    ck_assert_str_eq(x509_oid_text(rows[0].oid, text, 6), "1.2.8");
}
END_TEST

START_TEST(test_every_uri_is_counted)
{
    struct cert_name uri = {DER_CONTEXT(6), BYTES("spiffe://a/b")};
    struct cert *c = cert_make(&(struct cert_knobs){.names = {uri, uri, uri, uri, uri, uri}}, NULL);
    ck_assert_int_eq(c->parse_err, ERR_OK);
    ck_assert_uint_eq(c->x509.uri_count, 6);
    cert_free(c);
}
END_TEST

/* No prefix, no certificate with a byte too many, and nothing read past the end (ASan). */
START_TEST(test_a_cut_certificate_is_refused_at_every_length)
{
    struct cert *c = cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web"}, NULL);
    struct x509 x;
    for (size_t n = 0; n < c->der.len; n++) {
        uint8_t *exact = mem_dup(c->der.data, n);
        ck_assert_int_eq(x509_parse(slice_of(exact, n), &x, &why), ERR_CERT_MALFORMED);
        mem_free(exact);
    }
    ck_assert_int_eq(buf_append(&c->der, "", 1), ERR_OK);
    ck_assert_int_eq(x509_parse(cert_der(c), &x, &why), ERR_CERT_MALFORMED);
    cert_free(c);
}
END_TEST

/* Every changed byte gives a refusal or a signature that fails, never an accepted certificate. */
START_TEST(test_a_changed_byte_never_passes)
{
    struct cert *c =
        cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web", .cn = "x"}, NULL);
    for (size_t i = 0; i < c->der.len; i++) {
        uint8_t old = c->der.data[i];
        c->der.data[i] = (uint8_t)(old ^ 1u << i % 8);
        cert_reparse(c);
        ck_assert_msg(c->parse_err != ERR_OK ||
                          x509_check_signature(&c->x509, key_spki(c->key), NULL) != ERR_OK,
                      "byte %zu", i);
        c->der.data[i] = old;
    }
    cert_free(c);
}
END_TEST

START_TEST(test_extensions_and_bytes_are_bounded)
{
    struct buf raw;
    buf_init(&raw, 1 << 20);
    for (int i = 0; i < EXTENSIONS_MAX - 5 + _i; i++) {
        uint8_t one[] = {0x30, 6, DER_OID, 2, 0x2a, (uint8_t)i, DER_OCTET_STRING, 0};
        ck_assert_int_eq(buf_append(&raw, one, sizeof one), ERR_OK);
    }
    struct cert *c = cert_make(&(struct cert_knobs){.raw_extensions = buf_slice(&raw)}, NULL);
    ck_assert_int_eq(c->parse_err, _i == 0 ? ERR_OK : ERR_CERT_MALFORMED);
    cert_free(c);
    static uint8_t large[X509_DER_MAX];
    struct cert_extension e = {OID("\x2a\x03"),
                               slice_of(large, sizeof large - 1000 * (size_t)(1 - _i)), false};
    c = cert_make(&(struct cert_knobs){.extra = {e}}, NULL);
    ck_assert_int_eq(c->parse_err, _i == 0 ? ERR_OK : ERR_CERT_MALFORMED);
    cert_free(c);
    buf_done(&raw);
}
END_TEST

START_TEST(test_a_list_is_split_into_its_certificates)
{
    struct slice parts[2];
    size_t count = 99;
    ck_assert_int_eq(x509_split(OID(""), parts, 2, &count, &why), ERR_OK);
    ck_assert_uint_eq(count, 0);
    ck_assert_int_eq(x509_split(OID("\x30\x00\x30\x01x"), parts, 2, &count, &why), ERR_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(parts[1].len, 3);
    ck_assert_int_eq(x509_split(OID("\x30\x00\x30\x00\x30\x00"), parts, 2, &count, &why),
                     ERR_CHAIN_TOO_LONG);
    ck_assert_int_eq(x509_split(OID("\x30\x00\x30\x05"), parts, 2, &count, &why),
                     ERR_CERT_MALFORMED);
    ck_assert_uint_eq(count, 2);
}
END_TEST

START_TEST(test_names_that_do_not_fit_are_refused)
{
    char longest[66];
    memset(longest, 'x', sizeof longest);
    longest[64] = '\0';
    buf_clear(&name);
    ck_assert_int_eq(x509_build_name(&name, NULL, NULL, longest), ERR_OK);
    longest[64] = 'x';
    longest[65] = '\0';
    ck_assert_int_eq(x509_build_name(&name, NULL, NULL, longest), ERR_TOO_LARGE);
    ck_assert_int_eq(x509_build_name(&name, "USA", NULL, NULL), ERR_TOO_LARGE);
    ck_assert_int_eq(x509_build_name(&name, NULL, "", NULL), ERR_TOO_LARGE);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("x509");
    TCase *t = tcase_create("x509");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, test_a_leaf_that_was_built_says_what_its_template_said);
    tcase_add_test(t, test_an_authority_that_was_built_says_what_its_template_said);
    tcase_add_loop_test(t, test_a_template_nobody_could_accept_is_refused, 0, 7);
    tcase_add_test(t, test_building_survives_every_failed_allocation);
    tcase_add_test(t, test_names_are_shown_on_one_safe_line);
    tcase_add_test(t, test_a_description_names_id_serial_and_times);
    tcase_add_loop_test(t, test_a_malformed_certificate_is_refused, 0, COUNT(malformed));
    tcase_add_loop_test(t, test_an_unusual_certificate_is_parsed, 0, COUNT(accepted));
    tcase_add_loop_test(t, test_unknown_critical_extensions_are_recorded, 0, 5);
    tcase_add_test(t, test_an_oid_is_shown_with_dots_while_its_arcs_fit);
    tcase_add_test(t, test_every_uri_is_counted);
    tcase_add_test(t, test_a_cut_certificate_is_refused_at_every_length);
    tcase_add_test(t, test_a_changed_byte_never_passes);
    tcase_add_loop_test(t, test_extensions_and_bytes_are_bounded, 0, 2);
    tcase_add_test(t, test_a_list_is_split_into_its_certificates);
    tcase_add_test(t, test_names_that_do_not_fit_are_refused);
    suite_add_tcase(s, t);
    return run_suite(s);
}
