/* ECDSA nonces when the random source repeats itself, as in a virtual machine that is resumed twice
 * from one snapshot: in certificates and in handshakes. The linker puts our rand_bytes and
 * key_sign_for before the real ones. */
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/crypto/hedge.h"
#include "common/tls/tls.h"
#include "common/x509/sigverify.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#define SCALAR_MAX 48
#define WIRE_MAX (1u << 20)

/* What a name with --wrap leads to is the linker's. */
void __real_rand_bytes(void *out, size_t len);
void __wrap_rand_bytes(void *out, size_t len);
err_t __real_key_sign_for(struct key *k, enum key_use use, struct slice what, struct buf *out,
                          struct why *why);
err_t __wrap_key_sign_for(struct key *k, enum key_use use, struct slice what, struct buf *out,
                          struct why *why);

static int repeated = -1; /* the byte that the random source gives, for ever; -1: the real one */
static struct buf signed_last, signature_last;
static unsigned tls_signatures;

void __wrap_rand_bytes(void *out, size_t len)
{
    if (repeated < 0)
        __real_rand_bytes(out, len);
    else
        memset(out, repeated, len);
}

static void remember(struct buf *b, struct slice bytes)
{
    buf_clear(b);
    ck_assert_int_eq(buf_append(b, bytes.data, bytes.len), ERR_OK);
}

err_t __wrap_key_sign_for(struct key *k, enum key_use use, struct slice what, struct buf *out,
                          struct why *why)
{
    err_t err = __real_key_sign_for(k, use, what, out, why);
    tls_signatures++;
    remember(&signed_last, what);
    remember(&signature_last, buf_slice(out));
    return err;
}

static void start(void)
{
    repeated = -1;
    tls_signatures = 0;
    buf_init(&signed_last, 4096);
    buf_init(&signature_last, 4096);
}

static void stop(void)
{
    repeated = -1;
    buf_done(&signed_last);
    buf_done(&signature_last);
}

/* The first number of an ECDSA signature, without leading zeros. */
static struct slice r_of(struct slice signature)
{
    ck_assert_uint_gt(signature.len, 8);
    ck_assert_uint_eq(signature.data[0], 0x30);
    const uint8_t *at = signature.data + 2;
    ck_assert_uint_eq(at[0], 0x02);
    return slice_of(at + 2, at[1]);
}

static const struct {
    enum key_kind kind;
    unsigned scheme; /* RFC 8446 4.2.3, with the hash that key_sign takes */
} curves[] = {{KEY_EC_P256, 0x0403}, {KEY_EC_P384, 0x0503}};

static void sign(struct key *k, const char *message, struct buf *ret)
{
    struct why why = {0};
    buf_init(ret, 256);
    ck_assert_msg(key_sign(k, slice_str(message), ret, &why) == ERR_OK, "%s", why.text);
}

static void check_valid(const struct key *k, unsigned scheme, const char *message,
                        const struct buf *signature)
{
    struct why why = {0};
    ck_assert_msg(x509_check_tls_proof(key_spki(k), scheme, slice_str(message),
                                       buf_slice(signature), &why) == ERR_OK,
                  "%s", why.text);
}

START_TEST(test_a_nonce_never_serves_two_messages_though_random_bytes_repeat)
{
    struct key *k = NULL;
    struct buf one, other, again;
    ck_assert_int_eq(key_generate(curves[_i].kind, &k, NULL), ERR_OK);
    repeated = 0x5a;
    sign(k, "one message", &one);
    sign(k, "another one", &other);
    sign(k, "one message", &again);
    ck_assert(!slice_eq(r_of(buf_slice(&one)), r_of(buf_slice(&other))));
    ck_assert(slice_eq(buf_slice(&one), buf_slice(&again)));
    repeated = -1;
    check_valid(k, curves[_i].scheme, "one message", &one);
    check_valid(k, curves[_i].scheme, "another one", &other);
    buf_done(&one);
    buf_done(&other);
    buf_done(&again);
    key_free(k);
}
END_TEST

