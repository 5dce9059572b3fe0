#include "tests/support/cert_sign.h"

#include "common/encode/der.h"
#include "common/encode/oid.h"

#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

#define DER_OF(x)                                                                                  \
    {                                                                                              \
        .data = (const uint8_t *)(x), .len = sizeof(x) - 1                                         \
    }

enum { SALT_LEFT_OUT = 20 };

static const struct hash {
    enum wc_HashType type;
    int mgf;
    struct slice oid, digest_info; /* DER before the digest */
} hashes[] = {
    {WC_HASH_TYPE_SHA256, WC_MGF1SHA256, DER_OF(OID_SHA256),
     DER_OF("\x30\x31\x30\x0d\x06\x09" OID_SHA256 "\x05\x00\x04\x20")},
    {WC_HASH_TYPE_SHA384, WC_MGF1SHA384, DER_OF(OID_SHA384),
     DER_OF("\x30\x41\x30\x0d\x06\x09" OID_SHA384 "\x05\x00\x04\x30")},
    {WC_HASH_TYPE_SHA512, WC_MGF1SHA512, DER_OF(OID_SHA512),
     DER_OF("\x30\x51\x30\x0d\x06\x09" OID_SHA512 "\x05\x00\x04\x40")},
};

static const struct scheme {
    enum { ECDSA, PKCS1, PSS } kind;
    int hash, mgf; /* of hashes */
    int salt, trailer;
    struct slice algorithm; /* but for PSS, whose parameters are written */
} schemes[] = {
    [CERT_ECDSA_SHA256] = {ECDSA, 0, 0, 0, 0, DER_OF("\x30\x0a\x06\x08" OID_ECDSA_SHA256)},
    [CERT_ECDSA_SHA384] = {ECDSA, 1, 0, 0, 0, DER_OF("\x30\x0a\x06\x08" OID_ECDSA_SHA384)},
    [CERT_ECDSA_SHA512] = {ECDSA, 2, 0, 0, 0, DER_OF("\x30\x0a\x06\x08" OID_ECDSA_SHA512)},
    [CERT_RSA_SHA256] = {PKCS1, 0, 0, 0, 0, DER_OF("\x30\x0d\x06\x09" OID_RSA_SHA256 "\x05\x00")},
    [CERT_RSA_SHA384] = {PKCS1, 1, 0, 0, 0, DER_OF("\x30\x0d\x06\x09" OID_RSA_SHA384 "\x05\x00")},
    /* the NULL left out, as some write it */
    [CERT_RSA_SHA512] = {PKCS1, 2, 0, 0, 0, DER_OF("\x30\x0b\x06\x09" OID_RSA_SHA512)},
    [CERT_PSS_SHA256] = {PSS, 0, 0, 32, 0, {0}},
    [CERT_PSS_SHA384] = {PSS, 1, 1, 48, 0, {0}},
    [CERT_PSS_SHA512] = {PSS, 2, 2, 64, 0, {0}},
    [CERT_PSS_NO_SALT] = {PSS, 0, 0, 0, 0, {0}},
    [CERT_PSS_SALT_LEFT_OUT] = {PSS, 2, 2, SALT_LEFT_OUT, 0, {0}},
    [CERT_PSS_TWO_HASHES] = {PSS, 0, 2, 32, 0, {0}},
    [CERT_PSS_TRAILER_WRITTEN] = {PSS, 0, 0, 32, 1, {0}},
};

static void must(bool good)
{
    if (good)
        return;
    fprintf(stderr, "test certificate: signing failed\n");
    abort();
}

static void put_hash(struct der_writer *w, const struct hash *h)
{
    size_t seq = der_open(w, DER_SEQUENCE);
    der_put_oid(w, h->oid);
    der_put(w, DER_NULL, slice_of(NULL, 0));
    der_close(w, seq);
}

