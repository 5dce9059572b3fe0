/* What a stream was given goes out in that order: bytes never overtake those that wait, and the end
 * comes behind all of them. Each case runs plain and with TLS. */
#include "sidecar/conn/stream.h"

#include "common/base/mem.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MUCH (300u * 1024u) /* more than a socket takes at once, less than a stream keeps */
#define ROOM 8192           /* of the peer's reads */
#define KINDS 2             /* plain, TLS */

static uv_loop_t loop;
static struct scratch scratch;
static struct stream s;
static struct tls *peer_tls;
static struct tls_context *server_ctx, *client_ctx;
static int peer;
static struct buf got; /* what the peer has, opened */
static bool peer_saw_end, peer_saw_notify;
static struct why why;
static int ready_events;

static void on_ready(void *arg, struct stream *stream, int events)
{
    (void)arg;
    (void)stream;
    ready_events |= events;
}

static err_t accept_any(void *arg, const struct slice *chain, size_t count, struct why *ret)
{
    (void)arg;
    (void)chain;
    (void)count;
    (void)ret;
    return ERR_OK;
}

static void setup(void)
{
    int fds[2], room = 16384;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    ck_assert_int_eq(scratch_init(&scratch), ERR_OK);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    stream_init(&s, on_ready, NULL);
    ck_assert_int_eq(stream_open(&s, &loop, fds[0], &why), ERR_OK);
    peer = fds[1];
    peer_tls = NULL;
    server_ctx = client_ctx = NULL;
    peer_saw_end = peer_saw_notify = false;
    ready_events = 0;
    buf_init(&got, 4 * MUCH);
}

static void on_closed(void *arg)
{
    (void)arg;
}

static void teardown(void)
{
    stream_close(&s, false, on_closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    tls_free(peer_tls);
    tls_context_unref(server_ctx);
    tls_context_unref(client_ctx);
    scratch_done(&scratch);
    buf_done(&got);
    if (peer >= 0)
        close(peer);
}

/* One read of the peer. True: there was something, or the end. */
static bool peer_reads(void)
{
    uint8_t bytes[ROOM];
    struct buf plain, sealed;
    ssize_t n = read(peer, bytes, sizeof bytes);
    if (n < 0) {
        ck_assert_int_eq(errno, EAGAIN);
        return false;
    }
    if (n == 0) {
        bool is_new = !peer_saw_end;
        peer_saw_end = true;
        return is_new;
    }
    ck_assert_msg(!peer_saw_end, "bytes behind the end");
    if (peer_tls == NULL) {
        ck_assert_int_eq(buf_append(&got, bytes, (size_t)n), ERR_OK);
        return true;
    }
    buf_init(&plain, 4 * ROOM + TLS_RECORD_MAX);
    buf_init(&sealed, 65536);
    ck_assert_msg(!peer_saw_notify, "bytes behind close_notify");
    enum tls_progress p = tls_get(peer_tls, slice_of(bytes, (size_t)n), &plain, &sealed, &why);
    ck_assert_msg(p != TLS_PROGRESS_ERROR, "%s", why_text(&why));
    peer_saw_notify = p == TLS_PROGRESS_EOF;
    ck_assert_int_eq(buf_append(&got, plain.data, plain.len), ERR_OK);
    buf_done(&plain);
    buf_done(&sealed);
    return true;
}

static void to_peer(struct buf *wire)
{
    ck_assert_int_eq(write(peer, wire->data, wire->len), (ssize_t)wire->len);
    buf_clear(wire);
}

static void shake_hands(void)
{
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *leaf =
        cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web", .cn = "leaf"}, root);
    struct tls_events events = {.verify = accept_any};
    struct bundle_set bundles;
    struct identity *web = NULL;
    struct tls *server = NULL;
    struct buf wire;
    uint8_t bytes[65536];
    bundle_set_init(&bundles);
    buf_init(&wire, 65536);
    cert_trust(&bundles, "example.org", root);
    ck_assert_int_eq(identity_new(cert_der(leaf), key_pkcs8(leaf->key), "", &bundles, &web, &why),
                     ERR_OK);
    ck_assert_int_eq(tls_context_new(TLS_SERVER, TLS_CLIENT_REQUIRED, web, &server_ctx, &why), 0);
    ck_assert_int_eq(tls_context_new(TLS_CLIENT, TLS_CLIENT_REQUIRED, web, &client_ctx, &why), 0);
    ck_assert_int_eq(tls_new(server_ctx, &events, &server, &why), ERR_OK);
    ck_assert_int_eq(tls_new(client_ctx, &events, &peer_tls, &why), ERR_OK);
    s.tls = server;
    ck_assert_int_eq(tls_handshake(peer_tls, slice_of(NULL, 0), &wire, &why), TLS_PROGRESS_WANT);
    to_peer(&wire);
    ck_assert_int_eq(stream_handshake(&s, &scratch, &why), STREAM_AGAIN);
    ssize_t n = read(peer, bytes, sizeof bytes);
    ck_assert_int_gt(n, 0);
    ck_assert_int_eq(tls_handshake(peer_tls, slice_of(bytes, (size_t)n), &wire, &why),
                     TLS_PROGRESS_DONE);
    to_peer(&wire);
    ck_assert_int_eq(stream_handshake(&s, &scratch, &why), STREAM_OK);
    identity_unref(web);
    cert_free(leaf);
    cert_free(root);
    buf_done(&wire);
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 % 251);
}

