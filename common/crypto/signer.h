/* What signs certificates, CRLs and OCSP answers: a key in memory now, PKCS#11 later.
 * Everything that signs goes through this table; loop thread only. */
#ifndef SPINDLE_COMMON_CRYPTO_SIGNER_H
#define SPINDLE_COMMON_CRYPTO_SIGNER_H

#include "common/base/buf.h"
#include "common/base/why.h"

struct key;

struct signer {
    void *self;
    struct slice (*spki)(void *self);                /* SubjectPublicKeyInfo, borrowed */
    struct slice (*signature_algorithm)(void *self); /* AlgorithmIdentifier, borrowed */
    /* Appends the signature over `tbs` to `out`. */
    err_t (*sign)(void *self, struct slice tbs, struct buf *out, struct why *why);
};

/* A signer over a key in memory; borrows the key. */
struct signer signer_of_key(struct key *key);

#endif
