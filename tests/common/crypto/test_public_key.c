/* Public keys as certificates carry them: which are taken, and what is said of the others. */
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/x509/sigverify.h"
#include "common/x509/x509.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <string.h>

static struct buf spki, inner;

static void start(void)
{
    buf_init(&spki, 4096);
    buf_init(&inner, 4096);
}

static void stop(void)
{
    buf_done(&spki);
    buf_done(&inner);
}

static void write_spki(struct slice oid, struct slice parameters, struct slice bits)
{
    struct der_writer w;
    buf_clear(&spki);
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

static void expect(const char *says)
{
    struct why why = {0};
    err_t err = x509_check_public_key(buf_slice(&spki), &why);
    ck_assert_msg(err == (says == NULL ? ERR_OK : ERR_CERT_ALGORITHM), "%s: %s", err_name(err),
                  why_text(&why));
    ck_assert_msg(says == NULL || strstr(why_text(&why), says) != NULL, "%s", why_text(&why));
}

/* --- RSA -------------------------------------------------------------------------------------- */

/* RSAPublicKey of `bytes` bytes whose first one is `top`; `behind` comes within and after it. */
static struct slice rsa_key(size_t bytes, uint8_t top, struct slice e, struct slice within,
                            struct slice after)
{
    static uint8_t n[1024];
    struct der_writer w;
    memset(n, 0x5b, sizeof n);
    n[0] = top;
    buf_clear(&inner);
    der_writer_init(&w, &inner);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_integer(&w, slice_of(n, bytes));
    der_put_integer(&w, e);
    der_put_raw(&w, within);
    der_close(&w, seq);
    der_put_raw(&w, after);
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
    return buf_slice(&inner);
}

static const struct {
    size_t bytes;
    uint8_t top;
    struct slice e, within, after;
    const char *says;
} rsa[] = {
#define B(x)                                                                                       \
    {                                                                                              \
        .data = (const uint8_t *)(x), .len = sizeof(x) - 1                                         \
    }
#define NOTHING                                                                                    \
    {                                                                                              \
        NULL, 0                                                                                    \
    }
    {256, 0x80, B("\x01\x00\x01"), NOTHING, NOTHING, NULL},
    {512, 0xff, B("\x01\x00\x01"), NOTHING, NOTHING, NULL},
    {256, 0x7f, B("\x01\x00\x01"), NOTHING, NOTHING, "RSA key of 2047 bits; 2048 to 4096"},
    {256, 0x01, B("\x01\x00\x01"), NOTHING, NOTHING, "RSA key of 2041 bits"},
    {513, 0x01, B("\x01\x00\x01"), NOTHING, NOTHING, "RSA key of 4097 bits"},
    {256, 0x80, B("\x03"), NOTHING, NOTHING, NULL},
    {256, 0x80, B("\x01"), NOTHING, NOTHING, "unusable public exponent"},
    {256, 0x80, B("\x02"), NOTHING, NOTHING, "unusable public exponent"},
    {256, 0x80, B("\x04"), NOTHING, NOTHING, "unusable public exponent"},
    {256, 0x80, B("\x01\x01"), NOTHING, NOTHING, NULL},
    {256, 0x80, B("\x01\x00"), NOTHING, NOTHING, "unusable public exponent"},
    {256, 0x80, B("\x7f\xff\xff\xff"), NOTHING, NOTHING, NULL},
    {256, 0x80, B("\x01\x00\x00\x00\x01"), NOTHING, NOTHING, "unusable public exponent"},
    {256, 0x80, B("\x01\x00\x01"), B("\x05\x00"), NOTHING, "RSA key is malformed"},
    {256, 0x80, B("\x01\x00\x01"), NOTHING, B("\x05\x00"), "RSA key is malformed"},
};

START_TEST(test_an_rsa_key_is_held_to_size_exponent_and_form)
{
    struct slice key =
        rsa_key(rsa[_i].bytes, rsa[_i].top, rsa[_i].e, rsa[_i].within, rsa[_i].after);
    write_spki(OID(OID_RSA_KEY), OID("\x05\x00"), key);
    expect(rsa[_i].says);
    write_spki(OID(OID_RSA_KEY), OID(""), key); /* the NULL may be missing */
    expect(rsa[_i].says);
}
END_TEST

START_TEST(test_an_rsa_key_has_no_other_parameters)
{
    static const struct slice parameters[] = {B("\x05\x00\x05\x00"), B("\x02\x01\x01"),
                                              B("\x30\x00"), B("\x05\x00\x30\x00")};
    struct slice key = rsa_key(256, 0x80, OID("\x01\x00\x01"), OID(""), OID(""));
    write_spki(OID(OID_RSA_KEY), parameters[_i], key);
    expect("RSA key has parameters");
}
END_TEST

/* --- EC and Ed25519 --------------------------------------------------------------------------- */

static const struct {
    struct slice curve;
    size_t bytes; /* of the point */
    const char *says;
} curves[] = {
    {B("\x06\x08" OID_P256), 65, NULL},
    {B("\x06\x05" OID_P384), 97, NULL},
    {B("\x06\x05" OID_P521), 133, NULL},
    {B("\x06\x08" OID_P256), 64, "not an uncompressed point"},
    {B("\x06\x08" OID_P256), 66, "not an uncompressed point"},
    {B("\x06\x08" OID_P256), 97, "not an uncompressed point"},
    {B("\x06\x05" OID_P384), 65, "not an uncompressed point"},
    {B("\x06\x05\x2b\x81\x04\x00\x0a"), 65, "a curve other than P-256, P-384 and P-521"},
    {B("\x06\x08" OID_P256 "\x05\x00"), 65, "EC key does not name its curve"},
    {B("\x05\x00"), 65, "EC key does not name its curve"},
    {B("\x06\x08" OID_P256 "\x06\x08" OID_P256), 65, "EC key does not name its curve"},
};

START_TEST(test_an_ec_key_names_one_of_three_curves)
{
    uint8_t point[160];
    memset(point, 1, sizeof point);
    point[0] = 4;
    write_spki(OID(OID_EC_KEY), curves[_i].curve, slice_of(point, curves[_i].bytes));
    expect(curves[_i].says);
    point[0] = 2; /* compressed */
    write_spki(OID(OID_EC_KEY), curves[_i].curve, slice_of(point, curves[_i].bytes));
    expect(curves[_i].says != NULL ? curves[_i].says : "not an uncompressed point");
}
END_TEST

START_TEST(test_an_ed25519_key_has_32_bytes_and_no_parameters)
{
    uint8_t bytes[33] = {1};
    write_spki(OID(OID_ED25519), OID(""), slice_of(bytes, 32));
    expect(NULL);
    write_spki(OID(OID_ED25519), OID("\x05\x00"), slice_of(bytes, 32));
    expect("not EC, RSA or Ed25519");
    write_spki(OID(OID_ED25519), OID(""), slice_of(bytes, 31));
    expect("not EC, RSA or Ed25519");
    write_spki(OID(OID_ED25519), OID(""), slice_of(bytes, 33));
    expect("not EC, RSA or Ed25519");
}
END_TEST

START_TEST(test_bytes_within_or_behind_a_public_key_are_malformed)
{
    uint8_t bytes[32] = {1};
    write_spki(OID(OID_ED25519), OID(""), slice_of(bytes, 32));
    ck_assert_int_eq(buf_append(&spki, "\x05\x00", 2), ERR_OK);
    expect("public key is malformed");
    spki.data[1] = (uint8_t)(spki.data[1] + 2); /* now it is within */
    expect("public key is malformed");
    spki.len -= 2;
    expect("public key is malformed");
}
END_TEST

/* --- signature algorithms that are not taken ---------------------------------------------------
 */

static const struct {
    struct slice oid;
    const char *says;
} old[] = {
    {B(OID_PKCS1 "\x04"), "algorithm RSA with MD5 is not accepted"},
    {B(OID_PKCS1 "\x05"), "algorithm RSA with SHA-1 is not accepted"},
    {B(OID_ECDSA_SHA1), "algorithm ECDSA with SHA-1 is not accepted"},
    {B("\x2a\x03\x04"), "algorithm OID 2a0304 is not accepted"},
    {B("\x2a\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12"),
     "algorithm OID 2a030405060708090a0b0c0d0e0f1011 is not accepted"},
};

START_TEST(test_an_algorithm_that_is_not_taken_is_named)
{
    uint8_t bytes[32] = {1};
    struct buf algorithm;
    struct der_writer w;
    struct why why = {0};
    buf_init(&algorithm, 256);
    der_writer_init(&w, &algorithm);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_oid(&w, old[_i].oid);
    der_close(&w, seq);
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
    write_spki(OID(OID_ED25519), OID(""), slice_of(bytes, 32));
    struct x509 c = {.tbs = slice_str("x"),
                     .signature = slice_str("y"),
                     .signature_algorithm = buf_slice(&algorithm)};
    ck_assert_int_eq(x509_check_signature(&c, buf_slice(&spki), &why), ERR_CERT_ALGORITHM);
    ck_assert_msg(strstr(why_text(&why), old[_i].says) != NULL, "%s", why_text(&why));
    buf_done(&algorithm);
}
END_TEST

#define ROWS(table) (int)(sizeof(table) / sizeof(table)[0])

int main(void)
{
    Suite *s = suite_create("public_key");
    TCase *t = tcase_create("public_key");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_loop_test(t, test_an_rsa_key_is_held_to_size_exponent_and_form, 0, ROWS(rsa));
    tcase_add_loop_test(t, test_an_rsa_key_has_no_other_parameters, 0, 4);
    tcase_add_loop_test(t, test_an_ec_key_names_one_of_three_curves, 0, ROWS(curves));
    tcase_add_test(t, test_an_ed25519_key_has_32_bytes_and_no_parameters);
    tcase_add_test(t, test_bytes_within_or_behind_a_public_key_are_malformed);
    tcase_add_loop_test(t, test_an_algorithm_that_is_not_taken_is_named, 0, ROWS(old));
    suite_add_tcase(s, t);
    return run_suite(s);
}
