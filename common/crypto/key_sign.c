/* Signing, for certificates and for TLS. */
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/crypto/hedge.h"
#include "common/crypto/key_internal.h"
#include "common/encode/oid.h"

#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>

struct signature {
    uint8_t bytes[RSA_BYTES_MAX];
    word32 len;
};

/* ECDSA: two signatures with one nonce give the key away, so it hangs on more than the random
 * source (hedge.h). The secret is made with the first signature: most keys of an agent never sign.
 */
static int sign_ec_digest(struct key *k, struct slice digest, struct signature *sig, WC_RNG *rng)
{
    struct hedge hedge;
    if (k->nonce_secret == NULL) {
        k->nonce_secret = secret_alloc(HEDGE_SECRET_LEN);
        if (k->nonce_secret == NULL)
            return MEMORY_E;
        if (!hedge_secret(buf_slice(&k->pkcs8), k->nonce_secret)) {
            secret_free(k->nonce_secret);
            k->nonce_secret = NULL;
            return BAD_STATE_E;
        }
    }
    hedge_begin(&hedge, k->nonce_secret, digest);
    int rc = wc_ecc_sign_hash(digest.data, (word32)digest.len, sig->bytes, &sig->len, rng, k->ec);
    hedge_end(&hedge);
    return rc;
}

static int sign_ec(struct key *k, struct slice message, struct signature *sig, WC_RNG *rng)
{
    uint8_t hash[WC_SHA512_DIGEST_SIZE];
    enum wc_HashType type = k->kind == KEY_EC_P256   ? WC_HASH_TYPE_SHA256
                            : k->kind == KEY_EC_P384 ? WC_HASH_TYPE_SHA384
                                                     : WC_HASH_TYPE_SHA512;
    word32 len = (word32)wc_HashGetDigestSize(type);
    int rc = wc_Hash(type, message.data, (word32)message.len, hash, len);
    return rc == 0 ? sign_ec_digest(k, slice_of(hash, len), sig, rng) : rc;
}

static int rsa_length(int rc, struct signature *sig)
{
    if (rc <= 0)
        return rc < 0 ? rc : BAD_STATE_E;
    sig->len = (word32)rc;
    return 0;
}

static int sign_rsa(struct key *k, struct slice message, struct signature *sig, WC_RNG *rng)
{
    static const uint8_t head[] = "\x30\x31\x30\x0d\x06\x09" OID_SHA256 "\x05\x00\x04\x20";
    uint8_t info[sizeof head - 1 + WC_SHA256_DIGEST_SIZE];
    memcpy(info, head, sizeof head - 1);
    int rc = wc_Sha256Hash(message.data, (word32)message.len, info + sizeof head - 1);
    if (rc == 0)
        rc = wc_RsaSetRNG(k->rsa, rng);
    if (rc != 0)
        return rc;
    return rsa_length(wc_RsaSSL_Sign(info, sizeof info, sig->bytes, sig->len, k->rsa, rng), sig);
}

/* RSASSA-PSS with a salt as long as the hash (RFC 8446 section 4.2.3). */
static int sign_rsa_pss(struct key *k, struct slice digest, struct signature *sig, WC_RNG *rng)
{
    enum wc_HashType hash = WC_HASH_TYPE_SHA256;
    int mgf = WC_MGF1SHA256;
    if (digest.len == WC_SHA384_DIGEST_SIZE) {
        hash = WC_HASH_TYPE_SHA384;
        mgf = WC_MGF1SHA384;
    } else if (digest.len == WC_SHA512_DIGEST_SIZE) {
        hash = WC_HASH_TYPE_SHA512;
        mgf = WC_MGF1SHA512;
    } else if (digest.len != WC_SHA256_DIGEST_SIZE) {
        return BAD_LENGTH_E;
    }
    int rc = wc_RsaSetRNG(k->rsa, rng);
    if (rc != 0)
        return rc;
    return rsa_length(wc_RsaPSS_Sign_ex(digest.data, (word32)digest.len, sig->bytes, sig->len, hash,
                                        mgf, (int)digest.len, k->rsa, rng),
                      sig);
}

static int sign_ed(struct key *k, struct slice message, struct signature *sig)
{
    return wc_ed25519_sign_msg(message.data, (word32)message.len, sig->bytes, &sig->len, k->ed);
}

/* Frames of its own, so that what they leave is below the caller's and can be wiped. */
static __attribute__((noinline)) int sign_with(struct key *k, enum key_use use, struct slice what,
                                               struct signature *sig, WC_RNG *rng)
{
    bool tls = use == KEY_FOR_TLS;
    if (k->ec != NULL)
        return tls ? sign_ec_digest(k, what, sig, rng) : sign_ec(k, what, sig, rng);
    if (k->rsa != NULL)
        return tls ? sign_rsa_pss(k, what, sig, rng) : sign_rsa(k, what, sig, rng);
    return sign_ed(k, what, sig);
}

err_t key_sign_for(struct key *k, enum key_use use, struct slice what, struct buf *out,
                   struct why *why)
{
    struct signature sig = {.len = sizeof sig.bytes};
    WC_RNG rng;
    err_t err = key_rng_start(&rng, why);
    if (err != ERR_OK)
        return err;
    int rc = sign_with(k, use, what, &sig, &rng);
    mem_wipe_stack();
    wc_FreeRng(&rng);
    if (rc != 0)
        return key_crypto_error(why, "cannot sign", rc);
    err = buf_append(out, sig.bytes, sig.len);
    return err == ERR_OK ? ERR_OK : why_set(why, err, "signature: %s", err_text(err));
}

err_t key_sign(struct key *k, struct slice message, struct buf *out, struct why *why)
{
    return key_sign_for(k, KEY_FOR_CERTIFICATES, message, out, why);
}
