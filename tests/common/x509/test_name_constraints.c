/* Name constraints of authorities, through whole chains (RFC 5280 4.2.1.10; X5-10). */
#include "common/encode/oid.h"
#include "common/x509/name_constraints.h"
#include "tests/support/chain_case.h"
#include "tests/support/runner.h"

#define ALLOW(n)                                                                                   \
    {                                                                                              \
        .base = n                                                                                  \
    }
#define FORBID(n)                                                                                  \
    {                                                                                              \
        .base = n, .excluded = true                                                                \
    }
/* Name with one commonName: 30 len 31 len 30 len 06 03 55 04 03 <tag> len text. */
#define NAME7(tag, text) "\x30\x12\x31\x10\x30\x0e\x06\x03\x55\x04\x03" tag "\x07" text

#define TWO_IN_ONE                                                                                 \
    "\x30\x22\x31\x20\x30\x0e\x06\x03\x55\x04\x03\x0c\x07webhost"                                  \
    "\x30\x0e\x06\x03\x55\x04\x0b\x0c\x07payroll"

static const struct chain_case cases[] = {
    {"URI permitted", ERR_OK, NULL, .issuer = {.subtrees = {ALLOW(URI("example.org"))}}},
    {"another domain's URI permitted", ERR_CERT_NAME_CONSTRAINTS, "not among the permitted",
     .issuer = {.subtrees = {ALLOW(URI("example.com"))}}},
    {"one of two permitted", ERR_OK, NULL,
     .root = {.subtrees = {ALLOW(URI("other.test")), ALLOW(URI("EXAMPLE.org"))}}},
    {"only hosts below permitted", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {ALLOW(URI(".example.org"))}}},
    {"a parent domain permitted as a host", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {ALLOW(URI("org"))}}},
    {"all hosts of a parent permitted", ERR_OK, NULL, .issuer = {.subtrees = {ALLOW(URI(".org"))}}},
    {"URI excluded", ERR_CERT_NAME_CONSTRAINTS, "excluded",
     .issuer = {.subtrees = {FORBID(URI("example.org"))}}},
    {"URI excluded by the root", ERR_CERT_NAME_CONSTRAINTS, "trusted root",
     .root = {.subtrees = {FORBID(URI(".org"))}}},
    {"permitted and excluded", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {ALLOW(URI("example.org")), FORBID(URI("example.org"))}}},
    {"every URI excluded", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {FORBID(URI(""))}}},
    {"another URI excluded", ERR_OK, NULL, .issuer = {.subtrees = {FORBID(URI("xample.org"))}}},
    {"DNS permitted, no DNS name there", ERR_OK, NULL,
     .issuer = {.subtrees = {ALLOW(DNS("example.com"))}}},
    {"DNS permitted", ERR_OK, NULL, .issuer = {.subtrees = {ALLOW(DNS("example.com"))}},
     .leaf = {.names = {DNS("a.Example.com")}}},
    {"DNS not permitted", ERR_CERT_NAME_CONSTRAINTS, "DNS name \"badexample.com\"",
     .issuer = {.subtrees = {ALLOW(DNS("example.com"))}},
     .leaf = {.names = {DNS("example.com"), DNS("badexample.com")}}},
    {"DNS excluded", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {FORBID(DNS("example.com"))}},
     .leaf = {.names = {DNS("www.example.com.")}}},
    {"DNS excluded, covered by a wildcard", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {FORBID(DNS("a.example.com"))}},
     .leaf = {.names = {DNS("*.example.com")}}},
    {"IP permitted", ERR_OK, NULL,
     .issuer = {.subtrees = {ALLOW(IP("\x0a\x00\x00\x00\xff\x00\x00\x00"))}},
     .leaf = {.names = {IP("\x0a\x01\x02\x03")}}},
    {"IP not permitted", ERR_CERT_NAME_CONSTRAINTS, "IP",
     .issuer = {.subtrees = {ALLOW(IP("\x0a\x00\x00\x00\xff\x00\x00\x00"))}},
     .leaf = {.names = {IP("\x0b\x01\x02\x03")}}},
    {"IPv6 where IPv4 is permitted", ERR_CERT_NAME_CONSTRAINTS, "IP",
     .issuer = {.subtrees = {ALLOW(IP("\x0a\x00\x00\x00\xff\x00\x00\x00"))}},
     .leaf = {.names = {IP("0123456789abcdef")}}},
    {"IP constraint of a strange size", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {FORBID(IP("123"))}}, .leaf = {.names = {IP("\x0b\x01\x02\x03")}}},
    {"mailbox permitted", ERR_OK, NULL, .issuer = {.subtrees = {ALLOW(MAIL("a@example.org"))}},
     .leaf = {.names = {MAIL("a@EXAMPLE.org")}}},
    {"mailbox of another case", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {ALLOW(MAIL("a@example.org"))}},
     .leaf = {.names = {MAIL("A@example.org")}}},
    {"mail host permitted", ERR_OK, NULL, .issuer = {.subtrees = {ALLOW(MAIL("example.org"))}},
     .leaf = {.names = {MAIL("b@example.org")}}},
    {"mail host excluded", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {FORBID(MAIL(".org"))}}, .leaf = {.names = {MAIL("b@example.org")}}},
    {"mail that is none", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {ALLOW(MAIL("example.org"))}},
     .leaf = {.names = {MAIL("example.org")}}},
    {"mail in the subject", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {ALLOW(MAIL("example.org"))}},
     .leaf = {.subject = BYTES("\x30\x18\x31\x16\x30\x14\x06\x09" OID_EMAIL_ADDRESS "\x16\x07"
                               "a@b.org")}},
    {"directory permitted", ERR_OK, NULL,
     .issuer = {.subtrees = {ALLOW(((struct cert_name){0xa4, BYTES(NAME7("\x13", "webhost"))}))}},
     .leaf = {.cn = "webhost"}},
    {"directory permitted, another string type", ERR_CERT_NAME_CONSTRAINTS, "directory",
     .issuer = {.subtrees = {ALLOW(((struct cert_name){0xa4, BYTES(NAME7("\x0c", "webhost"))}))}},
     .leaf = {.cn = "webhost"}},
    {"directory excluded, another case and type", ERR_CERT_NAME_CONSTRAINTS, "directory",
     .issuer = {.subtrees = {FORBID(((struct cert_name){0xa4, BYTES(NAME7("\x0c", "WEBhost"))}))}},
     .leaf = {.cn = "webhost"}},
    {"another directory excluded", ERR_OK, NULL,
     .issuer = {.subtrees = {FORBID(((struct cert_name){0xa4, BYTES(NAME7("\x0c", "dbxhost"))}))}},
     .leaf = {.cn = "webhost"}},
    {"a constraint of a kind not read, none such there", ERR_OK, NULL,
     .issuer = {.subtrees = {ALLOW(((struct cert_name){DER_CONTEXT(8), BYTES("\x2a\x03")}))}}},
    {"a constraint of a kind not read, one such there", ERR_CERT_NAME_CONSTRAINTS, "kind [8]",
     .issuer = {.subtrees = {ALLOW(((struct cert_name){DER_CONTEXT(8), BYTES("\x2a\x03")}))}},
     .leaf = {.names = {{DER_CONTEXT(8), BYTES("\x2a\x03")}}}},
    {"a constraint with a minimum", ERR_CERT_NAME_CONSTRAINTS, "malformed",
     .issuer = {.subtrees = {{.base = URI("example.org"), .with_minimum = true}}}},
    {"an ID that looks like an address, under a URI constraint", ERR_CERT_NAME_CONSTRAINTS,
     "cannot be compared", .leaf = {.uri = "spiffe://10.0.0.1/web"},
     .issuer = {.subtrees = {FORBID(URI("example.org"))}}},
    {"an ID that looks like an address (ID-8)", ERR_OK, NULL,
     .leaf = {.uri = "spiffe://10.0.0.1/web"}},
    {"the issuer's own names are constrained by the root", ERR_CERT_NAME_CONSTRAINTS,
     "trusted root", .root = {.subtrees = {ALLOW(DNS("example.org"))}},
     .issuer = {.names = {DNS("evil.test")}}},
    {"a name that begins with the dot", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {ALLOW(DNS("example.com"))}}, .leaf = {.names = {DNS(".example.com")}}},
    {"IPv4 where IPv6 is permitted", ERR_CERT_NAME_CONSTRAINTS, "IP",
     .issuer = {.subtrees = {ALLOW(
                    IP("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"))}},
     .leaf = {.names = {IP("\x0b\x01\x02\x03")}}},
    {"a host behind a user that looks like one", ERR_CERT_NAME_CONSTRAINTS, "not among",
     .root = {.subtrees = {ALLOW(URI("example.org"))}},
     .issuer = {.names = {URI("https://example.org:1@evil.test/")}}},
    {"a host before a port", ERR_OK, NULL, .root = {.subtrees = {ALLOW(URI("example.org"))}},
     .issuer = {.names = {URI("https://u@example.org:443?q")}}},
    {"an IPv6 host", ERR_CERT_NAME_CONSTRAINTS, "cannot",
     .root = {.subtrees = {ALLOW(URI("example.org"))}},
     .issuer = {.names = {URI("https://[::1]/")}}},
    {"a URI without a host", ERR_CERT_NAME_CONSTRAINTS, "cannot",
     .root = {.subtrees = {ALLOW(URI("example.org"))}}, .issuer = {.names = {URI("urn:uuid:1")}}},
    {"directory excluded, other spaces", ERR_CERT_NAME_CONSTRAINTS, "directory",
     .issuer = {.subtrees = {FORBID(((struct cert_name){0xa4, BYTES(NAME7("\x0c", "web app"))}))}},
     .leaf = {.cn = "web  app"}},
    {"directory excluded, a string type that is not read", ERR_CERT_NAME_CONSTRAINTS, "directory",
     .issuer = {.subtrees = {FORBID(((struct cert_name){0xa4, BYTES(NAME7("\x14", "T61text"))}))}},
     .leaf = {.cn = "webhost"}},
    {"DNS excluded, written with a final dot", ERR_CERT_NAME_CONSTRAINTS, NULL,
     .issuer = {.subtrees = {FORBID(DNS("example.com."))}},
     .leaf = {.names = {DNS("www.example.com")}}},
    {"a name is shown as it is", ERR_CERT_NAME_CONSTRAINTS, "DNS name \"a~b c?.test\"",
     .issuer = {.subtrees = {ALLOW(DNS("example.com"))}},
     .leaf = {.names = {DNS("a~b c\x7f.test")}}},
    {"directory excluded by two attributes in one part, one of them there", ERR_OK, NULL,
     .issuer = {.subtrees = {FORBID(((struct cert_name){0xa4, BYTES(TWO_IN_ONE)}))}},
     .leaf = {.cn = "webhost"}},
    {"directory excluded by one attribute, two in one part there", ERR_OK, NULL,
     .issuer = {.subtrees = {FORBID(((struct cert_name){0xa4, BYTES(NAME7("\x0c", "webhost"))}))}},
     .leaf = {.subject = BYTES(TWO_IN_ONE)}},
    {"directory excluded by two attributes in one part, both there", ERR_CERT_NAME_CONSTRAINTS,
     "directory", .issuer = {.subtrees = {FORBID(((struct cert_name){0xa4, BYTES(TWO_IN_ONE)}))}},
     .leaf = {.subject = BYTES(TWO_IN_ONE)}},
    /* RFC 5280 6.1.3 (b): a leaf is bound also when it carries its issuer's name */
    {"a leaf that carries its issuer's name, not permitted", ERR_CERT_NAME_CONSTRAINTS,
     "not among the permitted", .issuer = {.subtrees = {ALLOW(URI("example.com"))}},
     .leaf = {.cn = "issuer"}},
    {"a leaf that carries its issuer's name, excluded by the root", ERR_CERT_NAME_CONSTRAINTS,
     "trusted root", .root = {.subtrees = {FORBID(URI("example.org"))}}, .leaf = {.cn = "issuer"}},
    {"a leaf that carries its issuer's name, permitted", ERR_OK, NULL,
     .issuer = {.subtrees = {ALLOW(URI("example.org"))}}, .leaf = {.cn = "issuer"}},
    {"a directory constraint that is no name", ERR_CERT_NAME_CONSTRAINTS, "directory",
     .issuer = {.subtrees = {ALLOW(((struct cert_name){0xa4, BYTES("\x31\x00")}))}},
     .leaf = {.cn = "webhost"}},
};

