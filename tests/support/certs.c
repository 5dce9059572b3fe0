#include "tests/support/certs.h"

#include "common/base/mem.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/encode/pem.h"

#include <stdio.h>
#include <stdlib.h>

/* Not libcheck's asserts: benchmarks and fuzz targets use the maker too. */
static void must(err_t err, const struct why *why)
{
    if (err == ERR_OK)
        return;
    fprintf(stderr, "test certificate: %s: %s\n", err_name(err), why != NULL ? why_text(why) : "");
    abort();
}

static void put_extension(struct der_writer *w, const struct cert_extension *e)
{
    size_t seq = der_open(w, DER_SEQUENCE);
    der_put_oid(w, e->oid);
    if (e->critical)
        der_put_bool(w, true);
    der_put(w, DER_OCTET_STRING, e->value);
    der_close(w, seq);
}

/* The value of one extension, written by a der_writer of its own. */
struct value {
    struct buf buf;
    struct der_writer w;
};

static void value_open(struct value *v)
{
    buf_init(&v->buf, 1 << 20);
    der_writer_init(&v->w, &v->buf);
}

static void value_close(struct value *v, struct der_writer *w, struct slice oid, bool critical)
{
    must(der_writer_end(&v->w), NULL);
    put_extension(w, &(struct cert_extension){oid, buf_slice(&v->buf), critical});
    buf_done(&v->buf);
}

static void put_basic_constraints(struct der_writer *w, const struct cert_knobs *k)
{
    struct value v;
    value_open(&v);
    size_t seq = der_open(&v.w, DER_SEQUENCE);
    if (k->ca)
        der_put_bool(&v.w, true);
    if (k->path_len > 0)
        der_put_uint(&v.w, (uint64_t)k->path_len - 1);
    der_close(&v.w, seq);
    value_close(&v, w, OID(OID_BASIC_CONSTRAINTS), true);
}

static void put_key_usage(struct der_writer *w, const struct cert_knobs *k)
{
    unsigned usage = k->key_usage;
    if (usage == 0)
        usage = k->ca ? X509_KU_CERT_SIGN | X509_KU_CRL_SIGN : X509_KU_DIGITAL_SIGNATURE;
    uint8_t bytes[2] = {0};
    for (unsigned bit = 0; bit < 9; bit++)
        if ((usage & 1u << bit) != 0)
            bytes[bit / 8] = (uint8_t)(bytes[bit / 8] | 0x80u >> bit % 8);
    struct value v;
    value_open(&v);
    der_put_bits(&v.w, slice_of(bytes, bytes[1] != 0 ? 2 : 1), 0);
    value_close(&v, w, OID(OID_KEY_USAGE), true);
}

static void put_ext_key_usage(struct der_writer *w, const struct cert_knobs *k)
{
    unsigned usage = k->ext_key_usage;
    if (usage == 0 && !k->ca)
        usage = X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH;
    if (usage == 0)
        return;
    struct value v;
    value_open(&v);
    size_t seq = der_open(&v.w, DER_SEQUENCE);
    if ((usage & X509_EKU_SERVER_AUTH) != 0)
        der_put_oid(&v.w, OID(OID_SERVER_AUTH));
    if ((usage & X509_EKU_CLIENT_AUTH) != 0)
        der_put_oid(&v.w, OID(OID_CLIENT_AUTH));
    if ((usage & X509_EKU_ANY) != 0)
        der_put_oid(&v.w, OID(OID_ANY_EXT_KEY_USAGE));
    if ((usage & X509_EKU_OTHER) != 0) /* codeSigning */
        der_put_oid(&v.w, OID("\x2b\x06\x01\x05\x05\x07\x03\x03"));
    der_close(&v.w, seq);
    value_close(&v, w, OID(OID_EXT_KEY_USAGE), false);
}

static void put_key_ids(struct der_writer *w, const struct cert_knobs *k, struct slice spki,
                        const struct cert *issuer)
{
    uint8_t id[X509_KEY_ID_LEN] = {0};
    struct slice subject = k->subject_key_id;
    if (subject.len == 0 && x509_key_id(spki, id) == ERR_OK)
        subject = slice_of(id, sizeof id);
    struct slice authority = k->authority_key_id;
    if (authority.len == 0)
        authority = issuer != NULL ? issuer->x509.subject_key_id : subject;
    struct value v;
    value_open(&v);
    der_put(&v.w, DER_OCTET_STRING, subject);
    value_close(&v, w, OID(OID_SUBJECT_KEY_ID), false);
    value_open(&v);
    size_t seq = der_open(&v.w, DER_SEQUENCE);
    der_put(&v.w, DER_CONTEXT(0), authority);
    der_close(&v.w, seq);
    value_close(&v, w, OID(OID_AUTHORITY_KEY_ID), false);
}

