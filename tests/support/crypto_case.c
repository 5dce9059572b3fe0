#include "tests/support/crypto_case.h"

#include "common/base/mem.h"
#include "common/crypto/vector_registers.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/x509/sigverify.h"
#include "common/x509/x509.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <assert.h>
#include <string.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/wc_mlkem.h>

#define SECRET_MAX 66u
#define TAG_LEN 16u

static bool dirty_first;

void crypto_case_dirty(bool dirty)
{
    dirty_first = dirty;
}

static void before(void)
{
    if (dirty_first)
        vector_registers_dirty();
}

static bool answer(struct buf *out, const void *bytes, size_t len)
{
    err_t err = buf_append(out, bytes, len);
    assert(err == ERR_OK);
    (void)err;
    return true;
}

bool crypto_case_x25519(struct slice point, struct slice scalar, struct buf *out)
{
    uint8_t secret[CURVE25519_KEYSIZE];
    word32 len = sizeof secret;
    curve25519_key ours, theirs;
    wc_curve25519_init(&ours);
    wc_curve25519_init(&theirs);
    before();
    bool taken =
        wc_curve25519_check_public(point.data, (word32)point.len, EC25519_LITTLE_ENDIAN) == 0 &&
        wc_curve25519_import_private_ex(scalar.data, (word32)scalar.len, &ours,
                                        EC25519_LITTLE_ENDIAN) == 0 &&
        wc_curve25519_import_public_ex(point.data, (word32)point.len, &theirs,
                                       EC25519_LITTLE_ENDIAN) == 0;
    before();
    taken = taken && wc_curve25519_shared_secret_ex(&ours, &theirs, secret, &len,
                                                    EC25519_LITTLE_ENDIAN) == 0;
    wc_curve25519_free(&ours);
    wc_curve25519_free(&theirs);
    return taken && answer(out, secret, len);
}

/* TLS sends the bare point; around it our own parser judges. */
bool crypto_case_ecdh(struct slice spki, struct slice scalar, struct buf *out)
{
    uint8_t secret[SECRET_MAX];
    word32 len = sizeof secret;
    ecc_key ours, theirs;
    WC_RNG rng;
    while (scalar.len > 32 && scalar.data[0] == 0)
        scalar = slice_of(scalar.data + 1, scalar.len - 1);
    if (x509_check_public_key(spki, NULL) != ERR_OK || spki.len < 65 || scalar.len > 32)
        return false;
    int code = wc_InitRng(&rng);
    assert(code == 0);
    (void)code;
    wc_ecc_init(&ours);
    wc_ecc_init(&theirs);
    before();
    bool taken =
        wc_ecc_import_private_key_ex(scalar.data, (word32)scalar.len, NULL, 0, &ours,
                                     ECC_SECP256R1) == 0 &&
        wc_ecc_import_x963_ex2(spki.data + spki.len - 65, 65, &theirs, ECC_SECP256R1, 1) == 0 &&
        wc_ecc_set_rng(&ours, &rng) == 0;
    before();
    taken = taken && wc_ecc_shared_secret(&ours, &theirs, secret, &len) == 0;
    wc_ecc_free(&ours);
    wc_ecc_free(&theirs);
    wc_FreeRng(&rng);
    return taken && answer(out, secret, len);
}

static const struct signature_algorithm {
    const char *name;
    const char *identifier; /* DER AlgorithmIdentifier */
    size_t len;
    unsigned scheme; /* of TLS 1.3; 0: it has none */
} algorithms[] = {
#define SHA256_ALGORITHM "\x30\x0d\x06\x09" OID_SHA256 "\x05\x00"
#define PSS_PARAMETERS                                                                             \
    "\x30\x34\xa0\x0f" SHA256_ALGORITHM "\xa1\x1c\x30\x1a\x06\x09" OID_MGF1 SHA256_ALGORITHM       \
    "\xa2\x03\x02\x01\x20"
#define ROW(name, identifier, scheme)                                                              \
    {                                                                                              \
        name, identifier, sizeof(identifier) - 1, scheme                                           \
    }
    ROW("ecdsa-sha256", "\x30\x0a\x06\x08" OID_ECDSA_SHA256, 0x0403),
    ROW("ecdsa-sha384", "\x30\x0a\x06\x08" OID_ECDSA_SHA384, 0x0503),
    ROW("rsa-sha256", "\x30\x0d\x06\x09" OID_RSA_SHA256 "\x05\x00", 0),
    ROW("rsa-pss-sha256", "\x30\x41\x06\x09" OID_RSA_PSS PSS_PARAMETERS, 0x0804),
    ROW("ed25519", "\x30\x05\x06\x03" OID_ED25519, 0x0807),
};

