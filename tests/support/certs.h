/* Certificates for tests, good and hostile, made in code. Written apart from x509_build, so that
 * each knob can break a rule. Failures of the maker abort.
 *
 *   struct cert *root = cert_make(&(struct cert_knobs){.ca = true, .cn = "root"}, NULL);
 *   struct cert *leaf = cert_make(&(struct cert_knobs){.uri = "spiffe://example.org/web"}, root);
 *   ... cert_der(leaf), key_pkcs8(leaf->key), leaf->x509 ...
 *   cert_free(leaf); cert_free(root);
 *
 * A knob left 0 has the value of a good certificate: v3, P-256, valid from CERTS_NOW - 10 s for an
 * hour (leaf) or ten years (CA), the extensions an X509-SVID needs, key ids, a good signature. */
#ifndef SPINDLE_TESTS_CERTS_H
#define SPINDLE_TESTS_CERTS_H

#include "common/crypto/key.h"
#include "common/spiffe/bundle.h"
#include "common/x509/x509_build.h"
#include "tests/support/cert_sign.h"

#define CERTS_NOW INT64_C(1790000000) /* 2026-09-21T14:13:20Z: the tests' clock */

/* A literal as a struct slice, for static tables. */
#define BYTES(x)                                                                                   \
    {                                                                                              \
        .data = (const uint8_t *)(x), .len = sizeof(x) - 1                                         \
    }

struct cert {
    struct key *key;  /* owned */
    struct buf der;   /* owned */
    struct x509 x509; /* parsed; all zero when x509_parse refuses it */
    err_t parse_err;
};

struct cert_name { /* a GeneralName: DER_CONTEXT(6) URI, (2) DNS, (7) IP, (1) mail, ... */
    unsigned tag;
    struct slice value;
};
struct cert_attribute { /* of a Name; joined: in the RDN of the one before */
    struct slice oid;
    unsigned tag;
    struct slice value;
    bool joined;
};
struct cert_subtree {
    bool excluded;
    struct cert_name base;
    bool with_minimum; /* writes minimum 1, which nobody may accept */
};
struct cert_extension {
    struct slice oid, value; /* content of the OID, content of the OCTET STRING */
    bool critical;
};
enum cert_omit {
    CERT_OMIT_BASIC_CONSTRAINTS = 1,
    CERT_OMIT_KEY_USAGE = 2,
    CERT_OMIT_EXT_KEY_USAGE = 4,
    CERT_OMIT_KEY_IDS = 8,
    CERT_OMIT_SAN = 16,
};
struct cert_knobs {
    bool ca;
    const char *cn; /* NULL: empty subject */
    const char *organization;
    struct cert_attribute attributes[6]; /* the whole subject, instead of cn; oid.len 0 ends */
    const char *uri;                     /* first URI name; NULL: none */
    struct cert_name names[8];           /* further names, tag 0 ends */
    int64_t not_before, not_after;
    int path_len;                      /* n: pathLenConstraint n - 1 */
    unsigned key_usage, ext_key_usage; /* of x509.h */
    unsigned omit;                     /* enum cert_omit */
    struct cert_subtree subtrees[4];   /* name constraints, critical; tag 0 ends */
    struct cert_extension extra[6];    /* appended; oid.len 0 ends; one may double another */
    struct slice serial;               /* content of the INTEGER, as it is */
    struct slice subject_key_id, authority_key_id;
    struct slice subject, issuer, spki, validity; /* whole DER instead of ours */
    struct slice inner_algorithm, algorithm;      /* AlgorithmIdentifier inside, outside */
    struct slice signature;                       /* instead of a real one */
    struct slice after_key, raw_extensions;       /* DER as it is: unique ids; more Extensions */
    unsigned version;                             /* n: writes n - 1 (3: v3), 9: leaves it out */
    enum { CERT_SIGNED, CERT_BROKEN, CERT_OTHER_KEY } sign;
    enum key_kind key_kind;
    enum cert_scheme scheme; /* how the issuer signs; of its kind of key */
};

/* issuer NULL: self-signed. */
struct cert *cert_make(const struct cert_knobs *knobs, const struct cert *issuer);
void cert_free(struct cert *c); /* NULL is fine */
struct slice cert_der(const struct cert *c);
/* PEM of a certificate or of its key, appended. */
void cert_pem(const struct cert *c, struct buf *out);
void cert_key_pem(const struct cert *c, struct buf *out);
/* Puts one root for a trust domain into the set, beside those it has. */
void cert_trust(struct bundle_set *set, const char *trust_domain, const struct cert *root);
/* Parses again after a test changed bytes of c->der. */
void cert_reparse(struct cert *c);

#endif
