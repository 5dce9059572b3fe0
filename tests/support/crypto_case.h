/* One test vector at a time, through the code that our verifier and TLS use. Each function is true
 * when the input was taken, with the answer appended to `out`, and false when it was refused. */
#ifndef SPINDLE_TESTS_CRYPTO_CASE_H
#define SPINDLE_TESTS_CRYPTO_CASE_H

#include "common/base/buf.h"

/* From now on the vector registers are full of garbage before each call. */
void crypto_case_dirty(bool dirty);

bool crypto_case_x25519(struct slice point, struct slice scalar, struct buf *out);
/* P-256; `spki` is the peer's key. */
bool crypto_case_ecdh(struct slice spki, struct slice scalar, struct buf *out);
/* `algorithm`: "ecdsa-sha256", "ecdsa-sha384", "rsa-sha256", "rsa-pss-sha256", "ed25519". As the
 * signature of a certificate and, where TLS 1.3 has it, of a CertificateVerify: both must agree. */
bool crypto_case_verify(const char *algorithm, struct slice spki, struct slice message,
                        struct slice signature);
/* `cipher`: "aes-gcm", "chacha20-poly1305". Opening, and sealing what was opened: both must agree.
 */
bool crypto_case_open(const char *cipher, struct slice key, struct slice nonce, struct slice aad,
                      struct slice sealed, struct slice tag, struct buf *out);
bool crypto_case_hkdf(struct slice key, struct slice salt, struct slice info, size_t len,
                      struct buf *out);
/* ML-KEM-768; `key` is a whole decapsulation key. */
bool crypto_case_decapsulate(struct slice key, struct slice ciphertext, struct buf *out);

#endif
