#include "common/x509/x509.h"

#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/x509/sigverify.h"

/* More extensions than any certificate needs; bounds the search for duplicates. */
#define EXTENSIONS_MAX 64
#define SERIAL_BYTES_MAX 20 /* RFC 5280 4.1.2.2 */
#define PATH_LEN_MANY 1000u /* more authorities than any path has */

static err_t malformed(struct why *why, const char *what)
{
    return why_set(why, ERR_CERT_MALFORMED, "certificate: %s", what);
}

/* Name ::= SEQUENCE OF SET SIZE (1..MAX) OF SEQUENCE { type OID, value ANY } */
static bool name_is_well_formed(struct slice name)
{
    struct der_reader whole = der_reader_of(name);
    struct der_reader rdns = der_enter(&whole, DER_SEQUENCE);
    while (!rdns.bad && rdns.rest.len > 0) {
        struct der_reader set = der_enter(&rdns, DER_SET);
        do {
            struct der_reader attribute = der_enter(&set, DER_SEQUENCE);
            bool oid = der_get(&attribute, DER_OID).len > 0;
            der_get(&attribute, der_peek(&attribute));
            if (!oid || !der_at_end(&attribute))
                return false;
        } while (set.rest.len > 0);
        if (set.bad)
            return false;
    }
    return der_at_end(&rdns) && der_at_end(&whole);
}

static err_t parse_validity(struct der_reader *tbs, struct x509 *c, struct why *why)
{
    struct der_reader validity = der_enter(tbs, DER_SEQUENCE);
    c->not_before = der_get_time(&validity);
    c->not_after = der_get_time(&validity);
    if (!der_at_end(&validity))
        return malformed(why, "validity is not two UTCTime or GeneralizedTime values");
    return ERR_OK;
}

static err_t parse_spki(struct der_reader *tbs, struct x509 *c, struct why *why)
{
    c->spki = der_get_raw(tbs, DER_SEQUENCE);
    struct der_reader whole = der_reader_of(c->spki);
    struct der_reader spki = der_enter(&whole, DER_SEQUENCE);
    der_get(&spki, DER_SEQUENCE);
    der_get_octet_bits(&spki);
    return der_at_end(&spki) ? ERR_OK : malformed(why, "subjectPublicKeyInfo is broken");
}

static err_t parse_basic_constraints(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    /* An explicit FALSE is not DER, yet deployed authorities write it and it misleads nobody. */
    if (der_peek(&seq) == DER_BOOLEAN)
        c->is_ca = der_get_bool(&seq);
    if (der_peek(&seq) == DER_INTEGER) {
        struct slice n = der_get_integer(&seq);
        c->path_len = n.len == 0 ? 0 : n.len == 1 ? n.data[0] : PATH_LEN_MANY;
        c->has_path_len = c->is_ca; /* beside cA=FALSE it says nothing (RFC 5280 4.2.1.9) */
    }
    if (!der_at_end(&seq) || !der_at_end(&r))
        return malformed(why, "basicConstraints is broken");
    c->has_basic_constraints = true;
    return ERR_OK;
}

static err_t parse_key_usage(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    struct slice bits = der_get(&r, DER_BIT_STRING);
    unsigned unused = bits.len > 0 ? bits.data[0] : 8;
    if (!der_at_end(&r) || unused > 7 || (bits.len == 1 && unused != 0) ||
        (bits.len > 1 && (bits.data[bits.len - 1] & ((1u << unused) - 1)) != 0))
        return malformed(why, "keyUsage is broken");
    for (size_t bit = 0; bit < 9 && 1 + bit / 8 < bits.len; bit++)
        if ((bits.data[1 + bit / 8] & (0x80u >> bit % 8)) != 0)
            c->key_usage |= 1u << bit;
    c->has_key_usage = true;
    return ERR_OK;
}

static err_t parse_ext_key_usage(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    do {
        struct slice oid = der_get(&seq, DER_OID);
        if (OID_IS(oid, OID_SERVER_AUTH))
            c->ext_key_usage |= X509_EKU_SERVER_AUTH;
        else if (OID_IS(oid, OID_CLIENT_AUTH))
            c->ext_key_usage |= X509_EKU_CLIENT_AUTH;
        else if (OID_IS(oid, OID_ANY_EXT_KEY_USAGE))
            c->ext_key_usage |= X509_EKU_ANY;
        else
            c->ext_key_usage |= X509_EKU_OTHER;
    } while (!seq.bad && seq.rest.len > 0);
    if (!der_at_end(&seq) || !der_at_end(&r))
        return malformed(why, "extKeyUsage is broken");
    c->has_ext_key_usage = true;
    return ERR_OK;
}

