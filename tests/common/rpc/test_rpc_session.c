/* gRPC client session against a scripted HTTP/2 server, no sockets. */
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/rpc/rpc_session.h"
#include "tests/support/h2_server.h"
#include "tests/support/runner.h"

#include <stdio.h>

struct seen {
    struct rpc_stream *stream; /* NULL after the end */
    unsigned messages, ends, wakes;
    size_t bytes;
    char last[64]; /* of the last message */
    int code;
    char text[RPC_STATUS_TEXT_MAX + 1];
    bool cancel_in_message;
};

static void on_wake(void *arg)
{
    struct seen *seen = arg;
    seen->wakes++;
}

static void on_message(void *arg, struct slice message)
{
    struct seen *seen = arg;
    seen->messages++;
    seen->bytes += message.len;
    snprintf(seen->last, sizeof seen->last, "%.*s", SLICE_ARG(message));
    if (seen->cancel_in_message) {
        rpc_stream_cancel(seen->stream);
        seen->stream = NULL;
    }
}

static void on_end(void *arg, int code, const char *message)
{
    struct seen *seen = arg;
    seen->ends++;
    seen->code = code;
    seen->stream = NULL;
    snprintf(seen->text, sizeof seen->text, "%s", message);
}

static const struct h2_script *same_script(void *arg, const char *path)
{
    (void)path;
    return arg;
}

/* Bytes to and fro until both are quiet; the client gets them in pieces of `piece`. */
static err_t exchange(struct rpc_session *client, struct h2_server *server, size_t piece)
{
    struct buf wire;
    struct slice chunk;
    err_t err = ERR_OK;
    bool busy = true;
    buf_init(&wire, 64u << 20);
    while (busy && err == ERR_OK) {
        busy = false;
        while ((err = rpc_session_output(client, &chunk, NULL)) == ERR_OK && chunk.len > 0) {
            busy = true;
            ck_assert(h2_server_receive(server, chunk));
        }
        buf_clear(&wire);
        if (err == ERR_OK)
            h2_server_output(server, &wire);
        for (size_t at = 0; at < wire.len && err == ERR_OK; at += piece) {
            busy = true;
            size_t n = wire.len - at < piece ? wire.len - at : piece;
            err = rpc_session_receive(client, slice_of(wire.data + at, n), NULL);
        }
    }
    buf_done(&wire);
    return err;
}

static void start(struct rpc_session **client, struct seen *seen)
{
    const struct rpc_stream_events events = {on_message, on_end, seen};
    ck_assert_int_eq(rpc_session_new(on_wake, seen, client, NULL), ERR_OK);
    ck_assert_int_eq(rpc_session_call(*client, "/Service/Method", true, slice_str("hello"), 0,
                                      &events, &seen->stream, NULL),
                     ERR_OK);
}

static void run(const struct h2_script *script, size_t piece, struct seen *seen)
{
    struct rpc_session *client = NULL;
    struct h2_server server;
    h2_server_init(&server, same_script, (void *)(uintptr_t)script);
    start(&client, seen);
    ck_assert_int_eq(exchange(client, &server, piece), ERR_OK);
    rpc_session_free(client);
    h2_server_done(&server);
}

/* EP-2 */
START_TEST(test_a_call_carries_the_headers_of_grpc_and_spiffe)
{
    static const struct h2_script script = {.ending = H2_SILENT};
    static const char *const want[] = {":method: POST\n",
                                       ":scheme: http\n",
                                       ":path: /Service/Method\n",
                                       ":authority: localhost\n",
                                       "content-type: application/grpc\n",
                                       "te: trailers\n",
                                       "user-agent: spindle/",
                                       "workload.spiffe.io: true\n"};
    struct seen seen = {0};
    struct rpc_session *client = NULL;
    struct h2_server server;
    h2_server_init(&server, same_script, (void *)(uintptr_t)&script);
    start(&client, &seen);
    ck_assert_uint_gt(seen.wakes, 0);
    ck_assert_int_eq(exchange(client, &server, 1000), ERR_OK);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        ck_assert_msg(strstr(server.headers, want[i]) != NULL, "no %s in %s", want[i],
                      server.headers);
    ck_assert_uint_eq(server.requests, 1);
    ck_assert_uint_eq(server.request_len, 10);
    ck_assert_mem_eq(server.request, "\0\0\0\0\5hello", 10);
    rpc_session_free(client);
    h2_server_done(&server);
    ck_assert_uint_eq(seen.ends, 0);
}
END_TEST

