/* A stream with TLS on a socket pair; the peer is a TLS session in this test's hands. */
#include "sidecar/conn/stream.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define EARLY (500u * 1024u) /* what a fast peer sends behind its last flight */
#define LATER (500u * 1024u)
#define WIRE_MAX (2u << 20)

struct fixture {
    uv_loop_t loop;
    struct scratch scratch;
    struct stream stream; /* server side */
    struct tls_context *server_ctx, *client_ctx;
    struct tls *client;
    struct buf wire, plain;
    int peer;
    struct why why;
};

static err_t accept_any(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    (void)arg;
    (void)chain;
    (void)count;
    (void)why;
    return ERR_OK;
}

static void on_ready(void *arg, struct stream *s, int events)
{
    (void)arg;
    (void)s;
    (void)events;
}

static struct identity *make_identity(const char *uri, struct cert *root)
{
    struct cert *leaf = cert_make(&(struct cert_knobs){.uri = uri, .cn = "leaf"}, root);
    struct bundle_set bundles;
    struct identity *made = NULL;
    struct why why = {0};
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", root);
    err_t err = identity_new(cert_der(leaf), key_pkcs8(leaf->key), "", &bundles, &made, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    cert_free(leaf);
    return made;
}

static void open_sessions(struct fixture *f)
{
    struct tls_events events = {.verify = accept_any};
    struct tls *server = NULL;
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct identity *web = make_identity("spiffe://example.org/web", root);
    ck_assert_int_eq(tls_context_new(TLS_SERVER, TLS_CLIENT_REQUIRED, web, &f->server_ctx, &f->why),
                     ERR_OK);
    ck_assert_int_eq(tls_context_new(TLS_CLIENT, TLS_CLIENT_REQUIRED, web, &f->client_ctx, &f->why),
                     ERR_OK);
    ck_assert_int_eq(tls_new(f->server_ctx, &events, &server, &f->why), ERR_OK);
    ck_assert_int_eq(tls_new(f->client_ctx, &events, &f->client, &f->why), ERR_OK);
    f->stream.tls = server;
    identity_unref(web);
    cert_free(root);
}

static void setup(struct fixture *f)
{
    int fds[2], room = 4 << 20;
    memset(f, 0, sizeof *f);
    buf_init(&f->wire, WIRE_MAX);
    buf_init(&f->plain, WIRE_MAX);
    ck_assert_int_eq(uv_loop_init(&f->loop), 0);
    ck_assert_int_eq(scratch_init(&f->scratch), ERR_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) == 0 ||
                         setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0,
                     1);
    stream_init(&f->stream, on_ready, f);
    ck_assert_int_eq(stream_open(&f->stream, &f->loop, fds[0], &f->why), ERR_OK);
    f->peer = fds[1];
    open_sessions(f);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void teardown(struct fixture *f)
{
    stream_close(&f->stream, false, on_closed);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&f->loop), 0);
    tls_free(f->client);
    tls_context_unref(f->server_ctx);
    tls_context_unref(f->client_ctx);
    scratch_done(&f->scratch);
    buf_done(&f->wire);
    buf_done(&f->plain);
    close(f->peer);
}

/* The peer's bytes go out; as many as the socket takes. */
static void peer_sends(struct fixture *f)
{
    ssize_t n = write(f->peer, f->wire.data, f->wire.len);
    ck_assert_int_gt(n, 0);
    buf_consume(&f->wire, (size_t)n);
}

static void peer_receives(struct fixture *f, struct buf *into)
{
    buf_clear(into);
    ck_assert_int_eq(buf_reserve(into, 65536), ERR_OK);
    ssize_t n = read(f->peer, into->data, into->cap);
    ck_assert_int_gt(n, 0);
    into->len = (size_t)n;
}

static void peer_says(struct fixture *f, const uint8_t *bytes, size_t len)
{
    ck_assert_int_eq(tls_put(f->client, slice_of(bytes, len), &f->wire, &f->why),
                     TLS_PROGRESS_DONE);
}

/* Up to the client's last flight, which is in f->wire, not sent. */
static void almost_shake(struct fixture *f)
{
    struct buf flight;
    buf_init(&flight, WIRE_MAX);
    ck_assert_int_eq(tls_handshake(f->client, slice_of(NULL, 0), &f->wire, &f->why),
                     TLS_PROGRESS_WANT);
    peer_sends(f);
    ck_assert_int_eq(stream_handshake(&f->stream, &f->scratch, &f->why), STREAM_AGAIN);
    peer_receives(f, &flight);
    ck_assert_int_eq(tls_handshake(f->client, buf_slice(&flight), &f->wire, &f->why),
                     TLS_PROGRESS_DONE);
    buf_done(&flight);
}

