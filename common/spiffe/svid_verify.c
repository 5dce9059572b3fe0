#include "common/spiffe/svid_verify.h"

#include "common/base/clock.h"
#include "common/x509/cert_policies.h"
#include "common/x509/name_constraints.h"
#include "common/x509/sigverify.h"

#define PATH_MAX_CERTS (SVID_CHAIN_MAX + 1) /* the peer's and an anchor */
/* What a hostile chain may make us do: each step is one candidate issuer. */
#define SIGNATURE_CHECKS_MAX 16u
#define STEPS_MAX 128u

/* The search for a path from the leaf up to an anchor of its own trust domain. */
struct search {
    const struct svid_verify_options *opt;
    const struct bundle *bundle;
    const struct x509 *certs; /* [0] is the leaf */
    size_t count;
    const struct x509 *path[PATH_MAX_CERTS];
    size_t len;    /* of the path that verified, its anchor included */
    unsigned used; /* bit i: certs[i] is in the path */
    unsigned steps_left, checks_left, names_left;
    err_t err;                 /* the first failure of a whole path, else of an unfinished one */
    const struct x509 *orphan; /* whose issuer was not found, or did not sign it */
    bool whole_path_failed, stop;
    struct why why;
};

/* ---- the leaf alone ---- */

#define DESCRIBE_LEN 320

static err_t about(struct why *why, err_t err, const struct x509 *c, const char *who)
{
    char text[DESCRIBE_LEN];
    if (why == NULL)
        return err;
    return why_add(why, err, "%s %s", who, x509_describe(c, text, sizeof text));
}

static err_t unknown_critical(const struct x509 *c, struct why *why)
{
    char oid[96];
    return why_set(why, ERR_CERT_UNKNOWN_CRITICAL, "unknown critical extension %s",
                   x509_oid_text(c->unknown_critical, oid, sizeof oid));
}

static err_t check_leaf_usage(const struct x509 *leaf, struct why *why)
{
    if (leaf->is_ca) /* X5-12, X5-17 */
        return why_set(why, ERR_LEAF_IS_CA, "basicConstraints says cA=TRUE");
    if ((leaf->key_usage & (X509_KU_CERT_SIGN | X509_KU_CRL_SIGN)) != 0) /* X5-12 */
        return why_set(why, ERR_CERT_KEY_USAGE,
                       "keyUsage has keyCertSign or cRLSign, which a leaf "
                       "must not have");
    return ERR_OK;
}

static err_t check_leaf_id(const struct x509 *leaf, struct spiffeid *ret_id, struct why *why)
{
    if (leaf->uri_count == 0) /* X5-13 */
        return why_set(why, ERR_LEAF_NO_URI, "expected one URI name, found none");
    if (leaf->uri_count > 1)
        return why_set(why, ERR_LEAF_URI_COUNT, "expected one URI name, found %zu",
                       leaf->uri_count);
    err_t err = spiffeid_parse(leaf->uri[0], ret_id, why);
    if (err != ERR_OK) /* X5-14 */
        return why_add(why, ERR_LEAF_ID_INVALID, "not a SPIFFE ID");
    return ERR_OK;
}

static err_t check_leaf(const struct x509 *leaf, struct spiffeid *id, bool *ret_id_parsed,
                        struct why *why)
{
    err_t err = check_leaf_usage(leaf, why);
    if (err != ERR_OK)
        return err;
    err = check_leaf_id(leaf, id, why);
    if (err != ERR_OK)
        return err;
    *ret_id_parsed = true;
    if (id->path.len == 0) /* X5-14 */
        return why_set(why, ERR_LEAF_ID_ROOT_PATH, "the ID names a trust domain, not a workload");
    if ((leaf->key_usage & X509_KU_DIGITAL_SIGNATURE) == 0) /* X5-18 */
        return why_set(why, ERR_CERT_KEY_USAGE, "keyUsage %s, expected digitalSignature",
                       leaf->has_key_usage ? "lacks digitalSignature" : "is missing");
    if (leaf->has_unknown_critical)
        return unknown_critical(leaf, why);
    return x509_check_public_key(leaf->spki, why);
}

err_t svid_check_leaf(const struct x509 *leaf, struct spiffeid *ret_id, struct why *why)
{
    bool parsed = false;
    struct spiffeid id;
    err_t err = check_leaf(leaf, &id, &parsed, why);
    if (err != ERR_OK)
        return about(why, err, leaf, "certificate");
    *ret_id = id;
    return ERR_OK;
}

/* ---- one whole path ---- */

static const char *who(size_t at, size_t len)
{
    return at == 0 ? "certificate" : at + 1 == len ? "trusted root" : "intermediate";
}

static bool self_issued(const struct x509 *c)
{
    return slice_eq(c->subject, c->issuer);
}

