/* The sidecar's configuration: the contract's file, routes and identity, and one exact line for
 * each mistake. */
#include "common/base/mem.h"
#include "sidecar/config/config.h"
#include "tests/support/config_case.h"
#include "tests/support/option_flaw.h"
#include "tests/support/runner.h"

#include <stdlib.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

static const char contract[] =
    "name: web\n"
    "identity:\n"
    "  workload_api: unix:///run/spindle/public/api.sock\n"
    "  hint: internal\n"
    "metrics: {listen: 127.0.0.1:9465}\n"
    "admin: {socket: /run/spindle/sidecar.sock}\n"
    "workers: 2\n"
    "inbound:\n"
    "  - listen: 0.0.0.0:8443\n"
    "    forward: 127.0.0.1:8080\n"
    "    protocol: tcp\n"
    "    allow: [\"spiffe://example.org/client\", \"spiffe://example.org/ns/shop/*\"]\n"
    "    client_auth: require\n"
    "outbound:\n"
    "  - listen: 127.0.0.1:9001\n"
    "    forward: web.example.internal:8443\n"
    "    protocol: tcp\n"
    "    expect: [\"spiffe://example.org/web\"]\n"
    "    tunnel: direct\n"
    "  - {listen: /run/app.sock, forward: '[::1]:8443', expect: ['spiffe://example.org/*']}\n"
    "revocation: {policy: off}\n"
    "drain_delay: 1500ms\n"
    "drain_limit: 1m\n"
    "timeouts: {connect: 11s, handshake: 12s, idle: 13s, half_close: 14s}\n"
    "limits: {connections: 15, total: 30, unauthenticated_per_source: 6}\n"
    "log: {level: warn, format: json}\n"
    "sandbox: false\n";

static err_t load(const struct config_case *c, struct sidecar_config **ret, struct buf *report)
{
    struct why why = {0};
    config_case_write(c);
    err_t err = sidecar_config_load("x.yaml", c->set, report, ret, &why);
    if (err == ERR_CONFIG)
        ck_assert_str_eq(why.text, "");
    return err;
}

START_TEST(test_every_key_of_the_contract_is_read)
{
    struct config_case c = {.text = contract, .want = ""};
    struct sidecar_config *s = NULL;
    struct buf report;
    buf_init(&report, 4096);
    config_case_check(&c, load(&c, &s, &report), &report);
    ck_assert_str_eq(s->name, "web");
    ck_assert_str_eq(s->workload_api, "unix:///run/spindle/public/api.sock");
    ck_assert_str_eq(s->identity_hint, "internal");
    ck_assert_ptr_null(s->identity_spiffe_id);
    ck_assert_ptr_null(s->file_key);
    ck_assert(s->metrics_on && !s->sandbox);
    ck_assert_uint_eq(s->metrics_listen.port, 9465);
    ck_assert_str_eq(s->admin_socket, "/run/spindle/sidecar.sock");
    ck_assert_int_eq(s->workers, 2);
    ck_assert_int_eq(s->revocation, REVOCATION_OFF);
    ck_assert_int_eq(s->drain_delay_ms, 1500);
    ck_assert_int_eq(s->drain_limit_ms, 60000);
    ck_assert_int_eq(s->connect_timeout_ms, 11000);
    ck_assert_int_eq(s->handshake_timeout_ms, 12000);
    ck_assert_int_eq(s->idle_timeout_ms, 13000);
    ck_assert_int_eq(s->half_close_timeout_ms, 14000);
    ck_assert_int_eq(s->max_connections, 15);
    ck_assert_int_eq(s->max_total, 30);
    ck_assert_int_eq(s->max_unauthenticated_per_source, 6);
    ck_assert_int_eq(s->log_level, LOG_WARN);
    ck_assert_int_eq(s->log_format, LOG_JSON);
    sidecar_config_unref(s);
    buf_done(&report);
}
END_TEST

