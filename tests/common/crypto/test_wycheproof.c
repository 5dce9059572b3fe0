/* A chosen part of project Wycheproof's vectors through our verifier and the calls of TLS, each
 * with clean and with dirty vector registers. What is right for a case is its `result`: see
 * check(). */
#include "common/crypto/crypto_facts.h"
#include "common/crypto/vector_registers.h"
#include "tests/support/crypto_case.h"
#include "tests/support/runner.h"
#include "tests/support/wycheproof_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MAX 8192u

static struct buf fields[8], out;
static size_t field_count;

static void start(void)
{
    field_count = 0;
    buf_init(&out, FIELD_MAX);
}

static void stop(void)
{
    crypto_case_dirty(false);
    for (size_t i = 0; i < field_count; i++)
        buf_done(&fields[i]);
    buf_done(&out);
}

/* Bytes of hex, until the test ends. */
static struct slice bytes(const char *hex)
{
    struct buf *b = &fields[field_count++];
    ck_assert_uint_le(field_count, sizeof fields / sizeof fields[0]);
    buf_init(b, FIELD_MAX);
    for (; *hex != '\0'; hex += 2) {
        char two[3] = {hex[0], hex[1], '\0'};
        uint8_t byte = (uint8_t)strtoul(two, NULL, 16);
        ck_assert_int_eq(buf_append(b, &byte, 1), ERR_OK);
    }
    return b->len > 0 ? buf_slice(b) : slice_str("");
}

/* Valid: taken, with the right answer. Invalid: refused. Acceptable: refused, or answered right. */
static void check(int id, enum wycheproof_result result, bool taken, struct slice want)
{
    if (result != ACCEPTABLE)
        ck_assert_msg(taken == (result == VALID), "case %d was %s", id,
                      taken ? "taken" : "refused");
    if (taken)
        ck_assert_msg(slice_eq(buf_slice(&out), want), "case %d: another value", id);
}

/* Loop tests run each case twice: even numbers clean, odd ones dirty. */
static size_t chosen(int i)
{
    crypto_case_dirty(i % 2 == 1);
    return (size_t)i / 2;
}

START_TEST(test_x25519_gives_the_secret_that_everybody_gets)
{
    const struct exchange_case *c = &x25519_cases[chosen(_i)];
    bool taken = crypto_case_x25519(bytes(c->peer), bytes(c->ours), &out);
    check(c->id, c->result, taken, bytes(c->secret));
}
END_TEST

START_TEST(test_p256_gives_the_secret_that_everybody_gets)
{
    const struct exchange_case *c = &ecdh_cases[chosen(_i)];
    bool taken = crypto_case_ecdh(bytes(c->peer), bytes(c->ours), &out);
    check(c->id, c->result, taken, bytes(c->secret));
}
END_TEST

START_TEST(test_a_signature_verifies_only_when_it_is_one)
{
    const struct signature_case *c = &signature_cases[chosen(_i)];
    bool taken =
        crypto_case_verify(c->algorithm, bytes(c->key), bytes(c->message), bytes(c->signature));
    check(c->id, c->result, taken, slice_of(NULL, 0));
}
END_TEST

START_TEST(test_what_was_sealed_opens_and_what_was_changed_does_not)
{
    const struct sealed_case *c = &sealed_cases[chosen(_i)];
    bool taken = crypto_case_open(c->cipher, bytes(c->key), bytes(c->nonce), bytes(c->aad),
                                  bytes(c->sealed), bytes(c->tag), &out);
    check(c->id, c->result, taken, bytes(c->plain));
}
END_TEST

START_TEST(test_hkdf_derives_the_standard_bytes)
{
    const struct hkdf_case *c = &hkdf_cases[chosen(_i)];
    bool taken = crypto_case_hkdf(bytes(c->key), bytes(c->salt), bytes(c->info), c->len, &out);
    check(c->id, c->result, taken, bytes(c->output));
}
END_TEST

START_TEST(test_mlkem_decapsulates_to_the_secret_of_the_standard)
{
    const struct kem_case *c = &kem_cases[chosen(_i)];
    bool taken = crypto_case_decapsulate(bytes(c->key), bytes(c->ciphertext), &out);
    check(c->id, c->result, taken, bytes(c->secret));
}
END_TEST

/* Both sizes must be what they are: one byte less or more is refused. */
START_TEST(test_mlkem_takes_no_other_sizes)
{
    const struct kem_case *c = &kem_cases[0];
    struct slice key = bytes(c->key), ciphertext = bytes(c->ciphertext);
    for (size_t cut = 0; cut < 2; cut++) {
        struct slice short_key = slice_of(key.data, key.len - (cut == 0));
        struct slice short_text = slice_of(ciphertext.data, ciphertext.len - (cut == 1));
        ck_assert(!crypto_case_decapsulate(short_key, short_text, &out));
    }
}
END_TEST

/* The hash of the public key that stands in the private one must be the public key's. */
START_TEST(test_mlkem_takes_no_key_that_does_not_belong_together)
{
    const struct kem_case *c = &kem_cases[0];
    enum { PUBLIC_AT = 1152, HASH_AT = 2400 - 64 };
    const size_t places[] = {PUBLIC_AT, HASH_AT};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char hex[4801];
        memcpy(hex, c->key, sizeof hex);
        hex[2 * places[i] + 1] = hex[2 * places[i] + 1] == '0' ? '1' : '0';
        ck_assert(!crypto_case_decapsulate(bytes(hex), bytes(c->ciphertext), &out));
    }
}
END_TEST

int main(void)
{
    char cpu[CRYPTO_CPU_MAX];
    Suite *suite = suite_create("wycheproof");
    TCase *tc = tcase_create("wycheproof");
    crypto_facts_cpu(cpu);
    printf("cpu: %s; dirty vector registers: %s\n", cpu,
           vector_registers_wide() ? "yes" : "none on this CPU");
    tcase_add_checked_fixture(tc, start, stop);
#define EACH(test, count) tcase_add_loop_test(tc, test, 0, 2 * (int)(count))
    EACH(test_x25519_gives_the_secret_that_everybody_gets, x25519_case_count);
    EACH(test_p256_gives_the_secret_that_everybody_gets, ecdh_case_count);
    EACH(test_a_signature_verifies_only_when_it_is_one, signature_case_count);
    EACH(test_what_was_sealed_opens_and_what_was_changed_does_not, sealed_case_count);
    EACH(test_hkdf_derives_the_standard_bytes, hkdf_case_count);
    EACH(test_mlkem_decapsulates_to_the_secret_of_the_standard, kem_case_count);
    tcase_add_test(tc, test_mlkem_takes_no_other_sizes);
    tcase_add_test(tc, test_mlkem_takes_no_key_that_does_not_belong_together);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
