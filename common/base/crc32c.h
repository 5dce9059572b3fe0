/* CRC-32C (Castagnoli; RFC 3720 appendix B.4): finds torn and damaged bytes, not forged ones. Uses
 * the processor's instruction where there is one. Pure, any thread. */
#ifndef SPINDLE_COMMON_BASE_CRC32C_H
#define SPINDLE_COMMON_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of `len` bytes after those that gave `before`; 0 for the first. */
uint32_t crc32c(uint32_t before, const void *data, size_t len);
/* The same without the instruction: for tests. */
uint32_t crc32c_portable(uint32_t before, const void *data, size_t len);

#endif
