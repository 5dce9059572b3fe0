/* A certificate of the embedded authority and its key, in one file: versioned text with PEM inside
 * and a check sum at the end (docs/authority-files.md). Written whole or not at all: a temporary
 * file beside it, fsync, rename, fsync of the folder. Blocking; used at start and at renewals. */
#ifndef SPINDLE_AGENT_AUTHORITY_AUTHORITY_FILE_H
#define SPINDLE_AGENT_AUTHORITY_AUTHORITY_FILE_H

#include "common/crypto/key_store.h"
#include "common/x509/x509.h"

#define AUTHORITY_FILE_MAX (64u * 1024u)

struct authority_cert {
    struct buf der;               /* owned */
    struct x509 cert;             /* borrows der */
    struct signer signer;         /* owned; with the certificate's key */
    const struct key_store *keys; /* where that lives; NULL: there is no certificate here */
};
void authority_cert_done(struct authority_cert *c); /* wipes the key; zeroed is fine */

/* ERR_NOT_FOUND when there is no such file; ERR_FILE_MODE when others than its owner may read it;
 * ERR_UNSUPPORTED for another version; ERR_PARSE when it is cut short or damaged. */
err_t authority_file_read(const char *path, const struct key_store *keys,
                          struct authority_cert *ret, struct why *why) MUST_CHECK;
/* The same from the file's text. Pure. */
err_t authority_file_parse(struct slice text, const struct key_store *keys,
                           struct authority_cert *ret, struct why *why) MUST_CHECK;
/* Replaces DIR/NAME. On failure the old file is as it was. */
err_t authority_file_write(const char *dir, const char *name, const struct authority_cert *c,
                           struct why *why) MUST_CHECK;

#endif