START_TEST(test_routes_are_inbound_then_outbound_with_their_rules)
{
    struct config_case c = {.text = contract, .want = ""};
    struct sidecar_config *s = NULL;
    struct buf report;
    struct spiffeid id;
    char where[OPTION_WHERE_LEN];
    buf_init(&report, 4096);
    config_case_check(&c, load(&c, &s, &report), &report);
    ck_assert_uint_eq(s->route_count, 3);
    ck_assert_int_eq(s->routes[0].direction, ROUTE_INBOUND);
    ck_assert_int_eq(s->routes[1].direction, ROUTE_OUTBOUND);
    ck_assert_int_eq(s->routes[2].direction, ROUTE_OUTBOUND);
    ck_assert_int_eq(s->routes[2].listen.kind, ADDRESS_UNIX);
    ck_assert_int_eq(s->routes[1].forward.kind, ADDRESS_NAME);
    ck_assert_str_eq(s->routes[2].forward.host, "::1");
    ck_assert_uint_eq(s->routes[0].rule_count, 2);
    ck_assert_int_eq(spiffeid_parse(slice_str("spiffe://example.org/ns/shop/sa/x"), &id, NULL),
                     ERR_OK);
    ck_assert(!spiffeid_rule_matches(&s->routes[0].rules[0], &id));
    ck_assert(spiffeid_rule_matches(&s->routes[0].rules[1], &id));
    ck_assert(spiffeid_rule_matches(&s->routes[2].rules[0], &id));
    ck_assert_str_eq(option_where(s->origins, "outbound[1].listen", where),
                     "x.yaml:20: outbound[1].listen");
    ck_assert_str_eq(option_where(s->origins, "outbound[1].tunnel", where),
                     "x.yaml:20: outbound[1].tunnel");
    ck_assert_str_eq(option_where(s->origins, "nothing", where), "x.yaml: nothing");
    sidecar_config_unref(s);
    buf_done(&report);
}
END_TEST

#define ID "identity: {workload_api: 'unix:///a'}\n"
#define OUT "outbound: [{listen: 127.0.0.1:1, forward: 'web:80', expect: ['spiffe://td/web']}]\n"
#define LONG20 "aaaaaaaaaaaaaaaaaaaa"
#define PATH112 "/aaaaaaaaaaa" LONG20 LONG20 LONG20 LONG20 LONG20

