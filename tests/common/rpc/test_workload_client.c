/* The watch on the Workload API, against a scripted agent on a real socket: what is tried again,
 * what is final, what is discarded. EP-8, WA-2, WA-5, AG-26 */
#include "common/rpc/workload_client.h"
#include "tests/support/fake_agent.h"
#include "tests/support/runner.h"
#include "tests/support/workload_answer.h"

#include <stdio.h>

#define WEB "spiffe://example.org/web"

struct seen {
    struct workload_client *client;
    unsigned updates, troubles, closed;
    char serial[64]; /* of the first SVID of the last update */
    size_t bundles;
    int code;
    bool is_final, close_on_update;
    uint64_t retry_ms;
    char text[256];
};

static uv_loop_t loop;
static struct fake_agent agent;
static struct h2_script script;
static struct cert *root, *web, *fresh;
static struct buf body;

static const struct h2_script *choose(void *arg, const char *path)
{
    (void)arg, (void)path;
    return &script;
}

static void put_answer(struct buf *out, const struct cert *leaf)
{
    struct answer a = {.svids = {answer_svid_of(WEB, leaf, root)}};
    answer_put_svids(&a, out);
}

static void setup(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    fake_agent_init(&agent, &loop, choose, NULL);
    root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    web = cert_make(&(struct cert_knobs){.uri = WEB}, root);
    fresh = cert_make(&(struct cert_knobs){.uri = WEB}, root);
    struct buf message;
    buf_init(&message, 1u << 20);
    buf_init(&body, 1u << 20);
    put_answer(&message, web);
    h2_put_message(&body, buf_slice(&message));
    buf_done(&message);
    script = (struct h2_script){.ending = H2_HOLD, .body = buf_slice(&body)};
}

static void teardown(void)
{
    fake_agent_stop(&agent);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    fake_agent_done(&agent);
    buf_done(&body);
    cert_free(fresh);
    cert_free(web);
    cert_free(root);
}

static void on_closed(void *arg)
{
    struct seen *seen = arg;
    seen->closed++;
}

static void on_svids(void *arg, const struct workload_svids *svids)
{
    struct seen *seen = arg;
    seen->updates++;
    x509_serial_text(identity_leaf(svids->items[0])->serial, seen->serial, sizeof seen->serial);
    if (seen->close_on_update)
        workload_client_close(seen->client, on_closed, seen);
}

static void on_bundles(void *arg, const struct bundle_set *bundles)
{
    struct seen *seen = arg;
    seen->updates++;
    seen->bundles = bundles->count;
}

static void on_trouble(void *arg, const struct workload_trouble *trouble)
{
    struct seen *seen = arg;
    seen->troubles++;
    seen->code = trouble->code;
    seen->is_final = trouble->is_final;
    seen->retry_ms = trouble->retry_ms;
    snprintf(seen->text, sizeof seen->text, "%s", why_text(trouble->why));
}

static void start(struct seen *seen, enum workload_profile profile)
{
    const struct workload_events events = {on_svids, on_bundles, on_trouble, seen};
    struct address address;
    ck_assert_int_eq(address_parse(slice_str(agent.path), &address, NULL), ERR_OK);
    ck_assert_int_eq(workload_client_open(&loop, &address, profile, &events, &seen->client, NULL),
                     ERR_OK);
}

static void run_until(const unsigned *counter, unsigned want)
{
    while (*counter < want) {
        int alive = uv_run(&loop, UV_RUN_ONCE);
        ck_assert(alive != 0 || *counter >= want);
    }
}

static void finish(struct seen *seen)
{
    workload_client_close(seen->client, on_closed, seen);
    run_until(&seen->closed, 1);
}

static void expect_serial(const struct seen *seen, const struct cert *leaf)
{
    char want[64];
    ck_assert_str_eq(seen->serial, x509_serial_text(leaf->x509.serial, want, sizeof want));
}

START_TEST(test_updates_come_as_the_agent_sends_them)
{
    struct seen seen = {0};
    struct buf next;
    buf_init(&next, 1u << 20);
    put_answer(&next, fresh);
    fake_agent_start(&agent);
    start(&seen, WORKLOAD_X509_SVIDS);
    run_until(&seen.updates, 1);
    expect_serial(&seen, web);
    fake_agent_push(&agent, buf_slice(&next));
    run_until(&seen.updates, 2);
    expect_serial(&seen, fresh);
    ck_assert_uint_eq(agent.calls, 1); /* one stream */
    ck_assert_uint_eq(seen.troubles, 0);
    buf_done(&next);
    finish(&seen);
}
END_TEST

/* EP-8 */
static const struct {
    const char *status;
    int code;
    bool is_final;
} endings[] = {
    {"3", RPC_INVALID_ARGUMENT, true},   {"12", RPC_UNIMPLEMENTED, true},
    {"7", RPC_PERMISSION_DENIED, false}, {"14", RPC_UNAVAILABLE, false},
    {"1", RPC_CANCELLED, false},         {"13", RPC_INTERNAL, false},
    {"0", RPC_UNKNOWN, false}, /* a watch that just ends */
};

