/* Signatures of certificates over wolfCrypt, and the two hashes certificates need. */
#include "common/x509/sigverify.h"

#include "common/encode/der.h"
#include "common/encode/oid.h"

#include <assert.h>
#include <stdio.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

#define RSA_BITS_MIN 2048u
#define RSA_BITS_MAX 4096u /* what our wolfCrypt is built for */

enum scheme { SCHEME_ECDSA, SCHEME_RSA_PKCS1, SCHEME_RSA_PSS, SCHEME_ED25519 };

struct hash {
    const char *oid;
    enum wc_HashType type;
    int mgf;
    word32 len;
};
static const struct hash hashes[] = {
    {OID_SHA256, WC_HASH_TYPE_SHA256, WC_MGF1SHA256, WC_SHA256_DIGEST_SIZE},
    {OID_SHA384, WC_HASH_TYPE_SHA384, WC_MGF1SHA384, WC_SHA384_DIGEST_SIZE},
    {OID_SHA512, WC_HASH_TYPE_SHA512, WC_MGF1SHA512, WC_SHA512_DIGEST_SIZE},
};

static const struct algorithm {
    struct slice oid;
    enum scheme scheme;
    const struct hash *hash;
} algorithms[] = {
#define OID_OF(literal)                                                                            \
    {                                                                                              \
        .data = (const uint8_t *)(literal), .len = sizeof(literal) - 1                             \
    }
    {OID_OF(OID_ECDSA_SHA256), SCHEME_ECDSA, &hashes[0]},
    {OID_OF(OID_ECDSA_SHA384), SCHEME_ECDSA, &hashes[1]},
    {OID_OF(OID_ECDSA_SHA512), SCHEME_ECDSA, &hashes[2]},
    {OID_OF(OID_RSA_SHA256), SCHEME_RSA_PKCS1, &hashes[0]},
    {OID_OF(OID_RSA_SHA384), SCHEME_RSA_PKCS1, &hashes[1]},
    {OID_OF(OID_RSA_SHA512), SCHEME_RSA_PKCS1, &hashes[2]},
    {OID_OF(OID_RSA_PSS), SCHEME_RSA_PSS, NULL}, /* the hash is a parameter */
    {OID_OF(OID_ED25519), SCHEME_ED25519, NULL},
};

/* What an RSASSA-PSS signature is made with; `hash` NULL in a key: it is bound to none. */
struct pss {
    const struct hash *hash, *mgf;
    uint64_t salt;
};

struct public_key {
    enum { PUBLIC_EC, PUBLIC_RSA, PUBLIC_RSA_PSS, PUBLIC_ED25519 } kind;
    int curve;         /* EC, wolfCrypt's */
    struct slice bits; /* EC: the point; Ed25519: the key */
    struct slice n, e; /* RSA */
    struct pss pss;    /* RSA that signs with PSS alone (RFC 4055 section 1.2) */
};

/* One signature's algorithm, with its parameters. */
struct signing {
    enum scheme scheme;
    const struct hash *hash; /* NULL: the scheme hashes by itself */
    struct pss pss;
};

static err_t refuse(struct why *why, const char *what)
{
    return why_set(why, ERR_CERT_ALGORITHM, "%s", what);
}

static err_t bad_signature(struct why *why, const char *what)
{
    return why_set(why, ERR_CERT_SIGNATURE, "%s", what);
}

static err_t parse_ec_key(struct slice curve, struct public_key *k, struct why *why)
{
    size_t bytes;
    k->kind = PUBLIC_EC;
    if (OID_IS(curve, OID_P256)) {
        k->curve = ECC_SECP256R1;
        bytes = 32;
    } else if (OID_IS(curve, OID_P384)) {
        k->curve = ECC_SECP384R1;
        bytes = 48;
    } else if (OID_IS(curve, OID_P521)) {
        k->curve = ECC_SECP521R1;
        bytes = 66;
    } else {
        return refuse(why, "EC key on a curve other than P-256, P-384 and P-521");
    }
    if (k->bits.len != 1 + 2 * bytes || k->bits.data[0] != 4)
        return refuse(why, "EC key is not an uncompressed point of its curve");
    return ERR_OK;
}

