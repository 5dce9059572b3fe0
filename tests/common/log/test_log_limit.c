/* A flood of one event becomes a few lines that say how many there were. */
#include "common/log/log_limit.h"
#include "tests/support/runner.h"

#include <pthread.h>
#include <stdio.h>

#define SECOND UINT64_C(1000000000)

static const struct log_limit_rate rate = {5, 2};

/* How many of `tries` at this moment pass; *ret_suppressed as the last one told. */
static int passed(struct log_limit *l, uint64_t now, int tries, uint64_t *ret_suppressed)
{
    int n = 0;
    for (int i = 0; i < tries; i++)
        n += log_limit_pass(l, &rate, now, ret_suppressed);
    return n;
}

START_TEST(test_a_burst_passes_and_then_so_many_a_second)
{
    static const struct {
        uint64_t after; /* of the step before */
        int tries, passed;
        uint64_t told; /* by the first that passes */
    } steps[] = {
        {0, 3, 3, 0},
        {0, 10, 2, 0},             /* 8 are not written */
        {SECOND / 2 - 1, 4, 0, 0}, /* 12 now */
        {1, 4, 1, 12},             /* one interval: one token */
        {SECOND, 1, 1, 3},
        {0, 5, 1, 0},
        {SECOND * 3600, 100, 5, 4}, /* no more than the burst, however long it was quiet */
    };
    struct log_limit l = {0};
    uint64_t now = 77 * SECOND;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        uint64_t told = 0, rest = 0;
        now += steps[i].after;
        int n = passed(&l, now, 1, &told) + passed(&l, now, steps[i].tries - 1, &rest);
        ck_assert_msg(n == steps[i].passed, "step %zu: %d", i, n);
        ck_assert_msg(told == steps[i].told, "step %zu: %llu", i, (unsigned long long)told);
        ck_assert_uint_eq(rest, 0);
    }
}
END_TEST

START_TEST(test_a_flood_of_one_reason_does_not_hide_another)
{
    static struct log_limits limits;
    uint64_t suppressed = 0;
    for (size_t i = 0; i < err_count(); i++)
        for (unsigned event = 0; event < 2; event++)
            ck_assert_int_eq(
                passed(log_limits_of(&limits, event, err_at(i)), SECOND, 5, &suppressed), 5);
    ck_assert_uint_eq(suppressed, 0);
}
END_TEST

struct capture {
    int lines;
    char last[256];
};

static void keep_line(void *arg, const char *line)
{
    struct capture *c = arg;
    c->lines++;
    snprintf(c->last, sizeof c->last, "%s", line);
}

/* By the real clock: the first burst passes whole, what is over it is counted, and a line says so
 * once the bucket has a token again. */
START_TEST(test_lines_past_the_limit_are_counted_and_told)
{
    struct log_limit l = {0};
    struct capture c = {0};
    uint64_t before = log_dropped();
    log_capture(keep_line, &c);
    for (int i = 0; i < LOG_LIMIT_BURST; i++)
        LOG_LIMITED(&l, LOG_WARN, "refused", log_int("n", i));
    ck_assert_int_eq(c.lines, LOG_LIMIT_BURST);
    ck_assert_ptr_null(strstr(c.last, "suppressed"));
    ck_assert_ptr_nonnull(strstr(c.last, "refused n=49"));
    int written = c.lines, more = 0;
    for (; c.lines == written; more++)
        LOG_LIMITED(&l, LOG_WARN, "refused");
    log_capture(NULL, NULL);
    char want[64];
    snprintf(want, sizeof want, " refused suppressed=%d", more - 1);
    if (more == 1)
        want[8] = '\0';
    ck_assert_msg(strstr(c.last, want) != NULL, "%s, expected %s", c.last, want);
    ck_assert_uint_eq(log_dropped() - before, (uint64_t)more - 1);
}
END_TEST

START_TEST(test_what_is_not_logged_takes_no_token)
{
    struct log_limit l = {0};
    uint64_t suppressed = 0;
    for (int i = 0; i < 1000; i++)
        LOG_LIMITED(&l, LOG_DEBUG, "quiet");
    ck_assert_int_eq(passed(&l, clock_mono_ns(), 5, &suppressed), 5);
    ck_assert_uint_eq(suppressed, 0);
}
END_TEST

static struct log_limit shared;
static _Atomic uint64_t told;

static void *flood(void *arg)
{
    uint64_t *n = arg, suppressed = 0;
    for (int i = 0; i < 100000; i++) {
        if (log_limit_pass(&shared, &rate, SECOND + (uint64_t)i, &suppressed)) {
            (*n)++;
            told += suppressed;
        }
    }
    return NULL;
}

START_TEST(test_threads_share_a_bucket)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    uint64_t counts[THREADS] = {0}, sum = 0;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, flood, &counts[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        sum += counts[i];
    }
    uint64_t suppressed = 0;
    ck_assert_uint_eq(sum, 5);
    ck_assert(log_limit_pass(&shared, &rate, 10 * SECOND, &suppressed));
    ck_assert_uint_eq(told + suppressed, THREADS * 100000 - 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log_limit");
    TCase *t = tcase_create("log_limit");
    tcase_add_test(t, test_a_burst_passes_and_then_so_many_a_second);
    tcase_add_test(t, test_a_flood_of_one_reason_does_not_hide_another);
    tcase_add_test(t, test_lines_past_the_limit_are_counted_and_told);
    tcase_add_test(t, test_what_is_not_logged_takes_no_token);
    tcase_add_test(t, test_threads_share_a_bucket);
    suite_add_tcase(s, t);
    return run_suite(s);
}
