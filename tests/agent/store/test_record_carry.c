/* A full record makes room on the thread pool: the loop touches no file for it but to write what it
 * issues, what is valid stays and is there once, whatever happens meanwhile. The system's calls are
 * wrapped (the linker's --wrap), so that the disk may be slow, full, or keep what was removed. */
#include "agent/store/record_row.h"
#include "agent/telemetry/metrics.h"
#include "common/log/log.h"
#include "tests/support/record_case.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <unistd.h>

enum { MAX = 1000, ENTRIES = 7, SECOND_NS = 1000 * 1000 * 1000 };

static struct record_case c;
static pthread_t loop_thread;
static _Atomic unsigned loop_reads, loop_writes, loop_removals, pool_reads, pool_writes,
    pool_removals, syncs;
static _Atomic bool is_slow, is_full, keeps_files;
static uint64_t now_ns; /* of the loop's monotonic clock */
static sem_t may_go_on;

ssize_t __real_pread(int fd, void *data, size_t len, off_t at);
ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
int __real_unlinkat(int dir, const char *name, int flags);
ssize_t __wrap_pread(int fd, void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __wrap_unlinkat(int dir, const char *name, int flags);
int __wrap_fdatasync(int fd);
uint64_t __wrap_clock_mono_ns(void);

static bool on_loop(void)
{
    return pthread_equal(pthread_self(), loop_thread) != 0;
}

ssize_t __wrap_pread(int fd, void *data, size_t len, off_t at)
{
    ++*(on_loop() ? &loop_reads : &pool_reads);
    if (!on_loop() && is_slow) {
        is_slow = false;
        sem_wait(&may_go_on);
    }
    return __real_pread(fd, data, len, at);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    ++*(on_loop() ? &loop_writes : &pool_writes);
    if (!on_loop() && is_full && at > 0) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite(fd, data, len, at);
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
    ++*(on_loop() ? &loop_removals : &pool_removals);
    return keeps_files ? 0 : __real_unlinkat(dir, name, flags);
}

int __wrap_fdatasync(int fd)
{
    ck_assert(!on_loop());
    (void)fd;
    syncs++;
    return 0;
}

uint64_t __wrap_clock_mono_ns(void)
{
    return now_ns;
}

static uint64_t metric(size_t family)
{
    return metric_read(c.opt.metrics, family, 0, 0, 0);
}

/* A full record; one in three is valid still, in each segment. */
static void setup(void)
{
    is_slow = is_full = keeps_files = false;
    loop_thread = pthread_self();
    sem_init(&may_go_on, 0, 0);
    record_case_keep_log();
    record_case_setup(&c);
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "", &c.opt.metrics, NULL),
                     ERR_OK);
    c.opt.max_records = MAX;
    record_case_must_open(&c);
    for (uint32_t i = 0; i < MAX; i++) {
        int64_t life = i % 3 == 0 ? RECORD_CASE_LIFE + 1 : 0;
        record_case_now += life;
        record_case_must_put(&c, i, 1, ENTRIES);
        record_case_now -= life;
    }
    record_case_now += RECORD_CASE_LIFE + 1;
    loop_reads = loop_writes = loop_removals = pool_reads = pool_writes = pool_removals = 0;
    syncs = 0;
}

static void teardown(void)
{
    struct metrics *m = c.opt.metrics;
    record_case_teardown(&c);
    metrics_free(m);
    sem_destroy(&may_go_on);
    log_capture(NULL, NULL);
}

static void run_until_removed(uint32_t seq)
{
    while (record_case_length(&c, seq) >= 0)
        uv_run(&c.loop, UV_RUN_ONCE);
}

/* Each file that the set-up wrote, and the folder. */
static void run_until_synced(void)
{
    unsigned files = 0;
    while (record_case_length(&c, files + 1) >= 0)
        files++;
    while (syncs < files + 1 || c.loop.active_reqs.count > 0)
        uv_run(&c.loop, UV_RUN_ONCE);
}

/* Those that are valid, of all that were put up to `end`: each is found, and once. */
static void check_valid(uint32_t end)
{
    size_t valid = 0, found = 0;
    for (uint32_t i = 0; i < end; i++) {
        bool is_valid = i >= MAX || i % 3 == 0;
        ck_assert_msg(!is_valid || record_case_has(&c, i, ENTRIES), "%u", i);
        valid += is_valid;
    }
    for (uint32_t e = 0; e < ENTRIES; e++)
        found += record_case_count(&c, e);
    ck_assert_uint_eq(found, valid);
}

