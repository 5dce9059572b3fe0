/* Every event of the sidecar, held against its table. */
#include "sidecar/telemetry/audit_events.h"
#include "tests/support/audit_case.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <unistd.h>

static const struct audit_peer peer = {.conn = 64,
                                       .direction = "inbound",
                                       .listen = "0.0.0.0:8443",
                                       .address = "10.0.0.7:4410",
                                       .id = "spiffe://example.org/x",
                                       .serial = "0a",
                                       .issuer = "CN=issuer",
                                       .not_before = 1,
                                       .not_after = 2};

static struct identity *make_identity(void)
{
    struct cert *leaf = cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web"}, NULL);
    struct bundle_set none;
    struct identity *id = NULL;
    struct why why = {0};
    bundle_set_init(&none);
    ck_assert_msg(identity_new(cert_der(leaf), key_pkcs8(leaf->key), "", &none, &id, &why) ==
                      ERR_OK,
                  "%s", why_text(&why));
    cert_free(leaf);
    return id;
}

START_TEST(test_who_told_it_to_end_is_a_signal_or_a_process)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    struct audit_order by_signal = {.signal = "SIGTERM"};
    struct audit_order by_process = {.by = {.pid = 12, .uid = 34}};
    audit_drain(a, &by_signal, 5);
    audit_quit(a, &by_process, 6);
    audit_close(a);
    char *text = audit_read(audit_path);
    ck_assert_ptr_nonnull(strstr(text, "\"drain\",\"signal\":\"SIGTERM\",\"connections\":5}\n"));
    ck_assert_ptr_nonnull(strstr(text, "\"quit\",\"pid\":12,\"uid\":34,\"connections\":6}\n"));
    free(text);
}
END_TEST

START_TEST(test_every_event_has_the_fields_of_its_row)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    struct audit_order order = {.signal = "SIGTERM", .by = {.pid = 12, .uid = 34}};
    struct identity *id = make_identity();
    audit_started(a, "web");
    audit_identity(a, id);
    audit_identity_lost(a, ERR_CERT_EXPIRED, "expired");
    audit_peer_refused(a, &peer, ERR_PEER_NOT_ALLOWED, "not on the list");
    audit_peer_admitted(a, &peer, "spiffe://example.org/*");
    audit_connection_cut(a, &peer, ERR_CERT_REVOKED, "revoked", 60);
    audit_connection_refused(a, "inbound", "0.0.0.0:8443", ERR_LIMIT, "full");
    audit_reloaded(a);
    audit_reload_failed(a, slice_str("sidecar.yaml:1: wrong"));
    audit_drain(a, &order, 5);
    audit_quit(a, &order, 5);
    audit_stopped(a);
    audit_check_golden(a, &sidecar_audit_table);
    identity_unref(id);
}
END_TEST

START_TEST(test_what_is_not_known_of_a_peer_is_left_out)
{
    struct audit *a = audit_case_open(AUDIT_BIG, 1);
    struct audit_peer scanner = {.direction = "inbound", .listen = "l", .address = "a"};
    audit_peer_refused(a, &scanner, ERR_TLS_NOT_TLS, "no TLS");
    audit_started(a, "");
    audit_close(a);
    char *text = audit_read(audit_path);
    ck_assert_ptr_nonnull(strstr(text,
                                 "\"reason\":\"tls_not_tls\",\"direction\":\"inbound\","
                                 "\"listen\":\"l\",\"address\":\"a\",\"detail\":\"no TLS\"}"));
    ck_assert_ptr_null(strstr(text, "\"name\""));
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sidecar_audit_events");
    TCase *t = tcase_create("sidecar_audit_events");
    tcase_add_checked_fixture(t, audit_case_begin, audit_case_end);
    tcase_add_test(t, test_every_event_has_the_fields_of_its_row);
    tcase_add_test(t, test_who_told_it_to_end_is_a_signal_or_a_process);
    tcase_add_test(t, test_what_is_not_known_of_a_peer_is_left_out);
    suite_add_tcase(s, t);
    return run_suite(s);
}
