/* What is said of identity files before anything is opened: each kind of set that no peer would
 * take is one line with the file, and a warning is no refusal. */
#include "common/base/mem.h"
#include "sidecar/config/config.h"
#include "tests/support/certs.h"
#include "tests/support/config_case.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))
#define WEB "spiffe://example.org/web"
#define AT "x.yaml:1: identity.files: "

static struct cert *root, *other_root, *web, *second, *expired, *future, *two_ids;

static void setup(void)
{
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    other_root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    web = cert_make(&(struct cert_knobs){.uri = WEB}, root);
    second = cert_make(&(struct cert_knobs){.uri = WEB}, root);
    expired = cert_make(
        &(struct cert_knobs){.uri = WEB, .not_before = CERTS_NOW - 9, .not_after = CERTS_NOW - 1},
        root);
    future = cert_make(
        &(struct cert_knobs){.uri = WEB, .not_before = CERTS_NOW + 9, .not_after = CERTS_NOW + 99},
        root);
    two_ids = cert_make(&(struct cert_knobs){.uri = WEB, .names = {{0x86, BYTES(WEB "2")}}}, root);
}

static void teardown(void)
{
    struct cert *all[] = {root, other_root, web, second, expired, future, two_ids};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        cert_free(all[i]);
}

/* NULL: an empty file. */
static void put_cert(const char *name, struct cert *const *c, const char *more)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    if (c != NULL)
        cert_pem(*c, &pem);
    ck_assert_int_eq(buf_append(&pem, more, strlen(more) + 1), ERR_OK);
    config_case_file(name, (const char *)pem.data, 0600);
    buf_done(&pem);
}

static void put_key(const char *name, struct cert *const *c)
{
    struct buf pem;
    buf_init(&pem, 1u << 20);
    if (c != NULL)
        cert_key_pem(*c, &pem);
    ck_assert_int_eq(buf_append(&pem, "", 1), ERR_OK);
    config_case_file(name, (const char *)pem.data, 0600);
    buf_wipe(&pem);
}

static const struct {
    struct cert **certificate, **key, **bundle;
    const char *more; /* behind the certificate */
    const char *want; /* its start */
    err_t err;
} sets[] = {
    {&web, &web, &root, "", "", ERR_OK},
    {NULL, &web, &root, "", AT "$HERE/tls.crt: no \"BEGIN CERTIFICATE\" block", ERR_CONFIG},
    {NULL, &web, &root, "just text", AT "$HERE/tls.crt: no \"BEGIN CERTIFICATE\" block",
     ERR_CONFIG},
    {&web, &second, &root, "", AT "$HERE/tls.crt with $HERE/tls.key: ", ERR_CONFIG},
    {&web, NULL, &root, "", AT "key file $HERE/tls.key: ", ERR_CONFIG},
    {&web, &web, &other_root, "", AT "$HERE/tls.crt against $HERE/ca.crt: ", ERR_CONFIG},
    {&web, &web, NULL, "", AT "$HERE/ca.crt: no \"BEGIN CERTIFICATE\" block", ERR_CONFIG},
    {&two_ids, &two_ids, &root, "", AT "$HERE/tls.crt: ", ERR_CONFIG},
    {&root, &root, &root, "", AT "$HERE/tls.crt: ", ERR_CONFIG},
    {&web, &web, &root, "-----BEGIN X-----\n", AT "$HERE/tls.crt: PEM block \"X\"", ERR_CONFIG},
    {&web, &web, &root, "-----BEGIN X-----\nQQ==\n-----END X-----\n",
     AT "warning: 1 PEM blocks are not used: $HERE/tls.crt: X\n", ERR_OK},
    {&expired, &expired, &root, "", AT "warning: $HERE/tls.crt against $HERE/ca.crt: ", ERR_OK},
    {&future, &future, &root, "", AT "warning: $HERE/tls.crt against $HERE/ca.crt: ", ERR_OK},
};

