#include "common/base/buf.h"

#include "common/base/mem.h"
#include "common/base/secret.h"

#include <stdarg.h>
#include <stdio.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_init_secret(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max, .secret = true};
}

static void free_bytes(const struct buf *b)
{
    if (b->secret)
        secret_free(b->data);
    else
        mem_free(b->data);
}

void buf_done(struct buf *b)
{
    free_bytes(b);
    *b = (struct buf){.max = b->max, .secret = b->secret};
}

void buf_wipe(struct buf *b)
{
    mem_wipe(b->data, b->cap);
    buf_done(b);
}

/* Grows by copy and wipe rather than realloc, so that no stale copy of a key stays in freed
 * memory; buffers on hot paths are sized once. */
static err_t grow(struct buf *b, size_t cap)
{
    /* plain memory is not zeroed: bytes past len are nobody's */
    uint8_t *data = b->secret ? secret_alloc(cap) : mem_resize(NULL, cap);
    if (data == NULL)
        return ERR_NO_MEMORY;
    if (b->len > 0)
        memcpy(data, b->data, b->len);
    mem_wipe(b->data, b->len);
    free_bytes(b);
    b->data = data;
    b->cap = cap;
    return ERR_OK;
}

err_t buf_reserve(struct buf *b, size_t more)
{
    if (more > b->max || b->len > b->max - more)
        return ERR_TOO_LARGE;
    size_t need = b->len + more;
    if (need <= b->cap)
        return ERR_OK;
    size_t cap = b->cap > 0 ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    return grow(b, cap < b->max ? cap : b->max);
}

err_t buf_append(struct buf *b, const void *data, size_t len)
{
    err_t err = buf_reserve(b, len);
    if (err == ERR_OK && len > 0) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
    return err;
}

err_t buf_append_str(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

err_t buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[512];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int want = vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    err_t err = want < 0 ? ERR_INTERNAL : ERR_OK;
    if (err == ERR_OK && (size_t)want < sizeof small) {
        err = buf_append(b, small, (size_t)want);
    } else if (err == ERR_OK) {
        size_t with_nul = (size_t)want + 1;
        char *large = mem_alloc(with_nul);
        err = large == NULL ? ERR_NO_MEMORY : ERR_OK;
        if (err == ERR_OK) {
            vsnprintf(large, with_nul, fmt, again);
            err = buf_append(b, large, (size_t)want);
        }
        mem_free(large);
    }
    va_end(again);
    return err;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->len);
}