START_TEST(test_two_keys_do_not_share_a_nonce_though_random_bytes_repeat)
{
    struct key *a = NULL, *b = NULL;
    struct buf one, other;
    ck_assert_int_eq(key_generate(curves[_i].kind, &a, NULL), ERR_OK);
    ck_assert_int_eq(key_generate(curves[_i].kind, &b, NULL), ERR_OK);
    repeated = 0x5a;
    sign(a, "one message", &one);
    sign(b, "one message", &other);
    ck_assert(!slice_eq(r_of(buf_slice(&one)), r_of(buf_slice(&other))));
    buf_done(&one);
    buf_done(&other);
    key_free(a);
    key_free(b);
}
END_TEST

START_TEST(test_fresh_random_bytes_make_a_fresh_nonce_for_the_same_message)
{
    struct key *k = NULL;
    struct buf one, again;
    ck_assert_int_eq(key_generate(curves[_i].kind, &k, NULL), ERR_OK);
    repeated = 1;
    sign(k, "one message", &one);
    repeated = 2;
    sign(k, "one message", &again);
    ck_assert(!slice_eq(r_of(buf_slice(&one)), r_of(buf_slice(&again))));
    buf_done(&one);
    buf_done(&again);
    key_free(k);
}
END_TEST

/* Else the cases above would prove nothing. */
START_TEST(test_what_is_not_hedged_repeats)
{
    uint8_t a[100], b[100], secret[HEDGE_SECRET_LEN] = {1};
    struct hedge hedge;
    repeated = 7;
    ck_assert_int_eq(spindle_rand_block(a, sizeof a), 0);
    ck_assert_int_eq(spindle_rand_block(b, sizeof b), 0);
    ck_assert_mem_eq(a, b, sizeof a);
    hedge_begin(&hedge, secret, slice_str("message"));
    ck_assert_int_eq(spindle_rand_block(a, sizeof a), 0);
    ck_assert_int_eq(spindle_rand_block(b, sizeof b), 0);
    hedge_end(&hedge);
    ck_assert_mem_ne(a, b, sizeof a);
    ck_assert_mem_ne(a, a + 32, 32); /* the pieces of one draw differ too */
}
END_TEST

/* --- handshakes ------------------------------------------------------------------------------- */

struct end {
    struct tls_context *ctx;
    struct tls *tls;
    struct buf out;
    enum tls_progress progress;
    struct why why;
    int repeats; /* what the random source gives while this end works */
};

static err_t verify(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    (void)arg, (void)chain, (void)count, (void)why;
    return ERR_OK;
}

static void open_context(struct end *e, enum tls_side side, enum key_kind kind)
{
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *leaf =
        cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web", .key_kind = kind}, root);
    struct bundle_set bundles;
    struct identity *id = NULL;
    bundle_set_init(&bundles);
    cert_trust(&bundles, "example.org", root);
    ck_assert_int_eq(identity_new(cert_der(leaf), key_pkcs8(leaf->key), "", &bundles, &id, &e->why),
                     ERR_OK);
    err_t err = tls_context_new(side, TLS_CLIENT_REQUIRED, id, &e->ctx, &e->why);
    ck_assert_msg(err == ERR_OK, "%s", e->why.text);
    identity_unref(id);
    cert_free(leaf);
    cert_free(root);
}

static void step(struct end *e, struct end *other)
{
    if (e->progress == TLS_PROGRESS_WANT) {
        repeated = e->repeats;
        e->progress = tls_handshake(e->tls, buf_slice(&other->out), &e->out, &e->why);
        repeated = -1;
    }
    buf_clear(&other->out);
}

