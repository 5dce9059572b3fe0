#include "common/base/map.h"

#include "common/base/mem.h"
#include "common/base/rand.h"

#include <endian.h>
#include <pthread.h>

#define BUCKETS_FIRST 16u

/* --- the hash --------------------------------------------------------------------------------- */

static uint64_t hash_key[2];
static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_key_draw(void)
{
    rand_bytes(hash_key, sizeof hash_key);
}

static uint64_t turn_left(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[static 4])
{
    v[0] += v[1];
    v[1] = turn_left(v[1], 13) ^ v[0];
    v[0] = turn_left(v[0], 32);
    v[2] += v[3];
    v[3] = turn_left(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = turn_left(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = turn_left(v[1], 17) ^ v[2];
    v[2] = turn_left(v[2], 32);
}

static void sip_word(uint64_t v[static 4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t map_siphash(const uint64_t key[static 2], struct slice text)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    uint64_t word = 0;
    size_t at = 0;
    for (; text.len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, text.data + at, sizeof word);
        sip_word(v, le64toh(word));
    }
    word = (uint64_t)text.len << 56;
    for (size_t i = at; i < text.len; i++)
        word |= (uint64_t)text.data[i] << 8 * (i - at);
    sip_word(v, word);
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint32_t map_hash_more(uint32_t so_far, struct slice part)
{
    pthread_once(&hash_once, hash_key_draw);
    const uint64_t key[2] = {hash_key[0] ^ so_far, hash_key[1]};
    return (uint32_t)map_siphash(key, part);
}

uint32_t map_hash(struct slice key)
{
    return map_hash_more(0, key);
}

/* --- the table -------------------------------------------------------------------------------- */

static struct map_node *node_of(const struct map *m, void *item)
{
    return (struct map_node *)(void *)((char *)item + m->at);
}

static void *item_of(const struct map *m, struct map_node *n)
{
    return n != NULL ? (char *)n - m->at : NULL;
}

static struct map_node **bucket_of(const struct map *m, uint32_t hash)
{
    return &m->buckets[hash & (m->bucket_count - 1)];
}

static void link_in(struct map *m, struct map_node *n)
{
    struct map_node **bucket = bucket_of(m, n->hash);
    n->next = *bucket;
    *bucket = n;
}

static err_t grow(struct map *m)
{
    struct map old = *m;
    uint32_t count = old.bucket_count > 0 ? 2 * old.bucket_count : BUCKETS_FIRST;
    struct map_node **buckets = mem_array(count, sizeof(struct map_node *));
    if (buckets == NULL)
        return ERR_NO_MEMORY;
    m->buckets = buckets;
    m->bucket_count = count;
    for (uint32_t i = 0; i < old.bucket_count; i++) {
        for (struct map_node *n = old.buckets[i], *next; n != NULL; n = next) {
            next = n->next;
            link_in(m, n);
        }
    }
    mem_free(old.buckets);
    return ERR_OK;
}

void map_done(struct map *m)
{
    mem_free(m->buckets);
    m->buckets = NULL;
    m->bucket_count = m->count = 0;
}

void *map_find(const struct map *m, uint32_t hash, const void *key)
{
    struct map_node *n = m->count > 0 ? *bucket_of(m, hash) : NULL;
    while (n != NULL && (n->hash != hash || !m->same(item_of(m, n), key)))
        n = n->next;
    return item_of(m, n);
}

err_t map_add(struct map *m, void *item, uint32_t hash)
{
    if (m->count == m->bucket_count && grow(m) != ERR_OK)
        return ERR_NO_MEMORY;
    struct map_node *n = node_of(m, item);
    n->hash = hash;
    link_in(m, n);
    m->count++;
    return ERR_OK;
}

void map_remove(struct map *m, void *item)
{
    struct map_node *n = node_of(m, item), **at = bucket_of(m, n->hash);
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    if (--m->count == 0 && m->bucket_count > BUCKETS_FIRST)
        map_done(m); /* what a flood took */
}

void *map_next(const struct map *m, void *item)
{
    struct map_node *n = NULL;
    uint32_t bucket = 0;
    if (item != NULL) {
        n = node_of(m, item)->next;
        bucket = (node_of(m, item)->hash & (m->bucket_count - 1)) + 1;
    }
    for (; n == NULL && bucket < m->bucket_count; bucket++)
        n = m->buckets[bucket];
    return item_of(m, n);
}
