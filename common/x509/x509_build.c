#include "common/x509/x509_build.h"

#include "common/encode/der.h"
#include "common/encode/oid.h"

#define NAME_ATTRIBUTE_MAX 64 /* ub-common-name, ub-organization-name: RFC 5280 appendix A.1 */
#define SIGNATURE_MAX 1024

/* The characters of PrintableString (X.680 41.4). */
static bool is_printable(const char *text)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                   " '()+,-./:=?";
    return text[strspn(text, alphabet)] == '\0';
}

static void put_attribute(struct der_writer *w, struct slice oid, const char *value)
{
    if (value == NULL)
        return;
    size_t set = der_open(w, DER_SET);
    size_t seq = der_open(w, DER_SEQUENCE);
    der_put_oid(w, oid);
    der_put(w, is_printable(value) ? DER_PRINTABLE : DER_UTF8, slice_str(value));
    der_close(w, seq);
    der_close(w, set);
}

static bool attribute_fits(const char *value)
{
    return value == NULL || (value[0] != '\0' && strlen(value) <= NAME_ATTRIBUTE_MAX);
}

err_t x509_build_name(struct buf *out, const char *country, const char *organization,
                      const char *common_name)
{
    bool country_fits = country == NULL || (strlen(country) == 2 && is_printable(country));
    if (!country_fits || !attribute_fits(organization) || !attribute_fits(common_name))
        return ERR_TOO_LARGE;
    struct der_writer w;
    der_writer_init(&w, out);
    size_t seq = der_open(&w, DER_SEQUENCE);
    put_attribute(&w, OID(OID_COUNTRY), country);
    put_attribute(&w, OID(OID_ORGANIZATION), organization);
    put_attribute(&w, OID(OID_COMMON_NAME), common_name);
    der_close(&w, seq);
    return der_writer_end(&w);
}

struct open_extension {
    size_t seq, value;
};

static struct open_extension open_extension(struct der_writer *w, struct slice oid, bool critical)
{
    struct open_extension e = {.seq = der_open(w, DER_SEQUENCE)};
    der_put_oid(w, oid);
    if (critical)
        der_put_bool(w, true);
    e.value = der_open(w, DER_OCTET_STRING);
    return e;
}

static void close_extension(struct der_writer *w, struct open_extension e)
{
    der_close(w, e.value);
    der_close(w, e.seq);
}

/* X5-4: always there, critical. */
static void put_basic_constraints(struct der_writer *w, const struct x509_template *t)
{
    struct open_extension e = open_extension(w, OID(OID_BASIC_CONSTRAINTS), true);
    size_t seq = der_open(w, DER_SEQUENCE);
    if (t->is_ca)
        der_put_bool(w, true);
    if (t->is_ca && t->path_len >= 0)
        der_put_uint(w, (uint64_t)t->path_len);
    der_close(w, seq);
    close_extension(w, e);
}

/* X5-5: always there, critical. A named bit list ends in its last set bit (X.690 11.2.2). */
static void put_key_usage(struct der_writer *w, unsigned key_usage)
{
    uint8_t bytes[2] = {0, 0};
    size_t last = 0;
    for (size_t bit = 0; bit < 9; bit++) {
        if ((key_usage & 1u << bit) == 0)
            continue;
        bytes[bit / 8] = (uint8_t)(bytes[bit / 8] | 0x80u >> bit % 8);
        last = bit;
    }
    struct open_extension e = open_extension(w, OID(OID_KEY_USAGE), true);
    der_put_bits(w, slice_of(bytes, last / 8 + 1), (unsigned)(7 - last % 8));
    close_extension(w, e);
}

static void put_ext_key_usage(struct der_writer *w, unsigned usage)
{
    if (usage == 0)
        return;
    struct open_extension e = open_extension(w, OID(OID_EXT_KEY_USAGE), false);
    size_t seq = der_open(w, DER_SEQUENCE);
    if ((usage & X509_EKU_SERVER_AUTH) != 0)
        der_put_oid(w, OID(OID_SERVER_AUTH));
    if ((usage & X509_EKU_CLIENT_AUTH) != 0)
        der_put_oid(w, OID(OID_CLIENT_AUTH));
    if ((usage & X509_EKU_ANY) != 0)
        der_put_oid(w, OID(OID_ANY_EXT_KEY_USAGE));
    der_close(w, seq);
    close_extension(w, e);
}

