/* What does the cryptography of this program: the library's version, our patches to it, and what it
 * uses of the CPU. For --version, `config check` and the words of a failed self-test. */
#ifndef SPINDLE_COMMON_CRYPTO_CRYPTO_FACTS_H
#define SPINDLE_COMMON_CRYPTO_CRYPTO_FACTS_H

#include <stddef.h>

#define CRYPTO_CPU_MAX 128

/* "wolfSSL 5.9.2". Static. */
const char *crypto_facts_library(void);
/* Names of the patches in it, separated by spaces; "none". Static. */
const char *crypto_facts_patches(void);
/* "avx2 bmi2 adx aesni sha": those features of the CPU that there is code for and that it has, or
 * "plain C". */
void crypto_facts_cpu(char ret_text[static CRYPTO_CPU_MAX]);

#endif
