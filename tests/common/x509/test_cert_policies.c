/* Certificate policies where an authority wants one (RFC 5280 6.1): what keeps the set of valid
 * policies alive down to the leaf, and what ends it. */
#include "common/encode/oid.h"
#include "common/x509/cert_policies.h"
#include "tests/support/chain_case.h"
#include "tests/support/runner.h"

#define EXT(o, v)                                                                                  \
    {                                                                                              \
        .oid = BYTES(o), .value = BYTES(v), .critical = true                                       \
    }
#define P "\x30\x05\x06\x03\x2a\x03\x04" /* PolicyInformation of 1.2.3.4 */
#define Q "\x30\x05\x06\x03\x2a\x03\x05"
#define ANY "\x30\x06\x06\x04\x55\x1d\x20\x00"
#define POLICY(v) EXT(OID_CERTIFICATE_POLICIES, v)
#define ONE(p) POLICY("\x30\x07" p)
#define TWO(p, q) POLICY("\x30\x0e" p q)
#define WITH_ANY(p) POLICY("\x30\x0f" p ANY)
#define ANY_ALONE POLICY("\x30\x08" ANY)
#define CONSTRAINTS(v) EXT(OID_CE "\x24", v)
#define EXPLICIT_NOW CONSTRAINTS("\x30\x03\x80\x01\x00")
#define EXPLICIT_AFTER_1 CONSTRAINTS("\x30\x03\x80\x01\x01")
#define EXPLICIT_AFTER_2 CONSTRAINTS("\x30\x03\x80\x01\x02")
#define EXPLICIT_NO_MAPPING CONSTRAINTS("\x30\x06\x80\x01\x00\x81\x01\x00")
#define MAP_P_TO_Q EXT(OID_CE "\x21", "\x30\x0c\x30\x0a\x06\x03\x2a\x03\x04\x06\x03\x2a\x03\x05")
#define MAP_ANY EXT(OID_CE "\x21", "\x30\x0d\x30\x0b\x06\x04\x55\x1d\x20\x00\x06\x03\x2a\x03\x05")
#define INHIBIT_ANY EXT(OID_CE "\x36", "\x02\x01\x00")

static const struct chain_case cases[] = {
    {"no policy anywhere, none wanted", ERR_OK, NULL, .no_uri = false},
    {"the same policy in both", ERR_OK, NULL, .leaf = {.extra = {ONE(P)}},
     .issuer = {.extra = {ONE(P), EXPLICIT_NOW}}},
    {"one of two policies goes on", ERR_OK, NULL, .leaf = {.extra = {TWO(Q, P)}},
     .issuer = {.extra = {ONE(P), EXPLICIT_NOW}}},
    {"another policy in the leaf", ERR_CERT_UNKNOWN_CRITICAL, "wants a certificate policy",
     .leaf = {.extra = {ONE(Q)}}, .issuer = {.extra = {ONE(P), EXPLICIT_NOW}}},
    {"no policy in the leaf", ERR_CERT_UNKNOWN_CRITICAL, "none holds",
     .issuer = {.extra = {ONE(P), EXPLICIT_NOW}}},
    {"no policy in the issuer that wants one", ERR_CERT_UNKNOWN_CRITICAL, "none holds",
     .leaf = {.extra = {ONE(P)}}, .issuer = {.extra = {EXPLICIT_NOW}}},
    {"wanted after one more certificate", ERR_CERT_UNKNOWN_CRITICAL, "none holds",
     .issuer = {.extra = {EXPLICIT_AFTER_1}}},
    {"wanted after the end of the path", ERR_OK, NULL, .issuer = {.extra = {EXPLICIT_AFTER_2}}},
    {"any policy in the issuer", ERR_OK, NULL, .leaf = {.extra = {ONE(Q)}},
     .issuer = {.extra = {ANY_ALONE, EXPLICIT_NOW}}},
    {"any policy in the leaf", ERR_OK, NULL, .leaf = {.extra = {ANY_ALONE}},
     .issuer = {.extra = {ONE(P), EXPLICIT_NOW}}},
    {"any policy beside another in the leaf", ERR_OK, NULL, .leaf = {.extra = {WITH_ANY(Q)}},
     .issuer = {.extra = {ONE(P), EXPLICIT_NOW}}},
    {"any policy in the leaf, inhibited", ERR_CERT_UNKNOWN_CRITICAL, "none holds",
     .leaf = {.extra = {ANY_ALONE}}, .issuer = {.extra = {ONE(P), EXPLICIT_NOW, INHIBIT_ANY}}},
    {"a mapped policy", ERR_OK, NULL, .leaf = {.extra = {ONE(Q)}},
     .issuer = {.extra = {ONE(P), EXPLICIT_NOW, MAP_P_TO_Q}}},
    {"a mapped policy under its old name", ERR_CERT_UNKNOWN_CRITICAL, "none holds",
     .leaf = {.extra = {ONE(P)}}, .issuer = {.extra = {ONE(P), EXPLICIT_NOW, MAP_P_TO_Q}}},
    {"a policy that is mapped from any", ERR_OK, NULL, .leaf = {.extra = {ONE(Q)}},
     .issuer = {.extra = {ANY_ALONE, EXPLICIT_NOW, MAP_P_TO_Q}}},
    {"a leaf that wants a policy of itself", ERR_CERT_UNKNOWN_CRITICAL, "none holds",
     .leaf = {.extra = {EXPLICIT_NOW}}},
    {"a mapping of any policy", ERR_CERT_MALFORMED, "maps any", .leaf = {.extra = {ONE(Q)}},
     .issuer = {.extra = {ONE(P), EXPLICIT_NOW, MAP_ANY}}},
    {"policies that are none", ERR_CERT_MALFORMED, "certificatePolicies",
     .leaf = {.extra = {POLICY("\x30\x02\x30\x00")}}, .issuer = {.extra = {ONE(P), EXPLICIT_NOW}}},
    {"policies that are none where nobody wants one", ERR_OK, NULL,
     .leaf = {.extra = {POLICY("\x30\x02\x30\x00")}}},
    {"what a root says of policies is not looked at", ERR_OK, NULL,
     .root = {.extra = {ONE(P), EXPLICIT_NOW}}},
};