static void put_key_ids(struct der_writer *w, const struct x509_template *t)
{
    if (t->subject_key_id.len > 0) {
        struct open_extension e = open_extension(w, OID(OID_SUBJECT_KEY_ID), false);
        der_put(w, DER_OCTET_STRING, t->subject_key_id);
        close_extension(w, e);
    }
    if (t->authority_key_id.len > 0) {
        struct open_extension e = open_extension(w, OID(OID_AUTHORITY_KEY_ID), false);
        size_t seq = der_open(w, DER_SEQUENCE);
        der_put(w, DER_CONTEXT(0), t->authority_key_id);
        der_close(w, seq);
        close_extension(w, e);
    }
}

/* X5-3: critical when the subject is empty (30 00). */
static void put_san(struct der_writer *w, const struct x509_template *t)
{
    if (t->uri_count == 0 && t->dns_count == 0)
        return;
    struct open_extension e = open_extension(w, OID(OID_SUBJECT_ALT_NAME), t->subject.len == 2);
    size_t seq = der_open(w, DER_SEQUENCE);
    for (size_t i = 0; i < t->uri_count; i++)
        der_put(w, DER_CONTEXT(6), t->uris[i]);
    for (size_t i = 0; i < t->dns_count; i++)
        der_put(w, DER_CONTEXT(2), t->dns_names[i]);
    der_close(w, seq);
    close_extension(w, e);
}

static void put_extensions(struct der_writer *w, const struct x509_template *t)
{
    size_t tagged = der_open(w, DER_CONTEXT_CONSTRUCTED(3));
    size_t list = der_open(w, DER_SEQUENCE);
    put_key_usage(w, t->key_usage);
    put_ext_key_usage(w, t->ext_key_usage);
    put_basic_constraints(w, t);
    put_key_ids(w, t);
    put_san(w, t);
    der_close(w, list);
    der_close(w, tagged);
}

static void put_tbs(struct der_writer *w, const struct x509_template *t, struct slice algorithm)
{
    size_t tbs = der_open(w, DER_SEQUENCE);
    size_t version = der_open(w, DER_CONTEXT_CONSTRUCTED(0));
    der_put_uint(w, 2); /* v3 */
    der_close(w, version);
    der_put_integer(w, t->serial);
    der_put_raw(w, algorithm);
    der_put_raw(w, t->issuer);
    size_t validity = der_open(w, DER_SEQUENCE);
    der_put_time(w, t->not_before);
    der_put_time(w, t->not_after);
    der_close(w, validity);
    der_put_raw(w, t->subject);
    der_put_raw(w, t->spki);
    put_extensions(w, t);
    der_close(w, tbs);
}

/* What would make a certificate that nobody may accept is a bug of the caller. */
static const char *bad_template(const struct x509_template *t)
{
    if (t->serial.len == 0 || t->serial.len > 20 || t->serial.data[0] == 0)
        return "serial number is not positive, minimal and at most 20 bytes";
    if (t->serial.len == 20 && (t->serial.data[0] & 0x80) != 0)
        return "serial number takes more than 20 bytes in DER";
    if (t->issuer.len < 2 || t->subject.len < 2 || t->spki.len < 2)
        return "a name or the public key is missing";
    if (t->not_after < t->not_before)
        return "it ends before it begins";
    if (t->key_usage == 0)
        return "key usage is missing";
    if (t->is_ca && t->subject.len == 2)
        return "an authority needs a subject";
    return NULL;
}

err_t x509_build(const struct x509_template *t, const struct signer *signer, struct buf *out,
                 struct why *why)
{
    const char *bad = bad_template(t);
    if (bad != NULL)
        return why_set(why, ERR_INTERNAL, "new certificate: %s", bad);
    struct slice algorithm = signer->signature_algorithm(signer->self);
    size_t start = out->len;
    struct buf signature;
    buf_init(&signature, SIGNATURE_MAX);
    struct der_writer w;
    der_writer_init(&w, out);
    size_t certificate = der_open(&w, DER_SEQUENCE);
    put_tbs(&w, t, algorithm);
    err_t err = der_writer_end(&w);
    if (err != ERR_OK) {
        err = why_set(why, err, "new certificate: %s", err_text(err));
        goto out;
    }
    struct slice tbs = slice_of(out->data + certificate, out->len - certificate);
    err = signer->sign(signer->self, tbs, &signature, why);
    if (err != ERR_OK)
        goto out;
    der_put_raw(&w, algorithm);
    der_put_bits(&w, buf_slice(&signature), 0);
    der_close(&w, certificate);
    err = der_writer_end(&w);
    if (err != ERR_OK)
        err = why_set(why, err, "new certificate: %s", err_text(err));
out:
    buf_done(&signature);
    if (err != ERR_OK)
        out->len = start;
    return err;
}
