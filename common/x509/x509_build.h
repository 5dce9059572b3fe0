/* New certificates: what a template says, in DER, signed. RFC 5280; X5-1 to X5-9. */
#ifndef SPINDLE_COMMON_X509_X509_BUILD_H
#define SPINDLE_COMMON_X509_X509_BUILD_H

#include "common/crypto/signer.h"
#include "common/x509/x509.h"

/* What a new certificate says. All slices borrowed. */
struct x509_template {
    struct slice serial;          /* big-endian, positive, <= 20 bytes */
    struct slice issuer, subject; /* Names, header included */
    int64_t not_before, not_after;
    struct slice spki; /* SubjectPublicKeyInfo, header included */
    bool is_ca;
    int path_len; /* -1: none */
    unsigned key_usage;
    unsigned ext_key_usage; /* 0: no such extension */
    const struct slice *uris;
    size_t uri_count;
    const struct slice *dns_names;
    size_t dns_count;
    struct slice subject_key_id, authority_key_id; /* empty: left out */
};
/* Builds and signs; appends the DER. SAN is critical when subject is an empty Name (RFC 5280
 * 4.2.1.6). Loop thread only (it signs). */
err_t x509_build(const struct x509_template *t, const struct signer *signer, struct buf *out,
                 struct why *why) MUST_CHECK;
/* Appends Name with the given attributes; NULL ones are left out; all NULL gives an empty Name. */
err_t x509_build_name(struct buf *out, const char *country, const char *organization,
                      const char *common_name) MUST_CHECK;

#endif