static err_t parse_rsa_key(struct public_key *k, struct why *why)
{
    k->kind = PUBLIC_RSA;
    struct der_reader r = der_reader_of(k->bits);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    k->n = der_get_integer(&seq);
    k->e = der_get_integer(&seq);
    if (!der_at_end(&seq) || !der_at_end(&r))
        return refuse(why, "RSA key is malformed");
    unsigned bits = (unsigned)k->n.len * 8;
    for (unsigned top = k->n.len > 0 ? k->n.data[0] : 0x80; (top & 0x80u) == 0; top <<= 1)
        bits--;
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return why_set(why, ERR_CERT_ALGORITHM, "RSA key of %u bits; %u to %u are accepted", bits,
                       RSA_BITS_MIN, RSA_BITS_MAX);
    bool usable = k->e.len > 0 && k->e.len <= 4 && (k->e.data[k->e.len - 1] & 1) == 1 &&
                  (k->e.len > 1 || k->e.data[0] >= 3);
    return usable ? ERR_OK : refuse(why, "RSA key has an unusable public exponent");
}

static const struct hash *find_hash(struct slice oid)
{
    for (size_t i = 0; i < sizeof hashes / sizeof hashes[0]; i++)
        if (slice_eq_str(oid, hashes[i].oid))
            return &hashes[i];
    return NULL;
}

/* An AlgorithmIdentifier of a hash inside PSS parameters: NULL or nothing after the OID. */
static const struct hash *read_hash(struct der_reader *r)
{
    struct der_reader algorithm = der_enter(r, DER_SEQUENCE);
    struct slice oid = der_get(&algorithm, DER_OID), null;
    der_get_optional(&algorithm, DER_NULL, &null);
    return der_at_end(&algorithm) ? find_hash(oid) : NULL;
}

/* Takes one tagged field of the parameters; false when it is left to its default. */
static bool enter_field(struct der_reader *p, unsigned number, struct der_reader *ret)
{
    if (der_peek(p) != DER_CONTEXT_CONSTRUCTED(number))
        return false;
    *ret = der_enter(p, DER_CONTEXT_CONSTRUCTED(number));
    return true;
}

#define PSS_SALT_DEFAULT 20u

/* RSASSA-PSS-params, RFC 4055 3.1: any two of our hashes and any length of salt. The defaults of
 * both hashes are SHA-1, so both must be there. */
static bool parse_pss(struct der_reader *algorithm, struct pss *ret)
{
    struct der_reader p = der_enter(algorithm, DER_SEQUENCE);
    struct der_reader hash, mgf_field, field;
    if (!enter_field(&p, 0, &hash) || !enter_field(&p, 1, &mgf_field))
        return false;
    struct pss pss = {.hash = read_hash(&hash), .salt = PSS_SALT_DEFAULT};
    struct der_reader mgf = der_enter(&mgf_field, DER_SEQUENCE);
    bool mgf1 = OID_IS(der_get(&mgf, DER_OID), OID_MGF1);
    pss.mgf = read_hash(&mgf);
    bool whole = der_at_end(&hash) && der_at_end(&mgf_field) && der_at_end(&mgf);
    if (enter_field(&p, 2, &field)) {
        pss.salt = der_get_uint(&field);
        whole = whole && der_at_end(&field);
    }
    if (enter_field(&p, 3, &field)) { /* trailerField: 1 is the only one there is */
        whole = whole && der_get_uint(&field) == 1 && der_at_end(&field);
    }
    *ret = pss;
    return whole && der_at_end(&p) && mgf1 && pss.hash != NULL && pss.mgf != NULL &&
           pss.salt <= RSA_BITS_MAX / 8;
}

static err_t parse_public_key(struct slice spki, struct public_key *k, struct why *why)
{
    struct der_reader r = der_reader_of(spki);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    struct der_reader algorithm = der_enter(&seq, DER_SEQUENCE);
    struct slice oid = der_get(&algorithm, DER_OID);
    k->bits = der_get_octet_bits(&seq);
    k->pss = (struct pss){0};
    if (!der_at_end(&seq) || !der_at_end(&r))
        return refuse(why, "public key is malformed");
    if (OID_IS(oid, OID_EC_KEY)) {
        struct slice curve = der_get(&algorithm, DER_OID);
        return der_at_end(&algorithm) ? parse_ec_key(curve, k, why)
                                      : refuse(why, "EC key does not name its curve");
    }
    if (OID_IS(oid, OID_RSA_KEY)) {
        struct slice null;
        der_get_optional(&algorithm, DER_NULL, &null);
        return der_at_end(&algorithm) ? parse_rsa_key(k, why)
                                      : refuse(why, "RSA key has parameters");
    }
    if (OID_IS(oid, OID_RSA_PSS)) {
        if (!der_at_end(&algorithm) && (!parse_pss(&algorithm, &k->pss) || !der_at_end(&algorithm)))
            return refuse(why, "RSASSA-PSS key has parameters that are not accepted");
        err_t err = parse_rsa_key(k, why);
        k->kind = PUBLIC_RSA_PSS;
        return err;
    }
    if (OID_IS(oid, OID_ED25519) && der_at_end(&algorithm) && k->bits.len == ED25519_PUB_KEY_SIZE) {
        k->kind = PUBLIC_ED25519;
        return ERR_OK;
    }
    return refuse(why, "public key is not EC, RSA or Ed25519");
}

