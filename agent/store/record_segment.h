/* One file of the record: rows in order, read by pread (a damaged disk is an error, not a signal),
 * appended by pwrite, and what is known of it in memory: its own numbers of issuers and identities,
 * and a link a row for the store's index. One thread at a time: the loop's, but while it is made,
 * read from or removed on the pool (record_carry.h, store_file.c). */
#ifndef SPINDLE_AGENT_STORE_RECORD_SEGMENT_H
#define SPINDLE_AGENT_STORE_RECORD_SEGMENT_H

#include "agent/store/record_item.h"
#include "common/base/why.h"

#define RECORD_SEGMENT_ROWS 65536  /* 4 MiB; a row's number has 16 bits */
#define RECORD_SEGMENT_NAME_LEN 16 /* "00000001.seg" */

/* Of a certificate's row. */
struct record_link {
    uint32_t hash;  /* the serial's first four bytes, never 0; 0: the row is no certificate */
    uint32_t next;  /* position in the same bucket; 0: the last */
    uint32_t older; /* position of the identity's one before; may be gone */
    uint32_t not_after;
};
struct record_local_name {
    uint32_t name, issued; /* in the names of the store; certificates of it in this segment */
};
struct record_segment {
    struct record_segment *next; /* among those that went */
    uint32_t seq;
    int fd;
    uint32_t rows, rows_max;         /* whole rows in the file, good or bad */
    int64_t last_not_after;          /* of all its certificates */
    struct record_link *links;       /* owned, rows_max of them */
    struct record_local_name *names; /* owned */
    uint32_t name_count;
    uint8_t (*issuers)[RECORD_ISSUER_LEN]; /* owned */
    uint32_t issuer_count;
    bool has_part; /* of a row, behind the whole ones, when it was opened */
    bool is_dirty; /* written to since the last sync began */
};

/* "SEQ.seg", or false. */
bool record_segment_parse_name(const char *name, uint32_t *ret_seq);

/* A new file with its header; ERR_RECORD. */
err_t record_segment_make(int dir_fd, uint32_t seq, uint32_t rows_max, uint64_t issued_before,
                          struct record_segment **ret, struct why *why) MUST_CHECK;
/* The header, into an empty file. ERR_RECORD. */
err_t record_segment_begin(struct record_segment *s, uint64_t issued_before,
                           struct why *why) MUST_CHECK;
/* Of a serial, for links: never 0. */
uint32_t record_segment_hash(const uint8_t serial[static RECORD_SERIAL_LEN]);
/* This row is a certificate. */
void record_segment_link(struct record_segment *s, uint32_t row,
                         const uint8_t serial[static RECORD_SERIAL_LEN], int64_t not_after);
/* One that is there; its rows are still to be loaded (record_load). */
err_t record_segment_open(int dir_fd, uint32_t seq, uint32_t rows_max, struct record_segment **ret,
                          struct why *why) MUST_CHECK;
void record_segment_close(struct record_segment *s); /* NULL is fine */
/* Closes it and its `next` ones, with their files. */
void record_segment_remove_all(struct record_segment *first, int dir_fd);

/* `count` rows from `first`; ERR_IO. */
err_t record_segment_read(const struct record_segment *s, uint32_t first, uint32_t count,
                          uint8_t *out, struct why *why) MUST_CHECK;
/* One certificate, which the segment has room for: its row, which is the last one then, and before
 * it what it is the first to name. `number`: of its identity here; name_count: it is new, and is
 * `name` in the names of the store. All of it or nothing; ERR_RECORD with the system's reason,
 * ERR_NO_MEMORY. */
err_t record_segment_put(struct record_segment *s, const struct record_item *item, uint32_t name,
                         uint32_t number, struct why *why) MUST_CHECK;
/* Room on disk for so many rows more, where the file system can promise it. ERR_RECORD. */
err_t record_segment_reserve_disk(const struct record_segment *s, uint32_t count,
                                  struct why *why) MUST_CHECK;
/* Forgets the rows from `rows` on, in the file too. */
err_t record_segment_cut(struct record_segment *s, uint32_t rows, struct why *why) MUST_CHECK;

/* Room for one more, so that the add cannot fail. */
err_t record_segment_reserve(struct record_segment *s) MUST_CHECK;
void record_segment_add_name(struct record_segment *s, uint32_t name);
void record_segment_add_issuer(struct record_segment *s, const uint8_t issuer[RECORD_ISSUER_LEN]);

#endif
