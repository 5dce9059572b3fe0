#include "common/revocation/revocation_table.h"

#include <assert.h>

_Static_assert(sizeof(struct table_header) == 128, "part of the layout");
_Static_assert(sizeof(struct table_issuer) == 64, "part of the layout");
_Static_assert(sizeof(struct table_row) == 32, "part of the layout");
_Static_assert(sizeof(_Atomic uint8_t) == 1, "part of the layout");
_Static_assert(ATOMIC_CHAR_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
               "a lock would be in one process only");

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

/* Keys: 20 bytes as one big-endian number, the last word its end; the first word has its upper 4
 * bytes above the kind of key and the issuer's index. */
enum key_kind { KEY_SERIAL = 1, KEY_ID, KEY_ISSUER };
#define NUMBER_LEN 20u
#define NUMBER_SHIFT 32
#define KEY_KIND_SHIFT 16
#define INDEX_MASK 0xffffu

size_t table_size(uint32_t issuer_capacity, uint32_t row_capacity)
{
    size_t size = sizeof(struct table_header) + issuer_capacity * sizeof(struct table_issuer) +
                  row_capacity * (sizeof(struct table_row) + 1);
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
    at += rows * sizeof(struct table_row);
    map.tags = (_Atomic uint8_t *)at;
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

static uint64_t load_be64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return __builtin_bswap64(x);
}

/* Big-endian number of fewer than 8 bytes. */
static uint64_t load_be(struct slice bytes)
{
    uint64_t x = 0;
    for (size_t i = 0; i < bytes.len; i++)
        x = x << 8 | bytes.data[i];
    return x;
}

/* Takes the last 8 bytes, or all there are, off the end. */
static uint64_t take_word(struct slice *bytes)
{
    size_t len = bytes->len;
    if (len >= 8) {
        bytes->len = len - 8;
        return load_be64(bytes->data + len - 8);
    }
    uint64_t x = load_be(*bytes);
    bytes->len = 0;
    return x;
}

static struct table_key key_of(enum key_kind kind, uint32_t issuer_index, struct slice number)
{
    struct table_key key;
    key.word[2] = take_word(&number);
    key.word[1] = take_word(&number);
    key.word[0] = load_be(number) << NUMBER_SHIFT | (uint64_t)kind << KEY_KIND_SHIFT | issuer_index;
    return key;
}

struct table_key table_key_issuer(const uint8_t issuer[static REVOCATION_ISSUER_LEN])
{
    return key_of(KEY_ISSUER, 0, slice_of(issuer, NUMBER_LEN));
}

bool table_key_serial(uint32_t issuer_index, struct slice serial, struct table_key *ret)
{
    while (serial.len > NUMBER_LEN && serial.data[0] == 0)
        serial = slice_of(serial.data + 1, serial.len - 1);
    if (serial.len > NUMBER_LEN)
        return false;
    *ret = key_of(KEY_SERIAL, issuer_index, serial);
    return true;
}

struct table_key table_key_id(const struct revocation_id *id)
{
    return key_of(KEY_ID, 0, slice_of(id->hash, NUMBER_LEN));
}

bool table_key_has_issuer(const struct table_key *key, uint32_t *ret_index)
{
    if ((key->word[0] >> KEY_KIND_SHIFT & INDEX_MASK) != KEY_SERIAL)
        return false;
    *ret_index = (uint32_t)(key->word[0] & INDEX_MASK);
    return true;
}

struct table_key table_key_moved(const struct table_key *key, uint32_t issuer_index)
{
    struct table_key moved = *key;
    moved.word[0] = (moved.word[0] & ~(uint64_t)INDEX_MASK) | issuer_index;
    return moved;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Folded multiplication under a random seed: whoever does not know it cannot choose serials that
 * crowd one place. Who can read the table knows it; then a place that is too crowded makes the
 * writer draw another. */
static uint64_t hash(const uint64_t seed[static 2], const struct table_key *key)
{
    uint64_t h = fold(key->word[0] ^ seed[0], key->word[1] ^ seed[1]);
    return fold(h ^ seed[1], key->word[2] ^ seed[0] ^ UINT64_C(0x9e3779b97f4a7c15));
}

static bool same_key(const struct table_key *a, const struct table_key *b)
{
    return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2])) == 0;
}

/* Places keep the order of hashes whatever the capacity: a copy into a larger table runs through
 * both from one end to the other. */
static uint32_t home_of(uint64_t h, uint32_t capacity)
{
    return (uint32_t)((h >> 32) * capacity >> 32);
}

static uint32_t probes_of(uint32_t capacity)
{
    return capacity < TABLE_PROBE_MAX ? capacity : TABLE_PROBE_MAX;
}

static uint32_t next_place(uint32_t index, uint32_t capacity)
{
    return index + 1 < capacity ? index + 1 : 0;
}

struct table_place table_find_issuer(const struct table_map *t, const struct table_key *key)
{
    uint32_t capacity = t->issuer_capacity;
    uint32_t index = home_of(hash(t->seed, key), capacity);
    for (uint32_t left = probes_of(capacity); left > 0; left--) {
        const struct table_row *row = &t->issuers[index].row;
        uint64_t word = atomic_load_explicit(&row->word, memory_order_acquire);
        if (word == TABLE_EMPTY || same_key(&row->key, key))
            return (struct table_place){.index = index, .word = word};
        index = next_place(index, capacity);
    }
    return (struct table_place){.index = TABLE_NOWHERE, .word = TABLE_EMPTY};
}

struct table_place table_find_row(const struct table_map *t, const struct table_key *key)
{
    uint32_t capacity = t->row_capacity;
    uint64_t h = hash(t->seed, key);
    uint32_t index = home_of(h, capacity);
    uint8_t tag = (uint8_t)h != 0 ? (uint8_t)h : 1;
    for (uint32_t left = probes_of(capacity); left > 0; left--) {
        uint8_t found = atomic_load_explicit(&t->tags[index], memory_order_acquire);
        const struct table_row *row = &t->rows[index];
        if (found == 0)
            return (struct table_place){.index = index, .tag = tag, .word = TABLE_EMPTY};
        if (found == tag) {
            uint64_t word = atomic_load_explicit(&row->word, memory_order_acquire);
            if (same_key(&row->key, key))
                return (struct table_place){.index = index, .tag = tag, .word = word};
        }
        index = next_place(index, capacity);
    }
    return (struct table_place){.index = TABLE_NOWHERE, .tag = tag, .word = TABLE_EMPTY};
}