static bool count_one(void *arg, const struct record_item *item)
{
    ck_assert_str_eq(item->entry_id, "e0");
    ++*(size_t *)arg;
    return true;
}

START_TEST(test_the_loop_touches_no_file_to_make_room)
{
    record_case_must_put(&c, MAX, 1, ENTRIES);
    ck_assert_uint_eq(metric(M_RECORD_CERTIFICATES), MAX + 1); /* it does not wait for room */
    run_until_removed(1);
    ck_assert_uint_eq(loop_writes, 1); /* its own */
    ck_assert_uint_eq(loop_reads, 0);
    ck_assert_uint_eq(loop_removals, 0);
    ck_assert_uint_gt(pool_reads, 0);
    ck_assert_uint_ge(pool_writes, 40); /* those that were carried */
    ck_assert_uint_eq(pool_removals, 1);
    ck_assert_uint_lt(metric(M_RECORD_CERTIFICATES), MAX);
    check_valid(MAX + 1);
    record_case_reopen(&c);
    check_valid(MAX + 1);
    ck_assert_uint_eq(record_issued_total(c.record), MAX + 1);
}
END_TEST

/* Segments of 128 rows: the one that is carried into is not the last one any more. */
START_TEST(test_what_is_issued_meanwhile_is_newer_than_what_is_carried)
{
    struct record_search search = {
        .spiffe_id = "spiffe://example.org/e0", .now = record_case_now, .limit = 5};
    is_slow = true;
    record_case_must_put(&c, MAX, 400, ENTRIES);
    sem_post(&may_go_on);
    run_until_removed(1);
    record_case_must_put(&c, MAX + 400, 10, ENTRIES);
    for (int round = 0; round < 2; round++) {
        check_valid(MAX + 410);
        size_t all = 0, paged = 0;
        search.limit = SIZE_MAX;
        do
            ck_assert_int_eq(
                record_search(c.record, &search, count_one, &all, &search.from, &c.why), ERR_OK);
        while (search.from != 0);
        search.limit = 5;
        do
            ck_assert_int_eq(
                record_search(c.record, &search, count_one, &paged, &search.from, &c.why), ERR_OK);
        while (search.from != 0);
        ck_assert_uint_eq(all, paged); /* pages go by age, and pass nothing over */
        ck_assert_uint_eq(record_issued_total(c.record), MAX + 410);
        record_case_reopen(&c);
    }
}
END_TEST

START_TEST(test_a_disk_that_is_slow_to_make_room_holds_nobody_up_within_bounds)
{
    is_slow = true;
    record_case_must_put(&c, MAX, STORE_FILE_OVER_MAX, ENTRIES);
    ck_assert_int_eq(record_case_put(&c, MAX + STORE_FILE_OVER_MAX, ENTRIES), ERR_RECORD);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "slow to make room"));
    ck_assert(record_case_said("record_failed"));
    sem_post(&may_go_on);
    run_until_removed(1);
    record_case_now += RECORD_CASE_LIFE + 1;
    record_case_must_put(&c, MAX + STORE_FILE_OVER_MAX, 1, ENTRIES);
    ck_assert_uint_lt(metric(M_RECORD_CERTIFICATES), MAX);
}
END_TEST

START_TEST(test_room_that_cannot_be_made_is_told_and_looked_for_again)
{
    uint32_t n = MAX;
    is_full = true;
    for (; record_case_put(&c, n, ENTRIES) == ERR_OK; n++) /* until it is known */
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(record_case_said("record_failed"));
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "No space left"));
    ck_assert_ptr_nonnull(record_problem(c.record));
    check_valid(n);
    is_full = false;
    now_ns += SECOND_NS; /* after a vain look is the next */
    while (record_problem(c.record) != NULL)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(record_case_said("record_recovered"));
    record_case_must_put(&c, n++, 1, ENTRIES);
    run_until_removed(1);
    check_valid(n);
    record_case_reopen(&c);
    check_valid(n);
}
END_TEST

