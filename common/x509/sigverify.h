/* Signatures by the keys of certificates, over wolfCrypt. Pure. */
#ifndef SPINDLE_COMMON_X509_SIGVERIFY_H
#define SPINDLE_COMMON_X509_SIGVERIFY_H

#include "common/x509/x509.h"

/* Does `child`'s signature verify with `issuer_spki`? ERR_CERT_SIGNATURE, ERR_CERT_ALGORITHM.
 * ECDSA P-256/384/521 and RSA of 2048 to 4096 bits (PKCS#1 v1.5, PSS; also keys for PSS alone) with
 * SHA-256/384/512, Ed25519. */
err_t x509_check_signature(const struct x509 *child, struct slice issuer_spki,
                           struct why *why) MUST_CHECK;

/* The same for a TLS 1.3 CertificateVerify: does `sig`, of this SignatureScheme, over `message`
 * verify with the key? The scheme must be the one of the key (RFC 8446 4.2.3). */
err_t x509_check_tls_proof(struct slice spki, unsigned scheme, struct slice message,
                           struct slice sig, struct why *why) MUST_CHECK;

/* Is this public key of a kind and size that x509_check_signature accepts? ERR_CERT_ALGORITHM. */
err_t x509_check_public_key(struct slice spki, struct why *why) MUST_CHECK;

#endif