static const struct config_case cases[] = {
    {ID OUT, {0}, "", ERR_OK},
    {NULL, {0}, "x.yaml: cannot be read: No such file or directory\n", ERR_CONFIG},
    {"", {0}, "x.yaml: is empty: expected configuration keys, such as identity: ...\n", ERR_CONFIG},
    /* identity */
    {OUT,
     {0},
     "x.yaml: identity: is missing: expected workload_api: unix:///run/spindle/public/api.sock, or "
     "files: {certificate: tls.crt, key: tls.key, bundle: ca.crt}\n",
     ERR_CONFIG},
    {"identity: {hint: x}\n" OUT,
     {0},
     "x.yaml:1: identity: is missing: expected workload_api: unix:///run/spindle/public/api.sock, "
     "or "
     "files: {certificate: tls.crt, key: tls.key, bundle: ca.crt}\n",
     ERR_CONFIG},
    {"identity:\n  workload_api: unix:///a\n  files: {certificate: a, key: b, bundle: c}\n" OUT,
     {0},
     "x.yaml:3: identity.files: expected either workload_api or files, found both\n",
     ERR_CONFIG},
    {"identity:\n  files: {certificate: a}\n" OUT,
     {0},
     "x.yaml:2: identity.files.key: is missing: expected a path\n"
     "x.yaml:2: identity.files.bundle: is missing: expected a path\n",
     ERR_CONFIG},
    {"identity: {workload_api: /run/api.sock}\n" OUT,
     {0},
     "x.yaml:1: identity.workload_api: expected unix:///PATH or tcp://IP:PORT, found "
     "\"/run/api.sock\"\n",
     ERR_CONFIG},
    {"identity: {workload_api: unix://" PATH112 "}\n" OUT,
     {0},
     "x.yaml:1: identity.workload_api: expected unix:///PATH or tcp://IP:PORT, found "
     "\"unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\": the path of a "
     "Unix socket may have at most 107 bytes, this one has 112\n",
     ERR_CONFIG},
    {"identity: {workload_api: 'unix:///a', hint: x, spiffe_id: 'spiffe://td/x'}\n" OUT,
     {0},
     "x.yaml:1: identity.spiffe_id: expected either hint or spiffe_id, found both\n",
     ERR_CONFIG},
    {"identity: {workload_api: 'unix:///a', spiffe_id: 'spiffe://td/'}\n" OUT,
     {0},
     "x.yaml:1: identity.spiffe_id: expected a SPIFFE ID such as spiffe://example.org/web, found "
     "\"spiffe://td/\": byte 12: a slash at the end\n",
     ERR_CONFIG},
    {"identity: {hint: x, files: {certificate: a, key: b, bundle: c}}\n" OUT,
     {0},
     "x.yaml:1: identity.hint: warning: has no effect: files hold one identity\n",
     ERR_OK},
    /* routes */
    {ID,
     {0},
     "x.yaml: inbound: is missing, outbound too: expected at least one route\n",
     ERR_CONFIG},
    {ID "inbound: []\n",
     {0},
     "x.yaml:2: inbound: is empty, outbound too: expected at least one route\n",
     ERR_CONFIG},
    {ID "inbound: {listen: 127.0.0.1:1}\n",
     {0},
     "x.yaml:2: inbound: expected a list of sections, found a mapping\n",
     ERR_CONFIG},
    {ID "inbound:\n  - 127.0.0.1:1\n",
     {0},
     "x.yaml:3: inbound[0]: expected a mapping of keys, found \"127.0.0.1:1\"\n",
     ERR_CONFIG},
    {ID "inbound:\n  - {listen: 127.0.0.1:1, allow: ['spiffe://td/a']}\n",
     {0},
     "x.yaml:3: inbound[0].forward: is missing: expected an address such as 127.0.0.1:8080 or "
     "web.internal:8443\n",
     ERR_CONFIG},
    {ID "inbound:\n  - {listen: 127.0.0.1:1, forward: 127.0.0.1:2}\n",
     {0},
     "x.yaml:3: inbound[0].allow: warning: is empty and admits nobody\n",
     ERR_OK},
    {ID "outbound:\n  - {listen: 127.0.0.1:1, forward: 127.0.0.1:2, expect: []}\n",
     {0},
     "x.yaml:3: outbound[0].expect: warning: is empty and admits nobody\n",
     ERR_OK},
    {ID "outbound:\n  - {listen: 127.0.0.1:1, forward: 127.0.0.1:0, expect: ['spiffe://td/a']}\n",
     {0},
     "x.yaml:3: outbound[0].forward: expected an address such as 127.0.0.1:8080 or "
     "web.internal:8443, found \"127.0.0.1:0\": port 0 cannot be dialled\n",
     ERR_CONFIG},
    {ID "outbound:\n  - {listen: 127.0.0.1:1, forward: 127.0.0.1:2, allow: ['spiffe://td/a']}\n",
     {0},
     "x.yaml:3: outbound[0].allow: unknown key; `config check --help` lists the known ones\n"
     "x.yaml:3: outbound[0].expect: warning: is empty and admits nobody\n",
     ERR_CONFIG},
    {ID "inbound:\n- listen: 127.0.0.1:1\n  forward: 127.0.0.1:2\n  allow:\n  - spiffe://td/a\n"
        "  - spiffe://td/a*\n  - spiffe://Td/a\n  - [x]\n",
     {0},
     "x.yaml:7: inbound[0].allow: expected a SPIFFE ID such as spiffe://example.org/web or "
     "spiffe://example.org/*, found \"spiffe://td/a*\": '*' may only be the whole last segment of "
     "the "
     "path\n"
     "x.yaml:8: inbound[0].allow: expected a SPIFFE ID such as spiffe://example.org/web or "
     "spiffe://example.org/*, found \"spiffe://Td/a\": byte 10: 'T': the trust domain must be in "
     "lower "
     "case\n"
     "x.yaml:9: inbound[0].allow: expected a SPIFFE ID such as spiffe://example.org/web or "
     "spiffe://example.org/*, found a list\n",
     ERR_CONFIG},
    {ID "inbound:\n  - {listen: 127.0.0.1:1, forward: 127.0.0.1:2, allow: spiffe://td/a}\n",
     {0},
     "x.yaml:3: inbound[0].allow: expected a list of SPIFFE IDs such as "
     "[spiffe://example.org/web], "
     "found \"spiffe://td/a\"\n",
     ERR_CONFIG},
    {ID OUT "inbound:\n  - {listen: 127.0.0.1:1, forward: 127.0.0.1:2, allow: ['spiffe://td/a']}\n",
     {0},
     "x.yaml:2: outbound[0].listen: 127.0.0.1:1 is taken by inbound[0].listen\n",
     ERR_CONFIG},
    {ID OUT "metrics: {listen: 127.0.0.1:1}\n",
     {0},
     "x.yaml:3: metrics.listen: 127.0.0.1:1 is taken by outbound[0].listen\n",
     ERR_CONFIG},
    {ID "outbound:\n- {listen: /s, forward: 'web:80', expect: ['spiffe://td/w']}\nadmin: {socket: "
        "/s}\n",
     {0},
     "x.yaml:4: admin.socket: unix:/s is taken by outbound[0].listen\n",
     ERR_CONFIG},
    {ID "outbound:\n- {listen: 127.0.0.1:1, forward: 127.0.0.1:1, expect: ['spiffe://td/w']}\n",
     {0},
     "x.yaml:3: outbound[0].forward: is its own listen address\n",
     ERR_CONFIG},
    {ID "outbound:\n- {listen: '0.0.0.0:1', forward: 127.0.0.1:1, expect: ['spiffe://td/w']}\n",
     {0},
     "x.yaml:3: outbound[0].forward: is its own listen address\n"
     "x.yaml:3: outbound[0].listen: warning: takes plain connections from other machines, and "
     "speaks "
     "for them with this identity: expected a loopback address or a Unix socket\n",
     ERR_CONFIG},
    {ID "outbound:\n- {listen: '[::]:1', forward: 'localhost:1', expect: ['spiffe://td/w']}\n",
     {0},
     "x.yaml:3: outbound[0].forward: is its own listen address\n"
     "x.yaml:3: outbound[0].listen: warning: takes plain connections from other machines, and "
     "speaks "
     "for them with this identity: expected a loopback address or a Unix socket\n",
     ERR_CONFIG},
    {ID "inbound:\n- {listen: '0.0.0.0:1', forward: 127.0.0.1:2, allow: ['spiffe://td/w']}\n"
        "outbound:\n- {listen: 127.0.0.1:2, forward: 'localhost:1', expect: ['spiffe://td/w']}\n",
     {0},
     "x.yaml:3: inbound[0].forward: leads back to its own listen address, by way of "
     "outbound[0].listen\n"
     "x.yaml:5: outbound[0].forward: leads back to its own listen address, by way of "
     "inbound[0].listen\n",
     ERR_CONFIG},
    /* A gateway: in by one route, out by another. */
    {ID "inbound:\n- {listen: '0.0.0.0:1', forward: 127.0.0.1:2, allow: ['spiffe://td/w']}\n"
        "outbound:\n- {listen: 127.0.0.1:2, forward: 'web:1', expect: ['spiffe://td/w']}\n",
     {0},
     "",
     ERR_OK},
    {ID "outbound:\n- {listen: 127.0.0.1:0, forward: 'web:80', expect: ['spiffe://td/w']}\n"
        "- {listen: 127.0.0.1:0, forward: 'web:80', expect: ['spiffe://td/w']}\n",
     {0},
     "",
     ERR_OK},
    /* known, but not built yet */
    {ID "inbound:\n  - listen: 127.0.0.1:1\n    forward: 127.0.0.1:2\n    protocol: http\n"
        "    client_auth: optional\n    allow: ['spiffe://td/a']\n",
     {0},
     "x.yaml:5: inbound[0].protocol: http is not built yet in this version; use tcp\n"
     "x.yaml:6: inbound[0].client_auth: optional is not built yet in this version; use require\n",
     ERR_CONFIG},
    {ID "outbound:\n- {listen: 127.0.0.1:1, forward: 'w:80', expect: ['spiffe://td/w'], tunnel: "
        "pooled}\n",
     {0},
     "x.yaml:3: outbound[0].tunnel: pooled is not built yet in this version; use direct\n",
     ERR_CONFIG},
    {ID OUT "revocation: {policy: hard}\n", {0}, "", ERR_OK},
    {"identity: {files: {certificate: /a, key: /b, bundle: /c}}\n" OUT
     "revocation: {policy: hard}\n",
     {0},
     "x.yaml:3: revocation.policy: warning: hard admits nobody here: the revocation cache comes "
     "from "
     "an agent, and with identity.files there is none\n",
     ERR_OK},
    {ID "outbound: [{listen: 127.0.0.1:1, forward: 'w:80', expect: ['spiffe://td/w'], peer_expiry: "
        "never}]\n",
     {0},
     "x.yaml:2: outbound[0].peer_expiry: expected keep, drain or close, found \"never\"\n",
     ERR_CONFIG},
    {ID OUT "revocation: {policy: maybe}\n",
     {0},
     "x.yaml:3: revocation.policy: expected off, soft or hard, found \"maybe\"\n",
     ERR_CONFIG},
    /* absent and empty sections */
    {ID OUT "metrics: {}\n",
     {0},
     "x.yaml:3: metrics.listen: is missing: expected an address such as 127.0.0.1:9464, or off\n",
     ERR_CONFIG},
    {ID OUT "metrics: {listen: off}\n", {0}, "", ERR_OK},
    {ID OUT "admin: {}\n",
     {0},
     "x.yaml:3: admin.socket: is missing: expected the absolute path of a Unix socket\n",
     ERR_CONFIG},
    {ID OUT "workers: 0\n",
     {0},
     "x.yaml:3: workers: expected at least 1, found \"0\"\n",
     ERR_CONFIG},
    {ID OUT "workers: 65\n",
     {0},
     "x.yaml:3: workers: expected at most 64, found \"65\"\n",
     ERR_CONFIG},
    {ID OUT "timeouts: {connect: 0s}\n",
     {0},
     "x.yaml:3: timeouts.connect: expected at least 1ms, found \"0s\"\n",
     ERR_CONFIG},
    {ID OUT "timeouts: {idel: 0s}\n",
     {0},
     "x.yaml:3: timeouts.idel: unknown key, did you mean timeouts.idle?\n",
     ERR_CONFIG},
    /* --set */
    {ID,
     {"outbound=[{listen: '127.0.0.1:1', forward: 'web:80', expect: ['spiffe://td/web']}]"},
     "",
     ERR_OK},
    {ID,
     {"outbound=[{listen: '127.0.0.1:1', forward: 'web'}]"},
     "--set: outbound[0].forward: expected an address such as 127.0.0.1:8080 or web.internal:8443, "
     "found \"web\": the port is missing\n"
     "--set: outbound[0].expect: warning: is empty and admits nobody\n",
     ERR_CONFIG},
    {OUT, {"identity.workload_api=unix:///a"}, "", ERR_OK},
};

