#include "tests/support/shake_case.h"

#include <check.h>
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>

#define WIRE_MAX (8u << 20)
#define ROUNDS_MAX 32

/* One end of ours. */
struct end {
    struct identity *identity;
    struct tls_context *ctx;
    struct tls *tls;
    enum svid_role peer_role;
    struct buf out;
    enum tls_progress progress;
    struct why why;
};

static err_t judge(void *arg, const struct slice *chain, size_t count, struct why *why)
{
    const struct end *e = arg;
    struct svid_verify_options opt = {
        .bundles = identity_bundles(e->identity), .peer_role = e->peer_role, .now = CERTS_NOW};
    struct svid_peer peer;
    err_t err = svid_verify(chain, count, &opt, &peer, why);
    ck_assert(err != ERR_OK || slice_eq(peer.leaf.der, chain[0]));
    return err;
}

static err_t open_end(struct end *e, enum tls_side side, const struct slice *certs, size_t count,
                      struct slice key, struct slice roots, struct why *why)
{
    struct bundle_set bundles;
    struct buf chain;
    *e = (struct end){.progress = TLS_PROGRESS_WANT};
    e->peer_role = side == TLS_SERVER ? SVID_ROLE_CLIENT : SVID_ROLE_SERVER;
    buf_init(&e->out, WIRE_MAX);
    buf_init(&chain, WIRE_MAX);
    bundle_set_init(&bundles);
    for (size_t i = 0; i < count; i++)
        ck_assert_int_eq(buf_append(&chain, certs[i].data, certs[i].len), ERR_OK);
    err_t err = bundle_set_put(&bundles, slice_str("example.org"), roots, why);
    if (err == ERR_OK)
        err = identity_new(buf_slice(&chain), key, "", &bundles, &e->identity, why);
    if (err == ERR_OK)
        err = tls_context_new(side, TLS_CLIENT_REQUIRED, e->identity, &e->ctx, why);
    struct tls_events events = {.verify = judge, .arg = e};
    if (err == ERR_OK)
        err = tls_new(e->ctx, &events, &e->tls, why);
    bundle_set_done(&bundles);
    buf_done(&chain);
    return err;
}

static void close_end(struct end *e)
{
    tls_free(e->tls);
    tls_context_unref(e->ctx);
    identity_unref(e->identity);
    buf_done(&e->out);
}

/* An ordinary end that trusts `roots` beside its own. */
static void open_ordinary(struct end *e, enum tls_side side, struct slice roots, struct buf *all)
{
    struct why why = {0};
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "plain"}, NULL);
    struct cert *leaf = cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/plain"}, root);
    struct slice der = cert_der(leaf);
    ck_assert_int_eq(buf_append(all, root->der.data, root->der.len), ERR_OK);
    ck_assert_int_eq(buf_append(all, roots.data, roots.len), ERR_OK);
    err_t err = open_end(e, side, &der, 1, key_pkcs8(leaf->key), buf_slice(all), &why);
    ck_assert_msg(err == ERR_OK, "the ordinary end: %s", why_text(&why));
    cert_free(leaf);
    cert_free(root);
}

static void step(struct end *e, struct buf *in)
{
    if (e->progress == TLS_PROGRESS_WANT)
        e->progress = tls_handshake(e->tls, buf_slice(in), &e->out, &e->why);
    buf_clear(in);
}

static enum tls_side other(enum tls_side side)
{
    return side == TLS_SERVER ? TLS_CLIENT : TLS_SERVER;
}

