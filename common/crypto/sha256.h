/* SHA-256 of bytes that come in pieces. For bytes at hand there is sha256_of (x509.h). Any thread,
 * one at a time. */
#ifndef SPINDLE_COMMON_CRYPTO_SHA256_H
#define SPINDLE_COMMON_CRYPTO_SHA256_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct sha256; /* opaque */

err_t sha256_new(struct sha256 **ret) MUST_CHECK;
void sha256_free(struct sha256 *h); /* NULL is fine */
err_t sha256_add(struct sha256 *h, struct slice bytes) MUST_CHECK;
/* The digest; nothing may be added after it. */
err_t sha256_end(struct sha256 *h, uint8_t ret_digest[static 32]) MUST_CHECK;

#endif
