/* SPIFFE IDs, rules and addresses: whatever the bytes, what is accepted keeps its invariants. */
#include "common/loop/address.h"
#include "common/spiffe/spiffeid.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_of(data, size);
    struct why why = {0};
    struct spiffeid id;
    struct spiffeid_rule rule;
    struct address address;
    char out[ADDRESS_TEXT_LEN];
    bool parsed = spiffeid_parse(text, &id, &why) == ERR_OK;
    if (parsed) {
        check(size <= SPIFFEID_MAX && slice_eq(id.text, text));
        check(9 + id.trust_domain.len + id.path.len == size);
        check(trust_domain_check(id.trust_domain, NULL) == ERR_OK);
        check(id.path.len != 1);
    }
    if (spiffeid_rule_parse(text, &rule, &why) == ERR_OK && parsed)
        check(!rule.wildcard && spiffeid_rule_matches(&rule, &id));
    if (address_parse(text, &address, &why) == ERR_OK) {
        struct address again;
        address_text(&address, out);
        if (address.kind != ADDRESS_UNIX)
            check(address_parse(slice_str(out), &again, NULL) == ERR_OK);
    }
    if (address_parse_endpoint(text, &address, &why) == ERR_OK)
        check(address.kind != ADDRESS_NAME);
    return 0;
}
