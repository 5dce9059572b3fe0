/* Answers of the Workload API as bytes, for tests of its clients. */
#ifndef SPINDLE_TESTS_WORKLOAD_ANSWER_H
#define SPINDLE_TESTS_WORKLOAD_ANSWER_H

#include "tests/support/certs.h"

#define ANSWER_SVIDS_MAX 4
#define ANSWER_BUNDLES_MAX 4

struct answer_svid {
    const char *spiffe_id; /* NULL ends the list */
    struct slice chain, key, bundle;
    const char *hint;
};
struct answer_bundle {
    const char *trust_domain; /* as the map's key; NULL ends the list */
    struct slice roots;
};
struct answer {
    struct answer_svid svids[ANSWER_SVIDS_MAX + 1];
    struct answer_bundle bundles[ANSWER_BUNDLES_MAX + 1]; /* federated ones in X509SVIDResponse */
};

/* Appends an X509SVIDResponse; an X509BundlesResponse. */
void answer_put_svids(const struct answer *a, struct buf *out);
void answer_put_bundles(const struct answer *a, struct buf *out);
/* One SVID of a leaf and its root. */
struct answer_svid answer_svid_of(const char *spiffe_id, const struct cert *leaf,
                                  const struct cert *root);

#endif