START_TEST(test_a_policy_is_wanted_only_where_an_authority_says_so)
{
    chain_case_check(&cases[_i]);
}
END_TEST

/* root <- top <- issuer <- leaf: what `top` says binds the two below. */
static err_t verify(const struct cert_knobs *top_knobs, const struct cert_knobs *issuer_knobs,
                    const struct cert_knobs *leaf_knobs, struct why *why)
{
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *top = cert_make(top_knobs, root), *issuer = cert_make(issuer_knobs, top);
    struct cert *leaf = cert_make(leaf_knobs, issuer);
    struct bundle_set bundles;
    struct svid_peer peer;
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", root);
    const struct slice chain[] = {cert_der(leaf), cert_der(issuer), cert_der(top)};
    err_t err = svid_verify(
        chain, 3, &(struct svid_verify_options){.bundles = &bundles, .now = CERTS_NOW}, &peer, why);
    bundle_set_done(&bundles);
    cert_free(leaf);
    cert_free(issuer);
    cert_free(top);
    cert_free(root);
    return err;
}

START_TEST(test_mappings_may_be_forbidden_for_those_below)
{
    struct why why = {0};
    struct cert_knobs leaf = {.uri = WEB, .extra = {ONE(Q)}};
    struct cert_knobs issuer = {.ca = true, .cn = "issuer", .extra = {ONE(P), MAP_P_TO_Q}};
    struct cert_knobs top = {.ca = true, .cn = "top", .extra = {ONE(P), EXPLICIT_NOW}};
    ck_assert_msg(verify(&top, &issuer, &leaf, &why) == ERR_OK, "%s", why_text(&why));
    top.extra[1] = (struct cert_extension)EXPLICIT_NO_MAPPING;
    ck_assert_int_eq(verify(&top, &issuer, &leaf, &why), ERR_CERT_UNKNOWN_CRITICAL);
}
END_TEST

/* Self-issued certificates do not count down, and may say "any" where others may not. */
START_TEST(test_a_self_issued_authority_does_not_count)
{
    struct why why = {0};
    struct cert_knobs top = {.ca = true, .cn = "top", .extra = {ONE(P), EXPLICIT_AFTER_2}};
    struct cert_knobs other = {.ca = true, .cn = "issuer"}, same = {.ca = true, .cn = "top"};
    struct cert_knobs leaf = {.uri = WEB};
    ck_assert_int_eq(verify(&top, &other, &leaf, &why), ERR_CERT_UNKNOWN_CRITICAL);
    ck_assert_msg(verify(&top, &same, &leaf, &why) == ERR_OK, "%s", why_text(&why));
    top =
        (struct cert_knobs){.ca = true, .cn = "top", .extra = {ONE(P), EXPLICIT_NOW, INHIBIT_ANY}};
    same.extra[0] = other.extra[0] = (struct cert_extension)ANY_ALONE;
    leaf.extra[0] = (struct cert_extension)ONE(P);
    ck_assert_msg(verify(&top, &same, &leaf, &why) == ERR_OK, "%s", why_text(&why));
    ck_assert_int_eq(verify(&top, &other, &leaf, &why), ERR_CERT_UNKNOWN_CRITICAL);
}
END_TEST

START_TEST(test_policies_have_a_cap)
{
    struct why why = {0};
    uint8_t value[4 + 7 * (POLICIES_MAX + 1)] = {0x30, 0x82};
    size_t count = POLICIES_MAX + (size_t)_i, at = 4;
    for (size_t i = 0; i < count; i++, at += 7) {
        memcpy(value + at, P, 7);
        value[at + 6] = (uint8_t)(i + 1);
    }
    value[2] = (uint8_t)((at - 4) >> 8);
    value[3] = (uint8_t)(at - 4);
    struct cert_knobs top = {.ca = true, .cn = "top", .extra = {ONE(P), EXPLICIT_NOW}};
    struct cert_knobs issuer = {.ca = true, .cn = "issuer", .extra = {ONE(P)}};
    struct cert_knobs leaf = {
        .uri = WEB,
        .extra = {{.oid = BYTES(OID_CERTIFICATE_POLICIES), .value = {.data = value, .len = at}}}};
    err_t err = verify(&top, &issuer, &leaf, &why);
    ck_assert_msg(err == (_i == 0 ? ERR_OK : ERR_CERT_MALFORMED), "%s", why_text(&why));
    ck_assert(_i == 0 || strstr(why.text, "more than 64 policies") != NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cert_policies");
    TCase *t = tcase_create("cert_policies");
    tcase_add_loop_test(t, test_a_policy_is_wanted_only_where_an_authority_says_so, 0,
                        sizeof cases / sizeof cases[0]);
    tcase_add_test(t, test_mappings_may_be_forbidden_for_those_below);
    tcase_add_test(t, test_a_self_issued_authority_does_not_count);
    tcase_add_loop_test(t, test_policies_have_a_cap, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}
