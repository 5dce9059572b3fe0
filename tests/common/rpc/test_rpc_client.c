/* gRPC client on a real Unix socket and loop, against a scripted server on the same loop. */
#include "common/rpc/rpc_client.h"
#include "tests/support/fake_agent.h"
#include "tests/support/runner.h"

#include <stdio.h>

#define BODY(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

struct seen {
    struct rpc_client *client;
    struct rpc_stream *stream;
    unsigned messages, ends, closed;
    int code;
    char text[256], last[64];
    bool close_in_message, call_in_end;
};

static uv_loop_t loop;
static struct fake_agent agent;
static const struct h2_script *script;

static void on_message(void *arg, struct slice message);
static void on_end(void *arg, int code, const char *message);

static const struct h2_script *choose(void *arg, const char *path)
{
    (void)arg, (void)path;
    return script;
}

static void on_client_closed(void *arg)
{
    struct seen *seen = arg;
    seen->closed++;
}

static void call(struct seen *seen, uint64_t timeout_ms)
{
    const struct rpc_stream_events events = {on_message, on_end, seen};
    ck_assert_int_eq(rpc_client_call(seen->client, "/A/B", true, slice_of(NULL, 0), timeout_ms,
                                     &events, &seen->stream, NULL),
                     ERR_OK);
}

static void on_message(void *arg, struct slice message)
{
    struct seen *seen = arg;
    seen->messages++;
    snprintf(seen->last, sizeof seen->last, "%.*s", SLICE_ARG(message));
    if (seen->close_in_message)
        rpc_client_close(seen->client, on_client_closed, seen);
}

static void on_end(void *arg, int code, const char *message)
{
    struct seen *seen = arg;
    seen->ends++;
    seen->code = code;
    seen->stream = NULL;
    snprintf(seen->text, sizeof seen->text, "%s", message);
    if (seen->call_in_end && seen->ends == 1)
        call(seen, 0);
}

static void setup(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    fake_agent_init(&agent, &loop, choose, NULL);
}

static void teardown(void)
{
    fake_agent_stop(&agent);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    fake_agent_done(&agent);
}

static void open_client(struct seen *seen)
{
    struct address address;
    ck_assert_int_eq(address_parse(slice_str(agent.path), &address, NULL), ERR_OK);
    ck_assert_int_eq(rpc_client_open(&loop, &address, &seen->client, NULL), ERR_OK);
}

static void close_client(struct seen *seen)
{
    rpc_client_close(seen->client, on_client_closed, seen);
    fake_agent_stop(&agent);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(seen->closed, 1);
}

static void run_until(unsigned *counter, unsigned want)
{
    while (*counter < want) {
        int alive = uv_run(&loop, UV_RUN_ONCE);
        ck_assert(alive != 0 || *counter >= want);
    }
}

START_TEST(test_a_stream_gets_messages_and_its_end)
{
    static const struct h2_script held = {.ending = H2_HOLD, .body = BODY("\0\0\0\0\3one")};
    struct seen seen = {0};
    script = &held;
    fake_agent_start(&agent);
    open_client(&seen);
    call(&seen, 0);
    run_until(&seen.messages, 1);
    fake_agent_push(&agent, slice_str("two"));
    run_until(&seen.messages, 2);
    ck_assert_str_eq(seen.last, "two");
    fake_agent_finish(&agent, "7", "no more");
    run_until(&seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_PERMISSION_DENIED);
    ck_assert_str_eq(seen.text, "no more");
    close_client(&seen);
    ck_assert_uint_eq(seen.ends, 1);
}
END_TEST

START_TEST(test_nobody_there_is_unavailable_and_names_the_socket)
{
    struct seen seen = {0};
    open_client(&seen);
    call(&seen, 0);
    ck_assert_uint_eq(seen.ends, 0); /* never from within the call */
    run_until(&seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_UNAVAILABLE);
    ck_assert_msg(strstr(seen.text, agent.path) != NULL, "%s", seen.text);
    close_client(&seen);
}
END_TEST

