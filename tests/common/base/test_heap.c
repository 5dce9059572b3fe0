/* The heap: against a plain search, and without memory. */
#include "common/base/heap.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

#include <stdlib.h>
#include <string.h>

struct thing {
    int due;
    struct heap_place in; /* not the first member */
};

#define MANY 300
static struct thing things[MANY];

static bool is_before(const void *a, const void *b)
{
    return ((const struct thing *)a)->due < ((const struct thing *)b)->due;
}

static struct heap h = HEAP_OF(struct thing, in, is_before);

static void check_first(uint32_t count)
{
    const struct thing *first = heap_first(&h);
    uint32_t in = 0;
    int least = 0;
    for (size_t i = 0; i < MANY; i++) {
        if (things[i].in.at == 0)
            continue;
        least = in++ == 0 || things[i].due < least ? things[i].due : least;
        if (h.items[things[i].in.at - 1] != &things[i])
            ck_abort_msg("%zu is not where it says", i);
        if (is_before(&things[i], h.items[things[i].in.at / 2 - (things[i].in.at > 1)]))
            ck_abort_msg("%zu stands behind a later one", i);
    }
    ck_assert_uint_eq(in, count);
    ck_assert_uint_eq(h.count, count);
    ck_assert(count == 0 ? first == NULL : first->due == least);
}

START_TEST(test_it_agrees_with_a_search_whatever_comes_and_goes)
{
    unsigned state = 1;
    uint32_t count = 0;
    for (int step = 0; step < 4000; step++) {
        struct thing *t = &things[rand_r(&state) % MANY];
        int due = rand_r(&state) % (step % 800 < 400 ? 20 : 100000); /* many of one time, too */
        if (t->in.at == 0) {
            t->due = due;
            ck_assert_int_eq(heap_add(&h, t), ERR_OK);
            count++;
        } else if (step % 3 == 0) {
            heap_remove(&h, t);
            heap_remove(&h, t); /* in no heap */
            count--;
        } else {
            t->due = due;
            heap_moved(&h, t);
        }
        check_first(count);
    }
}
END_TEST

START_TEST(test_they_come_out_in_order)
{
    unsigned state = 1;
    for (int i = 0; i < MANY; i++) {
        things[i].due = rand_r(&state) % 1000;
        ck_assert_int_eq(heap_add(&h, &things[i]), ERR_OK);
    }
    for (int last = 0; h.count > 0;) {
        struct thing *t = heap_first(&h);
        ck_assert_int_ge(t->due, last);
        last = t->due;
        heap_remove(&h, t);
        check_first(h.count);
    }
    ck_assert_ptr_null(heap_first(&h));
    ck_assert_uint_eq(h.room, 0); /* what a flood took is given back */
    ck_assert_int_eq(heap_add(&h, &things[0]), ERR_OK);
    heap_remove(&h, &things[0]);
    ck_assert_uint_gt(h.room, 0); /* what one takes is kept */
}
END_TEST

START_TEST(test_without_memory_nothing_changes)
{
    int failures = 0;
    for (uint32_t i = 0; i < 100; i++) {
        mem_fail_after(0);
        err_t err = heap_add(&h, &things[i]);
        mem_fail_after(-1);
        if (err != ERR_OK) {
            failures++;
            ck_assert_int_eq(err, ERR_NO_MEMORY);
            check_first(i);
            ck_assert_int_eq(heap_add(&h, &things[i]), ERR_OK);
        }
        check_first(i + 1);
    }
    ck_assert_int_eq(failures, 4); /* for 16, 32, 64 and 128 */
}
END_TEST

static void teardown(void)
{
    heap_done(&h);
    memset(things, 0, sizeof things);
}

int main(void)
{
    Suite *s = suite_create("heap");
    TCase *t = tcase_create("heap");
    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_test(t, test_it_agrees_with_a_search_whatever_comes_and_goes);
    tcase_add_test(t, test_they_come_out_in_order);
    tcase_add_test(t, test_without_memory_nothing_changes);
    suite_add_tcase(s, t);
    return run_suite(s);
}