/* As if the agent was killed before the old one was removed. */
START_TEST(test_what_was_carried_is_there_once_when_the_old_file_stays)
{
    keeps_files = true;
    record_case_must_put(&c, MAX, 1, ENTRIES);
    while (pool_removals == 0)
        uv_run(&c.loop, UV_RUN_ONCE);
    record_case_reopen(&c);
    ck_assert_int_gt(record_case_length(&c, 1), 0);
    ck_assert_uint_eq(metric(M_RECORD_CERTIFICATES), MAX + 1);
    check_valid(MAX + 1);
    keeps_files = false;
    record_case_must_put(&c, MAX + 1, 1, ENTRIES); /* carries it anew */
    run_until_removed(1);
    check_valid(MAX + 2);
    record_case_reopen(&c);
    check_valid(MAX + 2);
    ck_assert_uint_eq(record_issued_total(c.record), MAX + 2);
}
END_TEST

START_TEST(test_closing_waits_for_what_is_carried)
{
    is_slow = true;
    record_case_must_put(&c, MAX, 1, ENTRIES);
    sem_post(&may_go_on);
    record_case_reopen(&c);
    ck_assert_int_eq(record_case_length(&c, 1), -1);
    check_valid(MAX + 1);
}
END_TEST

START_TEST(test_after_a_vain_look_for_room_there_is_a_pause)
{
    record_case_now -= RECORD_CASE_LIFE + 1; /* none has expired */
    ck_assert_int_eq(record_case_put(&c, MAX, ENTRIES), ERR_RECORD);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "record.max_records"));
    record_case_now += 2 * RECORD_CASE_LIFE;
    now_ns += SECOND_NS - 1;
    ck_assert_int_eq(record_case_put(&c, MAX, ENTRIES), ERR_RECORD);
    now_ns++;
    record_case_must_put(&c, MAX, 1, ENTRIES);
}
END_TEST

START_TEST(test_a_clock_that_is_set_back_makes_the_pause_no_longer)
{
    record_case_now += RECORD_CASE_LIFE;
    is_full = true;
    for (uint32_t n = MAX; record_case_put(&c, n, ENTRIES) == ERR_OK; n++)
        uv_run(&c.loop, UV_RUN_ONCE);
    is_full = false;
    record_case_now -= RECORD_CASE_LIFE;
    now_ns += SECOND_NS;
    while (record_problem(c.record) != NULL)
        uv_run(&c.loop, UV_RUN_ONCE);
}
END_TEST

static bool is_record_closed, is_store_closed;

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void on_probed(void *arg, err_t err, const struct why *why)
{
    (void)arg;
    (void)why;
    ck_assert_int_eq(err, ERR_RECORD);
    c.store->kind->close(c.store, on_closed, &is_store_closed);
}

/* As when the agent stops while the record fails: nothing but the answer kept the store open. */
START_TEST(test_the_answer_that_a_failed_carry_gives_may_close_the_store)
{
    is_record_closed = is_store_closed = false;
    run_until_synced(); /* a last sync would wait for another turn */
    is_slow = is_full = true;
    c.store->kind->probe(c.store, on_probed, NULL);
    record_close(c.record, on_closed, &is_record_closed);
    while (!is_record_closed)
        uv_run(&c.loop, UV_RUN_ONCE);
    c.record = NULL;
    sem_post(&may_go_on);
    uv_run(&c.loop, UV_RUN_DEFAULT);
    ck_assert(is_store_closed);
    is_full = false;
    record_case_must_open(&c);
    check_valid(MAX);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_carry");
    TCase *t = tcase_create("carry");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_the_loop_touches_no_file_to_make_room);
    tcase_add_test(t, test_what_is_issued_meanwhile_is_newer_than_what_is_carried);
    tcase_add_test(t, test_a_disk_that_is_slow_to_make_room_holds_nobody_up_within_bounds);
    tcase_add_test(t, test_room_that_cannot_be_made_is_told_and_looked_for_again);
    tcase_add_test(t, test_what_was_carried_is_there_once_when_the_old_file_stays);
    tcase_add_test(t, test_closing_waits_for_what_is_carried);
    tcase_add_test(t, test_the_answer_that_a_failed_carry_gives_may_close_the_store);
    tcase_add_test(t, test_after_a_vain_look_for_room_there_is_a_pause);
    tcase_add_test(t, test_a_clock_that_is_set_back_makes_the_pause_no_longer);
    suite_add_tcase(s, t);
    return run_suite(s);
}
