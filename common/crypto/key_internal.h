/* What the files of key.h share: key.c makes and reads keys, key_sign.c uses them. For them alone.
 */
#ifndef SPINDLE_COMMON_CRYPTO_KEY_INTERNAL_H
#define SPINDLE_COMMON_CRYPTO_KEY_INTERNAL_H

#include "common/crypto/key.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/rsa.h>

#define RSA_BYTES_MAX 512u

/* Pointers into a secret's memory (secret.h) are owned. */
struct key {
    enum key_kind kind;
    struct buf pkcs8, spki; /* owned; pkcs8 in a secret's memory */
    /* The one of the kind is set; in a secret's memory. */
    ecc_key *ec;
    RsaKey *rsa;
    ed25519_key *ed;
    uint8_t *nonce_secret; /* EC: HEDGE_SECRET_LEN bytes once it has signed; in a secret's memory */
};

err_t key_crypto_error(struct why *why, const char *what, int rc);
/* A random generator costs nothing here: it draws from common/base/rand.c. */
err_t key_rng_start(WC_RNG *rng, struct why *why) MUST_CHECK;

#endif
