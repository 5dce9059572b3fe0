#include "common/crypto/key_store.h"

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

static err_t memory_make(void *self, struct signer *ret, struct why *why)
{
    struct key *key = NULL;
    (void)self;
    err_t err = key_generate(KEY_EC_P256, &key, why);
    if (err == ERR_OK)
        *ret = signer_of_key(key);
    return err;
}

static err_t memory_load(void *self, struct slice kept, struct signer *ret, struct why *why)
{
    struct key *key = NULL;
    (void)self;
    err_t err = key_parse(kept, &key, why);
    if (err == ERR_OK)
        *ret = signer_of_key(key);
    return err;
}

static struct slice memory_kept(const struct signer *signer)
{
    return key_pkcs8(signer->self);
}

static void memory_release(struct signer *signer)
{
    key_free(signer->self);
    *signer = (struct signer){.self = NULL};
}

const struct key_store key_store_memory = {.label = "PRIVATE KEY",
                                           .make = memory_make,
                                           .load = memory_load,
                                           .kept = memory_kept,
                                           .release = memory_release};