/* The tags GeneralName has: [0] to [8], constructed for the structured kinds. */
static bool general_name_tag(unsigned tag)
{
    static const uint8_t tags[9] = {0xa0, 0x81, 0x82, 0xa3, 0xa4, 0xa5, 0x86, 0x87, 0x88};
    return (tag & 0x1fu) < sizeof tags && tags[tag & 0x1fu] == tag;
}

static err_t parse_san(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    c->san = der_get(&r, DER_SEQUENCE);
    struct der_reader names = der_reader_of(c->san);
    do {
        unsigned tag = der_peek(&names);
        struct slice name = der_get(&names, tag);
        bool ip = tag == DER_CONTEXT(7);
        if (!general_name_tag(tag) || (ip && name.len != 4 && name.len != 16))
            return malformed(why, "subjectAltName is broken");
        if (tag != DER_CONTEXT(6))
            continue;
        if (c->uri_count < X509_URI_MAX)
            c->uri[c->uri_count] = name;
        c->uri_count++;
    } while (!names.bad && names.rest.len > 0);
    if (!der_at_end(&names) || !der_at_end(&r))
        return malformed(why, "subjectAltName is broken");
    c->has_san = true;
    return ERR_OK;
}

static err_t parse_authority_key_id(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    struct slice skip;
    der_get_optional(&seq, DER_CONTEXT(0), &c->authority_key_id);
    der_get_optional(&seq, DER_CONTEXT_CONSTRUCTED(1), &skip);
    der_get_optional(&seq, DER_CONTEXT(2), &skip);
    if (!der_at_end(&seq) || !der_at_end(&r))
        return malformed(why, "authorityKeyIdentifier is broken");
    return ERR_OK;
}

static err_t parse_subject_key_id(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    c->subject_key_id = der_get(&r, DER_OCTET_STRING);
    return der_at_end(&r) ? ERR_OK : malformed(why, "subjectKeyIdentifier is broken");
}

static err_t parse_name_constraints(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    c->name_constraints = der_get(&r, DER_SEQUENCE);
    struct der_reader trees = der_reader_of(c->name_constraints);
    struct slice skip;
    der_get_optional(&trees, DER_CONTEXT_CONSTRUCTED(0), &skip);
    der_get_optional(&trees, DER_CONTEXT_CONSTRUCTED(1), &skip);
    if (!der_at_end(&r) || !der_at_end(&trees) || c->name_constraints.len == 0)
        return malformed(why, "nameConstraints is broken");
    c->has_name_constraints = true;
    return ERR_OK;
}

/* A number of certificates as struct x509 keeps it; what is more than any path has is one number.
 */
static unsigned skip_certs(struct slice n)
{
    return n.len == 0 ? 1 : n.len == 1 ? n.data[0] + 1u : PATH_LEN_MANY;
}

/* SkipCerts with an implicit tag: the content of an INTEGER. */
static bool get_skip_certs(struct der_reader *r, unsigned tag, unsigned *ret)
{
    struct slice n;
    if (!der_get_optional(r, tag, &n))
        return true;
    if (n.len == 0 || (n.data[0] & 0x80u) != 0)
        return false;
    *ret = skip_certs(n.data[0] == 0 ? slice_of(n.data + 1, n.len - 1) : n);
    return true;
}

static err_t parse_policy_constraints(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    bool sound = seq.rest.len > 0 && get_skip_certs(&seq, DER_CONTEXT(0), &c->explicit_policy) &&
                 get_skip_certs(&seq, DER_CONTEXT(1), &c->inhibit_mapping);
    return sound && der_at_end(&seq) && der_at_end(&r)
               ? ERR_OK
               : malformed(why, "policyConstraints is broken");
}

static err_t parse_inhibit_any_policy(struct x509 *c, struct slice value, struct why *why)
{
    struct der_reader r = der_reader_of(value);
    c->inhibit_any_policy = skip_certs(der_get_integer(&r));
    return der_at_end(&r) ? ERR_OK : malformed(why, "inhibitAnyPolicy is broken");
}

struct extension {
    struct slice oid, value;
    bool critical;
};

