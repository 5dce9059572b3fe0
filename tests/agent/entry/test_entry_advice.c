/* Entries that are valid and still will not do what their author hopes: each is one warning. */
#include "agent/entry/entry_advice.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <stdio.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))
#define AT "e.yaml:2: warning: entries[0]: "

static struct entry_set *set;
static struct buf report;
static unsigned asked;

/* web is 1000, in either list; "dark" is in a directory that does not answer. */
static int look_up(bool is_group, const char *name, uint32_t *ret_id)
{
    (void)is_group;
    asked++;
    if (strcmp(name, "dark") == 0)
        return -1;
    *ret_id = 1000;
    return strcmp(name, "web") == 0 ? 1 : 0;
}

static void parse(const char *text)
{
    struct why why = {0};
    ck_assert_msg(entries_parse("e.yaml", slice_str(text), "example.org", &report, &set, &why) ==
                      ERR_OK,
                  "%s", why_text(&why));
    ck_assert_uint_eq(report.len, 0);
}

static void advise(void)
{
    struct entry_advice advice = {.lookup = look_up, .issuer_ttl_s = 86400};
    entry_advise(set, &advice, &report);
    ck_assert_int_eq(buf_append(&report, "", 1), ERR_OK);
}

static void setup(void)
{
    set = NULL;
    asked = 0;
    buf_init(&report, 1u << 20);
}

static void teardown(void)
{
    entries_free(set);
    buf_done(&report);
}

static const struct {
    const char *selectors, *more, *want;
} cases[] = {
    {"unix:uid:1000", "", ""},
    {"unix:uid:1000', 'unix:gid:1000', 'unix:user:web', 'unix:group:web", "", ""},
    {"unix:supplementary_gid:1', 'unix:supplementary_gid:2", "", ""},
    {"unix:supplementary_group:web', 'unix:supplementary_gid:2", "", ""},
    {"unix:user:dark", "", ""},
    {"unix:uid:1', 'unix:uid:2", "",
     AT "no process has both unix:uid:1 and unix:uid:2, and all selectors must hold: nobody "
        "matches\n"},
    {"unix:gid:1', 'unix:gid:2", "",
     AT "no process has both unix:gid:1 and unix:gid:2, and all selectors must hold: nobody "
        "matches\n"},
    {"unix:path:/a', 'unix:path:/b", "",
     AT "no process has both unix:path:/a and unix:path:/b, and all selectors must hold: nobody "
        "matches\n"},
    {"unix:user:web', 'unix:user:dark", "",
     AT "no process has both unix:user:dark and unix:user:web, and all selectors must hold: nobody "
        "matches\n"},
    {"unix:user:web', 'unix:uid:1001", "",
     AT "no process has both unix:user:web and unix:uid:1001: that user has the id 1000, so nobody "
        "matches\n"},
    {"unix:group:web', 'unix:gid:1001", "",
     AT
     "no process has both unix:group:web and unix:gid:1001: that group has the id 1000, so nobody "
     "matches\n"},
    {"unix:group:web', 'unix:uid:1001", "", ""},
    {"unix:user:wbe", "",
     AT "unix:user:wbe: this machine knows no user of that name, so nobody matches\n"},
    {"unix:group:wbe", "",
     AT "unix:group:wbe: this machine knows no group of that name, so nobody matches\n"},
    {"unix:supplementary_group:wbe", "",
     AT
     "unix:supplementary_group:wbe: this machine knows no group of that name, so nobody matches\n"},
    {"unix:uid:1", "x509_ttl: 12h", ""},
    {"unix:uid:1", "x509_ttl: 43201s",
     AT "x509_ttl of 43201 s will be cut: the issuing intermediate lives 86400 s and is renewed at "
        "half of it; raise authority.issuer_ttl, or ask for at most 43200 s\n"},
    {"unix:uid:1", "federates_with: [partner.test]",
     AT "federates_with has no effect: federation is not built in this version\n"},
    {"unix:uid:1", "federates_with: []", ""},
};

START_TEST(test_what_is_odd_is_one_line_and_what_is_not_is_none)
{
    char text[1024];
    snprintf(text, sizeof text,
             "entries:\n- spiffe_id: spiffe://example.org/web\n  selectors: ['%s']\n  %s\n",
             cases[_i].selectors, cases[_i].more);
    parse(text);
    advise();
    ck_assert_str_eq((const char *)report.data, cases[_i].want);
}
END_TEST

START_TEST(test_lines_and_questions_are_bounded)
{
    struct buf text;
    buf_init(&text, 1u << 20);
    ck_assert_int_eq(buf_append_str(&text, "entries:\n"), ERR_OK);
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(buf_printf(&text,
                                    "- spiffe_id: spiffe://example.org/w%d\n"
                                    "  selectors: ['unix:user:%s', 'unix:uid:%d']\n",
                                    i, _i == 0 ? "wbe" : "dark", i),
                         ERR_OK);
    ck_assert_int_eq(buf_append(&text, "", 1), ERR_OK);
    parse((const char *)text.data);
    advise();
    size_t lines = 0;
    for (const char *at = (const char *)report.data; *at != '\0'; at++)
        lines += *at == '\n' ? 1 : 0;
    ck_assert_uint_eq(lines, _i == 0 ? ENTRY_ADVICE_MAX + 1 : 0);
    ck_assert_uint_le(asked, ENTRY_LOOKUPS_MAX);
    ck_assert((strstr((const char *)report.data, "more warnings") != NULL) == (_i == 0));
    buf_done(&text);
}
END_TEST

/* Whoever runs this is in the list of users as root. */
START_TEST(test_this_machine_knows_root)
{
    parse("entries:\n- spiffe_id: spiffe://example.org/web\n  selectors: ['unix:user:root', "
          "'unix:uid:0', 'unix:group:root', 'unix:gid:0']\n");
    entry_advise(set, &(struct entry_advice){.issuer_ttl_s = 86400}, &report);
    ck_assert_uint_eq(report.len, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("entry_advice");
    TCase *t = tcase_create("entry_advice");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_what_is_odd_is_one_line_and_what_is_not_is_none, 0, COUNT(cases));
    tcase_add_loop_test(t, test_lines_and_questions_are_bounded, 0, 2);
    tcase_add_test(t, test_this_machine_knows_root);
    suite_add_tcase(s, t);
    return run_suite(s);
}