static void put_san(struct der_writer *w, const struct cert_knobs *k)
{
    if (k->uri == NULL && k->names[0].tag == 0)
        return;
    struct value v;
    value_open(&v);
    size_t seq = der_open(&v.w, DER_SEQUENCE);
    if (k->uri != NULL)
        der_put(&v.w, DER_CONTEXT(6), slice_str(k->uri));
    for (size_t i = 0; i < 8 && k->names[i].tag != 0; i++)
        der_put(&v.w, k->names[i].tag, k->names[i].value);
    der_close(&v.w, seq);
    value_close(&v, w, OID(OID_SUBJECT_ALT_NAME), k->cn == NULL && k->attributes[0].oid.len == 0);
}

static void put_name_constraints(struct der_writer *w, const struct cert_knobs *k)
{
    if (k->subtrees[0].base.tag == 0)
        return;
    struct value v;
    value_open(&v);
    size_t seq = der_open(&v.w, DER_SEQUENCE);
    for (unsigned side = 0; side < 2; side++) {
        size_t before = v.buf.len;
        size_t list = der_open(&v.w, DER_CONTEXT_CONSTRUCTED(side));
        for (size_t i = 0; i < 4 && k->subtrees[i].base.tag != 0; i++) {
            if (k->subtrees[i].excluded != (side == 1))
                continue;
            size_t tree = der_open(&v.w, DER_SEQUENCE);
            der_put(&v.w, k->subtrees[i].base.tag, k->subtrees[i].base.value);
            if (k->subtrees[i].with_minimum)
                der_put(&v.w, DER_CONTEXT(0), slice_of("\x01", 1));
            der_close(&v.w, tree);
        }
        if (v.buf.len == list)
            v.buf.len = before;
        else
            der_close(&v.w, list);
    }
    der_close(&v.w, seq);
    value_close(&v, w, OID(OID_NAME_CONSTRAINTS), true);
}

static void put_extensions(struct der_writer *w, const struct cert_knobs *k, struct slice spki,
                           const struct cert *issuer)
{
    size_t tagged = der_open(w, DER_CONTEXT_CONSTRUCTED(3));
    size_t list = der_open(w, DER_SEQUENCE);
    if ((k->omit & CERT_OMIT_KEY_USAGE) == 0)
        put_key_usage(w, k);
    if ((k->omit & CERT_OMIT_EXT_KEY_USAGE) == 0)
        put_ext_key_usage(w, k);
    if ((k->omit & CERT_OMIT_BASIC_CONSTRAINTS) == 0)
        put_basic_constraints(w, k);
    if ((k->omit & CERT_OMIT_KEY_IDS) == 0)
        put_key_ids(w, k, spki, issuer);
    if ((k->omit & CERT_OMIT_SAN) == 0)
        put_san(w, k);
    put_name_constraints(w, k);
    for (size_t i = 0; i < 6 && k->extra[i].oid.len > 0; i++)
        put_extension(w, &k->extra[i]);
    der_put_raw(w, k->raw_extensions);
    bool any = w->out->len > list;
    der_close(w, list);
    der_close(w, tagged);
    if (!any)
        w->out->len = tagged - 2;
}

static void put_attributes(struct der_writer *w, const struct cert_attribute *a)
{
    size_t name = der_open(w, DER_SEQUENCE), rdn = 0;
    for (size_t i = 0; i < 6 && a[i].oid.len > 0; i++) {
        if (!a[i].joined)
            rdn = der_open(w, DER_SET);
        size_t one = der_open(w, DER_SEQUENCE);
        der_put_oid(w, a[i].oid);
        der_put(w, a[i].tag, a[i].value);
        der_close(w, one);
        if (i == 5 || !a[i + 1].joined)
            der_close(w, rdn);
    }
    der_close(w, name);
}

static void put_subject(struct der_writer *w, const struct cert_knobs *k)
{
    if (k->attributes[0].oid.len > 0) {
        put_attributes(w, k->attributes);
        return;
    }
    if (k->subject.len > 0) {
        der_put_raw(w, k->subject);
        return;
    }
    struct buf name;
    buf_init(&name, 4096);
    must(x509_build_name(&name, NULL, k->organization, k->cn), NULL);
    der_put_raw(w, buf_slice(&name));
    buf_done(&name);
}

static void put_validity(struct der_writer *w, const struct cert_knobs *k)
{
    if (k->validity.len > 0) {
        der_put_raw(w, k->validity);
        return;
    }
    int64_t life = k->ca ? INT64_C(10) * 365 * 86400 : 3600;
    size_t seq = der_open(w, DER_SEQUENCE);
    der_put_time(w, k->not_before != 0 ? k->not_before : CERTS_NOW - 10);
    der_put_time(w, k->not_after != 0 ? k->not_after : CERTS_NOW + life);
    der_close(w, seq);
}

static void put_serial(struct der_writer *w, const struct cert_knobs *k, struct slice spki)
{
    uint8_t hash[SHA256_LEN];
    sha256_of(spki, hash);
    hash[0] = (uint8_t)((hash[0] & 0x7fu) | 0x40u);
    der_put(w, DER_INTEGER, k->serial.len > 0 ? k->serial : slice_of(hash, 16));
}

