/* The identities that the record knows: SPIFFE ID and entry id, once each, numbered from 1; number
 * 0 is one whose texts were lost. Counted: an identity goes when its last certificate does. Loop
 * thread only. */
#ifndef SPINDLE_AGENT_STORE_RECORD_NAMES_H
#define SPINDLE_AGENT_STORE_RECORD_NAMES_H

#include "agent/store/record_row.h"
#include "common/base/map.h"

struct record_name {
    struct map_node by_texts;
    uint32_t number;
    uint32_t uses;       /* its certificates, waiting ones too, and segments that say its texts */
    uint32_t newest;     /* position of its newest certificate; 0: none */
    uint32_t local;      /* its number in the segment `in_segment` */
    uint32_t in_segment; /* where it was written last; RECORD_NO_SEGMENT */
    uint16_t id_len, entry_len;
    char *entry_id;
    char spiffe_id[]; /* ended by NUL, then the entry id, ended too */
};
#define RECORD_NO_SEGMENT UINT32_MAX

struct record_names {
    struct record_name **items; /* owned; NULL where one went */
    uint32_t count;             /* numbers below count are in use or were */
    uint32_t free;              /* how many of them went */
    uint32_t *gone;             /* owned; their numbers */
    struct map by_texts;
};

err_t record_names_init(struct record_names *n) MUST_CHECK;
void record_names_done(struct record_names *n);
/* Found or made, with one use more. ERR_NO_MEMORY, ERR_TOO_LARGE (longer than a row can say). */
err_t record_names_take(struct record_names *n, struct slice spiffe_id, struct slice entry_id,
                        uint32_t *ret) MUST_CHECK;
void record_names_use(struct record_names *n, uint32_t name); /* one more */
/* `uses` fewer. */
void record_names_release(struct record_names *n, uint32_t name, uint32_t uses);
struct record_name *record_names_at(const struct record_names *n, uint32_t name);
/* The first with this SPIFFE ID behind number `after`; 0: no more. */
uint32_t record_names_find(const struct record_names *n, struct slice spiffe_id, uint32_t after);

#endif
