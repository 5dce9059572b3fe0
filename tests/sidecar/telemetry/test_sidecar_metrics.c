/* The sidecar's table of metrics, and the events that several families count. */
#include "sidecar/telemetry/metrics.h"
#include "tests/support/metric_check.h"
#include "tests/support/runner.h"

static struct metrics *m;

static void setup(void)
{
    ck_assert_int_eq(metrics_new(sidecar_families, SIDECAR_METRIC_COUNT, "spindle_", &m, NULL),
                     ERR_OK);
}

static void teardown(void)
{
    metrics_free(m);
}

static uint64_t count_of(size_t family, size_t a, err_t err)
{
    return metric_read(m, family, a, metric_reason(m, family, err), 0);
}

START_TEST(test_the_table_keeps_the_rules_of_names)
{
    check_metric_table(sidecar_families, SIDECAR_METRIC_COUNT, 400);
}
END_TEST

START_TEST(test_a_handshake_counts_its_group_and_one_mtls_connection)
{
    sidecar_count_handshake(m, SIDE_SERVER, TLS_KIND_MUTUAL, "X25519MLKEM768", 700000);
    sidecar_count_handshake(m, SIDE_CLIENT, TLS_KIND_SERVER_ONLY, "P-384", 800000);
    sidecar_count_handshake(NULL, SIDE_CLIENT, TLS_KIND_MUTUAL, "SECP256R1", 1);
    sidecar_count_handshake(m, SIDE_CLIENT, TLS_KIND_SERVER_ONLY, "SECP256R1", 800000);
    ck_assert_uint_eq(metric_read(m, M_TLS_HANDSHAKES, SIDE_SERVER, 0, 0), 1);
    ck_assert_uint_eq(metric_read(m, M_TLS_HANDSHAKES, SIDE_CLIENT, 0, 3), 1);
    ck_assert_uint_eq(metric_read(m, M_TLS_HANDSHAKES, SIDE_CLIENT, 0, 2), 1);
    ck_assert_uint_eq(metric_read(m, M_TLS_HANDSHAKE_DURATION, SIDE_SERVER, 0, 0), 1);
    ck_assert_uint_eq(metric_read(m, M_MTLS_CONNECTIONS, 0, 0, 0), 1);
    ck_assert_str_eq(metric_label_text(m, M_TLS_HANDSHAKES, 2, 3), "other");
}
END_TEST

static const struct {
    err_t err;
    bool certificate, peer;
} failures[] = {
    {ERR_CERT_EXPIRED, true, true},      {ERR_CHAIN_INCOMPLETE, true, true},
    {ERR_LEAF_URI_COUNT, true, true},    {ERR_TRUST_DOMAIN_UNKNOWN, true, true},
    {ERR_PEER_NOT_ALLOWED, false, true}, {ERR_PEER_NO_CERT, false, true},
    {ERR_PEER_PROOF, false, true},       {ERR_TLS_VERSION, false, false},
    {ERR_TLS_NOT_TLS, false, false},     {ERR_TIMEOUT, false, false},
    {ERR_PEER_CLOSED, false, false},     {ERR_CONFIG, false, false},
    {ERR_TLS_LIMIT, false, false},
};

START_TEST(test_a_failed_handshake_counts_in_each_family_it_belongs_to)
{
    err_t err = failures[_i].err;
    sidecar_count_handshake_failure(m, SIDE_CLIENT, err);
    ck_assert_uint_eq(count_of(M_TLS_HANDSHAKE_FAILURES, SIDE_CLIENT, err), 1);
    ck_assert_uint_eq(metric_read(m, M_MTLS_CONNECTION_FAILURES, 0, 0, 0), 1);
    ck_assert_uint_eq(metric_read(m, M_TLS_LIMIT_REFUSALS, 0, 0, 0), err == ERR_TLS_LIMIT);
    ck_assert_uint_eq(metric_read(m, M_MTLS_PEER_VERIFICATION_FAILURES, 0, 0, 0),
                      failures[_i].peer);
    ck_assert_uint_eq(metric_read(m, M_MTLS_VALIDATION_FAILURES,
                                  metric_reason(m, M_MTLS_VALIDATION_FAILURES, err), 0, 0),
                      failures[_i].certificate);
    ck_assert_uint_eq(metric_read(m, M_CERTIFICATE_VALIDATION_ERRORS, 0, 0, 0),
                      failures[_i].certificate);
}
END_TEST

