/* Registration entries: whatever the text, a set that is accepted keeps what its users rely on. */
#include "agent/entry/entries.h"
#include "common/spiffe/spiffeid.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_entry(const struct entry_set *set, const struct entry *e)
{
    struct spiffeid id;
    const struct entry *found[1];
    check(spiffeid_parse(slice_str(e->spiffe_id), &id, NULL) == ERR_OK);
    check(slice_eq_str(id.trust_domain, "example.org") && id.path.len > 1);
    check(e->selectors.count > 0 && e->hint != NULL && strlen(e->hint) <= ENTRY_HINT_MAX);
    check(entries_find(set, e->id) == e);
    check(entries_match(set, &e->selectors, found, 1) >= 1 && found[0] <= e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct entry_set *set = NULL;
    struct why why = {0};
    struct buf report;
    buf_init(&report, 16 * 1024);
    err_t err =
        entries_parse("entries.yaml", slice_of(data, size), "example.org", &report, &set, &why);
    check(err == ERR_OK || (err == ERR_CONFIG && report.len > 0 && set == NULL));
    for (size_t i = 0; set != NULL && i < set->count; i++)
        check_entry(set, &set->items[i]);
    entries_free(set);
    buf_done(&report);
    return 0;
}
