#include "tests/support/faulty_crypto.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <string.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>
#include <wolfssl/wolfcrypt/sha512.h>
#include <wolfssl/wolfcrypt/wc_mlkem.h>

static const char *broken;

/* A call of wolfCrypt, and what goes wrong with its result when it is the broken one. */
#define WRAP(name, parameters, arguments, damage)                                                  \
    int __real_##name parameters;                                                                  \
    int __wrap_##name parameters;                                                                  \
    int __wrap_##name parameters                                                                   \
    {                                                                                              \
        int rc = __real_##name arguments;                                                          \
        if (broken != NULL && strcmp(broken, #name) == 0)                                          \
            damage;                                                                                \
        return rc;                                                                                 \
    }

WRAP(wc_Sha256Hash, (const byte *data, word32 len, byte *out), (data, len, out), out[31] ^= 1)
WRAP(wc_Sha384Hash, (const byte *data, word32 len, byte *out), (data, len, out), out[47] ^= 1)
WRAP(wc_HKDF,
     (int type, const byte *key, word32 key_len, const byte *salt, word32 salt_len,
      const byte *info, word32 info_len, byte *out, word32 len),
     (type, key, key_len, salt, salt_len, info, info_len, out, len), out[0] ^= 1)
WRAP(wc_AesGcmEncrypt,
     (Aes * aes, byte *out, const byte *in, word32 len, const byte *iv, word32 iv_len, byte *tag,
      word32 tag_len, const byte *aad, word32 aad_len),
     (aes, out, in, len, iv, iv_len, tag, tag_len, aad, aad_len), tag[15] ^= 1)
WRAP(wc_AesGcmDecrypt,
     (Aes * aes, byte *out, const byte *in, word32 len, const byte *iv, word32 iv_len,
      const byte *tag, word32 tag_len, const byte *aad, word32 aad_len),
     (aes, out, in, len, iv, iv_len, tag, tag_len, aad, aad_len), rc = 0)
WRAP(wc_ChaCha20Poly1305_Encrypt,
     (const byte key[32], const byte iv[12], const byte *aad, word32 aad_len, const byte *in,
      word32 len, byte *out, byte tag[16]),
     (key, iv, aad, aad_len, in, len, out, tag), tag[15] ^= 1)
WRAP(wc_ecc_verify_hash,
     (const byte *sig, word32 sig_len, const byte *hash, word32 hash_len, int *good, ecc_key *key),
     (sig, sig_len, hash, hash_len, good, key), *good = 1)
WRAP(wc_ecc_sign_hash,
     (const byte *in, word32 in_len, byte *out, word32 *out_len, WC_RNG *rng, ecc_key *key),
     (in, in_len, out, out_len, rng, key), out[*out_len - 1] ^= 1)
WRAP(wc_ecc_shared_secret, (ecc_key * ours, ecc_key *theirs, byte *out, word32 *len),
     (ours, theirs, out, len), out[0] ^= 1)
WRAP(wc_RsaSSL_Verify, (const byte *in, word32 len, byte *out, word32 out_len, RsaKey *key),
     (in, len, out, out_len, key), out[rc - 1] ^= 1)
WRAP(wc_curve25519_make_pub, (int pub_len, byte *pub, int len, const byte *scalar),
     (pub_len, pub, len, scalar), pub[31] ^= 1)
WRAP(wc_curve25519_shared_secret_ex,
     (curve25519_key * ours, curve25519_key *theirs, byte *out, word32 *len, int endian),
     (ours, theirs, out, len, endian), out[0] ^= 1)
WRAP(wc_ed25519_sign_msg,
     (const byte *in, word32 in_len, byte *out, word32 *out_len, ed25519_key *key),
     (in, in_len, out, out_len, key), out[63] ^= 1)
WRAP(wc_MlKemKey_Decapsulate, (MlKemKey * key, byte *secret, const byte *in, word32 len),
     (key, secret, in, len), secret[0] ^= 1)

static const struct faulty_call calls[] = {
    {"wc_Sha256Hash", "SHA-256"},
    {"wc_Sha384Hash", "SHA-384"},
    {"wc_HKDF", "HKDF"},
    {"wc_AesGcmEncrypt", "AES-128-GCM"},
    {"wc_AesGcmDecrypt", "AES-128-GCM"},
    {"wc_ChaCha20Poly1305_Encrypt", "ChaCha20-Poly1305"},
    {"wc_ecc_verify_hash", "P-256 verification"},
    {"wc_ecc_sign_hash", "P-256 signing"},
    {"wc_ecc_shared_secret", "P-256 key exchange"},
    {"wc_RsaSSL_Verify", "RSA verification"},
    {"wc_curve25519_make_pub", "X25519"},
    {"wc_curve25519_shared_secret_ex", "X25519"},
    {"wc_ed25519_sign_msg", "Ed25519"},
    {"wc_MlKemKey_Decapsulate", "ML-KEM-768"},
};

size_t faulty_crypto_count(void)
{
    return sizeof calls / sizeof calls[0];
}

const struct faulty_call *faulty_crypto_call(size_t index)
{
    return &calls[index];
}

void faulty_crypto_set(const char *function)
{
    broken = function;
}
