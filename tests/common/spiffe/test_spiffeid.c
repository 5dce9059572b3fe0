/* SPIFFE IDs: what is accepted, what is refused and why; rules of allow lists. */
#include "common/spiffe/spiffeid.h"
#include "tests/support/runner.h"

#include <stdio.h>

static const char *const good[] = {
    "spiffe://example.org",
    "spiffe://example.org/web",
    "spiffe://10.0.0.1/x", /* ID-2, ID-8: an address is a name like any other */
    "spiffe://127.0.0.1/x",
    "spiffe://a_b/x",
    "spiffe://a-b.c_d.0/x",
    "spiffe://td/...",
    "spiffe://td/a.b/..c/.hidden", /* ID-4 */
    "spiffe://td/A-Z_09/ns/Shop/sa",
    "spiffe://td/spire/agent/x",
    "spiffe://-/-",
};

START_TEST(test_well_formed_id_is_accepted)
{
    struct spiffeid id = {0};
    struct why why = {0};
    ck_assert_msg(spiffeid_parse(slice_str(good[_i]), &id, &why) == ERR_OK, "%s: %s", good[_i],
                  why_text(&why));
    ck_assert(slice_eq_str(id.text, good[_i]));
    ck_assert_uint_eq(id.trust_domain.len + id.path.len + 9, strlen(good[_i]));
}
END_TEST

static const struct bad_case {
    const char *text, *because;
} bad[] = {
    /* ID-1: only the scheme, no query, fragment, userinfo, port */
    {"", "does not start with spiffe://"},
    {"http://td/x", "does not start with"},
    {"spiffe:/td/x", "does not start with"},
    {"spiffe:td", "does not start with"},
    {" spiffe://td/x", "does not start with"},
    {"spiffe://td/x?q=1", "byte 14: '?' is not allowed in a path"},
    {"spiffe://td?q", "byte 12: '?' is not allowed in a trust domain"},
    {"spiffe://td/x#f", "byte 14: '#'"},
    {"spiffe://user@td/x", "byte 14: '@'"},
    /* ID-2: the trust domain */
    {"spiffe://", "trust domain is empty"},
    {"spiffe:///x", "trust domain is empty"},
    {"spiffe://a:80/x", "no port"},
    {"spiffe://[::1]/x", "byte 10: '['"},
    {"spiffe://%61/x", "byte 10: '%'"},
    {"spiffe://t d/x", "byte 11: 0x20"},
    {"spiffe://t\xc3\xa4/x", "byte 11: 0xc3"},
    /* ID-3: lower case */
    {"SPIFFE://x/y", "does not start with"},
    {"Spiffe://x/y", "does not start with"},
    {"spiffe://Example.org/y", "byte 10: 'E': the trust domain must be in lower case"},
    /* ID-4: the path */
    {"spiffe://td/", "byte 12: a slash at the end"},
    {"spiffe://td/a/", "byte 14: a slash at the end"},
    {"spiffe://td//", "a slash at the end"},
    {"spiffe://td/a//b", "byte 15: a path segment is empty"},
    {"spiffe://td//a", "a path segment is empty"},
    {"spiffe://td/a/./b", "'.' and '..'"},
    {"spiffe://td/a/..", "'.' and '..'"},
    {"spiffe://td/../a", "'.' and '..'"},
    {"spiffe://td/a%20b", "byte 14: '%' is not allowed in a path"},
    {"spiffe://td/a\nb", "byte 14: 0x0a"},
    {"spiffe://td/a:b", "byte 14: ':'"},
    {"spiffe://td/*", "byte 13: '*'"},
    {"spiffe://td/a\\b", "byte 14: '\\'"},
};

START_TEST(test_broken_rule_is_named)
{
    struct spiffeid id = {.path = {.len = 77}};
    struct why why = {0};
    ck_assert_int_eq(spiffeid_parse(slice_str(bad[_i].text), &id, &why), ERR_SPIFFE_ID);
    ck_assert_msg(strstr(why_text(&why), bad[_i].because) != NULL, "\"%s\": %s", bad[_i].text,
                  why_text(&why));
    ck_assert_uint_eq(id.path.len, 77); /* untouched */
}
END_TEST

START_TEST(test_id_with_a_nul_inside_is_refused)
{
    struct spiffeid id;
    ck_assert_int_eq(spiffeid_parse(slice_of("spiffe://td/a\0b", 15), &id, NULL), ERR_SPIFFE_ID);
    ck_assert_int_eq(spiffeid_parse(slice_of("spiffe://t\0d/a", 14), &id, NULL), ERR_SPIFFE_ID);
}
END_TEST

/* ID-6, ID-7 */
START_TEST(test_lengths_at_and_past_the_limits)
{
    char text[SPIFFEID_MAX + 2];
    struct spiffeid id;
    struct why why = {0};
    memset(text, 'a', sizeof text);
    memcpy(text, "spiffe://td/", 12);
    ck_assert_int_eq(spiffeid_parse(slice_of(text, SPIFFEID_MAX), &id, &why), ERR_OK);
    ck_assert_int_eq(spiffeid_parse(slice_of(text, SPIFFEID_MAX + 1), &id, &why), ERR_SPIFFE_ID);
    ck_assert_str_eq(why_text(&why), "the ID has 2049 bytes, at most 2048 are allowed");

    memset(text, 'a', sizeof text);
    ck_assert_int_eq(trust_domain_check(slice_of(text, 255), &why), ERR_OK);
    ck_assert_int_eq(trust_domain_check(slice_of(text, 256), &why), ERR_SPIFFE_ID);
    ck_assert_str_eq(why_text(&why), "the trust domain has 256 bytes, at most 255 are allowed");
    memcpy(text, "spiffe://", 9);
    text[9 + 256] = '/';
    ck_assert_int_eq(spiffeid_parse(slice_of(text, 300), &id, &why), ERR_SPIFFE_ID);
}
END_TEST

