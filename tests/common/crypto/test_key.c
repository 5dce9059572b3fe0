/* Private keys: make, read in each form, sign, refuse. */
#include "common/base/mem.h"
#include "common/crypto/key.h"
#include "common/encode/der.h"
#include "common/encode/oid.h"
#include "common/encode/pem.h"
#include "common/x509/sigverify.h"
#include "tests/support/certs.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct why why;
static struct buf out;
static char dir[64], path[96];

static void start(void)
{
    why = (struct why){0};
    buf_init(&out, 1 << 16);
    snprintf(dir, sizeof dir, "/tmp/spindle-key-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/tls.key", dir);
}

static void stop(void)
{
    buf_wipe(&out);
    unlink(path);
    rmdir(dir);
}

static struct key *make(enum key_kind kind)
{
    struct key *k = NULL;
    ck_assert_msg(key_generate(kind, &k, &why) == ERR_OK, "%s", why.text);
    return k;
}

static void write_file(struct slice bytes, mode_t mode)
{
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
    ck_assert_int_eq(fchmod(fileno(f), mode), 0);
    fclose(f);
}

static const enum key_kind quick_kinds[] = {KEY_EC_P256, KEY_EC_P384, KEY_EC_P521, KEY_ED25519,
                                            KEY_RSA_2048};

/* A certificate signed with the key, so that the signature is checked too. */
START_TEST(test_a_key_signs_and_comes_back_the_same)
{
    struct key *k = make(quick_kinds[_i]), *back = NULL;
    ck_assert_int_eq(key_kind(k), quick_kinds[_i]);
    ck_assert_msg(key_parse(key_pkcs8(k), &back, &why) == ERR_OK, "%s", why.text);
    ck_assert(slice_eq(key_pkcs8(k), key_pkcs8(back)));
    ck_assert(slice_eq(key_spki(k), key_spki(back)));
    struct slice message = OID("message");
    ck_assert_int_eq(key_sign(back, message, &out, &why), ERR_OK);
    struct x509 signed_part = {.tbs = message,
                               .signature = buf_slice(&out),
                               .signature_algorithm = key_signature_algorithm(k)};
    ck_assert_msg(x509_check_signature(&signed_part, key_spki(k), &why) == ERR_OK, "%s", why.text);
    signed_part.tbs = OID("massage");
    ck_assert_int_eq(x509_check_signature(&signed_part, key_spki(k), &why), ERR_CERT_SIGNATURE);
    key_free(k);
    key_free(back);
}
END_TEST

/* WA-11: the shape that OpenSSL, Go and Java write and read. */
START_TEST(test_pkcs8_of_p256_has_the_usual_138_bytes)
{
    struct key *k = make(KEY_EC_P256);
    struct slice p = key_pkcs8(k);
    static const uint8_t head[] = "\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07" OID_EC_KEY
                                  "\x06\x08" OID_P256 "\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
    ck_assert_uint_eq(p.len, 138);
    ck_assert_mem_eq(p.data, head, sizeof head - 1);
    ck_assert_mem_eq(p.data + 68, "\xa1\x44\x03\x42\x00\x04", 6);
    key_free(k);
}
END_TEST

START_TEST(test_keys_made_twice_differ)
{
    struct key *a = make(quick_kinds[_i]), *b = make(quick_kinds[_i]);
    ck_assert(!slice_eq(key_spki(a), key_spki(b)));
    key_free(a);
    key_free(b);
}
END_TEST

/* The inner key of a PKCS#8: SEC 1 or PKCS#1. */
static struct slice inner_key(const struct key *k)
{
    struct der_reader r = der_reader_of(key_pkcs8(k));
    struct der_reader seq = der_enter(&r, DER_SEQUENCE);
    der_get_uint(&seq);
    der_get(&seq, DER_SEQUENCE);
    return der_get(&seq, DER_OCTET_STRING);
}

