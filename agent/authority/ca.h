/* A certificate authority of our own: a root (10 years) in DIR/root and an issuing intermediate in
 * DIR/issuer, each file in a versioned format, 0600, written atomically and fsynced
 * (docs/authority-files.md). The same after a restart. It never issues beyond the intermediate's
 * own end. One thread, but for ca_store. X5-1 to X5-9. */
#ifndef SPINDLE_AGENT_AUTHORITY_CA_H
#define SPINDLE_AGENT_AUTHORITY_CA_H

#include "agent/authority/authority.h"
#include "agent/authority/authority_file.h"

#define CA_ROOT_TTL_S ((int64_t)3650 * 24 * 3600)

struct ca; /* opaque */

/* keys: borrowed. Opens DIR (made 0700 when its parent exists), reads or makes root and issuer:
 * blocks. now: unix s. What is torn, of another trust domain or does not fit together is an error
 * that names the file and what to do; nothing on disk is changed then. ERR_FILE_MODE, ERR_PARSE,
 * ERR_UNSUPPORTED (version), ERR_CERT_EXPIRED (root), ERR_CONFIG (trust domain), ERR_IO. */
err_t ca_open(const char *dir, const char *trust_domain, int64_t issuer_ttl_s,
              const struct key_store *keys, int64_t now, struct ca **ret,
              struct why *why) MUST_CHECK;
void ca_close(struct ca *ca); /* NULL is fine; wipes the keys */

/* The intermediate is renewed when half its life is over, or when the clock has left its validity,
 * in three steps: ca_next makes another one in memory (ret->keys is NULL when none is due),
 * ca_store writes it (blocks; any thread, the rest of `ca` may be used meanwhile), ca_renewed takes
 * it into use, or keeps the old one if `err`, of one of the others, says so; `next` is taken. */
err_t ca_next(const struct ca *ca, int64_t now, struct authority_cert *ret,
              struct why *why) MUST_CHECK;
err_t ca_store(const struct ca *ca, const struct authority_cert *next, struct why *why) MUST_CHECK;
void ca_renewed(struct ca *ca, struct authority_cert *next, err_t err, int64_t now);
/* When to call ca_next (unix s); soon after a failure. */
int64_t ca_next_at(const struct ca *ca);

/* Appends leaf and intermediate to `chain`, which is as before on failure; the answer's chain
 * borrows it. ERR_SIGNER when the issuer is not valid now. */
err_t ca_issue(struct ca *ca, const struct authority_request *req, struct buf *chain,
               struct authority_answer *ret, struct why *why) MUST_CHECK;
/* The roots, concatenated DER, borrowed until ca_close. */
struct slice ca_bundle(const struct ca *ca);
struct authority_times ca_times(const struct ca *ca);

#endif
