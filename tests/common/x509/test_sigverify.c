/* Signatures by wolfCrypt's own signing half, of every algorithm accepted, and near misses. */
#include "common/crypto/key.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/x509/sigverify.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/rsa.h>

static const struct slice message = BYTES("what is signed");
static struct why why;
static struct buf spki, sig, alg;
static WC_RNG rng;

static void start(void)
{
    why = (struct why){0};
    buf_init(&spki, 4096);
    buf_init(&sig, 4096);
    buf_init(&alg, 4096);
    ck_assert_int_eq(wc_InitRng(&rng), 0);
}

static void stop(void)
{
    buf_done(&spki);
    buf_done(&sig);
    buf_done(&alg);
    wc_FreeRng(&rng);
}

static err_t check(void)
{
    struct x509 c = {
        .tbs = message, .signature = buf_slice(&sig), .signature_algorithm = buf_slice(&alg)};
    return x509_check_signature(&c, buf_slice(&spki), &why);
}

static void write_algorithm(struct slice oid, struct slice parameters)
{
    struct der_writer w;
    der_writer_init(&w, &alg);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_oid(&w, oid);
    der_put_raw(&w, parameters);
    der_close(&w, seq);
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
}

static void write_spki(struct slice oid, struct slice parameters, struct slice bits)
{
    struct der_writer w;
    der_writer_init(&w, &spki);
    size_t seq = der_open(&w, DER_SEQUENCE);
    size_t algorithm = der_open(&w, DER_SEQUENCE);
    der_put_oid(&w, oid);
    der_put_raw(&w, parameters);
    der_close(&w, algorithm);
    der_put_bits(&w, bits, 0);
    der_close(&w, seq);
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
}

static const struct {
    enum wc_HashType type;
    word32 len;
    int mgf;
    struct slice ecdsa, rsa, oid;
} hashes[] = {
    {WC_HASH_TYPE_SHA256, 32, WC_MGF1SHA256, BYTES(OID_ECDSA_SHA256), BYTES(OID_RSA_SHA256),
     BYTES(OID_SHA256)},
    {WC_HASH_TYPE_SHA384, 48, WC_MGF1SHA384, BYTES(OID_ECDSA_SHA384), BYTES(OID_RSA_SHA384),
     BYTES(OID_SHA384)},
    {WC_HASH_TYPE_SHA512, 64, WC_MGF1SHA512, BYTES(OID_ECDSA_SHA512), BYTES(OID_RSA_SHA512),
     BYTES(OID_SHA512)},
};

static void digest_of(size_t hash, uint8_t out[static 64])
{
    ck_assert_int_eq(
        wc_Hash(hashes[hash].type, message.data, (word32)message.len, out, hashes[hash].len), 0);
}

static const struct {
    int id, bytes;
    struct slice oid;
} curves[] = {
    {ECC_SECP256R1, 32, BYTES("\x06\x08" OID_P256)},
    {ECC_SECP384R1, 48, BYTES("\x06\x05" OID_P384)},
    {ECC_SECP521R1, 66, BYTES("\x06\x05" OID_P521)},
};

/* A signature by a fresh key on the curve; leaves spki, alg and sig behind. */
static void sign_ecdsa(size_t curve, size_t hash)
{
    ecc_key key;
    uint8_t digest[64], point[133], out[160];
    word32 point_len = sizeof point, out_len = sizeof out;
    digest_of(hash, digest);
    ck_assert_int_eq(wc_ecc_init(&key), 0);
    ck_assert_int_eq(wc_ecc_make_key_ex(&rng, curves[curve].bytes, &key, curves[curve].id), 0);
    ck_assert_int_eq(wc_ecc_export_x963(&key, point, &point_len), 0);
    ck_assert_int_eq(wc_ecc_sign_hash(digest, hashes[hash].len, out, &out_len, &rng, &key), 0);
    wc_ecc_free(&key);
    write_spki(OID(OID_EC_KEY), curves[curve].oid, slice_of(point, point_len));
    write_algorithm(hashes[hash].ecdsa, OID(""));
    ck_assert_int_eq(buf_append(&sig, out, out_len), ERR_OK);
}

