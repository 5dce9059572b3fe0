#include "common/crypto/vector_registers.h"

#include <stdint.h>

#ifdef __x86_64__

#define REGISTERS 16
#define WIDTH 32

#define EACH(X)                                                                                    \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define CLOBBERED                                                                                  \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",       \
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "memory"

bool vector_registers_wide(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

void vector_registers_dirty(void)
{
    uint8_t bytes[REGISTERS * WIDTH];
    if (!vector_registers_wide())
        return;
    for (int i = 0; i < REGISTERS * WIDTH; i++)
        bytes[i] = (uint8_t)(i * 29 + 101); /* no two words alike, none of them zero */
#define LOAD(n) "vmovdqu " #n "*32(%0), %%ymm" #n "\n\t"
    __asm__ volatile(EACH(LOAD)::"r"(bytes) : CLOBBERED);
}

bool vector_registers_clean(void)
{
    uint8_t bytes[REGISTERS * WIDTH] = {0};
    if (!vector_registers_wide())
        return true;
#define STORE(n) "vmovdqu %%ymm" #n ", " #n "*32(%0)\n\t"
    __asm__ volatile(EACH(STORE)::"r"(bytes) : "memory");
    uint8_t upper = 0;
    for (int i = 0; i < REGISTERS * WIDTH; i++)
        upper |= i % WIDTH >= WIDTH / 2 ? bytes[i] : 0;
    return upper == 0;
}

void vector_registers_clear(void)
{
    if (vector_registers_wide())
        __asm__ volatile("vzeroupper");
}

#else

bool vector_registers_wide(void)
{
    return false;
}

void vector_registers_dirty(void)
{
}

bool vector_registers_clean(void)
{
    return true;
}

void vector_registers_clear(void)
{
}

#endif
