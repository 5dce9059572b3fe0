/* DER (X.690): one writer in common for certificates, CRLs and OCSP answers, one strict reader.
 *
 * Writer: nested values are opened and closed; lengths are filled in on close. The error is sticky:
 * write straight down, check der_writer_end once. Owns nothing; appends to the caller's buf.
 *
 *   struct der_writer w; der_writer_init(&w, &buf);
 *   size_t seq = der_open(&w, DER_SEQUENCE); der_put_uint(&w, 3); der_close(&w, seq);
 *   err = der_writer_end(&w); */
#ifndef SPINDLE_COMMON_ENCODE_DER_H
#define SPINDLE_COMMON_ENCODE_DER_H

#include "common/base/buf.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTF8 = 0x0c,
    DER_PRINTABLE = 0x13,
    DER_IA5 = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
};
#define DER_CONTEXT(n) (0x80u | (n))             /* [n] primitive */
#define DER_CONTEXT_CONSTRUCTED(n) (0xa0u | (n)) /* [n] constructed */

struct der_writer {
    struct buf *out;
    err_t err;
};
void der_writer_init(struct der_writer *w, struct buf *out);
size_t der_open(struct der_writer *w, unsigned tag);
void der_close(struct der_writer *w, size_t mark);
void der_put(struct der_writer *w, unsigned tag, struct slice content);
void der_put_raw(struct der_writer *w, struct slice der);
void der_put_bool(struct der_writer *w, bool value);
void der_put_uint(struct der_writer *w, uint64_t value);
/* A positive INTEGER from big-endian bytes; adds the leading zero where needed. */
void der_put_integer(struct der_writer *w, struct slice big_endian);
/* Content bytes of the OID. */
void der_put_oid(struct der_writer *w, struct slice oid);
void der_put_bits(struct der_writer *w, struct slice bytes, unsigned unused_bits);
/* UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5). */
void der_put_time(struct der_writer *w, int64_t unix_s);
err_t der_writer_end(struct der_writer *w) MUST_CHECK;

/* Reader: a cursor over borrowed bytes with a sticky error; strict DER, shortest lengths. */
struct der_reader {
    struct slice rest;
    bool bad;
};
struct der_reader der_reader_of(struct slice der);
/* The tag of the next value, 0 at the end or after an error. */
unsigned der_peek(const struct der_reader *r);
/* The content of the next value, which must have `tag`; sets bad otherwise. */
struct slice der_get(struct der_reader *r, unsigned tag);
/* The next value whole, header included. */
struct slice der_get_raw(struct der_reader *r, unsigned tag);
struct der_reader der_enter(struct der_reader *r, unsigned tag);
/* Takes the next value when it has `tag`; false and nothing taken otherwise. */
bool der_get_optional(struct der_reader *r, unsigned tag, struct slice *ret_content);
bool der_get_bool(struct der_reader *r);
/* Non-negative INTEGER that fits; sets bad otherwise. */
uint64_t der_get_uint(struct der_reader *r);
/* Non-negative INTEGER of any size, big-endian, no leading zero (empty: 0). */
struct slice der_get_integer(struct der_reader *r);
/* Content of a BIT STRING of whole bytes. */
struct slice der_get_octet_bits(struct der_reader *r);
/* UTCTime or GeneralizedTime, as unix seconds. */
int64_t der_get_time(struct der_reader *r);
/* True when nothing is left and nothing went wrong. */
bool der_at_end(const struct der_reader *r);

#endif
