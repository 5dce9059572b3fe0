/* Signatures and key exchanges on curves, and RSA. */
#include "common/crypto/selftest_internal.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <string.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>

#define POINT_MAX 97u /* of P-384, uncompressed */
#define SIGNATURE_MAX 112u
#define RSA_BYTES 256u

/* RFC 6979 A.2.5 and A.2.6: the message "sample". */
static const struct ecdsa_case {
    int curve;
    enum wc_HashType hash;
    const char *point, *signature;
} p256_case = {ECC_SECP256R1, WC_HASH_TYPE_SHA256,
               "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
               "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
               "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
               "022100f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
  p384_case = {ECC_SECP384R1, WC_HASH_TYPE_SHA384,
               "04ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64"
               "def8f0ea9055866064a254515480bc13"
               "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1"
               "288b231c3ae0d4fe7344fd2533264720",
               "306602310094edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c"
               "81a648152e44acf96e36dd1e80fabe46"
               "02310099ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329"
               "c145786e679e7b82c71a38628ac8"};

static int digest_of(enum wc_HashType hash, uint8_t ret[static WC_MAX_DIGEST_SIZE])
{
    return wc_Hash(hash, (const uint8_t *)"sample", 6, ret, WC_MAX_DIGEST_SIZE);
}

/* The signature verifies, and does not once the digest has changed. */
static bool verifies(ecc_key *key, const struct ecdsa_case *c, const uint8_t *sig, size_t len)
{
    uint8_t digest[WC_MAX_DIGEST_SIZE];
    word32 digest_len = (word32)wc_HashGetDigestSize(c->hash);
    int good = 0, bad = 1;
    if (digest_of(c->hash, digest) != 0 ||
        wc_ecc_verify_hash(sig, (word32)len, digest, digest_len, &good, key) != 0)
        return false;
    digest[digest_len - 1] ^= 1;
    return good == 1 && wc_ecc_verify_hash(sig, (word32)len, digest, digest_len, &bad, key) == 0 &&
           bad == 0;
}

static int import_point(ecc_key *key, const char *hex, int curve)
{
    uint8_t point[POINT_MAX];
    size_t len = selftest_bytes(hex, point, sizeof point);
    return wc_ecc_import_x963_ex(point, (word32)len, key, curve);
}

static bool ecdsa(const struct ecdsa_case *c)
{
    uint8_t sig[SIGNATURE_MAX];
    ecc_key key;
    if (wc_ecc_init(&key) != 0)
        return false;
    size_t len = selftest_bytes(c->signature, sig, sizeof sig);
    bool right = import_point(&key, c->point, c->curve) == 0 && verifies(&key, c, sig, len);
    wc_ecc_free(&key);
    return right;
}

bool selftest_p256_verify(void)
{
    return ecdsa(&p256_case);
}

bool selftest_p384_verify(void)
{
    return ecdsa(&p384_case);
}

/* RFC 6979 A.2.5's private key; the nonce is random, so the answer is that its public key agrees.
 */
bool selftest_p256_sign(void)
{
    uint8_t scalar[32], digest[WC_MAX_DIGEST_SIZE], sig[SIGNATURE_MAX];
    word32 len = sizeof sig;
    WC_RNG rng;
    ecc_key key;
    selftest_bytes("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721", scalar,
                   sizeof scalar);
    if (wc_InitRng(&rng) != 0)
        return false;
    int rc = wc_ecc_init(&key);
    bool right =
        rc == 0 &&
        wc_ecc_import_private_key_ex(scalar, sizeof scalar, NULL, 0, &key, p256_case.curve) == 0 &&
        digest_of(p256_case.hash, digest) == 0 &&
        wc_ecc_sign_hash(digest, WC_SHA256_DIGEST_SIZE, sig, &len, &rng, &key) == 0;
    if (rc == 0)
        wc_ecc_free(&key);
    if (right && wc_ecc_init(&key) == 0) {
        right = import_point(&key, p256_case.point, p256_case.curve) == 0 &&
                verifies(&key, &p256_case, sig, len);
        wc_ecc_free(&key);
    }
    wc_FreeRng(&rng);
    return right;
}

/* RFC 5903 8.1. */
bool selftest_p256_ecdh(void)
{
    uint8_t scalar[32], secret[32];
    word32 len = sizeof secret;
    WC_RNG rng;
    ecc_key ours, theirs;
    if (wc_InitRng(&rng) != 0)
        return false;
    bool right = wc_ecc_init(&ours) == 0 && wc_ecc_init(&theirs) == 0;
    selftest_bytes("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433", scalar,
                   sizeof scalar);
    right =
        right &&
        wc_ecc_import_private_key_ex(scalar, sizeof scalar, NULL, 0, &ours, ECC_SECP256R1) == 0 &&
        import_point(&theirs,
                     "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
                     "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab",
                     ECC_SECP256R1) == 0 &&
        wc_ecc_set_rng(&ours, &rng) == 0 &&
        wc_ecc_shared_secret(&ours, &theirs, secret, &len) == 0 &&
        selftest_is(secret, len,
                    "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de");
    wc_ecc_free(&ours);
    wc_ecc_free(&theirs);
    wc_FreeRng(&rng);
    return right;
}

/* PKCS#1 v1.5 over "sample", made with OpenSSL. */
bool selftest_rsa_verify(void)
{
    static const char modulus[] =
        "d15c60ddafd5d904bbadee9e872799d70b67c93f7e756c28fc7cb22db8636c00"
        "e53bc536e9fb7b55d0aa890510a744eb35772a06469490e8b981d0084cc8e0c4"
        "19131b103f9a4c40bf2450f040a3e8d8a46f53c47342bf0329708161ce2ebc8d"
        "dc15982c917059ecf794585e3631cd55b4f5c1f7836e452efad05d53527ba48b"
        "88890296c9cf1e78600b122aeb26cd4cd3fed4bc15c4d9de8cd85ecb0a2361fd"
        "6f8bdf11bf6089277b730f5af1597e26c129effa43f41573c784406484429bac"
        "555c4fb62fca6d514d0574d542e54ae9f12677485046fa5a224bda59886def63"
        "414daf8310a5196f4d5b897f37373616a80ef087f5e979d5208696ed6b377f9d";
    static const char signature[] =
        "a85e1d13f16265f10649498fa9102400724bee7d1b53321df6e0f0022b755eb3"
        "19288c89dc735b598350c158c977132f6f28ccd3b409b740428c51ad23690ed5"
        "06fad28e3962ffa70e9f0c0948ce0b078e4e50d6304beb921511a3c21f79edc1"
        "aab3edd74b656ff2a24ee031cf01d56e86976e2b586344aa8ddece8afbbf1a11"
        "4899f554d46bcd63c464f9c50074d9e56da34f8057c0946826150c720e3b5463"
        "c39c1e74d6bf3d20a068aa3d0ae4dac47bcd90da851952640260e976c9a056e5"
        "844ebb49847c329dc2de6320e8253f6679071593e34651e579c7f0a8315f4ac4"
        "90d5ef83f6f2c7f9bf91dbcfd5fd4416517cd1c3258b39f782ae0db54f6ff8a3";
    static const uint8_t exponent[] = {1, 0, 1};
    static const char info[] = "3031300d060960864801650304020105000420"; /* DigestInfo, SHA-256 */
    uint8_t n[RSA_BYTES], sig[RSA_BYTES], out[RSA_BYTES], digest[WC_MAX_DIGEST_SIZE];
    size_t head = strlen(info) / 2;
    RsaKey key;
    if (wc_InitRsaKey(&key, NULL) != 0)
        return false;
    selftest_bytes(modulus, n, sizeof n);
    selftest_bytes(signature, sig, sizeof sig);
    bool right = wc_RsaPublicKeyDecodeRaw(n, sizeof n, exponent, sizeof exponent, &key) == 0 &&
                 wc_RsaSSL_Verify(sig, sizeof sig, out, sizeof out, &key) ==
                     (int)head + WC_SHA256_DIGEST_SIZE &&
                 selftest_is(out, head, info) && digest_of(WC_HASH_TYPE_SHA256, digest) == 0 &&
                 memcmp(out + head, digest, WC_SHA256_DIGEST_SIZE) == 0;
    wc_FreeRsaKey(&key);
    return right;
}

static bool x25519_is(const char *scalar, const char *point)
{
    uint8_t k[CURVE25519_KEYSIZE], made[CURVE25519_KEYSIZE];
    selftest_bytes(scalar, k, sizeof k);
    k[0] &= 248;
    k[CURVE25519_KEYSIZE - 1] = (uint8_t)((k[CURVE25519_KEYSIZE - 1] & 127) | 64);
    return wc_curve25519_make_pub(sizeof made, made, sizeof k, k) == 0 &&
           selftest_is(made, sizeof made, point);
}

static bool x25519_secret_is(const char *scalar, const char *point, const char *secret)
{
    uint8_t k[CURVE25519_KEYSIZE], p[CURVE25519_KEYSIZE], made[CURVE25519_KEYSIZE];
    word32 len = sizeof made;
    curve25519_key ours, theirs;
    selftest_bytes(scalar, k, sizeof k);
    selftest_bytes(point, p, sizeof p);
    bool right =
        wc_curve25519_init(&ours) == 0 && wc_curve25519_init(&theirs) == 0 &&
        wc_curve25519_import_private_ex(k, sizeof k, &ours, EC25519_LITTLE_ENDIAN) == 0 &&
        wc_curve25519_import_public_ex(p, sizeof p, &theirs, EC25519_LITTLE_ENDIAN) == 0 &&
        wc_curve25519_shared_secret_ex(&ours, &theirs, made, &len, EC25519_LITTLE_ENDIAN) == 0 &&
        selftest_is(made, len, secret);
    wc_curve25519_free(&ours);
    wc_curve25519_free(&theirs);
    return right;
}

/* RFC 7748 6.1. */
bool selftest_x25519(void)
{
    static const char a[] = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    static const char a_public[] =
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    static const char b[] = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    static const char b_public[] =
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    return x25519_is(a, a_public) && x25519_is(b, b_public) &&
           x25519_secret_is(a, b_public,
                            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

/* RFC 8032 7.1, test 2. */
bool selftest_ed25519(void)
{
    static const uint8_t message[] = {0x72};
    uint8_t seed[ED25519_KEY_SIZE], pub[ED25519_PUB_KEY_SIZE], sig[ED25519_SIG_SIZE];
    word32 len = sizeof sig;
    int good = 0, bad = 1;
    ed25519_key key;
    selftest_bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", seed,
                   sizeof seed);
    if (wc_ed25519_init(&key) != 0)
        return false;
    bool right = wc_ed25519_import_private_only(seed, sizeof seed, &key) == 0 &&
                 wc_ed25519_make_public(&key, pub, sizeof pub) == 0 &&
                 selftest_is(pub, sizeof pub,
                             "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c") &&
                 wc_ed25519_import_private_key(seed, sizeof seed, pub, sizeof pub, &key) == 0 &&
                 wc_ed25519_sign_msg(message, sizeof message, sig, &len, &key) == 0 &&
                 selftest_is(sig, len,
                             "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                             "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00") &&
                 wc_ed25519_verify_msg(sig, len, message, sizeof message, &good, &key) == 0 &&
                 good == 1;
    sig[0] ^= 1;
    right = right &&
            (wc_ed25519_verify_msg(sig, len, message, sizeof message, &bad, &key) != 0 || bad == 0);
    wc_ed25519_free(&key);
    return right;
}
