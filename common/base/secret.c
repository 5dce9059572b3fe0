/* Slabs of SLAB bytes, aligned to that, each of blocks of one size: the slab of a block is found by
 * its address. What is larger than a slab can hold has a mapping of its own, with the same header.
 * A new slab is touched as far as it is used. */
#include "common/base/secret.h"

#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/sanitizer.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

#define SLAB ((size_t)64 << 10)
#define ALIGN 16u
#define BLOCK_MIN 64u
#define STEPS 4u /* sizes between a power of two and the next: at most a fifth is lost */
#define CLASSES 33u
#define MAGIC UINT64_C(0x9d61b2f5c04e7a83)

struct block {
    SLIST_ENTRY(block) in_free;
};

struct slab {
    uint64_t magic;
    LIST_ENTRY(slab) in_room;
    SLIST_HEAD(, block) free; /* given back */
    size_t block_size;
    unsigned kind;  /* class; CLASSES: one large block */
    unsigned fresh; /* blocks never given out: those from here on */
    unsigned used, count;
    size_t mapped; /* from the header on, without the guards */
};
#define HEAD ((sizeof(struct slab) + ALIGN - 1) / ALIGN * ALIGN)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LIST_HEAD(, slab) with_room[CLASSES]; /* by class */

/* --- sizes ------------------------------------------------------------------------------------ */

static size_t class_size(unsigned kind)
{
    return ((size_t)BLOCK_MIN << kind / STEPS) / STEPS * (STEPS + kind % STEPS);
}

/* CLASSES for what is too large. */
static unsigned class_of(size_t size)
{
    unsigned kind = 0;
    while (kind < CLASSES && class_size(kind) < size)
        kind++;
    return kind;
}

/* --- mappings --------------------------------------------------------------------------------- */

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void trim(uint8_t *from, const uint8_t *to)
{
    if (to > from)
        munmap(from, (size_t)(to - from));
}

/* `size` bytes (whole pages) aligned to SLAB between two guards, or NULL. Not readable but for
 * them. What the kernel lacks of the rest costs that part of the protection, not the program. */
static struct slab *map(size_t size)
{
    size_t page = page_size(), all = size + SLAB + 2 * page;
    uint8_t *raw = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    uint8_t *at = raw + page;
    at += (SLAB - (uintptr_t)at % SLAB) % SLAB;
    trim(raw, at - page);
    trim(at + size + page, raw + all);
    if (mprotect(at, size, PROT_READ | PROT_WRITE) != 0) {
        munmap(at - page, size + 2 * page);
        return NULL;
    }
    (void)madvise(at, size, MADV_DONTDUMP);
    (void)mlock2(at, size, MLOCK_ONFAULT);
    return (struct slab *)(void *)at;
}

static void unmap(struct slab *s)
{
    size_t page = page_size();
    munmap((uint8_t *)s - page, s->mapped + 2 * page);
}

static struct slab *slab_new(unsigned kind, size_t block_size)
{
    size_t page = page_size(), need = (HEAD + block_size + page - 1) / page * page;
    size_t size = kind < CLASSES ? SLAB : need;
    struct slab *s = need >= block_size ? map(size) : NULL;
    if (s == NULL)
        return NULL;
    s->magic = MAGIC;
    s->kind = kind;
    s->block_size = block_size;
    s->count = kind < CLASSES ? (unsigned)((SLAB - HEAD) / block_size) : 1;
    s->mapped = size;
    return s;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void *take(struct slab *s)
{
    struct block *b = SLIST_FIRST(&s->free);
    if (b != NULL) {
        SLIST_REMOVE_HEAD(&s->free, in_free);
        SLIST_NEXT(b, in_free) = NULL; /* the rest was wiped when it came back */
    } else {
        b = (struct block *)(void *)((uint8_t *)s + HEAD + s->fresh++ * s->block_size);
    }
    s->used++;
    return b;
}

/* Wiped already. Of the empty slabs of a class one stays, for the next. */
static void give_back(struct slab *s, struct block *b)
{
    bool was_full = s->used-- == s->count;
    SLIST_INSERT_HEAD(&s->free, b, in_free);
    if (was_full)
        LIST_INSERT_HEAD(&with_room[s->kind], s, in_room);
    if (s->used == 0 && LIST_NEXT(LIST_FIRST(&with_room[s->kind]), in_room) != NULL) {
        LIST_REMOVE(s, in_room);
        unmap(s);
    }
}

/* --- use -------------------------------------------------------------------------------------- */

static void *alloc_apart(size_t size)
{
    unsigned kind = class_of(size);
    if (kind == CLASSES) {
        struct slab *large = slab_new(CLASSES, size);
        return large != NULL ? take(large) : NULL;
    }
    void *block = NULL;
    pthread_mutex_lock(&lock);
    struct slab *s = LIST_FIRST(&with_room[kind]);
    if (s == NULL) {
        s = slab_new(kind, class_size(kind));
        if (s != NULL)
            LIST_INSERT_HEAD(&with_room[kind], s, in_room);
    }
    if (s != NULL) {
        block = take(s);
        if (s->used == s->count)
            LIST_REMOVE(s, in_room);
    }
    pthread_mutex_unlock(&lock);
    return block;
}

static void free_apart(void *ptr)
{
    struct slab *s = (struct slab *)(void *)((uint8_t *)ptr - (uintptr_t)ptr % SLAB);
    assert(s->magic == MAGIC);
    mem_wipe(ptr, s->block_size);
    if (s->kind == CLASSES) {
        unmap(s);
        return;
    }
    pthread_mutex_lock(&lock);
    give_back(s, ptr);
    pthread_mutex_unlock(&lock);
}

/* With sanitizers: plain memory behind its size. */
union plain {
    size_t size;
    max_align_t align;
};

static void *alloc_plain(size_t size)
{
    union plain *p = size < SIZE_MAX / 2 ? mem_alloc(sizeof *p + size) : NULL;
    if (p == NULL)
        return NULL;
    p->size = size;
    return p + 1;
}

static void free_plain(void *ptr)
{
    union plain *p = (union plain *)ptr - 1;
    mem_wipe(ptr, p->size);
    mem_free(p);
}

bool secret_is_apart(void)
{
    return !SANITIZED;
}

void *secret_alloc(size_t size)
{
    if (SANITIZED)
        return alloc_plain(size);
    return mem_hook_fails() || size > SIZE_MAX / 2 ? NULL : alloc_apart(size);
}

void secret_free(void *ptr)
{
    if (ptr == NULL)
        return;
    if (SANITIZED)
        free_plain(ptr);
    else
        free_apart(ptr);
}