bool crypto_case_verify(const char *algorithm, struct slice spki, struct slice message,
                        struct slice signature)
{
    const struct signature_algorithm *a = algorithms;
    struct why why = {0};
    while (strcmp(a->name, algorithm) != 0)
        a++; /* one that is not there is a mistake of the caller's */
    struct x509 c = {.tbs = message,
                     .signature = signature,
                     .signature_algorithm = slice_of(a->identifier, a->len)};
    before();
    bool taken = x509_check_signature(&c, spki, &why) == ERR_OK;
    before();
    if (a->scheme != 0) {
        bool proven = x509_check_tls_proof(spki, a->scheme, message, signature, &why) == ERR_OK;
        assert(taken == proven);
    }
    return taken;
}

static int seal_gcm(struct slice key, struct slice nonce, struct slice aad, struct slice plain,
                    uint8_t *sealed, uint8_t *tag)
{
    Aes aes;
    int rc = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (rc == 0)
        rc = wc_AesGcmSetKey(&aes, key.data, (word32)key.len);
    before();
    if (rc == 0)
        rc = wc_AesGcmEncrypt(&aes, sealed, plain.data, (word32)plain.len, nonce.data,
                              (word32)nonce.len, tag, TAG_LEN, aad.data, (word32)aad.len);
    wc_AesFree(&aes);
    return rc;
}

static int open_gcm(struct slice key, struct slice nonce, struct slice aad, struct slice sealed,
                    struct slice tag, uint8_t *plain)
{
    Aes aes;
    int rc = wc_AesInit(&aes, NULL, INVALID_DEVID);
    if (rc == 0)
        rc = wc_AesGcmSetKey(&aes, key.data, (word32)key.len);
    before();
    if (rc == 0)
        rc = wc_AesGcmDecrypt(&aes, plain, sealed.data, (word32)sealed.len, nonce.data,
                              (word32)nonce.len, tag.data, (word32)tag.len, aad.data,
                              (word32)aad.len);
    wc_AesFree(&aes);
    return rc;
}

static int seal_chacha(struct slice key, struct slice nonce, struct slice aad, struct slice plain,
                       uint8_t *sealed, uint8_t *tag)
{
    before();
    return wc_ChaCha20Poly1305_Encrypt(key.data, nonce.data, aad.data, (word32)aad.len, plain.data,
                                       (word32)plain.len, sealed, tag);
}

static int open_chacha(struct slice key, struct slice nonce, struct slice aad, struct slice sealed,
                       struct slice tag, uint8_t *plain)
{
    if (key.len != 32 || nonce.len != 12 || tag.len != TAG_LEN)
        return BAD_FUNC_ARG;
    before();
    return wc_ChaCha20Poly1305_Decrypt(key.data, nonce.data, aad.data, (word32)aad.len, sealed.data,
                                       (word32)sealed.len, tag.data, plain);
}

bool crypto_case_open(const char *cipher, struct slice key, struct slice nonce, struct slice aad,
                      struct slice sealed, struct slice tag, struct buf *out)
{
    bool gcm = strcmp(cipher, "aes-gcm") == 0;
    uint8_t *plain = mem_alloc(sealed.len + 1), *again = mem_alloc(sealed.len + 1);
    uint8_t made[TAG_LEN];
    assert(plain != NULL && again != NULL);
    int rc = gcm ? open_gcm(key, nonce, aad, sealed, tag, plain)
                 : open_chacha(key, nonce, aad, sealed, tag, plain);
    if (rc == 0) {
        struct slice opened = slice_of(plain, sealed.len);
        int code = gcm ? seal_gcm(key, nonce, aad, opened, again, made)
                       : seal_chacha(key, nonce, aad, opened, again, made);
        assert(code == 0 && slice_eq(slice_of(again, sealed.len), sealed) &&
               slice_eq(slice_of(made, TAG_LEN), tag));
        answer(out, plain, sealed.len);
    }
    mem_free(plain);
    mem_free(again);
    return rc == 0;
}

bool crypto_case_hkdf(struct slice key, struct slice salt, struct slice info, size_t len,
                      struct buf *out)
{
    uint8_t *made = mem_alloc(len + 1);
    assert(made != NULL);
    before();
    bool taken = wc_HKDF(WC_SHA256, key.data, (word32)key.len, salt.data, (word32)salt.len,
                         info.data, (word32)info.len, made, (word32)len) == 0;
    taken = taken && answer(out, made, len);
    mem_free(made);
    return taken;
}

bool crypto_case_decapsulate(struct slice key, struct slice ciphertext, struct buf *out)
{
    uint8_t secret[WC_ML_KEM_SS_SZ];
    MlKemKey *k = wc_MlKemKey_New(WC_ML_KEM_768, NULL, INVALID_DEVID);
    assert(k != NULL);
    before();
    bool taken = wc_MlKemKey_DecodePrivateKey(k, key.data, (word32)key.len) == 0;
    before();
    taken =
        taken && wc_MlKemKey_Decapsulate(k, secret, ciphertext.data, (word32)ciphertext.len) == 0;
    wc_MlKemKey_Delete(k, NULL);
    return taken && answer(out, secret, sizeof secret);
}
