/* Which rule comes nearest to a SPIFFE ID and what differs; what is said to do. */
#include "sidecar/peer/explain.h"
#include "tests/support/runner.h"

#include <stdio.h>

#define RULES_MAX 4

static const struct {
    const char *id;
    const char *rules[RULES_MAX];
    int admits, nearest; /* -1: none */
    const char *differs;
} cases[] = {
    {"spiffe://a.test/x", {"spiffe://a.test/x"}, 0, -1, ""},
    {"spiffe://a.test/ns/x", {"spiffe://a.test/y", "spiffe://a.test/ns/*"}, 1, -1, ""},
    {"spiffe://a.test/x", {NULL}, -1, -1, ""},
    {"spiffe://a.test/x",
     {"spiffe://b.test/x"},
     -1,
     0,
     "trust domain \"a.test\" in the ID, \"b.test\" in the rule"},
    /* of the same trust domain, however unlike */
    {"spiffe://a.test/x",
     {"spiffe://b.test/x", "spiffe://a.test/quite/another"},
     -1,
     1,
     "segment 1 is \"x\" in the ID, \"quite\" in the rule"},
    /* most segments in common */
    {"spiffe://a.test/ns/shop/web",
     {"spiffe://a.test/ns/bank/web", "spiffe://a.test/ns/shop/db"},
     -1,
     1,
     "segment 3 is \"web\" in the ID, \"db\" in the rule"},
    /* then the segment most alike */
    {"spiffe://a.test/ns/shop",
     {"spiffe://a.test/ns/bank", "spiffe://a.test/ns/shops", "spiffe://a.test/ns/farm"},
     -1,
     1,
     "segment 2 is \"shop\" in the ID, \"shops\" in the rule"},
    {"spiffe://a.test/Web",
     {"spiffe://a.test/web"},
     -1,
     0,
     "segment 1 is \"Web\" in the ID, \"web\" in the rule: they differ in case alone"},
    {"spiffe://a.test/ns/shop",
     {"spiffe://a.test/ns/shop/*"},
     -1,
     0,
     "the rule wants at least one segment more behind it"},
    {"spiffe://a.test/ns/shop/web",
     {"spiffe://a.test/ns/shop"},
     -1,
     0,
     "the ID goes on with \"/web\" where the rule ends"},
    {"spiffe://a.test/ns",
     {"spiffe://a.test/ns/shop"},
     -1,
     0,
     "the ID ends where the rule goes on with \"/shop\""},
    {"spiffe://a.test/ns",
     {"spiffe://a.test/ns/shop/*"},
     -1,
     0,
     "the ID ends where the rule goes on with \"/shop/*\""},
    {"spiffe://b.test/x",
     {"spiffe://a.test/*"},
     -1,
     0,
     "trust domain \"b.test\" in the ID, \"a.test\" in the rule"},
    {"spiffe://a.test/x", {"spiffe://a.test/*"}, 0, -1, ""},
};

START_TEST(test_the_rule_that_admits_or_the_nearest_and_what_differs)
{
    struct spiffeid_rule rules[RULES_MAX];
    struct spiffeid id;
    struct explain_rule got;
    struct route_config route = {.rules = rules};
    for (; route.rule_count < RULES_MAX && cases[_i].rules[route.rule_count] != NULL;
         route.rule_count++)
        ck_assert_int_eq(spiffeid_rule_parse(slice_str(cases[_i].rules[route.rule_count]),
                                             &rules[route.rule_count], NULL),
                         ERR_OK);
    ck_assert_int_eq(spiffeid_parse(slice_str(cases[_i].id), &id, NULL), ERR_OK);
    explain_rules(&route, &id, &got);
    ck_assert_uint_eq(got.admits,
                      cases[_i].admits < 0 ? route.rule_count : (size_t)cases[_i].admits);
    ck_assert_uint_eq(got.nearest,
                      cases[_i].nearest < 0 ? route.rule_count : (size_t)cases[_i].nearest);
    ck_assert_str_eq(got.differs, cases[_i].differs);
}
END_TEST

#define HELD                                                                                       \
    {                                                                                              \
        .state = REVOCATION_REVOKED                                                                \
    }

static const struct {
    struct explain_peer peer;
    const char *verdict, *says;
} verdicts[] = {
    {{.own_pid = 77}, "no_identity", "spindle-agent explain --pid 77"},
    {{.has_identity = true, .accepting = 1}, "no_trust", "federates_with"},
    {{.has_identity = true,
      .is_trusted = true,
      .checks_revocation = true,
      .held = HELD,
      .accepting = 1},
     "held",
     "revoke --lift spiffe://a.test/x"},
    {{.has_identity = true, .is_trusted = true, .held = HELD, .accepting = 1},
     "accepted",
     "Nothing to change"},
    {{.has_identity = true, .is_trusted = true}, "not_listed", "Add \"spiffe://a.test/x\""},
    {{.has_identity = true, .is_trusted = true, .accepting = 1}, "accepted", "lists."},
    {{.has_identity = true, .is_trusted = true, .accepting = 1, .last = ERR_CERT_EXPIRED},
     "accepted",
     "clocks agree"},
    {{.has_identity = true, .is_trusted = true, .accepting = 1, .last = ERR_CERT_REVOKED},
     "accepted",
     "svids renew"},
    {{.has_identity = true, .is_trusted = true, .accepting = 1, .last = ERR_CHAIN_INCOMPLETE},
     "accepted",
     "does not lead to a root"},
    {{.has_identity = true, .is_trusted = true, .accepting = 1, .last = ERR_TLS_ALERT},
     "accepted",
     "ask explain there"},
    {{.has_identity = true, .is_trusted = true, .accepting = 1, .last = ERR_TIMEOUT},
     "accepted",
     "errors.md"},
};

START_TEST(test_each_verdict_ends_with_what_to_do)
{
    struct explain_peer p = verdicts[_i].peer;
    struct buf text;
    buf_init(&text, 4096);
    p.id = "spiffe://a.test/x";
    ck_assert_str_eq(explain_verdict_name(explain_judge(&p)), verdicts[_i].verdict);
    ck_assert_int_eq(explain_next(&p, &text), ERR_OK);
    ck_assert_int_eq(buf_append(&text, "", 1), ERR_OK);
    ck_assert_msg(strstr((const char *)text.data, verdicts[_i].says) != NULL, "no \"%s\" in \"%s\"",
                  verdicts[_i].says, text.data);
    buf_done(&text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sidecar_explain");
    TCase *t = tcase_create("sidecar_explain");
    tcase_add_loop_test(t, test_the_rule_that_admits_or_the_nearest_and_what_differs, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_loop_test(t, test_each_verdict_ends_with_what_to_do, 0,
                        (int)(sizeof verdicts / sizeof verdicts[0]));
    suite_add_tcase(s, t);
    return run_suite(s);
}
