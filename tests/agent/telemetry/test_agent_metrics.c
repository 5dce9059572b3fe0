/* The agent's table of metrics, and how calls end. */
#include "agent/api/call.h"
#include "agent/telemetry/metrics.h"
#include "tests/support/metric_check.h"
#include "tests/support/runner.h"

#include <string.h>

static struct metrics *m;

static void setup(void)
{
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "spindle_", &m, NULL), ERR_OK);
}

static void teardown(void)
{
    metrics_free(m);
}

START_TEST(test_the_table_keeps_the_rules_of_names)
{
    check_metric_table(agent_metrics, AGENT_METRIC_COUNT, 250);
}
END_TEST

START_TEST(test_common_families_come_first)
{
    ck_assert_str_eq(agent_metrics[M_BUILD_INFO].name, "build_info");
    ck_assert_str_eq(agent_metrics[COMMON_METRIC_COUNT].name, "agent_workload_api_requests_total");
}
END_TEST

/* EP-2, EP-5, WA-6: the code a client sees for each way a call ends. */
static const struct {
    err_t err;
    enum rpc_code code;
} outcomes[] = {
    {ERR_OK, RPC_OK},
    {ERR_SECURITY_HEADER, RPC_INVALID_ARGUMENT},
    {ERR_NO_ENTRY, RPC_PERMISSION_DENIED},
    {ERR_NOT_SYNCED, RPC_UNAVAILABLE},
    {ERR_ATTESTATION, RPC_UNAVAILABLE},
    {ERR_LIMIT, RPC_UNAVAILABLE},
    {ERR_DRAINING, RPC_UNAVAILABLE},
    {ERR_UNSUPPORTED, RPC_UNIMPLEMENTED},
    {ERR_CONFIG, RPC_INTERNAL},
    {ERR_INTERNAL, RPC_INTERNAL},
};

START_TEST(test_an_error_has_one_grpc_code_and_one_series)
{
    ck_assert_int_eq(call_code(outcomes[_i].err), outcomes[_i].code);
    agent_count_request(m, METHOD_FETCH_X509_SVID, outcomes[_i].err);
    size_t at = metric_reason(m, M_WORKLOAD_API_REQUESTS, outcomes[_i].err);
    ck_assert_uint_eq(metric_read(m, M_WORKLOAD_API_REQUESTS, METHOD_FETCH_X509_SVID, at, 0), 1);
    ck_assert_str_eq(metric_label_text(m, M_WORKLOAD_API_REQUESTS, 1, at),
                     rpc_code_name((int)outcomes[_i].code));
}
END_TEST

/* WA-7: go-spiffe stops for ever on these two; what ends a live stream is never one of them. */
START_TEST(test_what_ends_a_live_stream_lets_the_client_come_back)
{
    static const err_t endings[] = {ERR_DRAINING, ERR_NO_ENTRY,  ERR_ATTESTATION, ERR_SIGNER,
                                    ERR_LIMIT,    ERR_NO_MEMORY, ERR_NOT_SYNCED,  ERR_IO};
    for (size_t i = 0; i < METRIC_COUNT_OF(endings); i++) {
        ck_assert_int_ne(call_code(endings[i]), RPC_CANCELLED);
        ck_assert_int_ne(call_code(endings[i]), RPC_INVALID_ARGUMENT);
    }
}
END_TEST

START_TEST(test_refused_connections_are_counted_by_reason)
{
    agent_count_refused(m, ERR_LIMIT);
    agent_count_refused(m, ERR_CONFIG);
    ck_assert_uint_eq(metric_read(m, M_CONNECTIONS_REFUSED,
                                  metric_reason(m, M_CONNECTIONS_REFUSED, ERR_LIMIT), 0, 0),
                      1);
    ck_assert_uint_eq(metric_read(m, M_CONNECTIONS_REFUSED,
                                  metric_reason(m, M_CONNECTIONS_REFUSED, ERR_KEY), 0, 0),
                      1);
    agent_count_refused(NULL, ERR_LIMIT);
    agent_count_request(NULL, METHOD_OTHER, ERR_OK);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_metrics");
    TCase *t = tcase_create("agent_metrics");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_the_table_keeps_the_rules_of_names);
    tcase_add_test(t, test_common_families_come_first);
    tcase_add_loop_test(t, test_an_error_has_one_grpc_code_and_one_series, 0,
                        METRIC_COUNT_OF(outcomes));
    tcase_add_test(t, test_what_ends_a_live_stream_lets_the_client_come_back);
    tcase_add_test(t, test_refused_connections_are_counted_by_reason);
    suite_add_tcase(s, t);
    return run_suite(s);
}
