/* Random bytes from the kernel, drawn in blocks, one a thread (docs/adr/0001 says why). The block
 * lies in memory that a fork wipes (MADV_WIPEONFORK), so a child never repeats its parent's
 * numbers. Served bytes are wiped from the block at once. */
#ifndef SPINDLE_COMMON_BASE_RAND_H
#define SPINDLE_COMMON_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* Any thread. Aborts when the kernel gives no random bytes: there is nothing safe to go on with. */
void rand_bytes(void *out, size_t len);
/* Uniform in [0, bound); bound > 0. */
uint64_t rand_below(uint64_t bound);

#endif
