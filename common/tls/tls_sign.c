/* The handshake's signatures come from key.h: wolfSSL is given the public key alone, so that no
 * copy of the private one lies in its contexts and sessions, and so that ECDSA nonces are hedged.
 */
#include "common/tls/tls_internal.h"

#include <wolfssl/error-ssl.h>

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

err_t tls_sign_load(struct tls_context *ctx, struct why *why)
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

void tls_sign_attach(const struct tls_context *ctx, WOLFSSL *wolf)
{
    wolfSSL_SetEccSignCtx(wolf, ctx->key);
    wolfSSL_SetEd25519SignCtx(wolf, ctx->key);
    wolfSSL_SetRsaPssSignCtx(wolf, ctx->key);
}