START_TEST(test_trust_domain_is_a_bare_name)
{
    static const char *const refused[] = {"", "spiffe://td", "td/", "Td", "td:1", "*.td", "t%64"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        ck_assert_msg(trust_domain_check(slice_str(refused[i]), NULL) == ERR_SPIFFE_ID, "%s",
                      refused[i]);
    ck_assert_int_eq(trust_domain_check(slice_str("example.org"), NULL), ERR_OK);
}
END_TEST

/* ID-5 */
START_TEST(test_paths_compare_by_case)
{
    struct spiffeid a, b, c;
    ck_assert_int_eq(spiffeid_parse(slice_str("spiffe://td/a"), &a, NULL), ERR_OK);
    ck_assert_int_eq(spiffeid_parse(slice_str("spiffe://td/A"), &b, NULL), ERR_OK);
    ck_assert_int_eq(spiffeid_parse(slice_str("spiffe://td/a"), &c, NULL), ERR_OK);
    ck_assert(!slice_eq(a.text, b.text));
    ck_assert(slice_eq(a.text, c.text));
}
END_TEST

/* ID-9: an authority's ID has no path */
START_TEST(test_id_of_a_trust_domain_has_an_empty_path)
{
    struct spiffeid id;
    ck_assert_int_eq(spiffeid_parse(slice_str("spiffe://td"), &id, NULL), ERR_OK);
    ck_assert_uint_eq(id.path.len, 0);
    ck_assert(slice_eq_str(id.trust_domain, "td"));
}
END_TEST

static const struct rule_case {
    const char *rule, *id;
    bool match;
} rules[] = {
    {"spiffe://td/a", "spiffe://td/a", true},
    {"spiffe://td/a", "spiffe://td/ab", false}, /* a suffix */
    {"spiffe://td/ab", "spiffe://td/a", false},
    {"spiffe://td/a", "spiffe://td/A", false}, /* ID-5 */
    {"spiffe://td/a", "spiffe://td/a/b", false},
    {"spiffe://td/a", "spiffe://td2/a", false},
    {"spiffe://td/*", "spiffe://td/a", true},
    {"spiffe://td/*", "spiffe://td/a/b/c", true},
    {"spiffe://td/*", "spiffe://td", false},
    {"spiffe://td/*", "spiffe://td.evil/a", false},
    {"spiffe://td/ns/shop/*", "spiffe://td/ns/shop/sa/web", true},
    {"spiffe://td/ns/shop/*", "spiffe://td/ns/shop", false},
    {"spiffe://td/ns/shop/*", "spiffe://td/ns/shopping/x", false},
};

START_TEST(test_rule_matches_whole_segments_only)
{
    struct spiffeid_rule rule;
    struct spiffeid id;
    ck_assert_int_eq(spiffeid_rule_parse(slice_str(rules[_i].rule), &rule, NULL), ERR_OK);
    ck_assert_int_eq(spiffeid_parse(slice_str(rules[_i].id), &id, NULL), ERR_OK);
    ck_assert_msg(spiffeid_rule_matches(&rule, &id) == rules[_i].match, "%s %s", rules[_i].rule,
                  rules[_i].id);
}
END_TEST

static const struct bad_case bad_rules[] = {
    {"*", "'*' may only be the whole last segment"},
    {"/*", "'*' may only be"},
    {"spiffe://*", "'*' may only be"},
    {"spiffe://*/x", "'*' may only be"},
    {"spiffe:///*", "trust domain is empty"},
    {"spiffe://td/*/x", "'*' may only be"},
    {"spiffe://td/a*", "'*' may only be"},
    {"spiffe://td/**", "'*' may only be"},
    {"spiffe://td/*/*", "'*' may only be"},
    {"spiffe://td//*", "a slash at the end"},
    {"spiffe://td", "names a trust domain and no workload; spiffe://td/* admits"},
    {"spiffe://td/", "a slash at the end"},
    {"", "does not start with"},
};

START_TEST(test_bad_rule_is_refused)
{
    struct spiffeid_rule rule;
    struct why why = {0};
    ck_assert_int_eq(spiffeid_rule_parse(slice_str(bad_rules[_i].text), &rule, &why),
                     ERR_SPIFFE_ID);
    ck_assert_msg(strstr(why_text(&why), bad_rules[_i].because) != NULL, "\"%s\": %s",
                  bad_rules[_i].text, why_text(&why));
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("spiffeid");
    TCase *t = tcase_create("spiffeid");
    tcase_add_loop_test(t, test_well_formed_id_is_accepted, 0, COUNT(good));
    tcase_add_loop_test(t, test_broken_rule_is_named, 0, COUNT(bad));
    tcase_add_test(t, test_id_with_a_nul_inside_is_refused);
    tcase_add_test(t, test_lengths_at_and_past_the_limits);
    tcase_add_test(t, test_trust_domain_is_a_bare_name);
    tcase_add_test(t, test_paths_compare_by_case);
    tcase_add_test(t, test_id_of_a_trust_domain_has_an_empty_path);
    tcase_add_loop_test(t, test_rule_matches_whole_segments_only, 0, COUNT(rules));
    tcase_add_loop_test(t, test_bad_rule_is_refused, 0, COUNT(bad_rules));
    suite_add_tcase(s, t);
    return run_suite(s);
}
