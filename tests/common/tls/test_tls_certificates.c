/* Odd but valid certificates, each in real handshakes: as our own identity and as a peer's, on both
 * sides. What RFC 5280 allows is accepted; wolfSSL has no say in it. */
#include "common/base/mem.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "tests/support/chain_case.h"
#include "tests/support/runner.h"
#include "tests/support/shake_case.h"

#define EXT(o, v)                                                                                  \
    {                                                                                              \
        .oid = BYTES(o), .value = BYTES(v)                                                         \
    }
#define EXT_CRITICAL(o, v)                                                                         \
    {                                                                                              \
        .oid = BYTES(o), .value = BYTES(v), .critical = true                                       \
    }
#define ATTRIBUTE(o, t, v)                                                                         \
    {                                                                                              \
        .oid = BYTES(o), .tag = (t), .value = BYTES(v)                                             \
    }
#define JOINED(o, t, v)                                                                            \
    {                                                                                              \
        .oid = BYTES(o), .tag = (t), .value = BYTES(v), .joined = true                             \
    }
#define CN OID_COMMON_NAME
#define UNIT "\x55\x04\x0b"
#define DOMAIN_COMPONENT "\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19"
#define KE_NETSCAPE "\x60\x86\x48\x01\x86\xf8\x42\x01\x01"
#define SCT_LIST "\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02"
#define TLS_FEATURE "\x2b\x06\x01\x05\x05\x07\x01\x18"
/* 2.25.N: an OID that is a UUID, with an arc of 128 bits. */
#define UUID_OID "\x69\x83\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
#define TEN "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

enum {
    TAG_NUMERIC = 0x12,
    TAG_TELETEX = 0x14,
    TAG_VISIBLE = 0x1a,
    TAG_UNIVERSAL = 0x1c,
    TAG_BMP = 0x1e,
};

struct odd {
    const char *what;
    struct cert_knobs leaf, issuer, root;
};

static const struct odd names[] = {
    {"two attributes in one RDN of the leaf",
     .leaf = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "web"), JOINED(UNIT, DER_UTF8, "shop")}}},
    {"two attributes in one RDN of the issuer",
     .issuer = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "ca"), JOINED(UNIT, DER_UTF8, "shop")}}},
    {"two attributes in one RDN of the root",
     .root = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "ca"), JOINED(UNIT, DER_UTF8, "shop")}}},
    {"three attributes in one RDN, and one more RDN",
     .leaf = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "web"),
                             JOINED("\x55\x04\x05", DER_PRINTABLE, "7"),
                             JOINED(UNIT, DER_UTF8, "shop"), ATTRIBUTE(UNIT, DER_UTF8, "b")}}},
    {"BMPString", .leaf = {.attributes = {ATTRIBUTE(CN, TAG_BMP, "\0w\0e\0b")}}},
    {"BMPString in the issuer", .issuer = {.attributes = {ATTRIBUTE(CN, TAG_BMP, "\0c\0a")}}},
    {"TeletexString", .leaf = {.attributes = {ATTRIBUTE(CN, TAG_TELETEX, "caf\xe9")}}},
    {"UniversalString", .leaf = {.attributes = {ATTRIBUTE(CN, TAG_UNIVERSAL, "\0\0\0w\0\0\0b")}}},
    {"UTF-8 beyond ASCII",
     .leaf = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "caf\xc3\xa9 \xe2\x98\x83")}}},
    {"IA5String", .leaf = {.attributes = {ATTRIBUTE(CN, DER_IA5, "web@example.org")}}},
    {"PrintableString with characters that are not of it",
     .leaf = {.attributes = {ATTRIBUTE(CN, DER_PRINTABLE, "*.web_1@x&y")}}},
    {"NumericString and VisibleString",
     .leaf = {.attributes = {ATTRIBUTE(CN, TAG_NUMERIC, "42"), ATTRIBUTE(UNIT, TAG_VISIBLE, "x")}}},
    {"an empty common name", .leaf = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "")}}},
    {"two common names",
     .leaf = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "a"), ATTRIBUTE(CN, DER_UTF8, "b")}}},
    {"a common name of 300 bytes",
     .leaf = {.attributes = {ATTRIBUTE(CN, DER_UTF8, HUNDRED HUNDRED HUNDRED)}}},
    {"a name with NUL and newline", .leaf = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "a\0b\nc")}}},
    {"an attribute of an unknown type that is no string",
     .leaf = {.attributes = {ATTRIBUTE("\x2a\x03\x04", DER_SEQUENCE, "\x02\x01\x05")}}},
    {"an attribute type made of a UUID",
     .leaf = {.attributes = {ATTRIBUTE(UUID_OID, DER_UTF8, "x")}}},
    {"a BIT STRING as an attribute",
     .leaf = {.attributes = {ATTRIBUTE("\x55\x04\x2d", DER_BIT_STRING, "\x00\x55")}}},
    {"domain components and a mail address",
     .issuer = {.attributes = {ATTRIBUTE(DOMAIN_COMPONENT, DER_IA5, "org"),
                               ATTRIBUTE(DOMAIN_COMPONENT, DER_IA5, "example"),
                               ATTRIBUTE(OID_EMAIL_ADDRESS, DER_IA5, "ca@example.org")}}},
    {"an issuer's name in another string type and case",
     .issuer = {.attributes = {ATTRIBUTE(CN, DER_UTF8, "The  Issuing CA"),
                               JOINED(UNIT, DER_UTF8, "x")}},
     .leaf = {.issuer = BYTES("\x30\x23\x31\x21\x30\x15\x06\x03\x55\x04\x03\x13\x0e"
                              "the issuing ca"
                              "\x30\x08\x06\x03\x55\x04\x0b\x16\x01X")}},
    {"an issuer with the name of the root", .issuer = {.cn = "root"}},
};

