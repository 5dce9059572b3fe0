/* The TLS engine, two sessions back to back in memory: what a handshake gives, that the verifier's
 * word is final on both sides, half-close, and that a context never comes to hold a CA. */
#include "common/base/mem.h"
#include "common/tls/tls.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#define WIRE_MAX (1u << 20)
#define ROUNDS_MAX 16

struct end {
    struct tls_context *ctx;
    struct tls *tls;
    struct buf out;   /* for the other end */
    struct buf plain; /* from the other end */
    enum tls_progress progress;
    struct why why;
    err_t verdict; /* what this end's verifier says */
    size_t chain_len, asked;
};

struct site {
    struct cert *root, *issuer;
    struct end server, client;
};

static err_t verify(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    struct end *e = arg;
    (void)chain;
    e->asked++;
    e->chain_len = count;
    return e->verdict == ERR_OK ? ERR_OK : why_set(why, e->verdict, "the test says no");
}

static struct identity *make_identity(const struct site *s, const char *id, struct slice ballast)
{
    struct cert_knobs knobs = {.uri = id, .cn = "leaf"};
    if (ballast.len > 0)
        knobs.extra[0] = (struct cert_extension){.oid = BYTES("\x2a\x03\x04"), .value = ballast};
    struct cert *leaf = cert_make(&knobs, s->issuer);
    struct bundle_set bundles;
    struct buf chain;
    struct identity *made = NULL;
    struct why why = {0};
    bundle_set_init(&bundles);
    buf_init(&chain, WIRE_MAX);
    cert_trust(&bundles, "example.org", s->root);
    ck_assert_int_eq(buf_append(&chain, cert_der(leaf).data, cert_der(leaf).len), ERR_OK);
    ck_assert_int_eq(buf_append(&chain, cert_der(s->issuer).data, cert_der(s->issuer).len), ERR_OK);
    err_t err = identity_new(buf_slice(&chain), key_pkcs8(leaf->key), "", &bundles, &made, &why);
    ck_assert_msg(err == ERR_OK, "%s", why_text(&why));
    buf_done(&chain);
    cert_free(leaf);
    return made;
}

static void open_end(struct end *e, enum tls_side side, struct identity *identity)
{
    struct tls_events events = {.verify = verify, .arg = e};
    buf_init(&e->out, WIRE_MAX);
    buf_init(&e->plain, WIRE_MAX);
    if (e->ctx == NULL)
        ck_assert_int_eq(tls_context_new(side, TLS_CLIENT_REQUIRED, identity, &e->ctx, &e->why), 0);
    ck_assert_int_eq(tls_new(e->ctx, &events, &e->tls, &e->why), 0);
    e->progress = TLS_PROGRESS_WANT;
}

static void close_session(struct end *e)
{
    tls_free(e->tls);
    e->tls = NULL;
    buf_done(&e->out);
    buf_done(&e->plain);
}

/* Leaves that carry an extension of `ballast` bytes. */
static void setup_with(struct site *s, size_t ballast)
{
    static const uint8_t bytes[60000];
    memset(s, 0, sizeof *s);
    s->root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    s->issuer = cert_make(&(struct cert_knobs){.ca = true, .cn = "issuer"}, s->root);
    struct identity *web = make_identity(s, "spiffe://example.org/web", slice_of(bytes, ballast));
    struct identity *client =
        make_identity(s, "spiffe://example.org/client", slice_of(bytes, ballast));
    open_end(&s->server, TLS_SERVER, web);
    open_end(&s->client, TLS_CLIENT, client);
    identity_unref(web);
    identity_unref(client);
}

static void setup(struct site *s)
{
    setup_with(s, 0);
}

static void teardown(struct site *s)
{
    close_session(&s->server);
    close_session(&s->client);
    tls_context_unref(s->server.ctx);
    tls_context_unref(s->client.ctx);
    cert_free(s->issuer);
    cert_free(s->root);
}

/* Lets `e` take what the other end said. */
static void step(struct end *e, struct end *other)
{
    if (e->progress != TLS_PROGRESS_WANT)
        return;
    e->progress = tls_handshake(e->tls, buf_slice(&other->out), &e->out, &e->why);
    buf_clear(&other->out);
}

static void shake(struct site *s)
{
    for (int i = 0; i < ROUNDS_MAX; i++) {
        step(&s->client, &s->server);
        step(&s->server, &s->client);
    }
}

