/* Registration entries: what is refused and how it is said, order, matching, ids. */
#include "agent/entry/entries.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REPORT_MAX = 64 * 1024 };

static struct buf report;
static struct entry_set *set;

static void setup(void)
{
    buf_init(&report, REPORT_MAX);
    set = NULL;
}

static void teardown(void)
{
    entries_free(set);
    buf_done(&report);
}

static const char *report_text(void)
{
    ck_assert_int_eq(buf_append(&report, "", 1), ERR_OK);
    report.len--;
    return (const char *)report.data;
}

static err_t parse(const char *text)
{
    struct why why = {0};
    return entries_parse("entries.yaml", slice_str(text), "example.org", &report, &set, &why);
}

/* An entry of which only one line is of interest. */
#define GOOD "entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors: [\"unix:uid:1\"]\n"
#define WITH(line) GOOD "    " line "\n"
#define ID(id) "entries:\n  - selectors: [\"unix:uid:1\"]\n    spiffe_id: " id "\n"
#define AT4 "entries.yaml:4: entries[0]."

static const struct {
    const char *text;
    const char *says; /* the whole line without its end; NULL: fine */
} cases[] = {
    {GOOD, NULL},
    {"entries: []\n", NULL},
    {"", "entries.yaml: is empty: expected a list of entries"},
    {"entries:\n", "entries.yaml:1: entries: expected a list of entries, found nothing"},
    {"entries: 7\n", "entries.yaml:1: entries: expected a list of entries, found \"7\""},
    {"entry: []\n", "entries.yaml:1: unknown key \"entry\"; known is entries"},
    {"entries: []\nmore: 1\n", "entries.yaml:2: unknown key \"more\"; known is entries"},
    {"entries:\n  - 7\n", "entries.yaml:2: entries[0]: expected an entry: a mapping with spiffe_id "
                          "and selectors, found \"7\""},
    {"entries:\n  - selectors: [\"unix:uid:1\"]\n",
     "entries.yaml:2: entries[0]: expected a key spiffe_id, found none"},
    {"entries:\n  - spiffe_id: spiffe://example.org/web\n",
     "entries.yaml:2: entries[0]: expected a key selectors, found none"},
    {WITH("ttl: 1h"), "entries.yaml:4: entries[0]: unknown key \"ttl\"; known are id, spiffe_id, "
                      "selectors, x509_ttl, jwt_ttl, dns_names, hint and federates_with"},
    {WITH("selectors: []"),
     "entries.yaml:4: the key \"selectors\" is there twice, first in line 3"},
    /* another trust domain, bad, pathless (X5-2) and reserved (ID-10) IDs */
    {ID("spiffe://other.org/web"),
     "entries.yaml:3: entries[0].spiffe_id: expected a SPIFFE ID of our own trust domain, "
     "spiffe://example.org/..., found \"spiffe://other.org/web\""},
    {ID("spiffe://example.org"),
     "entries.yaml:3: entries[0].spiffe_id: expected a SPIFFE ID with a "
     "path, found \"spiffe://example.org\""},
    {ID("spiffe://example.org/spire"),
     "entries.yaml:3: entries[0].spiffe_id: expected a path outside /spire, which SPIRE reserves "
     "for itself, found \"spiffe://example.org/spire\""},
    {ID("spiffe://example.org/spire/agent"), "outside /spire"},
    {ID("spiffe://example.org/spires"), NULL},
    {ID("spiffe://Example.org/web"), "entries.yaml:3: entries[0].spiffe_id: "},
    {ID("spiffe://example.org/web/"), "entries.yaml:3: entries[0].spiffe_id: "},
    {ID("[]"), "entries.yaml:3: entries[0].spiffe_id: expected a SPIFFE ID, found an empty list"},
    {ID("\"\""), "entries.yaml:3: entries[0].spiffe_id: expected a SPIFFE ID, found"},
    /* selectors */
    {"entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors: []\n",
     "entries.yaml:3: entries[0].selectors: expected a list of at least one selector, such as "
     "[\"unix:uid:1000\"], found"},
    {"entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors: unix:uid:1\n",
     "entries.yaml:3: entries[0].selectors: expected a list of at least one selector, such as "
     "[\"unix:uid:1000\"], found \"unix:uid:1\""},
    {"entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors:\n      - unix:uid:1\n"
     "      - unix:pid:7\n",
     "entries.yaml:5: entries[0].selectors[1]: expected a selector of a known kind (unix:uid, "
     "unix:user, unix:gid, unix:group, unix:supplementary_gid, unix:supplementary_group, "
     "unix:path, unix:sha256) followed by ':' and a value, found \"unix:pid:7\""},
    {"entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors: [unix:uid:x]\n",
     "entries.yaml:3: entries[0].selectors[0]: expected a number from 0 to 4294967294 without "
     "leading zeros after \"unix:uid:\", found \"unix:uid:x\""},
    {"entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors: [unix:uid:1, unix:uid:1]\n",
     "entries.yaml:3: entries[0].selectors[1]: expected each selector once, found \"unix:uid:1\""},
    {"entries:\n  - spiffe_id: spiffe://example.org/web\n    selectors: [[]]\n",
     "entries.yaml:3: entries[0].selectors[0]: expected a selector such as \"unix:uid:1000\", "
     "found"},
    /* times to live */
    {WITH("x509_ttl: 2s"), NULL},
    {WITH("x509_ttl: 7d"), NULL},
    {WITH("x509_ttl: 1s"), AT4 "x509_ttl: expected a duration of whole seconds from 2s to 7d, such "
                               "as 1h, found \"1s\""},
    {WITH("x509_ttl: 8d"), AT4 "x509_ttl: expected a duration"},
    {WITH("x509_ttl: 2500ms"), AT4 "x509_ttl: expected a duration"},
    {WITH("x509_ttl: 3600"), AT4 "x509_ttl: expected a duration"},
    {WITH("x509_ttl:"), AT4 "x509_ttl: expected a duration of whole seconds from 2s to 7d, such as "
                            "1h, found nothing"},
    {WITH("jwt_ttl: 5m"), NULL},
    {WITH("jwt_ttl: 5"), AT4 "jwt_ttl: expected a duration"},
    /* DNS names */
    {WITH("dns_names: [web, web.example.internal, \"*.example.internal\", xn--a.b, 1.2]"), NULL},
    {WITH("dns_names: []"), NULL},
    {WITH("dns_names: web"), AT4 "dns_names: expected a list of DNS names, found \"web\""},
    {WITH("dns_names: [a, \"-a\"]"),
     AT4 "dns_names[1]: expected a DNS name such as web.example.internal, found \"-a\""},
    {WITH("dns_names: [a..b]"), AT4 "dns_names[0]: expected a DNS name"},
    {WITH("dns_names: [a.b.]"), AT4 "dns_names[0]: expected a DNS name"},
    {WITH("dns_names: [\"a.*.b\"]"), AT4 "dns_names[0]: expected a DNS name"},
    {WITH("dns_names: [\"*\"]"), AT4 "dns_names[0]: expected a DNS name"},
    {WITH("dns_names: [a_b]"), AT4 "dns_names[0]: expected a DNS name"},
    {WITH("dns_names: [a b]"), AT4 "dns_names[0]: expected a DNS name"},
    {WITH("dns_names: [a, A]"), AT4 "dns_names[1]: expected each name once, found \"A\""},
    {WITH("dns_names: "
          "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b]"),
     AT4 "dns_names[0]: expected a DNS name"},
    /* hints, federation, ids */
    {WITH("hint: internal"), NULL},
    {WITH("hint: \"\""), NULL},
    {WITH("hint: \"a\\nb\""), AT4 "hint: expected a hint: text without line breaks"},
    {WITH("hint: [a]"), AT4 "hint: expected a hint"},
    {WITH("federates_with: [partner.test, other.test]"), NULL},
    {WITH("federates_with: partner.test"), AT4 "federates_with: expected a list of trust domains"},
    {WITH("federates_with: [\"spiffe://partner.test\"]"), AT4 "federates_with[0]: "},
    {WITH("federates_with: [Partner]"), AT4 "federates_with[0]: "},
    {WITH("federates_with: [example.org]"),
     AT4 "federates_with[0]: expected another trust domain than our own, found \"example.org\""},
    {WITH("federates_with: [a, a]"), AT4 "federates_with[1]: expected each name once"},
    {WITH("id: web-1.a_B"), NULL},
    {WITH("id: a/b"), AT4 "id: expected at most 255 letters, digits, '.', '_' or '-', found "
                          "\"a/b\""},
    {WITH("id: \"\""), AT4 "id: expected at most 255 letters"},
    {GOOD "    id: a\n  - spiffe_id: spiffe://example.org/b\n    selectors: [unix:uid:2]\n"
          "    id: a\n",
     "entries.yaml:5: entries[1].id: expected an id of its own, found \"a\", which entries[0] in "
     "entries.yaml:2 has too"},
};

