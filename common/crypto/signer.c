#include "common/crypto/signer.h"

#include "common/crypto/key.h"

static struct slice key_signer_spki(void *self)
{
    return key_spki(self);
}

static struct slice key_signer_algorithm(void *self)
{
    return key_signature_algorithm(self);
}

static err_t key_signer_sign(void *self, struct slice tbs, struct buf *out, struct why *why)
{
    return key_sign(self, tbs, out, why);
}

struct signer signer_of_key(struct key *key)
{
    return (struct signer){
        .self = key,
        .spki = key_signer_spki,
        .signature_algorithm = key_signer_algorithm,
        .sign = key_signer_sign,
    };
}