#define BODY(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
static const struct {
    const char *name;
    struct h2_script script;
    unsigned messages;
    int code;
    const char *text; /* part of the message */
} cases[] = {
    {"one message", {.body = BODY("\0\0\0\0\3abc"), .grpc_status = "0"}, 1, RPC_OK, ""},
    {"empty message", {.body = BODY("\0\0\0\0\0"), .grpc_status = "0"}, 1, RPC_OK, ""},
    {"two messages in a chunk",
     {.body = BODY("\0\0\0\0\2ab\0\0\0\0\3abc"), .grpc_status = "0"},
     2,
     RPC_OK,
     ""},
    {"no message", {.grpc_status = "0"}, 0, RPC_OK, ""},
    {"early hints first",
     {.body = BODY("\0\0\0\0\3abc"), .grpc_status = "0", .informational = true},
     1,
     RPC_OK,
     ""},
    {"error after a message",
     {.body = BODY("\0\0\0\0\3abc"), .grpc_status = "14", .grpc_message = "going away"},
     1,
     RPC_UNAVAILABLE,
     "going away"},
    {"trailers only",
     {.ending = H2_TRAILERS_ONLY, .grpc_status = "7", .grpc_message = "no identity issued"},
     0,
     RPC_PERMISSION_DENIED,
     "no identity issued"},
    {"escaped text",
     {.ending = H2_TRAILERS_ONLY, .grpc_status = "3", .grpc_message = "a%20b%25%zz%0a%e2%82%ac%4"},
     0,
     RPC_INVALID_ARGUMENT,
     "a b%%zz?\xe2\x82\xac%4"},
    {"a status that is no number",
     {.ending = H2_TRAILERS_ONLY, .grpc_status = "fine"},
     0,
     RPC_UNKNOWN,
     ""},
    {"no status at all",
     {.ending = H2_NO_TRAILERS, .body = BODY("\0\0\0\0\3abc")},
     1,
     RPC_INTERNAL,
     "without a status"},
    {"cut message", {.body = BODY("\0\0\0\0\4abc"), .grpc_status = "0"}, 0, RPC_INTERNAL, "cut"},
    {"compressed message",
     {.body = BODY("\1\0\0\0\3abc"), .grpc_status = "0"},
     0,
     RPC_INTERNAL,
     "compressed"},
    {"message past the bound",
     {.body = BODY("\0\0\x40\0\1abc"), .grpc_status = "0"},
     0,
     RPC_RESOURCE_EXHAUSTED,
     "4194305 bytes"},
    {"HTTP 404",
     {.status = "404", .content_type = "text/html", .body = BODY("<html>\0\0")},
     0,
     RPC_UNIMPLEMENTED,
     "HTTP status 404"},
    {"HTTP 503", {.status = "503", .ending = H2_NO_TRAILERS}, 0, RPC_UNAVAILABLE, "503"},
    {"HTTP 403 with a status",
     {.status = "403", .ending = H2_TRAILERS_ONLY, .grpc_status = "5"},
     0,
     RPC_NOT_FOUND,
     ""},
    {"HTTP 200 of something else",
     {.content_type = "text/html", .body = BODY("<html>")},
     0,
     RPC_UNKNOWN,
     "content-type"},
    {"reset: refused", {.ending = H2_REFUSE, .reset_code = 7}, 0, RPC_UNAVAILABLE, "REFUSED"},
    {"reset: cancel", {.ending = H2_RESET, .reset_code = 8}, 0, RPC_CANCELLED, "reset"},
    {"reset: calm", {.ending = H2_RESET, .reset_code = 11}, 0, RPC_RESOURCE_EXHAUSTED, "reset"},
    {"reset: other", {.ending = H2_RESET, .reset_code = 1}, 0, RPC_INTERNAL, "reset"},
    {"goaway", {.ending = H2_GOAWAY}, 0, RPC_UNAVAILABLE, ""},
};
#define CASE_COUNT (sizeof cases / sizeof cases[0])

START_TEST(test_each_ending_gives_its_status)
{
    static const size_t pieces[] = {1, 7, 1u << 20};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct seen seen = {.code = -1};
        run(&cases[_i].script, pieces[i], &seen);
        ck_assert_msg(seen.ends == 1 && seen.messages == cases[_i].messages &&
                          seen.code == cases[_i].code,
                      "%s: %u ends, %u messages, code %d (%s)", cases[_i].name, seen.ends,
                      seen.messages, seen.code, seen.text);
        ck_assert_msg(strstr(seen.text, cases[_i].text) != NULL, "%s: %s", cases[_i].name,
                      seen.text);
    }
}
END_TEST