/* Each way a peer's certificate is refused (X5-11 to X5-20) has a reason of its own. */
START_TEST(test_every_certificate_error_has_its_own_reason)
{
    size_t other = metric_reason(m, M_TLS_HANDSHAKE_FAILURES, ERR_CONFIG);
    for (size_t i = 0; i < err_count(); i++) {
        err_t err = err_at(i);
        bool own = (err >= 2100 && err < 2200) || (err >= 3000 && err < 3010);
        if (own)
            ck_assert_msg(metric_reason(m, M_TLS_HANDSHAKE_FAILURES, err) != other,
                          "%s is not listed", err_name(err));
    }
}
END_TEST

START_TEST(test_ends_and_refusals_are_counted_by_direction_and_reason)
{
    sidecar_count_closed(m, ROUTE_INBOUND, ERR_OK);
    sidecar_count_closed(m, ROUTE_OUTBOUND, ERR_PEER_RESET);
    sidecar_count_refused(m, ROUTE_OUTBOUND, ERR_LIMIT);
    sidecar_count_connect_failure(m, ROUTE_INBOUND, ERR_CONNECT);
    ck_assert_uint_eq(count_of(M_CONNECTIONS_CLOSED, ROUTE_INBOUND, ERR_OK), 1);
    ck_assert_uint_eq(count_of(M_CONNECTIONS_CLOSED, ROUTE_OUTBOUND, ERR_PEER_RESET), 1);
    ck_assert_uint_eq(count_of(M_CONNECTIONS_REFUSED, ROUTE_OUTBOUND, ERR_LIMIT), 1);
    ck_assert_uint_eq(count_of(M_CONNECT_FAILURES, ROUTE_INBOUND, ERR_CONNECT), 1);
}
END_TEST

/* The label's values are those of a release; the resolver's own counters tell more. */
START_TEST(test_all_ways_in_which_names_fail_are_one_cause)
{
    static const err_t causes[] = {ERR_RESOLVE, ERR_RESOLVE_SERVER, ERR_RESOLVE_TIMEOUT};
    for (size_t i = 0; i < 3; i++) {
        sidecar_count_connect_failure(m, ROUTE_INBOUND, causes[i]);
        sidecar_count_closed(m, ROUTE_OUTBOUND, causes[i]);
    }
    ck_assert_uint_eq(count_of(M_CONNECT_FAILURES, ROUTE_INBOUND, ERR_RESOLVE), 3);
    ck_assert_uint_eq(count_of(M_CONNECTIONS_CLOSED, ROUTE_OUTBOUND, ERR_RESOLVE), 3);
}
END_TEST

START_TEST(test_a_refused_identity_and_an_absent_one_are_told_apart)
{
    sidecar_count_identity_failure(m, ERR_KEY_MISMATCH);
    sidecar_count_identity_failure(m, ERR_RPC);
    ck_assert_uint_eq(metric_read(m, M_SVID_ROTATIONS, RESULT_FAILURE, 0, 0), 1);
    ck_assert_uint_eq(
        metric_read(m, M_IDENTITY_FAILURES, metric_reason(m, M_IDENTITY_FAILURES, ERR_RPC), 0, 0),
        1);
    ck_assert_uint_eq(metric_read(m, M_IDENTITY_FAILURES,
                                  metric_reason(m, M_IDENTITY_FAILURES, ERR_KEY_MISMATCH), 0, 0),
                      1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sidecar_metrics");
    TCase *t = tcase_create("sidecar_metrics");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_the_table_keeps_the_rules_of_names);
    tcase_add_test(t, test_a_handshake_counts_its_group_and_one_mtls_connection);
    tcase_add_loop_test(t, test_a_failed_handshake_counts_in_each_family_it_belongs_to, 0,
                        METRIC_COUNT_OF(failures));
    tcase_add_test(t, test_every_certificate_error_has_its_own_reason);
    tcase_add_test(t, test_ends_and_refusals_are_counted_by_direction_and_reason);
    tcase_add_test(t, test_all_ways_in_which_names_fail_are_one_cause);
    tcase_add_test(t, test_a_refused_identity_and_an_absent_one_are_told_apart);
    suite_add_tcase(s, t);
    return run_suite(s);
}
