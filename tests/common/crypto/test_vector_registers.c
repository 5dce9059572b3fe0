/* What other code leaves in the upper halves of the vector registers changes no result, and our
 * cryptography leaves nothing there itself. On a CPU without AVX2 the paths in question are not
 * taken; the first line of the output says so. */
#include "common/crypto/key.h"
#include "common/crypto/vector_registers.h"
#include "common/x509/sigverify.h"
#include "tests/support/runner.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <stdio.h>
#include <string.h>
#include <wolfssl/wolfcrypt/curve25519.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/poly1305.h>
#include <wolfssl/wolfcrypt/random.h>

enum { ROUNDS = 200 };

static struct why why;
static WC_RNG rng;

static void start(void)
{
    why = (struct why){0};
    ck_assert_int_eq(wc_InitRng(&rng), 0);
}

static void stop(void)
{
    wc_FreeRng(&rng);
}

/* The base point by the general ladder, which reads no table. */
static void public_by_ladder(const uint8_t scalar[static 32], uint8_t ret[static 32])
{
    static const uint8_t nine[32] = {9};
    ck_assert_int_eq(wc_curve25519_generic(32, ret, 32, scalar, 32, nine), 0);
}

START_TEST(test_an_x25519_public_key_does_not_depend_on_what_was_in_the_registers)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t scalar[32], made[32], want[32];
        ck_assert_int_eq(wc_curve25519_make_priv(&rng, 32, scalar), 0);
        public_by_ladder(scalar, want);
        vector_registers_dirty();
        ck_assert_int_eq(wc_curve25519_make_pub(32, made, 32, scalar), 0);
        ck_assert_mem_eq(made, want, 32);
    }
}
END_TEST

START_TEST(test_an_ed25519_key_and_signature_do_not_depend_on_what_was_in_the_registers)
{
    struct key *key = NULL;
    ck_assert_int_eq(key_generate(KEY_ED25519, &key, &why), ERR_OK);
    struct buf want, made;
    buf_init(&want, 256);
    buf_init(&made, 256);
    ck_assert_int_eq(key_sign(key, slice_str("message"), &want, &why), ERR_OK);
    for (int i = 0; i < ROUNDS; i++) {
        struct key *again = NULL;
        vector_registers_dirty();
        ck_assert_int_eq(key_parse(key_pkcs8(key), &again, &why), ERR_OK);
        ck_assert(slice_eq(key_spki(again), key_spki(key)));
        made.len = 0;
        vector_registers_dirty();
        ck_assert_int_eq(key_sign(again, slice_str("message"), &made, &why), ERR_OK);
        ck_assert(slice_eq(buf_slice(&made), buf_slice(&want)));
        key_free(again);
    }
    buf_done(&made);
    buf_done(&want);
    key_free(key);
}
END_TEST

static const struct {
    const char *name;
    enum key_kind kind;
} kinds[] = {
    {"P-256", KEY_EC_P256},     {"P-384", KEY_EC_P384},     {"RSA-2048", KEY_RSA_2048},
    {"RSA-3072", KEY_RSA_3072}, {"RSA-4096", KEY_RSA_4096}, {"Ed25519", KEY_ED25519},
};

/* Key, signature, verification: `x509_check_signature` is the way of every certificate. */
START_TEST(test_signing_and_verifying_leave_the_upper_halves_clean)
{
    struct key *key = NULL;
    struct buf sig;
    buf_init(&sig, 1024);
    ck_assert_int_eq(key_generate(kinds[_i].kind, &key, &why), ERR_OK);
    ck_assert_msg(vector_registers_clean(), "%s: making a key", kinds[_i].name);
    ck_assert_int_eq(key_sign(key, slice_str("message"), &sig, &why), ERR_OK);
    ck_assert_msg(vector_registers_clean(), "%s: signing", kinds[_i].name);
    struct x509 c = {.tbs = slice_str("message"),
                     .signature = buf_slice(&sig),
                     .signature_algorithm = key_signature_algorithm(key)};
    ck_assert_int_eq(x509_check_signature(&c, key_spki(key), &why), ERR_OK);
    ck_assert_msg(vector_registers_clean(), "%s: verifying", kinds[_i].name);
    buf_done(&sig);
    key_free(key);
}
END_TEST

START_TEST(test_setting_a_poly1305_key_leaves_the_upper_halves_clean)
{
    Poly1305 poly;
    uint8_t key[32] = {1};
    ck_assert_int_eq(wc_Poly1305SetKey(&poly, key, sizeof key), 0);
    ck_assert(vector_registers_clean());
}
END_TEST

START_TEST(test_dirtied_registers_are_seen_as_such)
{
    vector_registers_dirty();
    ck_assert_int_eq(vector_registers_clean(), !vector_registers_wide());
    vector_registers_clear();
    ck_assert(vector_registers_clean());
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vector_registers");
    TCase *tc = tcase_create("registers");
    printf("registers with an upper half: %s\n",
           vector_registers_wide() ? "yes (AVX2)" : "none on this CPU, dirtying does nothing");
    tcase_add_checked_fixture(tc, start, stop);
    tcase_add_test(tc, test_an_x25519_public_key_does_not_depend_on_what_was_in_the_registers);
    tcase_add_test(tc,
                   test_an_ed25519_key_and_signature_do_not_depend_on_what_was_in_the_registers);
    tcase_add_loop_test(tc, test_signing_and_verifying_leave_the_upper_halves_clean, 0,
                        sizeof kinds / sizeof kinds[0]);
    tcase_add_test(tc, test_setting_a_poly1305_key_leaves_the_upper_halves_clean);
    tcase_add_test(tc, test_dirtied_registers_are_seen_as_such);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
