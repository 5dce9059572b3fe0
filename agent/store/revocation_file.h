/* The file behind the journal of revocations: whole appends, or none. Its functions block on the
 * disk; they run on any thread, one at a time. */
#ifndef SPINDLE_AGENT_STORE_REVOCATION_FILE_H
#define SPINDLE_AGENT_STORE_REVOCATION_FILE_H

#include "common/base/slice.h"
#include "common/base/why.h"

struct revocation_file; /* opaque */

/* Opens DIR/revocations, made 0600 when it is not there. ERR_IO; ERR_FILE_MODE: others may write
 * it. */
err_t revocation_file_open(const char *dir, struct revocation_file **ret,
                           struct why *why) MUST_CHECK;
void revocation_file_close(struct revocation_file *f); /* NULL is fine */
const char *revocation_file_path(const struct revocation_file *f);
uint64_t revocation_file_len(const struct revocation_file *f);

/* Maps all of it; revocation_file_unmap gives it back. */
err_t revocation_file_map(struct revocation_file *f, struct slice *ret, struct why *why) MUST_CHECK;
void revocation_file_unmap(struct slice file);
/* What is behind `len` goes: an append that a crash cut short. */
err_t revocation_file_cut(struct revocation_file *f, uint64_t len, struct why *why) MUST_CHECK;

/* On the disk when it returns ERR_OK. ERR_IO (full disk): the file is as it was, or is made so
 * before the next append. */
err_t revocation_file_append(struct revocation_file *f, struct slice bytes,
                             struct why *why) MUST_CHECK;
/* Replaces all of it by a new file and a rename. ERR_IO: the old one is in use as before. */
err_t revocation_file_replace(struct revocation_file *f, struct slice bytes,
                              struct why *why) MUST_CHECK;

#endif
