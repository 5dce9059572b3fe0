#include "common/base/rand.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#define BLOCK_LEN 4096u

/* Lies in a page of its own that reads as zero in a forked child: left == 0 then, so the child
 * draws anew. */
struct block {
    size_t left; /* unserved bytes, at the end of `bytes` */
    uint8_t bytes[BLOCK_LEN - sizeof(size_t)];
};

static pthread_key_t block_key;
static pthread_once_t block_once = PTHREAD_ONCE_INIT;

static void block_free(void *block)
{
    explicit_bzero(block, sizeof(struct block));
    munmap(block, sizeof(struct block));
}

static void block_key_make(void)
{
    if (pthread_key_create(&block_key, block_free) != 0)
        abort();
}

static struct block *block_make(void)
{
    struct block *b =
        mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED)
        abort();
    (void)madvise(b, sizeof *b, MADV_DONTDUMP); /* numbers that are still to be used */
    if (madvise(b, sizeof *b, MADV_WIPEONFORK) != 0 || pthread_setspecific(block_key, b) != 0)
        abort();
    return b;
}

static struct block *block_get(void)
{
    pthread_once(&block_once, block_key_make);
    struct block *b = pthread_getspecific(block_key);
    return b != NULL ? b : block_make();
}

static void draw(uint8_t *out, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = getrandom(out + done, len - done, 0);
        if (n < 0 && errno != EINTR)
            abort();
        done += n > 0 ? (size_t)n : 0;
    }
}

void rand_bytes(void *out, size_t len)
{
    struct block *b = block_get();
    if (len > sizeof b->bytes / 2) {
        draw(out, len);
        return;
    }
    if (b->left < len) {
        draw(b->bytes, sizeof b->bytes);
        b->left = sizeof b->bytes;
    }
    uint8_t *from = b->bytes + sizeof b->bytes - b->left;
    memcpy(out, from, len);
    explicit_bzero(from, len);
    b->left -= len;
}

uint64_t rand_below(uint64_t bound)
{
    uint64_t limit = UINT64_MAX - UINT64_MAX % bound; /* drop the uneven rest */
    uint64_t n;
    do {
        rand_bytes(&n, sizeof n);
    } while (n >= limit);
    return n % bound;
}
