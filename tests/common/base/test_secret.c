#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "tests/support/memory_scan.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const size_t sizes[] = {0, 1, 63, 64, 65, 138, 255, 1000, 4096, 16384, 16385, 65536, 200000};
#define SIZES (sizeof sizes / sizeof sizes[0])

START_TEST(test_memory_comes_zeroed_also_the_second_time)
{
    size_t size = sizes[_i];
    for (int round = 0; round < 3; round++) {
        uint8_t *p = secret_alloc(size);
        ck_assert_ptr_nonnull(p);
        ck_assert_uint_eq((uintptr_t)p % 16, 0);
        size_t wrong = 0;
        for (size_t i = 0; i < size; i++)
            wrong += p[i] != 0;
        ck_assert_uint_eq(wrong, 0);
        memset(p, 0xee, size);
        secret_free(p);
    }
    secret_free(NULL);
}
END_TEST

struct held {
    uint8_t *bytes;
    size_t size;
    uint8_t fill;
};

static void check_held(const struct held *h)
{
    size_t wrong = 0;
    for (size_t i = 0; i < h->size; i++)
        wrong += h->bytes[i] != h->fill;
    ck_assert_uint_eq(wrong, 0);
}

/* Blocks of all sizes come and go in an order of chance, the same each run; none may touch another.
 */
static void *churn(void *arg)
{
    enum { HELD = 300, STEPS = 20000 };
    static _Thread_local struct held held[HELD];
    uint32_t seed = *(const uint32_t *)arg;
    for (unsigned step = 0; step < STEPS; step++) {
        seed = seed * 1664525u + 1013904223u;
        struct held *h = &held[(seed >> 8) % HELD];
        if (h->bytes != NULL)
            check_held(h);
        secret_free(h->bytes);
        h->size = (seed >> 4) % (step % 50 == 0 ? 100000 : 3000);
        h->fill = (uint8_t)step;
        h->bytes = secret_alloc(h->size);
        ck_assert_ptr_nonnull(h->bytes);
        memset(h->bytes, h->fill, h->size);
    }
    for (size_t i = 0; i < HELD; i++) {
        if (held[i].bytes != NULL)
            check_held(&held[i]);
        secret_free(held[i].bytes);
    }
    return NULL;
}

START_TEST(test_blocks_do_not_touch_each_other_from_two_threads)
{
    uint32_t one = 1, two = 2;
    pthread_t other;
    ck_assert_int_eq(pthread_create(&other, NULL, churn, &one), 0);
    churn(&two);
    ck_assert_int_eq(pthread_join(other, NULL), 0);
}
END_TEST

static bool apart_or_say(void)
{
    if (!secret_is_apart())
        puts("test_secret: a build with a sanitizer keeps secrets in plain memory; not looked at");
    return secret_is_apart();
}

START_TEST(test_memory_is_left_out_of_dumps)
{
    if (!apart_or_say())
        return;
    void *p = secret_alloc(sizes[_i]);
    void *plain = mem_alloc(4096);
    ck_assert(memory_has_flag(p, "dd"));
    ck_assert(!memory_has_flag(plain, "dd"));
    mem_free(plain);
    secret_free(p);
}
END_TEST

START_TEST(test_memory_is_locked_within_the_limit)
{
    struct rlimit limit;
    if (!apart_or_say())
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    void *p = secret_alloc(100);
    if (limit.rlim_cur >= (64u << 10))
        ck_assert(memory_has_flag(p, "lo"));
    secret_free(p);
    limit.rlim_cur = 0; /* without room it is given all the same; root is not limited */
    ck_assert_int_eq(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    void *more = secret_alloc(300000);
    ck_assert_ptr_nonnull(more);
    secret_free(more);
}
END_TEST

START_TEST(test_what_is_given_back_is_wiped)
{
    static const char mark[] = "a mark that stands nowhere else in this process";
    if (!apart_or_say())
        return;
    uint8_t *p = secret_alloc(sizeof mark), *neighbour = secret_alloc(sizeof mark);
    memcpy(p, mark, sizeof mark);
    secret_free(p);
    for (size_t i = sizeof(void *); i < sizeof mark; i++) /* a link of the free list stands first */
        ck_assert_uint_eq(((volatile uint8_t *)p)[i], 0);
    secret_free(neighbour);
}
END_TEST

/* Raised, where nothing is there to guard, so that the case ends as it must. */
START_TEST(test_the_page_behind_a_large_block_faults)
{
    volatile uint8_t *p = secret_alloc(200000);
    if (!apart_or_say())
        raise(SIGSEGV);
    for (size_t i = 0; i <= 200000 + 4096; i += 1024)
        p[i] = 1;
}
END_TEST

START_TEST(test_an_allocation_can_be_made_to_fail)
{
    mem_fail_after(0);
    void *p = secret_alloc(10);
    mem_fail_after(-1);
    ck_assert_ptr_null(p);
    ck_assert_ptr_null(secret_alloc(SIZE_MAX));
    ck_assert_ptr_null(secret_alloc(SIZE_MAX - 70000));
}
END_TEST

START_TEST(test_a_secret_buffer_stays_one_when_it_grows)
{
    struct buf b;
    buf_init_secret(&b, 1u << 20);
    for (unsigned i = 0; i < 5000; i++)
        ck_assert_int_eq(buf_append(&b, "0123456789abcdef", 16), ERR_OK);
    ck_assert_uint_eq(b.len, 80000);
    ck_assert(slice_eq_str(slice_of(b.data + 79984, 16), "0123456789abcdef"));
    if (apart_or_say())
        ck_assert(memory_has_flag(b.data, "dd"));
    buf_wipe(&b);
    ck_assert_int_eq(buf_append(&b, "x", 1), ERR_OK);
    if (secret_is_apart())
        ck_assert(memory_has_flag(b.data, "dd"));
    buf_done(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("secret");
    TCase *t = tcase_create("memory");
    tcase_add_loop_test(t, test_memory_comes_zeroed_also_the_second_time, 0, SIZES);
    tcase_add_test(t, test_blocks_do_not_touch_each_other_from_two_threads);
    tcase_add_loop_test(t, test_memory_is_left_out_of_dumps, 0, SIZES);
    tcase_add_test(t, test_memory_is_locked_within_the_limit);
    tcase_add_test(t, test_what_is_given_back_is_wiped);
    tcase_add_test(t, test_an_allocation_can_be_made_to_fail);
    tcase_add_test(t, test_a_secret_buffer_stays_one_when_it_grows);
    suite_add_tcase(s, t);
    if (secret_is_apart()) { /* a signal cannot be survived in the one process of a sanitizer */
        TCase *guard = tcase_create("guard");
        tcase_add_test_raise_signal(guard, test_the_page_behind_a_large_block_faults, SIGSEGV);
        suite_add_tcase(s, guard);
    }
    return run_suite(s);
}
