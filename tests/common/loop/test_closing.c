/* Closing: the noun is freed once, when nothing of it is under way any more, and done comes after.
 */
#include "common/base/mem.h"
#include "common/loop/closing.h"
#include "tests/support/runner.h"

struct noun {
    struct closing closing;
    uv_timer_t first, second;
    uv_work_t work;
    struct tally *tally;
};

struct tally {
    uv_loop_t loop;
    unsigned freed, done, other_done;
};

static void noun_free(void *arg)
{
    struct noun *n = arg;
    ck_assert_uint_eq(n->tally->done, 0); /* done comes after */
    n->tally->freed++;
    mem_free(n);
}

static void on_done(void *arg)
{
    struct tally *t = arg;
    ck_assert_uint_eq(t->freed, 1);
    t->done++;
}

static void on_other_done(void *arg)
{
    struct tally *t = arg;
    t->other_done++;
}

static struct noun *noun_open(struct tally *t)
{
    *t = (struct tally){.freed = 0};
    ck_assert_int_eq(uv_loop_init(&t->loop), 0);
    struct noun *n = mem_alloc(sizeof *n);
    ck_assert_ptr_nonnull(n);
    n->tally = t;
    uv_timer_init(&t->loop, &n->first);
    uv_timer_init(&t->loop, &n->second);
    n->first.data = n->second.data = n->work.data = n;
    return n;
}

static void noun_close(struct noun *n, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&n->closing, noun_free, n, done, arg))
        return;
    closing_handle(&n->closing, &n->first);
    closing_handle(&n->closing, &n->second);
}

static void finish(struct tally *t)
{
    uv_run(&t->loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(t->freed, 1);
    ck_assert_int_eq(uv_loop_close(&t->loop), 0);
}

START_TEST(test_it_is_freed_in_the_last_close_callback)
{
    struct tally t;
    struct noun *n = noun_open(&t);
    noun_close(n, on_done, &t);
    ck_assert(n->closing.begun);
    ck_assert_uint_eq(t.freed, 0); /* never within the close */
    finish(&t);
    ck_assert_uint_eq(t.done, 1);
}
END_TEST

START_TEST(test_only_the_first_close_counts)
{
    struct tally t;
    struct noun *n = noun_open(&t);
    noun_close(n, on_done, &t);
    noun_close(n, on_other_done, &t);
    finish(&t);
    ck_assert_uint_eq(t.done, 1);
    ck_assert_uint_eq(t.other_done, 0);
}
END_TEST

START_TEST(test_nobody_need_wait_for_it)
{
    struct tally t;
    noun_close(noun_open(&t), NULL, NULL);
    finish(&t);
}
END_TEST

static void on_timer(uv_timer_t *timer)
{
    struct noun *n = timer->data;
    noun_close(n, on_done, n->tally);
}

START_TEST(test_it_may_close_in_its_own_callback)
{
    struct tally t;
    struct noun *n = noun_open(&t);
    uv_timer_start(&n->first, on_timer, 0, 0);
    finish(&t);
    ck_assert_uint_eq(t.done, 1);
}
END_TEST

static void on_work(uv_work_t *work)
{
    (void)work;
}

static void on_worked(uv_work_t *work, int status)
{
    struct noun *n = work->data;
    (void)status;
    ck_assert_uint_eq(n->tally->freed, 0);
    closing_drop(&n->closing);
}

START_TEST(test_a_request_under_way_is_waited_for)
{
    struct tally t;
    struct noun *n = noun_open(&t);
    ck_assert_int_eq(uv_queue_work(&t.loop, &n->work, on_work, on_worked), 0);
    closing_hold(&n->closing);
    noun_close(n, on_done, &t);
    finish(&t);
    ck_assert_uint_eq(t.done, 1);
}
END_TEST

START_TEST(test_what_ends_before_the_close_frees_nothing)
{
    struct tally t;
    struct noun *n = noun_open(&t);
    closing_hold(&n->closing);
    closing_drop(&n->closing);
    ck_assert_uint_eq(t.freed, 0);
    noun_close(n, on_done, &t);
    finish(&t);
    ck_assert_uint_eq(t.done, 1);
}
END_TEST

START_TEST(test_a_part_that_ends_at_once_leaves_the_handles_their_time)
{
    struct tally t;
    struct noun *n = noun_open(&t);
    noun_close(n, on_done, &t);
    closing_drop(closing_hold(&n->closing));
    ck_assert_uint_eq(t.freed, 0);
    finish(&t);
    ck_assert_uint_eq(t.done, 1);
}
END_TEST

START_TEST(test_a_part_is_a_noun_that_closes_alike)
{
    struct tally t, of_part;
    struct noun *n = noun_open(&t);
    struct noun *part = noun_open(&of_part);
    noun_close(n, on_done, &t);
    noun_close(part, closing_drop, closing_hold(&n->closing));
    uv_run(&t.loop, UV_RUN_DEFAULT);
    ck_assert_uint_eq(t.freed, 0);
    finish(&of_part); /* with it, the whole */
    ck_assert_uint_eq(t.done, 1);
    finish(&t);
}
END_TEST

START_TEST(test_a_noun_without_handles_ends_at_once_unless_something_is_under_way)
{
    struct tally t = {.freed = 0};
    struct noun *n = mem_alloc(sizeof *n);
    ck_assert_ptr_nonnull(n);
    n->tally = &t;
    if (_i > 0)
        closing_hold(&n->closing);
    ck_assert(closing_begin(&n->closing, noun_free, n, on_done, &t));
    closing_drop(closing_hold(&n->closing));
    if (_i > 0) {
        ck_assert_uint_eq(t.freed, 0);
        closing_drop(&n->closing);
    }
    ck_assert_uint_eq(t.done, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("closing");
    TCase *tc = tcase_create("closing");
    tcase_add_test(tc, test_it_is_freed_in_the_last_close_callback);
    tcase_add_test(tc, test_only_the_first_close_counts);
    tcase_add_test(tc, test_nobody_need_wait_for_it);
    tcase_add_test(tc, test_it_may_close_in_its_own_callback);
    tcase_add_test(tc, test_a_request_under_way_is_waited_for);
    tcase_add_test(tc, test_what_ends_before_the_close_frees_nothing);
    tcase_add_test(tc, test_a_part_that_ends_at_once_leaves_the_handles_their_time);
    tcase_add_test(tc, test_a_part_is_a_noun_that_closes_alike);
    tcase_add_loop_test(tc, test_a_noun_without_handles_ends_at_once_unless_something_is_under_way,
                        0, 2);
    suite_add_tcase(s, tc);
    return run_suite(s);
}
