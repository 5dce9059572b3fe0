/* Owned, growing bytes with a cap given at birth. One owner, one thread. */
#ifndef SPINDLE_COMMON_BASE_BUF_H
#define SPINDLE_COMMON_BASE_BUF_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct buf {
    uint8_t *data; /* owned; NULL while empty and never grown */
    size_t len;
    size_t cap;
    size_t max;
    bool secret; /* lies in secret.h's memory, wiped whenever bytes go */
};

/* Allocates nothing. */
void buf_init(struct buf *b, size_t max);
/* The same for bytes that are a private key or carry one. */
void buf_init_secret(struct buf *b, size_t max);
/* Frees; the struct is as after its init with the same max. */
void buf_done(struct buf *b);
/* Wipes the bytes first: for buffers that held keys. */
void buf_wipe(struct buf *b);

/* Room for `more` bytes at data + len. ERR_TOO_LARGE past max, ERR_NO_MEMORY. */
err_t buf_reserve(struct buf *b, size_t more) MUST_CHECK;
err_t buf_append(struct buf *b, const void *data, size_t len) MUST_CHECK;
err_t buf_append_str(struct buf *b, const char *text) MUST_CHECK;
err_t buf_printf(struct buf *b, const char *fmt, ...) MUST_CHECK
    __attribute__((format(printf, 2, 3)));
/* Drops `n` <= len bytes from the front. */
void buf_consume(struct buf *b, size_t n);
/* Keeps the allocation. */
void buf_clear(struct buf *b);
struct slice buf_slice(const struct buf *b);

#endif