/* WA-9: up to the bound, with windows given back as bytes are taken. */
START_TEST(test_a_message_of_the_largest_size_arrives)
{
    struct buf body;
    buf_init(&body, 8u << 20);
    struct buf message;
    buf_init(&message, 8u << 20);
    ck_assert_int_eq(buf_reserve(&message, RPC_MESSAGE_MAX), ERR_OK);
    message.len = RPC_MESSAGE_MAX;
    h2_put_message(&body, buf_slice(&message));
    struct h2_script script = {.body = buf_slice(&body), .grpc_status = "0"};
    struct seen seen = {0};
    run(&script, 4096, &seen);
    ck_assert_int_eq(seen.code, RPC_OK);
    ck_assert_uint_eq(seen.bytes, RPC_MESSAGE_MAX);
    buf_done(&body);
    buf_done(&message);
}
END_TEST

START_TEST(test_a_held_stream_gets_later_messages_and_its_end)
{
    static const struct h2_script script = {.ending = H2_HOLD, .body = BODY("\0\0\0\0\3one")};
    struct seen seen = {0};
    struct rpc_session *client = NULL;
    struct h2_server server;
    h2_server_init(&server, same_script, (void *)(uintptr_t)&script);
    start(&client, &seen);
    ck_assert_int_eq(exchange(client, &server, 3), ERR_OK);
    ck_assert_str_eq(seen.last, "one");
    h2_server_push(&server, slice_str("two"));
    ck_assert_int_eq(exchange(client, &server, 3), ERR_OK);
    ck_assert_str_eq(seen.last, "two");
    ck_assert_uint_eq(seen.ends, 0);
    h2_server_finish(&server, "7", "gone");
    ck_assert_int_eq(exchange(client, &server, 3), ERR_OK);
    ck_assert_uint_eq(seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_PERMISSION_DENIED);
    rpc_session_free(client);
    h2_server_done(&server);
}
END_TEST

START_TEST(test_a_canceled_stream_is_reset_and_silent)
{
    static const struct h2_script script = {.ending = H2_HOLD,
                                            .body = BODY("\0\0\0\0\3one\0\0\0\0\3two")};
    struct seen seen = {.cancel_in_message = true};
    struct rpc_session *client = NULL;
    struct h2_server server;
    h2_server_init(&server, same_script, (void *)(uintptr_t)&script);
    start(&client, &seen);
    ck_assert_int_eq(exchange(client, &server, 100), ERR_OK);
    ck_assert_uint_eq(seen.messages, 1);
    ck_assert_uint_eq(seen.ends, 0);
    ck_assert_uint_eq(server.resets, 1);
    rpc_session_free(client);
    h2_server_done(&server);
}
END_TEST

START_TEST(test_a_deadline_ends_the_stream_and_tells_the_server)
{
    static const struct h2_script script = {.ending = H2_SILENT};
    const struct rpc_stream_events events = {on_message, on_end, NULL};
    struct seen seen = {0};
    struct rpc_stream_events mine = events;
    mine.arg = &seen;
    struct rpc_session *client = NULL;
    struct h2_server server;
    h2_server_init(&server, same_script, (void *)(uintptr_t)&script);
    ck_assert_int_eq(rpc_session_new(on_wake, &seen, &client, NULL), ERR_OK);
    ck_assert_int_eq(
        rpc_session_call(client, "/A/B", false, slice_of(NULL, 0), 500, &mine, &seen.stream, NULL),
        ERR_OK);
    ck_assert_int_eq(exchange(client, &server, 100), ERR_OK);
    ck_assert_ptr_null(strstr(server.headers, "workload.spiffe.io"));
    ck_assert_uint_eq(rpc_session_next_deadline(client), 500);
    rpc_session_expire(client, 499);
    ck_assert_uint_eq(seen.ends, 0);
    rpc_session_expire(client, 500);
    ck_assert_uint_eq(seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_DEADLINE_EXCEEDED);
    ck_assert_uint_eq(rpc_session_next_deadline(client), 0);
    ck_assert_int_eq(exchange(client, &server, 100), ERR_OK);
    ck_assert_uint_eq(server.resets, 1);
    rpc_session_free(client);
    h2_server_done(&server);
}
END_TEST