/* `to` reads what `from` has put on the wire. */
static enum tls_progress receive(struct end *to, struct end *from)
{
    enum tls_progress p = tls_get(to->tls, buf_slice(&from->out), &to->plain, &to->out, &to->why);
    buf_clear(&from->out);
    return p;
}

START_TEST(test_both_ends_agree_with_a_post_quantum_group_and_a_fast_suite)
{
    struct site s;
    setup(&s);
    shake(&s);
    ck_assert_msg(s.client.progress == TLS_PROGRESS_DONE, "%s", why_text(&s.client.why));
    ck_assert_msg(s.server.progress == TLS_PROGRESS_DONE, "%s", why_text(&s.server.why));
    ck_assert_str_eq(tls_group_name(s.client.tls), "X25519MLKEM768");
    ck_assert_str_eq(tls_suite_name(s.server.tls), "TLS_AES_128_GCM_SHA256");
    ck_assert_uint_eq(s.server.chain_len, 2);
    ck_assert_uint_eq(s.server.asked, 1);
    ck_assert_uint_eq(s.client.asked, 1);
    teardown(&s);
}
END_TEST

START_TEST(test_bytes_come_through_whole_in_both_directions)
{
    struct site s;
    static uint8_t big[200000];
    setup(&s);
    shake(&s);
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (uint8_t)(i * 7);
    struct slice sent = slice_of(big, sizeof big);
    ck_assert_int_eq(tls_put(s.client.tls, sent, &s.client.out, &s.client.why), TLS_PROGRESS_DONE);
    ck_assert_uint_le(s.client.out.len, tls_sealed_max(sizeof big));
    ck_assert_int_eq(receive(&s.server, &s.client), TLS_PROGRESS_WANT);
    ck_assert(slice_eq(buf_slice(&s.server.plain), sent));
    ck_assert_int_eq(tls_put(s.server.tls, sent, &s.server.out, &s.server.why), TLS_PROGRESS_DONE);
    ck_assert_int_eq(receive(&s.client, &s.server), TLS_PROGRESS_WANT);
    ck_assert(slice_eq(buf_slice(&s.client.plain), sent));
    teardown(&s);
}
END_TEST

START_TEST(test_data_behind_the_last_flight_is_not_lost)
{
    struct site s;
    setup(&s);
    step(&s.client, &s.server);
    step(&s.server, &s.client);
    step(&s.client, &s.server);
    ck_assert_int_eq(s.client.progress, TLS_PROGRESS_DONE);
    ck_assert_int_eq(tls_put(s.client.tls, slice_str("early bird"), &s.client.out, &s.client.why),
                     1);
    step(&s.server, &s.client);
    ck_assert_int_eq(s.server.progress, TLS_PROGRESS_DONE);
    ck_assert_int_eq(receive(&s.server, &s.client), TLS_PROGRESS_WANT);
    ck_assert(slice_eq_str(buf_slice(&s.server.plain), "early bird"));
    teardown(&s);
}
END_TEST

START_TEST(test_one_byte_at_a_time_works_too)
{
    struct site s;
    setup(&s);
    shake(&s);
    ck_assert_int_eq(tls_put(s.client.tls, slice_str("slow"), &s.client.out, &s.client.why), 1);
    for (size_t i = 0; i < s.client.out.len; i++)
        ck_assert_int_eq(tls_get(s.server.tls, slice_of(s.client.out.data + i, 1), &s.server.plain,
                                 &s.server.out, &s.server.why),
                         TLS_PROGRESS_WANT);
    ck_assert(slice_eq_str(buf_slice(&s.server.plain), "slow"));
    teardown(&s);
}
END_TEST

START_TEST(test_close_notify_ends_one_direction_only)
{
    struct site s;
    setup(&s);
    shake(&s);
    ck_assert_int_eq(tls_close_write(s.client.tls, &s.client.out, &s.client.why), 1);
    ck_assert_int_eq(receive(&s.server, &s.client), TLS_PROGRESS_EOF);
    ck_assert_int_eq(tls_put(s.server.tls, slice_str("still here"), &s.server.out, &s.server.why),
                     1);
    ck_assert_int_eq(receive(&s.client, &s.server), TLS_PROGRESS_WANT);
    ck_assert(slice_eq_str(buf_slice(&s.client.plain), "still here"));
    ck_assert_int_eq(tls_close_write(s.server.tls, &s.server.out, &s.server.why), 1);
    ck_assert_int_eq(receive(&s.client, &s.server), TLS_PROGRESS_EOF);
    teardown(&s);
}
END_TEST

