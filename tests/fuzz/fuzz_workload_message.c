/* Answers of the Workload API: whatever the bytes, what is accepted is whole. */
#include "common/rpc/workload_message.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_identity(const struct identity *id)
{
    const struct spiffeid *name = identity_id(id);
    check(name->path.len > 1);
    check(identity_chain(id).len > 0 && identity_key_pkcs8(id).len > 0);
    check(bundle_set_find(identity_bundles(id), name->trust_domain) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice message = slice_of(data, size);
    struct workload_svids svids = {0};
    struct bundle_set set;
    struct why why = {0};
    if (workload_svids_decode(message, &svids, &why) == ERR_OK) {
        check(svids.count > 0 && svids.count <= WORKLOAD_SVIDS_MAX);
        for (size_t i = 0; i < svids.count; i++)
            check_identity(svids.items[i]);
        workload_svids_done(&svids);
    } else {
        check(svids.items == NULL && why.err != ERR_OK);
    }
    if (workload_bundles_decode(message, &set, &why) == ERR_OK) {
        check(set.count > 0);
        bundle_set_done(&set);
    }
    return 0;
}