static const struct {
    const char *bytes;
    size_t len;
} not_http2[] = {
    {"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
    {"\0\0\4\x1\4\0\0\0\1junk", 13},                    /* HEADERS before SETTINGS */
    {"\0\0\0\4\0\0\0\0\0\xff\xff\xff\0\0\0\0\0\0", 18}, /* a frame of 16 MiB */
};

START_TEST(test_a_server_that_does_not_speak_http2_fails_the_session)
{
    struct seen seen = {0};
    struct rpc_session *client = NULL;
    struct slice chunk;
    struct why why = {0};
    start(&client, &seen);
    err_t err = rpc_session_receive(client, slice_of(not_http2[_i].bytes, not_http2[_i].len), &why);
    while (err == ERR_OK && rpc_session_output(client, &chunk, NULL) == ERR_OK && chunk.len > 0) {
    }
    ck_assert(err == ERR_RPC || rpc_session_is_done(client));
    rpc_session_fail(client, RPC_UNAVAILABLE, "failed");
    ck_assert_uint_eq(seen.ends, 1);
    ck_assert_int_eq(seen.code, RPC_UNAVAILABLE);
    rpc_session_free(client);
}
END_TEST

enum phase { PHASE_CALL, PHASE_RECEIVE };

/* One exchange whose n-th and later allocations fail in one phase; true when none had to. */
static bool survive(enum phase phase, long n)
{
    static const struct h2_script script = {.ending = H2_HOLD,
                                            .body = BODY("\0\0\0\0\3one\0\0\0\0\3two")};
    struct seen seen = {0};
    struct rpc_session *client = NULL;
    struct h2_server server;
    const struct rpc_stream_events events = {on_message, on_end, &seen};
    struct buf wire;
    struct slice chunk = {0};
    buf_init(&wire, 1u << 20);
    ck_assert_int_eq(buf_reserve(&wire, 1u << 16), ERR_OK);
    h2_server_init(&server, same_script, (void *)(uintptr_t)&script);
    mem_fail_after(phase == PHASE_CALL ? n : -1);
    err_t err = rpc_session_new(on_wake, &seen, &client, NULL);
    if (err == ERR_OK)
        err =
            rpc_session_call(client, "/A/B", true, slice_str("x"), 0, &events, &seen.stream, NULL);
    while (err == ERR_OK && (err = rpc_session_output(client, &chunk, NULL)) == ERR_OK &&
           chunk.len > 0)
        err = buf_append(&wire, chunk.data, chunk.len);
    int failed = phase == PHASE_CALL && mem_did_fail();
    mem_fail_after(-1);
    if (err == ERR_OK) {
        ck_assert(h2_server_receive(&server, buf_slice(&wire)));
        buf_clear(&wire);
        h2_server_output(&server, &wire);
        mem_fail_after(phase == PHASE_RECEIVE ? n : -1);
        err = rpc_session_receive(client, buf_slice(&wire), NULL);
        failed |= phase == PHASE_RECEIVE && mem_did_fail();
        mem_fail_after(-1);
    }
    ck_assert(failed ? err == ERR_NO_MEMORY || seen.ends == 1
                     : err == ERR_OK && seen.messages == 2);
    rpc_session_free(client);
    h2_server_done(&server);
    buf_done(&wire);
    return !failed;
}

START_TEST(test_every_failed_allocation_is_an_error)
{
    for (long n = 0; !survive(PHASE_CALL, n); n++) {
    }
    for (long n = 0; !survive(PHASE_RECEIVE, n); n++) {
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rpc_session");
    TCase *t = tcase_create("rpc_session");
    tcase_add_test(t, test_a_call_carries_the_headers_of_grpc_and_spiffe);
    tcase_add_loop_test(t, test_each_ending_gives_its_status, 0, CASE_COUNT);
    tcase_add_test(t, test_a_message_of_the_largest_size_arrives);
    tcase_add_test(t, test_a_held_stream_gets_later_messages_and_its_end);
    tcase_add_test(t, test_a_canceled_stream_is_reset_and_silent);
    tcase_add_test(t, test_a_deadline_ends_the_stream_and_tells_the_server);
    tcase_add_loop_test(t, test_a_server_that_does_not_speak_http2_fails_the_session, 0,
                        sizeof not_http2 / sizeof not_http2[0]);
    tcase_add_test(t, test_every_failed_allocation_is_an_error);
    suite_add_tcase(s, t);
    return run_suite(s);
}
