/* The agent's configuration: the contract's file, defaults, and one exact line for each mistake. */
#include "agent/config/config.h"
#include "common/base/mem.h"
#include "tests/support/config_case.h"
#include "tests/support/option_flaw.h"
#include "tests/support/runner.h"

#include <stdlib.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static const char contract[] = "# agent.yaml\n"
                               "trust_domain: example.org\n"
                               "data_dir: /var/lib/other\n"
                               "workload_api: {socket: /run/spindle/public/api.sock}\n"
                               "admin: {socket: /run/spindle/admin.sock}\n"
                               "metrics: {listen: 127.0.0.1:9464}\n"
                               "svid: {x509_ttl: 30m, jwt_ttl: 5m}\n"
                               "authority: {kind: self, issuer_ttl: 12h}\n"
                               "attestors: [unix]\n"
                               "entries: /etc/spindle/entries.yaml\n"
                               "limits: {streams_per_user: 12}\n"
                               "log: {level: debug, format: json}\n"
                               "sandbox: false\n";

static err_t load(const struct config_case *c, struct agent_config **ret, struct buf *report)
{
    struct why why = {0};
    config_case_write(c);
    err_t err = agent_config_load("x.yaml", c->set, report, ret, &why);
    if (err == ERR_CONFIG)
        ck_assert_str_eq(why.text, "");
    return err;
}

START_TEST(test_every_key_of_the_contract_is_read)
{
    struct config_case c = {.text = contract, .want = ""};
    struct agent_config *a = NULL;
    struct buf report;
    buf_init(&report, 4096);
    config_case_check(&c, load(&c, &a, &report), &report);
    ck_assert_str_eq(a->trust_domain, "example.org");
    ck_assert_str_eq(a->data_dir, "/var/lib/other");
    ck_assert_str_eq(a->workload_api_socket, "/run/spindle/public/api.sock");
    ck_assert_str_eq(a->admin_socket, "/run/spindle/admin.sock");
    ck_assert(a->metrics_on);
    ck_assert_str_eq(a->metrics_listen.host, "127.0.0.1");
    ck_assert_uint_eq(a->metrics_listen.port, 9464);
    ck_assert_int_eq(a->x509_ttl_s, 1800);
    ck_assert_int_eq(a->jwt_ttl_s, 300);
    ck_assert_int_eq(a->issuer_ttl_s, 43200);
    ck_assert_int_eq(a->authority_kind, AUTHORITY_SELF);
    ck_assert_str_eq(a->attestors[0], "unix");
    ck_assert_ptr_null(a->attestors[1]);
    ck_assert_str_eq(a->entries, "/etc/spindle/entries.yaml");
    ck_assert_int_eq(a->streams_per_user, 12);
    ck_assert_int_eq(a->log_level, LOG_DEBUG);
    ck_assert_int_eq(a->log_format, LOG_JSON);
    ck_assert(!a->sandbox);
    agent_config_free(a);
    buf_done(&report);
}
END_TEST

START_TEST(test_what_is_left_out_has_its_default)
{
    static const char *const sets[] = {"trust_domain=example.org", "entries=/e", NULL};
    struct agent_config *a = NULL;
    struct buf report;
    buf_init(&report, 4096);
    ck_assert_int_eq(agent_config_load(NULL, sets, &report, &a, NULL), ERR_OK);
    ck_assert_uint_eq(report.len, 0);
    ck_assert_str_eq(a->data_dir, "/var/lib/spindle");
    ck_assert_str_eq(a->workload_api_socket, "/run/spindle/public/api.sock");
    ck_assert_str_eq(a->admin_socket, "/run/spindle/admin.sock");
    ck_assert_str_eq(a->metrics_prefix, "spindle_");
    ck_assert(a->metrics_on && a->sandbox);
    ck_assert_uint_eq(a->metrics_listen.port, 9464);
    ck_assert_int_eq(a->x509_ttl_s, 3600);
    ck_assert_int_eq(a->jwt_ttl_s, 300);
    ck_assert_int_eq(a->issuer_ttl_s, 86400);
    ck_assert_str_eq(a->attestors[0], "unix");
    ck_assert_int_eq(a->log_level, LOG_INFO);
    agent_config_free(a);
    buf_done(&report);
}
END_TEST

