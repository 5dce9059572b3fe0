#include "common/crypto/key_internal.h"

#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/error-crypt.h>

#define PKCS8_MAX 8192u
#define SPKI_MAX 1024u
#define RSA_BITS_MIN 2048u
#define EC_BYTES_MAX 66u

/* What tells the kinds apart. */
static const struct kind {
    const char *name;
    unsigned bits;
    int curve;              /* wolfCrypt's, EC only */
    struct slice algorithm; /* AlgorithmIdentifier of the key */
    struct slice signature; /* AlgorithmIdentifier of its signatures */
} kinds[] = {
#define DER_OF(literal)                                                                            \
    {                                                                                              \
        .data = (const uint8_t *)(literal), .len = sizeof(literal) - 1                             \
    }
#define RSA_ALGORITHM DER_OF("\x30\x0d\x06\x09" OID_RSA_KEY "\x05\x00")
#define RSA_SIGNATURE DER_OF("\x30\x0d\x06\x09" OID_RSA_SHA256 "\x05\x00")
    [KEY_EC_P256] = {"EC P-256", 256, ECC_SECP256R1,
                     DER_OF("\x30\x13\x06\x07" OID_EC_KEY "\x06\x08" OID_P256),
                     DER_OF("\x30\x0a\x06\x08" OID_ECDSA_SHA256)},
    [KEY_EC_P384] = {"EC P-384", 384, ECC_SECP384R1,
                     DER_OF("\x30\x10\x06\x07" OID_EC_KEY "\x06\x05" OID_P384),
                     DER_OF("\x30\x0a\x06\x08" OID_ECDSA_SHA384)},
    [KEY_EC_P521] = {"EC P-521", 521, ECC_SECP521R1,
                     DER_OF("\x30\x10\x06\x07" OID_EC_KEY "\x06\x05" OID_P521),
                     DER_OF("\x30\x0a\x06\x08" OID_ECDSA_SHA512)},
    [KEY_RSA_2048] = {"RSA 2048", 2048, 0, RSA_ALGORITHM, RSA_SIGNATURE},
    [KEY_RSA_3072] = {"RSA 3072", 3072, 0, RSA_ALGORITHM, RSA_SIGNATURE},
    [KEY_RSA_4096] = {"RSA 4096", 4096, 0, RSA_ALGORITHM, RSA_SIGNATURE},
    [KEY_ED25519] = {"Ed25519", 256, 0, DER_OF("\x30\x05\x06\x03" OID_ED25519),
                     DER_OF("\x30\x05\x06\x03" OID_ED25519)},
};

/* Of a scalar and of a coordinate. */
static size_t ec_bytes(enum key_kind kind)
{
    return (kinds[kind].bits + 7) / 8;
}

static err_t no_memory(struct why *why)
{
    return why_set(why, ERR_NO_MEMORY, "private key: out of memory");
}

/* wolfCrypt's codes end here, but for their text. */
err_t key_crypto_error(struct why *why, const char *what, int rc)
{
    if (rc == WC_NO_ERR_TRACE(MEMORY_E))
        return no_memory(why);
    return why_set(why, ERR_KEY, "private key: %s: %s", what, wc_GetErrorString(rc));
}

err_t key_rng_start(WC_RNG *rng, struct why *why)
{
    int rc = wc_InitRng(rng);
    return rc == 0 ? ERR_OK : key_crypto_error(why, "random generator", rc);
}

static struct key *key_new(enum key_kind kind)
{
    struct key *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return NULL;
    k->kind = kind;
    buf_init_secret(&k->pkcs8, PKCS8_MAX);
    buf_init(&k->spki, SPKI_MAX);
    return k;
}

void key_free(struct key *k)
{
    if (k == NULL)
        return;
    if (k->ec != NULL)
        wc_ecc_free(k->ec);
    if (k->rsa != NULL)
        wc_FreeRsaKey(k->rsa);
    if (k->ed != NULL)
        wc_ed25519_free(k->ed);
    secret_free(k->ec);
    secret_free(k->rsa);
    secret_free(k->ed);
    secret_free(k->nonce_secret);
    buf_wipe(&k->pkcs8);
    buf_done(&k->spki);
    mem_free(k);
}

/* The SubjectPublicKeyInfo from the content of its BIT STRING. */
static err_t write_spki(struct key *k, struct slice bits, struct why *why)
{
    struct der_writer w;
    der_writer_init(&w, &k->spki);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_raw(&w, kinds[k->kind].algorithm);
    der_put_bits(&w, bits, 0);
    der_close(&w, seq);
    err_t err = der_writer_end(&w);
    return err == ERR_OK ? ERR_OK : why_set(why, err, "private key: %s", err_text(err));
}