START_TEST(test_each_problem_is_one_line_with_file_line_and_key)
{
    err_t err = parse(cases[_i].text);
    const char *text = report_text();
    if (cases[_i].says == NULL) {
        ck_assert_msg(err == ERR_OK, "%s\n%s", cases[_i].text, text);
        ck_assert_str_eq(text, "");
        return;
    }
    ck_assert_int_eq(err, ERR_CONFIG);
    ck_assert_ptr_null(set);
    ck_assert_msg(strstr(text, cases[_i].says) != NULL, "want %s\nhave %s", cases[_i].says, text);
    ck_assert_msg(strchr(text, '\n') == text + strlen(text) - 1, "more than one line: %s", text);
}
END_TEST

START_TEST(test_every_problem_is_reported_not_only_the_first)
{
    struct why why = {0};
    const char *text = "entries:\n  - spiffe_id: x\n    selectors: [y, z]\n    hint: []\n  - 1\n";
    err_t err = entries_parse("e.yaml", slice_str(text), "example.org", &report, &set, &why);
    ck_assert_int_eq(err, ERR_CONFIG);
    ck_assert_str_eq(why_text(&why), "5 problems in the entries of e.yaml");
    size_t lines = 0;
    for (const char *at = report_text(); *at != '\0'; at++)
        lines += *at == '\n';
    ck_assert_uint_eq(lines, 5);
}
END_TEST