#define TD "trust_domain: example.org\nentries: /e\n"
#define LONG20 "aaaaaaaaaaaaaaaaaaaa"
#define PATH112 "/aaaaaaaaaaa" LONG20 LONG20 LONG20 LONG20 LONG20

static const struct config_case cases[] = {
    {TD, {0}, "", ERR_OK},
    {TD "metrics: {listen: off, prefix: ''}\n", {0}, "", ERR_OK},
    {TD "svid: {x509_ttl: 2s}\n", {0}, "", ERR_OK},
    {NULL, {0}, "x.yaml: cannot be read: No such file or directory\n", ERR_CONFIG},
    {"",
     {0},
     "x.yaml: is empty: expected configuration keys, such as trust_domain: ...\n",
     ERR_CONFIG},
    {"# nothing\n",
     {0},
     "x.yaml: is empty: expected configuration keys, such as trust_domain: ...\n",
     ERR_CONFIG},
    {"- a\n",
     {0},
     "x.yaml:1: expected configuration keys, such as trust_domain: ..., found a list\n",
     ERR_CONFIG},
    {"entries: /e\n",
     {0},
     "x.yaml: trust_domain: is missing: expected a trust domain such as example.org\n",
     ERR_CONFIG},
    {"trust_domain: example.org\n",
     {0},
     "x.yaml: entries: warning: is not set: no workload will get an identity\n",
     ERR_OK},
    /* unknown keys */
    {TD "trust_domian: x\n",
     {0},
     "x.yaml:3: trust_domian: unknown key, did you mean trust_domain?\n",
     ERR_CONFIG},
    {TD "svid: {x509_tll: 1h}\n",
     {0},
     "x.yaml:3: svid.x509_tll: unknown key, did you mean svid.x509_ttl?\n",
     ERR_CONFIG},
    {TD "\nmetrcs: {listen: off}\n",
     {0},
     "x.yaml:4: metrcs: unknown key, did you mean metrics?\n",
     ERR_CONFIG},
    {TD "x509_ttl: 1h\n",
     {0},
     "x.yaml:3: x509_ttl: unknown key, did you mean svid.x509_ttl?\n",
     ERR_CONFIG},
    {TD "colour: red\n",
     {0},
     "x.yaml:3: colour: unknown key; `config check --help` lists the known ones\n",
     ERR_CONFIG},
    {TD "\"a\\nb\": red\n",
     {0},
     "x.yaml:3: a?b: unknown key; `config check --help` lists the known ones\n",
     ERR_CONFIG},
    {TD "log: {level: info, level: warn}\n",
     {0},
     "x.yaml:3: the key \"level\" is there twice, first in line 3\n",
     ERR_CONFIG},
    /* wrong types */
    {TD "svid: 1h\n",
     {0},
     "x.yaml:3: svid: expected a mapping of keys, found \"1h\"\n",
     ERR_CONFIG},
    {TD "svid:\n", {0}, "x.yaml:3: svid: expected a mapping of keys, found nothing\n", ERR_CONFIG},
    {TD "svid:\n  x509_ttl: [1h]\n",
     {0},
     "x.yaml:4: svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found a list\n",
     ERR_CONFIG},
    {TD "svid:\n  x509_ttl:\n",
     {0},
     "x.yaml:4: svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found nothing\n",
     ERR_CONFIG},
    {TD "svid:\n\n  x509_ttl: 1hour\n",
     {0},
     "x.yaml:5: svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found \"1hour\"\n",
     ERR_CONFIG},
    {TD "svid: {x509_ttl: 2500ms}\n",
     {0},
     "x.yaml:3: svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found \"2500ms\": whole "
     "seconds are needed\n",
     ERR_CONFIG},
    {TD "svid: {x509_ttl: 1s}\n",
     {0},
     "x.yaml:3: svid.x509_ttl: expected at least 2s, found \"1s\"\n",
     ERR_CONFIG},
    {TD "svid: {jwt_ttl: 25h}\n",
     {0},
     "x.yaml:3: svid.jwt_ttl: expected at most 1d, found \"25h\"\n",
     ERR_CONFIG},
    {TD "sandbox: off\n",
     {0},
     "x.yaml:3: sandbox: expected true or false, found \"off\"\n",
     ERR_CONFIG},
    {TD "limits: {streams_per_user: many}\n",
     {0},
     "x.yaml:3: limits.streams_per_user: expected a whole number, found \"many\"\n",
     ERR_CONFIG},
    {TD "limits: {streams_per_user: -1}\n",
     {0},
     "x.yaml:3: limits.streams_per_user: expected at least 0, found \"-1\"\n",
     ERR_CONFIG},
    {TD "log: {level: loud}\n",
     {0},
     "x.yaml:3: log.level: expected error, warn, info or debug, found \"loud\"\n",
     ERR_CONFIG},
    {TD "attestors: unix\n",
     {0},
     "x.yaml:3: attestors: expected a list such as [a, b], found \"unix\"\n",
     ERR_CONFIG},
    {TD "attestors: []\n",
     {0},
     "x.yaml:3: attestors: is empty: expected at least unix, else nobody is ever told apart\n",
     ERR_CONFIG},
    /* known, but not built yet */
    {TD "authority: {kind: spire}\n",
     {0},
     "x.yaml:3: authority.kind: spire is not built yet in this version; use self\n",
     ERR_CONFIG},
    {TD "attestors:\n  - unix\n  - k8s\n",
     {0},
     "x.yaml:5: attestors: k8s is not built yet in this version; use unix\n",
     ERR_CONFIG},
    /* names, addresses, sockets */
    {"trust_domain: Example.org\nentries: /e\n",
     {0},
     "x.yaml:1: trust_domain: expected a trust domain such as example.org, found \"Example.org\": "
     "byte 1: 'E': the trust domain must be in lower case\n",
     ERR_CONFIG},
    {"trust_domain: spiffe://example.org\nentries: /e\n",
     {0},
     "x.yaml:1: trust_domain: expected a trust domain such as example.org, found "
     "\"spiffe://example.org\": byte 7: ':': a trust domain has no port and no brackets\n",
     ERR_CONFIG},
    {TD "metrics: {listen: '9464'}\n",
     {0},
     "x.yaml:3: metrics.listen: expected an address such as 127.0.0.1:9464, or off, found "
     "\"9464\": "
     "the port is missing\n",
     ERR_CONFIG},
    {TD "metrics: {listen: 'localhost:9464'}\n",
     {0},
     "x.yaml:3: metrics.listen: expected an address such as 127.0.0.1:9464, or off, found "
     "\"localhost:9464\": a name cannot be listened on, its IP address can\n",
     ERR_CONFIG},
    {TD "metrics: {prefix: a-b}\n",
     {0},
     "x.yaml:3: metrics.prefix: expected letters, digits and '_', or nothing in quotes, found "
     "\"a-b\"\n",
     ERR_CONFIG},
    {TD "admin: {socket: admin.sock}\n",
     {0},
     "x.yaml:3: admin.socket: expected the absolute path of a Unix socket, found \"admin.sock\"\n",
     ERR_CONFIG},
    {TD "admin: {socket: 127.0.0.1:80}\n",
     {0},
     "x.yaml:3: admin.socket: expected the absolute path of a Unix socket, found "
     "\"127.0.0.1:80\"\n",
     ERR_CONFIG},
    {TD "admin: {socket: " PATH112 "}\n",
     {0},
     "x.yaml:3: admin.socket: expected the absolute path of a Unix socket, found "
     "\"/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\": the path of a "
     "Unix "
     "socket may have at most 107 bytes, this one has 112\n",
     ERR_CONFIG},
    {TD "admin: {socket: /run/spindle/public/api.sock}\n",
     {0},
     "x.yaml:3: admin.socket: is the Workload API's socket too: expected one of its own, found "
     "\"/run/spindle/public/api.sock\"\n",
     ERR_CONFIG},
    {TD "admin: {socket: /run/spindle/public/admin.sock}\n",
     {0},
     "x.yaml:3: admin.socket: warning: stands in the folder of the Workload API's socket, which is "
     "open to all; a folder of its own is safer\n",
     ERR_OK},
    {TD "workload_api: {socket: /run/x/share.sock}\n",
     {0},
     "x.yaml:3: workload_api.socket: /run/x/share.sock: share.sock is the name of the socket "
     "beside "
     "it that sidecars use; choose another, such as api.sock\n",
     ERR_CONFIG},
    {TD "svid: {x509_ttl: 1h}\nauthority: {issuer_ttl: 1h}\n",
     {0},
     "x.yaml:3: svid.x509_ttl: warning: is more than half of authority.issuer_ttl, so that some "
     "SVIDs "
     "will live shorter than asked for\n",
     ERR_OK},
    {TD "data_dir: ''\n", {0}, "x.yaml:3: data_dir: expected a path, found \"\"\n", ERR_CONFIG},
    {TD "data_dir: \"/a\\tb\"\n",
     {0},
     "x.yaml:3: data_dir: expected a path, found \"/a\\x09b\": it holds a control character\n",
     ERR_CONFIG},
    /* all problems at once, in the order of the table behind those of keys */
    {"entries: /e\nsvid: {x509_ttl: x, y: 1}\nlog: {level: x}\n",
     {0},
     "x.yaml:2: svid.y: unknown key; `config check --help` lists the known ones\n"
     "x.yaml: trust_domain: is missing: expected a trust domain such as example.org\n"
     "x.yaml:2: svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found \"x\"\n"
     "x.yaml:3: log.level: expected error, warn, info or debug, found \"x\"\n",
     ERR_CONFIG},
    /* --set */
    {TD "svid: {x509_ttl: bad}\n", {"svid.x509_ttl=10m"}, "", ERR_OK},
    {TD, {"svid={x509_ttl: 10m, jwt_ttl: 9m}", "svid.x509_ttl=20m"}, "", ERR_OK},
    {TD, {"metrics.listen=[::1]:9464"}, "", ERR_OK},
    {TD,
     {"metrics.prefix="},
     "--set: metrics.prefix: expected letters, digits and '_', or nothing in "
     "quotes, found nothing\n",
     ERR_CONFIG},
    {TD, {"attestors=[unix]", "metrics.prefix=''"}, "", ERR_OK},
    {TD,
     {"svid.x509_ttl=1hour"},
     "--set: svid.x509_ttl: expected a duration such as 90s, 10m or 1h, found \"1hour\"\n",
     ERR_CONFIG},
    {TD,
     {"svid.x509_tll=1h"},
     "--set: svid.x509_tll: unknown key, did you mean svid.x509_ttl?\n",
     ERR_CONFIG},
    {TD,
     {"svid={x: 1}"},
     "--set: svid.x: unknown key; `config check --help` lists the known ones\n",
     ERR_CONFIG},
    {TD, {"svid=1h"}, "--set: svid: expected a mapping of keys, found \"1h\"\n", ERR_CONFIG},
    {TD, {"svid"}, "--set: expected KEY=VALUE, found \"svid\"\n", ERR_CONFIG},
    {TD, {"=1h"}, "--set: expected KEY=VALUE, found \"=1h\"\n", ERR_CONFIG},
    {TD,
     {"attestors=[unix"},
     "--set: attestors: not valid YAML: did not find expected ',' or ']' while parsing a flow "
     "sequence\n",
     ERR_CONFIG},
    {"entries: /e\n",
     {"trust_domain=a/b"},
     "--set: trust_domain: expected a trust domain such as example.org, found \"a/b\": byte 2: '/' "
     "is "
     "not allowed in a trust domain (a-z 0-9 . - _ are)\n",
     ERR_CONFIG},
};