START_TEST(test_pkcs1_is_read)
{
    struct key *k = make(KEY_RSA_2048), *back = NULL;
    ck_assert_msg(key_parse(inner_key(k), &back, &why) == ERR_OK, "%s", why.text);
    ck_assert(slice_eq(key_pkcs8(k), key_pkcs8(back)));
    key_free(k);
    key_free(back);
}
END_TEST

/* SEC 1 with its curve and with or without the public key, which may also be another's. */
static void write_sec1(struct slice scalar, struct slice curve, struct slice point)
{
    struct der_writer w;
    der_writer_init(&w, &out);
    size_t seq = der_open(&w, DER_SEQUENCE);
    der_put_uint(&w, 1);
    der_put(&w, DER_OCTET_STRING, scalar);
    size_t params = der_open(&w, DER_CONTEXT_CONSTRUCTED(0));
    der_put_oid(&w, curve);
    der_close(&w, params);
    if (point.len > 0) {
        size_t pub = der_open(&w, DER_CONTEXT_CONSTRUCTED(1));
        der_put_bits(&w, point, 0);
        der_close(&w, pub);
    }
    der_close(&w, seq);
    ck_assert_int_eq(der_writer_end(&w), ERR_OK);
}

START_TEST(test_sec1_is_read_with_and_without_its_public_key)
{
    struct key *k = make(KEY_EC_P256), *back = NULL;
    struct slice scalar = slice_of(key_pkcs8(k).data + 36, 32);
    struct slice point = slice_of(key_spki(k).data + key_spki(k).len - 65, _i == 0 ? 0 : 65);
    write_sec1(scalar, OID(OID_P256), point);
    ck_assert_msg(key_parse(buf_slice(&out), &back, &why) == ERR_OK, "%s", why.text);
    ck_assert(slice_eq(key_pkcs8(k), key_pkcs8(back)));
    key_free(k);
    key_free(back);
}
END_TEST

START_TEST(test_an_ec_key_that_is_none_is_refused)
{
    struct key *k = make(KEY_EC_P256), *other = make(KEY_EC_P256), *back = NULL;
    struct slice scalar = slice_of(key_pkcs8(k).data + 36, 32);
    struct slice foreign = slice_of(key_spki(other).data + key_spki(other).len - 65, 65);
    uint8_t zero[48] = {0}, high[48];
    memset(high, 0xff, sizeof high);
    switch (_i) {
    case 0: /* another's public key */
        write_sec1(scalar, OID(OID_P256), foreign);
        break;
    case 1: /* zero */
        write_sec1(slice_of(zero, 32), OID(OID_P256), OID(""));
        break;
    case 2: /* above the order */
        write_sec1(slice_of(high, 32), OID(OID_P256), OID(""));
        break;
    case 3: /* too long */
        write_sec1(slice_of(high, 33), OID(OID_P256), OID(""));
        break;
    case 4: /* a curve we do not have keys on */
        write_sec1(scalar, OID("\x2b\x81\x04\x00\x0a"), OID(""));
        break;
    default: /* an empty scalar */
        write_sec1(OID(""), OID(OID_P256), OID(""));
        break;
    }
    ck_assert_int_eq(key_parse(buf_slice(&out), &back, &why), ERR_KEY);
    ck_assert_uint_gt(strlen(why.text), 15);
    ck_assert_ptr_null(back);
    key_free(k);
    key_free(other);
}
END_TEST

START_TEST(test_an_rsa_key_whose_parts_do_not_fit_is_refused)
{
    struct key *k = make(KEY_RSA_2048), *back = NULL;
    struct slice der = key_pkcs8(k);
    uint8_t *copy = mem_dup(der.data, der.len);
    copy[der.len - 20] ^= 1; /* in qInv */
    ck_assert_int_eq(key_parse(slice_of(copy, der.len), &back, &why), ERR_KEY);
    mem_free(copy);
    key_free(k);
}
END_TEST

