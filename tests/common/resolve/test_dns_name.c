#include "common/resolve/dns_name.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    bool local;
} locals[] = {
    {"localhost", true},
    {"LocalHost", true},
    {"localhost.", true},
    {"app.localhost", true},
    {"a.b.LOCALHOST.", true},
    {"localhost.example", false},
    {"mylocalhost", false},
    {".localhost", false},
    {"localhos", false},
    {"ocalhost", false},
    {"", false},
    {"localhost..", false},
    {"x.localhost.x", false},
    {"my-localhost.", false},
};

START_TEST(test_localhost_and_what_is_below_it_are_this_machine)
{
    ck_assert_msg(dns_name_is_localhost(locals[_i].name) == locals[_i].local, "%s",
                  locals[_i].name);
}
END_TEST

START_TEST(test_names_are_folded_to_lower_case)
{
    char out[DNS_NAME_SIZE], longer[400];
    dns_name_fold("WEB-1.Example_Z.", out);
    ck_assert_str_eq(out, "web-1.example_z.");
    memset(longer, 'A', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    dns_name_fold(longer, out);
    ck_assert_uint_eq(strlen(out), DNS_NAME_SIZE - 1);
    ck_assert_int_eq(out[0], 'a');
}
END_TEST

static const char *const two[] = {"one.example", "two.example."};
static const char *const root[] = {".", "one.example"};
static const struct {
    const char *name;
    struct dns_search search;
    const char *whole; /* all of them, blanks between */
} searches[] = {
    {"web", {two, 2, 1}, "web.one.example web.two.example web"},
    {"web.ns", {two, 2, 1}, "web.ns web.ns.one.example web.ns.two.example"},
    {"web.ns", {two, 2, 5}, "web.ns.one.example web.ns.two.example web.ns"},
    {"web.", {two, 2, 5}, "web"},
    {"a.b.c.", {two, 2, 5}, "a.b.c"},
    {"web", {NULL, 0, 1}, "web"},
    {"web", {two, 2, 0}, "web web.one.example web.two.example"},
    {"web", {root, 2, 1}, "web.one.example web"},
    {"web.x", {root, 2, 1}, "web.x web.x.one.example"},
};

static void gather(const char *name, const struct dns_search *search, char out[static 1024])
{
    char whole[DNS_NAME_SIZE];
    size_t index = 0, at = 0;
    out[0] = '\0';
    while (dns_name_next(name, search, &index, whole))
        at += (size_t)sprintf(out + at, "%s%s", at > 0 ? " " : "", whole);
    ck_assert(!dns_name_next(name, search, &index, whole));
}

START_TEST(test_short_names_become_whole_ones_in_order)
{
    char out[1024];
    gather(searches[_i].name, &searches[_i].search, out);
    ck_assert_str_eq(out, searches[_i].whole);
}
END_TEST

/* A name of 253 bytes is one; what a domain makes longer is not asked for. */
START_TEST(test_whole_names_that_would_be_too_long_are_skipped)
{
    static const char *const domain[] = {"x"};
    struct dns_search search = {domain, 1, 1};
    char name[260], out[1024];
    memset(name, 'a', sizeof name);
    for (size_t i = 50; i < 250; i += 50)
        name[i] = '.';
    name[253] = '\0';
    gather(name, &search, out);
    ck_assert_str_eq(out, name);
    name[251] = '\0';
    gather(name, &search, out);
    ck_assert_uint_eq(strlen(out), 251 + 1 + 253);
    name[251] = name[253] = 'a';
    name[254] = '\0';
    gather(name, &search, out);
    ck_assert_str_eq(out, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dns_name");
    TCase *t = tcase_create("dns_name");
    tcase_add_loop_test(t, test_localhost_and_what_is_below_it_are_this_machine, 0,
                        sizeof locals / sizeof locals[0]);
    tcase_add_test(t, test_names_are_folded_to_lower_case);
    tcase_add_loop_test(t, test_short_names_become_whole_ones_in_order, 0,
                        sizeof searches / sizeof searches[0]);
    tcase_add_test(t, test_whole_names_that_would_be_too_long_are_skipped);
    suite_add_tcase(s, t);
    return run_suite(s);
}
