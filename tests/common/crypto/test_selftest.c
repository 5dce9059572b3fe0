/* The self-test at start: right answers pass, and each kind of wrong one is noticed and named. */
#include "common/crypto/crypto_facts.h"
#include "common/crypto/selftest.h"
#include "common/crypto/vector_registers.h"
#include "tests/support/faulty_crypto.h"
#include "tests/support/runner.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void stop(void)
{
    faulty_crypto_set(NULL);
}

START_TEST(test_the_cryptography_of_this_build_is_right_on_this_machine)
{
    struct why why = {0};
    ck_assert_msg(selftest_run(&why) == ERR_OK, "%s", why.text);
}
END_TEST

START_TEST(test_a_wrong_result_is_noticed_and_named)
{
    const struct faulty_call *call = faulty_crypto_call((size_t)_i);
    struct why why = {0};
    faulty_crypto_set(call->function);
    ck_assert_msg(selftest_run(&why) == ERR_CRYPTO, "%s is not noticed", call->function);
    ck_assert_msg(strncmp(why.text, call->caught_by, strlen(call->caught_by)) == 0,
                  "%s: expected %s, found: %s", call->function, call->caught_by, why.text);
    ck_assert_ptr_nonnull(strstr(why.text, "computes wrongly on this machine"));
    ck_assert_ptr_nonnull(strstr(why.text, crypto_facts_library()));
    ck_assert_ptr_nonnull(strstr(why.text, "cpu: "));
    ck_assert_ptr_nonnull(strstr(why.text, "deploy/deps"));
}
END_TEST

START_TEST(test_the_registers_are_clean_after_it)
{
    struct why why = {0};
    ck_assert_int_eq(selftest_run(&why), ERR_OK);
    ck_assert(vector_registers_clean());
}
END_TEST

/* Said for whoever reads the output, not judged: a busy machine is no failure. */
static void say_time(void)
{
    enum { ROUNDS = 20 };
    char cpu[CRYPTO_CPU_MAX];
    struct why why = {0};
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    for (int i = 0; i < ROUNDS; i++)
        if (selftest_run(&why) != ERR_OK)
            return;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    double ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    crypto_facts_cpu(cpu);
    printf("cpu: %s; %zu self-tests in %.2f ms\n", cpu, selftest_count(), ms / ROUNDS);
}

int main(void)
{
    Suite *suite = suite_create("selftest");
    TCase *tc = tcase_create("selftest");
    say_time();
    tcase_add_checked_fixture(tc, NULL, stop);
    tcase_add_test(tc, test_the_cryptography_of_this_build_is_right_on_this_machine);
    tcase_add_loop_test(tc, test_a_wrong_result_is_noticed_and_named, 0,
                        (int)faulty_crypto_count());
    tcase_add_test(tc, test_the_registers_are_clean_after_it);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
