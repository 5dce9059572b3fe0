/* Whom a request on a loopback address may be for. */
#include "common/http/http_host.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *host;
    bool ours;
} hosts[] = {
    {"", true}, /* none named */
    {"127.0.0.1", true},
    {"127.0.0.1:9464", true},
    {"10.1.2.3:9464", true}, /* by way of a port forward: an address is no name of a page's */
    {"[::1]", true},
    {"[::1]:9464", true},
    {"localhost", true},
    {"LocalHost:9464", true},
    {"localhost.", true},
    {"localhost:", true},
    {"agent.localhost:9464", true},
    {"metrics.example.internal", true}, /* on the list below */
    {"Metrics.Example.Internal:80", true},
    {"evil.example", false},
    {"evil.example:9464", false},
    {"evil-localhost", false},
    {".localhost", false},
    {"localhost.evil.example", false},
    {"127.0.0.1.evil.example", false},
    {"xmetrics.example.internal", false},
    {"metrics.example.internal.evil.example", false},
    {"localhost:x", false},
    {"localhost:123456", false},
    {"[::1", false},
    {"[localhost]", false},
    {"::1", false}, /* without brackets it is a name */
    {"[127.0.0.1]", false},
    {"2130706433", false}, /* what some resolvers take for 127.0.0.1 */
    {"0x7f.1", false},
    {"127.1", false},
    {"localhost\tevil", false},
    {"user@localhost", false},
    {":9464", false},
};

START_TEST(test_addresses_localhost_and_given_names_are_ours_and_no_others)
{
    char *names[] = {"metrics.example.internal", NULL};
    ck_assert_msg(http_host_is_ours(slice_str(hosts[_i].host), names) == hosts[_i].ours, "%s",
                  hosts[_i].host);
}
END_TEST

START_TEST(test_without_a_list_no_other_name_is_ours)
{
    ck_assert(!http_host_is_ours(slice_str("metrics.example.internal"), NULL));
    ck_assert(http_host_is_ours(slice_str("localhost"), NULL));
}
END_TEST

START_TEST(test_a_name_that_is_too_long_is_not_ours)
{
    static char long_name[400];
    memset(long_name, 'a', sizeof long_name - 1);
    memcpy(long_name + sizeof long_name - 11, ".localhost", 10);
    ck_assert(!http_host_is_ours(slice_str(long_name), NULL));
    ck_assert(http_host_is_ours(slice_str(long_name + 200), NULL));
}
END_TEST

static const struct {
    const char *address;
    bool matters;
} listeners[] = {
    {"127.0.0.1:9464", true}, {"127.9.9.9:9464", true},
    {"[::1]:9464", true},     {"0.0.0.0:9464", false},
    {"[::]:9464", false},     {"10.0.0.1:9464", false},
    {"/run/m.sock", false},   {"[::ffff:127.0.0.1]:80", true},
    {"128.0.0.1:80", false},
};

START_TEST(test_the_rule_holds_on_loopback_addresses_alone)
{
    struct address a;
    struct why why = {0};
    ck_assert_msg(address_parse(slice_str(listeners[_i].address), &a, &why) == ERR_OK, "%s",
                  why.text);
    ck_assert_msg(http_host_matters(&a) == listeners[_i].matters, "%s", listeners[_i].address);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static const struct {
    const char *host;
    bool bare;
} labels[] = {
    {"web", true},    {"Web-1:9464", true}, {"web_1", true},       {"web.", true},
    {"", false},      {"web.one", false},   {"127", false},        {"[web]", false},
    {"web:x", false}, {"we b", false},      {"2130706433", false},
};

START_TEST(test_a_bare_name_has_one_label)
{
    ck_assert_msg(http_host_is_bare(slice_str(labels[_i].host)) == labels[_i].bare, "%s",
                  labels[_i].host);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http_host");
    TCase *t = tcase_create("http_host");
    tcase_add_loop_test(t, test_a_bare_name_has_one_label, 0,
                        (int)(sizeof labels / sizeof labels[0]));
    tcase_add_loop_test(t, test_addresses_localhost_and_given_names_are_ours_and_no_others, 0,
                        COUNT(hosts));
    tcase_add_test(t, test_without_a_list_no_other_name_is_ours);
    tcase_add_test(t, test_a_name_that_is_too_long_is_not_ours);
    tcase_add_loop_test(t, test_the_rule_holds_on_loopback_addresses_alone, 0, COUNT(listeners));
    suite_add_tcase(s, t);
    return run_suite(s);
}
