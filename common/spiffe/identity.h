/* An identity as one immutable snapshot: leaf chain, key and bundles, swapped whole.
 * Shared by reference between threads (atomic count); nobody edits one after identity_new. */
#ifndef SPINDLE_COMMON_SPIFFE_IDENTITY_H
#define SPINDLE_COMMON_SPIFFE_IDENTITY_H

#include "common/crypto/key.h"
#include "common/spiffe/bundle.h"
#include "common/spiffe/spiffeid.h"
#include "common/spiffe/svid_verify.h"

struct identity; /* opaque; see the getters */

/* Copies everything. Checks that chain[0] is a valid X509-SVID leaf, that key and leaf belong
 * together (ERR_KEY_MISMATCH) and takes the ID from the leaf. `bundles` is taken over on success.
 * chain_der is concatenated DER, leaf first; key_der PKCS#8. */
err_t identity_new(struct slice chain_der, struct slice key_der, const char *hint,
                   struct bundle_set *bundles, struct identity **ret, struct why *why) MUST_CHECK;
struct identity *identity_ref(struct identity *id);
void identity_unref(struct identity *id); /* NULL is fine; wipes the key at the last one */

const struct spiffeid *identity_id(const struct identity *id);
const struct x509 *identity_leaf(const struct identity *id);
size_t identity_cert_count(const struct identity *id); /* leaf included */
const struct x509 *identity_cert(const struct identity *id, size_t index);
struct slice identity_chain(const struct identity *id); /* concatenated DER */
struct slice identity_key_pkcs8(const struct identity *id);
enum key_kind identity_key_kind(const struct identity *id);
const char *identity_hint(const struct identity *id); /* "" when none */
const struct bundle_set *identity_bundles(const struct identity *id);
/* Same chain, key and bundles. */
bool identity_eq(const struct identity *a, const struct identity *b);

#endif
