/* The embedded authority (authority: {kind: self}): a root (10 years) in DIR/root and an issuing
 * intermediate in DIR/issuer, each file in a versioned format, 0600, written atomically and
 * fsynced (docs/authority-files.md). The same after a restart. The intermediate is renewed at half
 * its life and never issues beyond its own end. Loop thread only. X5-1 to X5-9. */
#ifndef SPINDLE_AGENT_AUTHORITY_AUTHORITY_H
#define SPINDLE_AGENT_AUTHORITY_AUTHORITY_H

#include "common/base/buf.h"
#include "common/crypto/key.h"
#include "common/x509/x509.h"

#include <stdint.h>

#define AUTHORITY_ROOT_TTL_S ((int64_t)3650 * 24 * 3600)
#define AUTHORITY_BACKDATE_S 10
#define AUTHORITY_DNS_MAX 256 /* DNS names of one leaf */

struct authority; /* opaque */

/* Opens DIR (made 0700 when its parent exists), reads or makes root and issuer. now: unix s.
 * What is torn, of another trust domain or does not fit together is an error that names the file
 * and what to do; nothing on disk is changed then. ERR_FILE_MODE, ERR_PARSE, ERR_UNSUPPORTED
 * (version), ERR_CERT_EXPIRED (root), ERR_CONFIG (trust domain), ERR_IO. */
err_t authority_open(const char *dir, const char *trust_domain, int64_t issuer_ttl_s, int64_t now,
                     struct authority **ret, struct why *why) MUST_CHECK;
void authority_close(struct authority *a); /* NULL is fine; wipes the keys */

/* Renews the issuer when half its life is over, or when the clock has left its validity;
 * *ret_renewed says whether it did. A failure keeps the old one. Cheap when nothing is due. */
err_t authority_tick(struct authority *a, int64_t now, bool *ret_renewed,
                     struct why *why) MUST_CHECK;
/* When to call authority_tick next (unix s); soon after a failure. */
int64_t authority_next_tick(const struct authority *a);

struct authority_request {
    const char *spiffe_id;
    const char *const *dns_names; /* NULL-terminated or NULL */
    struct slice spki;
    int64_t now, ttl_s; /* notBefore = now - 10 s; notAfter <= the issuer's */
};
struct authority_answer {
    int64_t not_before, not_after;
    uint8_t serial[16];
    uint8_t issuer[X509_KEY_ID_LEN]; /* key identifier of who signed */
};
/* Appends leaf and intermediate, concatenated DER; `chain` is as before on failure. ERR_SIGNER
 * when the issuer is not valid now (a tick failed). */
err_t authority_issue(struct authority *a, const struct authority_request *req, struct buf *chain,
                      struct authority_answer *ret, struct why *why) MUST_CHECK;
/* The roots, concatenated DER, borrowed until authority_tick or authority_close. */
struct slice authority_bundle(const struct authority *a);
int64_t authority_issuer_not_before(const struct authority *a);
int64_t authority_issuer_not_after(const struct authority *a);
int64_t authority_root_not_after(const struct authority *a);

#endif