START_TEST(test_ecdsa_on_each_curve_with_each_hash_verifies)
{
    sign_ecdsa((size_t)_i / 3, (size_t)_i % 3);
    ck_assert_msg(check() == ERR_OK, "%s", why.text);
    ck_assert_int_eq(x509_check_public_key(buf_slice(&spki), &why), ERR_OK);
    sig.data[sig.len - 1] ^= 1;
    ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
}
END_TEST

START_TEST(test_an_ecdsa_key_or_signature_out_of_form_is_refused)
{
    err_t want = ERR_CERT_SIGNATURE;
    sign_ecdsa(0, 0);
    uint8_t *point = spki.data + spki.len - 65;
    switch (_i) {
    case 0: /* not on the curve */
        point[64] ^= 1;
        break;
    case 1: /* a hybrid form */
        point[0] = 6;
        want = ERR_CERT_ALGORITHM;
        break;
    case 2: /* the point at infinity */
        memset(point, 0, 65);
        want = ERR_CERT_ALGORITHM;
        break;
    case 3: /* coordinates beyond the field */
        memset(point + 1, 0xff, 64);
        break;
    case 4: /* bytes after the signature */
        ck_assert_int_eq(buf_append(&sig, "", 1), ERR_OK);
        break;
    case 5: /* r and s of one each */
        buf_clear(&sig);
        ck_assert_int_eq(buf_append(&sig, "\x30\x06\x02\x01\x01\x02\x01\x01", 8), ERR_OK);
        break;
    case 6: /* a negative r */
        buf_clear(&sig);
        ck_assert_int_eq(buf_append(&sig, "\x30\x06\x02\x01\x81\x02\x01\x01", 8), ERR_OK);
        break;
    case 7: /* another curve's name */
        spki.data[spki.len - 65 - 3 - 1] ^= 1;
        want = ERR_CERT_ALGORITHM;
        break;
    default: { /* s beyond the order: 33 bytes */
        static const uint8_t large[] = "\x30\x26\x02\x01\x01\x02\x21\x01"
                                       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        buf_clear(&sig);
        ck_assert_int_eq(buf_append(&sig, large, 40), ERR_OK);
        break;
    }
    }
    ck_assert_int_eq(check(), want);
    ck_assert_uint_gt(strlen(why.text), 10);
}
END_TEST

/* One RSA key for all its tests: making one takes long. */
static struct key *rsa_key(RsaKey *ret)
{
    struct key *k = NULL;
    ck_assert_int_eq(key_generate(KEY_RSA_2048, &k, &why), ERR_OK);
    struct der_reader r = der_reader_of(key_pkcs8(k));
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    der_get_uint(&seq);
    der_get(&seq, DER_SEQUENCE);
    struct slice pkcs1 = der_get(&seq, DER_OCTET_STRING);
    word32 at = 0;
    ck_assert_int_eq(wc_InitRsaKey(ret, NULL), 0);
    ck_assert_int_eq(wc_RsaPrivateKeyDecode(pkcs1.data, &at, ret, (word32)pkcs1.len), 0);
    ck_assert_int_eq(wc_RsaSetRNG(ret, &rng), 0);
    ck_assert_int_eq(buf_append(&spki, key_spki(k).data, key_spki(k).len), ERR_OK);
    return k;
}

static void sign_info(RsaKey *rsa, struct slice info)
{
    uint8_t out[256];
    int len = wc_RsaSSL_Sign(info.data, (word32)info.len, out, sizeof out, rsa, &rng);
    ck_assert_int_eq(len, sizeof out);
    buf_clear(&sig);
    ck_assert_int_eq(buf_append(&sig, out, sizeof out), ERR_OK);
}

