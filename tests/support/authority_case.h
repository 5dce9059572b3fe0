/* An embedded authority in a folder of its own, in memory where there is /dev/shm (fsync on a busy
 * disk takes long). Zero the case, set up, tear down. Failures abort the test. */
#ifndef SPINDLE_TESTS_AUTHORITY_CASE_H
#define SPINDLE_TESTS_AUTHORITY_CASE_H

#include "agent/authority/ca.h"

#include <sys/types.h>

#define AUTHORITY_TEXT_MAX 8192

struct authority_case {
    char base[64], dir[80]; /* dir is the authority's, in base */
    struct ca *ca;
    struct authority authority; /* the seam over it: answers at once */
    struct why why;             /* of the last call */
};

void authority_case_setup(struct authority_case *c);
void authority_case_teardown(struct authority_case *c);
/* Removes the authority's folder. */
void authority_case_empty(struct authority_case *c);
void authority_case_path(const struct authority_case *c, const char *name, char out[static 128]);

/* Of example.org, with an issuer of a day. */
err_t authority_case_open(struct authority_case *c, int64_t now);
void authority_case_must_open(struct authority_case *c, int64_t now);
void authority_case_close(struct authority_case *c);
void authority_case_reopen(struct authority_case *c, int64_t now);

/* The three steps of a renewal, one after the other. */
err_t authority_case_tick(struct authority_case *c, int64_t now, bool *ret_renewed);

/* The text of "root" or "issuer", ended by NUL; returns its length. */
size_t authority_case_read(const struct authority_case *c, const char *name,
                           char out[static AUTHORITY_TEXT_MAX]);
void authority_case_write(const struct authority_case *c, const char *name, const char *text,
                          size_t len, mode_t mode);

#endif