/* Opens PrivateKeyInfo up to the OCTET STRING that holds the key (RFC 5958 section 2). */
struct pkcs8_marks {
    size_t info, octets;
};

static struct pkcs8_marks open_pkcs8(struct der_writer *w, struct key *k)
{
    der_writer_init(w, &k->pkcs8);
    struct pkcs8_marks m;
    m.info = der_open(w, DER_SEQUENCE);
    der_put_uint(w, 0);
    der_put_raw(w, kinds[k->kind].algorithm);
    m.octets = der_open(w, DER_OCTET_STRING);
    return m;
}

static err_t close_pkcs8(struct der_writer *w, struct pkcs8_marks m, struct why *why)
{
    der_close(w, m.octets);
    der_close(w, m.info);
    err_t err = der_writer_end(w);
    return err == ERR_OK ? ERR_OK : why_set(why, err, "private key: %s", err_text(err));
}

/* EC: wolfCrypt's object is complete; fills pkcs8 (with ECPrivateKey of RFC 5915: no parameters,
 * the public key included, as OpenSSL and Go write it) and spki. */
static err_t export_ec(struct key *k, struct why *why)
{
    uint8_t scalar[EC_BYTES_MAX], point[1 + 2 * EC_BYTES_MAX];
    word32 scalar_len = sizeof scalar, point_len = sizeof point;
    int rc = wc_ecc_export_private_only(k->ec, scalar, &scalar_len);
    if (rc == 0)
        rc = wc_ecc_export_x963(k->ec, point, &point_len);
    err_t err = rc == 0 ? ERR_OK : key_crypto_error(why, "cannot be exported", rc);
    if (err == ERR_OK) {
        struct der_writer w;
        struct pkcs8_marks m = open_pkcs8(&w, k);
        size_t ec = der_open(&w, DER_SEQUENCE);
        der_put_uint(&w, 1);
        der_put(&w, DER_OCTET_STRING, slice_of(scalar, scalar_len));
        size_t pub = der_open(&w, DER_CONTEXT_CONSTRUCTED(1));
        der_put_bits(&w, slice_of(point, point_len), 0);
        der_close(&w, pub);
        der_close(&w, ec);
        err = close_pkcs8(&w, m, why);
    }
    if (err == ERR_OK)
        err = write_spki(k, slice_of(point, point_len), why);
    mem_wipe(scalar, sizeof scalar);
    return err;
}

static err_t init_ec(struct key *k, struct why *why)
{
    k->ec = secret_alloc(sizeof *k->ec);
    if (k->ec == NULL)
        return no_memory(why);
    int rc = wc_ecc_init(k->ec);
    return rc == 0 ? ERR_OK : key_crypto_error(why, "cannot be made", rc);
}

static err_t generate_ec(struct key *k, WC_RNG *rng, struct why *why)
{
    err_t err = init_ec(k, why);
    if (err != ERR_OK)
        return err;
    int rc = wc_ecc_make_key_ex(rng, (int)ec_bytes(k->kind), k->ec, kinds[k->kind].curve);
    return rc == 0 ? export_ec(k, why) : key_crypto_error(why, "cannot be made", rc);
}

/* PKCS#1 bytes into the object and into pkcs8; spki from its first two integers. */
static err_t import_rsa(struct key *k, struct slice pkcs1, struct why *why)
{
    word32 at = 0;
    int rc = wc_RsaPrivateKeyDecode(pkcs1.data, &at, k->rsa, (word32)pkcs1.len);
    if (rc != 0)
        return key_crypto_error(why, "RSA key is not usable", rc);
    struct der_writer w;
    struct pkcs8_marks m = open_pkcs8(&w, k);
    der_put_raw(&w, pkcs1);
    err_t err = close_pkcs8(&w, m, why);
    if (err != ERR_OK)
        return err;
    struct der_reader r = der_reader_of(pkcs1);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    der_get_integer(&seq);
    struct buf pub;
    buf_init(&pub, SPKI_MAX);
    der_writer_init(&w, &pub);
    size_t mark = der_open(&w, DER_SEQUENCE);
    der_put_integer(&w, der_get_integer(&seq));
    der_put_integer(&w, der_get_integer(&seq));
    der_close(&w, mark);
    err = der_writer_end(&w);
    err = err == ERR_OK ? write_spki(k, buf_slice(&pub), why)
                        : why_set(why, err, "private key: %s", err_text(err));
    buf_done(&pub);
    return err;
}

