/* Cryptography that computes wrongly on demand, for the self-test's own tests. A suite that links
 * with the options of FAULTY_CRYPTO (tests/CMakeLists.txt) has these calls of wolfCrypt go through
 * here. */
#ifndef SPINDLE_TESTS_FAULTY_CRYPTO_H
#define SPINDLE_TESTS_FAULTY_CRYPTO_H

#include <stddef.h>

struct faulty_call {
    const char *function;  /* of wolfCrypt */
    const char *caught_by; /* the self-test that has to notice first */
};

size_t faulty_crypto_count(void);
const struct faulty_call *faulty_crypto_call(size_t index);
/* From now on this one gives a wrong result; NULL: none does. */
void faulty_crypto_set(const char *function);

#endif
