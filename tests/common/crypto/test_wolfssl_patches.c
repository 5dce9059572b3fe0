/* What our patches to wolfSSL mend (deploy/wolfssl/patches), where no public call reaches the case:
 * the inner functions with the inputs that went wrong. The machine code of other CPUs has none of
 * these faults, or none that can be reached so. */
#include "tests/support/runner.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/wc_mlkem.h>

#define Q 3329
#define N 256

/* Compress_1 of FIPS 203 section 4.2.1, for every value there is. */
START_TEST(test_mlkem_rounds_every_value_to_the_right_bit)
{
    mlkem_init();
    for (int first = 0; first < Q; first += N) {
        int16_t values[N] __attribute__((aligned(32)));
        uint8_t message[N / 8] __attribute__((aligned(32)));
        for (int i = 0; i < N; i++)
            values[i] = (int16_t)((first + i) % Q);
        mlkem_to_msg(message, values);
        for (int i = 0; i < N; i++) {
            int x = (first + i) % Q, want = ((2 * x + Q / 2) / Q) & 1;
            ck_assert_msg((message[i / 8] >> i % 8 & 1) == want, "%d: expected %d", x, want);
        }
    }
}
END_TEST

/* The nonce ends where the next page may not be read. */
START_TEST(test_gcm_reads_twelve_bytes_of_a_nonce)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *two = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(two, MAP_FAILED);
    ck_assert_int_eq(mprotect(two + page, page, PROT_NONE), 0);
    uint8_t *nonce = two + page - 12, key[16] = {1}, plain[64] = {2}, out[64], back[64], tag[16];
    Aes aes;
    ck_assert_int_eq(wc_AesInit(&aes, NULL, INVALID_DEVID), 0);
    ck_assert_int_eq(wc_AesGcmSetKey(&aes, key, sizeof key), 0);
    ck_assert_int_eq(
        wc_AesGcmEncrypt(&aes, out, plain, sizeof plain, nonce, 12, tag, sizeof tag, NULL, 0), 0);
    ck_assert_int_eq(
        wc_AesGcmDecrypt(&aes, back, out, sizeof out, nonce, 12, tag, sizeof tag, NULL, 0), 0);
    ck_assert_mem_eq(back, plain, sizeof plain);
    wc_AesFree(&aes);
    munmap(two, 2 * page);
}
END_TEST

#ifdef __x86_64__

#define WORDS 4

void sp_256_mont_tpl_4(uint64_t *r, const uint64_t *a, const uint64_t *m);
void sp_256_mont_rsb_sub_dbl_4(uint64_t *r, const uint64_t *a, uint64_t *b, const uint64_t *m);

static const uint64_t prime[WORDS] = {UINT64_MAX, 0xffffffff, 0, 0xffffffff00000001};

/* a - b, or with a borrow 2^256 more; the borrow. */
static bool subtract(uint64_t *r, const uint64_t *a, const uint64_t *b)
{
    unsigned __int128 borrow = 0;
    for (int i = 0; i < WORDS; i++) {
        unsigned __int128 x = (unsigned __int128)a[i] - b[i] - borrow;
        r[i] = (uint64_t)x;
        borrow = x >> 127;
    }
    return borrow != 0;
}

static void reduce(uint64_t *a)
{
    uint64_t less[WORDS];
    while (!subtract(less, a, prime))
        memcpy(a, less, sizeof less);
}

/* r = a + b mod the prime; both below it. */
static void add(uint64_t *r, const uint64_t *a, const uint64_t *b)
{
    uint64_t rest[WORDS];
    subtract(rest, prime, b);
    if (subtract(r, a, rest)) {
        unsigned __int128 carry = 0;
        for (int i = 0; i < WORDS; i++) {
            carry += (unsigned __int128)r[i] + prime[i];
            r[i] = (uint64_t)carry;
            carry >>= 64;
        }
    }
}

/* Not below the prime, but below 2^256, as sums in between are: twice it overflows twice. */
static const uint64_t large[][WORDS] = {
    {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
    {UINT64_MAX - 1, UINT64_MAX, UINT64_MAX, UINT64_MAX},
    {0, 0, UINT64_MAX, UINT64_MAX},
    {5, 0xffffffff00000000, UINT64_MAX, 0xffffffff00000001},
    {1, 2, 3, 4},
};

START_TEST(test_p256_triples_numbers_that_overflow_twice)
{
    uint64_t a[WORDS], made[WORDS], want[WORDS];
    memcpy(a, large[_i], sizeof a);
    sp_256_mont_tpl_4(made, large[_i], prime);
    reduce(made);
    reduce(a);
    add(want, a, a);
    add(want, want, a);
    ck_assert_mem_eq(made, want, sizeof want);
}
END_TEST

/* r = a - 2 b, b = b - r. */
START_TEST(test_p256_subtracts_doubles_that_overflow_twice)
{
    uint64_t a[WORDS] = {7, 0, 0, 1}, b[WORDS], r[WORDS], plain[WORDS], sum[WORDS];
    memcpy(b, large[_i], sizeof b);
    memcpy(plain, large[_i], sizeof plain);
    reduce(plain);
    sp_256_mont_rsb_sub_dbl_4(r, a, b, prime);
    reduce(r);
    reduce(b);
    add(sum, r, plain);
    add(sum, sum, plain);
    ck_assert_mem_eq(sum, a, sizeof sum);
    add(sum, b, r);
    ck_assert_mem_eq(sum, plain, sizeof sum);
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("wolfssl_patches");
    TCase *tc = tcase_create("patches");
    tcase_add_test(tc, test_mlkem_rounds_every_value_to_the_right_bit);
    tcase_add_test(tc, test_gcm_reads_twelve_bytes_of_a_nonce);
#ifdef __x86_64__
    int count = sizeof large / sizeof large[0];
    tcase_add_loop_test(tc, test_p256_triples_numbers_that_overflow_twice, 0, count);
    tcase_add_loop_test(tc, test_p256_subtracts_doubles_that_overflow_twice, 0, count);
#else
    puts("not x86-64: the sums of P-256 are other code here");
#endif
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