/* The id-ce extensions that are understood; false for others. */
static bool parse_ce(struct x509 *c, const struct extension *e, err_t *ret, struct why *why)
{
    switch (e->oid.data[2]) {
    case 0x0e:
        *ret = parse_subject_key_id(c, e->value, why);
        return true;
    case 0x0f:
        c->key_usage_critical = e->critical;
        *ret = parse_key_usage(c, e->value, why);
        return true;
    case 0x11:
        c->san_critical = e->critical;
        *ret = parse_san(c, e->value, why);
        return true;
    case 0x13:
        *ret = parse_basic_constraints(c, e->value, why);
        return true;
    case 0x1e:
        *ret = parse_name_constraints(c, e->value, why);
        return true;
    case 0x1f:
        c->crl_distribution_points = e->value;
        return true;
    case 0x12: /* issuerAltName: names for people */
        return true;
    case 0x20: /* any policy will do; cert_policies_check looks where one is wanted */
        c->policies = e->value;
        return true;
    case 0x21:
        c->policy_mappings = e->value;
        return true;
    case 0x24:
        *ret = parse_policy_constraints(c, e->value, why);
        return true;
    case 0x36:
        *ret = parse_inhibit_any_policy(c, e->value, why);
        return true;
    case 0x23:
        *ret = parse_authority_key_id(c, e->value, why);
        return true;
    case 0x25:
        *ret = parse_ext_key_usage(c, e->value, why);
        return true;
    default:
        return false;
    }
}

static err_t parse_extension(struct x509 *c, const struct extension *e, struct why *why)
{
    err_t err = ERR_OK;
    bool ce = e->oid.len == 3 && memcmp(e->oid.data, OID_CE, 2) == 0;
    if (ce && parse_ce(c, e, &err, why))
        return err;
    if (OID_IS(e->oid, OID_AUTHORITY_INFO_ACCESS)) {
        c->authority_info_access = e->value;
        return ERR_OK;
    }
    if (e->critical && !c->has_unknown_critical) {
        c->has_unknown_critical = true;
        c->unknown_critical = e->oid;
    }
    return ERR_OK;
}

static err_t parse_extensions(struct x509 *c, struct slice content, struct why *why)
{
    struct der_reader whole = der_reader_of(content);
    struct der_reader list = der_enter(&whole, DER_SEQUENCE);
    struct slice seen[EXTENSIONS_MAX];
    size_t count = 0;
    do {
        struct der_reader one = der_enter(&list, DER_SEQUENCE);
        struct extension e = {.oid = der_get(&one, DER_OID)};
        if (der_peek(&one) == DER_BOOLEAN) /* explicit FALSE: as in basicConstraints */
            e.critical = der_get_bool(&one);
        e.value = der_get(&one, DER_OCTET_STRING);
        if (!der_at_end(&one) || e.oid.len == 0)
            return malformed(why, "an extension is broken");
        for (size_t i = 0; i < count; i++)
            if (slice_eq(seen[i], e.oid))
                return malformed(why, "an extension is there twice");
        if (count == EXTENSIONS_MAX)
            return why_set(why, ERR_CERT_MALFORMED,
                           "certificate: more extensions than the %d that are accepted",
                           EXTENSIONS_MAX);
        seen[count++] = e.oid;
        err_t err = parse_extension(c, &e, why);
        if (err != ERR_OK)
            return err;
    } while (list.rest.len > 0);
    return der_at_end(&list) && der_at_end(&whole) ? ERR_OK
                                                   : malformed(why, "extensions are broken");
}

/* Unique identifiers and extensions, which depend on the version (0, 1, 2 for v1, v2, v3). */
static err_t parse_tail(struct der_reader *tbs, uint64_t version, struct x509 *c, struct why *why)
{
    struct slice skip, extensions;
    bool ids = der_get_optional(tbs, DER_CONTEXT(1), &skip);
    ids = der_get_optional(tbs, DER_CONTEXT(2), &skip) || ids;
    if (ids && version == 0)
        return malformed(why, "unique identifiers in a v1 certificate");
    if (der_get_optional(tbs, DER_CONTEXT_CONSTRUCTED(3), &extensions)) {
        if (version != 2)
            return malformed(why, "extensions in a certificate that is not v3");
        err_t err = parse_extensions(c, extensions, why);
        if (err != ERR_OK)
            return err;
    }
    return der_at_end(tbs) ? ERR_OK
                           : malformed(why, "bytes after the last field of tbsCertificate");
}