/* Bytes `from` to `to` of the one text that all cases send. */
static void send_part(size_t from, size_t to)
{
    static uint8_t bytes[2 * MUCH];
    for (size_t i = from; i < to; i++)
        bytes[i - from] = byte_at(i);
    ck_assert_int_eq(stream_write(&s, slice_of(bytes, to - from), &scratch, &why), STREAM_OK);
}

static void begin(int kind)
{
    if (kind == 1)
        shake_hands();
    send_part(0, MUCH);
    ck_assert(stream_is_full(&s));
}

/* Until nothing waits and the peer has all; what flush says meanwhile. */
static void drain(void)
{
    for (bool more = true; more;) {
        bool was_full = stream_is_full(&s);
        enum stream_result r = stream_flush(&s, &why);
        ck_assert_int_eq(r, stream_is_full(&s) ? STREAM_AGAIN : STREAM_OK);
        more = peer_reads() || was_full;
    }
}

static void must_have_got(size_t count)
{
    ck_assert_uint_eq(got.len, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(got.data[i] == byte_at(i), "byte %zu", i);
}

/* The socket has room again by then: they could go out at once. */
START_TEST(test_bytes_do_not_overtake_what_waits)
{
    begin(_i);
    for (int i = 0; i < 8; i++)
        peer_reads();
    send_part(MUCH, MUCH + 10);
    ck_assert(stream_is_full(&s));
    for (int i = 0; i < 8; i++)
        peer_reads();
    send_part(MUCH + 10, MUCH + 5000);
    drain();
    must_have_got(MUCH + 5000);
    ck_assert(!peer_saw_end && !peer_saw_notify);
}
END_TEST

START_TEST(test_the_end_does_not_overtake_what_waits)
{
    begin(_i);
    for (int i = 0; i < 8; i++)
        peer_reads();
    ck_assert_int_eq(stream_close_write(&s, &scratch, &why), STREAM_OK);
    ck_assert(!s.fin_sent);
    for (int i = 0; i < 8; i++)
        peer_reads();
    ck_assert(!peer_saw_end && !peer_saw_notify);
    ck_assert_int_eq(stream_close_write(&s, &scratch, &why), STREAM_OK); /* once is enough */
    drain();
    must_have_got(MUCH);
    ck_assert(s.fin_sent);
    ck_assert(peer_saw_end);
    ck_assert(peer_saw_notify == (_i == 1));
}
END_TEST

START_TEST(test_the_end_goes_at_once_when_nothing_waits)
{
    begin(_i);
    drain();
    ck_assert_int_eq(stream_flush(&s, &why), STREAM_OK);
    ck_assert(!s.fin_sent && !peer_saw_end);
    ck_assert_int_eq(stream_close_write(&s, &scratch, &why), STREAM_OK);
    ck_assert(s.fin_sent);
    while (peer_reads())
        ;
    ck_assert(peer_saw_end && peer_saw_notify == (_i == 1));
    must_have_got(MUCH);
}
END_TEST

/* The alert, if any, waits behind what was sent; the end behind that. */
START_TEST(test_an_abandoned_stream_sends_what_waits_and_ends)
{
    begin(_i);
    ck_assert(stream_abandon(&s));
    ck_assert(!s.fin_sent);
    ck_assert_ptr_null(s.tls);
    drain();
    must_have_got(MUCH);
    ck_assert(peer_saw_end && !peer_saw_notify);
}
END_TEST

START_TEST(test_a_stream_with_bytes_waiting_wants_to_write)
{
    begin(_i);
    stream_want(&s, 0);
    ck_assert_int_eq(s.interest, UV_WRITABLE);
    while (peer_reads())
        ;
    uv_run(&loop, UV_RUN_NOWAIT);
    ck_assert_int_eq(ready_events, UV_WRITABLE);
    drain();
    stream_want(&s, 0);
    ck_assert_int_eq(s.interest, 0);
    stream_want(&s, UV_READABLE);
    ck_assert_int_eq(s.interest, UV_READABLE);
}
END_TEST

/* A peer that reads nothing must not make us keep without bounds: whoever writes without asking
 * stream_is_full is told. */
START_TEST(test_a_stream_keeps_so_much_and_no_more)
{
    err_t err = ERR_OK;
    size_t sent = 0;
    static uint8_t bytes[16384];
    if (_i == 1)
        shake_hands();
    for (enum stream_result r = STREAM_OK; r == STREAM_OK; sent += sizeof bytes) {
        r = stream_write(&s, slice_of(bytes, sizeof bytes), &scratch, &why);
        err = r == STREAM_OK ? ERR_OK : why.err;
        ck_assert_uint_lt(sent, 16 * SCRATCH_READ);
    }
    ck_assert_int_eq(err, ERR_TOO_LARGE);
    ck_assert_uint_ge(sent, 2 * SCRATCH_READ); /* two whole reads fit */
}
END_TEST

START_TEST(test_a_peer_that_is_gone_is_told_as_a_reset)
{
    begin(_i);
    close(peer);
    peer = -1;
    ck_assert_int_eq(stream_flush(&s, &why), STREAM_ERROR);
    ck_assert_int_eq(why.err, ERR_PEER_RESET);
    ck_assert(!s.fin_sent);
    buf_done(&s.pending);
    ck_assert_int_eq(stream_write(&s, slice_str("x"), &scratch, &why), STREAM_ERROR);
    ck_assert_int_eq(why.err, ERR_PEER_RESET);
}
END_TEST

/* --- the socket itself ------------------------------------------------------------------------ */

/* A stream over TCP in the place of the set-up's, and its peer. */
static void use_tcp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&at, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    ck_assert(stream_close(&s, false, on_closed));
    uv_run(&loop, UV_RUN_DEFAULT);
    close(peer);
    peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(peer, (struct sockaddr *)&at, len), 0);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    close(listener);
    stream_init(&s, on_ready, NULL);
    ck_assert_int_eq(stream_open(&s, &loop, fd, &why), ERR_OK);
}