static void collect(struct fixture *f, size_t want)
{
    while (f->plain.len < want) {
        buf_clear(&f->scratch.plain);
        enum stream_result r = stream_read(&f->stream, &f->scratch, &f->why);
        ck_assert_msg(r == STREAM_OK || r == STREAM_AGAIN, "%s", why_text(&f->why));
        ck_assert_int_eq(buf_append(&f->plain, f->scratch.plain.data, f->scratch.plain.len), 0);
        if (f->wire.len > 0)
            peer_sends(f);
    }
}

START_TEST(test_a_peer_that_sends_much_behind_its_last_flight_loses_nothing)
{
    struct fixture f;
    static uint8_t bytes[EARLY + LATER];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % 251);
    setup(&f);
    almost_shake(&f);
    peer_says(&f, bytes, EARLY);
    peer_sends(&f);
    ck_assert_int_eq(stream_handshake(&f.stream, &f.scratch, &f.why), STREAM_OK);
    peer_says(&f, bytes + EARLY, LATER);
    peer_sends(&f);
    collect(&f, sizeof bytes);
    ck_assert(slice_eq(buf_slice(&f.plain), slice_of(bytes, sizeof bytes)));
    teardown(&f);
}
END_TEST

START_TEST(test_a_fin_without_close_notify_is_a_truncation)
{
    struct fixture f;
    setup(&f);
    almost_shake(&f);
    peer_sends(&f);
    ck_assert_int_eq(stream_handshake(&f.stream, &f.scratch, &f.why), STREAM_OK);
    shutdown(f.peer, SHUT_WR);
    buf_clear(&f.scratch.plain);
    enum stream_result r;
    while ((r = stream_read(&f.stream, &f.scratch, &f.why)) == STREAM_OK)
        ;
    ck_assert_int_eq(r, STREAM_TRUNCATED);
    ck_assert_int_eq(f.why.err, ERR_TLS_TRUNCATED);
    teardown(&f);
}
END_TEST

START_TEST(test_a_peer_that_hangs_up_in_the_handshake_is_told_apart)
{
    struct fixture f;
    setup(&f);
    shutdown(f.peer, SHUT_WR);
    ck_assert_int_eq(stream_handshake(&f.stream, &f.scratch, &f.why), STREAM_ERROR);
    ck_assert_int_eq(f.why.err, ERR_PEER_CLOSED);
    teardown(&f);
}
END_TEST

/* --- ends ------------------------------------------------------------------------------------- */

static const uint8_t garbage[] = {23,  3,   3,   0,   32,  'n', 'o', 't', ' ', 's', 'e', 'a', 'l',
                                  'e', 'd', ' ', 'b', 'y', ' ', 'a', 'n', 'y', 'b', 'o', 'd', 'y',
                                  ' ', 'w', 'h', 'o', ' ', 'h', 'a', 's', ' ', 'k', 'e'};

/* A session that is up, on both sides, and "hello" in f->wire. */
static void say_hello(struct fixture *f)
{
    almost_shake(f);
    peer_sends(f);
    ck_assert_int_eq(stream_handshake(&f->stream, &f->scratch, &f->why), STREAM_OK);
    buf_clear(&f->scratch.plain);
    while (f->stream.more_inside)
        ck_assert_int_eq(stream_read(&f->stream, &f->scratch, &f->why), STREAM_OK);
    peer_says(f, (const uint8_t *)"hello", 5);
}

static void read_hello(struct fixture *f, enum stream_result want)
{
    buf_clear(&f->scratch.plain);
    ck_assert_int_eq(stream_read(&f->stream, &f->scratch, &f->why), want);
    ck_assert(slice_eq(buf_slice(&f->scratch.plain), slice_str("hello")));
}

START_TEST(test_an_alert_in_the_same_read_costs_no_byte_before_it)
{
    struct fixture f;
    struct buf none;
    setup(&f);
    say_hello(&f);
    buf_init(&none, WIRE_MAX);
    ck_assert_int_eq(tls_get(f.client, slice_of(garbage, sizeof garbage), &none, &f.wire, &f.why),
                     TLS_PROGRESS_ERROR);
    peer_sends(&f);
    read_hello(&f, STREAM_ERROR);
    ck_assert_int_eq(f.why.err, ERR_TLS_ALERT);
    ck_assert(f.stream.mute && !f.stream.broken && stream_is_spent(&f.stream));
    buf_done(&none);
    teardown(&f);
}
END_TEST

START_TEST(test_a_broken_record_in_the_same_read_costs_no_byte_before_it)
{
    struct fixture f;
    setup(&f);
    say_hello(&f);
    ck_assert_int_eq(buf_append(&f.wire, garbage, sizeof garbage), ERR_OK);
    peer_sends(&f);
    read_hello(&f, STREAM_ERROR);
    ck_assert_int_eq(f.why.err, ERR_TLS_PROTOCOL);
    ck_assert(f.stream.mute);
    peer_receives(&f, &f.wire); /* our alert */
    ck_assert_int_eq(stream_close_write(&f.stream, &f.scratch, &f.why), STREAM_OK);
    ck_assert(f.stream.fin_sent);
    teardown(&f);
}
END_TEST

