/* A hash table of what its owner holds: items bear a node, so a map allocates its buckets alone, a
 * pointer or two for each item it held at once; they stay until it is empty. The map's thread;
 * reading it changes nothing.
 *
 *     struct user { struct map_node in_users; uid_t uid; };
 *     static bool user_is(const void *user, const void *uid);
 *     struct map users = MAP_OF(struct user, in_users, user_is);
 *     struct user *u = map_find(&users, map_hash(slice_of(&uid, sizeof uid)), &uid);
 */
#ifndef SPINDLE_COMMON_BASE_MAP_H
#define SPINDLE_COMMON_BASE_MAP_H

#include "common/base/err.h"
#include "common/base/slice.h"

struct map_node {
    struct map_node *next; /* of its bucket */
    uint32_t hash;
};

struct map {
    bool (*same)(const void *item, const void *key); /* asked where the hashes agree */
    size_t at;                                       /* of the node in the item */
    struct map_node **buckets;                       /* owned; a power of two, or none */
    uint32_t bucket_count, count;
};
#define MAP_OF(type, node, is_same)                                                                \
    {                                                                                              \
        .at = offsetof(type, node), .same = (is_same)                                              \
    }

/* SipHash-1-3. */
uint64_t map_siphash(const uint64_t key[static 2], struct slice text);
/* It, keyed with random bytes of this process: whoever chooses the keys cannot make them meet. Any
 * thread. */
uint32_t map_hash(struct slice key);
/* Of several parts one after the other: `so_far` is that of the earlier ones. */
uint32_t map_hash_more(uint32_t so_far, struct slice part);

/* Gives the buckets back; items are left alone. The map is empty, as new. */
void map_done(struct map *m);
/* NULL: there is none. */
void *map_find(const struct map *m, uint32_t hash, const void *key);
/* hash: that of its key, which no item in the map has. ERR_NO_MEMORY: it is not in, all else is as
 * before. */
err_t map_add(struct map *m, void *item, uint32_t hash) MUST_CHECK;
/* It is in. The last one takes a large table with it. */
void map_remove(struct map *m, void *item);
/* A walk over all in no order: the first for NULL, then the one after `item`; NULL: no more. */
void *map_next(const struct map *m, void *item);

/* For a walk that takes items out: the body may remove `item`, no other one, and add none. */
#define MAP_FOREACH_SAFE(item, map, following)                                                     \
    for ((item) = map_next(map, NULL); (item) != NULL && ((following) = map_next(map, item), 1);   \
         (item) = (following))
#define MAP_FOREACH(item, map)                                                                     \
    for ((item) = map_next(map, NULL); (item) != NULL; (item) = map_next(map, item))

#endif
