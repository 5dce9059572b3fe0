/* The heap of what falls due, and its one timer. */
#include "sidecar/conn/expiry.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "tests/support/runner.h"

#define COUNT 500

static uv_loop_t loop;
static struct expiry expiry;
static struct expiry_item items[COUNT];
static struct expiry_item *told[COUNT];
static size_t told_count;
static struct expiry_item *also_remove;

static void on_due(struct expiry_item *item)
{
    ck_assert_uint_eq(item->place.at, 0);
    told[told_count++] = item;
    if (also_remove != NULL)
        expiry_remove(&expiry, also_remove);
}

static void start(void)
{
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    expiry_open(&expiry, &loop, on_due);
    memset(items, 0, sizeof items);
    told_count = 0;
    also_remove = NULL;
}

static void stop(void)
{
    expiry_close(&expiry);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    expiry_done(&expiry);
}

static void set(size_t i, int64_t due_ms)
{
    ck_assert_int_eq(expiry_set(&expiry, &items[i], due_ms), ERR_OK);
}

START_TEST(test_items_are_told_in_the_order_of_their_times)
{
    int64_t past = clock_wall_ms() - 100000;
    for (size_t i = 0; i < COUNT; i++)
        set(i, past + (int64_t)(i * 7919 % COUNT));
    for (size_t i = 0; i < COUNT; i += 3) /* moved, earlier and later */
        set(i, past + (int64_t)(i * 104729 % COUNT) - 50);
    for (size_t i = 0; i < COUNT; i += 5)
        expiry_remove(&expiry, &items[i]);
    expiry_remove(&expiry, &items[0]); /* out already */
    uv_run(&loop, UV_RUN_DEFAULT);     /* ends: nothing is left, so no timer */
    ck_assert_uint_eq(told_count, COUNT - COUNT / 5);
    for (size_t i = 1; i < told_count; i++)
        ck_assert_int_le(told[i - 1]->due_ms, told[i]->due_ms);
}
END_TEST

START_TEST(test_what_is_not_due_yet_waits)
{
    int64_t now = clock_wall_ms();
    set(0, now + 3600000);
    set(1, now + 30);
    set(2, now - 1);
    while (told_count < 2)
        uv_run(&loop, UV_RUN_ONCE);
    ck_assert_ptr_eq(told[0], &items[2]);
    ck_assert_ptr_eq(told[1], &items[1]);
    ck_assert_int_ge(clock_wall_ms(), now + 30);
    ck_assert_uint_ne(items[0].place.at, 0);
    ck_assert(uv_is_active((uv_handle_t *)&expiry.timer));
    ck_assert_uint_le(uv_timer_get_due_in(&expiry.timer), 60000); /* the clock may be set */
    expiry_remove(&expiry, &items[0]);
}
END_TEST

START_TEST(test_one_that_is_told_may_take_another_out)
{
    set(0, 1);
    set(1, 2);
    set(2, 3);
    also_remove = &items[1];
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(told_count, 2);
    ck_assert_ptr_eq(told[1], &items[2]);
}
END_TEST

START_TEST(test_without_memory_an_item_is_not_in)
{
    mem_fail_after(0);
    ck_assert_int_eq(expiry_set(&expiry, &items[0], 1), ERR_NO_MEMORY);
    mem_fail_after(-1);
    ck_assert_uint_eq(items[0].place.at, 0);
    ck_assert(!uv_is_active((uv_handle_t *)&expiry.timer));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("expiry");
    TCase *t = tcase_create("expiry");
    tcase_add_checked_fixture(t, start, stop);
    tcase_add_test(t, test_items_are_told_in_the_order_of_their_times);
    tcase_add_test(t, test_what_is_not_due_yet_waits);
    tcase_add_test(t, test_one_that_is_told_may_take_another_out);
    tcase_add_test(t, test_without_memory_an_item_is_not_in);
    suite_add_tcase(s, t);
    return run_suite(s);
}
