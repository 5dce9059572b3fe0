/* Known-answer tests of the cryptography, before the first key is used: hashes, key derivation, the
 * ciphers of TLS 1.3, and each kind of key and key exchange that we accept. Assembly that goes
 * wrong on this very machine, or a library built otherwise than we think, is found here and not in
 * a peer's log. Each answer is one of a standard or of another library.
 *
 * Each test runs with the vector registers dirtied; those of X25519 and Ed25519 also right after a
 * P-256 verification, which has left them dirty before. A few milliseconds; any thread. */
#ifndef SPINDLE_COMMON_CRYPTO_SELFTEST_H
#define SPINDLE_COMMON_CRYPTO_SELFTEST_H

#include "common/base/why.h"

/* ERR_CRYPTO: names the first test that failed. The program must not go on then. */
err_t selftest_run(struct why *why) MUST_CHECK;

/* How many tests there are, for tests. */
size_t selftest_count(void);

#endif