START_TEST(test_each_mistake_is_one_line_with_file_line_and_key)
{
    struct agent_config *a = NULL;
    struct buf report;
    buf_init(&report, 16384);
    config_case_check(&cases[_i], load(&cases[_i], &a, &report), &report);
    ck_assert((a != NULL) == (cases[_i].err == ERR_OK));
    agent_config_free(a);
    buf_done(&report);
}
END_TEST

START_TEST(test_later_settings_win_over_earlier_ones_and_the_file)
{
    struct config_case c = {.text = contract, .want = ""};
    c.set[0] = "svid={x509_ttl: 10m, jwt_ttl: 9m}";
    c.set[1] = "svid.x509_ttl=20m";
    struct agent_config *a = NULL;
    struct buf report;
    buf_init(&report, 4096);
    config_case_check(&c, load(&c, &a, &report), &report);
    ck_assert_int_eq(a->x509_ttl_s, 1200);
    ck_assert_int_eq(a->jwt_ttl_s, 540);
    ck_assert_int_eq(a->issuer_ttl_s, 43200);
    agent_config_free(a);
    buf_done(&report);
}
END_TEST

START_TEST(test_reload_takes_what_may_change_and_names_what_may_not)
{
    struct config_case c = {.text = contract, .want = ""};
    struct agent_config *now = NULL, *next = NULL;
    struct buf report;
    buf_init(&report, 4096);
    ck_assert_int_eq(load(&c, &now, &report), ERR_OK);
    c.set[0] = "svid.x509_ttl=10m";
    c.set[1] = "log.level=warn";
    ck_assert_int_eq(load(&c, &next, &report), ERR_OK);
    config_case_check(&c, agent_config_check_reload(now, next, &report), &report);
    agent_config_free(next);
    next = NULL;
    struct config_case fixed = {.text = "trust_domain: example.net\n"
                                        "data_dir: /var/lib/other\n"
                                        "entries: /etc/spindle/entries.yaml\n"
                                        "authority: {issuer_ttl: 12h}\n"
                                        "limits: {streams_per_user: 12}\n"
                                        "sandbox: true\n",
                                .want =
                                    "x.yaml:1: trust_domain: has changed, which needs a restart\n"
                                    "x.yaml:6: sandbox: has changed, which needs a restart\n",
                                .err = ERR_CONFIG};
    ck_assert_int_eq(load(&fixed, &next, &report), ERR_OK);
    config_case_check(&fixed, agent_config_check_reload(now, next, &report), &report);
    agent_config_free(next);
    agent_config_free(now);
    buf_done(&report);
}
END_TEST

