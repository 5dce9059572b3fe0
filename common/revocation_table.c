#include "common/revocation_table.h"

#include <assert.h>

_Static_assert(sizeof(struct table_header) == 128, "part of the layout");
_Static_assert(sizeof(struct table_issuer) == 64, "part of the layout");
_Static_assert(sizeof(struct table_row) == 32, "part of the layout");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a lock would be in one process only");

#define PAGE 4096u

/* Words: bits 0-1 kind, 2-7 reason (of an issuer: 2 complete, 3-7 source), 8-47 a time, rest 0. */
#define KIND_MASK 3u
#define REASON_SHIFT 2
#define REASON_MASK 63u
#define COMPLETE_BIT (1u << 2)
#define SOURCE_SHIFT 3
#define SOURCE_MASK 31u
#define TIME_SHIFT 8
#define TIME_MAX ((INT64_C(1) << 40) - 1)

/* Keys: issuer's index (2 bytes), length, kind of key, 20 bytes. */
enum key_kind { KEY_SERIAL = 1, KEY_ID, KEY_ISSUER };
#define KEY_LENGTH 2
#define KEY_KIND 3
#define KEY_BYTES 4

size_t table_size(uint32_t issuer_capacity, uint32_t row_capacity)
{
    size_t size = sizeof(struct table_header) + issuer_capacity * sizeof(struct table_issuer) +
                  row_capacity * sizeof(struct table_row);
    return (size + PAGE - 1) / PAGE * PAGE;
}

err_t table_map_check(void *bytes, size_t size, struct table_map *ret, struct why *why)
{
    if (size < sizeof(struct table_header))
        return why_set(why, ERR_PARSE, "revocation cache: %zu bytes are no table", size);
    const volatile struct table_header *h = bytes;
    uint32_t version = h->version, issuers = h->issuer_capacity, rows = h->row_capacity;
    if (h->magic != TABLE_MAGIC)
        return why_set(why, ERR_PARSE, "revocation cache: it does not start as one does");
    if (version != TABLE_VERSION)
        return why_set(why, ERR_UNSUPPORTED,
                       "revocation cache: layout version %u, this program reads version %u",
                       version, TABLE_VERSION);
    if (issuers == 0 || issuers > TABLE_ISSUERS_MAX || rows == 0 || rows > TABLE_ROWS_MAX ||
        table_size(issuers, rows) != size)
        return why_set(why, ERR_PARSE,
                       "revocation cache: %u issuers and %u rows do not make %zu bytes", issuers,
                       rows, size);
    uint8_t *at = bytes;
    struct table_map map = {.issuer_capacity = issuers, .row_capacity = rows};
    map.header = bytes;
    map.seed[0] = h->seed[0];
    map.seed[1] = h->seed[1];
    at += sizeof(struct table_header);
    map.issuers = (struct table_issuer *)(void *)at;
    at += issuers * sizeof(struct table_issuer);
    map.rows = (struct table_row *)(void *)at;
    *ret = map;
    return ERR_OK;
}

static uint64_t pack_time(int64_t t)
{
    int64_t kept = t < 0 ? 0 : t > TIME_MAX ? TIME_MAX : t;
    return (uint64_t)kept << TIME_SHIFT;
}

uint64_t table_pack_status(const struct revocation_status *status)
{
    assert(status->state != REVOCATION_UNKNOWN);
    if (status->state == REVOCATION_GOOD)
        return pack_time(status->at) | TABLE_GOOD;
    return pack_time(status->at) | (uint64_t)status->reason << REASON_SHIFT | TABLE_REVOKED;
}

bool table_unpack_status(uint64_t word, struct revocation_status *ret)
{
    uint64_t kind = word & KIND_MASK, at = word >> TIME_SHIFT;
    unsigned reason = (unsigned)(word >> REASON_SHIFT) & REASON_MASK;
    if (kind < TABLE_GOOD || at > (uint64_t)TIME_MAX || !revocation_reason_is_known(reason))
        return false;
    *ret = (struct revocation_status){
        .state = kind == TABLE_REVOKED ? REVOCATION_REVOKED : REVOCATION_GOOD,
        .reason = (enum revocation_reason)reason,
        .at = (int64_t)at,
    };
    return true;
}

uint64_t table_pack_issuer(const struct revocation_issuer *list)
{
    return pack_time(list->next_update) | (list->complete ? COMPLETE_BIT : 0) |
           (uint64_t)list->source << SOURCE_SHIFT | TABLE_GOOD;
}

