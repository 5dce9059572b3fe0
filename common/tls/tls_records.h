/* What a peer's TLS records cost us against what they bring. Key updates, tickets and empty records
 * are records without data: each has a price (a key update: new keys, and an answer) that the peer
 * pays next to nothing for, so there is a bucket of them. Small records cost many times what their
 * bytes cost, so less is read of them in one go, that other connections have their turn. Pure. */
#ifndef SPINDLE_COMMON_TLS_TLS_RECORDS_H
#define SPINDLE_COMMON_TLS_TLS_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Records without data: so many at once, and again one for each second and for each so many bytes
 * of data. The most eager peers renew their keys every 16 MiB or so. */
#define TLS_SILENT_BURST 32u
#define TLS_SILENT_BYTES (256u << 10)
/* A server's tickets may come in pieces of a byte: so many more for whoever may send tickets, once.
 */
#define TLS_TICKET_PIECES 2048u
/* Records that are smaller on average are small; so much is read of them at once. */
#define TLS_SMALL_RECORD 512u
#define TLS_SMALL_READ (32u << 10)

struct tls_records {
    uint8_t head[5];    /* of a record, as it comes */
    uint32_t head_len;  /* of it */
    uint32_t left;      /* bytes of the record's body that are to come */
    uint32_t tokens;    /* records without data that may still come */
    uint64_t filled_ns; /* when the last token came by time */
    uint64_t bytes;     /* of data since the last token that came by data */
    /* Since tls_records_start. */
    size_t whole;   /* records that have come whole since the last that had data */
    size_t records; /* all of them */
    size_t taken;   /* bytes */
};

/* All zero but for the tokens. `tickets`: the peer is a server. */
void tls_records_init(struct tls_records *r, uint64_t now_ns, bool tickets);
/* A call begins that may bring many records. */
void tls_records_start(struct tls_records *r);
/* Bytes from the peer, record headers and all, in order. */
void tls_records_saw(struct tls_records *r, const uint8_t *bytes, size_t len);
/* The last whole record had so many bytes of data. */
void tls_records_data(struct tls_records *r, size_t len);
/* Pays for the whole records without data. False: there were too many. */
bool tls_records_pay(struct tls_records *r, uint64_t now_ns);
/* How much to read of this peer at once: TLS_SMALL_READ, or SIZE_MAX. */
size_t tls_records_room(const struct tls_records *r);

#endif
