/* The hash table: against a plain array, without memory, with keys of somebody's choice. */
#include "common/base/map.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct thing {
    int before; /* the node is not the first member */
    struct map_node node;
    uint64_t key;
    bool in, seen;
};

#define MANY 3000
static struct thing things[MANY];

static bool thing_is(const void *thing, const void *key)
{
    return ((const struct thing *)thing)->key == *(const uint64_t *)key;
}

static struct map m = MAP_OF(struct thing, node, thing_is);

static uint32_t hash_of(uint64_t key)
{
    return map_hash(slice_of(&key, sizeof key));
}

static struct thing *find(uint64_t key)
{
    return map_find(&m, hash_of(key), &key);
}

static void add(struct thing *t, uint64_t key)
{
    t->key = key;
    ck_assert_int_eq(map_add(&m, t, hash_of(key)), ERR_OK);
    t->in = true;
}

static void take_out(struct thing *t)
{
    map_remove(&m, t);
    t->in = false;
}

static size_t longest_chain(void)
{
    size_t longest = 0;
    for (uint32_t i = 0; i < m.bucket_count; i++) {
        size_t len = 0;
        for (const struct map_node *n = m.buckets[i]; n != NULL; n = n->next)
            len++;
        longest = len > longest ? len : longest;
    }
    return longest;
}

