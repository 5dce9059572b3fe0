/* Signatures of test certificates by other algorithms than the one that key_sign has for a key. By
 * wolfCrypt's signing half alone; failures abort. */
#ifndef SPINDLE_TESTS_CERT_SIGN_H
#define SPINDLE_TESTS_CERT_SIGN_H

#include "common/base/buf.h"

enum cert_scheme {
    CERT_SCHEME_OF_KEY, /* what key_sign has */
    CERT_ECDSA_SHA256,
    CERT_ECDSA_SHA384,
    CERT_ECDSA_SHA512,
    CERT_RSA_SHA256,
    CERT_RSA_SHA384,
    CERT_RSA_SHA512,
    CERT_PSS_SHA256, /* salt as long as the hash, as everybody does it */
    CERT_PSS_SHA384,
    CERT_PSS_SHA512,
    CERT_PSS_NO_SALT,        /* SHA-256 */
    CERT_PSS_SALT_LEFT_OUT,  /* SHA-512, the default salt of 20 bytes, not written */
    CERT_PSS_TWO_HASHES,     /* SHA-256, MGF1 with SHA-512 */
    CERT_PSS_TRAILER_WRITTEN /* SHA-256 and the one trailer there is */
};

/* Appends the AlgorithmIdentifier; a signature over `tbs`. `pkcs8` is of the scheme's kind. */
void cert_scheme_algorithm(enum cert_scheme scheme, struct buf *out);
void cert_scheme_sign(enum cert_scheme scheme, struct slice pkcs8, struct slice tbs,
                      struct buf *out);

#endif