START_TEST(test_a_set_that_no_peer_would_take_is_one_line_with_its_file)
{
    static const char text[] =
        "identity: {files: {certificate: tls.crt, key: tls.key, bundle: ca.crt}}\n"
        "outbound: [{listen: '127.0.0.1:1', forward: '127.0.0.1:2', expect: ['" WEB "']}]\n";
    struct sidecar_config *config = NULL;
    struct buf report;
    struct why why = {0};
    char want[16384];
    buf_init(&report, 1u << 14);
    put_cert("tls.crt", sets[_i].certificate, sets[_i].more);
    put_key("tls.key", sets[_i].key);
    put_cert("ca.crt", sets[_i].bundle, "");
    config_case_file("x.yaml", text, 0600);
    ck_assert_int_eq(sidecar_config_load("x.yaml", NULL, &report, &config, &why), ERR_OK);
    err_t err = sidecar_config_check_files(config, CERTS_NOW, &report);
    ck_assert_int_eq(buf_append(&report, "", 1), ERR_OK);
    const char *found = (const char *)report.data;
    config_case_expand(sets[_i].want, want, sizeof want);
    ck_assert_msg(strncmp(found, want, strlen(want)) == 0, "expected %s found %s", want, found);
    ck_assert_msg(err == sets[_i].err, "%s: %s", err_name(err), found);
    const char *end = strchr(found, '\n');
    ck_assert(want[0] == '\0' ? end == NULL : end != NULL && end[1] == '\0');
    sidecar_config_unref(config);
    buf_done(&report);
}
END_TEST

static const struct {
    const char *forward, *want; /* NULL: nothing to say */
} forwards[] = {
    {"127.0.0.1:1", NULL},
    {"[::1]:1", NULL},
    {"localhost:1", NULL},
    {"/run/app.sock", NULL},
    {"0.0.0.0:1", NULL},
    {"192.0.2.7:1", "192.0.2.7:1 is not of this machine"}, /* RFC 5737: nobody's */
    {"[2001:db8::7]:1", "[2001:db8::7]:1 is not of this machine"},
    {"app.internal:1", "app.internal:1 may lead off this machine"},
};

START_TEST(test_an_app_off_this_machine_is_a_warning)
{
    char text[512], want[512] = "";
    struct sidecar_config *config = NULL;
    struct buf report;
    struct why why = {0};
    buf_init(&report, 1u << 14);
    snprintf(text, sizeof text,
             "identity: {workload_api: 'unix:///x'}\n"
             "inbound: [{listen: '0.0.0.0:2', forward: '%s', allow: ['" WEB "']}]\n"
             "outbound: [{listen: '127.0.0.1:3', forward: '192.0.2.7:1', expect: ['" WEB "']}]\n",
             forwards[_i].forward);
    if (forwards[_i].want != NULL)
        snprintf(
            want, sizeof want,
            "x.yaml:2: inbound[0].forward: warning: %s: what arrives over mutual TLS goes on in "
            "plain text from here\n",
            forwards[_i].want);
    config_case_file("x.yaml", text, 0600);
    ck_assert_int_eq(sidecar_config_load("x.yaml", NULL, &report, &config, &why), ERR_OK);
    ck_assert_int_eq(sidecar_config_check_files(config, CERTS_NOW, &report), ERR_OK);
    ck_assert_msg(slice_eq_str(buf_slice(&report), want), "%.*s", (int)report.len, report.data);
    sidecar_config_unref(config);
    buf_done(&report);
}
END_TEST

int main(void)
{
    config_case_folder();
    Suite *s = suite_create("config_files");
    TCase *t = tcase_create("config_files");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_a_set_that_no_peer_would_take_is_one_line_with_its_file, 0,
                        COUNT(sets));
    tcase_add_loop_test(t, test_an_app_off_this_machine_is_a_warning, 0, COUNT(forwards));
    suite_add_tcase(s, t);
    return config_case_folder_done(run_suite(s));
}