/* In a child, before this process has drawn its own key. */
static int hash_elsewhere(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit((int)(map_hash(slice_str("key")) & 0x7f));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

START_TEST(test_no_two_processes_hash_alike)
{
    int first = hash_elsewhere(), same = 0;
    for (int i = 0; i < 20; i++)
        same += hash_elsewhere() == first;
    ck_assert_int_lt(same, 10);
}
END_TEST

/* Made by another implementation, which agrees with the published ones of SipHash-2-4. */
START_TEST(test_the_hash_is_siphash)
{
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {
        {0, 0xabac0158050fc4dcu},  {1, 0xc9f49bf37d57ca93u},  {7, 0xd3927d989bb11140u},
        {8, 0x369095118d299a8eu},  {9, 0x25a48eb36c063de4u},  {15, 0xd320d86d2a519956u},
        {16, 0xcc4fdd1a7d908b66u}, {23, 0x525a0e7fdae6c123u}, {40, 0xc1d2363299e41531u},
    };
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t text[64];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ck_assert_uint_eq(map_siphash(key, slice_of(text, rows[i].len)), rows[i].hash);
}
END_TEST

START_TEST(test_every_byte_and_each_part_count)
{
    uint8_t text[40] = {0};
    for (size_t len = 0; len < sizeof text; len++) {
        uint32_t whole = map_hash(slice_of(text, len));
        ck_assert_uint_eq(whole, map_hash(slice_of(text, len)));
        ck_assert_uint_ne(whole, map_hash(slice_of(text, len + 1)));
        for (size_t i = 0; i < len; i++) {
            text[i] = 1;
            ck_assert_uint_ne(whole, map_hash(slice_of(text, len)));
            text[i] = 0;
        }
    }
    uint32_t ab_c = map_hash_more(map_hash(slice_str("ab")), slice_str("c"));
    uint32_t a_bc = map_hash_more(map_hash(slice_str("a")), slice_str("bc"));
    ck_assert_uint_ne(ab_c, a_bc);
    ck_assert_uint_ne(ab_c, map_hash(slice_str("abc")));
}
END_TEST

static void check_walk(void)
{
    uint32_t count = 0;
    struct thing *t;
    MAP_FOREACH(t, &m) {
        ck_assert(t->in && !t->seen);
        t->seen = true;
        count++;
    }
    ck_assert_uint_eq(count, m.count);
    for (size_t i = 0; i < MANY; i++)
        things[i].seen = false;
}

START_TEST(test_it_agrees_with_an_array_whatever_comes_and_goes)
{
    unsigned state = 1;
    uint32_t count = 0;
    for (int step = 0; step < 60000; step++) {
        unsigned phase = (unsigned)step / 10000 % 2; /* mostly in, then mostly out */
        struct thing *t = &things[rand_r(&state) % MANY];
        uint64_t key = (uint64_t)(t - things) * 7;
        ck_assert_ptr_eq(find(key), t->in ? t : NULL);
        if (t->in && (phase == 1 || step % 4 == 0)) {
            take_out(t);
            count--;
        } else if (!t->in && (phase == 0 || step % 4 == 0)) {
            add(t, key);
            count++;
        }
        ck_assert_ptr_eq(find(key), t->in ? t : NULL);
        ck_assert_uint_eq(m.count, count);
        ck_assert_uint_ge(m.bucket_count, count);
        if (step % 1000 == 0)
            check_walk();
    }
}
END_TEST

START_TEST(test_a_walk_may_take_out_what_it_meets)
{
    struct thing *t, *next;
    for (size_t i = 0; i < MANY; i++)
        add(&things[i], i);
    MAP_FOREACH_SAFE(t, &m, next) {
        if (t->key % 3 == 0)
            take_out(t);
    }
    for (size_t i = 0; i < MANY; i++)
        ck_assert_int_eq(things[i].in, i % 3 != 0);
    check_walk();
    MAP_FOREACH_SAFE(t, &m, next)
        take_out(t);
    ck_assert_uint_eq(m.count, 0);
    ck_assert_ptr_null(map_next(&m, NULL));
    ck_assert_uint_eq(m.bucket_count, 0); /* what a flood took is given back */
    add(&things[0], 0);
    take_out(&things[0]);
    ck_assert_uint_gt(m.bucket_count, 0); /* what one takes is kept */
}
END_TEST

/* They meet in a table that masks its keys, or keys that were only multiplied. */
START_TEST(test_nobody_chooses_keys_that_meet)
{
    for (unsigned shift = 0; shift <= 48; shift += 16) {
        for (size_t i = 0; i < MANY; i++)
            add(&things[i], (uint64_t)i << shift);
        ck_assert_uint_lt(longest_chain(), 16);
        size_t odd = 0; /* every second bucket */
        for (uint32_t i = 1; i < m.bucket_count; i += 2)
            odd += m.buckets[i] != NULL;
        ck_assert_uint_gt(odd, MANY / 8);
        for (size_t i = 0; i < MANY; i++)
            take_out(&things[i]);
    }
}
END_TEST

static bool other_is(const void *thing, const void *key)
{
    (void)thing, (void)key;
    return false;
}

START_TEST(test_those_of_one_hash_are_told_apart)
{
    for (size_t i = 0; i < 50; i++) {
        things[i].key = i;
        ck_assert_int_eq(map_add(&m, &things[i], 7), ERR_OK);
    }
    for (uint64_t i = 0; i < 50; i++)
        ck_assert_ptr_eq(map_find(&m, 7, &i), &things[i]);
    ck_assert_ptr_null(map_find(&m, 7 + 64, &things[0].key)); /* of the same bucket */
    m.same = other_is;
    ck_assert_ptr_null(map_find(&m, 7, &things[0].key));
    m.same = thing_is;
    for (uint64_t i = 0; i < 50; i += 2)
        map_remove(&m, &things[i]);
    for (uint64_t i = 0; i < 50; i++)
        ck_assert_ptr_eq(map_find(&m, 7, &i), i % 2 == 0 ? NULL : &things[i]);
}
END_TEST

/* Every addition of the first few that needs memory: the first, and those that double. */
START_TEST(test_without_memory_nothing_changes)
{
    int failures = 0;
    for (size_t i = 0; i < 100; i++) {
        uint32_t buckets = m.bucket_count;
        things[i].key = i;
        mem_fail_after(0);
        err_t err = map_add(&m, &things[i], hash_of(i));
        mem_fail_after(-1);
        if (err != ERR_OK) {
            failures++;
            ck_assert_int_eq(err, ERR_NO_MEMORY);
            ck_assert_uint_eq(m.count, i);
            ck_assert_uint_eq(m.bucket_count, buckets);
            ck_assert_ptr_null(find(i));
            add(&things[i], i);
        }
        for (uint64_t k = 0; k <= i; k++)
            ck_assert_ptr_eq(find(k), &things[k]);
    }
    ck_assert_int_eq(failures, 4); /* for 16, 32, 64 and 128 buckets */
}
END_TEST

static void teardown(void)
{
    map_done(&m);
    memset(things, 0, sizeof things);
}

int main(void)
{
    Suite *s = suite_create("map");
    TCase *t = tcase_create("map");
    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_test(t, test_no_two_processes_hash_alike);
    tcase_add_test(t, test_the_hash_is_siphash);
    tcase_add_test(t, test_every_byte_and_each_part_count);
    tcase_add_test(t, test_it_agrees_with_an_array_whatever_comes_and_goes);
    tcase_add_test(t, test_a_walk_may_take_out_what_it_meets);
    tcase_add_test(t, test_nobody_chooses_keys_that_meet);
    tcase_add_test(t, test_those_of_one_hash_are_told_apart);
    tcase_add_test(t, test_without_memory_nothing_changes);
    suite_add_tcase(s, t);
    return run_suite(s);
}