static err_t init_rsa(struct key *k, struct why *why)
{
    k->rsa = secret_alloc(sizeof *k->rsa);
    if (k->rsa == NULL)
        return no_memory(why);
    int rc = wc_InitRsaKey(k->rsa, NULL);
    return rc == 0 ? ERR_OK : key_crypto_error(why, "cannot be made", rc);
}

static err_t generate_rsa(struct key *k, WC_RNG *rng, struct why *why)
{
    RsaKey *made = secret_alloc(sizeof *made);
    uint8_t *der = secret_alloc(PKCS8_MAX);
    err_t err = made == NULL || der == NULL ? no_memory(why) : init_rsa(k, why);
    if (err != ERR_OK)
        goto out;
    int rc = wc_InitRsaKey(made, NULL);
    if (rc == 0)
        rc = wc_MakeRsaKey(made, (int)kinds[k->kind].bits, WC_RSA_EXPONENT, rng);
    int len = rc == 0 ? wc_RsaKeyToDer(made, der, PKCS8_MAX) : rc;
    err = len > 0 ? import_rsa(k, slice_of(der, (size_t)len), why)
                  : key_crypto_error(why, "RSA key cannot be made", len);
    wc_FreeRsaKey(made);
out:
    secret_free(made);
    secret_free(der);
    return err;
}

/* RFC 8410 section 7: the seed in an OCTET STRING of its own. */
static err_t import_ed25519(struct key *k, struct slice seed, struct why *why)
{
    k->ed = secret_alloc(sizeof *k->ed);
    if (k->ed == NULL)
        return no_memory(why);
    uint8_t pub[ED25519_PUB_KEY_SIZE];
    int rc = wc_ed25519_init(k->ed);
    if (rc == 0)
        rc = wc_ed25519_import_private_only(seed.data, (word32)seed.len, k->ed);
    if (rc == 0)
        rc = wc_ed25519_make_public(k->ed, pub, sizeof pub);
    if (rc == 0)
        rc = wc_ed25519_import_private_key(seed.data, (word32)seed.len, pub, sizeof pub, k->ed);
    if (rc != 0)
        return key_crypto_error(why, "Ed25519 key is not usable", rc);
    struct der_writer w;
    struct pkcs8_marks m = open_pkcs8(&w, k);
    der_put(&w, DER_OCTET_STRING, seed);
    err_t err = close_pkcs8(&w, m, why);
    return err == ERR_OK ? write_spki(k, slice_of(pub, sizeof pub), why) : err;
}

static err_t generate_ed25519(struct key *k, WC_RNG *rng, struct why *why)
{
    uint8_t seed[ED25519_KEY_SIZE];
    int rc = wc_RNG_GenerateBlock(rng, seed, sizeof seed);
    err_t err = rc == 0 ? import_ed25519(k, slice_of(seed, sizeof seed), why)
                        : key_crypto_error(why, "random generator", rc);
    mem_wipe(seed, sizeof seed);
    return err;
}

/* Not inlined: what it leaves on the stack is below the caller's frame then, and can be wiped. */
static __attribute__((noinline)) err_t generate(enum key_kind kind, struct key **ret_key,
                                                struct why *why)
{
    WC_RNG rng;
    err_t err = key_rng_start(&rng, why);
    if (err != ERR_OK)
        return err;
    struct key *k = key_new(kind);
    if (k == NULL)
        err = no_memory(why);
    else if (kinds[kind].curve != 0)
        err = generate_ec(k, &rng, why);
    else if (kind == KEY_ED25519)
        err = generate_ed25519(k, &rng, why);
    else
        err = generate_rsa(k, &rng, why);
    wc_FreeRng(&rng);
    if (err == ERR_OK)
        *ret_key = k;
    else
        key_free(k);
    return err;
}

err_t key_generate(enum key_kind kind, struct key **ret_key, struct why *why)
{
    err_t err = generate(kind, ret_key, why);
    mem_wipe_stack();
    return err;
}

/* ---- parsing ---- */

static err_t not_a_key(struct why *why, const char *what)
{
    return why_set(why, ERR_KEY, "private key: %s", what);
}

static bool curve_kind(struct slice oid, enum key_kind *ret)
{
    if (OID_IS(oid, OID_P256))
        *ret = KEY_EC_P256;
    else if (OID_IS(oid, OID_P384))
        *ret = KEY_EC_P384;
    else if (OID_IS(oid, OID_P521))
        *ret = KEY_EC_P521;
    else
        return false;
    return true;
}