static void put_tbs(struct der_writer *w, const struct cert_knobs *k, struct slice spki,
                    const struct cert *issuer, struct slice algorithm)
{
    size_t tbs = der_open(w, DER_SEQUENCE);
    if (k->version != 9) {
        size_t version = der_open(w, DER_CONTEXT_CONSTRUCTED(0));
        der_put_uint(w, k->version > 0 ? k->version - 1 : 2);
        der_close(w, version);
    }
    put_serial(w, k, spki);
    der_put_raw(w, k->inner_algorithm.len > 0 ? k->inner_algorithm : algorithm);
    if (k->issuer.len > 0)
        der_put_raw(w, k->issuer);
    else if (issuer != NULL)
        der_put_raw(w, issuer->x509.subject);
    else
        put_subject(w, k);
    put_validity(w, k);
    put_subject(w, k);
    der_put_raw(w, spki);
    der_put_raw(w, k->after_key);
    put_extensions(w, k, spki, issuer);
    der_close(w, tbs);
}

static void put_signature(struct der_writer *w, const struct cert_knobs *k, struct key *key,
                          struct slice tbs)
{
    if (k->signature.len > 0) {
        der_put_bits(w, k->signature, 0);
        return;
    }
    struct why why = {0};
    struct buf sig;
    buf_init(&sig, 4096);
    struct key *other = NULL;
    if (k->sign == CERT_OTHER_KEY)
        must(key_generate(key_kind(key), &other, &why), &why);
    if (k->scheme != CERT_SCHEME_OF_KEY)
        cert_scheme_sign(k->scheme, key_pkcs8(other != NULL ? other : key), tbs, &sig);
    else
        must(key_sign(other != NULL ? other : key, tbs, &sig, &why), &why);
    if (k->sign == CERT_BROKEN)
        sig.data[sig.len - 3] ^= 1;
    der_put_bits(w, buf_slice(&sig), 0);
    key_free(other);
    buf_done(&sig);
}

struct cert *cert_make(const struct cert_knobs *k, const struct cert *issuer)
{
    struct why why = {0};
    struct cert *c = mem_alloc(sizeof *c);
    must(c != NULL ? ERR_OK : ERR_NO_MEMORY, &why);
    must(key_generate(k->key_kind, &c->key, &why), &why);
    buf_init(&c->der, 1 << 20);
    struct key *signing = issuer != NULL ? issuer->key : c->key;
    struct slice algorithm = key_signature_algorithm(signing);
    struct slice spki = k->spki.len > 0 ? k->spki : key_spki(c->key);
    struct buf written;
    buf_init(&written, 4096);
    if (k->scheme != CERT_SCHEME_OF_KEY) {
        cert_scheme_algorithm(k->scheme, &written);
        algorithm = buf_slice(&written);
    }
    struct der_writer w;
    der_writer_init(&w, &c->der);
    size_t all = der_open(&w, DER_SEQUENCE);
    put_tbs(&w, k, spki, issuer, k->algorithm.len > 0 ? k->algorithm : algorithm);
    must(der_writer_end(&w), NULL);
    struct buf tbs;
    buf_init(&tbs, 1 << 20);
    must(buf_append(&tbs, c->der.data + all, c->der.len - all), NULL);
    der_put_raw(&w, k->algorithm.len > 0 ? k->algorithm : algorithm);
    put_signature(&w, k, signing, buf_slice(&tbs));
    der_close(&w, all);
    must(der_writer_end(&w), NULL);
    buf_done(&tbs);
    buf_done(&written);
    cert_reparse(c);
    return c;
}

void cert_reparse(struct cert *c)
{
    c->x509 = (struct x509){0};
    c->parse_err = x509_parse(buf_slice(&c->der), &c->x509, NULL);
}

void cert_free(struct cert *c)
{
    if (c == NULL)
        return;
    key_free(c->key);
    buf_done(&c->der);
    mem_free(c);
}

struct slice cert_der(const struct cert *c)
{
    return buf_slice(&c->der);
}

void cert_pem(const struct cert *c, struct buf *out)
{
    must(pem_write(out, "CERTIFICATE", cert_der(c)), NULL);
}

void cert_key_pem(const struct cert *c, struct buf *out)
{
    must(pem_write(out, "PRIVATE KEY", key_pkcs8(c->key)), NULL);
}

void cert_trust(struct bundle_set *set, const char *trust_domain, const struct cert *root)
{
    struct why why = {0};
    struct buf ders;
    buf_init(&ders, 1 << 20);
    const struct bundle *old = bundle_set_find(set, slice_str(trust_domain));
    if (old != NULL)
        must(buf_append(&ders, old->der, old->der_len), NULL);
    must(buf_append(&ders, root->der.data, root->der.len), NULL);
    must(bundle_set_put(set, slice_str(trust_domain), buf_slice(&ders), &why), &why);
    buf_done(&ders);
}
