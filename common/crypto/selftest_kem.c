/* ML-KEM-768, with the answers of Go's crypto/mlkem. */
#include "common/crypto/selftest_internal.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/wc_mlkem.h>

struct answers {
    uint8_t public_key[WC_ML_KEM_768_PUBLIC_KEY_SIZE], digest[WC_SHA256_DIGEST_SIZE];
    uint8_t ciphertext[WC_ML_KEM_768_CIPHER_TEXT_SIZE];
    uint8_t theirs[WC_ML_KEM_SS_SZ], ours[WC_ML_KEM_SS_SZ], rejected[WC_ML_KEM_SS_SZ];
};

static int compute(MlKemKey *key, struct answers *a)
{
    uint8_t seed[64], message[32];
    for (uint8_t i = 0; i < sizeof seed; i++)
        seed[i] = i;
    for (uint8_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)(0x40 + i);
    int rc = wc_MlKemKey_MakeKeyWithRandom(key, seed, sizeof seed);
    if (rc == 0)
        rc = wc_MlKemKey_EncodePublicKey(key, a->public_key, sizeof a->public_key);
    if (rc == 0)
        rc = wc_MlKemKey_EncapsulateWithRandom(key, a->ciphertext, a->theirs, message,
                                               sizeof message);
    if (rc == 0)
        rc = wc_MlKemKey_Decapsulate(key, a->ours, a->ciphertext, sizeof a->ciphertext);
    return rc;
}

/* A ciphertext that was changed gives another secret, but the same one each time. */
static int compute_rejected(MlKemKey *key, struct answers *a)
{
    a->ciphertext[sizeof a->ciphertext - 1] ^= 1;
    return wc_MlKemKey_Decapsulate(key, a->rejected, a->ciphertext, sizeof a->ciphertext);
}

static bool is_digest(const uint8_t *bytes, size_t len, const char *hex)
{
    uint8_t digest[WC_SHA256_DIGEST_SIZE];
    return wc_Sha256Hash(bytes, (word32)len, digest) == 0 &&
           selftest_is(digest, sizeof digest, hex);
}

bool selftest_mlkem_768(void)
{
    static const char secret[] = "9cddd089ffe70e3996e76f7c8d06746df34d07e8657bc0fcf2bb0e1c3084aea1";
    struct answers a;
    MlKemKey *key = wc_MlKemKey_New(WC_ML_KEM_768, NULL, INVALID_DEVID);
    bool right = key != NULL && compute(key, &a) == 0 &&
                 is_digest(a.public_key, sizeof a.public_key,
                           "0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9") &&
                 is_digest(a.ciphertext, sizeof a.ciphertext,
                           "dbf4e9aa48b078ad46ec1c9c47bda8c2d2fec9d0e7a21bd48d2238a2abedb856") &&
                 selftest_is(a.theirs, sizeof a.theirs, secret) &&
                 selftest_is(a.ours, sizeof a.ours, secret) && compute_rejected(key, &a) == 0 &&
                 selftest_is(a.rejected, sizeof a.rejected,
                             "1f39ae51991196b33dbc7c6031f9f35fd3347d577ebb4dea93028bcd9ab5dabe");
    if (key != NULL)
        wc_MlKemKey_Delete(key, NULL);
    return right;
}
