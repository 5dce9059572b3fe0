/* A record of issuance in a folder of its own, with a clock of the test's, and certificates for it
 * by number. Failures abort the test. */
#ifndef SPINDLE_TESTS_RECORD_CASE_H
#define SPINDLE_TESTS_RECORD_CASE_H

#include "agent/record/record.h"
#include "agent/store/store_file.h"
#include "common/base/mem.h"

#define RECORD_CASE_START INT64_C(1800000000)
#define RECORD_CASE_LIFE 3600

struct record_case {
    char dir[64], folder[80]; /* folder is the record's, in dir */
    uv_loop_t loop;
    struct store *store;
    struct record *record;
    struct store_file_options opt; /* for the next open */
    struct why why;                /* of the last call */
};

/* Segments of 128 rows, at most 1,000,000 certificates; `stop`. Not open yet. */
void record_case_setup(struct record_case *c);
void record_case_teardown(struct record_case *c);
extern int64_t record_case_now; /* the clock, set to RECORD_CASE_START by the set-up */

/* From now on what is logged, one line after the other; ended by log_capture(NULL, NULL). */
void record_case_keep_log(void);
extern char record_case_log[16384];
bool record_case_said(const char *text);

err_t record_case_open(struct record_case *c);
void record_case_must_open(struct record_case *c);
void record_case_close(struct record_case *c); /* fine when it is not open */
void record_case_reopen(struct record_case *c);

/* Certificate `number`: its serial and issuer come from the number, it is of entry "e<number %
 * entries>" and of spiffe://example.org/<that>, and lives an hour from now. */
struct record_item record_case_item(uint32_t number, uint32_t entries);
err_t record_case_put(struct record_case *c, uint32_t number, uint32_t entries);
void record_case_must_put(struct record_case *c, uint32_t first, uint32_t count, uint32_t entries);
/* Is it there, with all that was put? */
bool record_case_has(struct record_case *c, uint32_t number, uint32_t entries);
/* How many unexpired ones the entry has. */
size_t record_case_count(struct record_case *c, uint32_t entry);

/* Of segment `seq`: its path, its length in bytes (-1: not there). */
void record_case_path(const struct record_case *c, uint32_t seq, char out[static 128]);
long record_case_length(const struct record_case *c, uint32_t seq);
/* Writes over what is at `at`; at the end or behind it makes the file longer. */
void record_case_poke(const struct record_case *c, uint32_t seq, long at, const void *data,
                      size_t len);
void record_case_truncate(const struct record_case *c, uint32_t seq, long len);

#endif