static const struct odd fields[] = {
    {"a serial of 20 bytes with the high bit set",
     .leaf = {.serial = BYTES("\x00\xff" TEN "abcdefghi")},
     .issuer = {.serial = BYTES("\x00\x80" TEN "abcdefghi")}},
    {"serial 0", .leaf = {.serial = BYTES("\x00")}},
    {"serial 1 twice", .leaf = {.serial = BYTES("\x01")}, .issuer = {.serial = BYTES("\x01")}},
    {"GeneralizedTime before 2050", .leaf = {.validity = BYTES("\x30\x22\x18\x0f"
                                                               "20260101000000Z"
                                                               "\x18\x0f"
                                                               "20270101000000Z")}},
    {"UTCTime and no end",
     .leaf = {.validity = BYTES("\x30\x20\x17\x0d"
                                "500101000000Z"
                                "\x18\x0f"
                                "99991231235959Z")},
     .issuer = {.validity = BYTES("\x30\x20\x17\x0d"
                                  "500101000000Z"
                                  "\x18\x0f"
                                  "99991231235959Z")}},
    {"unique identifiers", .leaf = {.after_key = BYTES("\x81\x03\x00xy\x82\x02\x00z")},
     .issuer = {.after_key = BYTES("\x81\x02\x00x")}},
    {"no subject, and the SAN not critical",
     .leaf = {.omit = CERT_OMIT_SAN,
              .extra = {EXT(OID_SUBJECT_ALT_NAME, "\x30\x1a\x86\x18"
                                                  "spiffe://example.org/web")}}},
};