/* The scalar makes the public key; one that came along must be the same. */
static err_t import_ec(struct key *k, struct slice scalar, struct slice point, struct why *why)
{
    err_t err = init_ec(k, why);
    if (err != ERR_OK)
        return err;
    int rc = wc_ecc_import_private_key_ex(scalar.data, (word32)scalar.len, NULL, 0, k->ec,
                                          kinds[k->kind].curve);
    WC_RNG rng;
    if (rc == 0)
        rc = wc_InitRng(&rng);
    if (rc == 0) {
        rc = wc_ecc_make_pub_ex(k->ec, NULL, &rng);
        wc_FreeRng(&rng);
    }
    if (rc != 0)
        return key_crypto_error(why, "EC key is not usable", rc);
    err = export_ec(k, why);
    if (err != ERR_OK || point.len == 0)
        return err;
    size_t len = 1 + 2 * ec_bytes(k->kind);
    if (!slice_eq(point, slice_of(k->spki.data + k->spki.len - len, len)))
        return not_a_key(why, "the public key inside is not the one of the private key");
    return ERR_OK;
}

/* ECPrivateKey of RFC 5915; `curve` is the OID from around it, or empty. */
static err_t parse_ec(struct slice der, struct slice curve, struct key **ret, struct why *why)
{
    struct der_reader r = der_reader_of(der);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    uint64_t version = der_get_uint(&seq);
    struct slice scalar = der_get(&seq, DER_OCTET_STRING);
    struct slice inner, point = {0};
    if (der_get_optional(&seq, DER_CONTEXT_CONSTRUCTED(0), &inner)) {
        struct der_reader p = der_reader_of(inner);
        struct slice named = der_get(&p, DER_OID);
        if (!der_at_end(&p) || (curve.len > 0 && !slice_eq(curve, named)))
            return not_a_key(why, "EC key names no curve, or two");
        curve = named;
    }
    if (der_get_optional(&seq, DER_CONTEXT_CONSTRUCTED(1), &inner)) {
        struct der_reader p = der_reader_of(inner);
        point = der_get_octet_bits(&p);
        seq.bad = seq.bad || !der_at_end(&p);
    }
    if (!der_at_end(&seq) || !der_at_end(&r) || version != 1)
        return not_a_key(why, "EC key is malformed");
    enum key_kind kind;
    if (!curve_kind(curve, &kind))
        return not_a_key(why, "EC key on a curve other than P-256, P-384 and P-521");
    while (scalar.len > ec_bytes(kind) && scalar.data[0] == 0) /* as some encoders pad it */
        scalar = slice_of(scalar.data + 1, scalar.len - 1);
    if (scalar.len == 0 || scalar.len > ec_bytes(kind))
        return not_a_key(why, "EC key has the wrong size");
    struct key *k = key_new(kind);
    err_t err = k == NULL ? no_memory(why) : import_ec(k, scalar, point, why);
    if (err == ERR_OK)
        *ret = k;
    else
        key_free(k);
    return err;
}

static unsigned bits_of(struct slice n)
{
    unsigned bits = (unsigned)n.len * 8;
    for (unsigned top = n.len > 0 ? n.data[0] : 0x80; (top & 0x80u) == 0; top <<= 1)
        bits--;
    return bits;
}

/* A key whose parts do not fit together signs garbage: find out now. */
static err_t prove_rsa(struct key *k, struct why *why)
{
    uint8_t plain[32] = {1}, sig[RSA_BYTES_MAX], back[RSA_BYTES_MAX];
    WC_RNG rng;
    int rc = wc_InitRng(&rng);
    if (rc != 0)
        return key_crypto_error(why, "random generator", rc);
    rc = wc_RsaSetRNG(k->rsa, &rng);
    if (rc == 0)
        rc = wc_RsaSSL_Sign(plain, sizeof plain, sig, sizeof sig, k->rsa, &rng);
    if (rc > 0)
        rc = wc_RsaSSL_Verify(sig, (word32)rc, back, sizeof back, k->rsa);
    wc_FreeRng(&rng);
    if (rc != (int)sizeof plain || memcmp(plain, back, sizeof plain) != 0)
        return not_a_key(why, "the parts of the RSA key do not belong together");
    return ERR_OK;
}