START_TEST(test_a_closed_stream_ends_in_order_or_by_a_reset_as_asked)
{
    char byte;
    use_tcp();
    ck_assert(stream_close(&s, _i == 1, on_closed));
    ck_assert_int_eq(s.fd, -1);
    ck_assert(!stream_close(&s, _i == 1, on_closed)); /* nothing is open any more */
    ssize_t n = recv(peer, &byte, 1, 0);
    ck_assert_int_eq(n, _i == 1 ? -1 : 0);
    ck_assert_int_eq(n < 0 ? errno : 0, _i == 1 ? ECONNRESET : 0);
    uv_run(&loop, UV_RUN_DEFAULT);
}
END_TEST

/* Told once, a hang-up without an error is not watched for any more. */
START_TEST(test_a_hang_up_without_an_error_is_told_once)
{
    use_tcp();
    stream_want(&s, UV_READABLE | STREAM_HANGUP);
    ck_assert_int_eq(s.interest, UV_READABLE | STREAM_HANGUP);
    ck_assert_int_eq(stream_check(&s, &why), STREAM_OK);
    stream_want(&s, UV_READABLE | STREAM_HANGUP);
    ck_assert_int_eq(s.interest, UV_READABLE);
    stream_want(&s, STREAM_HANGUP);
    ck_assert_int_eq(s.interest, 0);
}
END_TEST

START_TEST(test_a_reset_is_told_by_a_check)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    struct pollfd ended;
    use_tcp();
    ck_assert_int_eq(setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    close(peer);
    peer = -1;
    ended = (struct pollfd){.fd = s.fd, .events = POLLIN};
    ck_assert_int_eq(poll(&ended, 1, -1), 1);
    ck_assert_int_eq(stream_check(&s, &why), STREAM_ERROR);
    ck_assert_int_eq(why.err, ERR_PEER_RESET);
    ck_assert(!s.hung_up);
}
END_TEST

