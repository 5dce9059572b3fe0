/* Hashes, key derivation and the ciphers of TLS 1.3. Answers over our own message: OpenSSL 3. */
#include "common/crypto/selftest_internal.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <string.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>

enum { TAG_LEN = 16, NONCE_LEN = 12, AAD_LEN = 13 };

bool selftest_sha256(void)
{
    uint8_t message[SELFTEST_MESSAGE_LEN], digest[WC_SHA256_DIGEST_SIZE];
    selftest_message(message);
    return wc_Sha256Hash((const uint8_t *)"abc", 3, digest) == 0 && /* FIPS 180-2 B.1 */
           selftest_is(digest, sizeof digest,
                       "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") &&
           wc_Sha256Hash(message, sizeof message, digest) == 0 &&
           selftest_is(digest, sizeof digest,
                       "1e9bc38cbf860b9ec31918b065f9b52476c549a782e0e7990bed8ce3868d2371");
}

bool selftest_sha384(void)
{
    uint8_t message[SELFTEST_MESSAGE_LEN], digest[WC_SHA384_DIGEST_SIZE];
    selftest_message(message);
    return wc_Sha384Hash((const uint8_t *)"abc", 3, digest) == 0 && /* FIPS 180-2 D.1 */
           selftest_is(digest, sizeof digest,
                       "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                       "8086072ba1e7cc2358baeca134c825a7") &&
           wc_Sha384Hash(message, sizeof message, digest) == 0 &&
           selftest_is(digest, sizeof digest,
                       "94c38db521ca733b8904c2d14b6e82d33dcfcc26e1318c579dbee1fc2f472019"
                       "034e792263b9d46e90e700de2f6e7e91");
}

/* RFC 5869 A.1. */
bool selftest_hkdf(void)
{
    uint8_t key[22], salt[13], info[10], out[42];
    memset(key, 0x0b, sizeof key);
    selftest_bytes("000102030405060708090a0b0c", salt, sizeof salt);
    selftest_bytes("f0f1f2f3f4f5f6f7f8f9", info, sizeof info);
    return wc_HKDF(WC_SHA256, key, sizeof key, salt, sizeof salt, info, sizeof info, out,
                   sizeof out) == 0 &&
           selftest_is(out, sizeof out,
                       "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
                       "34007208d5b887185865");
}

/* Key, nonce and what goes with the message: bytes that count up from 0, 16 and 0. */
struct sealed {
    uint8_t key[32], nonce[NONCE_LEN], aad[AAD_LEN];
    uint8_t message[SELFTEST_MESSAGE_LEN], out[SELFTEST_MESSAGE_LEN], back[SELFTEST_MESSAGE_LEN];
    uint8_t tag[TAG_LEN];
};

static void prepare(struct sealed *s)
{
    for (size_t i = 0; i < sizeof s->key; i++)
        s->key[i] = (uint8_t)i;
    for (size_t i = 0; i < NONCE_LEN; i++)
        s->nonce[i] = (uint8_t)(i + 16);
    for (size_t i = 0; i < AAD_LEN; i++)
        s->aad[i] = (uint8_t)i;
    selftest_message(s->message);
}

static bool came_back(const struct sealed *s, const char *tag)
{
    return selftest_is(s->tag, TAG_LEN, tag) &&
           memcmp(s->message, s->back, SELFTEST_MESSAGE_LEN) == 0;
}

static bool gcm(size_t key_len, const char *tag)
{
    struct sealed s;
    Aes aes;
    prepare(&s);
    if (wc_AesInit(&aes, NULL, INVALID_DEVID) != 0)
        return false;
    int rc = wc_AesGcmSetKey(&aes, s.key, (word32)key_len);
    if (rc == 0)
        rc = wc_AesGcmEncrypt(&aes, s.out, s.message, SELFTEST_MESSAGE_LEN, s.nonce, NONCE_LEN,
                              s.tag, TAG_LEN, s.aad, AAD_LEN);
    if (rc == 0)
        rc = wc_AesGcmDecrypt(&aes, s.back, s.out, SELFTEST_MESSAGE_LEN, s.nonce, NONCE_LEN, s.tag,
                              TAG_LEN, s.aad, AAD_LEN);
    bool right = rc == 0 && came_back(&s, tag);
    s.tag[0] ^= 1;
    right = right && wc_AesGcmDecrypt(&aes, s.back, s.out, SELFTEST_MESSAGE_LEN, s.nonce, NONCE_LEN,
                                      s.tag, TAG_LEN, s.aad, AAD_LEN) == AES_GCM_AUTH_E;
    wc_AesFree(&aes);
    return right;
}

bool selftest_aes_128_gcm(void)
{
    return gcm(16, "64246f141dc13215f53e4905f91d2948");
}

bool selftest_aes_256_gcm(void)
{
    return gcm(32, "b2ddb0fa49eb6575197b34298602d9d3");
}

bool selftest_chacha20_poly1305(void)
{
    struct sealed s;
    prepare(&s);
    bool right = wc_ChaCha20Poly1305_Encrypt(s.key, s.nonce, s.aad, AAD_LEN, s.message,
                                             SELFTEST_MESSAGE_LEN, s.out, s.tag) == 0 &&
                 wc_ChaCha20Poly1305_Decrypt(s.key, s.nonce, s.aad, AAD_LEN, s.out,
                                             SELFTEST_MESSAGE_LEN, s.tag, s.back) == 0 &&
                 came_back(&s, "0011549411fa32a009edadae3f54557a");
    s.tag[0] ^= 1;
    return right &&
           wc_ChaCha20Poly1305_Decrypt(s.key, s.nonce, s.aad, AAD_LEN, s.out, SELFTEST_MESSAGE_LEN,
                                       s.tag, s.back) == MAC_CMP_FAILED_E;
}
