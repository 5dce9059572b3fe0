/* What is added to the lists of <sys/queue.h>: leaving twice, and walks that take out. */
#include "common/base/list.h"

#include "common/base/mem.h"
#include "tests/support/runner.h"

struct thing {
    int number;
    LIST_ENTRY(thing) in_list;
    TAILQ_ENTRY(thing) in_queue;
};
static LIST_HEAD(, thing) list;
static TAILQ_HEAD(queue, thing) queue;

START_TEST(test_leaving_is_for_those_that_are_in)
{
    struct thing a[3] = {{0}};
    LIST_INIT(&list);
    TAILQ_INIT(&queue);
    for (int i = 0; i < 3; i++) {
        ck_assert(!LIST_IS_IN(&a[i], in_list) && !TAILQ_IS_IN(&a[i], in_queue));
        LIST_INSERT_HEAD(&list, &a[i], in_list);
        TAILQ_INSERT_TAIL(&queue, &a[i], in_queue);
        ck_assert(LIST_IS_IN(&a[i], in_list) && TAILQ_IS_IN(&a[i], in_queue));
    }
    for (int round = 0; round < 2; round++) { /* the middle, then the last; each twice */
        for (int twice = 0; twice < 2; twice++) {
            LIST_LEAVE(&a[1 - round], in_list);
            TAILQ_LEAVE(&queue, &a[1 + round], in_queue);
        }
        ck_assert(!LIST_IS_IN(&a[1 - round], in_list) && !TAILQ_IS_IN(&a[1 + round], in_queue));
    }
    ck_assert_ptr_eq(LIST_FIRST(&list), &a[2]);
    ck_assert_ptr_null(LIST_NEXT(&a[2], in_list));
    ck_assert_ptr_eq(TAILQ_FIRST(&queue), &a[0]);
    ck_assert_ptr_eq(TAILQ_LAST(&queue, queue), &a[0]);
    LIST_LEAVE(&a[2], in_list);
    TAILQ_LEAVE(&queue, &a[0], in_queue);
    ck_assert(LIST_EMPTY(&list) && TAILQ_EMPTY(&queue));
}
END_TEST

START_TEST(test_a_walk_may_free_what_it_meets)
{
    struct thing *t, *next;
    int expected = 0;
    LIST_INIT(&list);
    TAILQ_INIT(&queue);
    for (int i = 0; i < 5; i++) {
        t = mem_alloc(sizeof *t);
        ck_assert_ptr_nonnull(t);
        t->number = i;
        LIST_INSERT_HEAD(&list, t, in_list);
        TAILQ_INSERT_TAIL(&queue, t, in_queue);
    }
    TAILQ_FOREACH_SAFE(t, &queue, in_queue, next) {
        ck_assert_int_eq(t->number, expected++);
        TAILQ_LEAVE(&queue, t, in_queue);
    }
    LIST_FOREACH_SAFE(t, &list, in_list, next) {
        ck_assert_int_eq(t->number, --expected);
        LIST_LEAVE(t, in_list);
        mem_free(t);
    }
    ck_assert(LIST_EMPTY(&list) && TAILQ_EMPTY(&queue));
    ck_assert_int_eq(expected, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("list");
    TCase *t = tcase_create("list");
    tcase_add_test(t, test_leaving_is_for_those_that_are_in);
    tcase_add_test(t, test_a_walk_may_free_what_it_meets);
    suite_add_tcase(s, t);
    return run_suite(s);
}