static const struct odd extensions[] = {
    {"cA=FALSE written out",
     .leaf = {.omit = CERT_OMIT_BASIC_CONSTRAINTS,
              .extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x03\x01\x01\x00")}}},
    {"cA=FALSE with a path length", .leaf = {.path_len = 1}},
    {"basicConstraints not critical",
     .issuer = {.omit = CERT_OMIT_BASIC_CONSTRAINTS,
                .extra = {EXT(OID_BASIC_CONSTRAINTS, "\x30\x03\x01\x01\xff")}}},
    {"a path length of 2^40",
     .issuer = {.omit = CERT_OMIT_BASIC_CONSTRAINTS,
                .extra = {EXT(OID_BASIC_CONSTRAINTS,
                              "\x30\x0b\x01\x01\xff\x02\x06\x01\x00\x00\x00\x00\x00")}}},
    {"critical=FALSE written out",
     .leaf = {.raw_extensions = BYTES("\x30\x0a\x06\x02\x2a\x03\x01\x01\x00\x04\x01x")}},
    {"key usage with zeros at its end",
     .leaf = {.omit = CERT_OMIT_KEY_USAGE,
              .extra = {EXT_CRITICAL(OID_KEY_USAGE, "\x03\x05\x00\x80\x00\x00\x00")}}},
    {"every key usage a leaf may have",
     .leaf = {.key_usage = X509_KU_DIGITAL_SIGNATURE | X509_KU_NON_REPUDIATION |
                           X509_KU_KEY_ENCIPHERMENT | X509_KU_DATA_ENCIPHERMENT |
                           X509_KU_KEY_AGREEMENT | X509_KU_ENCIPHER_ONLY | X509_KU_DECIPHER_ONLY}},
    {"key usage not critical",
     .leaf = {.omit = CERT_OMIT_KEY_USAGE, .extra = {EXT(OID_KEY_USAGE, "\x03\x02\x07\x80")}}},
    {"no extended key usage", .leaf = {.omit = CERT_OMIT_EXT_KEY_USAGE}},
    {"any extended key usage", .leaf = {.ext_key_usage = X509_EKU_ANY}},
    {"many extended key usages, one a UUID",
     .leaf = {.omit = CERT_OMIT_EXT_KEY_USAGE,
              .extra = {EXT_CRITICAL(OID_EXT_KEY_USAGE,
                                     "\x30\x42\x06\x08" OID_SERVER_AUTH "\x06\x08" OID_CLIENT_AUTH
                                     "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03"
                                     "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x04"
                                     "\x06\x02\x2a\x03\x06\x14" UUID_OID)}}},
    {"Netscape's certificate type", .leaf = {.extra = {EXT(KE_NETSCAPE, "\x03\x02\x05\xa0")}}},
    {"access information and CRL points",
     .leaf = {.extra = {EXT(OID_AUTHORITY_INFO_ACCESS,
                            "\x30\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x08"
                            "http://o"),
                        EXT(OID_CRL_DISTRIBUTION_POINTS, "\x30\x10\x30\x0e\xa0\x0c\xa0\x0a\x86\x08"
                                                         "http://c")}}},
    {"signed certificate timestamps", .leaf = {.extra = {EXT(SCT_LIST, "\x04\x02\x00\x00")}}},
    {"the TLS feature extension", .leaf = {.extra = {EXT(TLS_FEATURE, "\x30\x03\x02\x01\x05")}}},
    {"alternative names of the issuer",
     .leaf = {.extra = {EXT(OID_CE "\x12", "\x30\x03\x82\x01x")}}},
    {"critical alternative names of the issuer",
     .leaf = {.extra = {EXT_CRITICAL(OID_CE "\x12", "\x30\x03\x82\x01x")}}},
    {"attributes of the subject and a usage period of the key",
     .leaf = {.extra = {EXT(OID_CE "\x09", "\x30\x00"), EXT(OID_CE "\x10", "\x30\x11\x80\x0f"
                                                                           "20260101000000Z")}}},
    {"an unknown extension that is empty", .leaf = {.extra = {EXT("\x2a\x03", "")}}},
    {"an unknown extension with a UUID's name", .leaf = {.extra = {EXT(UUID_OID, "x")}}},
    {"a policy with qualifiers",
     .leaf = {.extra = {EXT(OID_CERTIFICATE_POLICIES,
                            "\x30\x1f\x30\x1d\x06\x03\x2a\x03\x04\x30\x16\x30\x14\x06\x08"
                            "\x2b\x06\x01\x05\x05\x07\x02\x01\x16\x08"
                            "http://p")}}},
    {"a policy made of a UUID in leaf and issuer",
     .leaf = {.extra = {EXT(OID_CERTIFICATE_POLICIES, "\x30\x18\x30\x16\x06\x14" UUID_OID)}},
     .issuer = {.extra = {EXT_CRITICAL(OID_CERTIFICATE_POLICIES,
                                       "\x30\x18\x30\x16\x06\x14" UUID_OID)}}},
    {"any policy, critical",
     .issuer = {.extra = {EXT_CRITICAL(OID_CERTIFICATE_POLICIES,
                                       "\x30\x08\x30\x06\x06\x04\x55\x1d\x20\x00")}}},
    {"critical policy mappings",
     .issuer = {.extra = {EXT_CRITICAL(
                    OID_CE "\x21", "\x30\x0c\x30\x0a\x06\x03\x2a\x03\x04\x06\x03\x2a\x03\x05")}}},
    {"critical inhibitAnyPolicy",
     .issuer = {.extra = {EXT_CRITICAL(OID_CE "\x36", "\x02\x01\x00")}}},
    {"critical policy constraints that forbid mappings",
     .issuer = {.extra = {EXT_CRITICAL(OID_CE "\x24", "\x30\x03\x81\x01\x00")}}},
    {"an explicit policy is wanted, and there",
     .leaf = {.extra = {EXT(OID_CERTIFICATE_POLICIES, "\x30\x07\x30\x05\x06\x03\x2a\x03\x04")}},
     .issuer = {.extra = {EXT(OID_CERTIFICATE_POLICIES, "\x30\x07\x30\x05\x06\x03\x2a\x03\x04"),
                          EXT_CRITICAL(OID_CE "\x24", "\x30\x03\x80\x01\x00")}}},
    {"no key identifiers anywhere", .leaf = {.omit = CERT_OMIT_KEY_IDS},
     .issuer = {.omit = CERT_OMIT_KEY_IDS}, .root = {.omit = CERT_OMIT_KEY_IDS}},
    {"an authority's key identifier without one",
     .leaf = {.omit = CERT_OMIT_KEY_IDS, .extra = {EXT(OID_AUTHORITY_KEY_ID, "\x30\x00")}}},
    {"an authority named by issuer and serial",
     .leaf = {.omit = CERT_OMIT_KEY_IDS,
              .extra = {EXT(OID_AUTHORITY_KEY_ID,
                            "\x30\x0a\xa1\x05\xa4\x03\x30\x01\x00\x82\x01\x05")}}},
    {"a wrong key identifier", .leaf = {.authority_key_id = BYTES("wrong")}},
    {"a key identifier of 100 bytes", .leaf = {.subject_key_id = BYTES(HUNDRED)}},
    {"name constraints of every kind that permit",
     .issuer = {.subtrees = {{.base = URI("example.org")},
                             {.base = DNS("example.org")},
                             {.base = MAIL("example.org")},
                             {.base = IP("\x0a\x00\x00\x00\xff\x00\x00\x00")}}},
     .leaf = {.names = {DNS("a.example.org"), MAIL("x@example.org"), IP("\x0a\x01\x02\x03")}}},
};

static const struct odd alternatives[] = {
    {"an otherName", .leaf = {.names = {{0xa0, BYTES("\x06\x03\x2a\x03\x04\xa0\x03\x0c\x01x")}}}},
    {"an x400Address", .leaf = {.names = {{0xa3, BYTES("\x30\x00")}}}},
    {"a directoryName", .leaf = {.names = {{0xa4, BYTES("\x30\x00")}}}},
    {"an ediPartyName", .leaf = {.names = {{0xa5, BYTES("\xa1\x03\x0c\x01x")}}}},
    {"a registeredID", .leaf = {.names = {{0x88, BYTES(UUID_OID)}}}},
    {"an IPv6 address", .leaf = {.names = {IP("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01")}}},
    {"a DNS name that is none", .leaf = {.names = {DNS("*.under_score.-x"), DNS("")}}},
    {"names of an issuer that are no SPIFFE IDs",
     .issuer = {.names = {URI("https://ca.example.org/"), URI("urn:x"), DNS("ca")}}},
    {"an issuer with the ID of its trust domain", .issuer = {.uri = "spiffe://example.org"}},
};

static const struct odd algorithms[] = {
    {"ECDSA P-256 with SHA-384", .leaf = {.scheme = CERT_ECDSA_SHA384}},
    {"ECDSA P-256 with SHA-512", .leaf = {.scheme = CERT_ECDSA_SHA512}},
    {"ECDSA P-384 with SHA-256", .leaf = {.scheme = CERT_ECDSA_SHA256},
     .issuer = {.key_kind = KEY_EC_P384}},
    {"ECDSA P-521 with SHA-256", .leaf = {.scheme = CERT_ECDSA_SHA256},
     .issuer = {.key_kind = KEY_EC_P521}},
    {"curves all mixed", .leaf = {.key_kind = KEY_EC_P384}, .issuer = {.key_kind = KEY_EC_P521},
     .root = {.key_kind = KEY_EC_P384}},
    {"a leaf on P-521", .leaf = {.key_kind = KEY_EC_P521}},
    {"an Ed25519 issuer and root", .issuer = {.key_kind = KEY_ED25519},
     .root = {.key_kind = KEY_ED25519}},
    {"an Ed25519 leaf", .leaf = {.key_kind = KEY_ED25519}},
    {"an RSA leaf", .leaf = {.key_kind = KEY_RSA_2048}},
    {"RSA PKCS#1 with SHA-384", .leaf = {.scheme = CERT_RSA_SHA384},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSA PKCS#1 with SHA-512, no parameters", .leaf = {.scheme = CERT_RSA_SHA512},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSASSA-PSS with SHA-256", .leaf = {.scheme = CERT_PSS_SHA256},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSASSA-PSS with SHA-384", .leaf = {.scheme = CERT_PSS_SHA384},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSASSA-PSS with SHA-512", .leaf = {.scheme = CERT_PSS_SHA512},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSASSA-PSS without salt", .leaf = {.scheme = CERT_PSS_NO_SALT},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSASSA-PSS with the default salt", .leaf = {.scheme = CERT_PSS_SALT_LEFT_OUT},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSASSA-PSS with two hashes", .leaf = {.scheme = CERT_PSS_TWO_HASHES},
     .issuer = {.key_kind = KEY_RSA_2048}},
    {"RSASSA-PSS with its trailer written out", .leaf = {.scheme = CERT_PSS_TRAILER_WRITTEN},
     .issuer = {.key_kind = KEY_RSA_2048}},
};

static void check_odd(const struct odd *o)
{
    struct cert_knobs root_knobs = o->root, issuer_knobs = o->issuer, leaf_knobs = o->leaf;
    root_knobs.ca = issuer_knobs.ca = true;
    root_knobs.cn = "root";
    issuer_knobs.cn = issuer_knobs.cn != NULL ? issuer_knobs.cn : "issuer";
    if ((leaf_knobs.omit & CERT_OMIT_SAN) == 0)
        leaf_knobs.uri = WEB;
    struct cert *root = cert_make(&root_knobs, NULL);
    struct cert *issuer = cert_make(&issuer_knobs, root);
    struct cert *leaf = cert_make(&leaf_knobs, issuer);
    struct shake_chain c = {.certs = {cert_der(leaf), cert_der(issuer)},
                            .count = 2,
                            .key = key_pkcs8(leaf->key),
                            .roots = cert_der(root)};
    for (enum tls_side side = TLS_SERVER; side <= TLS_CLIENT; side++) {
        struct why why = {0};
        err_t err = shake_as_own(side, &c, &why);
        ck_assert_msg(err == ERR_OK, "%s, as our own %s: %s: %s", o->what,
                      side == TLS_SERVER ? "server" : "client", err_name(err), why_text(&why));
        err = shake_as_peer(side, &c, &why);
        ck_assert_msg(err == ERR_OK, "%s, as a peer's %s: %s: %s", o->what,
                      side == TLS_SERVER ? "server" : "client", err_name(err), why_text(&why));
    }
    cert_free(leaf);
    cert_free(issuer);
    cert_free(root);
}

START_TEST(test_odd_names_are_accepted)
{
    check_odd(&names[_i]);
}
END_TEST

START_TEST(test_odd_serials_times_and_identifiers_are_accepted)
{
    check_odd(&fields[_i]);
}
END_TEST

START_TEST(test_odd_extensions_are_accepted)
{
    check_odd(&extensions[_i]);
}
END_TEST

START_TEST(test_odd_alternative_names_are_accepted)
{
    check_odd(&alternatives[_i]);
}
END_TEST

START_TEST(test_odd_keys_and_signatures_are_accepted)
{
    check_odd(&algorithms[_i]);
}
END_TEST

#define ADD(table, test) tcase_add_loop_test(t, test, 0, (int)(sizeof(table) / sizeof(table)[0]))

int main(void)
{
    Suite *s = suite_create("tls_certificates");
    TCase *t = tcase_create("tls_certificates");
    tcase_set_timeout(t, 120);
    ADD(names, test_odd_names_are_accepted);
    ADD(fields, test_odd_serials_times_and_identifiers_are_accepted);
    ADD(extensions, test_odd_extensions_are_accepted);
    ADD(alternatives, test_odd_alternative_names_are_accepted);
    ADD(algorithms, test_odd_keys_and_signatures_are_accepted);
    suite_add_tcase(s, t);
    return run_suite(s);
}