static unsigned role_bit(enum svid_role role)
{
    return role == SVID_ROLE_CLIENT ? X509_EKU_CLIENT_AUTH : X509_EKU_SERVER_AUTH;
}

static err_t check_ext_key_usage(const struct x509 *c, enum svid_role role, struct why *why)
{
    if (!c->has_ext_key_usage || (c->ext_key_usage & (role_bit(role) | X509_EKU_ANY)) != 0)
        return ERR_OK;
    return why_set(why, ERR_CERT_EXT_KEY_USAGE, "extKeyUsage lacks %s, which a TLS %s needs",
                   role == SVID_ROLE_CLIENT ? "clientAuth" : "serverAuth",
                   role == SVID_ROLE_CLIENT ? "client" : "server");
}

/* RFC 5280 6.1.4 (k), (n), (o). */
static err_t check_issuer(const struct x509 *c, enum svid_role role, struct why *why)
{
    if (!c->is_ca)
        return why_set(why, ERR_CHAIN_ISSUER_NOT_CA,
                       "it issued a certificate, but basicConstraints does not say cA=TRUE");
    if (c->has_key_usage && (c->key_usage & X509_KU_CERT_SIGN) == 0)
        return why_set(why, ERR_CHAIN_ISSUER_NOT_CA,
                       "it issued a certificate, but keyUsage lacks keyCertSign");
    if (c->has_unknown_critical)
        return unknown_critical(c, why);
    return check_ext_key_usage(c, role, why);
}

/* RFC 5280 4.2.1.9: authorities between `at` and the leaf; self-issued ones do not count. */
static err_t check_path_len(const struct search *s, size_t at, struct why *why)
{
    const struct x509 *c = s->path[at];
    unsigned below = 0;
    for (size_t i = 1; i < at; i++)
        below += self_issued(s->path[i]) ? 0 : 1;
    if (!c->has_path_len || below <= c->path_len)
        return ERR_OK;
    return why_set(why, ERR_CHAIN_PATH_LENGTH,
                   "pathLenConstraint allows %u authorities below it, found %u", c->path_len,
                   below);
}