/* X5-10 */
START_TEST(test_each_constraint_is_honoured)
{
    chain_case_check(&cases[_i]);
}
END_TEST

/* X5-10: constraints multiplied by names must not burn time. */
START_TEST(test_a_flood_of_names_is_given_up)
{
    struct buf names, trees;
    buf_init(&names, X509_DER_MAX);
    buf_init(&trees, X509_DER_MAX);
    for (int i = 0; i < 4000; i++) {
        ck_assert_int_eq(buf_append(&names, "\x82\x01x", 3), ERR_OK);
        ck_assert_int_eq(buf_append(&trees, "\x30\x03\x82\x01y", 5), ERR_OK);
    }
    ck_assert_int_eq(buf_append_str(&names, "\x86\x18" WEB), ERR_OK);
    struct buf san, constraints;
    buf_init(&san, X509_DER_MAX);
    buf_init(&constraints, X509_DER_MAX);
    struct der_writer w;
    der_writer_init(&w, &san);
    der_put(&w, DER_SEQUENCE, buf_slice(&names));
    der_writer_init(&w, &constraints);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_CONTEXT_CONSTRUCTED(1), buf_slice(&trees));
    der_close(&w, seq);
    struct cert_knobs root_knobs = {.ca = true, .cn = "root"};
    root_knobs.extra[0] =
        (struct cert_extension){OID(OID_NAME_CONSTRAINTS), buf_slice(&constraints), true};
    struct cert_knobs leaf_knobs = {.omit = CERT_OMIT_SAN};
    leaf_knobs.extra[0] = (struct cert_extension){OID(OID_SUBJECT_ALT_NAME), buf_slice(&san), true};
    struct cert *root = cert_make(&root_knobs, NULL), *leaf = cert_make(&leaf_knobs, root);
    unsigned budget = NAME_COMPARISONS_MAX;
    struct why why = {0};
    ck_assert_int_eq(name_constraints_check(&root->x509, &leaf->x509, &budget, &why),
                     ERR_CERT_NAME_CONSTRAINTS);
    ck_assert_uint_eq(budget, 0);
    ck_assert_ptr_nonnull(strstr(why.text, "comparisons"));
    cert_free(leaf);
    cert_free(root);
    buf_done(&names);
    buf_done(&trees);
    buf_done(&san);
    buf_done(&constraints);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("name_constraints");
    TCase *t = tcase_create("name_constraints");
    tcase_add_loop_test(t, test_each_constraint_is_honoured, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(t, test_a_flood_of_names_is_given_up);
    suite_add_tcase(s, t);
    return run_suite(s);
}
