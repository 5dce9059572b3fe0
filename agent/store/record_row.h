/* Rows of the record of issuance: 64 bytes, little endian, CRC-32C of the first 60 in the last four
 * (docs/record.md). Numbers of issuers and identities count from 0 in each segment. Pure. */
#ifndef SPINDLE_AGENT_STORE_RECORD_ROW_H
#define SPINDLE_AGENT_STORE_RECORD_ROW_H

#include "common/base/slice.h"

#define RECORD_ROW_LEN 64
#define RECORD_SERIAL_LEN 16
#define RECORD_ISSUER_LEN 20 /* an authority's key identifier */
#define RECORD_VERSION 1
#define RECORD_TEXT_PART 48  /* bytes of an identity's texts in one row */
#define RECORD_ID_MAX 2048   /* bytes of a SPIFFE ID */
#define RECORD_ENTRY_MAX 255 /* of an entry id */
#define RECORD_ROWS_MAX 50   /* of one certificate: texts, issuer, itself */

enum record_row_kind {
    RECORD_ROW_HEADER = 'H',   /* the first of a segment */
    RECORD_ROW_ISSUER = 'A',   /* who signed */
    RECORD_ROW_IDENTITY = 'I', /* SPIFFE ID and entry id, over as many rows as they need */
    RECORD_ROW_ISSUED = 'C',   /* a certificate */
};
enum record_flag {
    RECORD_RENEWAL = 1,     /* the entry had one before */
    RECORD_BY_OPERATOR = 2, /* because an operator asked */
    RECORD_CARRIED = 4,     /* copied from a segment that went */
};

struct record_row {
    enum record_row_kind kind;
    unsigned flags;  /* of ISSUED: enum record_flag */
    uint32_t number; /* HEADER: version; ISSUER, IDENTITY: theirs; ISSUED: the identity's */
    union {
        struct {
            uint32_t segment;
            uint64_t issued_before; /* certificates issued before the first one here */
        } header;
        uint8_t key_id[RECORD_ISSUER_LEN];
        struct {
            uint16_t part; /* 0 to the last */
            uint16_t id_len, entry_len;
            uint8_t text[RECORD_TEXT_PART]; /* of the ID and the entry id, one after the other */
        } identity;
        struct {
            uint32_t issuer;
            uint8_t serial[RECORD_SERIAL_LEN];
            int64_t not_before, not_after, issued_at;
        } issued;
    };
};

/* How many rows an identity takes. */
uint32_t record_row_parts(size_t id_len, size_t entry_len);
void record_row_encode(const struct record_row *row, uint8_t out[static RECORD_ROW_LEN]);
/* false: torn, damaged, or nothing that we write. */
bool record_row_decode(const uint8_t in[static RECORD_ROW_LEN], struct record_row *ret);

#endif