static err_t parse_serial(struct der_reader *tbs, struct x509 *c, struct why *why)
{
    struct slice whole = der_get_raw(tbs, DER_INTEGER);
    struct der_reader r = der_reader_of(whole);
    c->serial = der_get_integer(&r);
    if (tbs->bad || r.bad)
        return malformed(why, "serial number is not a positive integer in DER");
    if (c->serial.len == 0) /* zero: no authority should, some do; as one byte */
        c->serial = slice_of(whole.data + whole.len - 1, 1);
    if (c->serial.len > SERIAL_BYTES_MAX)
        return why_set(why, ERR_CERT_MALFORMED,
                       "certificate: serial number of %zu bytes; at most %d are accepted",
                       c->serial.len, SERIAL_BYTES_MAX);
    return ERR_OK;
}

static err_t parse_tbs(struct der_reader *tbs, struct x509 *c, struct why *why)
{
    uint64_t version = 0;
    struct slice wrapped;
    if (der_get_optional(tbs, DER_CONTEXT_CONSTRUCTED(0), &wrapped)) {
        struct der_reader v = der_reader_of(wrapped);
        version = der_get_uint(&v);
        if (!der_at_end(&v) || version > 2)
            return malformed(why, "version is not v1, v2 or v3");
    }
    err_t err = parse_serial(tbs, c, why);
    if (err != ERR_OK)
        return err;
    if (!slice_eq(der_get_raw(tbs, DER_SEQUENCE), c->signature_algorithm))
        return malformed(why, "signature algorithm differs inside and outside");
    c->issuer = der_get_raw(tbs, DER_SEQUENCE);
    if (!name_is_well_formed(c->issuer))
        return malformed(why, "issuer name is broken");
    err = parse_validity(tbs, c, why);
    if (err != ERR_OK)
        return err;
    c->subject = der_get_raw(tbs, DER_SEQUENCE);
    if (!name_is_well_formed(c->subject))
        return malformed(why, "subject name is broken");
    err = parse_spki(tbs, c, why);
    return err == ERR_OK ? parse_tail(tbs, version, c, why) : err;
}

static const struct x509 empty_cert;

static err_t enter_certificate(struct slice der, struct der_reader *ret, struct why *why)
{
    if (der.len > X509_DER_MAX)
        return why_set(why, ERR_CERT_MALFORMED, "certificate: %zu bytes; at most %u are looked at",
                       der.len, X509_DER_MAX);
    struct der_reader whole = der_reader_of(der);
    *ret = der_enter(&whole, DER_SEQUENCE);
    return der_at_end(&whole)
               ? ERR_OK
               : malformed(why, whole.bad ? "not one DER SEQUENCE" : "bytes after its end");
}

err_t x509_parse(struct slice der, struct x509 *ret_cert, struct why *why)
{
    struct x509 c = empty_cert;
    struct der_reader outer;
    err_t err = enter_certificate(der, &outer, why);
    if (err != ERR_OK)
        return err;
    c.der = der;
    c.tbs = der_get_raw(&outer, DER_SEQUENCE);
    c.signature_algorithm = der_get_raw(&outer, DER_SEQUENCE);
    c.signature = der_get_octet_bits(&outer);
    if (!der_at_end(&outer))
        return malformed(why, "not tbsCertificate, signatureAlgorithm and signatureValue");
    struct der_reader raw = der_reader_of(c.tbs);
    struct der_reader tbs = der_enter(&raw, DER_SEQUENCE);
    err = parse_tbs(&tbs, &c, why);
    if (err == ERR_OK)
        *ret_cert = c;
    return err;
}

/* ---- trust anchors ---- */

/* Of a root's extensions its name constraints count, and must be understood; its key identifier is
 * a hint, its names are for people. What else there is says nothing (RFC 5280 6.1.1 (d)). */
