#include "common/spiffe/bundle.h"

#include "common/base/mem.h"
#include "common/spiffe/spiffeid.h"

void bundle_set_init(struct bundle_set *set)
{
    *set = (struct bundle_set){0};
}

static void bundle_done(struct bundle *b)
{
    mem_free(b->trust_domain);
    mem_free(b->der);
    mem_free(b->roots);
    mem_free(b->key_ids);
    mem_free(b->skips);
    *b = (struct bundle){0};
}

void bundle_set_done(struct bundle_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        bundle_done(&set->items[i]);
    mem_free(set->items);
    bundle_set_init(set);
}

/* Order of trust domains: as bytes, a prefix first. */
static int compare_names(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.data, b.data, n) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* The first item not before `name`; *ret_same says whether it is that very name. */
static size_t position(const struct bundle_set *set, struct slice name, bool *ret_same)
{
    size_t low = 0, high = set->count;
    *ret_same = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare_names(slice_str(set->items[mid].trust_domain), name);
        *ret_same = *ret_same || order == 0;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static err_t skip_root(struct bundle *b, const struct why *why)
{
    if (b->skips == NULL)
        b->skips = mem_array(BUNDLE_SKIPS_KEPT, sizeof *b->skips);
    if (b->skips == NULL)
        return ERR_NO_MEMORY;
    if (b->skip_count < BUNDLE_SKIPS_KEPT)
        b->skips[b->skip_count] = *why;
    b->skip_count++;
    return ERR_OK;
}

/* "root 2 of 3, "CN=old root": RSA key of 1024 bits; ..." */
static void name_root(struct slice der, size_t at, size_t count, struct why *why)
{
    struct slice subject = x509_subject_of(der);
    char name[128];
    if (subject.len > 0)
        why_add(why, why->err, "\"%s\"", x509_name_text(subject, name, sizeof name));
    why_add(why, why->err, "root %zu of %zu", at + 1, count);
}

static err_t take_root(struct bundle *b, struct slice der, size_t at, size_t count)
{
    struct why why = {0};
    err_t err = x509_parse_anchor(der, &b->roots[b->root_count], &why);
    if (err == ERR_CERT_MALFORMED || err == ERR_CERT_ALGORITHM) {
        name_root(der, at, count, &why);
        return skip_root(b, &why);
    }
    if (err == ERR_OK)
        err = x509_key_id(b->roots[b->root_count].spki, b->key_ids[b->root_count]);
    b->root_count += err == ERR_OK ? 1 : 0;
    return err;
}

static err_t parse_roots(struct bundle *b, struct why *why)
{
    struct slice ders[BUNDLE_ROOTS_MAX];
    size_t count = 0;
    err_t err = x509_split(slice_of(b->der, b->der_len), ders, BUNDLE_ROOTS_MAX, &count, why);
    if (err == ERR_CHAIN_TOO_LONG)
        return why_set(why, ERR_LIMIT, "more than %d roots", BUNDLE_ROOTS_MAX);
    if (err != ERR_OK)
        return err;
    b->roots = mem_array(count, sizeof *b->roots);
    b->key_ids = mem_array(count, sizeof *b->key_ids);
    if (b->roots == NULL || b->key_ids == NULL)
        return why_set(why, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count; i++) {
        err = take_root(b, ders[i], i, count);
        if (err != ERR_OK)
            return why_set(why, err, "%s",
                           err == ERR_NO_MEMORY ? "out of memory" : "key of a root");
    }
    return ERR_OK;
}

static err_t nothing_left(const struct bundle *b, struct why *why)
{
    return why_set(why, b->skips[0].err, "%s%s", why_text(&b->skips[0]),
                   b->skip_count > 1 ? ", and no other root of it can be used" : "");
}

static err_t bundle_make(struct bundle *b, struct slice trust_domain, struct slice ders,
                         bool may_be_useless, struct why *why)
{
    *b = (struct bundle){.der_len = ders.len};
    b->trust_domain = mem_alloc(trust_domain.len + 1);
    b->der = mem_dup(ders.data, ders.len);
    err_t err = ERR_OK;
    if (b->trust_domain == NULL || b->der == NULL) {
        err = why_set(why, ERR_NO_MEMORY, "out of memory");
    } else {
        if (trust_domain.len > 0)
            memcpy(b->trust_domain, trust_domain.data, trust_domain.len);
        err = parse_roots(b, why);
    }
    if (err == ERR_OK && b->root_count == 0 && b->skip_count > 0 && !may_be_useless)
        err = nothing_left(b, why);
    if (err != ERR_OK)
        bundle_done(b);
    return err;
}

static err_t insert(struct bundle_set *set, size_t at, const struct bundle *b)
{
    if (set->count == BUNDLE_DOMAINS_MAX)
        return ERR_LIMIT;
    struct bundle *items = mem_resize(set->items, (set->count + 1) * sizeof *items);
    if (items == NULL)
        return ERR_NO_MEMORY;
    memmove(items + at + 1, items + at, (set->count - at) * sizeof *items);
    items[at] = *b;
    set->items = items;
    set->count++;
    return ERR_OK;
}

static err_t put(struct bundle_set *set, struct slice trust_domain, struct slice ders,
                 bool may_be_useless, struct why *why)
{
    struct bundle made;
    err_t err = trust_domain_check(trust_domain, why);
    if (err != ERR_OK)
        return why_add(why, err, "bundle");
    err = bundle_make(&made, trust_domain, ders, may_be_useless, why);
    if (err != ERR_OK)
        return why_add(why, err, "bundle of trust domain \"%.*s\"", SLICE_ARG(trust_domain));
    bool same;
    size_t at = position(set, trust_domain, &same);
    if (same) {
        bundle_done(&set->items[at]);
        set->items[at] = made;
        return ERR_OK;
    }
    err = insert(set, at, &made);
    if (err != ERR_OK) {
        bundle_done(&made);
        return why_set(why, err, "bundle of trust domain \"%.*s\": %s", SLICE_ARG(trust_domain),
                       err == ERR_LIMIT ? "more than 256 trust domains" : "out of memory");
    }
    return ERR_OK;
}

err_t bundle_set_put(struct bundle_set *set, struct slice trust_domain, struct slice ders,
                     struct why *why)
{
    return put(set, trust_domain, ders, false, why);
}

err_t bundle_set_put_foreign(struct bundle_set *set, struct slice trust_domain, struct slice ders,
                             struct why *why)
{
    return put(set, trust_domain, ders, true, why);
}

err_t bundle_set_copy(const struct bundle_set *from, struct bundle_set *ret_copy)
{
    struct bundle_set copy = {.items = mem_array(from->count, sizeof *copy.items)};
    err_t err = copy.items == NULL ? ERR_NO_MEMORY : ERR_OK;
    for (size_t i = 0; i < from->count && err == ERR_OK; i++) {
        const struct bundle *b = &from->items[i];
        err = bundle_make(&copy.items[i], slice_str(b->trust_domain), slice_of(b->der, b->der_len),
                          true, NULL);
        copy.count += err == ERR_OK ? 1 : 0;
    }
    if (err == ERR_OK)
        *ret_copy = copy;
    else
        bundle_set_done(&copy);
    return err;
}

const struct bundle *bundle_set_find(const struct bundle_set *set, struct slice trust_domain)
{
    bool same;
    size_t at = position(set, trust_domain, &same);
    return same ? &set->items[at] : NULL;
}

bool bundle_has_key(const struct bundle *b, const uint8_t key_id[static X509_KEY_ID_LEN])
{
    size_t i = 0;
    while (i < b->root_count &&
           !slice_eq(slice_of(b->key_ids[i], X509_KEY_ID_LEN), slice_of(key_id, X509_KEY_ID_LEN)))
        i++;
    return i < b->root_count;
}

bool bundle_set_eq(const struct bundle_set *a, const struct bundle_set *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct bundle *x = &a->items[i], *y = &b->items[i];
        if (!slice_eq(slice_str(x->trust_domain), slice_str(y->trust_domain)) ||
            !slice_eq(slice_of(x->der, x->der_len), slice_of(y->der, y->der_len)))
            return false;
    }
    return true;
}