START_TEST(test_what_cannot_be_watched_is_no_stream)
{
    struct stream other;
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    stream_init(&other, on_ready, NULL);
    ck_assert_int_eq(stream_open(&other, &loop, fd, &why), ERR_IO);
    ck_assert_ptr_nonnull(strstr(why_text(&why), "cannot watch a socket"));
    ck_assert_int_eq(other.fd, -1);
    ck_assert(!stream_close(&other, false, on_closed));
    ck_assert_int_eq(close(fd), 0); /* it stayed ours */
}
END_TEST

START_TEST(test_a_peer_that_is_gone_in_the_handshake_is_an_error)
{
    shake_hands(); /* for its contexts */
    struct tls_events events = {.verify = accept_any};
    struct tls *again = NULL, *client = NULL;
    struct buf hello;
    int fds[2];
    buf_init(&hello, 65536);
    ck_assert_int_eq(tls_new(server_ctx, &events, &again, &why), ERR_OK);
    ck_assert_int_eq(tls_new(client_ctx, &events, &client, &why), ERR_OK);
    ck_assert_int_eq(tls_handshake(client, slice_of(NULL, 0), &hello, &why), TLS_PROGRESS_WANT);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ck_assert_int_eq(write(fds[1], hello.data, hello.len), (ssize_t)hello.len);
    ck_assert_int_eq(shutdown(fds[1], SHUT_RD), 0); /* our answer finds nobody */
    static struct stream other;                     /* the loop closes it at the end */
    stream_init(&other, on_ready, NULL);
    ck_assert_int_eq(stream_open(&other, &loop, fds[0], &why), ERR_OK);
    other.tls = again;
    ck_assert_int_eq(stream_handshake(&other, &scratch, &why), STREAM_ERROR);
    ck_assert_int_eq(why.err, ERR_PEER_RESET);
    stream_close(&other, false, on_closed);
    close(fds[1]);
    tls_free(client);
    buf_done(&hello);
}
END_TEST

START_TEST(test_without_memory_there_is_no_scratch)
{
    struct scratch other;
    err_t err;
    long n = 0;
    do {
        mem_fail_after(n++);
        err = scratch_init(&other);
        bool failed = mem_did_fail();
        mem_fail_after(-1);
        ck_assert_int_eq(err, failed ? ERR_NO_MEMORY : ERR_OK);
    } while (err != ERR_OK);
    ck_assert_int_eq(n, 4);
    ck_assert_uint_ge(other.wire.cap, SCRATCH_READ);
    ck_assert_uint_ge(other.plain.cap, SCRATCH_READ + 2 * TLS_RECORD_MAX);
    ck_assert_uint_ge(other.sealed.cap, tls_sealed_max(other.plain.cap));
    scratch_done(&other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream_order");
    TCase *t = tcase_create("stream_order");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, test_bytes_do_not_overtake_what_waits, 0, KINDS);
    tcase_add_loop_test(t, test_the_end_does_not_overtake_what_waits, 0, KINDS);
    tcase_add_loop_test(t, test_the_end_goes_at_once_when_nothing_waits, 0, KINDS);
    tcase_add_loop_test(t, test_an_abandoned_stream_sends_what_waits_and_ends, 0, KINDS);
    tcase_add_loop_test(t, test_a_stream_with_bytes_waiting_wants_to_write, 0, KINDS);
    tcase_add_loop_test(t, test_a_stream_keeps_so_much_and_no_more, 0, KINDS);
    tcase_add_loop_test(t, test_a_peer_that_is_gone_is_told_as_a_reset, 0, KINDS);
    tcase_add_loop_test(t, test_a_closed_stream_ends_in_order_or_by_a_reset_as_asked, 0, 2);
    tcase_add_test(t, test_a_hang_up_without_an_error_is_told_once);
    tcase_add_test(t, test_a_reset_is_told_by_a_check);
    tcase_add_test(t, test_what_cannot_be_watched_is_no_stream);
    tcase_add_test(t, test_a_peer_that_is_gone_in_the_handshake_is_an_error);
    tcase_add_test(t, test_without_memory_there_is_no_scratch);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
