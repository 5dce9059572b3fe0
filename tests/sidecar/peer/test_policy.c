/* Who is welcome on a route: by the whole SPIFFE ID and the route's list alone (X5-20). */
#include "sidecar/peer/policy.h"
#include "tests/support/runner.h"

#include <stdio.h>

enum { RULES_MAX = 40 };

static struct spiffeid_rule rules[RULES_MAX];
static char *peers[RULES_MAX + 1];
static struct route_config route;
static struct why why;

static void use(enum route_direction direction, const char *const *list)
{
    size_t count = 0;
    for (; list[count] != NULL; count++) {
        peers[count] = (char *)list[count];
        ck_assert_int_eq(spiffeid_rule_parse(slice_str(list[count]), &rules[count], NULL), ERR_OK);
    }
    peers[count] = NULL;
    route = (struct route_config){
        .direction = direction, .peers = peers, .rules = rules, .rule_count = count};
}

static err_t check(const char *text)
{
    struct spiffeid id;
    why = (struct why){0};
    ck_assert_int_eq(spiffeid_parse(slice_str(text), &id, &why), ERR_OK);
    return policy_check(&route, &id, &why);
}

static const char *const two[] = {"spiffe://example.org/a", "spiffe://example.org/ns/*", NULL};
static const struct {
    const char *id;
    err_t want;
    size_t rule;
} cases[] = {
    {"spiffe://example.org/a", ERR_OK, 0},
    {"spiffe://example.org/ns/x", ERR_OK, 1},
    {"spiffe://example.org/ns/x/y", ERR_OK, 1},
    {"spiffe://example.org/ns", ERR_PEER_NOT_ALLOWED, 2},
    {"spiffe://example.org/nsx/y", ERR_PEER_NOT_ALLOWED, 2},
    {"spiffe://example.org/a/b", ERR_PEER_NOT_ALLOWED, 2},
    {"spiffe://example.org/A", ERR_PEER_NOT_ALLOWED, 2},
    {"spiffe://example.org/b", ERR_PEER_NOT_ALLOWED, 2},
    {"spiffe://example.com/a", ERR_PEER_NOT_ALLOWED, 2},
    {"spiffe://other.example.org/a", ERR_PEER_NOT_ALLOWED, 2},
};

START_TEST(test_an_id_is_welcome_when_a_rule_of_the_route_says_so)
{
    struct spiffeid id;
    use(ROUTE_INBOUND, two);
    ck_assert_int_eq(spiffeid_parse(slice_str(cases[_i].id), &id, NULL), ERR_OK);
    ck_assert_uint_eq(policy_find(&route, &id), cases[_i].rule);
    ck_assert_int_eq(check(cases[_i].id), cases[_i].want);
}
END_TEST

START_TEST(test_a_refusal_names_the_id_and_the_list)
{
    use(ROUTE_INBOUND, two);
    ck_assert_int_eq(check("spiffe://example.org/b"), ERR_PEER_NOT_ALLOWED);
    ck_assert_str_eq(why_text(&why), "spiffe://example.org/b is not in `allow` "
                                     "(spiffe://example.org/a, spiffe://example.org/ns/*)");
    use(ROUTE_OUTBOUND, two);
    ck_assert_int_eq(check("spiffe://example.org/b"), ERR_PEER_NOT_ALLOWED);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "is not in `expect` ("));
}
END_TEST

/* What is left on the stack must not be taken for a list. */
static void leave_text_on_the_stack(void)
{
    volatile char text[8192];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = 'x';
}

START_TEST(test_an_empty_list_admits_nobody_and_says_so)
{
    static const char *const none[] = {NULL};
    use(ROUTE_INBOUND, none);
    struct spiffeid id;
    ck_assert_int_eq(spiffeid_parse(slice_str("spiffe://example.org/a"), &id, NULL), ERR_OK);
    leave_text_on_the_stack();
    ck_assert_int_eq(policy_check(&route, &id, &why), ERR_PEER_NOT_ALLOWED);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "(empty: admits nobody)"));
}
END_TEST

/* Only the first of many rules are named; all of them count. */
START_TEST(test_a_long_list_is_named_in_part_and_used_whole)
{
    static char texts[RULES_MAX][32];
    const char *list[RULES_MAX + 1] = {NULL};
    for (int i = 0; i < RULES_MAX; i++) {
        snprintf(texts[i], sizeof texts[i], "spiffe://example.org/%03d", i);
        list[i] = texts[i];
    }
    use(ROUTE_INBOUND, list);
    ck_assert_int_eq(check("spiffe://example.org/039"), ERR_OK);
    ck_assert_int_eq(check("spiffe://example.org/040"), ERR_PEER_NOT_ALLOWED);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "/000, spiffe://example.org/001, "));
    ck_assert_ptr_nonnull(strstr(why_text(&why), "spiffe://example.org/008"));
    ck_assert_ptr_null(strstr(why_text(&why), "spiffe://example.org/010"));
}
END_TEST

/* 255 bytes of the list are named, whatever the lengths of its rules. */
START_TEST(test_a_list_of_long_rules_is_cut)
{
    static const size_t lengths[] = {200, 253, 254, 255, 256, 400};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        static char texts[2][512];
        const char *list[] = {texts[0], texts[1], NULL};
        for (int k = 0; k < 2; k++) {
            memset(texts[k], 'a' + k, lengths[i]);
            texts[k][lengths[i]] = '\0';
            memcpy(texts[k], "spiffe://example.org/", 21);
        }
        use(ROUTE_INBOUND, list);
        ck_assert_int_eq(check("spiffe://example.org/x"), ERR_PEER_NOT_ALLOWED);
        const char *open = strchr(why_text(&why), '('), *close = strrchr(why_text(&why), ')');
        ck_assert(open != NULL && close != NULL);
        ck_assert_int_eq(close - open - 1, 255);
        ck_assert_int_eq(strncmp(open + 1, texts[0], lengths[i] < 255 ? lengths[i] : 255), 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy");
    TCase *t = tcase_create("policy");
    tcase_add_loop_test(t, test_an_id_is_welcome_when_a_rule_of_the_route_says_so, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(t, test_a_refusal_names_the_id_and_the_list);
    tcase_add_test(t, test_an_empty_list_admits_nobody_and_says_so);
    tcase_add_test(t, test_a_long_list_is_named_in_part_and_used_whole);
    tcase_add_test(t, test_a_list_of_long_rules_is_cut);
    suite_add_tcase(s, t);
    return run_suite(s);
}
