/* What signs certificates, CRLs and OCSP answers: a key in memory now, PKCS#11 later.
 * Everything that signs goes through this table; where the key lives is key_store.h's. Loop thread
 * only. */
#ifndef SPINDLE_COMMON_CRYPTO_SIGNER_H
#define SPINDLE_COMMON_CRYPTO_SIGNER_H

#include "common/base/buf.h"
#include "common/base/why.h"

struct signer {
    void *self;
    struct slice (*spki)(void *self);                /* SubjectPublicKeyInfo, borrowed */
    struct slice (*signature_algorithm)(void *self); /* AlgorithmIdentifier, borrowed */
    /* Appends the signature over `tbs` to `out`. */
    err_t (*sign)(void *self, struct slice tbs, struct buf *out, struct why *why);
};

#endif
