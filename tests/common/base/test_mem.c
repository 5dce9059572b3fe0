/* Arrays that grow: what is in them stays, also when there is no memory. */
#include "common/base/mem.h"
#include "tests/support/runner.h"

START_TEST(test_an_array_takes_one_more_and_keeps_the_others)
{
    size_t *items = NULL;
    for (size_t i = 0; i < 1000; i++) {
        ck_assert(mem_grow(&items, i, sizeof *items));
        items[i] = i;
    }
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(items[i], i);
    for (size_t i = 5; i < 1000; i++) { /* it was emptied in between */
        ck_assert(mem_grow(&items, i, sizeof *items));
        items[i] = i;
    }
    for (size_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(items[i], i);
    mem_free(items);
}
END_TEST

START_TEST(test_without_memory_an_array_stays_as_it_was)
{
    size_t *items = NULL;
    mem_fail_after(0);
    ck_assert(!mem_grow(&items, 0, sizeof *items));
    ck_assert_ptr_null(items);
    mem_fail_after(-1);
    ck_assert(mem_grow(&items, 0, sizeof *items));
    items[7] = 77; /* eight have room at first */
    mem_fail_after(0);
    ck_assert(mem_grow(&items, 7, sizeof *items));
    ck_assert(!mem_grow(&items, 8, sizeof *items));
    mem_fail_after(-1);
    ck_assert_uint_eq(items[7], 77);
    mem_free(items);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mem");
    TCase *t = tcase_create("mem");
    tcase_add_test(t, test_an_array_takes_one_more_and_keeps_the_others);
    tcase_add_test(t, test_without_memory_an_array_stays_as_it_was);
    suite_add_tcase(s, t);
    return run_suite(s);
}
