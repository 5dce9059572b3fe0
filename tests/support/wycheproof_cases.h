/* A chosen part of project Wycheproof's test vectors, as numbers: one of each kind of trouble that
 * they look for. All bytes in hex; `id` is the number of the case there. tests/wycheproof/run has
 * all. */
#ifndef SPINDLE_TESTS_WYCHEPROOF_CASES_H
#define SPINDLE_TESTS_WYCHEPROOF_CASES_H

#include <stddef.h>

enum wycheproof_result { VALID, INVALID, ACCEPTABLE };

struct exchange_case {
    int id;
    enum wycheproof_result result;
    const char *peer, *ours, *secret;
};
struct signature_case {
    int id;
    enum wycheproof_result result;
    const char *algorithm, *key, *message, *signature;
};
struct sealed_case {
    int id;
    enum wycheproof_result result;
    const char *cipher, *key, *nonce, *aad, *plain, *sealed, *tag;
};
struct hkdf_case {
    int id;
    enum wycheproof_result result;
    const char *key, *salt, *info;
    size_t len;
    const char *output;
};
struct kem_case {
    int id;
    enum wycheproof_result result;
    const char *key, *ciphertext, *secret;
};

extern const struct exchange_case x25519_cases[], ecdh_cases[];
extern const struct signature_case signature_cases[];
extern const struct sealed_case sealed_cases[];
extern const struct hkdf_case hkdf_cases[];
extern const struct kem_case kem_cases[];
extern const size_t x25519_case_count, ecdh_case_count, signature_case_count, sealed_case_count,
    hkdf_case_count, kem_case_count;

#endif