START_TEST(test_a_killed_server_ends_the_stream_and_the_next_call_connects_anew)
{
    static const struct h2_script held = {.ending = H2_HOLD, .body = BODY("\0\0\0\0\3one")};
    struct seen seen = {0};
    script = &held;
    fake_agent_start(&agent);
    open_client(&seen);
    call(&seen, 0);
    run_until(&seen.messages, 1);
    fake_agent_stop(&agent);
    run_until(&seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_UNAVAILABLE);
    fake_agent_start(&agent);
    call(&seen, 0);
    run_until(&seen.messages, 2);
    ck_assert_uint_eq(agent.accepted, 2);
    close_client(&seen);
    ck_assert_int_eq(seen.code, RPC_CANCELLED);
}
END_TEST

START_TEST(test_a_call_from_within_an_end_uses_a_new_connection)
{
    struct seen seen = {.call_in_end = true};
    open_client(&seen);
    call(&seen, 0);
    run_until(&seen.ends, 2);
    close_client(&seen);
}
END_TEST

START_TEST(test_goaway_ends_the_call_and_the_next_one_connects_anew)
{
    static const struct h2_script away = {.ending = H2_GOAWAY};
    static const struct h2_script good = {.body = BODY("\0\0\0\0\3one"), .grpc_status = "0"};
    struct seen seen = {0};
    script = &away;
    fake_agent_start(&agent);
    open_client(&seen);
    call(&seen, 0);
    run_until(&seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_UNAVAILABLE);
    script = &good;
    while (agent.accepted < 2 || seen.stream != NULL || seen.messages == 0) {
        if (seen.stream == NULL && seen.messages == 0)
            call(&seen, 0);
        uv_run(&loop, UV_RUN_ONCE);
    }
    ck_assert_int_eq(seen.code, RPC_OK);
    close_client(&seen);
}
END_TEST

START_TEST(test_a_silent_server_meets_the_timeout)
{
    static const struct h2_script silent = {.ending = H2_SILENT};
    struct seen seen = {0};
    script = &silent;
    fake_agent_start(&agent);
    open_client(&seen);
    call(&seen, 20);
    run_until(&seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_DEADLINE_EXCEEDED);
    close_client(&seen);
}
END_TEST

START_TEST(test_closing_from_within_a_message_is_safe)
{
    static const struct h2_script two = {.ending = H2_HOLD,
                                         .body = BODY("\0\0\0\0\3one\0\0\0\0\3two")};
    struct seen seen = {.close_in_message = true};
    script = &two;
    fake_agent_start(&agent);
    open_client(&seen);
    call(&seen, 0);
    run_until(&seen.closed, 1);
    ck_assert_uint_eq(seen.messages, 1);
    ck_assert_uint_eq(seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_CANCELLED);
}
END_TEST

START_TEST(test_a_host_name_is_no_address_for_it)
{
    struct address name;
    struct rpc_client *client = NULL;
    ck_assert_int_eq(address_parse(slice_str("agent.internal:80"), &name, NULL), ERR_OK);
    ck_assert_int_ne(rpc_client_open(&loop, &name, &client, NULL), ERR_OK);
    ck_assert_ptr_null(client);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rpc_client");
    TCase *t = tcase_create("rpc_client");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_a_stream_gets_messages_and_its_end);
    tcase_add_test(t, test_nobody_there_is_unavailable_and_names_the_socket);
    tcase_add_test(t, test_a_killed_server_ends_the_stream_and_the_next_call_connects_anew);
    tcase_add_test(t, test_a_call_from_within_an_end_uses_a_new_connection);
    tcase_add_test(t, test_goaway_ends_the_call_and_the_next_one_connects_anew);
    tcase_add_test(t, test_a_silent_server_meets_the_timeout);
    tcase_add_test(t, test_closing_from_within_a_message_is_safe);
    tcase_add_test(t, test_a_host_name_is_no_address_for_it);
    suite_add_tcase(s, t);
    return run_suite(s);
}