/* DigestInfo with the parts that a forger would bend. */
static struct slice digest_info(struct buf *out, struct slice oid, struct slice parameters,
                                struct slice digest)
{
    struct der_writer w;
    der_writer_init(&w, out);
    size_t seq = der_open(&w, DER_SEQUENCE);
    size_t algorithm = der_open(&w, DER_SEQUENCE);
    der_put_oid(&w, oid);
    der_put_raw(&w, parameters);
    der_close(&w, algorithm);
    der_put(&w, DER_OCTET_STRING, digest);
    der_close(&w, seq);
    return buf_slice(out);
}

START_TEST(test_rsa_pkcs1_verifies_and_its_digest_info_is_compared_whole)
{
    RsaKey rsa;
    struct key *k = rsa_key(&rsa);
    struct buf info;
    buf_init(&info, 256);
    for (size_t h = 0; h < 3; h++) {
        uint8_t digest[64];
        digest_of(h, digest);
        struct slice d = slice_of(digest, hashes[h].len);
        buf_clear(&alg);
        write_algorithm(hashes[h].rsa, OID("\x05\x00"));
        buf_clear(&info);
        sign_info(&rsa, digest_info(&info, hashes[h].oid, OID("\x05\x00"), d));
        ck_assert_msg(check() == ERR_OK, "%s", why.text);
        buf_clear(&info); /* no NULL */
        sign_info(&rsa, digest_info(&info, hashes[h].oid, OID(""), d));
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        buf_clear(&info); /* room for garbage */
        sign_info(&rsa, digest_info(&info, hashes[h].oid, OID("\x05\x00\x04\x02xx"), d));
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        buf_clear(&info); /* bytes behind it, as many as fit and one */
        digest_info(&info, hashes[h].oid, OID("\x05\x00"), d);
        ck_assert_int_eq(buf_append(&info, "x", 1), ERR_OK);
        sign_info(&rsa, buf_slice(&info));
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        while (info.len < 256 - 11)
            ck_assert_int_eq(buf_append(&info, "x", 1), ERR_OK);
        sign_info(&rsa, buf_slice(&info));
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        buf_clear(&info); /* the last byte of it is missing */
        digest_info(&info, hashes[h].oid, OID("\x05\x00"), d);
        sign_info(&rsa, slice_of(info.data, info.len - 1));
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        buf_clear(&info); /* another hash's name */
        sign_info(&rsa, digest_info(&info, hashes[(h + 1) % 3].oid, OID("\x05\x00"), d));
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        sign_info(&rsa, d); /* no DigestInfo at all */
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
    }
    sig.len -= 1;
    ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
    buf_done(&info);
    wc_FreeRsaKey(&rsa);
    key_free(k);
}
END_TEST

static void put_hash(struct der_writer *w, struct slice oid)
{
    size_t seq = der_open(w, DER_SEQUENCE);
    der_put_oid(w, oid);
    der_put_raw(w, OID("\x05\x00"));
    der_close(w, seq);
}

/* RSASSA-PSS-params; a salt of PSS_SALT_LEFT_OUT is the default of 20; trailer 0: left out. */
#define PSS_SALT_LEFT_OUT 20
static void put_pss(struct der_writer *w, struct slice hash, struct slice mgf_hash, uint64_t salt,
                    unsigned trailer)
{
    size_t parameters = der_open(w, DER_SEQUENCE);
    size_t zero = der_open(w, DER_CONTEXT_CONSTRUCTED(0));
    put_hash(w, hash);
    der_close(w, zero);
    size_t one = der_open(w, DER_CONTEXT_CONSTRUCTED(1));
    size_t mgf = der_open(w, DER_SEQUENCE);
    der_put_oid(w, OID(OID_MGF1));
    put_hash(w, mgf_hash);
    der_close(w, mgf);
    der_close(w, one);
    if (salt != PSS_SALT_LEFT_OUT) {
        size_t two = der_open(w, DER_CONTEXT_CONSTRUCTED(2));
        der_put_uint(w, salt);
        der_close(w, two);
    }
    if (trailer != 0) {
        size_t three = der_open(w, DER_CONTEXT_CONSTRUCTED(3));
        der_put_uint(w, trailer);
        der_close(w, three);
    }
    der_close(w, parameters);
}