START_TEST(test_each_mistake_is_one_line_with_file_line_and_key)
{
    struct sidecar_config *s = NULL;
    struct buf report;
    buf_init(&report, 16384);
    unsetenv("SPIFFE_ENDPOINT_SOCKET");
    config_case_check(&cases[_i], load(&cases[_i], &s, &report), &report);
    ck_assert((s != NULL) == (cases[_i].err == ERR_OK));
    sidecar_config_unref(s);
    buf_done(&report);
}
END_TEST

START_TEST(test_environment_stands_in_for_an_absent_identity)
{
    struct config_case good = {.text = OUT, .want = ""};
    struct config_case bad = {.text = OUT,
                              .want = "x.yaml: identity: SPIFFE_ENDPOINT_SOCKET=/a: expected "
                                      "unix:///PATH or tcp://IP:PORT\n",
                              .err = ERR_CONFIG};
    struct config_case own = {.text = ID OUT, .want = ""};
    struct sidecar_config *s = NULL;
    struct buf report;
    buf_init(&report, 4096);
    setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///run/other.sock", 1);
    config_case_check(&good, load(&good, &s, &report), &report);
    ck_assert_str_eq(s->workload_api, "unix:///run/other.sock");
    sidecar_config_unref(s);
    config_case_check(&own, load(&own, &s, &report), &report);
    ck_assert_str_eq(s->workload_api, "unix:///a");
    sidecar_config_unref(s);
    setenv("SPIFFE_ENDPOINT_SOCKET", "/a", 1);
    config_case_check(&bad, load(&bad, &s, &report), &report);
    unsetenv("SPIFFE_ENDPOINT_SOCKET");
    buf_done(&report);
}
END_TEST

