/* The bytes of a revocation cache, version 1: header | issuer rows | rows | a tag for each row. For
 * the writer, the view and their tests; everybody else wants revocation_cache.h.
 *
 * Both kinds of rows are open addressing with linear probing. A row's key is written once, before
 * its word and then its tag are published (release), and never changes: who reads a tag or a word
 * (acquire) that is not 0 may read the key. A forgotten row keeps key, tag and place until the
 * table is replaced. A key lies within TABLE_PROBE_MAX rows of its home, or is not in the table.
 *
 * Tags are 8 bits of the key's hash, 0 for an empty row: what is absent, which is nearly everything
 * that is asked for, is found so in the 1 or 2 MB of them, and not in the 32 times larger rows. */
#ifndef SPINDLE_COMMON_REVOCATION_REVOCATION_TABLE_H
#define SPINDLE_COMMON_REVOCATION_REVOCATION_TABLE_H

#include "common/revocation/revocation_cache.h"

#include <stdatomic.h>

#define TABLE_MAGIC UINT64_C(0x4341435645525053) /* "SPREVCAC" */
#define TABLE_VERSION 1u
#define TABLE_PROBE_MAX 512u
#define TABLE_ISSUERS_MAX 32768u
#define TABLE_ROWS_MAX (1u << 23) /* 256 MiB */

struct table_header {
    uint64_t magic;
    uint32_t version;
    uint32_t issuer_capacity; /* rows */
    uint32_t row_capacity;
    uint32_t reserved;
    uint64_t seed[2]; /* of the hash */
    uint8_t pad[24];
    _Atomic uint64_t generation; /* a cache line of its own: it changes while others read above */
    _Atomic int64_t alive_at;
    uint8_t rest[48];
};

struct table_key {
    uint64_t word[3];
};

/* Of a serial or a held ID, `word` as table_pack_status makes it: 32 bytes. */
struct table_row {
    _Atomic uint64_t word;
    struct table_key key;
};

/* Of an issuer, `word` as table_pack_issuer makes it: 64 bytes. */
struct table_issuer {
    struct table_row row;
    _Atomic int64_t this_update;
    uint8_t rest[24];
};

/* What the lowest two bits of a word say; an issuer is TABLE_GOOD as long as it is known. */
enum table_kind { TABLE_EMPTY, TABLE_FORGOTTEN, TABLE_GOOD, TABLE_REVOKED };

/* Where the parts lie in memory, with bounds that were checked once: the bytes are not asked again.
 */
struct table_map {
    struct table_header *header;
    struct table_issuer *issuers;
    struct table_row *rows;
    _Atomic uint8_t *tags;
    uint32_t issuer_capacity, row_capacity;
    uint64_t seed[2];
};

/* Bytes of a table with so many rows, a whole number of pages. */
size_t table_size(uint32_t issuer_capacity, uint32_t row_capacity);
/* Checks the header against the real size. The bytes may change meanwhile: each is read once. */
err_t table_map_check(void *bytes, size_t size, struct table_map *ret, struct why *why) MUST_CHECK;
uint64_t table_pack_status(const struct revocation_status *status);     /* not of UNKNOWN */
bool table_unpack_status(uint64_t word, struct revocation_status *ret); /* false: makes no sense */
uint64_t table_pack_issuer(const struct revocation_issuer *list);
bool table_unpack_issuer(uint64_t word, struct revocation_issuer *ret);

struct table_key table_key_issuer(const uint8_t issuer[static REVOCATION_ISSUER_LEN]);
/* False: the serial is too long for any table. */
bool table_key_serial(uint32_t issuer_index, struct slice serial, struct table_key *ret);
struct table_key table_key_id(const struct revocation_id *id);
/* False: not a serial's. Else the issuer it is of; and the same serial under another number. */
bool table_key_has_issuer(const struct table_key *key, uint32_t *ret_index);
struct table_key table_key_moved(const struct table_key *key, uint32_t issuer_index);

/* Where a key is, or the first empty place for it; TABLE_NOWHERE: neither. */
#define TABLE_NOWHERE UINT32_MAX
struct table_place {
    uint32_t index;
    uint8_t tag;   /* the key's; of an issuer nothing */
    uint64_t word; /* TABLE_EMPTY when the key is not there */
};
struct table_place table_find_issuer(const struct table_map *t, const struct table_key *key);
struct table_place table_find_row(const struct table_map *t, const struct table_key *key);

/* For tests: the writer's mapping, until replaced; a view of bytes that stay the caller's. */
const struct table_map *revocation_writer_map(const struct revocation_writer *w);
err_t revocation_view_of(void *bytes, size_t size, struct revocation_view **ret,
                         struct why *why) MUST_CHECK;

#endif
