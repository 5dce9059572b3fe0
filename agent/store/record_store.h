/* The segments of the record in one folder, and the index over them: serial to row, and a chain of
 * rows an identity, the last first. record_load reads it, record_search asks it, record_carry
 * makes room in it. Says nothing to the log. A position is a row's place for the index, segment
 * modulo 65,536 and row; it is stale when its segment went. Loop thread only. */
#ifndef SPINDLE_AGENT_STORE_RECORD_STORE_H
#define SPINDLE_AGENT_STORE_RECORD_STORE_H

#include "agent/store/record_names.h"
#include "agent/store/record_segment.h"

#define RECORD_SEGMENTS_MAX 4096
#define RECORD_BLOCK_ROWS 64 /* read at once */

struct record_store {
    int dir_fd;
    uint32_t rows_max; /* of a segment */
    uint64_t records_max;
    struct record_segment **segments; /* owned, in order; NULL where a file is missing */
    uint32_t first_seq, segment_count;
    struct record_names names;
    uint32_t *buckets; /* owned; positions by serial */
    uint32_t bucket_count;
    uint64_t records, issued_total;
    bool is_dir_dirty;           /* a file was made or removed since the last sync */
    struct record_segment *gone; /* owned; to be removed */
    struct {
        uint32_t seq, first, count;
        uint8_t rows[RECORD_BLOCK_ROWS * RECORD_ROW_LEN];
    } block; /* read last */
};

/* Makes the folder (0700); nothing of it is read yet. ERR_IO, ERR_FILE_MODE, ERR_NO_MEMORY. */
err_t record_store_open(const char *dir, uint64_t records_max, uint32_t rows_max,
                        struct record_store **ret, struct why *why) MUST_CHECK;
/* Removes what is gone, too. NULL is fine. */
void record_store_close(struct record_store *st);

/* Appends; the name is the item's. ERR_RECORD (disk), ERR_NO_MEMORY; nothing is changed then. */
err_t record_store_append(struct record_store *st, const struct record_item *item, uint32_t name,
                          struct why *why) MUST_CHECK;
/* Could a certificate be appended now? Keeps room for one on disk, where the file system can. As
 * record_store_append. */
err_t record_store_make_ready(struct record_store *st, struct why *why) MUST_CHECK;
/* The oldest segment is gone when all in it expired before `before`. true: it is, look again. */
bool record_store_expire(struct record_store *st, int64_t before);

/* For record_load, record_search and record_carry. */
struct record_segment *record_store_last(const struct record_store *st); /* appended to; or NULL */
/* A segment more, to be appended to. ERR_RECORD, ERR_NO_MEMORY. */
err_t record_store_roll(struct record_store *st, struct why *why) MUST_CHECK;
/* A place for a segment more, empty: NULL as if its file were missing. */
err_t record_store_add_place(struct record_store *st, struct why *why) MUST_CHECK;
/* The first one is gone, with all that is known of its certificates. */
void record_store_drop_first(struct record_store *st);
struct record_segment *record_store_segment(const struct record_store *st, uint32_t seq);
/* The link at a position; NULL when that is stale or 0. */
struct record_link *record_store_link(const struct record_store *st, uint32_t position);
uint32_t record_store_position(uint32_t seq, uint32_t row);
uint32_t record_store_first(const struct record_store *st, uint32_t hash); /* of the bucket */
err_t record_store_reserve(struct record_store *st) MUST_CHECK;            /* room in the index */
/* A row that is linked in its segment: a certificate of the identity with this number there. */
void record_store_index(struct record_store *st, struct record_segment *s, uint32_t row,
                        uint32_t number);
/* What stands at a position that is not stale. ERR_IO, ERR_PARSE (damaged meanwhile). */
err_t record_store_item(struct record_store *st, uint32_t position, struct record_item *ret,
                        struct why *why) MUST_CHECK;

#endif