/* RFC 5280 6.1.3 (b), (c). */
static err_t check_names(struct search *s, size_t at, struct why *why)
{
    const struct x509 *c = s->path[at];
    for (size_t i = 0; c->has_name_constraints && i < at; i++) {
        if (i > 0 && self_issued(s->path[i]))
            continue;
        err_t err = name_constraints_check(c, s->path[i], &s->names_left, why);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static err_t check_times(const struct x509 *c, int64_t now, struct why *why)
{
    char limit[CLOCK_TEXT_LEN], clock[CLOCK_TEXT_LEN];
    if (now > c->not_after)
        return why_set(why, ERR_CERT_EXPIRED, "valid until %s, our clock says %s",
                       clock_format_s(c->not_after, limit), clock_format_s(now, clock));
    if (now < c->not_before)
        return why_set(why, ERR_CERT_NOT_YET_VALID, "valid from %s, our clock says %s",
                       clock_format_s(c->not_before, limit), clock_format_s(now, clock));
    return ERR_OK;
}

static err_t check_lifetime(const struct x509 *leaf, struct slice trust_domain,
                            const struct svid_verify_options *opt, struct why *why)
{
    int64_t life = leaf->not_after - leaf->not_before, limit = opt->max_lifetime_s;
    bool bound = opt->lifetime_domain.len == 0 || slice_eq(opt->lifetime_domain, trust_domain);
    if (limit == 0 || !bound || life <= limit)
        return ERR_OK;
    return why_set(why, ERR_LIFETIME_TOO_LONG, "it lives %lld s, at most %lld s are accepted",
                   (long long)life, (long long)limit);
}

err_t svid_check_lifetime(const struct x509 *leaf, struct slice trust_domain,
                          const struct svid_verify_options *opt, struct why *why)
{
    err_t err = check_lifetime(leaf, trust_domain, opt, why);
    return err == ERR_OK ? ERR_OK : about(why, err, leaf, "certificate");
}

static err_t check_signatures(struct search *s, size_t len, struct why *why)
{
    for (size_t i = len - 1; i-- > 0;) {
        if (s->checks_left == 0) {
            s->stop = true;
            return why_set(why, ERR_CHAIN_INCOMPLETE, "gave up after %u signature checks",
                           SIGNATURE_CHECKS_MAX);
        }
        s->checks_left--;
        err_t err = x509_check_signature(s->path[i], s->path[i + 1]->spki, why);
        s->stop = s->stop || err == ERR_NO_MEMORY;
        if (err != ERR_OK) {
            s->orphan = s->whole_path_failed ? s->orphan : s->path[i];
            char name[128];
            err = why_add(why, err, "signed in the name of \"%s\"",
                          x509_name_text(s->path[i]->issuer, name, sizeof name));
            return about(why, err, s->path[i], who(i, len));
        }
    }
    return ERR_OK;
}

/* The order gives each failure its one reason; signatures come last because they cost most, and
 * from the top, so that no key is used before it is vouched for. */
static err_t check_path(struct search *s, size_t len, struct why *why)
{
    for (size_t i = 1; i < len; i++) {
        const struct x509 *c = s->path[i];
        bool anchor = i + 1 == len; /* trusted as it is: name, key, constraints, times */
        err_t err = anchor ? ERR_OK : check_issuer(c, s->opt->peer_role, why);
        if (err == ERR_OK && !anchor)
            err = check_path_len(s, i, why);
        if (err == ERR_OK)
            err = check_names(s, i, why);
        if (err != ERR_OK)
            return about(why, err, c, who(i, len));
    }
    for (size_t i = 0; i < len; i++) {
        err_t err = check_times(s->path[i], s->opt->now, why);
        if (err == ERR_OK && i == 0)
            err = check_lifetime(s->path[i], slice_str(s->bundle->trust_domain), s->opt, why);
        if (err != ERR_OK)
            return about(why, err, s->path[i], who(i, len));
    }
    err_t err = cert_policies_check(s->path, len - 1, why);
    if (err != ERR_OK)
        return about(why, err, s->path[0], who(0, len));
    return check_signatures(s, len, why);
}

/* ---- the search ---- */

/* Key identifiers are a hint which issuer to try first, no proof (RFC 5280 4.2.1.1). */
static bool key_ids_agree(const struct x509 *child, const struct x509 *issuer)
{
    return child->authority_key_id.len == 0 || issuer->subject_key_id.len == 0 ||
           slice_eq(child->authority_key_id, issuer->subject_key_id);
}

/* Is it a candidate, in this pass? Pass 0: key identifiers agree, pass 1: they do not. */
static bool candidate(struct search *s, const struct x509 *child, const struct x509 *issuer,
                      int pass)
{
    if (s->stop || key_ids_agree(child, issuer) != (pass == 0) ||
        !x509_names_match(child->issuer, issuer->subject))
        return false;
    if (s->steps_left == 0) {
        s->stop = true;
        return false;
    }
    s->steps_left--;
    return true;
}

static bool try_path(struct search *s, size_t len)
{
    err_t err = check_path(s, len, s->whole_path_failed ? NULL : &s->why);
    if (err == ERR_OK) {
        s->len = len;
        return true;
    }
    if (err == ERR_NO_MEMORY) /* not the peer's fault: nothing was found out about it */
        s->err = why_set(&s->why, err, "out of memory while checking a signature");
    else if (!s->whole_path_failed)
        s->err = err;
    s->whole_path_failed = true;
    return false;
}

static void dead_end(struct search *s, const struct x509 *child)
{
    if (s->err != ERR_OK)
        return;
    char name[160];
    s->orphan = child;
    s->err = why_set(&s->why, ERR_CHAIN_INCOMPLETE,
                     "no issuer \"%s\" among the %zu certificates shown and the %zu roots of trust "
                     "domain \"%s\"",
                     x509_name_text(child->issuer, name, sizeof name), s->count,
                     s->bundle->root_count, s->bundle->trust_domain);
}

/* path[at] is the last so far. Depth is bounded by SVID_CHAIN_MAX, width by the budgets. */
static bool extend(struct search *s, size_t at)
{
    const struct x509 *child = s->path[at];
    bool any = false;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < s->bundle->root_count; i++) {
            s->path[at + 1] = &s->bundle->roots[i];
            if (!candidate(s, child, s->path[at + 1], pass))
                continue;
            any = true;
            if (try_path(s, at + 2))
                return true;
        }
        for (size_t i = 1; i < s->count && at + 2 < PATH_MAX_CERTS; i++) {
            s->path[at + 1] = &s->certs[i];
            if ((s->used & 1u << i) != 0 || !candidate(s, child, s->path[at + 1], pass))
                continue;
            any = true;
            s->used |= 1u << i;
            if (extend(s, at + 1))
                return true;
            s->used &= ~(1u << i);
        }
    }
    if (!any)
        dead_end(s, child);
    return false;
}

/* ---- who else signed it? ---- */

static const char *foreign_signer(struct search *s, const struct x509 *child)
{
    const struct bundle_set *set = s->opt->bundles;
    for (size_t i = 0; i < set->count; i++) {
        const struct bundle *b = &set->items[i];
        for (size_t j = 0; b != s->bundle && j < b->root_count && s->checks_left > 0; j++) {
            const struct x509 *root = &b->roots[j];
            if (!x509_names_match(root->subject, child->issuer) || !key_ids_agree(child, root))
                continue;
            s->checks_left--;
            if (x509_check_signature(child, root->spki, NULL) == ERR_OK)
                return b->trust_domain;
        }
    }
    return NULL;
}