static void write_pss(struct slice hash, struct slice mgf_hash, uint64_t salt, unsigned trailer)
{
    struct der_writer w;
    buf_clear(&alg);
    der_writer_init(&w, &alg);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_oid(&w, OID(OID_RSA_PSS));
    put_pss(&w, hash, mgf_hash, salt, trailer);
    der_close(&w, seq);
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
}

static void sign_pss(RsaKey *rsa, size_t hash, int mgf, int salt)
{
    uint8_t digest[64], out[256];
    digest_of(hash, digest);
    int len = wc_RsaPSS_Sign_ex(digest, hashes[hash].len, out, sizeof out, hashes[hash].type, mgf,
                                salt, rsa, &rng);
    ck_assert_int_eq(len, sizeof out);
    buf_clear(&sig);
    ck_assert_int_eq(buf_append(&sig, out, sizeof out), ERR_OK);
}

START_TEST(test_rsa_pss_verifies_with_its_own_parameters_only)
{
    RsaKey rsa;
    struct key *k = rsa_key(&rsa);
    for (size_t h = 0; h < 3; h++) {
        struct slice oid = hashes[h].oid, other = hashes[(h + 1) % 3].oid;
        sign_pss(&rsa, h, hashes[h].mgf, (int)hashes[h].len);
        write_pss(oid, oid, hashes[h].len, 0);
        ck_assert_msg(check() == ERR_OK, "%s", why.text);
        write_pss(oid, oid, hashes[h].len, 1); /* the one trailer there is */
        ck_assert_msg(check() == ERR_OK, "%s", why.text);
        write_pss(oid, oid, hashes[h].len - 1, 0);
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        write_pss(oid, other, hashes[h].len, 0);
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        write_pss(other, other, hashes[(h + 1) % 3].len, 0);
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
        write_pss(oid, oid, hashes[h].len, 2);
        ck_assert_int_eq(check(), ERR_CERT_ALGORITHM);
        write_pss(oid, oid, 513, 0); /* more salt than there is signature */
        ck_assert_int_eq(check(), ERR_CERT_ALGORITHM);
        write_pss(OID("\x2b\x0e\x03\x02\x1a"), OID("\x2b\x0e\x03\x02\x1a"), 20, 0); /* SHA-1 */
        ck_assert_int_eq(check(), ERR_CERT_ALGORITHM);
        ck_assert_ptr_nonnull(strstr(why.text, "SHA-256"));
    }
    wc_FreeRsaKey(&rsa);
    key_free(k);
}
END_TEST

/* RFC 4055 3.1: salts of any length, the length left out, two hashes. */
START_TEST(test_rsa_pss_may_have_any_salt_and_two_hashes)
{
    static const int salts[] = {0, 1, 20, 32, 33, 64, 100};
    RsaKey rsa;
    struct key *k = rsa_key(&rsa);
    for (size_t i = 0; i < sizeof salts / sizeof salts[0]; i++) {
        size_t h = i % 3, m = i % 2 == 0 ? h : (h + 1) % 3;
        sign_pss(&rsa, h, hashes[m].mgf, salts[i]);
        write_pss(hashes[h].oid, hashes[m].oid, (uint64_t)salts[i], 0);
        ck_assert_msg(check() == ERR_OK, "salt %d: %s", salts[i], why.text);
        sig.data[20] ^= 1;
        ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
    }
    wc_FreeRsaKey(&rsa);
    key_free(k);
}
END_TEST

