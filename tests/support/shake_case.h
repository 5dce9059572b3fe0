/* Handshakes in memory, with the verifier's real verdict: does the whole engine take this chain? */
#ifndef SPINDLE_TESTS_SHAKE_CASE_H
#define SPINDLE_TESTS_SHAKE_CASE_H

#include "common/tls/tls.h"
#include "tests/support/certs.h"

#define SHAKE_CHAIN_MAX 12

struct shake_chain {
    struct slice certs[SHAKE_CHAIN_MAX]; /* as shown, leaf first */
    size_t count;
    struct slice key;   /* private, in any encoding that key_parse takes */
    struct slice roots; /* concatenated DER, for example.org */
};

/* Our own identity with this chain, at `side`, and an ordinary end of ours that judges it. The
 * error of whoever failed, of identity_new too. */
err_t shake_as_own(enum tls_side side, const struct shake_chain *c, struct why *why) MUST_CHECK;
/* A peer that is not ours shows the chain as it is: what the ordinary end says. `side` is the
 * peer's. */
err_t shake_as_peer(enum tls_side side, const struct shake_chain *c, struct why *why) MUST_CHECK;

#endif
