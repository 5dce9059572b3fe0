/* The vector registers as other code may leave them: dirty() fills each of them whole, so that
 * whatever takes in an upper half that it did not set computes wrong. For the self-test at start
 * and for tests; any thread, its own registers. */
#ifndef SPINDLE_COMMON_CRYPTO_VECTOR_REGISTERS_H
#define SPINDLE_COMMON_CRYPTO_VECTOR_REGISTERS_H

#include <stdbool.h>

/* Has this CPU registers whose upper half old instructions leave alone? Only then dirtying does
 * anything. */
bool vector_registers_wide(void);
void vector_registers_dirty(void);
/* Are the upper halves of all of them zero? True where there are none. */
bool vector_registers_clean(void);
/* Makes them so. */
void vector_registers_clear(void);

#endif
