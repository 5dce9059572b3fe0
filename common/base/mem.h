/* The only allocator of our own code. Every failure is an error that travels up, never an abort;
 * tests make the n-th allocation fail. Thread-safe (the fail hook is for single-threaded tests). */
#ifndef SPINDLE_COMMON_BASE_MEM_H
#define SPINDLE_COMMON_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed memory, or NULL. size 0 gives a valid pointer. */
void *mem_alloc(size_t size) __attribute__((malloc, warn_unused_result));
/* As calloc: NULL on overflow of count * size. */
void *mem_array(size_t count, size_t size) __attribute__((malloc, warn_unused_result));
/* As realloc; on NULL the old block is intact. New bytes are not zeroed. */
void *mem_resize(void *ptr, size_t size) __attribute__((warn_unused_result));
/* Room for one item more: `array` is where the pointer to `count` items of `size` bytes is kept. It
 * grows at 0 and at 8, 16, 32, ... so that nobody need keep how much room there is; nothing else
 * may size it. False: no memory, all is as it was. */
bool mem_grow(void *array, size_t count, size_t size) __attribute__((warn_unused_result));
void *mem_dup(const void *src, size_t size) __attribute__((malloc, warn_unused_result));
char *mem_strdup(const char *src) __attribute__((malloc, warn_unused_result));
void mem_free(void *ptr);
/* Overwrites secrets in a way the compiler keeps. */
void mem_wipe(void *ptr, size_t size);
/* Overwrites what functions that have returned left on the stack: wolfCrypt leaves parts of keys
 * there. The caller's own frame stays. */
void mem_wipe_stack(void);
/* Constant time; 0 when equal. */
int mem_compare_secret(const void *a, const void *b, size_t size);

/* Gives free memory back to the system; some milliseconds for a large heap. */
void mem_trim(void);

/* For programs that move bulk data: blocks of up to some MiB come from the heap and go back to it,
 * instead of from fresh pages each time (a page fault per 4 KiB costs more than the copy). Once, at
 * start. */
void mem_reuse_large_blocks(void);

/* Tests: let `n` allocations pass, fail each one after; -1 turns it off. */
void mem_fail_after(long n);
/* For allocators beside this one: counts one allocation; must it fail? */
bool mem_hook_fails(void);
/* Tests: did the hook fail at least one allocation since it was set? */
int mem_did_fail(void);

#endif
