/* What a peer may do that our own sessions never do to each other: the peer is a bare wolfSSL
 * session here. Resumption, key updates. */
#include "common/tls/tls.h"
#include "common/tls/tls_records.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#define WIRE_MAX (4u << 20)
#define ROUNDS 16

/* One end in wolfSSL's own hands. */
struct bare {
    WOLFSSL_CTX *ctx;
    WOLFSSL *ssl;
    struct buf in, out;
};

struct site {
    struct cert *root, *leaf;
    struct tls_context *server_ctx;
    struct tls *server;
    struct buf out, plain; /* ours */
    struct why why;
    size_t asked;
    struct bare client;
};

static int pull(WOLFSSL *ssl, char *to, int size, void *arg)
{
    struct bare *b = arg;
    (void)ssl;
    size_t n = b->in.len < (size_t)size ? b->in.len : (size_t)size;
    if (n == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(to, b->in.data, n);
    buf_consume(&b->in, n);
    return (int)n;
}

static int push(WOLFSSL *ssl, char *from, int size, void *arg)
{
    struct bare *b = arg;
    (void)ssl;
    ck_assert_int_eq(buf_append(&b->out, from, (size_t)size), ERR_OK);
    return size;
}

static void bare_session(struct bare *b)
{
    b->ssl = wolfSSL_new(b->ctx);
    ck_assert_ptr_nonnull(b->ssl);
    wolfSSL_SetIOReadCtx(b->ssl, b);
    wolfSSL_SetIOWriteCtx(b->ssl, b);
    buf_clear(&b->in);
    buf_clear(&b->out);
}

static void bare_open(struct bare *b, WOLFSSL_METHOD *method, const struct cert *cert)
{
    struct slice der = cert_der(cert), key = key_pkcs8(cert->key);
    buf_init(&b->in, WIRE_MAX);
    buf_init(&b->out, WIRE_MAX);
    b->ctx = wolfSSL_CTX_new(method);
    ck_assert_ptr_nonnull(b->ctx);
    wolfSSL_CTX_set_verify(b->ctx, WOLFSSL_VERIFY_NONE, NULL);
    ck_assert_int_eq(
        wolfSSL_CTX_use_certificate_buffer(b->ctx, der.data, (long)der.len, WOLFSSL_FILETYPE_ASN1),
        WOLFSSL_SUCCESS);
    ck_assert_int_eq(
        wolfSSL_CTX_use_PrivateKey_buffer(b->ctx, key.data, (long)key.len, WOLFSSL_FILETYPE_ASN1),
        WOLFSSL_SUCCESS);
    wolfSSL_CTX_SetIORecv(b->ctx, pull);
    wolfSSL_CTX_SetIOSend(b->ctx, push);
    bare_session(b);
}

static void bare_close(struct bare *b)
{
    wolfSSL_free(b->ssl);
    wolfSSL_CTX_free(b->ctx);
    buf_done(&b->in);
    buf_done(&b->out);
}

static err_t accept_any(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    struct site *s = arg;
    (void)chain, (void)count, (void)why;
    s->asked++;
    return ERR_OK;
}

static void setup(struct site *s)
{
    struct tls_events events = {.verify = accept_any, .arg = s};
    struct bundle_set bundles;
    struct identity *web = NULL;
    memset(s, 0, sizeof *s);
    s->root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    s->leaf =
        cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web", .cn = "leaf"}, s->root);
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", s->root);
    ck_assert_int_eq(
        identity_new(cert_der(s->leaf), key_pkcs8(s->leaf->key), "", &bundles, &web, &s->why), 0);
    ck_assert_int_eq(tls_context_new(TLS_SERVER, TLS_CLIENT_REQUIRED, web, &s->server_ctx, &s->why),
                     ERR_OK);
    identity_unref(web);
    ck_assert_int_eq(tls_new(s->server_ctx, &events, &s->server, &s->why), ERR_OK);
    buf_init(&s->out, WIRE_MAX);
    buf_init(&s->plain, WIRE_MAX);
    bare_open(&s->client, wolfTLSv1_3_client_method(), s->leaf);
}

static void teardown(struct site *s)
{
    bare_close(&s->client);
    tls_free(s->server);
    tls_context_unref(s->server_ctx);
    buf_done(&s->out);
    buf_done(&s->plain);
    cert_free(s->leaf);
    cert_free(s->root);
}

static void deliver(struct buf *from, struct buf *to)
{
    ck_assert_int_eq(buf_append(to, from->data, from->len), ERR_OK);
    buf_clear(from);
}

static enum tls_progress shake(struct site *s)
{
    enum tls_progress p = TLS_PROGRESS_WANT;
    for (int i = 0; i < ROUNDS && p == TLS_PROGRESS_WANT; i++) {
        wolfSSL_connect(s->client.ssl);
        p = tls_handshake(s->server, buf_slice(&s->client.out), &s->out, &s->why);
        buf_clear(&s->client.out);
        deliver(&s->out, &s->client.in);
    }
    return p;
}

static enum tls_progress receive(struct site *s)
{
    enum tls_progress p =
        tls_get(s->server, buf_slice(&s->client.out), &s->plain, &s->out, &s->why);
    buf_clear(&s->client.out);
    return p;
}

/* A session that a generous server of someone else gave to the client. */
static WOLFSSL_SESSION *ticket_from_elsewhere(struct bare *client, const struct cert *cert)
{
    struct bare server;
    char byte;
    bare_open(&server, wolfTLSv1_3_server_method(), cert);
    for (int i = 0; i < ROUNDS; i++) {
        wolfSSL_connect(client->ssl);
        deliver(&client->out, &server.in);
        wolfSSL_accept(server.ssl);
        deliver(&server.out, &client->in);
    }
    ck_assert_int_eq(wolfSSL_write(server.ssl, "x", 1), 1);
    deliver(&server.out, &client->in);
    ck_assert_int_eq(wolfSSL_read(client->ssl, &byte, 1), 1);
    WOLFSSL_SESSION *session = wolfSSL_get1_session(client->ssl);
    ck_assert_ptr_nonnull(session);
    bare_close(&server);
    return session;
}

/* psk_key_exchange_modes with one or two modes, anywhere in the ClientHello. */
static bool offers_psk(const struct buf *hello)
{
    static const uint8_t modes[] = {0x00, 0x2d, 0x00};
    for (size_t i = 0; i + sizeof modes < hello->len; i++)
        if (memcmp(hello->data + i, modes, sizeof modes) == 0)
            return true;
    return false;
}

/* X5-21: what a client brings along from elsewhere does not save it the checks. */
START_TEST(test_a_client_that_offers_resumption_gets_a_full_handshake)
{
    struct site s;
    setup(&s);
    WOLFSSL_SESSION *session = ticket_from_elsewhere(&s.client, s.leaf);
    wolfSSL_free(s.client.ssl);
    bare_session(&s.client);
    ck_assert_int_eq(wolfSSL_set_session(s.client.ssl, session), WOLFSSL_SUCCESS);
    wolfSSL_connect(s.client.ssl);
    ck_assert(offers_psk(&s.client.out));
    ck_assert_msg(shake(&s) == TLS_PROGRESS_DONE, "%s", why_text(&s.why));
    ck_assert_int_eq(wolfSSL_session_reused(s.client.ssl), 0);
    ck_assert_uint_eq(s.asked, 1);
    wolfSSL_SESSION_free(session);
    teardown(&s);
}
END_TEST

/* RFC 8446 6.1: nothing follows a close_notify, an answer to a key update neither. */
START_TEST(test_a_key_update_behind_our_close_notify_is_taken_and_not_answered)
{
    struct site s;
    setup(&s);
    ck_assert_int_eq(shake(&s), TLS_PROGRESS_DONE);
    ck_assert_int_eq(tls_close_write(s.server, &s.out, &s.why), TLS_PROGRESS_DONE);
    buf_clear(&s.out);
    ck_assert_int_eq(wolfSSL_update_keys(s.client.ssl), WOLFSSL_SUCCESS);
    ck_assert_int_eq(wolfSSL_write(s.client.ssl, "more", 4), 4);
    ck_assert_msg(receive(&s) == TLS_PROGRESS_WANT, "%s", why_text(&s.why));
    ck_assert(slice_eq_str(buf_slice(&s.plain), "more"));
    ck_assert_uint_eq(s.out.len, 0);
    teardown(&s);
}
END_TEST

/* Each wants new keys of us and an answer: some are taken, as any peer may have reason for them. */
START_TEST(test_a_flood_of_key_updates_ends_the_session)
{
    struct site s;
    setup(&s);
    ck_assert_int_eq(shake(&s), TLS_PROGRESS_DONE);
    for (unsigned i = 0; i < TLS_SILENT_BURST; i++)
        ck_assert_int_eq(wolfSSL_update_keys(s.client.ssl), WOLFSSL_SUCCESS);
    ck_assert_int_eq(wolfSSL_write(s.client.ssl, "data", 4), 4);
    buf_clear(&s.out);
    ck_assert_msg(receive(&s) == TLS_PROGRESS_WANT, "%s", why_text(&s.why));
    ck_assert(slice_eq_str(buf_slice(&s.plain), "data"));
    ck_assert_uint_le(s.out.len, TLS_SILENT_BURST * 64); /* an answer to each at most */
    buf_clear(&s.out);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(wolfSSL_update_keys(s.client.ssl), WOLFSSL_SUCCESS);
    ck_assert_int_eq(receive(&s), TLS_PROGRESS_ERROR);
    ck_assert_int_eq(s.why.err, ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(s.why.text, "records without data"));
    ck_assert_uint_le(s.out.len, TLS_SILENT_BURST * 64);
    teardown(&s);
}
END_TEST

/* With data in between, as peers renew their keys, there is no end to them. */
START_TEST(test_key_updates_among_much_data_are_no_flood)
{
    static const uint8_t data[16384];
    struct site s;
    setup(&s);
    ck_assert_int_eq(shake(&s), TLS_PROGRESS_DONE);
    for (unsigned i = 0; i < 10 * TLS_SILENT_BURST; i++) {
        ck_assert_int_eq(wolfSSL_update_keys(s.client.ssl), WOLFSSL_SUCCESS);
        for (size_t sent = 0; sent < TLS_SILENT_BYTES; sent += sizeof data)
            ck_assert_int_eq(wolfSSL_write(s.client.ssl, data, sizeof data), (int)sizeof data);
        ck_assert_msg(receive(&s) == TLS_PROGRESS_WANT, "%s", why_text(&s.why));
        ck_assert_uint_eq(s.plain.len, TLS_SILENT_BYTES);
        buf_clear(&s.plain);
        buf_clear(&s.out);
    }
    teardown(&s);
}
END_TEST

/* The client's next session has the key of someone else. */
static void take_key(struct bare *b, struct key *key)
{
    struct slice der = key_pkcs8(key);
    wolfSSL_free(b->ssl);
    ck_assert_int_eq(
        wolfSSL_CTX_use_PrivateKey_buffer(b->ctx, der.data, (long)der.len, WOLFSSL_FILETYPE_ASN1),
        WOLFSSL_SUCCESS);
    bare_session(b);
}

/* The proof is checked with the key of the leaf that was judged: not a neighbour's of the same
 * kind, not one of another kind. */
START_TEST(test_a_client_that_shows_anothers_certificate_is_refused)
{
    static const enum key_kind kinds[] = {KEY_EC_P256, KEY_EC_P384, KEY_RSA_2048};
    struct site s;
    struct key *key = NULL;
    setup(&s);
    ck_assert_int_eq(key_generate(kinds[_i], &key, &s.why), ERR_OK);
    take_key(&s.client, key);
    ck_assert_int_eq(shake(&s), TLS_PROGRESS_ERROR);
    ck_assert_msg(s.why.err == ERR_PEER_PROOF, "%s", why_text(&s.why));
    ck_assert_uint_eq(s.asked, 1);
    key_free(key);
    teardown(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls_peers");
    TCase *t = tcase_create("tls_peers");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_a_client_that_offers_resumption_gets_a_full_handshake);
    tcase_add_test(t, test_a_key_update_behind_our_close_notify_is_taken_and_not_answered);
    tcase_add_test(t, test_a_flood_of_key_updates_ends_the_session);
    tcase_add_test(t, test_key_updates_among_much_data_are_no_flood);
    tcase_add_loop_test(t, test_a_client_that_shows_anothers_certificate_is_refused, 0, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}