START_TEST(test_a_flood_of_problems_is_cut)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    ck_assert_int_eq(buf_append_str(&text, "entries:\n"), ERR_OK);
    for (int i = 0; i < 500; i++)
        ck_assert_int_eq(buf_append_str(&text, "  - 1\n"), ERR_OK);
    struct why why = {0};
    ck_assert_int_eq(entries_parse("e", buf_slice(&text), "example.org", &report, &set, &why),
                     ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "500 problems"));
    ck_assert_ptr_nonnull(strstr(report_text(), "more problems follow\n"));
    buf_done(&text);
}
END_TEST

START_TEST(test_all_that_an_entry_says_is_kept)
{
    ck_assert_int_eq(parse("entries:\n"
                           "  - id: web-1\n"
                           "    spiffe_id: spiffe://example.org/web\n"
                           "    selectors: [\"unix:uid:1000\", \"unix:path:/bin/web\"]\n"
                           "    x509_ttl: 90s\n"
                           "    jwt_ttl: 2m\n"
                           "    dns_names: [b.internal, a.internal]\n"
                           "    hint: internal\n"
                           "    federates_with: [partner.test]\n"),
                     ERR_OK);
    ck_assert_uint_eq(set->count, 1);
    const struct entry *e = &set->items[0];
    ck_assert_str_eq(e->id, "web-1");
    ck_assert_str_eq(e->spiffe_id, "spiffe://example.org/web");
    ck_assert_uint_eq(e->selectors.count, 2);
    ck_assert_int_eq(e->x509_ttl_s, 90);
    ck_assert_int_eq(e->jwt_ttl_s, 120);
    ck_assert_str_eq(e->dns_names[0], "b.internal");
    ck_assert_str_eq(e->dns_names[1], "a.internal");
    ck_assert_ptr_null(e->dns_names[2]);
    ck_assert_str_eq(e->hint, "internal");
    ck_assert_str_eq(e->federates_with[0], "partner.test");
    ck_assert_uint_eq(set->kinds_used, SELECTOR_KIND_PATH);
    ck_assert_ptr_eq(entries_find(set, "web-1"), e);
    ck_assert_ptr_null(entries_find(set, "web"));
}
END_TEST

/* WA-14: hints of up to 1024 bytes. ID-6: IDs of up to 2048 bytes. */
START_TEST(test_the_longest_hint_and_id_pass_and_one_more_byte_does_not)
{
    char text[4096], word[2100];
    memset(word, 'x', sizeof word);
    snprintf(text, sizeof text, GOOD "    hint: %.*s\n", 1024 + _i, word);
    ck_assert_int_eq(parse(text), _i == 0 ? ERR_OK : ERR_CONFIG);
    if (_i == 1)
        ck_assert_ptr_nonnull(strstr(report_text(), "hint of at most 1024 bytes"));
    entries_free(set);
    set = NULL;
    int path = 2048 - (int)strlen("spiffe://example.org/") + _i;
    snprintf(text, sizeof text, ID("spiffe://example.org/%.*s"), path, word);
    ck_assert_int_eq(parse(text), _i == 0 ? ERR_OK : ERR_CONFIG);
}
END_TEST