static const struct {
    struct slice der;
    const char *says;
} no_keys[] = {
    {BYTES(""), "DER"},
    {BYTES("\x30\x00"), "neither"},
    {BYTES("\x30\x03\x02\x01\x00"), "neither"},
    {BYTES("\x30\x06\x30\x02\x05\x00\x04\x00"), "encrypted"},
    {BYTES("\x30\x0e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x71\x04\x02\x04\x00"), "kind of key"},
    {BYTES("\x30\x0e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x02\x04\x00"), "Ed25519"},
    {BYTES("\x30\x0e\x02\x01\x02\x30\x05\x06\x03\x2b\x65\x70\x04\x02\x04\x00"), "version"},
    {BYTES("\x30\x1b\x02\x01\x00\x02\x01\x03\x02\x01\x03\x02\x01\x03\x02\x01\x03\x02\x01\x03"
           "\x02\x01\x03\x02\x01\x03\x02\x01\x03"),
     "2 bits"},
};

START_TEST(test_what_is_no_key_is_refused_by_name)
{
    struct key *k = NULL;
    ck_assert_int_eq(key_parse(no_keys[_i].der, &k, &why), ERR_KEY);
    ck_assert_msg(strstr(why.text, no_keys[_i].says) != NULL, "%s", why.text);
    ck_assert_ptr_null(k);
}
END_TEST

START_TEST(test_a_key_cut_short_is_refused_at_every_length)
{
    struct key *k = make(KEY_EC_P256), *back = NULL;
    for (size_t n = 0; n < key_pkcs8(k).len; n++) {
        uint8_t *exact = mem_dup(key_pkcs8(k).data, n);
        ck_assert_int_eq(key_parse(slice_of(exact, n), &back, &why), ERR_KEY);
        mem_free(exact);
    }
    key_free(k);
}
END_TEST

START_TEST(test_a_file_is_read_as_pem_or_der)
{
    struct key *k = make(KEY_EC_P256), *back = NULL;
    if (_i == 0) {
        ck_assert_int_eq(buf_append(&out, key_pkcs8(k).data, key_pkcs8(k).len), ERR_OK);
    } else {
        ck_assert_int_eq(pem_write(&out, "EC PARAMETERS", OID("\x06\x00")), ERR_OK);
        ck_assert_int_eq(pem_write(&out, "PRIVATE KEY", key_pkcs8(k)), ERR_OK);
        ck_assert_int_eq(pem_write(&out, "PRIVATE KEY", OID("second")), ERR_OK);
        ck_assert_int_eq(pem_write(&out, "CERTIFICATE", OID("c")), ERR_OK);
    }
    write_file(buf_slice(&out), _i == 0 ? 0600 : 0400);
    struct pem_unused unused = {0};
    char want[512] = "";
    ck_assert_msg(key_read_file(path, &unused, &back, &why) == ERR_OK, "%s", why.text);
    ck_assert(slice_eq(key_pkcs8(k), key_pkcs8(back)));
    if (_i > 0)
        snprintf(want, sizeof want, "%s: EC PARAMETERS, %s: PRIVATE KEY, %s: CERTIFICATE", path,
                 path, path);
    ck_assert_str_eq(unused.text, want);
    key_free(k);
    key_free(back);
}
END_TEST

START_TEST(test_a_file_that_others_may_use_is_refused_with_the_remedy)
{
    static const mode_t modes[] = {0640, 0604, 0620, 0666, 0601};
    struct key *k = make(KEY_EC_P256), *back = NULL;
    write_file(key_pkcs8(k), modes[_i]);
    ck_assert_int_eq(key_read_file(path, NULL, &back, &why), ERR_FILE_MODE);
    char want[128];
    snprintf(want, sizeof want, "%04o", (unsigned)modes[_i]);
    ck_assert_ptr_nonnull(strstr(why.text, want));
    snprintf(want, sizeof want, "chmod 600 %s", path);
    ck_assert_ptr_nonnull(strstr(why.text, want));
    key_free(k);
}
END_TEST

