#include "common/base/mem.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GROW_FIRST 8

/* Test hook: single-threaded tests only. -1 is off. */
static long fail_after = -1;
static int did_fail;

static int must_fail(void)
{
    if (__builtin_expect(fail_after < 0, 1))
        return 0;
    if (fail_after == 0) {
        did_fail = 1;
        return 1;
    }
    fail_after--;
    return 0;
}

void *mem_alloc(size_t size)
{
    return must_fail() ? NULL : calloc(1, size > 0 ? size : 1);
}

void *mem_array(size_t count, size_t size)
{
    return must_fail() ? NULL : calloc(count > 0 ? count : 1, size > 0 ? size : 1);
}

void *mem_resize(void *ptr, size_t size)
{
    return must_fail() ? NULL : realloc(ptr, size > 0 ? size : 1);
}

bool mem_grow(void *array, size_t count, size_t size)
{
    void *items;
    bool is_full = count == 0 || (count >= GROW_FIRST && (count & (count - 1)) == 0);
    if (!is_full)
        return true;
    memcpy(&items, array, sizeof items); /* whatever it points to, a pointer is one */
    items = mem_resize(items, (count == 0 ? GROW_FIRST : 2 * count) * size);
    if (items != NULL)
        memcpy(array, &items, sizeof items);
    return items != NULL;
}

void *mem_dup(const void *src, size_t size)
{
    void *copy = must_fail() ? NULL : malloc(size > 0 ? size : 1);
    if (copy != NULL && size > 0)
        memcpy(copy, src, size);
    return copy;
}

char *mem_strdup(const char *src)
{
    return mem_dup(src, strlen(src) + 1);
}

void mem_free(void *ptr)
{
    free(ptr);
}

void mem_wipe(void *ptr, size_t size)
{
    if (ptr != NULL && size > 0)
        explicit_bzero(ptr, size);
}

#define STACK_WIPED (16u << 10) /* test_key_memory looks whether it reaches */

__attribute__((noinline)) void mem_wipe_stack(void)
{
    uint8_t room[STACK_WIPED];
    explicit_bzero(room, sizeof room);
}

int mem_compare_secret(const void *a, const void *b, size_t size)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    unsigned diff = 0;
    for (size_t i = 0; i < size; i++)
        diff |= (unsigned)(x[i] ^ y[i]);
    return (int)diff;
}

#define LARGE_BLOCK (4 << 20)

void mem_reuse_large_blocks(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK); /* a refusal costs speed only */
    (void)mallopt(M_TRIM_THRESHOLD, LARGE_BLOCK);
}

void mem_fail_after(long n)
{
    fail_after = n;
    did_fail = 0;
}

bool mem_hook_fails(void)
{
    return must_fail() != 0;
}

int mem_did_fail(void)
{
    return did_fail;
}

void mem_trim(void)
{
    malloc_trim(0);
}
