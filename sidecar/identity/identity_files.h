/* An identity from three files: certificate, key, bundle. Blocking; run on the thread pool. */
#ifndef SPINDLE_SIDECAR_IDENTITY_IDENTITY_FILES_H
#define SPINDLE_SIDECAR_IDENTITY_IDENTITY_FILES_H

#include "common/encode/pem.h"
#include "common/spiffe/identity.h"

#define IDENTITY_FILE_MAX (1024u * 1024u) /* bytes of one PEM file */

struct identity_files {
    const char *certificate, *key, *bundle; /* borrowed */
};

/* Reads and checks the set: PEM, key mode (ERR_FILE_MODE), leaf rules, key and leaf belong together
 * (ERR_KEY_MISMATCH), chain and bundle verify at `now`, so that a half-written set is never taken.
 * Blocks that nobody reads go to `unused` (may be NULL). */
err_t identity_files_load(const struct identity_files *files, int64_t now,
                          struct pem_unused *unused, struct identity **ret,
                          struct why *why) MUST_CHECK;

#endif
