#include "agent/entry/entry.h"

#include "common/base/mem.h"

void entry_list_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++)
        mem_free(list[i]);
    mem_free(list);
}

static bool list_eq(char *const *a, char *const *b)
{
    size_t i = 0;
    for (; a != NULL && a[i] != NULL; i++)
        if (b == NULL || b[i] == NULL || strcmp(a[i], b[i]) != 0)
            return false;
    return b == NULL || b[i] == NULL;
}

void entry_done(struct entry *e)
{
    mem_free(e->id);
    mem_free(e->spiffe_id);
    selector_set_done(&e->selectors);
    entry_list_free(e->dns_names);
    mem_free(e->hint);
    entry_list_free(e->federates_with);
    *e = (struct entry){0};
}

bool entry_same_svid(const struct entry *a, const struct entry *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->spiffe_id, b->spiffe_id) == 0 &&
           a->x509_ttl_s == b->x509_ttl_s && list_eq(a->dns_names, b->dns_names);
}

err_t entry_copy_for_svid(const struct entry *from, struct entry *ret)
{
    struct entry e = {.x509_ttl_s = from->x509_ttl_s};
    size_t names = 0;
    while (from->dns_names != NULL && from->dns_names[names] != NULL)
        names++;
    e.id = mem_strdup(from->id);
    e.spiffe_id = mem_strdup(from->spiffe_id);
    e.hint = mem_strdup(from->hint);
    if (names > 0)
        e.dns_names = mem_array(names + 1, sizeof *e.dns_names);
    bool ok = e.id != NULL && e.spiffe_id != NULL && e.hint != NULL &&
              (names == 0 || e.dns_names != NULL);
    for (size_t i = 0; ok && i < names; i++) {
        e.dns_names[i] = mem_strdup(from->dns_names[i]);
        ok = e.dns_names[i] != NULL;
    }
    if (!ok) {
        entry_done(&e);
        return ERR_NO_MEMORY;
    }
    *ret = e;
    return ERR_OK;
}
