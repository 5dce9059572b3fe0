/* The tests themselves, one a kind: true when all answers were right. See selftest.h. */
#ifndef SPINDLE_COMMON_CRYPTO_SELFTEST_INTERNAL_H
#define SPINDLE_COMMON_CRYPTO_SELFTEST_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool selftest_sha256(void);
bool selftest_sha384(void);
bool selftest_hkdf(void);
bool selftest_aes_128_gcm(void);
bool selftest_aes_256_gcm(void);
bool selftest_chacha20_poly1305(void);
bool selftest_p256_verify(void);
bool selftest_p256_sign(void);
bool selftest_p256_ecdh(void);
bool selftest_p384_verify(void);
bool selftest_rsa_verify(void);
bool selftest_x25519(void);
bool selftest_ed25519(void);
bool selftest_mlkem_768(void);

/* The bytes of `hex`; at most `max`. How many there were. */
size_t selftest_bytes(const char *hex, uint8_t *ret, size_t max);
/* Are the `len` bytes those of `hex`? */
bool selftest_is(const uint8_t *bytes, size_t len, const char *hex);

#define SELFTEST_MESSAGE_LEN 1000u
/* Byte i is 7 i + 3: long enough for the loops over many blocks. */
void selftest_message(uint8_t ret[static SELFTEST_MESSAGE_LEN]);

#endif