START_TEST(test_what_is_left_out_opens_nothing_and_has_its_default)
{
    struct config_case c = {.text = ID OUT, .want = ""};
    struct sidecar_config *s = NULL;
    struct buf report;
    buf_init(&report, 4096);
    config_case_check(&c, load(&c, &s, &report), &report);
    ck_assert(!s->metrics_on && s->sandbox);
    ck_assert_ptr_null(s->admin_socket);
    ck_assert_str_eq(s->name, "");
    ck_assert_str_eq(s->metrics_prefix, "spindle_");
    ck_assert_int_eq(s->workers, 1);
    ck_assert_int_eq(s->revocation, REVOCATION_SOFT);
    ck_assert_int_eq(s->drain_delay_ms, 5000);
    ck_assert_int_eq(s->drain_limit_ms, 30000);
    ck_assert_int_eq(s->connect_timeout_ms, 10000);
    ck_assert_int_eq(s->handshake_timeout_ms, 10000);
    ck_assert_int_eq(s->idle_timeout_ms, 0);
    ck_assert_int_eq(s->half_close_timeout_ms, 0);
    ck_assert_int_eq(s->max_connections, 0);
    ck_assert_int_eq(s->max_total, 0);
    ck_assert_int_eq(s->max_unauthenticated_per_source, 0);
    ck_assert_int_eq(s->routes[0].tunnel, TUNNEL_DIRECT);
    sidecar_config_unref(sidecar_config_ref(s));
    ck_assert_str_eq(s->name, "");
    sidecar_config_unref(s);
    buf_done(&report);
}
END_TEST