bool table_unpack_issuer(uint64_t word, struct revocation_issuer *ret)
{
    uint64_t next = word >> TIME_SHIFT, source = word >> SOURCE_SHIFT & SOURCE_MASK;
    if ((word & KIND_MASK) != TABLE_GOOD || next > (uint64_t)TIME_MAX ||
        source > REVOCATION_SOURCE_OCSP)
        return false;
    *ret = (struct revocation_issuer){
        .complete = (word & COMPLETE_BIT) != 0,
        .source = (enum revocation_source)source,
        .next_update = (int64_t)next,
    };
    return true;
}

static struct table_key key_of(enum key_kind kind, uint32_t issuer_index, struct slice bytes)
{
    uint8_t b[sizeof(struct table_key)] = {(uint8_t)issuer_index, (uint8_t)(issuer_index >> 8)};
    struct table_key key;
    b[KEY_LENGTH] = (uint8_t)bytes.len;
    b[KEY_KIND] = (uint8_t)kind;
    if (bytes.len > 0)
        memcpy(b + KEY_BYTES, bytes.data, bytes.len);
    memcpy(&key, b, sizeof key);
    return key;
}

struct table_key table_key_issuer(const uint8_t issuer[static REVOCATION_ISSUER_LEN])
{
    return key_of(KEY_ISSUER, 0, slice_of(issuer, REVOCATION_ISSUER_LEN));
}

bool table_key_serial(uint32_t issuer_index, struct slice serial, struct table_key *ret)
{
    while (serial.len > 0 && serial.data[0] == 0)
        serial = slice_of(serial.data + 1, serial.len - 1);
    if (serial.len > TABLE_SERIAL_MAX)
        return false;
    *ret = key_of(KEY_SERIAL, issuer_index, serial);
    return true;
}

struct table_key table_key_id(const struct revocation_id *id)
{
    return key_of(KEY_ID, 0, slice_of(id->hash, sizeof id->hash));
}

bool table_key_has_issuer(const struct table_key *key, uint32_t *ret_index)
{
    uint8_t b[KEY_BYTES];
    memcpy(b, key, sizeof b);
    if (b[KEY_KIND] != KEY_SERIAL)
        return false;
    *ret_index = b[0] | (uint32_t)b[1] << 8;
    return true;
}

struct table_key table_key_moved(const struct table_key *key, uint32_t issuer_index)
{
    struct table_key moved = *key;
    uint8_t b[2] = {(uint8_t)issuer_index, (uint8_t)(issuer_index >> 8)};
    memcpy(&moved, b, sizeof b);
    return moved;
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 of the key's 24 bytes: an issuer elsewhere who chooses serials cannot crowd a row. */
static uint64_t hash(const uint64_t seed[static 2], const struct table_key *key)
{
    const uint64_t words[] = {key->word[0], key->word[1], key->word[2],
                              (uint64_t)sizeof *key << 56};
    uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
                     seed[0] ^ UINT64_C(0x6c7967656e657261),
                     seed[1] ^ UINT64_C(0x7465646279746573)};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        v[3] ^= words[i];
        sip_round(v);
        v[0] ^= words[i];
    }
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static bool same_key(const struct table_key *a, const struct table_key *b)
{
    return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2])) == 0;
}

/* Places keep the order of hashes whatever the capacity: a copy into a larger table runs through
 * both from one end to the other. */
static uint32_t home_of(uint64_t hash, uint32_t capacity)
{
    return (uint32_t)((hash >> 32) * capacity >> 32);
}

/* The row at `place`: of rows, or of what has a row at its start. */
static const struct table_row *row_at(const void *rows, size_t stride, uint32_t place)
{
    return (const struct table_row *)(const void *)((const uint8_t *)rows + stride * place);
}

static inline uint32_t find(const void *rows, size_t stride, uint32_t capacity, uint64_t hash,
                            const struct table_key *key, uint64_t *ret_word)
{
    uint32_t place = home_of(hash, capacity);
    uint32_t steps = capacity < TABLE_PROBE_MAX ? capacity : TABLE_PROBE_MAX;
    for (; steps > 0; steps--) {
        const struct table_row *row = row_at(rows, stride, place);
        uint64_t word = atomic_load_explicit(&row->word, memory_order_acquire);
        if (word == TABLE_EMPTY || same_key(&row->key, key)) {
            *ret_word = word;
            return place;
        }
        place = place + 1 < capacity ? place + 1 : 0;
    }
    *ret_word = TABLE_EMPTY;
    return TABLE_NOWHERE;
}

uint32_t table_find_issuer(const struct table_map *t, const struct table_key *key,
                           uint64_t *ret_word)
{
    return find(t->issuers, sizeof t->issuers[0], t->issuer_capacity, hash(t->seed, key), key,
                ret_word);
}

uint32_t table_find_row(const struct table_map *t, const struct table_key *key, uint64_t *ret_word)
{
    return find(t->rows, sizeof t->rows[0], t->row_capacity, hash(t->seed, key), key, ret_word);
}