static void put_pss(struct der_writer *w, const struct scheme *s)
{
    size_t all = der_open(w, DER_SEQUENCE);
    der_put_oid(w, OID(OID_RSA_PSS));
    size_t parameters = der_open(w, DER_SEQUENCE);
    size_t field = der_open(w, DER_CONTEXT_CONSTRUCTED(0));
    put_hash(w, &hashes[s->hash]);
    der_close(w, field);
    field = der_open(w, DER_CONTEXT_CONSTRUCTED(1));
    size_t mgf = der_open(w, DER_SEQUENCE);
    der_put_oid(w, OID(OID_MGF1));
    put_hash(w, &hashes[s->mgf]);
    der_close(w, mgf);
    der_close(w, field);
    if (s->salt != SALT_LEFT_OUT) {
        field = der_open(w, DER_CONTEXT_CONSTRUCTED(2));
        der_put_uint(w, (uint64_t)s->salt);
        der_close(w, field);
    }
    if (s->trailer != 0) {
        field = der_open(w, DER_CONTEXT_CONSTRUCTED(3));
        der_put_uint(w, (uint64_t)s->trailer);
        der_close(w, field);
    }
    der_close(w, parameters);
    der_close(w, all);
}

void cert_scheme_algorithm(enum cert_scheme scheme, struct buf *out)
{
    const struct scheme *s = &schemes[scheme];
    struct der_writer w;
    der_writer_init(&w, out);
    if (s->kind == PSS)
        put_pss(&w, s);
    else
        der_put_raw(&w, s->algorithm);
    must(der_writer_end(&w) == ERR_OK);
}

static int sign_ecdsa(struct slice pkcs8, const uint8_t *digest, word32 len, uint8_t *sig,
                      word32 *sig_len, WC_RNG *rng)
{
    ecc_key key;
    word32 at = 0;
    must(wc_ecc_init(&key) == 0);
    must(wc_EccPrivateKeyDecode(pkcs8.data, &at, &key, (word32)pkcs8.len) == 0);
    int rc = wc_ecc_sign_hash(digest, len, sig, sig_len, rng, &key);
    wc_ecc_free(&key);
    return rc;
}

static int sign_rsa(const struct scheme *s, struct slice pkcs8, const uint8_t *digest, word32 len,
                    uint8_t *sig, word32 *sig_len, WC_RNG *rng)
{
    const struct hash *h = &hashes[s->hash];
    uint8_t info[32 + WC_MAX_DIGEST_SIZE];
    RsaKey key;
    word32 at = 0;
    must(wc_InitRsaKey(&key, NULL) == 0);
    must(wc_RsaPrivateKeyDecode(pkcs8.data, &at, &key, (word32)pkcs8.len) == 0);
    must(wc_RsaSetRNG(&key, rng) == 0);
    memcpy(info, h->digest_info.data, h->digest_info.len);
    memcpy(info + h->digest_info.len, digest, len);
    int rc = s->kind == PSS
                 ? wc_RsaPSS_Sign_ex(digest, len, sig, *sig_len, h->type, hashes[s->mgf].mgf,
                                     s->salt, &key, rng)
                 : wc_RsaSSL_Sign(info, (word32)h->digest_info.len + len, sig, *sig_len, &key, rng);
    wc_FreeRsaKey(&key);
    *sig_len = rc > 0 ? (word32)rc : 0;
    return rc > 0 ? 0 : -1;
}

void cert_scheme_sign(enum cert_scheme scheme, struct slice pkcs8, struct slice tbs,
                      struct buf *out)
{
    const struct scheme *s = &schemes[scheme];
    const struct hash *h = &hashes[s->hash];
    uint8_t digest[WC_MAX_DIGEST_SIZE], sig[512];
    word32 len = (word32)wc_HashGetDigestSize(h->type), sig_len = sizeof sig;
    WC_RNG rng;
    must(wc_InitRng(&rng) == 0);
    must(wc_Hash(h->type, tbs.data, (word32)tbs.len, digest, len) == 0);
    must((s->kind == ECDSA ? sign_ecdsa(pkcs8, digest, len, sig, &sig_len, &rng)
                           : sign_rsa(s, pkcs8, digest, len, sig, &sig_len, &rng)) == 0);
    wc_FreeRng(&rng);
    must(buf_append(out, sig, sig_len) == ERR_OK);
}