err_t x509_check_public_key(struct slice spki, struct why *why)
{
    struct public_key k;
    return parse_public_key(spki, &k, why);
}

/* Words for the algorithms that people meet, for the error line only. */
static const char *old_algorithm(struct slice oid)
{
    if (OID_IS(oid, OID_PKCS1 "\x04"))
        return "RSA with MD5";
    if (OID_IS(oid, OID_PKCS1 "\x05"))
        return "RSA with SHA-1";
    return OID_IS(oid, OID_ECDSA_SHA1) ? "ECDSA with SHA-1" : NULL;
}

static err_t unknown_algorithm(struct slice oid, struct why *why)
{
    char hex[2 * 16 + 1] = "";
    for (size_t i = 0; i < oid.len && i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", oid.data[i]);
    const char *word = old_algorithm(oid);
    return why_set(why, ERR_CERT_ALGORITHM,
                   "signature algorithm %s%s is not accepted, only ECDSA, RSA or Ed25519 with "
                   "SHA-256, SHA-384 or SHA-512",
                   word != NULL ? "" : "OID ", word != NULL ? word : hex);
}

static err_t parse_algorithm(struct slice der, struct signing *ret, struct why *why)
{
    struct der_reader r = der_reader_of(der);
    struct der_reader algorithm = der_enter(&r, DER_SEQUENCE);
    struct slice oid = der_get(&algorithm, DER_OID), null;
    const struct algorithm *found = NULL;
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0] && found == NULL; i++)
        if (slice_eq(oid, algorithms[i].oid))
            found = &algorithms[i];
    if (found == NULL || algorithm.bad)
        return unknown_algorithm(oid, why);
    struct signing s = {.scheme = found->scheme, .hash = found->hash};
    bool sound = true;
    if (s.scheme == SCHEME_RSA_PSS)
        sound = parse_pss(&algorithm, &s.pss);
    else if (s.scheme == SCHEME_RSA_PKCS1)
        der_get_optional(&algorithm, DER_NULL, &null);
    if (!der_at_end(&algorithm) || !sound)
        return refuse(why, s.scheme == SCHEME_RSA_PSS
                               ? "RSASSA-PSS has parameters that are not accepted, only SHA-256, "
                                 "SHA-384 or SHA-512 for both hashes (left out they are SHA-1)"
                               : "signature algorithm has parameters that are not accepted");
    if (s.scheme == SCHEME_RSA_PSS)
        s.hash = s.pss.hash;
    *ret = s;
    return ERR_OK;
}

static err_t crypto_error(struct why *why, int rc)
{
    if (rc == WC_NO_ERR_TRACE(MEMORY_E))
        return why_set(why, ERR_NO_MEMORY, "out of memory while checking a signature");
    return why_set(why, ERR_CERT_SIGNATURE, "signature does not verify: %s", wc_GetErrorString(rc));
}

/* Ecdsa-Sig-Value in strict DER: what is not cannot come from an honest signer. */
static bool ecdsa_is_strict(struct slice sig)
{
    struct der_reader r = der_reader_of(sig);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    bool zero = der_get_integer(&seq).len == 0;
    zero = der_get_integer(&seq).len == 0 || zero;
    return !zero && der_at_end(&seq) && der_at_end(&r);
}

static int verify_ecdsa(const struct public_key *k, struct slice sig, const uint8_t *digest,
                        word32 digest_len, int *ret_good)
{
    ecc_key ec;
    int rc = wc_ecc_init(&ec);
    if (rc != 0)
        return rc;
    rc = wc_ecc_import_x963_ex2(k->bits.data, (word32)k->bits.len, &ec, k->curve, 1);
    if (rc == 0)
        rc = wc_ecc_verify_hash(sig.data, (word32)sig.len, digest, digest_len, ret_good, &ec);
    wc_ecc_free(&ec);
    return rc;
}