START_TEST(test_a_file_without_a_usable_key_is_refused_with_its_name)
{
    struct key *back = NULL;
    err_t want = ERR_KEY;
    switch (_i) {
    case 0:
        want = ERR_IO; /* missing */
        break;
    case 1:
        write_file(OID(""), 0600);
        break;
    case 2:
        write_file(OID("-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"), 0600);
        break;
    case 3:
        write_file(OID("-----BEGIN PRIVATE KEY-----\nQ\n-----END PRIVATE KEY-----\n"), 0600);
        want = ERR_PARSE;
        break;
    case 4: {
        static uint8_t large[65 * 1024];
        write_file(slice_of(large, sizeof large), 0600);
        want = ERR_TOO_LARGE;
        break;
    }
    default:
        snprintf(path, sizeof path, "%s", dir);
        want = ERR_IO; /* a directory */
        break;
    }
    ck_assert_int_eq(key_read_file(path, NULL, &back, &why), want);
    ck_assert_ptr_nonnull(strstr(why.text, path));
    ck_assert_ptr_null(back);
}
END_TEST

static err_t use_all(struct slice der)
{
    struct key *made = NULL, *parsed = NULL, *from_file = NULL;
    struct buf sig;
    buf_init(&sig, 1024);
    err_t err = key_generate(KEY_EC_P256, &made, &why);
    err = err == ERR_OK ? key_parse(der, &parsed, &why) : err;
    err = err == ERR_OK ? key_sign(parsed, der, &sig, &why) : err;
    err = err == ERR_OK ? key_read_file(path, NULL, &from_file, &why) : err;
    key_free(made);
    key_free(parsed);
    key_free(from_file);
    buf_done(&sig);
    return err;
}

START_TEST(test_every_failed_allocation_is_an_error)
{
    struct key *k = make(quick_kinds[_i]);
    ck_assert_int_eq(pem_write(&out, "PRIVATE KEY", key_pkcs8(k)), ERR_OK);
    write_file(buf_slice(&out), 0600);
    err_t err = ERR_NO_MEMORY;
    for (long n = 0; err != ERR_OK; n++) {
        mem_fail_after(n);
        err = use_all(key_pkcs8(k));
        ck_assert(err == ERR_OK ? !mem_did_fail() : err == ERR_NO_MEMORY);
        mem_fail_after(-1);
    }
    key_free(k);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int main(void)
{
    Suite *s = suite_create("key");
    TCase *t = tcase_create("key");
    tcase_add_checked_fixture(t, start, stop);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_a_key_signs_and_comes_back_the_same, 0, COUNT(quick_kinds));
    tcase_add_test(t, test_pkcs8_of_p256_has_the_usual_138_bytes);
    tcase_add_loop_test(t, test_keys_made_twice_differ, 0, 3);
    tcase_add_test(t, test_pkcs1_is_read);
    tcase_add_loop_test(t, test_sec1_is_read_with_and_without_its_public_key, 0, 2);
    tcase_add_loop_test(t, test_an_ec_key_that_is_none_is_refused, 0, 6);
    tcase_add_test(t, test_an_rsa_key_whose_parts_do_not_fit_is_refused);
    tcase_add_loop_test(t, test_what_is_no_key_is_refused_by_name, 0, COUNT(no_keys));
    tcase_add_test(t, test_a_key_cut_short_is_refused_at_every_length);
    tcase_add_loop_test(t, test_a_file_is_read_as_pem_or_der, 0, 2);
    tcase_add_loop_test(t, test_a_file_that_others_may_use_is_refused_with_the_remedy, 0, 5);
    tcase_add_loop_test(t, test_a_file_without_a_usable_key_is_refused_with_its_name, 0, 6);
    tcase_add_loop_test(t, test_every_failed_allocation_is_an_error, 0, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}
