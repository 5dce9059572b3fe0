/* X.509 certificates: parse into borrowed slices, show, check a signature. Pure, no I/O.
 * RFC 5280; X509-SVID sections 2 to 4. Making is in x509_build.h, judging in svid_verify.h. */
#ifndef SPINDLE_COMMON_X509_X509_H
#define SPINDLE_COMMON_X509_X509_H

#include "common/base/slice.h"
#include "common/base/why.h"

#define X509_DER_MAX (64u * 1024u) /* bytes of one certificate we look at */
#define X509_URI_MAX 4             /* URI names kept; uri_count has the true number */

/* keyUsage bits, RFC 5280 4.2.1.3 */
enum x509_key_usage {
    X509_KU_DIGITAL_SIGNATURE = 1u << 0,
    X509_KU_NON_REPUDIATION = 1u << 1,
    X509_KU_KEY_ENCIPHERMENT = 1u << 2,
    X509_KU_DATA_ENCIPHERMENT = 1u << 3,
    X509_KU_KEY_AGREEMENT = 1u << 4,
    X509_KU_CERT_SIGN = 1u << 5,
    X509_KU_CRL_SIGN = 1u << 6,
    X509_KU_ENCIPHER_ONLY = 1u << 7,
    X509_KU_DECIPHER_ONLY = 1u << 8,
};
enum x509_ext_key_usage {
    X509_EKU_SERVER_AUTH = 1u << 0,
    X509_EKU_CLIENT_AUTH = 1u << 1,
    X509_EKU_ANY = 1u << 2,
    X509_EKU_OTHER = 1u << 3,
};

/* One parsed certificate. Every slice borrows the DER it was parsed from. */
struct x509 {
    struct slice der;
    struct slice tbs;             /* what is signed, header included */
    struct slice serial;          /* big-endian, no leading zero; zero is one byte */
    struct slice issuer, subject; /* Name, header included */
    int64_t not_before, not_after;
    struct slice spki;                /* SubjectPublicKeyInfo, header included */
    struct slice signature_algorithm; /* AlgorithmIdentifier, header included */
    struct slice signature;
    bool has_basic_constraints, is_ca, has_path_len;
    unsigned path_len;
    bool has_key_usage, key_usage_critical;
    unsigned key_usage;
    bool has_ext_key_usage;
    unsigned ext_key_usage;
    bool has_san, san_critical;
    struct slice san; /* content of GeneralNames */
    size_t uri_count;
    struct slice uri[X509_URI_MAX];
    struct slice subject_key_id, authority_key_id; /* empty when absent */
    bool has_name_constraints;
    struct slice name_constraints;                               /* content of NameConstraints */
    struct slice crl_distribution_points, authority_info_access; /* extension values, or empty */
    struct slice policies, policy_mappings;                      /* extension values, or empty */
    /* policyConstraints, inhibitAnyPolicy; n: after n - 1 more certificates, 0: not said */
    unsigned explicit_policy, inhibit_mapping, inhibit_any_policy;
    bool has_unknown_critical;
    struct slice unknown_critical; /* its OID content */
};

/* ERR_CERT_MALFORMED, saying which field. Unknown critical extensions are recorded, not refused. */
err_t x509_parse(struct slice der, struct x509 *ret_cert, struct why *why) MUST_CHECK;

/* A certificate as a trust anchor, of which little matters: subject, key (of a kind and size that
 * we accept), name constraints, times; key identifier and names for hints and lines. Whatever else
 * is odd about it is not looked at. ERR_CERT_MALFORMED, ERR_CERT_ALGORITHM. */
err_t x509_parse_anchor(struct slice der, struct x509 *ret_cert, struct why *why) MUST_CHECK;

/* The subject of what may be a broken certificate, for error lines; empty when it is not found. */
struct slice x509_subject_of(struct slice der);

/* Is it one name (RFC 5280 7.1)? The same bytes, or the same text in another string type, case or
 * spacing (short names only). Whose key signed decides in the end. (x509_name.c) */
bool x509_names_match(struct slice a, struct slice b);
/* "CN=web,O=SPIFFE": for people; escapes, never fails, cuts at `size`. Returns out. */
const char *x509_name_text(struct slice name, char *out, size_t size);
/* "spiffe://…, serial 1f2e…, valid FROM to TO": for error lines. Returns out. */
const char *x509_describe(const struct x509 *cert, char *out, size_t size);
/* "1.2.840" of an OID's content, in hex when an arc has more than 64 bits. Returns out. */
const char *x509_oid_text(struct slice oid, char *out, size_t size);
/* Lower-case hex of a serial; returns out. */
const char *x509_serial_text(struct slice serial, char *out, size_t size);

/* SHA-1 of the public key's bits as RFC 5280 4.2.1.2 (1). */
#define X509_KEY_ID_LEN 20
err_t x509_key_id(struct slice spki, uint8_t out[static X509_KEY_ID_LEN]) MUST_CHECK;
/* SHA-256 over bytes. */
#define SHA256_LEN 32
void sha256_of(struct slice bytes, uint8_t out[static SHA256_LEN]);

/* Splits concatenated DER certificates (x509_svid, bundle fields) into slices.
 * ERR_CERT_MALFORMED; ERR_CHAIN_TOO_LONG past max. */
err_t x509_split(struct slice ders, struct slice *out, size_t max, size_t *ret_count,
                 struct why *why) MUST_CHECK;

#endif
