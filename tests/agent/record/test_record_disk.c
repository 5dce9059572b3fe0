/* The record of issuance on a disk that is full, slow to forget or broken: the system's calls are
 * wrapped (the linker's --wrap), so that any byte may be the one that does not fit. */
#include "agent/store/record_row.h"
#include "agent/telemetry/metrics.h"
#include "common/log/log.h"
#include "tests/support/record_case.h"
#include "tests/support/runner.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { ALL = 1 << 30 };

static struct record_case c;
static long disk_room;         /* bytes that a file can have */
static _Atomic int sync_errno; /* 0: syncing works */
static _Atomic unsigned syncs;

ssize_t __real_pwrite(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwrite(int fd, const void *data, size_t len, off_t at)
{
    if (at >= disk_room) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwrite(fd, data, (off_t)len < disk_room - at ? len : (size_t)(disk_room - at),
                         at);
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    syncs++;
    errno = sync_errno;
    return sync_errno == 0 ? 0 : -1;
}

static void setup(void)
{
    disk_room = ALL;
    sync_errno = 0;
    syncs = 0;
    record_case_keep_log();
    record_case_setup(&c);
    ck_assert_int_eq(metrics_new(agent_metrics, AGENT_METRIC_COUNT, "", &c.opt.metrics, NULL),
                     ERR_OK);
    record_case_must_open(&c);
}

static void teardown(void)
{
    struct metrics *m = c.opt.metrics;
    record_case_teardown(&c);
    metrics_free(m);
    log_capture(NULL, NULL);
}

static uint64_t metric(size_t family)
{
    return metric_read(c.opt.metrics, family, 0, 0, 0);
}

START_TEST(test_full_disk_stops_and_recovers_by_itself)
{
    record_case_must_put(&c, 0, 3, 1);
    disk_room = 6 * RECORD_ROW_LEN + _i; /* within its first row, and behind */
    ck_assert_int_eq(record_case_put(&c, 3, 2), ERR_RECORD);
    ck_assert_ptr_nonnull(strstr(why_text(&c.why), "not issued, because it cannot be recorded"));
    ck_assert_int_eq(record_case_put(&c, 5, 2), ERR_RECORD);
    ck_assert_ptr_nonnull(record_problem(c.record));
    ck_assert(!record_case_has(&c, 3, 2) && record_case_has(&c, 2, 1));
    ck_assert_int_eq(record_case_length(&c, 1), 6 * RECORD_ROW_LEN);
    disk_room = ALL;
    record_case_must_put(&c, 4, 1, 2);
    ck_assert_ptr_null(record_problem(c.record));
    record_case_reopen(&c);
    ck_assert(record_case_has(&c, 4, 2) && !record_case_has(&c, 3, 2) && record_case_has(&c, 2, 1));
    ck_assert_uint_eq(record_issued_total(c.record), 4);
}
END_TEST

START_TEST(test_full_disk_may_be_gone_on_from)
{
    record_set_policy(c.record, c.opt.keep_s, RECORD_CONTINUE);
    record_case_must_put(&c, 0, 3, 1);
    disk_room = 6 * RECORD_ROW_LEN + _i;
    record_case_must_put(&c, 3, 200, 7);
    ck_assert(record_case_said("record_failed"));
    ck_assert_uint_eq(metric(M_RECORD_WAITING), 200);
    for (uint32_t i = 3; i < 203; i++) /* revoked and found like any other */
        ck_assert(record_case_has(&c, i, 7));
    ck_assert_uint_eq(record_case_count(&c, 2), 28);
    ck_assert_uint_eq(record_issued_total(c.record), 203);
    disk_room = ALL;
    while (metric(M_RECORD_WAITING) > 0)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(record_case_said("record_recovered"));
    record_case_reopen(&c);
    for (uint32_t i = 3; i < 203; i++)
        ck_assert(record_case_has(&c, i, 7));
    ck_assert_uint_eq(record_issued_total(c.record), 203);
    ck_assert_uint_eq(record_case_count(&c, 2), 28);
}
END_TEST

/* 19, 18, 17, ... */
static bool next_one(void *arg, const struct record_item *item)
{
    size_t *count = arg;
    ck_assert_uint_eq(item->serial[3], 19 - *count);
    ++*count;
    return true;
}

START_TEST(test_what_waits_keeps_its_place_in_a_search)
{
    struct record_search search = {.now = record_case_now, .limit = 3};
    uint64_t next = 0;
    size_t count = 0, pages = 0;
    record_set_policy(c.record, c.opt.keep_s, RECORD_CONTINUE);
    record_case_must_put(&c, 0, 10, 1);
    disk_room = record_case_length(&c, 1);
    record_case_must_put(&c, 10, 10, 1);
    do {
        size_t before = count;
        search.from = next;
        ck_assert_int_eq(record_search(c.record, &search, next_one, &count, &next, &c.why), ERR_OK);
        ck_assert_uint_le(count - before, 3);
        pages++;
    } while (next != 0);
    ck_assert_uint_eq(count, 20);
    ck_assert_uint_ge(pages, 7);
    disk_room = ALL;
}
END_TEST

START_TEST(test_too_many_to_wait_are_told_one_by_one)
{
    record_set_policy(c.record, c.opt.keep_s, RECORD_CONTINUE);
    record_case_must_put(&c, 0, 1, 1);
    disk_room = record_case_length(&c, 1);
    record_case_must_put(&c, 1, RECORD_WAITING_MAX, 1);
    ck_assert(!record_case_said("certificate_unrecorded"));
    record_case_must_put(&c, RECORD_WAITING_MAX + 1, 1, 1);
    ck_assert(record_case_said("certificate_unrecorded") &&
              record_case_said("spiffe://example.org/e0"));
    ck_assert_uint_eq(metric(M_RECORD_WAITING), RECORD_WAITING_MAX);
    disk_room = ALL;
}
END_TEST

START_TEST(test_many_certificates_share_a_sync)
{
    record_case_must_put(&c, 0, 100, 1);
    ck_assert_uint_eq(syncs, 0); /* nobody waits for it */
    while (syncs < 2)            /* the segment, and its folder */
        uv_run(&c.loop, UV_RUN_ONCE);
    record_case_must_put(&c, 100, 20, 1);
    while (syncs < 3)
        uv_run(&c.loop, UV_RUN_ONCE);
    record_case_reopen(&c); /* all is synced: not again */
    ck_assert_uint_eq(syncs, 3);
    record_case_must_put(&c, 120, 1, 1);
    record_case_close(&c);
    ck_assert_uint_eq(syncs, 4);
}
END_TEST

START_TEST(test_failed_sync_is_told_and_tried_again)
{
    sync_errno = EIO;
    record_case_must_put(&c, 0, 1, 1);
    while (metric(M_RECORD_SYNC_FAILURES) == 0)
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert(record_case_said("record_sync_failed") && record_case_said("Input/output error"));
    sync_errno = 0;
    unsigned before = syncs;
    while (syncs < before + 2) /* all of it */
        uv_run(&c.loop, UV_RUN_ONCE);
    ck_assert_uint_eq(metric(M_RECORD_SYNC_FAILURES), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("record_disk");
    TCase *disk = tcase_create("disk");
    tcase_add_checked_fixture(disk, setup, teardown);
    tcase_add_loop_test(disk, test_full_disk_stops_and_recovers_by_itself, 0, 2 * RECORD_ROW_LEN);
    tcase_add_loop_test(disk, test_full_disk_may_be_gone_on_from, 0, 3);
    tcase_add_test(disk, test_what_waits_keeps_its_place_in_a_search);
    tcase_add_test(disk, test_too_many_to_wait_are_told_one_by_one);
    tcase_add_test(disk, test_many_certificates_share_a_sync);
    tcase_add_test(disk, test_failed_sync_is_told_and_tried_again);
    suite_add_tcase(s, disk);
    return run_suite(s);
}