static void open_session(struct end *e)
{
    struct tls_events events = {.verify = verify};
    buf_init(&e->out, WIRE_MAX);
    ck_assert_int_eq(tls_new(e->ctx, &events, &e->tls, &e->why), ERR_OK);
    e->progress = TLS_PROGRESS_WANT;
}

/* `look` sees the server's signature: it is made before the client's. */
static void shake(struct end *client, struct end *server, struct buf *ret_signed,
                  struct buf *ret_signature)
{
    open_session(client);
    open_session(server);
    step(client, server);
    step(server, client);
    remember(ret_signed, buf_slice(&signed_last));
    remember(ret_signature, buf_slice(&signature_last));
    for (int i = 0; i < 4; i++) {
        step(client, server);
        step(server, client);
    }
    ck_assert_msg(client->progress == TLS_PROGRESS_DONE, "%s", client->why.text);
    ck_assert_msg(server->progress == TLS_PROGRESS_DONE, "%s", server->why.text);
    tls_free(client->tls);
    tls_free(server->tls);
    buf_done(&client->out);
    buf_done(&server->out);
}

START_TEST(test_a_handshake_never_repeats_a_nonce_though_random_bytes_repeat)
{
    struct end server = {.repeats = 0x5a}, client = {.repeats = 1};
    struct buf content[2], signature[2];
    open_context(&server, TLS_SERVER, curves[_i].kind);
    open_context(&client, TLS_CLIENT, KEY_EC_P256);
    for (int i = 0; i < 2; i++) {
        buf_init(&content[i], 4096);
        buf_init(&signature[i], 4096);
        shake(&client, &server, &content[i], &signature[i]);
        client.repeats++; /* another peer, the same snapshot of ours */
    }
    ck_assert(!slice_eq(buf_slice(&content[0]), buf_slice(&content[1])));
    ck_assert(!slice_eq(r_of(buf_slice(&signature[0])), r_of(buf_slice(&signature[1]))));
    for (int i = 0; i < 2; i++) {
        buf_done(&content[i]);
        buf_done(&signature[i]);
    }
    tls_context_unref(server.ctx);
    tls_context_unref(client.ctx);
}
END_TEST

static const enum key_kind kinds[] = {KEY_EC_P256, KEY_EC_P384, KEY_RSA_2048, KEY_RSA_3072,
                                      KEY_ED25519};

/* wolfSSL has no private key: it asks us, at both ends, for each kind. */
START_TEST(test_every_signature_of_a_handshake_is_ours)
{
    struct end server = {.repeats = -1}, client = {.repeats = -1};
    struct buf content, signature;
    buf_init(&content, 4096);
    buf_init(&signature, 4096);
    open_context(&server, TLS_SERVER, kinds[_i]);
    open_context(&client, TLS_CLIENT, kinds[_i]);
    tls_signatures = 0;
    shake(&client, &server, &content, &signature);
    ck_assert_uint_eq(tls_signatures, 2);
    buf_done(&content);
    buf_done(&signature);
    tls_context_unref(server.ctx);
    tls_context_unref(client.ctx);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("hedge");
    TCase *t = tcase_create("hedge");
    tcase_add_checked_fixture(t, start, stop);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_a_nonce_never_serves_two_messages_though_random_bytes_repeat, 0,
                        COUNT(curves));
    tcase_add_loop_test(t, test_two_keys_do_not_share_a_nonce_though_random_bytes_repeat, 0,
                        COUNT(curves));
    tcase_add_loop_test(t, test_fresh_random_bytes_make_a_fresh_nonce_for_the_same_message, 0,
                        COUNT(curves));
    tcase_add_test(t, test_what_is_not_hedged_repeats);
    tcase_add_loop_test(t, test_a_handshake_never_repeats_a_nonce_though_random_bytes_repeat, 0,
                        COUNT(curves));
    tcase_add_loop_test(t, test_every_signature_of_a_handshake_is_ours, 0, COUNT(kinds));
    suite_add_tcase(s, t);
    return run_suite(s);
}
