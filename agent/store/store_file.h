/* The store in data_dir: `record` (docs/record.md), segments that are appended to and never edited,
 * and `revocations` (docs/revocation.md), a journal. Entries are in a file or folder of YAML that
 * is only read, on the thread pool once the agent runs.
 *
 * A certificate is recorded by write(2), so kill -9 loses nothing; fdatasync follows on the thread
 * pool within 100 ms, for many at once. A torn tail is cut off at open, a bad row in the middle is
 * skipped, both with a warning. Bounded: a segment goes when all in it expired longer than keep_s
 * ago, or earlier when there are max_records; what has not expired is carried forward on the thread
 * pool, and until that is done there may be STORE_FILE_OVER_MAX more. A revocation is on the disk
 * when it is answered. */
#ifndef SPINDLE_AGENT_STORE_STORE_FILE_H
#define SPINDLE_AGENT_STORE_STORE_FILE_H

#include "agent/store/store.h"

#include <uv.h>

#define STORE_FILE_OVER_MAX 65536

struct metrics;

struct store_file_options {
    const char *entries, *trust_domain; /* borrowed for life; entries NULL: there are none */
    const char *data_dir; /* exists when anything is loaded from it; borrowed for life */
    uint64_t max_records;
    int64_t keep_s;
    struct metrics *metrics; /* may be NULL */
    int64_t (*wall_s)(void); /* the wall clock; NULL: clock_wall_s */
    uint32_t segment_rows;   /* tests: fewer rows in a segment; 0: RECORD_SEGMENT_ROWS */
};
/* ERR_NO_MEMORY. */
err_t store_file_open(uv_loop_t *loop, const struct store_file_options *opt, struct store **ret,
                      struct why *why) MUST_CHECK;

#endif
