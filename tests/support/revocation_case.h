/* A writer, a view of its newest table, and short words for what tests say to them. */
#ifndef SPINDLE_TESTS_REVOCATION_CASE_H
#define SPINDLE_TESTS_REVOCATION_CASE_H

#include "common/revocation/revocation_table.h"

#define CASE_NOW 1800000000

struct revocation_case {
    struct revocation_writer *w;
    struct revocation_view *v; /* of the newest table */
    int replaced;              /* how often there was a newer one */
    struct why why;
};

extern const uint8_t CASE_ISSUER_A[REVOCATION_ISSUER_LEN], CASE_ISSUER_B[REVOCATION_ISSUER_LEN];

void case_start(struct revocation_case *c, size_t expected);
void case_stop(struct revocation_case *c);

struct revocation_status case_revoked(enum revocation_reason reason, int64_t at);
void case_set(struct revocation_case *c, const uint8_t issuer[static REVOCATION_ISSUER_LEN],
              struct slice serial, struct revocation_status status);
void case_forget(struct revocation_case *c, const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                 struct slice serial);
enum revocation_state case_state(const struct revocation_case *c,
                                 const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                                 struct slice serial);
void case_complete(struct revocation_case *c, const uint8_t issuer[static REVOCATION_ISSUER_LEN],
                   bool is_complete, int64_t next_update);
struct slice case_number(uint32_t n, uint8_t out[static 16]); /* a serial */

#endif
