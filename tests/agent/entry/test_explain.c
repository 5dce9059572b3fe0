/* Why a process gets an identity or none: the entry that comes nearest, and what is said to do. */
#include "agent/entry/explain.h"
#include "tests/support/runner.h"

#include <stdio.h>

static struct entry_set *set;
static struct selector_set found;

/* Entries from lines "id: selector selector"; what is found from one such line. */
static void load(const char *entries)
{
    struct buf text, report;
    struct why why = {0};
    buf_init(&text, 1 << 20);
    buf_init(&report, 1 << 16);
    ck_assert_int_eq(buf_append_str(&text, "entries:\n"), ERR_OK);
    while (*entries != '\0') {
        size_t id = strcspn(entries, ":"), line = strcspn(entries, "\n");
        ck_assert_int_eq(buf_printf(&text,
                                    "- id: %.*s\n  spiffe_id: spiffe://example.org/%.*s\n"
                                    "  selectors: [",
                                    (int)id, entries, (int)id, entries),
                         ERR_OK);
        for (const char *at = entries + id + 2; at < entries + line;) {
            size_t len = strcspn(at, " \n");
            ck_assert_int_eq(buf_printf(&text, "\"%.*s\",", (int)len, at), ERR_OK);
            at += len + 1;
        }
        text.len--;
        ck_assert_int_eq(buf_append_str(&text, "]\n"), ERR_OK);
        entries += line + (entries[line] != '\0');
    }
    err_t err = entries_parse("t", buf_slice(&text), "example.org", &report, &set, &why);
    ck_assert_msg(err == ERR_OK, "%s %.*s\n%.*s", why_text(&why), SLICE_ARG(buf_slice(&report)),
                  SLICE_ARG(buf_slice(&text)));
    buf_done(&text);
    buf_done(&report);
}

static void find(const char *selectors)
{
    selector_set_init(&found);
    while (*selectors != '\0') {
        size_t len = strcspn(selectors, " ");
        ck_assert_int_eq(selector_set_add(&found, "%.*s", (int)len, selectors), ERR_OK);
        selectors += len + (selectors[len] != '\0');
    }
}

static void done(void)
{
    entries_free(set);
    set = NULL;
    selector_set_done(&found);
}

static const struct {
    const char *entries, *found;
    const char *matches, *nearest; /* ids in order, separated by one space */
} cases[] = {
    {"a: unix:uid:1\n", "unix:uid:1 unix:gid:1", "a", ""},
    {"a: unix:uid:1\nb: unix:gid:1\nc: unix:uid:2", "unix:uid:1 unix:gid:1", "a b", ""},
    {"a: unix:uid:1\n", "unix:uid:2", "", "a"},
    /* fewest missing first */
    {"a: unix:uid:1 unix:gid:7\nb: unix:uid:1", "unix:uid:2", "", "b a"},
    /* then most that hold */
    {"a: unix:uid:1\nb: unix:uid:1 unix:gid:2", "unix:uid:2 unix:gid:2", "", "b a"},
    /* then the text most alike; a short path against a long one by its end */
    {"a: unix:path:/usr/bin/other\nb: unix:path:/usr/bin/web\nc: unix:path:/bin/x",
     "unix:path:/usr/sbin/web", "", "b a c"},
    {"a: unix:user:web\nb: unix:path:/opt/a", "unix:path:/opt/b unix:uid:1", "", "b a"},
    /* then as written; three at most */
    {"a: unix:uid:10\nb: unix:uid:20\nc: unix:uid:30\nd: unix:uid:40", "unix:uid:50", "", "a b c"},
    {"a: unix:uid:10\nb: unix:uid:20\nc: unix:uid:300\nd: unix:uid:1501", "unix:uid:1500", "",
     "d a c"},
    /* nothing found at all */
    {"a: unix:uid:10", "", "", "a"},
};

START_TEST(test_the_entries_that_match_or_come_nearest)
{
    char got[256] = "";
    struct explanation x;
    load(cases[_i].entries);
    find(cases[_i].found);
    explain_entries(set, &found, &x);
    for (size_t i = 0; i < x.match_count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i > 0 ? " " : "",
                 x.matches[i]->id);
    ck_assert_str_eq(got, cases[_i].matches);
    got[0] = '\0';
    for (size_t i = 0; i < x.nearest_count; i++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i > 0 ? " " : "",
                 x.nearest[i].entry->id);
    ck_assert_str_eq(got, cases[_i].nearest);
    done();
}
END_TEST

START_TEST(test_many_matches_are_counted_beyond_those_shown)
{
    static char lines[16 * 1024];
    struct explanation x;
    for (int i = 0; i < EXPLAIN_MATCHES_MAX + 5; i++)
        snprintf(lines + strlen(lines), sizeof lines - strlen(lines), "e%d: unix:uid:1\n", i);
    load(lines);
    find("unix:uid:1");
    explain_entries(set, &found, &x);
    ck_assert_uint_eq(x.match_count, EXPLAIN_MATCHES_MAX + 5);
    ck_assert_str_eq(x.matches[EXPLAIN_MATCHES_MAX - 1]->id, "e63");
    done();
}
END_TEST

