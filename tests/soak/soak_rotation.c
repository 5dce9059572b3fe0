/* Handshakes after rotations, in memory, by hand:
 *   cmake --build --preset release --target soak_rotation
 *   build/release/tests/soak_rotation [ROTATIONS [HANDSHAKES]]     5000 rotations, 100 handshakes
 * each Exit code 0 when none failed. */
#include "common/crypto/crypto_facts.h"
#include "common/crypto/selftest.h"
#include "common/crypto/vector_registers.h"
#include "tests/support/rotation_case.h"

#include <stdio.h>
#include <stdlib.h>

static void say(const struct rotation_counts *n)
{
    if (n->rotations % 100 == 0)
        fprintf(stderr, "\r%ld rotations, %ld handshakes, %ld failed", n->rotations, n->handshakes,
                n->failed);
}

int main(int argc, char **argv)
{
    char cpu[CRYPTO_CPU_MAX];
    struct why why = {0};
    long rotations = argc > 1 ? strtol(argv[1], NULL, 10) : 5000;
    int handshakes = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 100;
    crypto_facts_cpu(cpu);
    printf("%s, patches: %s\ncpu: %s\nvector registers: %s\n", crypto_facts_library(),
           crypto_facts_patches(), cpu,
           vector_registers_wide() ? "dirty in every second handshake" : "no upper halves");
    if (selftest_run(&why) != ERR_OK)
        printf("self-test: %s\n", why_text(&why)); /* go on: how often it shows is what we count */
    struct rotation_counts n = rotation_case_run(rotations, handshakes, say);
    fputc('\n', stderr);
    printf("%ld rotations, %ld handshakes, %ld failed\n", n.rotations, n.handshakes, n.failed);
    if (n.failed > 0)
        printf("the first: %s\n", why_text(&n.first));
    return n.failed == 0 ? 0 : 1;
}