/* For the reason only, after the refusal: is an authority of another trust domain behind it? */
static err_t explain(struct search *s, struct why *why)
{
    bool may = s->err == ERR_CHAIN_INCOMPLETE || s->err == ERR_CERT_SIGNATURE;
    const char *domain = may && s->orphan != NULL ? foreign_signer(s, s->orphan) : NULL;
    if (domain != NULL)
        return why_set(why, ERR_CHAIN_FOREIGN_ROOT,
                       "an authority of trust domain \"%s\" signed it, which has no say in trust "
                       "domain \"%s\"",
                       domain, s->bundle->trust_domain);
    if (why != NULL)
        *why = s->why;
    return s->err;
}

static err_t verify_path(struct search *s, struct why *why)
{
    s->path[0] = &s->certs[0];
    s->steps_left = STEPS_MAX;
    s->checks_left = SIGNATURE_CHECKS_MAX;
    s->names_left = NAME_COMPARISONS_MAX;
    if (extend(s, 0))
        return ERR_OK;
    if (s->err == ERR_OK)
        s->err =
            why_set(&s->why, ERR_CHAIN_INCOMPLETE, "gave up after %u candidate issuers", STEPS_MAX);
    err_t err = explain(s, why);
    return s->whole_path_failed && err == s->err ? err
                                                 : about(why, err, &s->certs[0], "certificate");
}

/* Each certificate with the key that it was really verified with: names and key identifiers are
 * what a peer says, this is what it proved. */
static err_t report_path(const struct search *s, struct svid_peer *peer, struct why *why)
{
    size_t links = s->len - 1;
    const struct x509 *anchor = s->path[links];
    for (size_t i = 0; i < links; i++) {
        struct svid_link *link = &peer->path[i];
        link->serial = s->path[i]->serial;
        link->at = (uint8_t)(s->path[i] - s->certs);
        err_t err = x509_key_id(s->path[i + 1]->spki, link->issuer);
        if (err != ERR_OK)
            return why_set(why, err, "key of the issuer of certificate %zu of the path", i + 1);
    }
    memcpy(peer->anchor, s->bundle->key_ids[anchor - s->bundle->roots], sizeof peer->anchor);
    peer->path_len = links;
    return ERR_OK;
}

static err_t parse_chain(const struct slice *chain, size_t count, struct x509 *certs,
                         struct svid_peer *peer, struct why *why)
{
    for (size_t i = 0; i < count; i++) {
        err_t err = x509_parse(chain[i], &certs[i], why);
        if (err != ERR_OK)
            return why_add(why, err, "certificate %zu of %zu shown", i + 1, count);
        if (i == 0) {
            peer->leaf = certs[0];
            peer->leaf_parsed = true;
        }
    }
    return ERR_OK;
}

err_t svid_verify(const struct slice *chain, size_t count, const struct svid_verify_options *opt,
                  struct svid_peer *ret_peer, struct why *why)
{
    struct x509 certs[SVID_CHAIN_MAX];
    struct search s = {.opt = opt, .certs = certs, .count = count};
    ret_peer->leaf_parsed = false;
    ret_peer->id_parsed = false;
    ret_peer->path_len = 0;
    if (count == 0)
        return why_set(why, ERR_PEER_NO_CERT, "the peer showed no certificate");
    if (count > SVID_CHAIN_MAX)
        return why_set(why, ERR_CHAIN_TOO_LONG,
                       "the peer showed %zu certificates, at most %d are "
                       "looked at",
                       count, SVID_CHAIN_MAX);
    err_t err = parse_chain(chain, count, certs, ret_peer, why);
    if (err != ERR_OK)
        return err;
    err = check_leaf(&certs[0], &ret_peer->id, &ret_peer->id_parsed, why);
    if (err == ERR_OK)
        err = check_ext_key_usage(&certs[0], opt->peer_role, why);
    if (err != ERR_OK)
        return about(why, err, &certs[0], "certificate");
    struct slice domain = ret_peer->id.trust_domain; /* X5-15 */
    s.bundle = bundle_set_find(opt->bundles, domain);
    if (s.bundle == NULL || s.bundle->root_count == 0) { /* X5-16 */
        err = why_set(why, ERR_TRUST_DOMAIN_UNKNOWN, "%s for trust domain \"%.*s\"",
                      s.bundle == NULL ? "there is no bundle" : "the bundle is empty",
                      SLICE_ARG(domain));
        return about(why, err, &certs[0], "certificate");
    }
    err = verify_path(&s, why);
    return err == ERR_OK ? report_path(&s, ret_peer, why) : err;
}