START_TEST(test_each_status_is_tried_again_or_is_final)
{
    struct seen seen = {0};
    script = (struct h2_script){
        .ending = H2_TRAILERS_ONLY, .grpc_status = endings[_i].status, .grpc_message = "said so"};
    fake_agent_start(&agent);
    start(&seen, WORKLOAD_X509_SVIDS);
    run_until(&seen.troubles, 1);
    ck_assert_int_eq(seen.code, endings[_i].code);
    ck_assert_int_eq(seen.is_final, endings[_i].is_final);
    if (endings[_i].code != RPC_UNKNOWN)
        ck_assert_ptr_nonnull(strstr(seen.text, "said so"));
    script = (struct h2_script){.ending = H2_HOLD, .body = buf_slice(&body)};
    if (endings[_i].is_final) {
        ck_assert_uint_eq(seen.retry_ms, 0);
        workload_client_retry(seen.client); /* a reload asks once more */
    }
    run_until(&seen.updates, 1);
    ck_assert_uint_eq(agent.calls, 2);
    finish(&seen);
}
END_TEST

START_TEST(test_an_agent_that_is_away_is_tried_with_growing_waits)
{
    struct seen seen = {0};
    start(&seen, WORKLOAD_X509_SVIDS);
    uint64_t most = 100;
    for (unsigned i = 1; i <= 3; i++) {
        run_until(&seen.troubles, i);
        ck_assert_int_eq(seen.code, RPC_UNAVAILABLE);
        ck_assert_uint_ge(seen.retry_ms, most / 2);
        ck_assert_uint_le(seen.retry_ms, most);
        most *= 2;
    }
    fake_agent_start(&agent);
    run_until(&seen.updates, 1);
    finish(&seen);
}
END_TEST

START_TEST(test_a_killed_agent_is_found_again)
{
    struct seen seen = {0};
    fake_agent_start(&agent);
    start(&seen, WORKLOAD_X509_SVIDS);
    run_until(&seen.updates, 1);
    fake_agent_stop(&agent);
    run_until(&seen.troubles, 1);
    fake_agent_start(&agent);
    run_until(&seen.updates, 2);
    finish(&seen);
}
END_TEST

/* WA-5: reported, and the stream goes on. */
START_TEST(test_a_bad_message_is_reported_and_the_next_good_one_taken)
{
    struct seen seen = {0};
    struct buf next;
    buf_init(&next, 1u << 20);
    put_answer(&next, fresh);
    fake_agent_start(&agent);
    start(&seen, WORKLOAD_X509_SVIDS);
    run_until(&seen.updates, 1);
    fake_agent_push(&agent, slice_of(NULL, 0));
    run_until(&seen.troubles, 1);
    ck_assert_int_eq(seen.code, RPC_OK);
    ck_assert(!seen.is_final);
    fake_agent_push(&agent, buf_slice(&next));
    run_until(&seen.updates, 2);
    ck_assert_uint_eq(agent.calls, 1);
    buf_done(&next);
    finish(&seen);
}
END_TEST

START_TEST(test_bundles_have_a_profile_of_their_own)
{
    struct seen seen = {0};
    struct answer a = {.bundles = {{"spiffe://example.org", cert_der(root)}}};
    struct buf message;
    buf_init(&message, 1u << 20);
    buf_clear(&body);
    answer_put_bundles(&a, &message);
    h2_put_message(&body, buf_slice(&message));
    script.body = buf_slice(&body);
    fake_agent_start(&agent);
    start(&seen, WORKLOAD_X509_BUNDLES);
    run_until(&seen.updates, 1);
    ck_assert_uint_eq(seen.bundles, 1);
    buf_done(&message);
    finish(&seen);
}
END_TEST

START_TEST(test_closing_from_within_an_update_is_safe)
{
    struct seen seen = {.close_on_update = true};
    fake_agent_start(&agent);
    start(&seen, WORKLOAD_X509_SVIDS);
    run_until(&seen.closed, 1);
    ck_assert_uint_eq(seen.updates, 1);
    ck_assert_uint_eq(seen.troubles, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("workload_client");
    TCase *t = tcase_create("workload_client");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_updates_come_as_the_agent_sends_them);
    tcase_add_loop_test(t, test_each_status_is_tried_again_or_is_final, 0,
                        sizeof endings / sizeof endings[0]);
    tcase_add_test(t, test_an_agent_that_is_away_is_tried_with_growing_waits);
    tcase_add_test(t, test_a_killed_agent_is_found_again);
    tcase_add_test(t, test_a_bad_message_is_reported_and_the_next_good_one_taken);
    tcase_add_test(t, test_bundles_have_a_profile_of_their_own);
    tcase_add_test(t, test_closing_from_within_an_update_is_safe);
    suite_add_tcase(s, t);
    return run_suite(s);
}
