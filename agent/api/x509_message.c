#include "agent/api/x509_message.h"

#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/spiffe/spiffeid.h"
#include "workloadapi.pb-c.h"

#include <stdio.h>

size_t entries_drop_same_hints(const struct entry **entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool taken = false;
        for (size_t k = 0; k < kept && entries[i]->hint[0] != '\0' && !taken; k++)
            taken = strcmp(entries[k]->hint, entries[i]->hint) == 0;
        if (!taken)
            entries[kept++] = entries[i];
    }
    return kept;
}

static ProtobufCBinaryData binary(const uint8_t *data, size_t len)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)data, .len = len};
}

/* The bytes may hold keys. */
static struct rpc_message *x509_message_pack(const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = secret_alloc(len);
    if (bytes == NULL)
        return NULL;
    protobuf_c_message_pack(message, bytes);
    struct rpc_message *m = rpc_message_new(slice_of(bytes, len));
    secret_free(bytes);
    return m;
}

struct rpc_message *x509_svid_message(const struct entry *const *entries, struct svid *const *svids,
                                      size_t count, struct slice bundle)
{
    X509SVID *items = mem_array(count, sizeof *items);
    X509SVID **list = mem_array(count, sizeof *list);
    struct rpc_message *m = NULL;
    X509SVIDResponse response = X509_SVIDRESPONSE__INIT;
    if (items == NULL || list == NULL)
        goto out;
    for (size_t i = 0; i < count; i++) {
        if (svids[i] == NULL)
            continue;
        X509SVID *item = &items[response.n_svids];
        x509_svid__init(item);
        item->spiffe_id = entries[i]->spiffe_id;
        item->x509_svid = binary(svids[i]->chain, svids[i]->chain_len);
        item->x509_svid_key = binary(svids[i]->key, svids[i]->key_len);
        item->bundle = binary(bundle.data, bundle.len);
        item->hint = entries[i]->hint;
        list[response.n_svids++] = item;
    }
    response.svids = list;
    m = x509_message_pack(&response.base);
out:
    mem_free(items);
    mem_free(list);
    return m;
}

struct rpc_message *x509_bundles_message(const char *trust_domain, struct slice bundle)
{
    char id[sizeof "spiffe://" + TRUST_DOMAIN_MAX];
    snprintf(id, sizeof id, "spiffe://%s", trust_domain);
    X509BundlesResponse__BundlesEntry own = X509_BUNDLES_RESPONSE__BUNDLES_ENTRY__INIT;
    X509BundlesResponse__BundlesEntry *list[] = {&own};
    own.key = id;
    own.value = binary(bundle.data, bundle.len);
    X509BundlesResponse response = X509_BUNDLES_RESPONSE__INIT;
    response.n_bundles = 1;
    response.bundles = list;
    return x509_message_pack(&response.base);
}