START_TEST(test_a_peer_that_takes_no_more_is_read_to_its_end)
{
    struct fixture f;
    uint8_t bytes[1000] = {0};
    setup(&f);
    say_hello(&f);
    peer_sends(&f);
    shutdown(f.peer, SHUT_RDWR);
    ck_assert_int_eq(stream_write(&f.stream, slice_of(bytes, sizeof bytes), &f.scratch, &f.why),
                     STREAM_ERROR);
    ck_assert(f.stream.broken && !stream_is_full(&f.stream));
    read_hello(&f, STREAM_OK);
    ck_assert_int_eq(stream_read(&f.stream, &f.scratch, &f.why), STREAM_TRUNCATED);
    ck_assert_int_eq(f.why.err, ERR_TLS_TRUNCATED); /* it had closed: its end is one */
    teardown(&f);
}
END_TEST

/* Two ends of a TCP connection over loopback; the second one non-blocking. */
static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&at, sizeof at), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ck_assert_int_ge(fds[1], 0);
    close(listener);
}

/* Without TLS: who is told of a reset by a write learns nothing of it from the reads behind. */
START_TEST(test_the_end_behind_a_reset_is_no_end_of_file)
{
    struct fixture f;
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fds[2];
    memset(&f, 0, sizeof f);
    ck_assert_int_eq(uv_loop_init(&f.loop), 0);
    ck_assert_int_eq(scratch_init(&f.scratch), ERR_OK);
    tcp_pair(fds);
    stream_init(&f.stream, on_ready, &f);
    ck_assert_int_eq(stream_open(&f.stream, &f.loop, fds[1], &f.why), ERR_OK);
    ck_assert_int_eq(write(fds[0], "hello", 5), 5);
    ck_assert_int_eq(stream_write(&f.stream, slice_str("unread"), &f.scratch, &f.why), STREAM_OK);
    setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fds[0]);
    ck_assert_uint_eq(stream_queued(&f.stream), 0); /* for nobody */
    ck_assert_int_eq(stream_write(&f.stream, slice_str("more"), &f.scratch, &f.why), STREAM_ERROR);
    ck_assert_int_eq(f.why.err, ERR_PEER_RESET);
    ck_assert_int_eq(stream_write(&f.stream, slice_str("more"), &f.scratch, &f.why), STREAM_ERROR);
    read_hello(&f, STREAM_OK);
    ck_assert_int_eq(stream_read(&f.stream, &f.scratch, &f.why), STREAM_ERROR);
    ck_assert_int_eq(f.why.err, ERR_PEER_RESET);
    stream_close(&f.stream, false, on_closed);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&f.loop), 0);
    scratch_done(&f.scratch);
}
END_TEST

START_TEST(test_what_nobody_has_acknowledged_is_queued)
{
    struct fixture f;
    static uint8_t bytes[1u << 20];
    int fds[2], room = 1 << 16;
    memset(&f, 0, sizeof f);
    ck_assert_int_eq(uv_loop_init(&f.loop), 0);
    ck_assert_int_eq(scratch_init(&f.scratch), ERR_OK);
    tcp_pair(fds);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    setsockopt(fds[0], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    stream_init(&f.stream, on_ready, &f);
    ck_assert_uint_eq(stream_queued(&f.stream), 0);
    ck_assert_int_eq(stream_open(&f.stream, &f.loop, fds[1], &f.why), ERR_OK);
    ck_assert_uint_eq(stream_queued(&f.stream), 0);
    ck_assert_int_eq(stream_write(&f.stream, slice_of(bytes, sizeof bytes), &f.scratch, &f.why),
                     STREAM_OK);
    ck_assert(stream_is_full(&f.stream));
    ck_assert_uint_gt(stream_queued(&f.stream), f.stream.pending.len); /* the kernel's too */
    stream_close(&f.stream, true, on_closed);
    ck_assert_uint_eq(stream_queued(&f.stream), 0);
    uv_run(&f.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&f.loop), 0);
    scratch_done(&f.scratch);
    close(fds[0]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream");
    TCase *t = tcase_create("stream");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, test_a_peer_that_sends_much_behind_its_last_flight_loses_nothing);
    tcase_add_test(t, test_a_fin_without_close_notify_is_a_truncation);
    tcase_add_test(t, test_a_peer_that_hangs_up_in_the_handshake_is_told_apart);
    tcase_add_test(t, test_an_alert_in_the_same_read_costs_no_byte_before_it);
    tcase_add_test(t, test_a_broken_record_in_the_same_read_costs_no_byte_before_it);
    tcase_add_test(t, test_a_peer_that_takes_no_more_is_read_to_its_end);
    tcase_add_test(t, test_the_end_behind_a_reset_is_no_end_of_file);
    tcase_add_test(t, test_what_nobody_has_acknowledged_is_queued);
    suite_add_tcase(s, t);
    return run_suite(s);
}