START_TEST(test_entries_without_an_id_get_a_stable_one)
{
    const char *text = GOOD "  - spiffe_id: spiffe://example.org/web\n"
                            "    selectors: [\"unix:uid:2\"]\n";
    ck_assert_int_eq(parse(text), ERR_OK);
    char first[20], second[20];
    snprintf(first, sizeof first, "%s", set->items[0].id);
    snprintf(second, sizeof second, "%s", set->items[1].id);
    ck_assert_uint_eq(strlen(first), 16);
    ck_assert_str_ne(first, second);
    entries_free(set);
    /* The same whatever stands around it. */
    ck_assert_int_eq(parse(GOOD "    hint: x\n    x509_ttl: 7s\n"), ERR_OK);
    ck_assert_str_eq(set->items[0].id, first);
}
END_TEST

START_TEST(test_the_same_id_and_selectors_twice_is_a_warning)
{
    ck_assert_int_eq(parse(GOOD "  - spiffe_id: spiffe://example.org/web\n"
                                "    selectors: [\"unix:uid:1\"]\n"
                                "    hint: second\n"),
                     ERR_OK);
    ck_assert_uint_eq(set->count, 2);
    ck_assert_str_eq(report_text(),
                     "entries.yaml:4: warning: entries[1]: same spiffe_id and selectors as "
                     "entries[0] in entries.yaml:2: a workload gets both\n");
    char want[40];
    snprintf(want, sizeof want, "%s-2", set->items[0].id);
    ck_assert_str_eq(set->items[1].id, want);
}
END_TEST

/* Folders. */

