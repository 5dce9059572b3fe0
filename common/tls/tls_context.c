/* TLS contexts: one identity, never edited. See tls.h. */
#include "common/base/mem.h"
#include "common/tls/tls_internal.h"

#include <pthread.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/ecc.h>

#define CIPHERS "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256"

static pthread_once_t wolf_once = PTHREAD_ONCE_INIT;

static void wolf_start(void)
{
    (void)wolfSSL_Init(); /* fails only for lack of memory; wolfSSL_CTX_new then fails too */
}

/* wolfCrypt's name of the curve of an EC key; what it is for others is not looked at. */
static int curve_of(enum key_kind kind)
{
    switch (kind) {
    case KEY_EC_P384:
        return ECC_SECP384R1;
    case KEY_EC_P521:
        return ECC_SECP521R1;
    default:
        return ECC_SECP256R1;
    }
}

/* The chain goes out as it is: what there was to check, identity_new has checked. */
static err_t load_chain(WOLFSSL_CTX *wolf, const struct identity *identity, struct why *why)
{
    WOLFSSL_BUFFER_INFO certs[SVID_CHAIN_MAX];
    size_t count = identity_cert_count(identity);
    for (size_t i = 0; i < count; i++) {
        struct slice der = identity_cert(identity, i)->der;
        certs[i] = (WOLFSSL_BUFFER_INFO){(uint8_t *)(uintptr_t)der.data, (word32)der.len};
    }
    int code =
        wolfSSL_CTX_UseChainAsGiven(wolf, certs, (int)count, curve_of(identity_key_kind(identity)));
    if (code != WOLFSSL_SUCCESS)
        return why_set(why, tls_reason_err(code), "certificate chain of %.*s: %s",
                       SLICE_ARG(identity_id(identity)->text), tls_reason_text(code));
    return ERR_OK;
}

