#include "common/crypto/hedge.h"

#include "common/base/mem.h"
#include "common/base/rand.h"

#include <assert.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/sha512.h>

#define PIECE 32u /* of output; with a hash of 32 bytes all fits into one block of SHA-512 */

/* wolfSSL passes no context to its hook. */
static _Thread_local struct hedge *in_force;

static bool hash_parts(const struct slice *parts, size_t count, uint8_t out[WC_SHA512_DIGEST_SIZE])
{
    wc_Sha512 state;
    int rc = wc_InitSha512(&state);
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = wc_Sha512Update(&state, parts[i].data, (word32)parts[i].len);
    if (rc == 0)
        rc = wc_Sha512Final(&state, out);
    wc_Sha512Free(&state);
    mem_wipe(&state, sizeof state);
    return rc == 0;
}

bool hedge_secret(struct slice key, uint8_t out[static HEDGE_SECRET_LEN])
{
    const struct slice parts[] = {slice_str("spindle nonce of a signature"), key};
    uint8_t all[WC_SHA512_DIGEST_SIZE];
    bool ok = hash_parts(parts, 2, all);
    memcpy(out, all, HEDGE_SECRET_LEN);
    mem_wipe(all, sizeof all);
    return ok;
}

void hedge_begin(struct hedge *h, const uint8_t secret[static HEDGE_SECRET_LEN],
                 struct slice message)
{
    assert(in_force == NULL);
    *h = (struct hedge){.secret = secret, .message = message};
    in_force = h;
}

void hedge_end(struct hedge *h)
{
    assert(in_force == h);
    (void)h;
    in_force = NULL;
}

/* Random bytes first: what the hash does with the secret then differs each time. */
static bool hedge_piece(struct hedge *h, uint8_t *bytes, size_t len)
{
    uint8_t fresh[PIECE], all[WC_SHA512_DIGEST_SIZE];
    rand_bytes(fresh, sizeof fresh);
    const struct slice parts[] = {slice_of(fresh, sizeof fresh),
                                  slice_of(h->secret, HEDGE_SECRET_LEN),
                                  slice_of(&h->drawn, sizeof h->drawn), h->message};
    bool ok = hash_parts(parts, sizeof parts / sizeof parts[0], all);
    h->drawn++;
    if (ok)
        memcpy(bytes, all, len);
    mem_wipe(fresh, sizeof fresh);
    mem_wipe(all, sizeof all);
    return ok;
}

int spindle_rand_block(unsigned char *out, unsigned int len)
{
    struct hedge *h = in_force;
    if (h == NULL) {
        rand_bytes(out, len);
        return 0;
    }
    for (size_t done = 0; done < len;) {
        size_t n = len - done < PIECE ? len - done : PIECE;
        if (!hedge_piece(h, out + done, n))
            return -1;
        done += n;
    }
    return 0;
}