/* RSAPrivateKey of RFC 8017 A.1.2, two primes. */
static err_t parse_rsa(struct slice der, struct key **ret, struct why *why)
{
    struct der_reader r = der_reader_of(der);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    uint64_t version = der_get_uint(&seq);
    unsigned bits = bits_of(der_get_integer(&seq));
    struct slice e = der_get_integer(&seq);
    for (int i = 0; i < 6; i++)
        der_get_integer(&seq);
    if (!der_at_end(&seq) || !der_at_end(&r) || version != 0)
        return not_a_key(why, "RSA key is malformed");
    if (bits < RSA_BITS_MIN || bits > 8 * RSA_BYTES_MAX)
        return why_set(why, ERR_KEY, "private key: RSA of %u bits; %u to %u are accepted", bits,
                       RSA_BITS_MIN, 8 * RSA_BYTES_MAX);
    if (e.len == 0 || e.len > 4 || (e.data[e.len - 1] & 1) == 0 || (e.len == 1 && e.data[0] < 3))
        return not_a_key(why, "RSA key has an unusable public exponent");
    struct key *k = key_new(bits < 3072 ? KEY_RSA_2048 : bits < 4096 ? KEY_RSA_3072 : KEY_RSA_4096);
    err_t err = k == NULL ? no_memory(why) : init_rsa(k, why);
    if (err == ERR_OK)
        err = import_rsa(k, der, why);
    if (err == ERR_OK)
        err = prove_rsa(k, why);
    if (err == ERR_OK)
        *ret = k;
    else
        key_free(k);
    return err;
}

static err_t parse_ed25519(struct slice der, struct key **ret, struct why *why)
{
    struct der_reader r = der_reader_of(der);
    struct slice seed = der_get(&r, DER_OCTET_STRING);
    if (!der_at_end(&r) || seed.len != ED25519_KEY_SIZE)
        return not_a_key(why, "Ed25519 key is malformed");
    struct key *k = key_new(KEY_ED25519);
    err_t err = k == NULL ? no_memory(why) : import_ed25519(k, seed, why);
    if (err == ERR_OK)
        *ret = k;
    else
        key_free(k);
    return err;
}

/* PrivateKeyInfo or OneAsymmetricKey (RFC 5958) after its version. */
static err_t parse_pkcs8(struct der_reader *seq, struct key **ret, struct why *why)
{
    struct der_reader algorithm = der_enter(seq, DER_SEQUENCE);
    struct slice oid = der_get(&algorithm, DER_OID);
    struct slice curve = {0}, skip;
    if (OID_IS(oid, OID_EC_KEY))
        curve = der_get(&algorithm, DER_OID);
    else
        der_get_optional(&algorithm, DER_NULL, &skip);
    struct slice inner = der_get(seq, DER_OCTET_STRING);
    der_get_optional(seq, DER_CONTEXT_CONSTRUCTED(0), &skip); /* attributes */
    der_get_optional(seq, DER_CONTEXT(1), &skip);             /* public key */
    if (!der_at_end(&algorithm) || !der_at_end(seq))
        return not_a_key(why, "PKCS#8 is malformed");
    if (OID_IS(oid, OID_EC_KEY))
        return parse_ec(inner, curve, ret, why);
    if (OID_IS(oid, OID_RSA_KEY))
        return parse_rsa(inner, ret, why);
    if (OID_IS(oid, OID_ED25519))
        return parse_ed25519(inner, ret, why);
    return not_a_key(why, "kind of key is not EC, RSA or Ed25519");
}

/* The three forms begin alike; what follows the version tells them apart: an algorithm (PKCS#8), a
 * scalar (SEC 1), a modulus (PKCS#1). */
static __attribute__((noinline)) err_t parse(struct slice der, struct key **ret_key,
                                             struct why *why)
{
    struct der_reader r = der_reader_of(der);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    if (!der_at_end(&r) || der.len > PKCS8_MAX / 2)
        return not_a_key(why, "not one DER SEQUENCE of at most 4 KiB");
    if (der_peek(&seq) == DER_SEQUENCE)
        return not_a_key(why, "encrypted; write it unencrypted (openssl pkey)");
    uint64_t version = der_get_uint(&seq);
    switch (der_peek(&seq)) {
    case DER_SEQUENCE:
        return version <= 1 ? parse_pkcs8(&seq, ret_key, why)
                            : not_a_key(why, "PKCS#8 of an unknown version");
    case DER_OCTET_STRING:
        return parse_ec(der, slice_of(NULL, 0), ret_key, why);
    case DER_INTEGER:
        return parse_rsa(der, ret_key, why);
    default:
        return not_a_key(why, "neither PKCS#8 nor SEC 1 nor PKCS#1");
    }
}

err_t key_parse(struct slice der, struct key **ret_key, struct why *why)
{
    err_t err = parse(der, ret_key, why);
    mem_wipe_stack();
    return err;
}

/* ---- use ---- */

enum key_kind key_kind(const struct key *k)
{
    return k->kind;
}

struct slice key_pkcs8(const struct key *k)
{
    return buf_slice(&k->pkcs8);
}

struct slice key_spki(const struct key *k)
{
    return buf_slice(&k->spki);
}

struct slice key_signature_algorithm(const struct key *k)
{
    return kinds[k->kind].signature;
}