/* _i 0: the server's verifier says no; 1: the client's. */
START_TEST(test_the_verifiers_no_is_final_and_the_peer_gets_an_alert)
{
    struct site s;
    setup(&s);
    struct end *judge = _i == 0 ? &s.server : &s.client;
    struct end *peer = _i == 0 ? &s.client : &s.server;
    judge->verdict = ERR_PEER_NOT_ALLOWED;
    shake(&s);
    ck_assert_int_eq(judge->progress, TLS_PROGRESS_ERROR);
    ck_assert_int_eq(judge->why.err, ERR_PEER_NOT_ALLOWED);
    ck_assert_str_eq(judge->why.text, "the test says no");
    if (peer->progress == TLS_PROGRESS_DONE) { /* a TLS 1.3 client is done before it is judged */
        step(peer, judge);
        ck_assert_int_eq(receive(peer, judge), TLS_PROGRESS_ERROR);
    }
    ck_assert_int_eq(peer->progress == TLS_PROGRESS_WANT, 0);
    ck_assert_int_eq(peer->why.err, ERR_TLS_ALERT);
    teardown(&s);
}
END_TEST

START_TEST(test_what_is_not_tls_is_told_apart)
{
    struct site s;
    setup(&s);
    s.server.progress =
        tls_handshake(s.server.tls, slice_str("GET / HTTP/1.1\r\n"), &s.server.out, &s.server.why);
    ck_assert_int_eq(s.server.progress, TLS_PROGRESS_ERROR);
    ck_assert_int_eq(s.server.why.err, ERR_TLS_NOT_TLS);
    /* The error sticks. */
    ck_assert_int_eq(tls_put(s.server.tls, slice_str("x"), &s.server.out, &s.server.why), 3);
    ck_assert_int_eq(s.server.why.err, ERR_TLS_NOT_TLS);
    teardown(&s);
}
END_TEST

START_TEST(test_a_close_notify_in_the_handshake_is_a_peer_that_closed)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 1, 0};
    struct site s;
    setup(&s);
    step(&s.client, &s.server);
    s.client.progress =
        tls_handshake(s.client.tls, slice_of(alert, sizeof alert), &s.client.out, &s.client.why);
    ck_assert_int_eq(s.client.progress, TLS_PROGRESS_ERROR);
    ck_assert_int_eq(s.client.why.err, ERR_PEER_CLOSED);
    teardown(&s);
}
END_TEST

/* An alert is only blamed on the peer when it sent one. */
START_TEST(test_a_full_buffer_of_ours_is_no_alert_of_the_peers)
{
    struct site s;
    struct buf small;
    setup(&s);
    buf_init(&small, 16);
    s.client.progress = tls_handshake(s.client.tls, slice_of(NULL, 0), &small, &s.client.why);
    ck_assert_int_eq(s.client.progress, TLS_PROGRESS_ERROR);
    ck_assert_int_ne(s.client.why.err, ERR_TLS_ALERT);
    ck_assert_msg(strstr(s.client.why.text, "alert") == NULL, "%s", s.client.why.text);
    buf_done(&small);
    teardown(&s);
}
END_TEST

START_TEST(test_a_changed_record_is_refused)
{
    struct site s;
    setup(&s);
    shake(&s);
    ck_assert_int_eq(tls_put(s.client.tls, slice_str("money: 100"), &s.client.out, &s.client.why),
                     1);
    s.client.out.data[s.client.out.len - 1] ^= 1;
    ck_assert_int_eq(receive(&s.server, &s.client), TLS_PROGRESS_ERROR);
    ck_assert_int_eq(s.server.why.err, ERR_TLS_PROTOCOL);
    ck_assert_uint_eq(s.server.plain.len, 0);
    teardown(&s);
}
END_TEST

/* wolfSSL keeps a peer's intermediates when they verify, or when a complaint of its own about them
 * is overruled; ours must not come to trust anything. */
