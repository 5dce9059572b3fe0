/* No handshake fails after a rotation, whatever the code before left in the vector registers. The
 * long run is tests/soak/soak_rotation.c. */
#include "common/crypto/crypto_facts.h"
#include "tests/support/rotation_case.h"
#include "tests/support/runner.h"

#include <stdio.h>

enum { ROTATIONS = 40, HANDSHAKES = 4 };

START_TEST(test_the_first_handshakes_after_each_rotation_succeed)
{
    struct rotation_counts n = rotation_case_run(ROTATIONS, HANDSHAKES, NULL);
    ck_assert_int_eq(n.handshakes, ROTATIONS * HANDSHAKES);
    ck_assert_msg(n.failed == 0, "%ld of %ld failed, the first: %s", n.failed, n.handshakes,
                  why_text(&n.first));
}
END_TEST

int main(void)
{
    char cpu[CRYPTO_CPU_MAX];
    Suite *suite = suite_create("tls_rotation");
    TCase *tc = tcase_create("rotation");
    crypto_facts_cpu(cpu);
    printf("cpu: %s\n", cpu);
    tcase_add_test(tc, test_the_first_handshakes_after_each_rotation_succeed);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
