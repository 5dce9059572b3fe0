/* Hedged random numbers for one signature. While a hedge is in force, what wolfSSL draws on this
 * thread is a hash over fresh random bytes, a secret of the key and what is signed, instead of the
 * random bytes themselves (the way of RFC 6979 section 3.6 and of
 * draft-irtf-cfrg-det-sigs-with-noise). An ECDSA nonce then is as good as the random source where
 * that works, and where it repeats itself (a virtual machine that is resumed twice from one
 * snapshot) it repeats for the same key and the same message alone, which gives nothing away. */
#ifndef SPINDLE_COMMON_CRYPTO_HEDGE_H
#define SPINDLE_COMMON_CRYPTO_HEDGE_H

#include "common/base/slice.h"

#define HEDGE_SECRET_LEN 32u

struct hedge {
    const uint8_t *secret; /* borrowed, HEDGE_SECRET_LEN bytes */
    struct slice message;  /* borrowed; what is signed, or its hash */
    uint32_t drawn;        /* pieces served */
};

/* The secret of a key from all of its bytes. False: wolfCrypt failed. */
bool hedge_secret(struct slice key, uint8_t out[static HEDGE_SECRET_LEN]);
/* In force on this thread until the end. One at a time. */
void hedge_begin(struct hedge *h, const uint8_t secret[static HEDGE_SECRET_LEN],
                 struct slice message);
void hedge_end(struct hedge *h);
/* The hook that wolfSSL is built to call (CUSTOM_RAND_GENERATE_BLOCK): bytes of rand.h, hedged
 * while one is in force. 0, or -1 when hashing fails: then nothing is signed. */
int spindle_rand_block(unsigned char *out, unsigned int len);

#endif