START_TEST(test_selectors_of_the_same_kind_are_shown_beside_the_one_that_fails)
{
    const char *alike[2];
    find("unix:gid:1 unix:supplementary_gid:4 unix:supplementary_gid:5 unix:supplementary_gid:6 "
         "unix:uid:1");
    ck_assert_uint_eq(explain_alike(&found, "unix:supplementary_gid:9", alike, 2), 2);
    ck_assert_str_eq(alike[0], "unix:supplementary_gid:4");
    ck_assert_uint_eq(explain_alike(&found, "unix:user:web", alike, 2), 0);
    ck_assert_uint_eq(explain_alike(&found, "unix:gid:2", alike, 2), 1);
    ck_assert_str_eq(alike[0], "unix:gid:1");
    selector_set_done(&found);
}
END_TEST

static const struct {
    enum explain_verdict verdict;
    const char *entries, *found;
    err_t err;
    const char *says[4]; /* in this order */
    const char *held;
} advice[] = {
    {EXPLAIN_NO_ENTRY,
     "web: unix:uid:1000 unix:gid:1",
     "unix:uid:1001 unix:gid:1",
     ERR_OK,
     {"spiffe://example.org/web (entry web)", "run it so that unix:uid:1000 holds",
      "it has unix:uid:1001", "such as [\"unix:uid:1001\"]"},
     NULL},
    {EXPLAIN_NO_ENTRY,
     "web: unix:path:/usr/bin/web",
     "unix:path:/usr/sbin/web unix:uid:1",
     ERR_OK,
     {"unix:path:/usr/bin/web holds", "it has unix:path:/usr/sbin/web",
      "such as [\"unix:uid:1\", \"unix:path:/usr/sbin/web\"]", NULL},
     NULL},
    {EXPLAIN_NO_ENTRY,
     "web: unix:path:/usr/bin/web",
     "unix:uid:1",
     ERR_OK,
     {"unix:path:/usr/bin/web holds,", "replaced or deleted", "restart the workload", NULL},
     NULL},
    {EXPLAIN_NO_ENTRY,
     "web: unix:sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "unix:sha256:aaaac44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 unix:uid:1",
     ERR_OK,
     {"needs its new hash", NULL},
     NULL},
    {EXPLAIN_NO_ENTRY,
     "web: unix:supplementary_gid:27",
     "unix:uid:1",
     ERR_OK,
     {"restart the workload", NULL},
     NULL},
    {EXPLAIN_NO_ENTRIES,
     "",
     "unix:uid:1",
     ERR_OK,
     {"no registration entries", "[\"unix:uid:1\"]"},
     NULL},
    {EXPLAIN_HELD,
     "web: unix:uid:1",
     "unix:uid:1",
     ERR_OK,
     {"gets nothing", "revoke --lift entry:web", NULL},
     "entry:web"},
    {EXPLAIN_ENTITLED,
     "web: unix:uid:1\nx: unix:uid:1",
     "unix:uid:1",
     ERR_OK,
     {"spiffe://example.org/x is revoked", "the rest", "--lift spiffe://example.org/x", NULL},
     "spiffe://example.org/x"},
    {EXPLAIN_ENTITLED,
     "web: unix:uid:1",
     "unix:uid:1",
     ERR_OK,
     {"SPIFFE_ENDPOINT_SOCKET", NULL},
     NULL},
    {EXPLAIN_NO_PROCESS,
     "",
     "",
     ERR_ATTESTATION,
     {"Is 77 the number", "pid namespace", NULL},
     NULL},
    {EXPLAIN_NOT_ATTESTED, "", "", ERR_LIMIT, {"try again", NULL}, NULL},
    {EXPLAIN_NOT_ATTESTED, "", "", ERR_NO_MEMORY, {"memory", NULL}, NULL},
    {EXPLAIN_NOT_ATTESTED, "", "", ERR_IO, {"CAP_SYS_PTRACE", NULL}, NULL},
};

START_TEST(test_each_verdict_ends_with_what_to_do)
{
    struct explanation x = {.match_count = 0};
    struct buf text;
    buf_init(&text, 4096);
    find(advice[_i].found);
    if (advice[_i].entries[0] != '\0') {
        load(advice[_i].entries);
        explain_entries(set, &found, &x);
    }
    struct explain_case c = {.verdict = advice[_i].verdict,
                             .what = &x,
                             .found = &found,
                             .held = advice[_i].held,
                             .pid = 77,
                             .err = advice[_i].err};
    ck_assert_int_eq(explain_next(&c, &text), ERR_OK);
    ck_assert_int_eq(buf_append(&text, "", 1), ERR_OK);
    const char *at = (const char *)text.data;
    for (size_t i = 0; i < 4 && advice[_i].says[i] != NULL; i++) {
        const char *here = strstr(at, advice[_i].says[i]);
        ck_assert_msg(here != NULL, "no \"%s\" in \"%s\"", advice[_i].says[i], text.data);
        at = here;
    }
    buf_done(&text);
    done();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("explain");
    TCase *t = tcase_create("explain");
    tcase_add_loop_test(t, test_the_entries_that_match_or_come_nearest, 0,
                        (int)(sizeof cases / sizeof cases[0]));
    tcase_add_test(t, test_many_matches_are_counted_beyond_those_shown);
    tcase_add_test(t, test_selectors_of_the_same_kind_are_shown_beside_the_one_that_fails);
    tcase_add_loop_test(t, test_each_verdict_ends_with_what_to_do, 0,
                        (int)(sizeof advice / sizeof advice[0]));
    suite_add_tcase(s, t);
    return run_suite(s);
}
