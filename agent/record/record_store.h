/* The segments of the record in one folder, and the index over them: serial to row, and a chain of
 * rows an identity. Synchronous; says nothing to the log. A position is a row's place for the
 * index, segment modulo 65,536 and row; it is stale when its segment went. Loop thread only. */
#ifndef SPINDLE_AGENT_RECORD_RECORD_STORE_H
#define SPINDLE_AGENT_RECORD_RECORD_STORE_H

#include "agent/record/record_item.h"
#include "agent/record/record_names.h"
#include "agent/record/record_segment.h"

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
    int64_t full_until; /* no room was found; looked for again then */
    uint32_t lost_rows; /* could not be carried forward: damaged since they were read at start */
    bool is_dir_dirty;  /* a file was made or removed since the last sync */
    struct {
        uint32_t seq, first, count;
        uint8_t rows[RECORD_BLOCK_ROWS * RECORD_ROW_LEN];
    } block; /* read last */
};

/* What loading found wrong in one segment; rows are counted. */
struct record_damage {
    uint32_t seq, bad, cut;
};
typedef void record_damage_fn(void *arg, const struct record_damage *damage);

/* Makes the folder (0700), reads what is there, cuts a torn tail off. */
err_t record_store_open(const char *dir, uint64_t records_max, uint32_t rows_max,
                        record_damage_fn *on_damage, void *arg, struct record_store **ret,
                        struct why *why) MUST_CHECK;
void record_store_close(struct record_store *st); /* NULL is fine */
/* The rest of opening: in record_load.c. */
err_t record_load(struct record_store *st, record_damage_fn *on_damage, void *arg,
                  struct why *why) MUST_CHECK;

/* Appends; the name is the item's (its texts are not read). ERR_RECORD (disk, or full),
 * ERR_NO_MEMORY; nothing is changed then. */
err_t record_store_append(struct record_store *st, const struct record_item *item, uint32_t name,
                          int64_t now, struct why *why) MUST_CHECK;
/* The oldest segment goes when all in it expired before `before`. true: it did, look again. */
bool record_store_expire(struct record_store *st, int64_t before);
/* Could a certificate be appended now? Makes room, as an append would, and keeps it on disk where
 * the file system can. As record_store_append. */
err_t record_store_make_ready(struct record_store *st, int64_t now, struct why *why) MUST_CHECK;

/* For record_load and record_search. */
struct record_segment *record_store_segment(const struct record_store *st, uint32_t seq);
/* The link at a position; NULL when that is stale or 0. */
struct record_link *record_store_link(const struct record_store *st, uint32_t position);
uint32_t record_store_position(uint32_t seq, uint32_t row);
uint32_t record_store_hash(const uint8_t serial[static RECORD_SERIAL_LEN]);
uint32_t record_store_first(const struct record_store *st, uint32_t hash); /* of the bucket */
err_t record_store_reserve(struct record_store *st) MUST_CHECK;            /* room in the index */
void record_store_index(struct record_store *st, struct record_segment *s, uint32_t row,
                        const struct record_row *issued);
/* What stands at a position that is not stale. ERR_IO, ERR_PARSE (damaged meanwhile). */
err_t record_store_item(struct record_store *st, uint32_t position, struct record_item *ret,
                        struct why *why) MUST_CHECK;

/* record_search.c; as in record.h, without what waits. */
err_t record_store_find(struct record_store *st, const uint8_t serial[static RECORD_SERIAL_LEN],
                        struct record_item *ret, struct why *why) MUST_CHECK;
/* Its position; 0: not there. */
err_t record_store_lookup(struct record_store *st, const uint8_t serial[static RECORD_SERIAL_LEN],
                          uint32_t *ret, struct why *why) MUST_CHECK;
err_t record_store_each(struct record_store *st, const struct record_query *query, record_fn *fn,
                        void *arg, struct why *why) MUST_CHECK;
err_t record_store_search(struct record_store *st, const struct record_search *search,
                          record_fn *fn, void *arg, uint64_t *ret_next, struct why *why) MUST_CHECK;
bool record_search_wants(const struct record_search *search, const struct record_item *item);

#endif