static err_t configure(WOLFSSL_CTX *wolf, enum tls_side side, enum tls_client_auth auth,
                       struct why *why)
{
    int groups[] = {WOLFSSL_X25519MLKEM768, WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1};
    int mode = WOLFSSL_VERIFY_PEER;
    if (side == TLS_SERVER && auth == TLS_CLIENT_REQUIRED)
        mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    if (side == TLS_SERVER && auth == TLS_CLIENT_NONE)
        mode = WOLFSSL_VERIFY_NONE;
    if (wolfSSL_CTX_set_cipher_list(wolf, CIPHERS) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_groups(wolf, groups, (int)(sizeof groups / sizeof groups[0])) !=
            WOLFSSL_SUCCESS)
        return why_set(why, ERR_INTERNAL, "wolfSSL lacks a cipher suite or group that we build in");
    /* Tickets stay off until resumption re-checks bundle and policy (X5-21). */
    if (side == TLS_SERVER && wolfSSL_CTX_no_ticket_TLSv13(wolf) != 0)
        return why_set(why, ERR_INTERNAL, "wolfSSL does not turn tickets off");
    wolfSSL_CTX_set_session_cache_mode(wolf, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_verify(wolf, mode, NULL);
    wolfSSL_CTX_SetPeerJudge(wolf, tls_peer_judge, tls_peer_prove);
    return ERR_OK;
}

/* --- signing ---------------------------------------------------------------------------------
 * The handshake's signatures come from key.h: wolfSSL is given the public key alone, so that no
 * copy of the private one lies in its contexts and sessions, and so that ECDSA nonces are hedged.
 */

/* wolfSSL's buffers hold up to ENCRYPT_LEN bytes; it says how many in *len. */
static int sign(void *arg, struct slice what, uint8_t *out, word32 *len)
{
    struct buf signature;
    int code = WC_NO_ERR_TRACE(BAD_STATE_E);
    buf_init(&signature, *len);
    err_t err = arg != NULL ? key_sign_for(arg, KEY_FOR_TLS, what, &signature, NULL) : ERR_INTERNAL;
    if (err == ERR_NO_MEMORY)
        code = WC_NO_ERR_TRACE(MEMORY_E);
    if (err == ERR_OK) {
        memcpy(out, signature.data, signature.len);
        *len = (word32)signature.len;
        code = 0;
    }
    buf_done(&signature);
    return code;
}

static int on_ec(WOLFSSL *wolf, const uint8_t *in, word32 in_len, uint8_t *out, word32 *len,
                 const uint8_t *public_key, word32 key_len, void *arg)
{
    (void)wolf, (void)public_key, (void)key_len;
    return sign(arg, slice_of(in, in_len), out, len);
}

static int on_rsa_pss(WOLFSSL *wolf, const uint8_t *in, word32 in_len, uint8_t *out, word32 *len,
                      int hash, int mgf, const uint8_t *public_key, word32 key_len, void *arg)
{
    (void)wolf, (void)public_key, (void)key_len, (void)hash,
        (void)mgf; /* the digest's length says */
    return sign(arg, slice_of(in, in_len), out, len);
}

static err_t load_key(struct tls_context *ctx, struct why *why)
{
    err_t err = key_parse(identity_key_pkcs8(ctx->identity), &ctx->key, why);
    if (err != ERR_OK)
        return err;
    /* Before the key: wolfSSL takes a public one only where somebody else signs. */
    wolfSSL_CTX_SetEccSignCb(ctx->wolf, on_ec);
    wolfSSL_CTX_SetEd25519SignCb(ctx->wolf, on_ec);
    wolfSSL_CTX_SetRsaPssSignCb(ctx->wolf, on_rsa_pss);
    struct slice spki = key_spki(ctx->key);
    int code = wolfSSL_CTX_use_PrivateKey_buffer(ctx->wolf, spki.data, (long)spki.len,
                                                 WOLFSSL_FILETYPE_ASN1);
    if (code != WOLFSSL_SUCCESS)
        return why_set(why, ERR_KEY, "private key of %.*s: %s",
                       SLICE_ARG(identity_id(ctx->identity)->text), tls_reason_text(code));
    return ERR_OK;
}

/* --- contexts --- */

err_t tls_context_new(enum tls_side side, enum tls_client_auth auth, struct identity *identity,
                      struct tls_context **ret, struct why *why)
{
    pthread_once(&wolf_once, wolf_start);
    struct tls_context *ctx = mem_alloc(sizeof *ctx);
    if (ctx == NULL)
        return why_set(why, ERR_NO_MEMORY, "TLS context");
    ctx->refs = 1;
    ctx->side = side;
    ctx->auth = auth;
    ctx->identity = identity_ref(identity);
    ctx->wolf = wolfSSL_CTX_new(side == TLS_SERVER ? wolfTLSv1_3_server_method()
                                                   : wolfTLSv1_3_client_method());
    err_t err = ctx->wolf != NULL ? ERR_OK : why_set(why, ERR_NO_MEMORY, "TLS context");
    if (err == ERR_OK)
        err = configure(ctx->wolf, side, auth, why);
    if (err == ERR_OK)
        err = load_key(ctx, why);
    if (err == ERR_OK)
        err = load_chain(ctx->wolf, identity, why);
    if (err != ERR_OK) {
        tls_context_unref(ctx);
        return err;
    }
    *ret = ctx;
    return ERR_OK;
}

void tls_context_sign(const struct tls_context *ctx, WOLFSSL *wolf)
{
    wolfSSL_SetEccSignCtx(wolf, ctx->key);
    wolfSSL_SetEd25519SignCtx(wolf, ctx->key);
    wolfSSL_SetRsaPssSignCtx(wolf, ctx->key);
}

struct tls_context *tls_context_ref(struct tls_context *ctx)
{
    ctx->refs++;
    return ctx;
}

void tls_context_unref(struct tls_context *ctx)
{
    if (ctx == NULL || --ctx->refs > 0)
        return;
    wolfSSL_CTX_free(ctx->wolf);
    key_free(ctx->key);
    identity_unref(ctx->identity);
    mem_free(ctx);
}

const struct identity *tls_context_identity(const struct tls_context *ctx)
{
    return ctx->identity;
}

bool tls_context_trusts(const struct tls_context *ctx, struct slice der)
{
    return wolfSSL_CertManagerVerifyBuffer(wolfSSL_CTX_GetCertManager(ctx->wolf), der.data,
                                           (long)der.len, WOLFSSL_FILETYPE_ASN1) == WOLFSSL_SUCCESS;
}