static char dir[64];

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/test_entries.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void drop_dir(void)
{
    static const char *const names[] = {"10.yaml", "9.yml", "a.yaml", ".hidden.yaml", "notes.txt"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/sub.yaml", dir);
    rmdir(path);
    rmdir(dir);
}

static err_t load(const char *path, struct why *why)
{
    return entries_load(path, "example.org", &report, &set, why);
}

#define ENTRY(name, uid)                                                                           \
    "  - spiffe_id: spiffe://example.org/" name "\n    id: " name                                  \
    "\n    selectors: [\"unix:uid:" uid "\"]\n"

/* WA-13: order by file name, then position. */
START_TEST(test_a_folder_is_read_by_file_name_then_position)
{
    make_dir();
    write_file("a.yaml", "entries:\n" ENTRY("z", "1") ENTRY("b", "1"));
    write_file("10.yaml", "entries:\n" ENTRY("y", "1"));
    write_file("9.yml", "entries:\n" ENTRY("x", "1"));
    write_file(".hidden.yaml", "broken");
    write_file("notes.txt", "broken");
    char path[128];
    snprintf(path, sizeof path, "%s/sub.yaml", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    struct why why = {0};
    ck_assert_msg(load(dir, &why) == ERR_OK, "%s", report_text());
    static const char *const want[] = {"y", "x", "z", "b"};
    ck_assert_uint_eq(set->count, 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_str_eq(set->items[i].id, want[i]);
    drop_dir();
}
END_TEST

START_TEST(test_problems_in_a_folder_name_their_file)
{
    make_dir();
    write_file("a.yaml", "entries:\n" ENTRY("a", "1"));
    write_file("10.yaml", "entries:\n" ENTRY("a", "2"));
    struct why why = {0};
    ck_assert_int_eq(load(dir, &why), ERR_CONFIG);
    char want[256];
    snprintf(want, sizeof want,
             "%s/a.yaml:2: entries[0].id: expected an id of its own, found \"a\", which entries[0] "
             "in %s/10.yaml:2 has too\n",
             dir, dir);
    ck_assert_str_eq(report_text(), want);
    drop_dir();
}
END_TEST

START_TEST(test_an_empty_folder_is_an_empty_set_and_a_missing_one_an_error)
{
    make_dir();
    struct why why = {0};
    ck_assert_int_eq(load(dir, &why), ERR_OK);
    ck_assert_uint_eq(set->count, 0);
    entries_free(set);
    set = NULL;
    drop_dir();
    ck_assert_int_eq(load(dir, &why), ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(report_text(), "cannot read the entries: No such file"));
}
END_TEST

/* Matching. */

static struct selector_set caller_of(const char *a, const char *b, const char *c)
{
    struct selector_set s;
    selector_set_init(&s);
    const char *all[] = {a, b, c};
    for (size_t i = 0; i < 3; i++)
        if (all[i] != NULL)
            ck_assert_int_eq(selector_set_add(&s, "%s", all[i]), ERR_OK);
    return s;
}

static const struct {
    const char *caller[3];
    const char *want; /* ids in order */
} match_cases[] = {
    {{"unix:uid:1", "unix:gid:1", NULL}, "a c"},
    {{"unix:uid:1", "unix:gid:1", "unix:path:/x"}, "a b c"},
    {{"unix:uid:2", "unix:gid:1", NULL}, "c d"},
    {{"unix:uid:3", "unix:gid:3", NULL}, ""},
    {{NULL, NULL, NULL}, ""},
};

/* WA-16, WA-13 */
START_TEST(test_a_caller_gets_the_entries_whose_selectors_it_has_in_order)
{
    ck_assert_int_eq(
        parse("entries:\n" ENTRY("a", "1") "  - spiffe_id: spiffe://example.org/b\n    id: b\n"
                                           "    selectors: [unix:uid:1, unix:path:/x]\n"
                                           "  - spiffe_id: spiffe://example.org/c\n    id: c\n"
                                           "    selectors: [unix:gid:1]\n" ENTRY("d", "2")),
        ERR_OK);
    const char *const *c = match_cases[_i].caller;
    struct selector_set caller = caller_of(c[0], c[1], c[2]);
    const struct entry *found[8];
    size_t count = entries_match(set, &caller, found, 8);
    char ids[64] = "";
    for (size_t i = 0; i < count; i++)
        snprintf(ids + strlen(ids), 8, "%s%s", i > 0 ? " " : "", found[i]->id);
    ck_assert_str_eq(ids, match_cases[_i].want);
    selector_set_done(&caller);
}
END_TEST

/* Against the plain way, over many random sets. */
START_TEST(test_the_index_finds_what_a_walk_finds)
{
    unsigned seed = (unsigned)_i + 1;
    struct buf text;
    buf_init(&text, 1 << 20);
    ck_assert_int_eq(buf_append_str(&text, "entries:\n"), ERR_OK);
    for (int i = 0; i < 60; i++) {
        seed = seed * 1103515245u + 12345u;
        ck_assert_int_eq(buf_printf(&text,
                                    "  - spiffe_id: spiffe://example.org/e%d\n    selectors: "
                                    "[unix:uid:%u, unix:gid:%u]\n",
                                    i, (seed >> 8) % 4, (seed >> 16) % 4),
                         ERR_OK);
    }
    struct why why = {0};
    ck_assert_int_eq(entries_parse("e", buf_slice(&text), "example.org", &report, &set, &why),
                     ERR_OK);
    struct selector_set caller = caller_of("unix:uid:1", "unix:gid:2", "unix:gid:3");
    const struct entry *found[60], *few[3];
    size_t count = entries_match(set, &caller, found, 60), at = 0;
    for (size_t i = 0; i < set->count; i++)
        if (selector_set_contains(&caller, &set->items[i].selectors))
            ck_assert_ptr_eq(found[at++], &set->items[i]);
    ck_assert_uint_eq(at, count);
    ck_assert_uint_eq(entries_match(set, &caller, few, 3), count);
    for (size_t i = 0; i < 3 && i < count; i++)
        ck_assert_ptr_eq(few[i], found[i]);
    for (size_t i = 0; i < set->count; i++)
        ck_assert_ptr_eq(entries_find(set, set->items[i].id), &set->items[i]);
    selector_set_done(&caller);
    buf_done(&text);
}
END_TEST

static const struct {
    const char *line;
    bool same;
} same_cases[] = {
    {"hint: x", true},         {"jwt_ttl: 3s", true},     {"federates_with: [b]", true},
    {"x509_ttl: 3s", false},   {"dns_names: [b]", false}, {"id: other", false},
    {"dns_names: [a]", false}, {"dns_names: []", true},
};

START_TEST(test_only_what_stands_in_the_certificate_makes_another_svid)
{
    char text[512];
    ck_assert_int_eq(parse(GOOD), ERR_OK);
    struct entry_set *before = set;
    snprintf(text, sizeof text, GOOD "    %s\n", same_cases[_i].line);
    ck_assert_int_eq(parse(text), ERR_OK);
    ck_assert(entry_same_svid(&before->items[0], &set->items[0]) == same_cases[_i].same);
    ck_assert(entry_same_svid(&set->items[0], &before->items[0]) == same_cases[_i].same);
    entries_free(before);
}
END_TEST

/* What sidecars are told is the longest life of any SVID. */
START_TEST(test_the_longest_life_is_that_of_the_entry_that_asks_for_most)
{
    struct why why = {0};
    ck_assert_int_eq(
        entries_parse(
            "e",
            slice_str("entries:\n"
                      "- {spiffe_id: spiffe://example.org/a, selectors: [\"unix:uid:1\"]}\n"
                      "- {spiffe_id: spiffe://example.org/b, selectors: [\"unix:uid:2\"],"
                      " x509_ttl: 2h}\n"
                      "- {spiffe_id: spiffe://example.org/c, selectors: [\"unix:uid:3\"],"
                      " x509_ttl: 1m}\n"),
            "example.org", &report, &set, &why),
        ERR_OK);
    ck_assert_int_eq(entries_longest_x509_ttl(set, 3600), 7200);
    ck_assert_int_eq(entries_longest_x509_ttl(set, 9000), 9000);
}
END_TEST

START_TEST(test_failed_allocations_leave_nothing_behind)
{
    static const char text[] = GOOD "    id: a\n    dns_names: [a, b]\n    hint: x\n"
                                    "    federates_with: [c]\n" ENTRY("b", "1");
    err_t err;
    long n = 0;
    do {
        struct why why = {0};
        mem_fail_after(n++);
        err = entries_parse("e", slice_str(text), "example.org", &report, &set, &why);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert(err == ERR_OK || err == ERR_NO_MEMORY);
        ck_assert(!failed || err == ERR_NO_MEMORY);
    } while (err != ERR_OK);
    ck_assert_int_gt(n, 20);
    ck_assert_str_eq(report_text(), "");
}
END_TEST

START_TEST(test_many_entries_are_loaded_and_one_too_many_refused)
{
    struct buf text;
    buf_init(&text, 32u << 20);
    ck_assert_int_eq(buf_append_str(&text, "entries:\n"), ERR_OK);
    for (int i = 0; i < ENTRIES_MAX + _i; i++)
        ck_assert_int_eq(buf_printf(&text,
                                    "- {spiffe_id: spiffe://example.org/w%d, selectors: "
                                    "[\"unix:uid:%d\"]}\n",
                                    i, i),
                         ERR_OK);
    struct why why = {0};
    err_t err = entries_parse("e", buf_slice(&text), "example.org", &report, &set, &why);
    ck_assert_msg(err == (_i == 0 ? ERR_OK : ERR_CONFIG), "%s: %s", why_text(&why), report_text());
    if (_i == 1)
        ck_assert_ptr_nonnull(strstr(report_text(), "expected at most 100000 entries in all"));
    buf_done(&text);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])

int main(void)
{
    Suite *s = suite_create("entries");
    TCase *t = tcase_create("entries");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_each_problem_is_one_line_with_file_line_and_key, 0, COUNT(cases));
    tcase_add_test(t, test_every_problem_is_reported_not_only_the_first);
    tcase_add_test(t, test_a_flood_of_problems_is_cut);
    tcase_add_test(t, test_all_that_an_entry_says_is_kept);
    tcase_add_loop_test(t, test_the_longest_hint_and_id_pass_and_one_more_byte_does_not, 0, 2);
    tcase_add_test(t, test_entries_without_an_id_get_a_stable_one);
    tcase_add_test(t, test_the_same_id_and_selectors_twice_is_a_warning);
    tcase_add_test(t, test_a_folder_is_read_by_file_name_then_position);
    tcase_add_test(t, test_problems_in_a_folder_name_their_file);
    tcase_add_test(t, test_an_empty_folder_is_an_empty_set_and_a_missing_one_an_error);
    tcase_add_loop_test(t, test_a_caller_gets_the_entries_whose_selectors_it_has_in_order, 0,
                        COUNT(match_cases));
    tcase_add_loop_test(t, test_the_index_finds_what_a_walk_finds, 0, 10);
    tcase_add_loop_test(t, test_only_what_stands_in_the_certificate_makes_another_svid, 0,
                        COUNT(same_cases));
    tcase_add_test(t, test_the_longest_life_is_that_of_the_entry_that_asks_for_most);
    tcase_add_test(t, test_failed_allocations_leave_nothing_behind);
    tcase_add_loop_test(t, test_many_entries_are_loaded_and_one_too_many_refused, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}