/* DigestInfo is rebuilt and compared whole, not parsed (RFC 8017 8.2.2). */
static int verify_pkcs1(RsaKey *rsa, struct slice sig, const struct hash *hash,
                        const uint8_t *digest, int *ret_good)
{
    uint8_t plain[RSA_BITS_MAX / 8];
    int rc = wc_RsaSSL_Verify(sig.data, (word32)sig.len, plain, sizeof plain, rsa);
    if (rc < 0)
        return rc;
    uint8_t want[19 + WC_MAX_DIGEST_SIZE] = "\x30\x31\x30\x0d\x06\x09" OID_SHA256 "\x05\x00\x04";
    want[1] = (uint8_t)(17 + hash->len);
    memcpy(want + 6, hash->oid, sizeof OID_SHA256 - 1);
    want[18] = (uint8_t)hash->len;
    memcpy(want + 19, digest, hash->len);
    *ret_good = rc == (int)(19 + hash->len) && memcmp(plain, want, 19 + hash->len) == 0;
    return 0;
}

/* RFC 8017 9.1.2; the bits of the modulus decide how much of the first byte counts. */
static int verify_pss(RsaKey *rsa, struct slice sig, const struct pss *pss, const uint8_t *digest,
                      int *ret_good)
{
    uint8_t plain[RSA_BITS_MAX / 8];
    int rc = wc_RsaPSS_Verify_ex(sig.data, (word32)sig.len, plain, sizeof plain, pss->hash->type,
                                 pss->mgf->mgf, (int)pss->salt, rsa);
    if (rc < 0)
        return rc;
    rc = wc_RsaPSS_CheckPadding_ex2(digest, pss->hash->len, plain, (word32)rc, pss->hash->type,
                                    (int)pss->salt, wc_RsaEncryptSize(rsa) * 8, NULL);
    *ret_good = rc == 0;
    return rc;
}

static int verify_rsa(const struct public_key *k, const struct signing *a, struct slice sig,
                      const uint8_t *digest, int *ret_good)
{
    RsaKey rsa;
    int rc = wc_InitRsaKey(&rsa, NULL);
    if (rc != 0)
        return rc;
    rc = wc_RsaPublicKeyDecodeRaw(k->n.data, (word32)k->n.len, k->e.data, (word32)k->e.len, &rsa);
    if (rc == 0)
        rc = a->scheme == SCHEME_RSA_PSS ? verify_pss(&rsa, sig, &a->pss, digest, ret_good)
                                         : verify_pkcs1(&rsa, sig, a->hash, digest, ret_good);
    wc_FreeRsaKey(&rsa);
    return rc;
}

static int verify_ed25519(const struct public_key *k, struct slice sig, struct slice message,
                          int *ret_good)
{
    ed25519_key ed;
    int rc = wc_ed25519_init(&ed);
    if (rc != 0)
        return rc;
    rc = wc_ed25519_import_public(k->bits.data, (word32)k->bits.len, &ed);
    if (rc == 0)
        rc = wc_ed25519_verify_msg(sig.data, (word32)sig.len, message.data, (word32)message.len,
                                   ret_good, &ed);
    wc_ed25519_free(&ed);
    return rc;
}

/* A key that says what it may sign with is held to it (RFC 4055 section 3.3). */
static bool pss_fits(const struct pss *key, const struct signing *a)
{
    return a->scheme == SCHEME_RSA_PSS &&
           (key->hash == NULL ||
            (key->hash == a->pss.hash && key->mgf == a->pss.mgf && key->salt <= a->pss.salt));
}

static bool key_fits(const struct public_key *k, const struct signing *a)
{
    switch (k->kind) {
    case PUBLIC_EC:
        return a->scheme == SCHEME_ECDSA;
    case PUBLIC_RSA:
        return a->scheme == SCHEME_RSA_PKCS1 || a->scheme == SCHEME_RSA_PSS;
    case PUBLIC_RSA_PSS:
        return pss_fits(&k->pss, a);
    case PUBLIC_ED25519:
        return a->scheme == SCHEME_ED25519;
    }
    return false;
}

static err_t check_message(const struct public_key *k, const struct signing *a,
                           struct slice message, struct slice sig, struct why *why)
{
    if (a->scheme == SCHEME_ECDSA && !ecdsa_is_strict(sig))
        return bad_signature(why, "ECDSA signature is not DER");
    uint8_t digest[WC_MAX_DIGEST_SIZE];
    int rc = 0, good = 0;
    if (a->hash != NULL)
        rc = wc_Hash(a->hash->type, message.data, (word32)message.len, digest, a->hash->len);
    if (rc == 0 && a->scheme == SCHEME_ECDSA)
        rc = verify_ecdsa(k, sig, digest, a->hash->len, &good);
    else if (rc == 0 && a->scheme == SCHEME_ED25519)
        rc = verify_ed25519(k, sig, message, &good);
    else if (rc == 0)
        rc = verify_rsa(k, a, sig, digest, &good);
    if (rc != 0)
        return crypto_error(why, rc);
    return good == 1 ? ERR_OK : bad_signature(why, "signature does not verify");
}