/* RFC 4055 1.2 and 3.3: a key for PSS alone signs nothing else, nor with less than it says. */
START_TEST(test_a_key_for_pss_alone_is_held_to_what_it_says)
{
    RsaKey rsa;
    struct key *k = rsa_key(&rsa);
    struct buf bits, parameters;
    struct der_writer w;
    buf_init(&bits, 1024);
    buf_init(&parameters, 1024);
    ck_assert_int_eq(buf_append(&bits, spki.data + 24, spki.len - 24), ERR_OK);
    sign_pss(&rsa, 0, WC_MGF1SHA256, 32);
    write_pss(hashes[0].oid, hashes[0].oid, 32, 0);
    buf_clear(&spki);
    write_spki(OID(OID_RSA_PSS), OID(""), buf_slice(&bits));
    ck_assert_msg(check() == ERR_OK, "%s", why.text);
    static const struct {
        size_t hash, mgf;
        uint64_t salt;
        err_t want;
    } rows[] = {
        {0, 0, 32, ERR_OK},
        {0, 0, 20, ERR_OK},
        {0, 0, 33, ERR_CERT_SIGNATURE},
        {1, 1, 20, ERR_CERT_SIGNATURE},
        {0, 1, 32, ERR_CERT_SIGNATURE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_clear(&parameters);
        der_writer_init(&w, &parameters);
        put_pss(&w, hashes[rows[i].hash].oid, hashes[rows[i].mgf].oid, rows[i].salt, 0);
        ck_assert_int_eq(der_writer_end(&w), ERR_OK);
        buf_clear(&spki);
        write_spki(OID(OID_RSA_PSS), buf_slice(&parameters), buf_slice(&bits));
        err_t err = check();
        ck_assert_msg(err == rows[i].want, "row %zu: %s", i, err_name(err));
    }
    buf_clear(&alg);
    write_algorithm(hashes[0].rsa, OID("\x05\x00"));
    ck_assert_int_eq(check(), ERR_CERT_SIGNATURE);
    buf_clear(&spki);
    write_spki(OID(OID_RSA_PSS), OID("\x05\x00"), buf_slice(&bits));
    ck_assert_int_eq(check(), ERR_CERT_ALGORITHM);
    buf_done(&bits);
    buf_done(&parameters);
    wc_FreeRsaKey(&rsa);
    key_free(k);
}
END_TEST

/* RFC 8446 4.2.3: of all schemes the one of the key's own curve verifies, whatever the hash that
 * the signature was really made with. */
START_TEST(test_a_tls_proof_by_ecdsa_has_the_scheme_of_its_curve)
{
    static const unsigned schemes[] = {0x0403, 0x0503, 0x0603};
    size_t curve = (size_t)_i / 3, hash = (size_t)_i % 3;
    sign_ecdsa(curve, hash);
    for (unsigned scheme = 0x0200; scheme < 0x0900; scheme++) {
        err_t err = x509_check_tls_proof(buf_slice(&spki), scheme, message, buf_slice(&sig), &why);
        bool good = curve == hash && scheme == schemes[curve];
        ck_assert_msg((err == ERR_OK) == good, "scheme 0x%04x: %s", scheme, err_name(err));
        ck_assert(err == ERR_OK || err == ERR_CERT_SIGNATURE || err == ERR_CERT_ALGORITHM);
    }
    sig.data[sig.len - 1] ^= 1;
    ck_assert_int_eq(
        x509_check_tls_proof(buf_slice(&spki), schemes[curve], message, buf_slice(&sig), &why),
        ERR_CERT_SIGNATURE);
}
END_TEST

/* rsa_pss_rsae_* is for rsaEncryption, rsa_pss_pss_* for RSASSA-PSS; PKCS#1 for neither. */
START_TEST(test_a_tls_proof_by_rsa_has_a_scheme_of_its_kind_of_key)
{
    RsaKey rsa;
    struct key *k = rsa_key(&rsa);
    struct buf bits;
    buf_init(&bits, 1024);
    ck_assert_int_eq(buf_append(&bits, spki.data + 24, spki.len - 24), ERR_OK);
    for (unsigned h = 0; h < 3; h++) {
        for (int pss_only = 0; pss_only < 2; pss_only++) {
            unsigned good = (pss_only != 0 ? 0x0809 : 0x0804) + h;
            buf_clear(&spki);
            write_spki(pss_only != 0 ? OID(OID_RSA_PSS) : OID(OID_RSA_KEY),
                       pss_only != 0 ? OID("") : OID("\x05\x00"), buf_slice(&bits));
            sign_pss(&rsa, h, hashes[h].mgf, (int)hashes[h].len);
            for (unsigned scheme = 0x0401; scheme < 0x0810; scheme++) {
                err_t err =
                    x509_check_tls_proof(buf_slice(&spki), scheme, message, buf_slice(&sig), &why);
                ck_assert_msg((err == ERR_OK) == (scheme == good), "0x%04x: %s", scheme, why.text);
            }
            sign_pss(&rsa, h, hashes[h].mgf, (int)hashes[h].len - 1);
            ck_assert_int_eq(
                x509_check_tls_proof(buf_slice(&spki), good, message, buf_slice(&sig), &why),
                ERR_CERT_SIGNATURE);
        }
    }
    buf_done(&bits);
    wc_FreeRsaKey(&rsa);
    key_free(k);
}
END_TEST

/* An RSA public key of `bytes` bytes with exponent `e`. */
static void write_rsa_spki(size_t bytes, uint8_t top, struct slice e)
{
    uint8_t n[1025];
    memset(n, 0xa5, sizeof n);
    n[0] = top;
    struct buf bits;
    buf_init(&bits, 2048);
    struct der_writer w;
    der_writer_init(&w, &bits);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_integer(&w, slice_of(n, bytes));
    der_put_integer(&w, e);
    der_close(&w, seq);
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
    buf_clear(&spki);
    write_spki(OID(OID_RSA_KEY), OID("\x05\x00"), buf_slice(&bits));
    buf_done(&bits);
}

START_TEST(test_rsa_keys_are_bounded_in_size_and_exponent)
{
    static const struct {
        size_t bytes;
        uint8_t top;
        struct slice e;
        err_t want;
    } keys[] = {
        {256, 0x80, BYTES("\x01\x00\x01"), ERR_OK},
        {256, 0xff, BYTES("\x03"), ERR_OK},
        {512, 0xff, BYTES("\x01\x00\x01"), ERR_OK},
        {256, 0x7f, BYTES("\x01\x00\x01"), ERR_CERT_ALGORITHM}, /* 2047 bits */
        {513, 0x01, BYTES("\x01\x00\x01"), ERR_CERT_ALGORITHM}, /* 4097 bits */
        {1024, 0xff, BYTES("\x01\x00\x01"), ERR_CERT_ALGORITHM},
        {256, 0x80, BYTES("\x01"), ERR_CERT_ALGORITHM},
        {256, 0x80, BYTES("\x04"), ERR_CERT_ALGORITHM},
        {256, 0x80, BYTES("\x00"), ERR_CERT_ALGORITHM},
        {256, 0x80, BYTES("\x01\x00\x00\x00\x01"), ERR_CERT_ALGORITHM},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        write_rsa_spki(keys[i].bytes, keys[i].top, keys[i].e);
        err_t err = x509_check_public_key(buf_slice(&spki), &why);
        ck_assert_msg(err == keys[i].want, "%zu: %s", i, err_name(err));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sigverify");
    TCase *t = tcase_create("sigverify");
    tcase_add_checked_fixture(t, start, stop);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_ecdsa_on_each_curve_with_each_hash_verifies, 0, 9);
    tcase_add_loop_test(t, test_an_ecdsa_key_or_signature_out_of_form_is_refused, 0, 9);
    tcase_add_test(t, test_rsa_pkcs1_verifies_and_its_digest_info_is_compared_whole);
    tcase_add_test(t, test_rsa_pss_verifies_with_its_own_parameters_only);
    tcase_add_test(t, test_rsa_pss_may_have_any_salt_and_two_hashes);
    tcase_add_test(t, test_a_key_for_pss_alone_is_held_to_what_it_says);
    tcase_add_loop_test(t, test_a_tls_proof_by_ecdsa_has_the_scheme_of_its_curve, 0, 9);
    tcase_add_test(t, test_a_tls_proof_by_rsa_has_a_scheme_of_its_kind_of_key);
    tcase_add_test(t, test_rsa_keys_are_bounded_in_size_and_exponent);
    suite_add_tcase(s, t);
    return run_suite(s);
}
