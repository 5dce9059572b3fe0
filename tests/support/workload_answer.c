#include "tests/support/workload_answer.h"

#include <check.h>
#include <workloadapi.pb-c.h>

static ProtobufCBinaryData bytes_of(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.len, .data = (uint8_t *)(uintptr_t)s.data};
}

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)(text != NULL ? text : "");
}

void answer_put_svids(const struct answer *a, struct buf *out)
{
    X509SVID svids[ANSWER_SVIDS_MAX];
    X509SVID *svid_list[ANSWER_SVIDS_MAX];
    X509SVIDResponse__FederatedBundlesEntry bundles[ANSWER_BUNDLES_MAX];
    X509SVIDResponse__FederatedBundlesEntry *bundle_list[ANSWER_BUNDLES_MAX];
    X509SVIDResponse message = X509_SVIDRESPONSE__INIT;
    for (size_t i = 0; a->svids[i].spiffe_id != NULL; i++) {
        const struct answer_svid *from = &a->svids[i];
        x509_svid__init(&svids[i]);
        svids[i].spiffe_id = text_of(from->spiffe_id);
        svids[i].x509_svid = bytes_of(from->chain);
        svids[i].x509_svid_key = bytes_of(from->key);
        svids[i].bundle = bytes_of(from->bundle);
        svids[i].hint = text_of(from->hint);
        svid_list[message.n_svids++] = &svids[i];
    }
    for (size_t i = 0; a->bundles[i].trust_domain != NULL; i++) {
        x509_svidresponse__federated_bundles_entry__init(&bundles[i]);
        bundles[i].key = text_of(a->bundles[i].trust_domain);
        bundles[i].value = bytes_of(a->bundles[i].roots);
        bundle_list[message.n_federated_bundles++] = &bundles[i];
    }
    message.svids = svid_list;
    message.federated_bundles = bundle_list;
    ck_assert_int_eq(buf_reserve(out, x509_svidresponse__get_packed_size(&message)), ERR_OK);
    out->len += x509_svidresponse__pack(&message, out->data + out->len);
}

void answer_put_bundles(const struct answer *a, struct buf *out)
{
    X509BundlesResponse__BundlesEntry bundles[ANSWER_BUNDLES_MAX];
    X509BundlesResponse__BundlesEntry *list[ANSWER_BUNDLES_MAX];
    X509BundlesResponse message = X509_BUNDLES_RESPONSE__INIT;
    for (size_t i = 0; a->bundles[i].trust_domain != NULL; i++) {
        x509_bundles_response__bundles_entry__init(&bundles[i]);
        bundles[i].key = text_of(a->bundles[i].trust_domain);
        bundles[i].value = bytes_of(a->bundles[i].roots);
        list[message.n_bundles++] = &bundles[i];
    }
    message.bundles = list;
    ck_assert_int_eq(buf_reserve(out, x509_bundles_response__get_packed_size(&message)), ERR_OK);
    out->len += x509_bundles_response__pack(&message, out->data + out->len);
}

struct answer_svid answer_svid_of(const char *spiffe_id, const struct cert *leaf,
                                  const struct cert *root)
{
    return (struct answer_svid){.spiffe_id = spiffe_id,
                                .chain = cert_der(leaf),
                                .key = key_pkcs8(leaf->key),
                                .bundle = cert_der(root)};
}
