#include "common/spiffe/identity.h"

#include "common/base/mem.h"

#include <assert.h>
#include <stdatomic.h>

struct identity {
    atomic_uint refs;
    uint8_t *chain; /* owned, concatenated DER */
    size_t chain_len;
    struct x509 certs[SVID_CHAIN_MAX]; /* borrow chain; [0] is the leaf */
    size_t cert_count;
    struct spiffeid id; /* borrows chain */
    struct key *key;    /* owned */
    char *hint;         /* owned */
    struct bundle_set bundles;
};

static void identity_free(struct identity *id)
{
    if (id == NULL)
        return;
    key_free(id->key);
    bundle_set_done(&id->bundles);
    mem_free(id->hint);
    mem_free(id->chain);
    mem_free(id);
}

static err_t parse_chain(struct identity *id, struct why *why)
{
    struct slice ders[SVID_CHAIN_MAX];
    size_t count = 0;
    err_t err = x509_split(slice_of(id->chain, id->chain_len), ders, SVID_CHAIN_MAX, &count, why);
    if (err != ERR_OK)
        return err;
    if (count == 0)
        return why_set(why, ERR_CERT_MALFORMED, "there is no certificate");
    for (size_t i = 0; i < count; i++) {
        err = x509_parse(ders[i], &id->certs[i], why);
        if (err != ERR_OK)
            return why_add(why, err, "certificate %zu of %zu", i + 1, count);
    }
    id->cert_count = count;
    return svid_check_leaf(&id->certs[0], &id->id, why);
}

static err_t fill(struct identity *id, struct slice chain_der, struct slice key_der,
                  const char *hint, struct why *why)
{
    id->chain = mem_dup(chain_der.data, chain_der.len);
    id->chain_len = chain_der.len;
    id->hint = mem_strdup(hint != NULL ? hint : "");
    if (id->chain == NULL || id->hint == NULL)
        return why_set(why, ERR_NO_MEMORY, "out of memory");
    err_t err = parse_chain(id, why);
    if (err == ERR_OK)
        err = key_parse(key_der, &id->key, why);
    if (err != ERR_OK)
        return err;
    if (!slice_eq(key_spki(id->key), id->certs[0].spki)) {
        char text[256];
        return why_set(why, ERR_KEY_MISMATCH, "the private key is not the one of certificate %s",
                       x509_describe(&id->certs[0], text, sizeof text));
    }
    return ERR_OK;
}

err_t identity_new(struct slice chain_der, struct slice key_der, const char *hint,
                   struct bundle_set *bundles, struct identity **ret, struct why *why)
{
    struct identity *id = mem_alloc(sizeof *id);
    if (id == NULL)
        return why_set(why, ERR_NO_MEMORY, "identity: out of memory");
    err_t err = fill(id, chain_der, key_der, hint, why);
    if (err != ERR_OK) {
        identity_free(id);
        return why_add(why, err, "identity");
    }
    atomic_init(&id->refs, 1);
    id->bundles = *bundles;
    bundle_set_init(bundles);
    *ret = id;
    return ERR_OK;
}

struct identity *identity_ref(struct identity *id)
{
    unsigned before = atomic_fetch_add_explicit(&id->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
    return id;
}

void identity_unref(struct identity *id)
{
    if (id != NULL && atomic_fetch_sub_explicit(&id->refs, 1, memory_order_acq_rel) == 1)
        identity_free(id);
}

const struct spiffeid *identity_id(const struct identity *id)
{
    return &id->id;
}

const struct x509 *identity_leaf(const struct identity *id)
{
    return &id->certs[0];
}

size_t identity_cert_count(const struct identity *id)
{
    return id->cert_count;
}

const struct x509 *identity_cert(const struct identity *id, size_t index)
{
    assert(index < id->cert_count);
    return &id->certs[index];
}

struct slice identity_chain(const struct identity *id)
{
    return slice_of(id->chain, id->chain_len);
}

struct slice identity_key_pkcs8(const struct identity *id)
{
    return key_pkcs8(id->key);
}

enum key_kind identity_key_kind(const struct identity *id)
{
    return key_kind(id->key);
}

const char *identity_hint(const struct identity *id)
{
    return id->hint;
}

const struct bundle_set *identity_bundles(const struct identity *id)
{
    return &id->bundles;
}

bool identity_eq(const struct identity *a, const struct identity *b)
{
    struct slice x = identity_key_pkcs8(a), y = identity_key_pkcs8(b);
    return slice_eq(identity_chain(a), identity_chain(b)) && x.len == y.len &&
           mem_compare_secret(x.data, y.data, x.len) == 0 &&
           bundle_set_eq(&a->bundles, &b->bundles);
}
