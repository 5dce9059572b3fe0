#include "common/crypto/crypto_facts.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <spindle_wolfssl.h>
#include <stdio.h>
#include <wolfssl/version.h>
#include <wolfssl/wolfcrypt/cpuid.h>

const char *crypto_facts_library(void)
{
    return "wolfSSL " LIBWOLFSSL_VERSION_STRING;
}

const char *crypto_facts_patches(void)
{
    return SPINDLE_WOLFSSL_PATCHES[0] != '\0' ? SPINDLE_WOLFSSL_PATCHES : "none";
}

#ifdef HAVE_CPUID

/* The library's own flags, in the order in which they are said. */
static const struct feature {
    cpuid_flags_t flag;
    const char *name;
} features[] = {
#ifdef HAVE_CPUID_INTEL
    {CPUID_AVX1, "avx"},  {CPUID_AVX2, "avx2"},   {CPUID_BMI1, "bmi1"},   {CPUID_BMI2, "bmi2"},
    {CPUID_ADX, "adx"},   {CPUID_MOVBE, "movbe"}, {CPUID_AESNI, "aesni"}, {CPUID_SHA, "sha"},
#ifdef CPUID_VAES
    {CPUID_VAES, "vaes"},
#endif
#else
    {CPUID_AES, "aes"},       {CPUID_PMULL, "pmull"}, {CPUID_SHA256, "sha256"},
    {CPUID_SHA512, "sha512"}, {CPUID_SHA3, "sha3"},
#endif
};

void crypto_facts_cpu(char ret_text[static CRYPTO_CPU_MAX])
{
    cpuid_flags_t have = cpuid_get_flags();
    size_t len = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if ((have & features[i].flag) != 0 && len < CRYPTO_CPU_MAX)
            len += (size_t)snprintf(ret_text + len, CRYPTO_CPU_MAX - len, "%s%s",
                                    len > 0 ? " " : "", features[i].name);
    if (len == 0)
        snprintf(ret_text, CRYPTO_CPU_MAX, "plain C");
}

#else

void crypto_facts_cpu(char ret_text[static CRYPTO_CPU_MAX])
{
    snprintf(ret_text, CRYPTO_CPU_MAX, "plain C");
}

#endif
