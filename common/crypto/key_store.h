/* The seam to where the keys of an authority live. Whoever signs has a signer (signer.h) and sees
 * nothing of the key behind it; whoever keeps the certificate keeps beside it what the store needs
 * to find the key again.
 *
 *   make(self, ret, why)          a new key, for certificates (EC P-256)
 *   load(self, kept, ret, why)    the key of which `kept` was kept; a secret's memory
 *   kept(signer)                  what is to be kept of it: a secret, borrowed until release
 *   release(signer)               wiped from memory; what was kept still loads it
 *
 * Any thread, for one key one at a time. What may fail: make and load with ERR_KEY, ERR_PARSE,
 * ERR_NO_MEMORY; signing as signer.h says. Signing may take as long as the store takes: with one
 * that waits for a device it is done on the thread pool. */
#ifndef SPINDLE_COMMON_CRYPTO_KEY_STORE_H
#define SPINDLE_COMMON_CRYPTO_KEY_STORE_H

#include "common/crypto/key.h"
#include "common/crypto/signer.h"

struct key_store {
    const char *label; /* of the PEM block of what is kept: "PRIVATE KEY" */
    void *self;
    err_t (*make)(void *self, struct signer *ret, struct why *why);
    err_t (*load)(void *self, struct slice kept, struct signer *ret, struct why *why);
    struct slice (*kept)(const struct signer *signer);
    void (*release)(struct signer *signer);
};

/* Keys in our memory; what is kept of one is itself, as PKCS#8 DER. */
extern const struct key_store key_store_memory;
/* A signer over a key in memory; borrows the key. */
struct signer signer_of_key(struct key *key);

#endif
