/* One row of a table of chains: root (trusted for example.org and 10.0.0.1), issuer, leaf; the
 * knobs say what is wrong with each, `want` what svid_verify must say. */
#ifndef SPINDLE_TESTS_CHAIN_CASE_H
#define SPINDLE_TESTS_CHAIN_CASE_H

#include "common/encode/der.h"
#include "common/spiffe/svid_verify.h"
#include "tests/support/certs.h"

#define WEB "spiffe://example.org/web" /* the leaf's ID, unless no_uri or leaf.uri says else */
/* Names for knobs. */
#define URI(x)                                                                                     \
    {                                                                                              \
        DER_CONTEXT(6), BYTES(x)                                                                   \
    }
#define DNS(x)                                                                                     \
    {                                                                                              \
        DER_CONTEXT(2), BYTES(x)                                                                   \
    }
#define IP(x)                                                                                      \
    {                                                                                              \
        DER_CONTEXT(7), BYTES(x)                                                                   \
    }
#define MAIL(x)                                                                                    \
    {                                                                                              \
        DER_CONTEXT(1), BYTES(x)                                                                   \
    }

struct chain_case {
    const char *what;
    err_t want;
    const char *says; /* a word of the cause, NULL: any */
    struct cert_knobs leaf, issuer, root;
    enum { SHOW_BOTH, SHOW_LEAF, SHOW_ROOT_TOO } show;
    bool no_uri;
    int64_t max_lifetime_s;
    enum { ROLE_BOTH, ROLE_CLIENT, ROLE_SERVER } role;
};

/* Makes the chain and checks the verdict, for the roles the row is about; asserts. */
void chain_case_check(const struct chain_case *c);

#endif