err_t x509_check_signature(const struct x509 *child, struct slice issuer_spki, struct why *why)
{
    struct signing a;
    struct public_key k;
    err_t err = parse_algorithm(child->signature_algorithm, &a, why);
    if (err == ERR_OK)
        err = parse_public_key(issuer_spki, &k, why);
    if (err != ERR_OK)
        return err;
    if (!key_fits(&k, &a))
        return bad_signature(why, "signature is of another kind than the issuer's key");
    return check_message(&k, &a, child->tbs, child->signature, why);
}

/* SignatureScheme of RFC 8446 4.2.3: each goes with one kind of key, ECDSA with one curve. PSS has
 * a salt as long as its hash. */
static const struct tls_scheme {
    unsigned code;
    int kind, curve; /* of public_key */
    enum scheme scheme;
    const struct hash *hash;
} tls_schemes[] = {
    {0x0403, PUBLIC_EC, ECC_SECP256R1, SCHEME_ECDSA, &hashes[0]},
    {0x0503, PUBLIC_EC, ECC_SECP384R1, SCHEME_ECDSA, &hashes[1]},
    {0x0603, PUBLIC_EC, ECC_SECP521R1, SCHEME_ECDSA, &hashes[2]},
    {0x0804, PUBLIC_RSA, 0, SCHEME_RSA_PSS, &hashes[0]},
    {0x0805, PUBLIC_RSA, 0, SCHEME_RSA_PSS, &hashes[1]},
    {0x0806, PUBLIC_RSA, 0, SCHEME_RSA_PSS, &hashes[2]},
    {0x0807, PUBLIC_ED25519, 0, SCHEME_ED25519, NULL},
    {0x0809, PUBLIC_RSA_PSS, 0, SCHEME_RSA_PSS, &hashes[0]},
    {0x080a, PUBLIC_RSA_PSS, 0, SCHEME_RSA_PSS, &hashes[1]},
    {0x080b, PUBLIC_RSA_PSS, 0, SCHEME_RSA_PSS, &hashes[2]},
};

err_t x509_check_tls_proof(struct slice spki, unsigned scheme, struct slice message,
                           struct slice sig, struct why *why)
{
    struct public_key k;
    err_t err = parse_public_key(spki, &k, why);
    if (err != ERR_OK)
        return err;
    const struct tls_scheme *t = NULL;
    for (size_t i = 0; i < sizeof tls_schemes / sizeof tls_schemes[0] && t == NULL; i++)
        if (tls_schemes[i].code == scheme)
            t = &tls_schemes[i];
    if (t == NULL)
        return why_set(why, ERR_CERT_ALGORITHM,
                       "signature scheme 0x%04x is not accepted in TLS 1.3", scheme);
    struct signing a = {.scheme = t->scheme, .hash = t->hash};
    if (t->scheme == SCHEME_RSA_PSS)
        a.pss = (struct pss){t->hash, t->hash, t->hash->len};
    bool curve_fits = k.kind != PUBLIC_EC || k.curve == t->curve;
    if ((int)k.kind != t->kind || !curve_fits || !key_fits(&k, &a))
        return why_set(why, ERR_CERT_SIGNATURE,
                       "signature scheme 0x%04x does not go with the key of the certificate",
                       scheme);
    return check_message(&k, &a, message, sig, why);
}

void sha256_of(struct slice bytes, uint8_t out[static SHA256_LEN])
{
    int rc = wc_Sha256Hash(bytes.data, (word32)bytes.len, out);
    assert(rc == 0);
    (void)rc; /* fails on NULL arguments alone */
}

err_t x509_key_id(struct slice spki, uint8_t out[static X509_KEY_ID_LEN])
{
    struct der_reader r = der_reader_of(spki);
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    der_get(&seq, DER_SEQUENCE);
    struct slice bits = der_get_octet_bits(&seq);
    if (!der_at_end(&seq) || !der_at_end(&r))
        return ERR_CERT_MALFORMED;
    return wc_ShaHash(bits.data, (word32)bits.len, out) == 0 ? ERR_OK : ERR_INTERNAL;
}
