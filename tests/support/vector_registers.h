/* Fills the vector registers whole with random bytes, as other code may leave them: whatever then
 * takes in a register's upper half computes wrong. */
#ifndef SPINDLE_TESTS_VECTOR_REGISTERS_H
#define SPINDLE_TESTS_VECTOR_REGISTERS_H

#include <stdbool.h>

/* Has this CPU registers whose upper half old code does not see? Then dirtying them means
 * something. */
bool vector_registers_wide(void);
void vector_registers_dirty(void);
/* Are the upper halves of all of them zero? True where there are none. */
bool vector_registers_clean(void);

#endif
