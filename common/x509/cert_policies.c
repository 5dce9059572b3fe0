#include "common/x509/cert_policies.h"

#include "common/encode/der.h"
#include "common/encode/oid.h"

#define OID_ANY_POLICY OID_CE "\x20\x00"

/* The names that the next certificate may continue with. */
struct policies {
    struct slice name[POLICIES_MAX];
    size_t count;
};

struct walk {
    struct policies valid;                        /* of the last certificate; empty: no tree */
    size_t explicit_in, no_mapping_in, no_any_in; /* certificates until each counts */
    struct why *why;
};

static bool has(const struct policies *p, struct slice name)
{
    size_t i = 0;
    while (i < p->count && !slice_eq(p->name[i], name))
        i++;
    return i < p->count;
}

static bool has_any(const struct policies *p)
{
    return has(p, OID(OID_ANY_POLICY));
}

static err_t add(struct walk *w, struct policies *p, struct slice name)
{
    if (has(p, name))
        return ERR_OK;
    if (p->count == POLICIES_MAX)
        return why_set(w->why, ERR_CERT_MALFORMED, "more than %d policies", POLICIES_MAX);
    p->name[p->count++] = name;
    return ERR_OK;
}

static err_t broken(struct walk *w, const char *what)
{
    return why_set(w->why, ERR_CERT_MALFORMED, "%s is broken", what);
}

/* The names in certificatePolicies; qualifiers say nothing to us. */
static err_t read_policies(struct walk *w, const struct x509 *c, struct policies *ret)
{
    struct der_reader whole = der_reader_of(c->policies);
    struct der_reader list = der_enter(&whole, DER_SEQUENCE);
    err_t err = ERR_OK;
    ret->count = 0;
    while (err == ERR_OK && !list.bad && list.rest.len > 0) {
        struct der_reader info = der_enter(&list, DER_SEQUENCE);
        struct slice name = der_get(&info, DER_OID), qualifiers;
        der_get_optional(&info, DER_SEQUENCE, &qualifiers);
        err = der_at_end(&info) ? add(w, ret, name) : broken(w, "certificatePolicies");
    }
    return err != ERR_OK || (der_at_end(&list) && der_at_end(&whole))
               ? err
               : broken(w, "certificatePolicies");
}

/* 6.1.3 (d) to (f). */
static err_t narrow(struct walk *w, const struct x509 *c, bool may_be_any)
{
    struct policies said, next = {.count = 0};
    err_t err = read_policies(w, c, &said);
    for (size_t i = 0; err == ERR_OK && i < said.count; i++) {
        bool any = slice_eq(said.name[i], OID(OID_ANY_POLICY));
        if (!any && (has(&w->valid, said.name[i]) || has_any(&w->valid)))
            err = add(w, &next, said.name[i]);
    }
    if (err == ERR_OK && has_any(&said) && may_be_any)
        for (size_t i = 0; err == ERR_OK && i < w->valid.count; i++)
            err = add(w, &next, w->valid.name[i]);
    w->valid = next;
    return err;
}

static err_t map_one(struct walk *w, const struct policies *before, struct policies *after,
                     struct slice from, struct slice to)
{
    if (slice_eq(from, OID(OID_ANY_POLICY)) || slice_eq(to, OID(OID_ANY_POLICY)))
        return why_set(w->why, ERR_CERT_MALFORMED, "policyMappings maps any policy");
    bool held = has(before, from) || has_any(before);
    return held && w->no_mapping_in > 0 ? add(w, after, to) : ERR_OK;
}

/* 6.1.4 (a), (b): what was mapped goes on under its new names, or not at all. */
static err_t map(struct walk *w, const struct x509 *c)
{
    struct policies mapped = {.count = 0}, from_names = {.count = 0};
    struct der_reader whole = der_reader_of(c->policy_mappings);
    struct der_reader list = der_enter(&whole, DER_SEQUENCE);
    err_t err = ERR_OK;
    while (err == ERR_OK && !list.bad && list.rest.len > 0) {
        struct der_reader pair = der_enter(&list, DER_SEQUENCE);
        struct slice from = der_get(&pair, DER_OID), to = der_get(&pair, DER_OID);
        err = der_at_end(&pair) ? map_one(w, &w->valid, &mapped, from, to)
                                : broken(w, "policyMappings");
        if (err == ERR_OK)
            err = add(w, &from_names, from);
    }
    if (err == ERR_OK && (!der_at_end(&list) || !der_at_end(&whole)))
        err = broken(w, "policyMappings");
    for (size_t i = 0; err == ERR_OK && i < w->valid.count; i++)
        if (!has(&from_names, w->valid.name[i]))
            err = add(w, &mapped, w->valid.name[i]);
    w->valid = mapped;
    return err;
}

static void count_down(size_t *n)
{
    *n -= *n > 0 ? 1 : 0;
}

static void lower(size_t *n, unsigned said)
{
    if (said > 0 && said - 1 < *n)
        *n = said - 1;
}

/* 6.1.4 (h) to (j). */
static void prepare(struct walk *w, const struct x509 *c, bool self_issued)
{
    if (!self_issued) {
        count_down(&w->explicit_in);
        count_down(&w->no_mapping_in);
        count_down(&w->no_any_in);
    }
    lower(&w->explicit_in, c->explicit_policy);
    lower(&w->no_mapping_in, c->inhibit_mapping);
    lower(&w->no_any_in, c->inhibit_any_policy);
}

static err_t visit(struct walk *w, const struct x509 *c, bool last)
{
    bool self_issued = slice_eq(c->subject, c->issuer);
    err_t err = ERR_OK;
    if (c->policies.len > 0)
        err = narrow(w, c, w->no_any_in > 0 || (self_issued && !last));
    else
        w->valid.count = 0;
    bool wanted = w->explicit_in == 0 || (last && (w->explicit_in == 1 || c->explicit_policy == 1));
    if (err == ERR_OK && wanted && w->valid.count == 0)
        return why_set(
            w->why, ERR_CERT_UNKNOWN_CRITICAL,
            "policyConstraints of an authority wants a certificate policy, and none holds "
            "for the whole path");
    if (err == ERR_OK && !last && c->policy_mappings.len > 0)
        err = map(w, c);
    prepare(w, c, self_issued);
    return err;
}

err_t cert_policies_check(const struct x509 *const *path, size_t count, struct why *why)
{
    bool wanted = false;
    for (size_t i = 0; i < count; i++)
        wanted = wanted || path[i]->explicit_policy > 0;
    if (!wanted)
        return ERR_OK;
    struct walk w = {
        .explicit_in = count + 1, .no_mapping_in = count + 1, .no_any_in = count + 1, .why = why};
    w.valid.name[w.valid.count++] = OID(OID_ANY_POLICY);
    err_t err = ERR_OK;
    for (size_t i = count; err == ERR_OK && i-- > 0;)
        err = visit(&w, path[i], i == 0);
    return err;
}
