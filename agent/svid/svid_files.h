/* Writes SVIDs as PEM files: svid.N.pem (leaf first), svid.N.key (PKCS#8, 0600), bundle.N.pem,
 * federated_bundle.N.M.pem, N and M from 0. Each file is replaced in one step; the key's first. */
#ifndef SPINDLE_AGENT_SVID_SVID_FILES_H
#define SPINDLE_AGENT_SVID_SVID_FILES_H

#include "common/rpc/workload_message.h"

/* Makes the last folder of `dir` 0700 when it is not there. ERR_IO naming the file. */
err_t svid_files_write(const char *dir, const struct workload_svids *svids,
                       struct why *why) MUST_CHECK;

/* Appends a PEM block for each certificate of concatenated DER. */
err_t svid_files_pem(struct buf *out, struct slice ders) MUST_CHECK;

#endif
