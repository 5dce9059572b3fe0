/* Our own private key in every encoding that is valid, each in a handshake that
 * it must sign; and those that cannot be taken, with the words that say what to
 * do. */
#include "common/base/mem.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"
#include "tests/support/shake_case.h"

#define WEB "spiffe://example.org/web"
#define KEY_MAX (1u << 16)

/* What a key is made of. */
struct parts {
    struct slice algorithm; /* AlgorithmIdentifier, header included */
    struct slice inner;     /* what the OCTET STRING of PKCS#8 holds */
    struct slice scalar;    /* EC */
    struct slice curve;     /* EC: OID, header included */
    struct slice public;    /* content of the public key's BIT STRING, its unused
                               bits left out */
};

static struct parts take_apart(const struct key *k)
{
    struct parts p = {.scalar = {0}};
    struct der_reader whole = der_reader_of(key_pkcs8(k)), info = der_enter(&whole, DER_SEQUENCE);
    der_get_uint(&info);
    p.algorithm = der_get_raw(&info, DER_SEQUENCE);
    p.inner = der_get(&info, DER_OCTET_STRING);
    struct der_reader spki_whole = der_reader_of(key_spki(k));
    struct der_reader spki = der_enter(&spki_whole, DER_SEQUENCE);
    der_get(&spki, DER_SEQUENCE);
    p.public = der_get_octet_bits(&spki);
    struct der_reader alg = der_reader_of(p.algorithm), oids = der_enter(&alg, DER_SEQUENCE);
    if (OID_IS(der_get(&oids, DER_OID), OID_EC_KEY)) {
        p.curve = der_get_raw(&oids, DER_OID);
        struct der_reader ec_whole = der_reader_of(p.inner),
                          ec = der_enter(&ec_whole, DER_SEQUENCE);
        der_get_uint(&ec);
        p.scalar = der_get(&ec, DER_OCTET_STRING);
    }
    return p;
}

enum {
    VERSION_2 = 1,
    ATTRIBUTES = 2,
    PUBLIC_OUTSIDE = 4,
    NO_PARAMETERS = 8,
    INNER_CURVE = 16,
    INNER_PUBLIC = 32,
    PADDED = 64,
    BARE = 128, /* SEC 1 or PKCS#1: what PKCS#8 would hold */
};

static void put_ec(struct der_writer *w, const struct parts *p, unsigned how)
{
    uint8_t padded[2 + 66] = {0};
    struct slice scalar = p->scalar;
    if ((how & PADDED) != 0) {
        memcpy(padded + 2, scalar.data, scalar.len);
        scalar = slice_of(padded, scalar.len + 2);
    }
    size_t seq = der_open(w, DER_SEQUENCE);
    der_put_uint(w, 1);
    der_put(w, DER_OCTET_STRING, scalar);
    if ((how & INNER_CURVE) != 0)
        der_put(w, DER_CONTEXT_CONSTRUCTED(0), p->curve);
    if ((how & INNER_PUBLIC) != 0) {
        size_t tagged = der_open(w, DER_CONTEXT_CONSTRUCTED(1));
        der_put_bits(w, p->public, 0);
        der_close(w, tagged);
    }
    der_close(w, seq);
    mem_wipe(padded, sizeof padded);
}

static void put_inner(struct der_writer *w, const struct parts *p, unsigned how)
{
    if (p->scalar.len > 0)
        put_ec(w, p, how);
    else
        der_put_raw(w, p->inner);
}

static void encode(const struct key *k, unsigned how, struct buf *out)
{
    struct parts p = take_apart(k);
    struct der_writer w;
    der_writer_init(&w, out);
    if ((how & BARE) != 0) {
        put_inner(&w, &p, how);
    } else {
        size_t info = der_open(&w, DER_SEQUENCE);
        der_put_uint(&w, (how & VERSION_2) != 0 ? 1 : 0);
        if ((how & NO_PARAMETERS) != 0)
            der_put_raw(&w, OID("\x30\x0b\x06\x09" OID_RSA_KEY));
        else
            der_put_raw(&w, p.algorithm);
        size_t octets = der_open(&w, DER_OCTET_STRING);
        put_inner(&w, &p, how);
        der_close(&w, octets);
        if ((how & ATTRIBUTES) != 0) /* friendlyName "a" */
            der_put(&w, DER_CONTEXT_CONSTRUCTED(0),
                    OID("\x30\x13\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x14\x31\x06"
                        "\x1e\x02\0a"
                        "\x05\x00"));
        if ((how & PUBLIC_OUTSIDE) != 0) {
            size_t bits = der_open(&w, DER_CONTEXT(1));
            der_put_raw(&w, OID("\0"));
            der_put_raw(&w, p.public);
            der_close(&w, bits);
        }
        der_close(&w, info);
    }
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
}

