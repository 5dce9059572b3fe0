#include "common/crypto/selftest.h"

#include "common/crypto/crypto_facts.h"
#include "common/crypto/selftest_internal.h"
#include "common/crypto/vector_registers.h"

#include <string.h>

static const struct test {
    const char *name;
    bool (*run)(void);
    bool after_p256; /* once more, with the registers as a P-256 verification leaves them */
} tests[] = {
    {"SHA-256", selftest_sha256, false},
    {"SHA-384", selftest_sha384, false},
    {"HKDF", selftest_hkdf, false},
    {"AES-128-GCM", selftest_aes_128_gcm, false},
    {"AES-256-GCM", selftest_aes_256_gcm, false},
    {"ChaCha20-Poly1305", selftest_chacha20_poly1305, false},
    {"P-256 verification", selftest_p256_verify, false},
    {"P-256 signing", selftest_p256_sign, false},
    {"P-256 key exchange", selftest_p256_ecdh, false},
    {"P-384 verification", selftest_p384_verify, false},
    {"RSA verification", selftest_rsa_verify, false},
    {"X25519", selftest_x25519, true},
    {"Ed25519", selftest_ed25519, true},
    {"ML-KEM-768", selftest_mlkem_768, false},
};

size_t selftest_count(void)
{
    return sizeof tests / sizeof tests[0];
}

static bool passes(const struct test *t)
{
    if (t->after_p256 && (!selftest_p256_verify() || !t->run()))
        return false;
    vector_registers_dirty();
    bool right = t->run();
    vector_registers_clear();
    return right;
}

err_t selftest_run(struct why *why)
{
    for (size_t i = 0; i < selftest_count(); i++) {
        char cpu[CRYPTO_CPU_MAX];
        if (passes(&tests[i]))
            continue;
        crypto_facts_cpu(cpu);
        return why_set(
            why, ERR_CRYPTO,
            "%s computes wrongly on this machine, nothing was started: its keys would be "
            "wrong or known. Build anew with deploy/deps and, if that does not help, "
            "report it with this line (%s; cpu: %s; patches: %s)",
            tests[i].name, crypto_facts_library(), cpu, crypto_facts_patches());
    }
    return ERR_OK;
}

/* ---- for the tests ---- */

static uint8_t digit(char c)
{
    return (uint8_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
}

size_t selftest_bytes(const char *hex, uint8_t *ret, size_t max)
{
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len && i < max; i++)
        ret[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return len < max ? len : max;
}

bool selftest_is(const uint8_t *bytes, size_t len, const char *hex)
{
    uint8_t different = strlen(hex) != 2 * len;
    for (size_t i = 0; different == 0 && i < len; i++)
        different = bytes[i] ^ (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    return different == 0;
}

void selftest_message(uint8_t ret[static SELFTEST_MESSAGE_LEN])
{
    for (size_t i = 0; i < SELFTEST_MESSAGE_LEN; i++)
        ret[i] = (uint8_t)(i * 7 + 3);
}
