/* Names of authorities written in two ways, and names that are two. */
#include "common/base/mem.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/x509/x509.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#define CN OID_COMMON_NAME
#define UNIT "\x55\x04\x0b"
#define UTF8(v)                                                                                    \
    {                                                                                              \
        .oid = BYTES(CN), .tag = DER_UTF8, .value = BYTES(v)                                       \
    }
#define PRINTABLE(v)                                                                               \
    {                                                                                              \
        .oid = BYTES(CN), .tag = DER_PRINTABLE, .value = BYTES(v)                                  \
    }
#define TELETEX(v)                                                                                 \
    {                                                                                              \
        .oid = BYTES(CN), .tag = 0x14, .value = BYTES(v)                                           \
    }
#define OTHER(v)                                                                                   \
    {                                                                                              \
        .oid = BYTES(UNIT), .tag = DER_UTF8, .value = BYTES(v)                                     \
    }
#define JOINED(v)                                                                                  \
    {                                                                                              \
        .oid = BYTES(UNIT), .tag = DER_UTF8, .value = BYTES(v), .joined = true                     \
    }

static const struct {
    const char *what;
    bool match;
    struct cert_attribute a[6], b[6];
} rows[] = {
    {"another string type", true, {UTF8("The CA")}, {PRINTABLE("The CA")}},
    {"another case", true, {UTF8("The CA")}, {UTF8("THE ca")}},
    {"more spaces", true, {UTF8("The CA")}, {PRINTABLE("  The   CA ")}},
    {"two RDNs", true, {UTF8("a"), OTHER("B")}, {UTF8("A"), OTHER("b")}},
    {"one RDN of two", true, {UTF8("a"), JOINED("B")}, {UTF8("A"), JOINED("b")}},
    {"the same in a type that is not read", true, {TELETEX("a")}, {TELETEX("a")}},
    {"another word", false, {UTF8("The CA")}, {PRINTABLE("The CB")}},
    {"a word more", false, {UTF8("The CA")}, {PRINTABLE("The CA 2")}},
    {"no space", false, {UTF8("The CA")}, {PRINTABLE("TheCA")}},
    {"nothing", false, {UTF8("a")}, {UTF8("")}},
    {"another attribute", false, {UTF8("a")}, {OTHER("A")}},
    {"an RDN more", false, {UTF8("a")}, {UTF8("A"), OTHER("b")}},
    {"an attribute more", false, {UTF8("a")}, {UTF8("A"), JOINED("b")}},
    {"one RDN of two, and two", false, {UTF8("a"), JOINED("b")}, {UTF8("A"), OTHER("b")}},
    {"another case in a type that is not read", false, {TELETEX("a")}, {TELETEX("A")}},
    {"a type that is not read", false, {TELETEX("a")}, {UTF8("a")}},
};

static struct cert *named(const struct cert_attribute *attributes)
{
    struct cert_knobs knobs = {.ca = true};
    memcpy(knobs.attributes, attributes, sizeof knobs.attributes);
    return cert_make(&knobs, NULL);
}

START_TEST(test_names_match_as_rfc_5280_has_it)
{
    struct cert *a = named(rows[_i].a), *b = named(rows[_i].b);
    struct slice x = a->x509.subject, y = b->x509.subject;
    ck_assert_msg(x509_names_match(x, y) == rows[_i].match, "%s", rows[_i].what);
    ck_assert_msg(x509_names_match(y, x) == rows[_i].match, "%s", rows[_i].what);
    ck_assert(x509_names_match(x, x));
    cert_free(a);
    cert_free(b);
}
END_TEST

/* A peer may show many long names: those are compared as bytes alone. */
START_TEST(test_long_names_match_byte_for_byte_only)
{
    static uint8_t lower[1100], upper[1100];
    memset(lower, 'a', sizeof lower);
    memset(upper, 'A', sizeof upper);
    size_t len = _i == 0 ? 900 : sizeof lower;
    struct cert_attribute one[6] = {UTF8("")}, two[6] = {UTF8("")};
    one[0].value = slice_of(lower, len);
    two[0].value = slice_of(upper, len);
    struct cert *a = named(one), *b = named(two);
    ck_assert(x509_names_match(a->x509.subject, b->x509.subject) == (_i == 0));
    ck_assert(x509_names_match(a->x509.subject, a->x509.issuer));
    cert_free(a);
    cert_free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("x509_name");
    TCase *t = tcase_create("x509_name");
    tcase_add_loop_test(t, test_names_match_as_rfc_5280_has_it, 0, sizeof rows / sizeof rows[0]);
    tcase_add_loop_test(t, test_long_names_match_byte_for_byte_only, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}