START_TEST(test_check_finds_a_data_folder_that_cannot_be_made)
{
    struct config_case c = {
        .text = TD "data_dir: ./no/such/place\n",
        .want = "x.yaml:3: data_dir: $HERE/no/such/place cannot be made: $HERE/no/such "
                "does not exist, make it first\n",
        .err = ERR_CONFIG};
    struct agent_config *a = NULL;
    struct buf report;
    buf_init(&report, 4096);
    ck_assert_int_eq(load(&c, &a, &report), ERR_OK);
    config_case_check(&c, agent_config_check_files(a, &report), &report);
    agent_config_free(a);
    buf_done(&report);
}
END_TEST

START_TEST(test_table_is_sound)
{
    ck_assert_ptr_null(option_flaw(&agent_options));
}
END_TEST

START_TEST(test_each_failed_allocation_is_an_error_and_leaks_nothing)
{
    struct config_case c = {.text = contract, .want = ""};
    c.set[0] = "svid={x509_ttl: 10m}";
    c.set[1] = "metrics.listen=[::1]:1";
    config_case_write(&c);
    for (long n = 0;; n++) {
        struct agent_config *a = NULL;
        struct buf report;
        buf_init(&report, 4096);
        mem_fail_after(n);
        err_t err = agent_config_load("x.yaml", c.set, &report, &a, NULL);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        buf_done(&report);
        if (!failed) {
            ck_assert_int_eq(err, ERR_OK);
            ck_assert_int_gt(n, 50);
            agent_config_free(a);
            break;
        }
        ck_assert_int_eq(err, ERR_NO_MEMORY);
        ck_assert_ptr_null(a);
    }
}
END_TEST

int main(void)
{
    config_case_folder();
    Suite *s = suite_create("agent_config");
    TCase *t = tcase_create("agent_config");
    tcase_add_test(t, test_every_key_of_the_contract_is_read);
    tcase_add_test(t, test_what_is_left_out_has_its_default);
    tcase_add_loop_test(t, test_each_mistake_is_one_line_with_file_line_and_key, 0, COUNT(cases));
    tcase_add_test(t, test_later_settings_win_over_earlier_ones_and_the_file);
    tcase_add_test(t, test_reload_takes_what_may_change_and_names_what_may_not);
    tcase_add_test(t, test_check_finds_a_data_folder_that_cannot_be_made);
    tcase_add_test(t, test_table_is_sound);
    tcase_add_test(t, test_each_failed_allocation_is_an_error_and_leaks_nothing);
    suite_add_tcase(s, t);
    return config_case_folder_done(run_suite(s));
}