START_TEST(test_a_thousand_hostile_chains_leave_the_context_empty)
{
    struct site s;
    setup(&s);
    struct identity *client_id =
        identity_ref((struct identity *)tls_context_identity(s.client.ctx));
    struct identity *server_id =
        identity_ref((struct identity *)tls_context_identity(s.server.ctx));
    for (int i = 0; i < 1000; i++) {
        s.server.verdict = i % 2 == 0 ? ERR_OK : ERR_CERT_EXPIRED;
        shake(&s);
        ck_assert_int_eq(s.server.progress, i % 2 == 0 ? TLS_PROGRESS_DONE : TLS_PROGRESS_ERROR);
        close_session(&s.server);
        close_session(&s.client);
        open_end(&s.server, TLS_SERVER, server_id);
        open_end(&s.client, TLS_CLIENT, client_id);
    }
    ck_assert(!tls_context_trusts(s.server.ctx, identity_leaf(client_id)->der));
    ck_assert(!tls_context_trusts(s.client.ctx, identity_leaf(server_id)->der));
    identity_unref(client_id);
    identity_unref(server_id);
    teardown(&s);
}
END_TEST

/* Puts each plaintext handshake record of `from` into records of `size` bytes. RFC 8446 5.1. */
static void cut_records(struct buf *from, size_t size)
{
    struct buf cut;
    buf_init(&cut, WIRE_MAX);
    for (size_t at = 0; at < from->len;) {
        const uint8_t *record = from->data + at;
        size_t len = (size_t)record[3] << 8 | record[4];
        size_t step = record[0] == 22 ? size : len;
        for (size_t i = 0; i < len; i += step) {
            size_t n = len - i < step ? len - i : step;
            uint8_t head[] = {record[0], record[1], record[2], (uint8_t)(n >> 8), (uint8_t)n};
            ck_assert_int_eq(buf_append(&cut, head, sizeof head), ERR_OK);
            ck_assert_int_eq(buf_append(&cut, record + 5 + i, n), ERR_OK);
        }
        at += 5 + len;
    }
    buf_clear(from);
    ck_assert_int_eq(buf_append(from, cut.data, cut.len), ERR_OK);
    buf_done(&cut);
}

/* _i: bytes a record. The header of a message has four. */
START_TEST(test_hellos_in_tiny_records_are_taken_by_both_ends)
{
    struct site s;
    setup(&s);
    step(&s.client, &s.server);
    cut_records(&s.client.out, (size_t)_i);
    step(&s.server, &s.client);
    cut_records(&s.server.out, (size_t)_i);
    shake(&s);
    ck_assert_msg(s.client.progress == TLS_PROGRESS_DONE, "%s", why_text(&s.client.why));
    ck_assert_msg(s.server.progress == TLS_PROGRESS_DONE, "%s", why_text(&s.server.why));
    teardown(&s);
}
END_TEST

START_TEST(test_certificates_of_sixty_kilobytes_are_carried_both_ways)
{
    struct site s;
    setup_with(&s, 60000);
    shake(&s);
    ck_assert_msg(s.client.progress == TLS_PROGRESS_DONE, "%s", why_text(&s.client.why));
    ck_assert_msg(s.server.progress == TLS_PROGRESS_DONE, "%s", why_text(&s.server.why));
    ck_assert_uint_eq(s.server.chain_len, 2);
    teardown(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls");
    TCase *t = tcase_create("tls");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_both_ends_agree_with_a_post_quantum_group_and_a_fast_suite);
    tcase_add_test(t, test_bytes_come_through_whole_in_both_directions);
    tcase_add_test(t, test_data_behind_the_last_flight_is_not_lost);
    tcase_add_test(t, test_one_byte_at_a_time_works_too);
    tcase_add_test(t, test_close_notify_ends_one_direction_only);
    tcase_add_loop_test(t, test_the_verifiers_no_is_final_and_the_peer_gets_an_alert, 0, 2);
    tcase_add_test(t, test_what_is_not_tls_is_told_apart);
    tcase_add_test(t, test_a_close_notify_in_the_handshake_is_a_peer_that_closed);
    tcase_add_test(t, test_a_full_buffer_of_ours_is_no_alert_of_the_peers);
    tcase_add_test(t, test_a_changed_record_is_refused);
    tcase_add_test(t, test_a_thousand_hostile_chains_leave_the_context_empty);
    tcase_add_loop_test(t, test_hellos_in_tiny_records_are_taken_by_both_ends, 1, 6);
    tcase_add_test(t, test_certificates_of_sixty_kilobytes_are_carried_both_ways);
    suite_add_tcase(s, t);
    return run_suite(s);
}