err_t shake_as_own(enum tls_side side, const struct shake_chain *c, struct why *why)
{
    struct end odd, plain;
    struct buf roots;
    buf_init(&roots, WIRE_MAX);
    open_ordinary(&plain, other(side), c->roots, &roots);
    err_t err = open_end(&odd, side, c->certs, c->count, c->key, buf_slice(&roots), why);
    for (int i = 0; err == ERR_OK && i < ROUNDS_MAX; i++) {
        step(&odd, &plain.out);
        step(&plain, &odd.out);
    }
    /* Whoever refuses first tells more than the one who is told so. */
    const struct end *failed = plain.progress == TLS_PROGRESS_ERROR ? &plain : &odd;
    bool done = odd.progress == TLS_PROGRESS_DONE && plain.progress == TLS_PROGRESS_DONE;
    if (err == ERR_OK && !done)
        err = failed->why.err != ERR_OK
                  ? why_set(why, failed->why.err, "%s", why_text(&failed->why))
                  : why_set(why, ERR_INTERNAL, "no end of the handshake");
    close_end(&odd);
    close_end(&plain);
    buf_done(&roots);
    return err;
}

/* ---- a peer in wolfSSL's own hands ---- */

struct bare {
    WOLFSSL_CTX *ctx;
    WOLFSSL *ssl;
    struct buf in, out;
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

static void open_bare(struct bare *b, enum tls_side side, const struct shake_chain *c)
{
    WOLFSSL_BUFFER_INFO certs[SHAKE_CHAIN_MAX];
    struct key *key = NULL;
    struct why why = {0};
    ck_assert_msg(key_parse(c->key, &key, &why) == ERR_OK, "%s", why_text(&why));
    struct slice der = key_pkcs8(key);
    for (size_t i = 0; i < c->count; i++)
        certs[i] =
            (WOLFSSL_BUFFER_INFO){(uint8_t *)(uintptr_t)c->certs[i].data, (word32)c->certs[i].len};
    buf_init(&b->in, WIRE_MAX);
    buf_init(&b->out, WIRE_MAX);
    b->ctx = wolfSSL_CTX_new(side == TLS_SERVER ? wolfTLSv1_3_server_method()
                                                : wolfTLSv1_3_client_method());
    wolfSSL_CTX_set_verify(b->ctx, WOLFSSL_VERIFY_NONE, NULL);
    ck_assert_int_eq(
        wolfSSL_CTX_use_PrivateKey_buffer(b->ctx, der.data, (long)der.len, WOLFSSL_FILETYPE_ASN1),
        WOLFSSL_SUCCESS);
    int curve = key_kind(key) == KEY_EC_P384   ? ECC_SECP384R1
                : key_kind(key) == KEY_EC_P521 ? ECC_SECP521R1
                                               : ECC_SECP256R1;
    ck_assert_int_eq(wolfSSL_CTX_UseChainAsGiven(b->ctx, certs, (int)c->count, curve),
                     WOLFSSL_SUCCESS);
    wolfSSL_CTX_SetIORecv(b->ctx, pull);
    wolfSSL_CTX_SetIOSend(b->ctx, push);
    b->ssl = wolfSSL_new(b->ctx);
    wolfSSL_SetIOReadCtx(b->ssl, b);
    wolfSSL_SetIOWriteCtx(b->ssl, b);
    key_free(key);
}

err_t shake_as_peer(enum tls_side side, const struct shake_chain *c, struct why *why)
{
    struct end plain;
    struct bare bare;
    struct buf roots;
    buf_init(&roots, WIRE_MAX);
    open_ordinary(&plain, other(side), c->roots, &roots);
    open_bare(&bare, side, c);
    for (int i = 0; plain.progress == TLS_PROGRESS_WANT && i < ROUNDS_MAX; i++) {
        (void)(side == TLS_SERVER ? wolfSSL_accept(bare.ssl) : wolfSSL_connect(bare.ssl));
        step(&plain, &bare.out);
        ck_assert_int_eq(buf_append(&bare.in, plain.out.data, plain.out.len), ERR_OK);
        buf_clear(&plain.out);
    }
    err_t err = plain.progress == TLS_PROGRESS_DONE ? ERR_OK
                : plain.why.err != ERR_OK ? why_set(why, plain.why.err, "%s", why_text(&plain.why))
                                          : why_set(why, ERR_INTERNAL, "no end of the handshake");
    wolfSSL_free(bare.ssl);
    wolfSSL_CTX_free(bare.ctx);
    buf_done(&bare.in);
    buf_done(&bare.out);
    close_end(&plain);
    buf_done(&roots);
    return err;
}
