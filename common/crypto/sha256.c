#include "common/crypto/sha256.h"

#include "common/base/mem.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/sha256.h>

struct sha256 {
    wc_Sha256 state;
};

err_t sha256_new(struct sha256 **ret)
{
    struct sha256 *h = mem_alloc(sizeof *h);
    if (h == NULL)
        return ERR_NO_MEMORY;
    if (wc_InitSha256(&h->state) != 0) {
        mem_free(h);
        return ERR_INTERNAL;
    }
    *ret = h;
    return ERR_OK;
}

void sha256_free(struct sha256 *h)
{
    if (h == NULL)
        return;
    wc_Sha256Free(&h->state);
    mem_free(h);
}

err_t sha256_add(struct sha256 *h, struct slice bytes)
{
    while (bytes.len > 0) {
        word32 n = bytes.len < (1u << 30) ? (word32)bytes.len : (1u << 30);
        if (wc_Sha256Update(&h->state, bytes.data, n) != 0)
            return ERR_INTERNAL;
        bytes = slice_of(bytes.data + n, bytes.len - n);
    }
    return ERR_OK;
}

err_t sha256_end(struct sha256 *h, uint8_t ret_digest[static 32])
{
    return wc_Sha256Final(&h->state, ret_digest) == 0 ? ERR_OK : ERR_INTERNAL;
}