START_TEST(test_reload_takes_what_may_change_and_names_what_may_not)
{
    struct config_case c = {.text = contract, .want = ""};
    struct sidecar_config *now = NULL, *next = NULL;
    struct buf report;
    buf_init(&report, 4096);
    ck_assert_int_eq(load(&c, &now, &report), ERR_OK);
    c.set[0] =
        "inbound=[{listen: '0.0.0.0:8443', forward: '127.0.0.1:1', allow: ['spiffe://x/y']}]";
    c.set[1] = "timeouts.idle=1m";
    ck_assert_int_eq(load(&c, &next, &report), ERR_OK);
    config_case_check(&c, sidecar_config_check_reload(now, next, &report), &report);
    sidecar_config_unref(next);
    next = NULL;
    struct config_case fixed = {
        .text = contract,
        .set = {"workers=3", "inbound=[{listen: '0.0.0.0:1', forward: '127.0.0.1:2', allow: "
                             "['spiffe://x/y']}]"},
        .want = "--set: inbound[0].listen: has changed, which needs a restart\n"
                "x.yaml:14: outbound: has changed, which needs a restart\n"
                "--set: workers: has changed, which needs a restart\n",
        .err = ERR_CONFIG};
    char *text = strdup(contract), *gone = strstr(text, "  - {listen: /run/app.sock");
    memset(gone, '#', 1);
    fixed.text = text;
    ck_assert_int_eq(load(&fixed, &next, &report), ERR_OK);
    config_case_check(&fixed, sidecar_config_check_reload(now, next, &report), &report);
    sidecar_config_unref(next);
    sidecar_config_unref(now);
    free(text);
    buf_done(&report);
}
END_TEST

