/* Private keys: make, load, sign, wipe. The bytes of a key live here (in memory of secret.h) and in
 * files, nowhere else; every copy is wiped, and so is the stack that wolfCrypt worked on. One
 * thread at a time signs with a key. ECDSA nonces are hedged (hedge.h). */
#ifndef SPINDLE_COMMON_CRYPTO_KEY_H
#define SPINDLE_COMMON_CRYPTO_KEY_H

#include "common/encode/pem.h"

enum key_kind {
    KEY_EC_P256,
    KEY_EC_P384,
    KEY_RSA_2048, /* a key that was read may have more bits, up to those of the next kind */
    KEY_RSA_3072,
    KEY_RSA_4096,
    KEY_ED25519,
    KEY_EC_P521,
};

struct key; /* opaque, heap */

err_t key_generate(enum key_kind kind, struct key **ret_key, struct why *why) MUST_CHECK;
/* Unencrypted PKCS#8 DER (also SEC1 or PKCS#1, as files have them). */
err_t key_parse(struct slice der, struct key **ret_key, struct why *why) MUST_CHECK;
/* From a PEM or DER file: the first private key in it; other blocks go to `unused` (may be NULL).
 * Refuses a file that group or others may read (ERR_FILE_MODE). */
err_t key_read_file(const char *path, struct pem_unused *unused, struct key **ret_key,
                    struct why *why) MUST_CHECK;
/* Wipes, then frees. NULL is fine. */
void key_free(struct key *key);

enum key_kind key_kind(const struct key *key);
/* Unencrypted PKCS#8 DER (RFC 5958 / WA-11), borrowed until key_free. */
struct slice key_pkcs8(const struct key *key);
/* SubjectPublicKeyInfo DER, borrowed until key_free. */
struct slice key_spki(const struct key *key);
/* Signs `message` (hashing it: SHA-256 for P-256 and RSA, SHA-384 for P-384, SHA-512 for P-521);
 * appends the signature as X.509 wants it (DER ECDSA, PKCS#1 v1.5). */
err_t key_sign(struct key *key, struct slice message, struct buf *out, struct why *why) MUST_CHECK;
/* The same for another use. KEY_FOR_TLS: CertificateVerify of TLS 1.3 (RFC 8446 section 4.2.3); for
 * EC and RSA (PSS, SHA-256 to SHA-512) `what` is the digest, for Ed25519 the content. */
enum key_use { KEY_FOR_CERTIFICATES, KEY_FOR_TLS };
err_t key_sign_for(struct key *key, enum key_use use, struct slice what, struct buf *out,
                   struct why *why) MUST_CHECK;
/* The DER AlgorithmIdentifier that key_sign's signatures carry. Static. */
struct slice key_signature_algorithm(const struct key *key);

#endif