static const struct {
    const char *what;
    enum key_kind kind;
    unsigned how;
} encodings[] = {
    {"PKCS#8 with the public key inside", KEY_EC_P256, INNER_PUBLIC},
    {"PKCS#8 without a public key", KEY_EC_P256, 0},
    {"PKCS#8 that names the curve twice", KEY_EC_P256, INNER_CURVE | INNER_PUBLIC},
    {"PKCS#8 with attributes", KEY_EC_P256, ATTRIBUTES | INNER_PUBLIC},
    {"PKCS#8 v2 with the public key outside", KEY_EC_P256, VERSION_2 | PUBLIC_OUTSIDE},
    {"PKCS#8 with a padded scalar", KEY_EC_P256, PADDED},
    {"SEC 1 with curve and public key", KEY_EC_P256, BARE | INNER_CURVE | INNER_PUBLIC},
    {"SEC 1 with the curve alone", KEY_EC_P256, BARE | INNER_CURVE},
    {"SEC 1 with a padded scalar", KEY_EC_P256, BARE | INNER_CURVE | PADDED},
    {"SEC 1 on P-384", KEY_EC_P384, BARE | INNER_CURVE | INNER_PUBLIC},
    {"SEC 1 on P-521", KEY_EC_P521, BARE | INNER_CURVE | INNER_PUBLIC},
    {"PKCS#8 on P-521 with attributes", KEY_EC_P521, ATTRIBUTES},
    {"PKCS#1", KEY_RSA_2048, BARE},
    {"PKCS#8 RSA with attributes", KEY_RSA_2048, ATTRIBUTES},
    {"PKCS#8 RSA without parameters", KEY_RSA_2048, NO_PARAMETERS},
    {"PKCS#8 Ed25519", KEY_ED25519, 0},
    {"PKCS#8 v2 Ed25519 with its public key", KEY_ED25519, VERSION_2 | PUBLIC_OUTSIDE},
    {"PKCS#8 v2 Ed25519 with attributes too", KEY_ED25519, VERSION_2 | ATTRIBUTES | PUBLIC_OUTSIDE},
};

START_TEST(test_a_key_signs_in_whatever_encoding_it_came)
{
    struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
    struct cert *leaf =
        cert_make(&(struct cert_knobs){.uri = WEB, .key_kind = encodings[_i].kind}, root);
    struct buf der;
    buf_init(&der, KEY_MAX);
    encode(leaf->key, encodings[_i].how, &der);
    struct shake_chain c = {
        .certs = {cert_der(leaf)}, .count = 1, .key = buf_slice(&der), .roots = cert_der(root)};
    for (enum tls_side side = TLS_SERVER; side <= TLS_CLIENT; side++) {
        struct why why = {0};
        err_t err = shake_as_own(side, &c, &why);
        ck_assert_msg(err == ERR_OK, "%s: %s: %s", encodings[_i].what, err_name(err),
                      why_text(&why));
    }
    buf_wipe(&der);
    cert_free(leaf);
    cert_free(root);
}
END_TEST

static const struct {
    const char *what, *says;
    struct slice der;
} refused[] = {
    {"an encrypted key", "encrypted; write it unencrypted",
     BYTES("\x30\x0d\x30\x05\x06\x03\x2a\x03\x04\x04\x04"
           "abcd")},
    {"a curve with parameters written out", "PKCS#8",
     BYTES("\x30\x14\x02\x01\x00\x30\x0d\x06\x07" OID_EC_KEY "\x30\x02\x05\x00\x04\x00")},
    {"SEC 1 without a curve", "curve", BYTES("\x30\x06\x02\x01\x01\x04\x01\x05")},
    {"secp256k1", "P-256, P-384 and P-521",
     BYTES("\x30\x0f\x02\x01\x01\x04\x01\x05\xa0\x07\x06\x05\x2b\x81\x04\x00"
           "\x0a")},
    {"X25519", "not EC, RSA or Ed25519",
     BYTES("\x30\x10\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x04\x04\x02"
           "ab")},
    {"a small RSA key", "RSA of 8 bits; 2048 to 4096",
     BYTES("\x30\x1c\x02\x01\x00\x02\x02\x00\xff\x02\x01\x03\x02\x01\x03\x02"
           "\x01\x03\x02\x01\x03"
           "\x02\x01\x03\x02\x01\x03\x02\x01\x03")},
    {"PKCS#8 v3", "version", BYTES("\x30\x0c\x02\x01\x02\x30\x05\x06\x03\x2b\x65\x70\x04\x00")},
    {"a certificate", "neither", BYTES("\x30\x05\x02\x01\x00\x0c\x00")},
    {"nothing", "not one DER", BYTES("")},
};

START_TEST(test_a_key_that_cannot_be_taken_is_told_with_the_reason)
{
    struct key *k = NULL;
    struct why why = {0};
    err_t err = key_parse(refused[_i].der, &k, &why);
    ck_assert_msg(err == ERR_KEY, "%s: %s: %s", refused[_i].what, err_name(err), why_text(&why));
    ck_assert_msg(strstr(why.text, refused[_i].says) != NULL, "%s: %s", refused[_i].what, why.text);
    ck_assert_ptr_null(k);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tls_keys");
    TCase *t = tcase_create("tls_keys");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, test_a_key_signs_in_whatever_encoding_it_came, 0,
                        sizeof encodings / sizeof encodings[0]);
    tcase_add_loop_test(t, test_a_key_that_cannot_be_taken_is_told_with_the_reason, 0,
                        sizeof refused / sizeof refused[0]);
    suite_add_tcase(s, t);
    return run_suite(s);
}
