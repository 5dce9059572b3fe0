#include "common/base/crc32c.h"

#include <string.h>

/* The sums of half a byte: the polynomial is 0x82f63b78, bits reversed. */
static const uint32_t half[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

static uint32_t run_portable(uint32_t crc, const uint8_t *at, size_t len)
{
    for (; len > 0; len--) {
        crc ^= *at++;
        crc = (crc >> 4) ^ half[crc & 15];
        crc = (crc >> 4) ^ half[crc & 15];
    }
    return crc;
}

uint32_t crc32c_portable(uint32_t before, const void *data, size_t len)
{
    return ~run_portable(~before, data, len);
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t run_fast(uint32_t crc, const uint8_t *at,
                                                           size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; len -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; len > 0; len--)
        crc = __builtin_ia32_crc32qi(crc, *at++);
    return crc;
}

uint32_t crc32c(uint32_t before, const void *data, size_t len)
{
    if (!__builtin_cpu_supports("sse4.2"))
        return crc32c_portable(before, data, len);
    return ~run_fast(~before, data, len);
}

#else

uint32_t crc32c(uint32_t before, const void *data, size_t len)
{
    return crc32c_portable(before, data, len);
}

#endif