START_TEST(test_check_finds_files_that_cannot_be_used)
{
    struct config_case c = {
        .text = "identity:\n  files:\n    certificate: missing.crt\n    key: loose.key\n    "
                "bundle: .\n" OUT,
        .want = "x.yaml:3: identity.files.certificate: $HERE/missing.crt cannot be read: No such "
                "file or "
                "directory\n"
                "x.yaml:4: identity.files.key: $HERE/loose.key holds a key and is open to others: "
                "expected "
                "mode 0600, found 0644\n"
                "x.yaml:5: identity.files.bundle: $HERE/. is no file\n",
        .err = ERR_CONFIG};
    struct sidecar_config *s = NULL;
    struct buf report;
    buf_init(&report, 4096);
    config_case_file("loose.key", "", 0644);
    ck_assert_int_eq(load(&c, &s, &report), ERR_OK);
    config_case_check(&c, sidecar_config_check_files(s, 0, &report), &report);
    buf_clear(&report);
    config_case_file("loose.key", "", 0600);
    config_case_file("missing.crt", "", 0644);
    c.want = "x.yaml:5: identity.files.bundle: $HERE/. is no file\n";
    config_case_check(&c, sidecar_config_check_files(s, 0, &report), &report);
    sidecar_config_unref(s);
    buf_done(&report);
}
END_TEST

START_TEST(test_table_is_sound)
{
    ck_assert_ptr_null(option_flaw(&sidecar_options));
}
END_TEST

START_TEST(test_each_failed_allocation_is_an_error_and_leaks_nothing)
{
    struct config_case c = {.text = contract, .want = ""};
    config_case_write(&c);
    for (long n = 0;; n++) {
        struct sidecar_config *s = NULL;
        struct buf report;
        buf_init(&report, 4096);
        mem_fail_after(n);
        err_t err = sidecar_config_load("x.yaml", NULL, &report, &s, NULL);
        int failed = mem_did_fail();
        mem_fail_after(-1);
        buf_done(&report);
        if (!failed) {
            ck_assert_int_eq(err, ERR_OK);
            ck_assert_int_gt(n, 80);
            sidecar_config_unref(s);
            break;
        }
        ck_assert_int_eq(err, ERR_NO_MEMORY);
        ck_assert_ptr_null(s);
    }
}
END_TEST

int main(void)
{
    config_case_folder();
    Suite *s = suite_create("sidecar_config");
    TCase *t = tcase_create("sidecar_config");
    tcase_add_test(t, test_every_key_of_the_contract_is_read);
    tcase_add_test(t, test_routes_are_inbound_then_outbound_with_their_rules);
    tcase_add_loop_test(t, test_each_mistake_is_one_line_with_file_line_and_key, 0, COUNT(cases));
    tcase_add_test(t, test_environment_stands_in_for_an_absent_identity);
    tcase_add_test(t, test_what_is_left_out_opens_nothing_and_has_its_default);
    tcase_add_test(t, test_reload_takes_what_may_change_and_names_what_may_not);
    tcase_add_test(t, test_check_finds_files_that_cannot_be_used);
    tcase_add_test(t, test_table_is_sound);
    tcase_add_test(t, test_each_failed_allocation_is_an_error_and_leaks_nothing);
    suite_add_tcase(s, t);
    return config_case_folder_done(run_suite(s));
}