static err_t parse_anchor_extension(struct x509 *c, struct der_reader *list, struct why *why)
{
    struct der_reader one = der_enter(list, DER_SEQUENCE);
    struct extension e = {.oid = der_get(&one, DER_OID)};
    if (der_peek(&one) == DER_BOOLEAN)
        der_get(&one, DER_BOOLEAN);
    e.value = der_get(&one, DER_OCTET_STRING);
    if (!der_at_end(&one) || e.oid.len == 0)
        return malformed(why, "an extension is broken");
    if (OID_IS(e.oid, OID_NAME_CONSTRAINTS))
        return c->has_name_constraints ? malformed(why, "nameConstraints is there twice")
                                       : parse_name_constraints(c, e.value, why);
    struct x509 before = *c;
    bool known = OID_IS(e.oid, OID_SUBJECT_KEY_ID) || OID_IS(e.oid, OID_SUBJECT_ALT_NAME);
    err_t err = known ? parse_extension(c, &e, NULL) : ERR_OK;
    if (err != ERR_OK)
        *c = before;
    return ERR_OK;
}

static err_t parse_anchor_tail(struct der_reader *tbs, struct x509 *c, struct why *why)
{
    struct slice skip, extensions;
    der_get_optional(tbs, DER_CONTEXT(1), &skip);
    der_get_optional(tbs, DER_CONTEXT(2), &skip);
    if (der_get_optional(tbs, DER_CONTEXT_CONSTRUCTED(3), &extensions)) {
        struct der_reader whole = der_reader_of(extensions);
        struct der_reader list = der_enter(&whole, DER_SEQUENCE);
        while (!list.bad && list.rest.len > 0) {
            err_t err = parse_anchor_extension(c, &list, why);
            if (err != ERR_OK)
                return err;
        }
        if (!der_at_end(&list) || !der_at_end(&whole))
            return malformed(why, "extensions are broken");
    }
    return der_at_end(tbs) ? ERR_OK
                           : malformed(why, "bytes after the last field of tbsCertificate");
}

err_t x509_parse_anchor(struct slice der, struct x509 *ret_cert, struct why *why)
{
    struct x509 c = empty_cert;
    struct der_reader outer;
    err_t err = enter_certificate(der, &outer, why);
    if (err != ERR_OK)
        return err;
    struct slice skip;
    c.der = der;
    c.tbs = der_get_raw(&outer, DER_SEQUENCE);
    struct der_reader raw = der_reader_of(c.tbs);
    struct der_reader tbs = der_enter(&raw, DER_SEQUENCE);
    der_get_optional(&tbs, DER_CONTEXT_CONSTRUCTED(0), &skip);
    c.serial = der_get(&tbs, DER_INTEGER);
    c.signature_algorithm = der_get_raw(&tbs, DER_SEQUENCE);
    c.issuer = der_get_raw(&tbs, DER_SEQUENCE);
    if (outer.bad || tbs.bad)
        return malformed(why, "not a tbsCertificate with serial, algorithm and issuer");
    err = parse_validity(&tbs, &c, why);
    c.subject = der_get_raw(&tbs, DER_SEQUENCE);
    if (err == ERR_OK && !name_is_well_formed(c.subject))
        err = malformed(why, "subject name is broken");
    if (err == ERR_OK)
        err = parse_spki(&tbs, &c, why);
    if (err == ERR_OK)
        err = parse_anchor_tail(&tbs, &c, why);
    if (err == ERR_OK)
        err = x509_check_public_key(c.spki, why);
    if (err == ERR_OK)
        *ret_cert = c;
    return err;
}

struct slice x509_subject_of(struct slice der)
{
    struct der_reader whole = der_reader_of(der), outer = der_enter(&whole, DER_SEQUENCE);
    struct der_reader tbs = der_enter(&outer, DER_SEQUENCE);
    struct slice skip, subject;
    der_get_optional(&tbs, DER_CONTEXT_CONSTRUCTED(0), &skip);
    der_get(&tbs, DER_INTEGER);
    for (int i = 0; i < 3; i++) /* algorithm, issuer, validity */
        der_get(&tbs, DER_SEQUENCE);
    subject = der_get_raw(&tbs, DER_SEQUENCE);
    return tbs.bad ? slice_of(NULL, 0) : subject;
}

err_t x509_split(struct slice ders, struct slice *out, size_t max, size_t *ret_count,
                 struct why *why)
{
    struct der_reader r = der_reader_of(ders);
    size_t count = 0;
    while (r.rest.len > 0) {
        struct slice one = der_get_raw(&r, DER_SEQUENCE);
        if (r.bad)
            return why_set(why, ERR_CERT_MALFORMED, "certificate %zu of the list is not DER",
                           count + 1);
        if (count == max)
            return why_set(why, ERR_CHAIN_TOO_LONG, "more than %zu certificates", max);
        out[count++] = one;
    }
    *ret_count = count;
    return ERR_OK;
}
